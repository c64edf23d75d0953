// Attention on Hopper's tensor cores: masks and softmax of a tile of scores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace gpu {

using Predicate = LLVM::ICmpPredicate;

static constexpr double kMinusInfinity =
    -std::numeric_limits<double>::infinity();
/// -2^127; times log2 e it is still finite in f32.
static constexpr double kLeastMask = -0x1p127;
/// With it all finite scores are zeros, next to others.
static constexpr double kLeastScale = 0x1p-126;
static constexpr double kLog2E = 1.4426950408889634;

/// Register i of scores: row (i / 2 % 2), column 8 (i / 4) + i % 2 of the
/// thread's.
static int64_t columnOf(size_t i) { return 8 * (i / 4) + i % 2; }

Value AttentionKernel::number(double value) {
  return LLVM::ConstantOp::create(code, code.getF32Type(),
                                  code.getF32FloatAttr(value));
}

/// 2 ulp; results below 2^-126 are zero.
Value AttentionKernel::exp2(Value x) {
  return code
      .emitAsm("ex2.approx.ftz.f32 $0, $1;", "=f,f", code.getF32Type(), x)
      .front();
}

Value AttentionKernel::pack(Value low, Value high, Type type) {
  std::string text = std::string("cvt.rn.") +
                     (type.isBF16() ? "bf16x2" : "f16x2") + ".f32 $0, $1, $2;";
  return code.emitAsm(text, "=r,f,f", code.i32(), {high, low}).front();
}

Value AttentionKernel::reduce(Value x,
                              function_ref<Value(Value, Value)> combine) {
  for (int64_t distance : {1, 2}) {
    Value other = NVVM::ShflOp::create(code, code.getF32Type(), code.get(-1), x,
                                       code.get(distance), code.get(31),
                                       NVVM::ShflKind::bfly, UnitAttr());
    x = combine(x, other);
  }
  return x;
}

//===----------------------------------------------------------------------===//
// Scale
//===----------------------------------------------------------------------===//

/// Once for all tiles, if it is no number: what is loaded, in f32.
void AttentionKernel::findScale() {
  if (!shape.isScaleLoaded())
    return;
  Value scale = number(shape.scoreScale() * (isAdjusted() ? 1.0 : kLog2E));
  for (const TensorFactor *factor : {&shape.q.factor, &shape.k.factor})
    if (!factor->isNumber())
      scale = LLVM::FMulOp::create(code, scale, loadFactor(*factor));
  // Zero would make NaN of the scores of hidden keys.
  Value size = LLVM::FAbsOp::create(code, scale);
  size = LLVM::MaximumOp::create(code, size, number(kLeastScale));
  loadedScale = LLVM::CopySignOp::create(code, size, scale);
}

/// Of scores to exponents, without its sign (turnScores).
Value AttentionKernel::scoreFactor() {
  if (isAdjusted())
    return number(kLog2E);
  if (!loadedScale)
    return number(shape.scoreScale() * kLog2E);
  return LLVM::FAbsOp::create(code, loadedScale);
}

Value AttentionKernel::isScaleNegative() {
  return LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::olt, loadedScale,
                              number(0));
}

/// The largest score is to have the largest weight, but loaded factors could be
/// negative, though none should.
void AttentionKernel::turnScores(Values &scores) {
  if (!loadedScale || isAdjusted())
    return;
  branch(isScaleNegative(), scores, [&] {
    for (Value &score : scores)
      score = LLVM::FNegOp::create(code, score);
  });
}

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

/// A finite number of f32 or bf16 as a mask that stands for minus infinity.
/// Exponents count in powers of two: lower ones would overflow on the way.
Value AttentionKernel::bounded(Value mask) {
  Value least = number(kLeastMask);
  Value isLow =
      LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::olt, mask, least);
  Value isFinite = LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::one, mask,
                                        number(kMinusInfinity));
  return code.selectAny(LLVM::AndOp::create(code, isLow, isFinite), least,
                        mask);
}

/// softcap(x) = c * tanh(x / c), as on the FMA units.
Value AttentionKernel::capped(Value score) {
  Value cap = number(shape.softcap);
  Value ratio = LLVM::FDivOp::create(code, score, cap);
  return LLVM::FMulOp::create(code, math::TanhOp::create(code, ratio), cap);
}

