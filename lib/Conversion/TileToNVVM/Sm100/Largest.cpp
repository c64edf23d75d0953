// Maxima of what one thread has.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Largest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble::tilecode;

namespace nibble {
namespace sm100 {

/// The floats that `bits` are magnitudes of: all bits but the sign.
static Value findFloats(Value bits) {
  auto magnitude = bits.getDefiningOp<arith::AndIOp>();
  auto cast = magnitude ? magnitude.getLhs().getDefiningOp<arith::BitcastOp>()
                        : arith::BitcastOp();
  DenseElementsAttr mask;
  if (!cast || !isa<FloatType>(getElementTypeOrSelf(cast.getIn())) ||
      !matchPattern(magnitude.getRhs(), m_Constant(&mask)) || !mask.isSplat() ||
      !mask.getSplatValue<APInt>().isMaxSignedValue())
    return Value();
  return cast.getIn();
}

/// All words of 32 bits.
static SmallVector<Value> getWords(Code &code, ArrayRef<Value> vectors) {
  SmallVector<Value> words;
  for (Value vector : vectors) {
    auto type = cast<VectorType>(vector.getType());
    int64_t count = type.getNumElements() * type.getElementTypeBitWidth() / 32;
    Value all = vector::BitCastOp::create(
        code, VectorType::get(count, code.i32()), vector);
    for (int64_t i = 0; i < count; ++i)
      words.push_back(vector::ExtractOp::create(code, all, i));
  }
  return words;
}

/// Signs are no part of the comparison: each instruction makes some, the last
/// one takes them off.
static Value findLargestHalf(Code &code, SmallVector<Value> words,
                             StringRef type) {
  std::string instruction = ("max.NaN.xorsign.abs." + type).str();
  while (words.size() > 1) {
    SmallVector<Value> next;
    for (size_t i = 0; i + 1 < words.size(); i += 2)
      next.push_back(code.emitAsm(instruction + " $0, $1, $2;", "=r,r,r",
                                  code.i32(), {words[i], words[i + 1]})[0]);
    if (words.size() % 2)
      next.push_back(words.back());
    words = next;
  }
  Value largest = code.emitAsm(
      "{ .reg .b16 l, h; .reg .b32 r; mov.b32 {l, h}, $1; mov.b32 r, {h, l}; " +
          instruction + " $0, $1, r; }",
      "=r,r", code.i32(), words[0])[0];
  largest = code.get(code.bitAnd(largest, 0x7fff));
  return LLVM::TruncOp::create(code, code.i16(), largest);
}

/// Three at once.
static Value findLargestFloat(Code &code, SmallVector<Value> words) {
  while (words.size() > 1) {
    SmallVector<Value> next;
    for (size_t i = 0; i < words.size(); i += 3) {
      auto part =
          ArrayRef(words).slice(i, std::min<size_t>(3, words.size() - i));
      next.push_back(part.size() == 1
                         ? part[0]
                         : code.emitAsm("max.NaN.abs.f32 $0, $1, $2, $3;",
                                        "=r,r,r,r", code.i32(),
                                        {part[0], part[1], part.back()})[0]);
    }
    words = next;
  }
  return words[0];
}

static Value findLargestInteger(Code &code, ArrayRef<Value> vectors) {
  Value most = vectors[0];
  for (Value vector : vectors.drop_front())
    most = arith::MaxUIOp::create(code, most, vector);
  return vector::ReductionOp::create(code, vector::CombiningKind::MAXUI, most);
}

Value findLargest(Code &code, ArrayRef<Value> vectors) {
  SmallVector<Value> floats;
  for (Value vector : vectors)
    if (Value numbers = findFloats(vector))
      floats.push_back(numbers);
  auto type = cast<VectorType>(vectors[0].getType());
  bool isWords =
      type.getNumElements() * type.getElementTypeBitWidth() % 32 == 0;
  if (floats.size() != vectors.size() || !isWords)
    return findLargestInteger(code, vectors);
  Type element = getElementTypeOrSelf(floats[0]);
  SmallVector<Value> words = getWords(code, floats);
  if (element.isF32())
    return findLargestFloat(code, words);
  return findLargestHalf(code, words, element.isBF16() ? "bf16x2" : "f16x2");
}

} // namespace sm100
} // namespace nibble
