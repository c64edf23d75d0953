// Softcap, mask and softmax of the score rows of a block, in place.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionEmitter.h"
#include "QuantizeRecipes.h"

#include "mlir/Dialect/Math/IR/Math.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace cpu {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();

static Value splatLike(GemmCode &code, Type type, double value) {
  return arith::ConstantOp::create(
      code.b, DenseElementsAttr::get(cast<ShapedType>(type),
                                     code.b.getF32FloatAttr(value)));
}

static Value constantF32(GemmCode &code, double value) {
  return arith::ConstantOp::create(code.b, code.b.getF32FloatAttr(value));
}

void AttentionEmitter::emitSoftmax() {
  code.loop(code.index(0), code.sub(rowTo, rowFrom), 1,
            [&](Value row) { softmaxRow(row); });
}

//===----------------------------------------------------------------------===//
// Softcap and mask
//===----------------------------------------------------------------------===//

Value AttentionEmitter::loadMask(Value at, int64_t lanes) {
  bool repeats = plan.maskStrides[3] == 0;
  Value mask = code.load(args.mask, at, repeats ? 1 : lanes);
  if (!repeats || lanes == 1)
    return mask;
  Value one = vector::ExtractOp::create(code.b, mask, int64_t(0));
  return vector::BroadcastOp::create(code.b, code.vec(lanes, one.getType()),
                                     one);
}

/// Scores of the keys from `key` on, of one lane each. `maskAt`: place of the
/// mask of key 0.
Value AttentionEmitter::adjust(Value x, Value key, Value maskAt) {
  ImplicitLocOpBuilder &b = code.b;
  Type type = x.getType();
  if (plan.softcap != 0) {
    Value cap = splatLike(code, type, plan.softcap);
    Value ratio = arith::DivFOp::create(b, x, cap);
    x = arith::MulFOp::create(b, math::TanhOp::create(b, ratio), cap);
  }
  if (!args.mask)
    return x;
  int64_t lanes = cast<VectorType>(type).getDimSize(0);
  Value mask =
      loadMask(code.add(maskAt, code.mul(key, plan.maskStrides[3])), lanes);
  if (isa<FloatType>(getElementTypeOrSelf(mask)))
    return arith::AddFOp::create(b, x, code.toF32(mask));
  auto bytes = cast<VectorType>(mask.getType());
  Value isSeen = arith::CmpIOp::create(b, arith::CmpIPredicate::ne, mask,
                                       code.splat(bytes, 0));
  return arith::SelectOp::create(b, isSeen, x,
                                 splatLike(code, type, kMinusInfinity));
}

/// Place of the mask of a row of the stack and key 0.
Value AttentionEmitter::placeOfMask(Value row) {
  Value query = row, own = head;
  if (plan.stack > 1) {
    query = code.rem(row, plan.queries);
    own = code.add(head, code.div(row, plan.queries));
  }
  Value batch = code.div(own, plan.heads), inBatch = code.rem(own, plan.heads);
  return code.add(code.mul(batch, plan.maskStrides[0]),
                  code.add(code.mul(inBatch, plan.maskStrides[1]),
                           code.mul(query, plan.maskStrides[2])));
}

/// Scores [0, limit) of the row at `at`; `row` is its number in the stack.
void AttentionEmitter::adjustRow(Value at, Value limit, Value row) {
  Value maskAt = args.mask ? placeOfMask(row) : Value();
  auto range = [&](Value from, Value to, int64_t lanes) {
    code.loop(from, to, lanes, [&](Value key) {
      Value place = code.add(at, key);
      code.store(adjust(code.load(scores, place, lanes), key, maskAt), scores,
                 place);
    });
  };
  Value whole = code.mul(code.div(limit, 8), 8);
  range(code.index(0), whole, 8);
  range(whole, limit, 1);
}

//===----------------------------------------------------------------------===//
// Softmax
//===----------------------------------------------------------------------===//

/// Whole vectors: scores behind `limit` are no scores. Returns their end.
Value AttentionEmitter::padRow(Value at, Value limit) {
  Value end = code.mul(code.div(code.add(limit, 7), 8), 8);
  if (plan.causal || plan.lengths || plan.keys % 8)
    code.loop(limit, end, 1, [&](Value i) {
      code.store(constantF32(code, kMinusInfinity), scores, code.add(at, i));
    });
  return end;
}

/// The larger one; a NaN is none.
Value AttentionEmitter::largest(Value x, Value y) {
  Value isLarger =
      arith::CmpFOp::create(code.b, arith::CmpFPredicate::OGT, x, y);
  return arith::SelectOp::create(code.b, isLarger, x, y);
}

Value AttentionEmitter::maximumOf(Value at, Value end) {
  constexpr int64_t lanes = 32;
  SmallVector<Value> start(lanes / 8, code.splatF(kMinusInfinity));
  Value whole = code.mul(code.div(end, lanes), lanes);
  auto load = [&](Value i, int64_t offset) {
    return code.load(scores, code.add(code.add(at, i), offset), 8);
  };
  auto wide = code.loop(code.index(0), whole, lanes, start,
                        [&](Value i, ValueRange carried) {
                          SmallVector<Value> next;
                          for (auto [j, x] : llvm::enumerate(carried))
                            next.push_back(largest(load(i, 8 * j), x));
                          return next;
                        });
  Value all = largest(largest(wide[0], wide[1]), largest(wide[2], wide[3]));
  all = code.loop(whole, end, 8, ValueRange{all},
                  [&](Value i, ValueRange carried) {
                    return SmallVector<Value>{largest(load(i, 0), carried[0])};
                  })[0];
  return vector::ReductionOp::create(code.b, vector::CombiningKind::MAXNUMF,
                                     all, arith::FastMathFlags::nnan);
}