Value AttentionKernel::masked(Value score, int64_t r, Int key) {
  const StridedTensor &m = *shape.mask;
  bool isBit = m.element.isInteger(1);
  int64_t bytes = m.element.isF32() ? 4 : isBit ? 1 : 2;
  Int offset = code.mul(code.min(key, shape.keys - 1), m.strides[3] * bytes);
  Type stored = isBit ? Type(code.getI8Type()) : m.element;
  Value value =
      LLVM::LoadOp::create(code, stored, code.at(maskRows[r], offset));
  if (isBit) {
    Value isSeen = LLVM::ICmpOp::create(code, Predicate::ne, value,
                                        code.constant(stored, 0));
    return code.selectAny(isSeen, score, number(kMinusInfinity));
  }
  if (!stored.isF32())
    value = LLVM::FPExtOp::create(code, code.getF32Type(), value);
  if (!stored.isF16())
    value = bounded(value);
  return LLVM::FAddOp::create(code, score, value);
}

/// Scale, softcap and mask, unless the scale alone, which the exponents take.
void AttentionKernel::adjust(Values &scores, Int tile) {
  if (!isAdjusted())
    return;
  Int first = code.add(code.mul(tile, schedule.keys), keyOfThread);
  Value scale = loadedScale ? loadedScale : number(shape.scoreScale());
  for (auto [i, score] : llvm::enumerate(scores)) {
    score = LLVM::FMulOp::create(code, score, scale);
    if (shape.softcap != 0)
      score = capped(score);
    if (shape.mask)
      score = masked(score, i / 2 % 2, code.add(first, columnOf(i)));
  }
}

/// Most tiles are seen by all rows.
void AttentionKernel::hideBeyond(Values &scores, Int tile) {
  Int first = code.mul(tile, schedule.keys);
  Value any =
      code.compare(Predicate::sgt, code.add(first, schedule.keys), allSee);
  branch(any, scores, [&] {
    Int mine = code.add(first, keyOfThread);
    Int left[] = {code.sub(ends[0], mine), code.sub(ends[1], mine)};
    Value nothing = number(kMinusInfinity);
    for (auto [i, score] : llvm::enumerate(scores))
      score = code.selectAny(
          code.compare(Predicate::sgt, left[i / 2 % 2], columnOf(i)), score,
          nothing);
  });
}

void AttentionKernel::branch(Value condition, Values &values,
                             function_ref<void()> then) {
  auto *inside = new Block(), *after = new Block();
  for (Value value : values)
    after->addArgument(value.getType(), code.getLoc());
  LLVM::CondBrOp::create(code, condition, inside, ValueRange(), after, values);
  code.startBlock(inside);
  then();
  LLVM::BrOp::create(code, values, after);
  code.startBlock(after);
  values.assign(after->args_begin(), after->args_end());
}

