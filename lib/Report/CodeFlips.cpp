// Codes and block scales that a kernel rounded to another neighbour.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CodeFlips.h"

#include <cstdlib>

using namespace mlir;
using namespace nibble;
using ref::RefTensor;
using rt::StorageFormat;

namespace {

/// Codes of one format in the order of the numbers they stand for.
class CodeOrder {
public:
  explicit CodeOrder(Type element)
      : format(ref::getFormat(element)), bits(rt::formatBits(format)),
        isSigned(isa<FloatType>(element) && !isa<Float8E8M0FNUType>(element)),
        isInteger(isa<IntegerType>(element)) {}

  /// Steps between the numbers at `index`; both zeros are one.
  int64_t distance(ArrayRef<char> a, ArrayRef<char> b, int64_t index) const {
    uint64_t x = rt::loadCode(format, a.data(), index),
             y = rt::loadCode(format, b.data(), index);
    return x == y ? 0 : std::abs(place(x) - place(y));
  }

private:
  int64_t place(uint64_t code) const {
    if (isInteger)
      return int64_t(rt::decode(format, code));
    if (!isSigned)
      return int64_t(code);
    uint64_t sign = uint64_t(1) << (bits - 1);
    int64_t magnitude = int64_t(code & (sign - 1));
    return code & sign ? -magnitude : magnitude;
  }

  StorageFormat format;
  unsigned bits;
  bool isSigned, isInteger;
};

/// Number of the scale of each element, row-major.
class BlockNumbers {
public:
  explicit BlockNumbers(RankedTensorType type)
      : shape(type.getShape()), index(shape.size(), 0) {
    nq::ScaledType scaled = nq::getScaledElement(type);
    block = scaled.getBlockFor(shape);
    grid = scaled.getScaleGrid(shape);
  }

  int64_t get() const {
    int64_t number = 0;
    for (auto [i, extent, blocks] : llvm::zip(index, block, grid))
      number = number * blocks + i / extent;
    return number;
  }
  void next() {
    for (int64_t d = shape.size() - 1; d >= 0 && ++index[d] == shape[d]; --d)
      index[d] = 0;
  }

private:
  ArrayRef<int64_t> shape;
  SmallVector<int64_t> index, block, grid;
};

} // namespace

CodeFlips nibble::countCodeFlips(const RefTensor &actual,
                                 const RefTensor &expected) {
  CodeFlips flips;
  nq::ScaledType scaled = nq::getScaledElement(actual.getType());
  RefTensor::ScaledParts a = actual.getScaledParts(),
                         e = expected.getScaledParts();
  CodeOrder scales(scaled.getScale()), codes(scaled.getStorage());
  flips.scales =
      ShapedType::getNumElements(scaled.getScaleGrid(actual.getShape()));
  std::vector<bool> moved(flips.scales);
  for (int64_t i = 0; i < flips.scales; ++i) {
    int64_t steps = scales.distance(a.scales, e.scales, i);
    moved[i] = steps != 0;
    flips.flippedScales += steps != 0;
    flips.farScales += steps > 1;
  }
  // Codes that were widened to 16 bits have other neighbours there.
  bool isNarrow = scaled.getStorageBits() <= 8;
  flips.codes = actual.size();
  BlockNumbers blocks(actual.getType());
  for (int64_t i = 0; i < flips.codes; ++i, blocks.next()) {
    int64_t steps = codes.distance(a.codes, e.codes, i);
    if (!steps || moved[blocks.get()])
      continue;
    ++flips.flippedCodes;
    flips.farCodes += isNarrow && steps > 1;
  }
  return flips;
}
