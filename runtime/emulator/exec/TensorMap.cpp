// Tensor maps: sizes and rules.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/TensorMap.h"

#include <algorithm>

using namespace nibble::emu;

unsigned TensorMap::bits() const {
  static constexpr uint8_t kBits[] = {8,  16, 32, 32, 64, 64, 16, 32,
                                      64, 16, 32, 32, 32, 4,  4,  6};
  return kBits[unsigned(type)];
}

unsigned TensorMap::sharedBits() const { return isPadded() ? 8 : bits(); }

uint32_t TensorMap::extent(unsigned dimension) const {
  // The stride of the fastest dimension is ignored without interleaving.
  uint32_t stride =
      dimension == 0 && !interleave ? 1 : elementStrides[dimension];
  return (box[dimension] + stride - 1) / stride;
}

uint32_t TensorMap::rowBytes() const { return extent(0) * sharedBits() / 8; }

uint32_t TensorMap::rowCount() const {
  uint32_t count = 1;
  for (unsigned d = 1; d < rank; ++d)
    count *= extent(d);
  return count;
}

/// Bytes of a row of a swizzle's pattern; 0: there is none.
static uint32_t spanOf(const TensorMap &map) {
  static constexpr uint32_t kSpan[] = {0, 32, 64, 128, 128, 128, 128};
  bool known = map.swizzle <= uint8_t(TensorSwizzle::B128Atom64);
  return map.interleave || !known ? 0 : kSpan[map.swizzle];
}

uint32_t TensorMap::rowPitch() const {
  return std::max(rowBytes(), spanOf(*this));
}

uint32_t TensorMap::transactionBytes() const {
  return rowCount() * extent(0) * bits() / 8;
}

namespace {

std::string text(uint64_t value) { return std::to_string(value); }

class Checker {
public:
  explicit Checker(const TensorMap &map) : map(map) {}

  std::string run() {
    if (unsigned(map.type) > unsigned(TensorType::U6Align16))
      return "there is no data type " + text(unsigned(map.type));
    if (map.rank < 1 || map.rank > 5)
      return "rank " + text(map.rank) + "; 1 to 5 are possible";
    if (map.interleave && map.rank < 3)
      return "interleaving needs rank 3 or more, not " + text(map.rank);
    for (auto check :
         {&Checker::address, &Checker::sizes, &Checker::strides, &Checker::box,
          &Checker::elementStrides, &Checker::swizzle, &Checker::fill})
      if (std::string problem = (this->*check)(); !problem.empty())
        return problem;
    return "";
  }

private:
  bool wide() const {
    return map.isPadded() || map.interleave == uint8_t(TensorInterleave::B32);
  }

  std::string address() const {
    uint64_t align = wide() ? 32 : 16;
    if (map.address % align)
      return "the global address is no multiple of " + text(align);
    return "";
  }

  std::string sizes() const {
    for (unsigned d = 0; d < map.rank; ++d)
      if (map.sizes[d] == 0 || map.sizes[d] > (uint64_t(1) << 32))
        return "globalDim[" + text(d) + "] is " + text(map.sizes[d]) +
               "; 1 to 2^32 are possible";
    uint64_t unit = map.isPadded()                     ? 128
                    : map.type == TensorType::U4Align8 ? 2
                                                       : 1;
    if (map.sizes[0] % unit)
      return "globalDim[0] = " + text(map.sizes[0]) + " is no multiple of " +
             text(unit) + ", as this type needs";
    return "";
  }

  std::string strides() const {
    uint64_t unit = wide() ? 32 : 16;
    for (unsigned d = 0; d + 1 < map.rank; ++d)
      if (map.strides[d] % unit || map.strides[d] >= (uint64_t(1) << 40))
        return "globalStrides[" + text(d) + "] = " + text(map.strides[d]) +
               " must be a multiple of " + text(unit) + " below 2^40";
    return "";
  }

  std::string box() const {
    for (unsigned d = 0; d < map.rank; ++d)
      if (map.box[d] == 0 || map.box[d] > 256)
        return "boxDim[" + text(d) + "] is " + text(map.box[d]) +
               "; 1 to 256 are possible";
    if (map.isPadded() && map.box[0] != 128)
      return "boxDim[0] is " + text(map.box[0]) + "; this type needs 128";
    if (!map.interleave && map.box[0] * map.bits() / 8 % 16)
      return "the inner dimension of the box has " +
             text(map.box[0] * map.bits() / 8) + " bytes, no multiple of 16";
    return "";
  }

  std::string elementStrides() const {
    for (unsigned d = 0; d < map.rank; ++d)
      if (map.elementStrides[d] < 1 || map.elementStrides[d] > 8)
        return "elementStrides[" + text(d) + "] is " +
               text(map.elementStrides[d]) + "; 1 to 8 are possible";
    return "";
  }

  std::string swizzle() const {
    if (map.swizzle > uint8_t(TensorSwizzle::B128Atom64))
      return "there is no swizzle " + text(map.swizzle);
    if (map.interleave == uint8_t(TensorInterleave::B32) &&
        map.swizzle != uint8_t(TensorSwizzle::B32))
      return "interleaving by 32 bytes needs the 32-byte swizzle";
    // The stride of the elements does not make rows narrower (measured).
    uint32_t span = spanOf(map);
    if (span && map.rowBytes() > span)
      return "the inner dimension of the box has " + text(map.rowBytes()) +
             " bytes, more than the " + text(span) + " of its swizzle";
    TensorSwizzle s = TensorSwizzle(map.swizzle);
    if (map.isPadded() && s != TensorSwizzle::None &&
        s != TensorSwizzle::B128 && s != TensorSwizzle::B128Atom32 &&
        !(map.type == TensorType::U6Align16 && s == TensorSwizzle::B128Atom64))
      return "this type has no such swizzle";
    return "";
  }

  std::string fill() const {
    bool isFloat =
        map.type >= TensorType::F16 && map.type < TensorType::U4Align8;
    if (map.fill && !isFloat)
      return "only floating-point types can be filled with NaN";
    return "";
  }

  const TensorMap &map;
};

} // namespace

std::string nibble::emu::checkTensorMap(const TensorMap &map) {
  return Checker(map).run();
}