void AttentionKernel::whileLoop(ArrayRef<Value *> cells,
                                function_ref<Value()> ask,
                                function_ref<void()> round) {
  auto *header = new Block(), *inside = new Block(), *after = new Block();
  auto get = [&] {
    return llvm::map_to_vector(cells, [](Value *cell) { return *cell; });
  };
  SmallVector<Value> last;
  LLVM::BrOp::create(code, get(), header);
  code.startBlock(header);
  for (Value *cell : cells)
    last.push_back(*cell = header->addArgument(cell->getType(), code.getLoc()));
  LLVM::CondBrOp::create(code, ask(), inside, ValueRange(), after,
                         ValueRange());
  code.startBlock(inside);
  round();
  LLVM::BrOp::create(code, get(), header);
  code.startBlock(after);
  for (auto [cell, value] : llvm::zip(cells, last))
    *cell = value;
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// The largest score so far, the exponent that goes with it, and what that does
/// to earlier sums. An exponent is computed once and used for all weights, so
/// that its rounding is a common factor. NaN scores do not count here: their
/// weights are NaN anyway.
void AttentionKernel::findTop(ArrayRef<Value> scores, Value factor, unsigned r,
                              AttentionRows &rows) {
  auto larger = [&](Value x, Value y) -> Value {
    return LLVM::MaxNumOp::create(code, x, y);
  };
  Value best;
  for (size_t i = 2 * r; i < scores.size(); i += 4) {
    Value two = larger(scores[i], scores[i + 1]);
    best = best ? larger(best, two) : two;
  }
  Value top = larger(rows.top[r], reduce(best, larger));
  Value nothing = number(kMinusInfinity);
  auto isNothing = [&](Value x) -> Value {
    return LLVM::FCmpOp::create(code, LLVM::FCmpPredicate::oeq, x, nothing);
  };
  Value base = code.selectAny(isNothing(top), number(0), top);
  Value exponent = LLVM::FMAOp::create(code, LLVM::FNegOp::create(code, base),
                                       factor, number(kHeadroom));
  Value fade = exp2(LLVM::FSubOp::create(code, exponent, rows.exponent[r]));
  rows.fade[r] = code.selectAny(isNothing(rows.top[r]), number(0), fade);
  rows.top[r] = top;
  rows.exponent[r] = exponent;
}

void AttentionKernel::begin(AttentionRows &rows) {
  for (int64_t r : {0, 1}) {
    rows.top[r] = number(kMinusInfinity);
    rows.exponent[r] = rows.total[r] = number(0);
  }
}

/// Two pairs, as they are converted.
Value AttentionKernel::encodeWeights(ArrayRef<Value> four) {
  Type storage = shape.weightCodes->type;
  std::string convert = std::string("cvt.rn.satfinite.") +
                        (isa<Float8E5M2Type>(storage) ? "e5m2x2" : "e4m3x2") +
                        ".f32 ";
  std::string text = "{\n.reg .b16 l, h;\n" + convert + "l, $2, $1;\n" +
                     convert + "h, $4, $3;\nmov.b32 $0, {l, h};\n}";
  return code.emitAsm(text, "=r,f,f,f,f", code.i32(), Values(four)).front();
}

SmallVector<Value> AttentionKernel::packCodes(ArrayRef<Value> weights) {
  Values operands;
  for (size_t i = 0; i < weights.size(); i += 4)
    llvm::append_range(operands,
                       expandCodes(encodeWeights(weights.slice(i, 4)),
                                   shape.weightCodes->type, shape.narrow));
  return operands;
}

/// Weights as left operands of products: register pairs (row, columns 2 c..),
/// (row + 8, ..), (row, columns 8 + 2 c..), (row + 8, ..) for 16 keys (PTX ISA,
/// "wgmma register fragment A").
SmallVector<Value> AttentionKernel::pack(ArrayRef<Value> weights) {
  if (shape.weightCodes)
    return packCodes(weights);
  Values operands;
  for (size_t i = 0; i < weights.size(); i += 2)
    operands.push_back(pack(weights[i], weights[i + 1], shape.narrow));
  return operands;
}

void AttentionKernel::weigh(Values &scores, Int tile, AttentionRows &rows) {
  turnScores(scores);
  adjust(scores, tile);
  hideBeyond(scores, tile);
  if (!rows.share[0])
    return softmax(scores, rows);
  Value factor = scoreFactor();
  for (auto [i, score] : llvm::enumerate(scores)) {
    unsigned r = i / 2 % 2;
    score = exp2(LLVM::FMAOp::create(code, score, factor, rows.exponent[r]));
    score = LLVM::FMulOp::create(code, score, rows.share[r]);
  }
}

void AttentionKernel::softmax(Values &scores, AttentionRows &rows) {
  Value factor = scoreFactor();
  for (unsigned r : {0, 1}) {
    findTop(scores, factor, r, rows);
    Value sum;
    for (size_t i = 2 * r; i < scores.size(); i += 4)
      for (size_t e : {0, 1}) {
        Value &score = scores[i + e];
        score =
            exp2(LLVM::FMAOp::create(code, score, factor, rows.exponent[r]));
        sum = sum ? LLVM::FAddOp::create(code, sum, score).getResult() : score;
      }
    rows.total[r] = LLVM::FMAOp::create(code, rows.total[r], rows.fade[r], sum);
  }
}

} // namespace gpu
} // namespace nibble
