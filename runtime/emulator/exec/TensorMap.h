// Tensor maps: what cuTensorMapEncodeTiled is given, checked and kept in 128
// bytes. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The hardware's encoding is not documented; programs treat the 128 bytes as
// opaque. The rules are those of the CUDA driver API's documentation of
// cuTensorMapEncodeTiled and of PTX ISA, "Tensors".
#ifndef NIBBLE_RT_EMULATOR_EXEC_TENSORMAP_H
#define NIBBLE_RT_EMULATOR_EXEC_TENSORMAP_H

#include <cstdint>
#include <string>

namespace nibble {
namespace emu {

/// Values as in CUtensorMapDataType.
enum class TensorType : uint32_t {
  U8,
  U16,
  U32,
  S32,
  U64,
  S64,
  F16,
  F32,
  F64,
  BF16,
  F32Ftz,
  TF32,
  TF32Ftz,
  U4Align8,
  U4Align16,
  U6Align16
};
/// Values as in CUtensorMapSwizzle.
enum class TensorSwizzle : uint32_t {
  None,
  B32,
  B64,
  B128,
  B128Atom32,
  B128Atom32Flip8,
  B128Atom64
};
/// Values as in CUtensorMapInterleave.
enum class TensorInterleave : uint32_t { None, B16, B32 };

struct TensorMap {
  static constexpr uint64_t kMark = 0x4E42544D41503031; ///< "NBTMAP01"
  uint64_t mark = 0;
  /// Programs for some drivers clear bit 21 of this word after encoding, so
  /// nothing may lie here.
  uint64_t reserved = 0;
  uint64_t address = 0;
  TensorType type = TensorType::U8;
  uint32_t rank = 0;
  uint64_t sizes[5] = {};   ///< elements, fastest dimension first
  uint64_t strides[4] = {}; ///< bytes, of dimensions 1..rank-1
  uint16_t box[5] = {};
  uint8_t elementStrides[5] = {};
  uint8_t interleave = 0, swizzle = 0, l2Promotion = 0, fill = 0;

  /// Bits of an element in global memory.
  unsigned bits() const;
  /// Bits of an element in shared memory: padded types take 8.
  unsigned sharedBits() const;
  /// Elements of the box along a dimension: box / element stride, rounded up.
  uint32_t extent(unsigned dimension) const;
  /// Bytes of the innermost row of a box in shared memory.
  uint32_t rowBytes() const;
  /// Rows of a box: the product of its other extents.
  uint32_t rowCount() const;
  /// From one row to the next in shared memory: the span of the swizzle, also
  /// if rows are narrower (measured on an H200: "bf16 box 16x12, 128B" has row
  /// i at 128 i). Without a swizzle rows are packed.
  uint32_t rowPitch() const;
  bool hasGaps() const { return rowPitch() > rowBytes(); }
  /// Bytes of the whole box in shared memory, with what lies between its rows.
  uint32_t boxBytes() const { return rowCount() * rowPitch(); }
  /// Bytes that an mbarrier is told of: packed types count as packed, what lies
  /// between rows does not count.
  uint32_t transactionBytes() const;
  bool isPadded() const {
    return type == TensorType::U4Align16 || type == TensorType::U6Align16;
  }
};
static_assert(sizeof(TensorMap) <= 128, "a tensor map has 128 bytes");

/// "" if all rules hold, or the first that does not, with its numbers.
std::string checkTensorMap(const TensorMap &map);

/// Where a byte lies that belongs at shared address `address`: PTX ISA,
/// "Swizzling Modes". Rows have 128 bytes; the pattern is one of addresses, so
/// that boxes that begin at any row fit each other.
inline uint32_t swizzleAddress(TensorSwizzle swizzle, uint32_t address) {
  uint32_t row = address >> 7;
  switch (swizzle) {
  case TensorSwizzle::B32:
    return address ^ (row & 1) << 4;
  case TensorSwizzle::B64:
    return address ^ (row & 3) << 4;
  case TensorSwizzle::B128:
    return address ^ (row & 7) << 4;
  case TensorSwizzle::B128Atom32:
    return address ^ (row & 3) << 5;
  case TensorSwizzle::B128Atom32Flip8:
    return address ^ (row & 3) << 5 ^ (row & 1) << 3;
  case TensorSwizzle::B128Atom64:
    return address ^ (row & 1) << 6;
  default:
    return address;
  }
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_TENSORMAP_H