/// exp(x) for x <= 0, within 2 ulp; below 2^-126 it is zero. As exp of
/// cpu-expand-math, without what only other arguments need. NaN stays.
Value AttentionEmitter::exponential(Value x) {
  ImplicitLocOpBuilder &b = code.b;
  constexpr double magic = 0x1.8p23, lowest = -127 * 0.693147180559945309;
  auto c = [&](double value) { return code.splatF(value); };
  auto ints = code.vec(8, b.getI32Type());
  // 2^-127 becomes zero, which has the exponent in front of 2^-126.
  Value isLow =
      arith::CmpFOp::create(b, arith::CmpFPredicate::OLT, x, c(lowest));
  x = arith::SelectOp::create(b, isLow, c(lowest), x);
  // x = n ln 2 + r; n stands in the low bits of the sum.
  Value sum = code.fma(x, c(1.44269504088896340736), c(magic));
  Value n = arith::SubFOp::create(b, sum, c(magic));
  Value r = code.fma(n, c(-0x1.62e4p-1), x);
  r = code.fma(n, c(-0x1.7f7d1cp-20), r);
  Value p = c(0.00139262508315);
  for (double factor : {0.00836323288368, 0.041666554213, 0.166665766661, 0.5})
    p = code.fma(p, r, c(factor));
  p = code.fma(p, code.mulF(r, r), r);
  p = arith::AddFOp::create(b, p, c(1));
  Value bits = arith::ShLIOp::create(b, code.bitcast(sum, b.getI32Type()),
                                     code.splat(ints, 23));
  bits = arith::AddIOp::create(b, bits, code.splat(ints, 127 << 23));
  return code.mulF(p, code.bitcast(bits, code.f32()));
}

/// Scores [0, end) of a row become exp(score - top); their sum in 8 lanes.
Value AttentionEmitter::exponentials(Value at, Value end, Value top) {
  constexpr int64_t lanes = 16;
  auto one = [&](Value i, int64_t offset, Value sum) {
    Value place = code.add(code.add(at, i), offset);
    Value e = exponential(
        arith::SubFOp::create(code.b, code.load(scores, place, 8), top));
    code.store(e, scores, place);
    return arith::AddFOp::create(code.b, sum, e).getResult();
  };
  Value whole = code.mul(code.div(end, lanes), lanes);
  SmallVector<Value> zeros(2, code.zero());
  auto wide = code.loop(
      code.index(0), whole, lanes, zeros, [&](Value i, ValueRange sums) {
        return SmallVector<Value>{one(i, 0, sums[0]), one(i, 8, sums[1])};
      });
  Value sum = arith::AddFOp::create(code.b, wide[0], wide[1]);
  return code.loop(whole, end, 8, ValueRange{sum},
                   [&](Value i, ValueRange sums) {
                     return SmallVector<Value>{one(i, 0, sums[0])};
                   })[0];
}

/// Keys that a row of the stack sees: the first ones.
Value AttentionEmitter::visibleKeys(Value row) {
  if (!plan.causal)
    return filled;
  Value query = plan.stack == 1 ? row : code.rem(row, plan.queries);
  return keysBefore(code.add(query, 1));
}

/// A row that sees nothing gets weights of zero, and not NaN.
void AttentionEmitter::normalizeRow(Value at, Value end) {
  ImplicitLocOpBuilder &b = code.b;
  Value top = maximumOf(at, end), zero = constantF32(code, 0);
  Value nothing = arith::CmpFOp::create(b, arith::CmpFPredicate::OEQ, top,
                                        constantF32(code, kMinusInfinity));
  auto unlessNothing = [&](Value x) {
    Value chosen = arith::SelectOp::create(b, nothing, zero, x);
    return code.broadcast(chosen);
  };
  Value sum = exponentials(at, end, unlessNothing(top));
  Value total = vector::ReductionOp::create(b, vector::CombiningKind::ADD, sum,
                                            arith::FastMathFlags::reassoc);
  if (plan.codes)
    return quantizeRow(at, end, code.broadcast(total), nothing);
  Value factor =
      unlessNothing(arith::DivFOp::create(b, constantF32(code, 1), total));
  code.loop(code.index(0), end, 8, [&](Value i) {
    Value place = code.add(at, i);
    code.store(code.mulF(code.load(scores, place, 8), factor), scores, place);
  });
}

/// What codes of the weights stand for. Quotients, and not products with a
/// reciprocal, so that weights with an exact value have its code.
void AttentionEmitter::quantizeRow(Value at, Value end, Value total,
                                   Value nothing) {
  double scale = plan.codes->scale;
  code.loop(code.index(0), end, 8, [&](Value i) {
    Value place = code.add(at, i);
    Lanes x{&code.b, code.load(scores, place, 8)};
    x = codeNumber(x / x.wrap(total) / scale, plan.codes->type) * scale;
    code.store(select(x.wrap(nothing), x.c(0.0), x).v, scores, place);
  });
}

void AttentionEmitter::softmaxRow(Value row) {
  Value at = code.mul(row, plan.pitch), inStack = code.add(row, rowFrom);
  Value limit = visibleKeys(inStack);
  if (plan.adjusts())
    adjustRow(at, limit, inStack);
  Value end = padRow(at, limit);
  normalizeRow(at, end);
  if (!plan.causal)
    return;
  // Other rows of the block see more.
  code.loop(end, code.mul(code.div(code.add(keyEnd, 7), 8), 8), 8,
            [&](Value i) { code.store(code.zero(), scores, code.add(at, i)); });
}

} // namespace cpu
} // namespace nibble
