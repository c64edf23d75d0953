// Boxes of tensors: checks, rows, fillings.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/TensorBox.h"

#include <cstring>

using namespace nibble::emu;

/// Boxes begin at multiples of 128 bytes, so that swizzles stay within them.
void nibble::emu::checkPlace(Warp &w, const TensorMap &map, uint32_t offset,
                             const Cta &cta, int lane) {
  if (offset % 128)
    w.fault("a tensor's box must begin at a multiple of 128 bytes of shared "
            "memory, not at offset " +
                std::to_string(offset),
            lane);
  uint64_t end = 0;
  forEachPiece(map, offset, [&](uint32_t at, uint32_t bytes) {
    end = std::max(end, uint64_t(at) + bytes);
  });
  if (end <= cta.shared.size())
    return;
  std::string pitch = ", " + std::to_string(map.rowPitch()) +
                      " for each row of " + std::to_string(map.rowBytes()) +
                      " because of the swizzle,";
  w.fault("a tensor's box of " + std::to_string(map.boxBytes()) + " bytes" +
              (map.hasGaps() ? pitch : "") + " at offset " +
              std::to_string(offset) + " goes beyond the " +
              std::to_string(cta.shared.size()) + " bytes of shared memory",
          lane, FaultKind::Address);
}

static void checkFirst(Warp &w, const TensorMap &map,
                       const std::vector<int32_t> &at, int lane) {
  int64_t unit = map.isPadded() ? 128 : 16 * 8 / map.bits();
  if (at[0] % unit == 0)
    return;
  w.fault(describeBox(*w.cta.cluster.launch.memory, map, at) +
              ": a device stops with an illegal instruction where the first "
              "coordinate is no multiple of " +
              (map.isPadded()
                   ? "128 elements"
                   : "16 bytes (here " + std::to_string(unit) + " elements)") +
              "; let boxes begin at such multiples",
          lane, FaultKind::IllegalInstruction);
}

void nibble::emu::checkCoordinates(Warp &w, const TensorMap &map,
                                   const std::vector<int32_t> &at, bool writes,
                                   int lane) {
  if (!map.interleave) // there it was not measured
    checkFirst(w, map, at, lane);
  for (unsigned d = 0; writes && d < map.rank; ++d)
    if (at[d] < 0)
      w.fault(describeBox(*w.cta.cluster.launch.memory, map, at) +
                  ": a device stops with an illegal instruction where a box "
                  "that is written begins before the tensor (coordinate " +
                  std::to_string(d) +
                  " is negative; loads may do that); write a smaller box",
              lane, FaultKind::IllegalInstruction);
}

//===--- Rows -------------------------------------------------------------===//

/// Padded types have gaps in shared memory.
static void unpackElements(const TensorMap &map, const uint8_t *from,
                           uint8_t *to, int64_t count) {
  if (!map.isPadded()) {
    std::memcpy(to, from, size_t(count * map.bits() / 8));
    return;
  }
  size_t chunk = map.bits() * 2; // bytes of 16 elements
  for (int64_t i = 0; i < count; i += 16)
    std::memcpy(to + i, from + i / 16 * int64_t(chunk), chunk);
}

/// Nearest, infinity beyond the range; subnormal numbers stay, with .ftz too;
/// NaN is 0x7fffe000. (Which way ties go was not measured: to even.)
static uint32_t toTf32(uint32_t bits) {
  if ((bits & 0x7FFFFFFF) > 0x7F800000)
    return 0x7FFFE000;
  return (bits + 0xFFF + (bits >> 13 & 1)) & 0xFFFFE000;
}

static void roundToTf32(uint8_t *row, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i += 4) {
    uint32_t bits;
    std::memcpy(&bits, row + i, 4);
    bits = toTf32(bits);
    std::memcpy(row + i, &bits, 4);
  }
}

/// Zero, or NaN: 0x7ff7 in each 16 bits, of 32-bit types too (measured).
static void fillOutside(const TensorMap &map, uint8_t *row) {
  static constexpr uint8_t kNan[2] = {0xF7, 0x7F};
  std::memset(row, 0, map.rowBytes());
  for (uint32_t i = 0; map.fill && i + 1 < map.rowBytes(); i += 2)
    std::memcpy(row + i, kNan, 2);
}

void nibble::emu::fillRow(const TensorMap &map, uint8_t *row,
                          const uint8_t *elements, int64_t first,
                          int64_t count) {
  if (count < int64_t(map.extent(0)))
    fillOutside(map, row);
  uint8_t *inside = row + first * map.sharedBits() / 8;
  if (count > 0)
    unpackElements(map, elements, inside, count);
  if (map.type == TensorType::TF32 || map.type == TensorType::TF32Ftz)
    roundToTf32(inside, uint32_t(count * 4));
}

/// 8 bytes at a time: swizzles keep those.
void nibble::emu::scatterRow(Cta &cta, const TensorMap &map, uint32_t offset,
                             uint32_t number, const uint8_t *row) {
  offset += number * map.rowPitch();
  for (uint32_t i = 0; i < map.rowBytes(); i += 8)
    std::memcpy(cta.shared.data() +
                    swizzleAddress(TensorSwizzle(map.swizzle), offset + i),
                row + i, 8);
}

void nibble::emu::gatherRow(const Cta &cta, const TensorMap &map,
                            uint32_t offset, uint32_t number, uint8_t *row) {
  offset += number * map.rowPitch();
  for (uint32_t i = 0; i < map.rowBytes(); i += 8)
    std::memcpy(row + i,
                cta.shared.data() +
                    swizzleAddress(TensorSwizzle(map.swizzle), offset + i),
                8);
}

std::string nibble::emu::describeBox(const GlobalMemory &memory,
                                     const TensorMap &map,
                                     const std::vector<int32_t> &at) {
  std::string box, corner, sizes;
  for (unsigned d = 0; d < map.rank; ++d) {
    box += (d ? "x" : "") + std::to_string(map.box[d]);
    corner += (d ? ", " : "") + std::to_string(at[d]);
    sizes += (d ? "x" : "") + std::to_string(map.sizes[d]);
  }
  return "box " + box + " at (" + corner + ") of a tensor of " + sizes +
         ", which begins at " + memory.describe(map.address);
}
