// Array: a tensor in host memory, and .npy files.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ARRAY_H
#define NIBBLE_RT_ARRAY_H

#include "nibble/rt/dtype.h"
#include "nibble/rt/span.h"

#include <string>
#include <vector>

namespace nibble {
namespace rt {

/// Dense or scaled, stored as nibble/rt/dtype.h says (4-bit elements packed).
struct Array {
  std::string dtype; ///< "f32", "si64", "!nq.scaled<...>"
  std::vector<int64_t> shape;
  std::vector<uint8_t> data;
};

/// Reads a .npy file (versions 1 to 3). Big-endian and Fortran-ordered data are
/// brought into little-endian row-major order. `V1`, `V2`, `V4`, `V8` (what
/// numpy writes for types of ml_dtypes) come as ui8 .. ui64. Refused with a
/// reason: structured, complex, string and object types, sizes that do not fit
/// the file.
Result<Array> readNpy(const std::string &path);
/// The same from memory; `name` is for errors.
Result<Array> parseNpy(const uint8_t *bytes, uint64_t size,
                       const std::string &name);

/// Writes version 1.0. numpy has no bf16, FP8,
/// FP4 and 4-bit integers: bf16 is written as uint16 codes, FP8 as uint8 codes,
/// 4-bit types as one uint8 code per element (si4: int8), and a scaled array as
/// the uint8 bytes of its whole buffer.
Status writeNpy(const std::string &path, const Array &array);
Result<std::string> formatNpy(const Array &array);

/// Brings an array (as read from .npy) to a wanted type and shape: the same; or
/// raw codes for types that numpy lacks (the inverse of writeNpy); or numbers
/// of f32/f64 rounded to f16, bf16, FP8, FP4, f32. `note` tells what was done,
/// if anything; it is empty otherwise. Anything else is an error that names
/// both types.
Result<Array> adaptArray(Array array, const std::string &dtype,
                         Span<const int64_t> shape, std::string &note);

/// All elements of a dense array as numbers; or an error for a scaled one.
Result<std::vector<double>> toDoubles(const std::string &dtype,
                                      Span<const int64_t> shape,
                                      const void *data, uint64_t bytes);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ARRAY_H
