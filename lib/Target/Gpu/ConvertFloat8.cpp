// gpu-convert-float8: conversions of FP8 as instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "NumberPatterns.h"
#include "Passes.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

bool isFloat8(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(getElementTypeOrSelf(type));
}

//===----------------------------------------------------------------------===//
// Bounds
//===----------------------------------------------------------------------===//

/// A number between two bounds.
struct Clamped {
  Value inside;
  double low, high;
  bool keepsNan;
};

/// min(max(x, low), high) or max(min(x, high), low).
std::optional<Clamped> matchClamp(Value value) {
  auto isUpper = [&](Value v) {
    return matchConstant<arith::MinimumFOp, arith::MinNumFOp>(v);
  };
  auto isLower = [&](Value v) {
    return matchConstant<arith::MaximumFOp, arith::MaxNumFOp>(v);
  };
  auto upper = isUpper(value), lower = isLower(value);
  bool isUpperLast = upper.has_value();
  if (upper)
    lower = isLower(upper->first);
  else if (lower)
    upper = isUpper(lower->first);
  if (!upper || !lower)
    return std::nullopt;
  Value between = isUpperLast ? upper->first : lower->first;
  bool keepsNan =
      isa<arith::MinimumFOp, arith::MaximumFOp>(value.getDefiningOp()) &&
      isa<arith::MinimumFOp, arith::MaximumFOp>(between.getDefiningOp());
  Value inside = isUpperLast ? lower->first : upper->first;
  return Clamped{inside, lower->second, upper->second, keepsNan};
}

//===----------------------------------------------------------------------===//
// To FP8
//===----------------------------------------------------------------------===//

/// `one` if |x| rounds to more than the largest number. The instruction gives
/// the largest; the code after it is NaN (E4M3) or infinity (E5M2).
Value getOverflow(ImplicitLocOpBuilder &b, Value x, bool isE5M2, int64_t one) {
  Value size = math::AbsFOp::create(b, x);
  double limit = isE5M2 ? 61440.0 : 464.0; // ties go to even
  Value bound = arith::ConstantOp::create(b, b.getF32FloatAttr(limit));
  Value over = arith::CmpFOp::create(
      b, isE5M2 ? arith::CmpFPredicate::OGE : arith::CmpFPredicate::OGT, size,
      bound);
  return arith::SelectOp::create(
      b, over, arith::ConstantOp::create(b, b.getI16IntegerAttr(one)),
      arith::ConstantOp::create(b, b.getI16IntegerAttr(0)));
}

/// Codes of two numbers, as an i16 with that of `low` in the low byte.
Value encodePair(ImplicitLocOpBuilder &b, Value low, Value high, Type format,
                 bool isInRange) {
  Value zero = high ? high : arith::ConstantOp::create(b, b.getF32FloatAttr(0));
  Value pair = NVVM::ConvertF32x2ToF8x2Op::create(
      b, b.getI16Type(), zero, low, NVVM::FPRoundingMode::RN,
      NVVM::SaturationMode::SATFINITE, false, format);
  if (isInRange)
    return pair;
  bool isE5M2 = isa<Float8E5M2Type>(format);
  pair = arith::AddIOp::create(b, pair, getOverflow(b, low, isE5M2, 1));
  if (high)
    pair = arith::AddIOp::create(b, pair, getOverflow(b, high, isE5M2, 256));
  return pair;
}

/// Codes of an even count of numbers as bytes: pairs are not taken apart.
Value encodePairs(ImplicitLocOpBuilder &b, ArrayRef<Value> numbers, Type format,
                  bool isInRange) {
  SmallVector<Value> pairs;
  for (size_t i = 0; i < numbers.size(); i += 2)
    pairs.push_back(
        encodePair(b, numbers[i], numbers[i + 1], format, isInRange));
  Value all =
      pack(b, VectorType::get(int64_t(pairs.size()), b.getI16Type()), pairs);
  auto bytes = VectorType::get(int64_t(numbers.size()), b.getI8Type());
  return LLVM::BitcastOp::create(b, bytes, all);
}

/// Bytes of a pair, as many as are needed.
void addBytes(ImplicitLocOpBuilder &b, Value pair, bool both,
              SmallVectorImpl<Value> &bytes) {
  auto two = VectorType::get(2, b.getI8Type());
  Value codes = LLVM::BitcastOp::create(b, two, pair);
  for (int64_t i = 0; i < (both ? 2 : 1); ++i)
    bytes.push_back(vector::ExtractOp::create(b, codes, i));
}

