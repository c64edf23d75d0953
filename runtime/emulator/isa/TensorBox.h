// Boxes of tensors, as tensor copies see them: which bytes they are in global
// and in shared memory. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// What the documentation leaves open was measured on an H200 and is marked so.
#ifndef NIBBLE_RT_EMULATOR_ISA_TENSORBOX_H
#define NIBBLE_RT_EMULATOR_ISA_TENSORBOX_H

#include "exec/Cta.h"
#include "exec/TensorMap.h"

#include <algorithm>
#include <vector>

namespace nibble {
namespace emu {

/// Visits the rows of a box: where each begins in the tensor, and how many of
/// its elements exist.
class TensorBox {
public:
  TensorBox(const TensorMap &map, const int32_t *coordinates)
      : map(map), coordinates(coordinates) {}

  /// f(number of the row, address of the tensor's row, first and end of the
  /// elements that lie inside of the tensor, counted from the box's corner).
  template <typename F> void forEachRow(F f) const {
    uint32_t index[5] = {};
    for (uint32_t number = 0, count = map.rowCount(); number < count;
         ++number) {
      visit(index, number, f);
      unsigned d = 1;
      while (d < map.rank && ++index[d] == map.extent(d))
        index[d++] = 0;
    }
  }

private:
  template <typename F>
  void visit(const uint32_t *index, uint32_t number, F f) const {
    uint64_t address = map.address;
    bool inside = true;
    for (unsigned d = 1; d < map.rank; ++d) {
      int64_t at =
          int64_t(coordinates[d]) + int64_t(index[d]) * map.elementStrides[d];
      inside &= at >= 0 && uint64_t(at) < map.sizes[d];
      address += uint64_t(at) * map.strides[d - 1];
    }
    int64_t first = coordinates[0], end = first + map.extent(0);
    int64_t from = std::max<int64_t>(first, 0);
    int64_t to = std::min<int64_t>(end, int64_t(map.sizes[0]));
    if (!inside || from >= to)
      from = to = first;
    f(number, address, from - first, to - first);
  }

  const TensorMap &map;
  const int32_t *coordinates;
};

/// f(offset, bytes) for the shared memory that a box at `offset` occupies: all
/// of it in one piece, or, if its rows are narrower than the span of the
/// swizzle, each 16 bytes: what lies between them is left alone (measured).
template <typename F>
void forEachPiece(const TensorMap &map, uint32_t offset, F f) {
  if (!map.hasGaps())
    return f(offset, map.boxBytes());
  for (uint32_t row = 0; row < map.rowCount(); ++row)
    for (uint32_t chunk = 0; chunk < map.rowBytes(); chunk += 16)
      f(swizzleAddress(TensorSwizzle(map.swizzle),
                       offset + row * map.rowPitch() + chunk),
        16u);
}

/// Faults unless a box at `offset` is aligned and within the shared memory.
void checkPlace(Warp &w, const TensorMap &map, uint32_t offset, const Cta &cta,
                int lane);

/// Faults where a device stops with "illegal instruction" (measured, and
/// documented for types with padding only): the first coordinate must be a
/// multiple of 16 bytes, of 128 elements for types with padding; those of
/// stores and reductions must not be negative.
void checkCoordinates(Warp &w, const TensorMap &map,
                      const std::vector<int32_t> &at, bool writes, int lane);

/// One row of a loaded box, rowBytes() of it: `count` elements of the tensor,
/// the first of them element `first` of the row; zeros or NaNs elsewhere. TF32
/// maps round to 10 bits of mantissa (measured).
void fillRow(const TensorMap &map, uint8_t *row, const uint8_t *elements,
             int64_t first, int64_t count);

/// Row `number` of the box at `offset` to and from shared memory.
void scatterRow(Cta &cta, const TensorMap &map, uint32_t offset,
                uint32_t number, const uint8_t *row);
void gatherRow(const Cta &cta, const TensorMap &map, uint32_t offset,
               uint32_t number, uint8_t *row);

/// "box 64x8 at (0, 16) of a tensor of 64x20, which begins at ..."
std::string describeBox(const GlobalMemory &memory, const TensorMap &map,
                        const std::vector<int32_t> &at);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_TENSORBOX_H
