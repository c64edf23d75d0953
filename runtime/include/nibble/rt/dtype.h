// Element types of runtime values: names, sizes, storage of scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DTYPE_H
#define NIBBLE_RT_DTYPE_H

#include "nibble/rt/formats.h"
#include "nibble/rt/status.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {
namespace rt {

/// A format by its MLIR spelling ("f32", "si8", signless "i8"), or by the name
/// that ONNX and numpy use ("uint8", "float32", "bfloat16", "bool"); None for
/// anything else.
StorageFormat parseElem(std::string_view name);

/// Type of a value: one dense element type, or a scaled one written
/// `!nq.scaled<STORAGE, SCALE per BLOCK(, global T)?(, zero_point)?>` or by its
/// short form (`!nq.nvfp4`, `!nq.mxfp4`, `!nq.mxfp8`, `!nq.fp8`).
struct DType {
  StorageFormat elem =
      StorageFormat::None; ///< dense: the element; scaled: the code
  StorageFormat scale = StorageFormat::None; ///< None for a dense type
  /// Extents of a block over the trailing dimensions, 0 = full extent; empty =
  /// one scale per tensor.
  std::vector<int64_t> block;
  StorageFormat global = StorageFormat::None;
  bool zeroPoint = false;

  bool isScaled() const { return scale != StorageFormat::None; }
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

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_DTYPE_H