struct ConvertToFloat8 : OpRewritePattern<arith::TruncFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::TruncFOp op,
                                PatternRewriter &rewriter) const final {
    Type type = op.getType(), format = getElementTypeOrSelf(type);
    if (!isFloat8(type) || !isFlat(type) ||
        !getElementTypeOrSelf(op.getIn()).isF32())
      return rewriter.notifyMatchFailure(op, "not f32 to E4M3FN or E5M2");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Value source = op.getIn();
    double largest = isa<Float8E5M2Type>(format) ? 57344 : 448;
    auto clamped = matchClamp(source);
    bool isInRange =
        clamped && clamped->low >= -largest && clamped->high <= largest;
    // The instruction has these bounds itself.
    if (isInRange && clamped->low == -largest && clamped->high == largest &&
        clamped->keepsNan)
      source = clamped->inside;
    SmallVector<Value> numbers = unpack(b, source), bytes;
    if (numbers.size() % 2 == 0) {
      rewriter.replaceOpWithNewOp<arith::BitcastOp>(
          op, type, encodePairs(b, numbers, format, isInRange));
      return success();
    }
    for (size_t i = 0; i < numbers.size(); i += 2) {
      Value high = i + 1 < numbers.size() ? numbers[i + 1] : Value();
      addBytes(b, encodePair(b, numbers[i], high, format, isInRange),
               bool(high), bytes);
    }
    rewriter.replaceOpWithNewOp<arith::BitcastOp>(op, type,
                                                  pack(b, type, bytes));
    return success();
  }
};

//===----------------------------------------------------------------------===//
// From FP8
//===----------------------------------------------------------------------===//

SmallVector<Value> decodeAll(ImplicitLocOpBuilder &b, ArrayRef<Value> bytes,
                             Type format) {
  SmallVector<Value> numbers;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    Value pair[] = {bytes[i], bytes[std::min(i + 1, bytes.size() - 1)]};
    Value codes = vector::FromElementsOp::create(
        b, VectorType::get(2, b.getI8Type()), pair);
    Value halves = NVVM::ConvertF8x2ToF16x2Op::create(
        b, VectorType::get(2, b.getF16Type()), codes, false, format);
    for (int64_t e = 0; e < 2 && i + e < bytes.size(); ++e)
      numbers.push_back(vector::ExtractOp::create(b, halves, e));
  }
  return numbers;
}

struct ConvertFromFloat8 : OpRewritePattern<arith::ExtFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::ExtFOp op,
                                PatternRewriter &rewriter) const final {
    Type source = op.getIn().getType(), wide = getElementTypeOrSelf(op);
    if (!isFloat8(source) || !isFlat(source) || wide.isF64())
      return rewriter.notifyMatchFailure(op, "not E4M3FN or E5M2 to f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Type stored = b.getI8Type();
    if (auto vector = dyn_cast<VectorType>(source))
      stored = vector.clone(stored);
    Value bits = arith::BitcastOp::create(b, stored, op.getIn());
    SmallVector<Value> numbers =
        decodeAll(b, unpack(b, bits), getElementTypeOrSelf(source));
    for (Value &number : numbers) {
      if (!wide.isF16())
        number = arith::ExtFOp::create(b, b.getF32Type(), number);
      if (wide.isBF16()) // exact
        number = arith::TruncFOp::create(b, wide, number);
    }
    rewriter.replaceOp(op, pack(b, op.getType(), numbers));
    return success();
  }
};

class ConvertFloat8 : public NumberPass<ConvertFloat8> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertFloat8)
  StringRef getArgument() const final { return "gpu-convert-float8"; }
  StringRef getDescription() const final {
    return "Convert f32 to FP8 and FP8 to f32, f16 or bf16 by instructions";
  }
  void runOnOperation() final {
    RewritePatternSet patterns(&getContext());
    patterns.add<ConvertToFloat8, ConvertFromFloat8>(&getContext());
    apply(std::move(patterns));
  }
};

} // namespace

std::unique_ptr<Pass> createConvertFloat8Pass() {
  return std::make_unique<ConvertFloat8>();
}

} // namespace gpu
} // namespace nibble
