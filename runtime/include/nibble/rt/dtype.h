// Element types of runtime values: names, sizes, storage of scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DTYPE_H
#define NIBBLE_RT_DTYPE_H

#include "nibble/rt/status.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {
namespace rt {

/// Types of one stored element.
enum class Elem : uint8_t {
  None,
  F64,
  F32,
  F16,
  BF16,
  E4M3,
  E5M2,
  E8M0,
  E2M1,
  Bool,
  I4,
  I8,
  I16,
  I32,
  I64,
  U4,
  U8,
  U16,
  U32,
  U64
};

/// "f32", "f8E4M3FN", "si8"...: canonical spelling, None is "none".
const char *elemName(Elem elem);
/// Bits of one element in memory; bool has 8.
unsigned elemBits(Elem elem);
/// Parses a canonical name or one of its aliases: signless `iN` and ONNX names
/// such as `int8`, `uint8`, `float32`, `bfloat16`, `bool` (= `i1`).
/// Returns None for anything else.
Elem parseElem(std::string_view name);
bool isFloat(Elem elem);

/// Type of a value: one dense element type, or a scaled one written
/// `!nq.scaled<STORAGE, SCALE per BLOCK(, global T)?(, zero_point)?>` or by its
/// short form (`!nq.nvfp4`, `!nq.mxfp4`, `!nq.mxfp8`, `!nq.fp8`).
struct DType {
  Elem elem = Elem::None;  ///< dense: the element; scaled: the code
  Elem scale = Elem::None; ///< None for a dense type
  /// Extents of a block over the trailing dimensions, 0 = full extent; empty =
  /// one scale per tensor.
  std::vector<int64_t> block;
  Elem global = Elem::None;
  bool zeroPoint = false;

  bool isScaled() const { return scale != Elem::None; }
};

/// Parses a type; the error names the part that is not understood.
Result<DType> parseDType(std::string_view text);

/// Number of elements, or an error for a negative dimension or a product
/// beyond 2^62.
Result<uint64_t> elementCount(const int64_t *shape, size_t rank);

/// The sections of a value's buffer, in bytes from its start. A dense value
/// has only codes. Each section starts at a multiple of 64; `total` ends with
/// the last byte used (it is not rounded up).
struct StorageLayout {
  uint64_t codes = 0, codesBytes = 0;
  uint64_t scales = 0, scalesBytes = 0;
  uint64_t global = 0, globalBytes = 0;
  uint64_t zeroPoints = 0, zeroPointsBytes = 0;
  uint64_t total = 0;
};

/// Linear (row-major) storage of a tensor: codes, 4-bit ones packed two per
/// byte with element 2i in the low nibble of the flattened array; then scales,
/// row-major over the grid ceil(shape / block); then the global scale; then one
/// zero point byte per scale. Fails on overflow.
Result<StorageLayout> storageLayout(const DType &type, const int64_t *shape,
                                    size_t rank);

/// "f32[1x128x384]".
std::string describe(std::string_view dtype, const int64_t *shape, size_t rank);

/// The value of element `index` of a dense array, as a double; 4-bit types are
/// packed. Integers of 64 bits are rounded to double.
double loadElement(Elem elem, const void *data, uint64_t index);
/// Rounds to nearest even (floats; saturating for FP8/FP4, as overflow to
/// infinity for the others) or truncates and clamps (integers), and stores.
void storeElement(Elem elem, void *data, uint64_t index, double value);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_DTYPE_H
