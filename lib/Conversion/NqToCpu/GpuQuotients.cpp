// Quotients by a scale that lanes share, on GPUs, as codes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuQuotients.h"

#include "BlackwellCodes.h"
#include "GpuCode.h"
#include "PackedHalves.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace cpu {

static Lanes fma(Lanes x, Lanes y, Lanes z) {
  return x.wrap(math::FmaOp::create(*x.b, x.v, y.v, z.v));
}
static Lanes negate(Lanes x) {
  return x.wrap(arith::NegFOp::create(*x.b, x.v));
}
static Lanes magnitude(Lanes x) { return (x.asInt() & 0x7fffffff).asF32(); }
static Lanes isLess(Lanes x, Lanes y) {
  return compareFloat(arith::CmpFPredicate::OLT, x, y);
}
static Lanes widen(Lanes scalar, Type type) {
  if (scalar.type() == type)
    return scalar;
  return scalar.wrap(vector::BroadcastOp::create(*scalar.b, type, scalar.v));
}

std::optional<Lanes> scalarOf(Lanes x) {
  auto uniform = x.v.getDefiningOp<vector::BroadcastOp>();
  if (!uniform || !isGpuCode(*x.b) ||
      isa<VectorType>(uniform.getSource().getType()))
    return std::nullopt;
  return x.wrap(uniform.getSource());
}

/// True in an epilogue on tensor cores for what follows from maxima of blocks
/// alone: it is computed once per block, quotients once per element.
static bool isOfBlock(Lanes x) {
  Operation *op = x.v.getDefiningOp();
  Block *body = op && !mayBranch(*x.b) ? op->getBlock() : nullptr;
  llvm::DenseSet<Value> seen;
  SmallVector<Value> todo{x.v};
  bool found = false;
  while (body && !todo.empty()) {
    Value next = todo.pop_back_val();
    if (next.getParentBlock() != body || !seen.insert(next).second)
      continue;
    Operation *from = next.getDefiningOp();
    if (!from)
      return false;
    if (from->getName().getStringRef() == "tile.block_max")
      found = true;
    else
      llvm::append_range(todo, from->getOperands());
  }
  return found;
}

static int64_t bitsOf(double number) {
  return int64_t(llvm::bit_cast<uint32_t>(float(number)));
}

/// s in [least, above), numbers of which none is negative.
static Lanes isIn(Lanes s, double least, double above) {
  return compareInt(arith::CmpIPredicate::ult, s.asInt() - bitsOf(least),
                    bitsOf(above) - bitsOf(least));
}

/// What `fast` gives if `inRange`, else what `slow` does.
static ValueRange choosePath(Lanes inRange, TypeRange types,
                             llvm::function_ref<SmallVector<Value>()> fast,
                             llvm::function_ref<SmallVector<Value>()> slow) {
  ImplicitLocOpBuilder &b = *inRange.b;
  auto branch = scf::IfOp::create(b, types, inRange.v, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, fast());
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, slow());
  return branch.getResults();
}

//===----------------------------------------------------------------------===//
// Reciprocals
//===----------------------------------------------------------------------===//

Lanes Reciprocal::times(Lanes x) const {
  return fma(x, widen(high, x.type()), x * widen(low, x.type()));
}

/// Where quotients by s and their parts do not leave the range of f32, but for
/// those that encode to the largest number or to zero.
static constexpr double kLeast = 0x1p-60, kMost = 0x1p60;

static Lanes residual(Lanes s, Lanes reciprocal) {
  return fma(negate(reciprocal), s, s.c(1.0));
}

static Lanes below(Lanes x) { return (x.asInt() - int64_t(1)).asF32(); }

/// Of 1 / s, rounded to nearest or next to it, the part `high`: rounded toward
/// zero.
static Lanes roundDown(Lanes s, Lanes nearest) {
  return select(isLess(residual(s, nearest), s.c(0.0)), below(nearest),
                nearest);
}

/// As text, which has no effects: what is computed twice is merged.
Lanes roughReciprocal(Lanes s) {
  return s.wrap(emitInstruction(*s.b, s.b->getLoc(),
                                "rcp.approx.ftz.f32 $0, $1;", "=f,f", s.type(),
                                s.v));
}

Reciprocal quickReciprocal(Lanes s) {
  Lanes rough = roughReciprocal(s);
  Lanes nearest = fma(rough, residual(s, rough), rough);
  Lanes high = roundDown(s, nearest);
  // The residual over s, corrected once; what would be a tie is above it, as
  // `high` is too small.
  Lanes rest = residual(s, high), low = rest * high;
  Lanes above = (high.asInt() + int64_t(1)).asF32();
  low = fma(fma(negate(low), s, rest), above, low);
  return {high,
          low.wrap(arith::MaxNumFOp::create(*s.b, low.v, (high * 0x1p-60).v))};
}

Reciprocal anyReciprocal(Lanes s) {
  Lanes nearest = 1.0 / s;
  Lanes isInfinite = magnitude(nearest).asInt() == 0x7f800000;
  Lanes high = select(isInfinite, below(nearest), roundDown(s, nearest));
  // Not zero, and of the sign of `high`: see divideForCode.
  Lanes size = magnitude(residual(s, high) / s);
  Lanes least = magnitude(high) * 0x1p-60 + 0x1p-149;
  size = select(isLess(size, least), least, size);
  // 0 / 0 must be NaN, but 0 divided by a tiny number 0.
  Lanes isDivisor = compareFloat(arith::CmpFPredicate::ONE, s, s.c(0.0));
  Lanes limited = minFloat(size, std::numeric_limits<float>::max());
  size = select(isDivisor, limited, size);
  size = select(magnitude(s).asInt() == 0x7f800000, s.c(0.0), size);
  return {high, s.wrap(math::CopySignOp::create(*s.b, size.v, high.v))};
}

/// Kernels on tensor cores have one number in many for which this is computed,
/// and no branches.
static Reciprocal reciprocal(Lanes s) {
  if (!mayBranch(*s.b))
    return anyReciprocal(s);
  auto parts = [](Reciprocal r) {
    return SmallVector<Value>{r.high.v, r.low.v};
  };
  ValueRange results = choosePath(
      isIn(s, kLeast, kMost), {s.type(), s.type()},
      [&] { return parts(quickReciprocal(s)); },
      [&] { return parts(anyReciprocal(s)); });
  return {s.wrap(results[0]), s.wrap(results[1])};
}

/// Lanes that share the scale multiply by both parts of its reciprocal. That
/// can differ from the rounded quotient only where this is half an ulp from a
/// tie of the format (to 2^-22 ulp); the few x and scales with that property
/// have the same codes (GpuArithmetic.DivisionForCodes tries all). Parts of one
/// sign make infinity of infinity, never NaN.
Lanes divideForCode(Lanes x, Lanes scale) {
  if (auto s = scalarOf(scale))
    return reciprocal(*s).times(x);
  return isOfBlock(scale) ? anyReciprocal(scale).times(x) : x / scale;
}

/// x / s, rounded, with r = 1 / s to an ulp or better: what compilers make of a
/// quotient, without the cases that need care. By 6, too (all fractions were
/// tried).
static Lanes quickQuotient(Lanes x, Lanes s, Lanes r) {
  Lanes q = x * r;
  return fma(fma(negate(q), s, x), r, q);
}

/// Where x / 6 is denormal and not rounded like that, the code is 0. The
/// reciprocal of s is there before x, as a rule.
Lanes sixthForCode(Lanes x, Lanes s) {
  if (!mayBranch(*x.b))
    if (auto quotient = sixthOfHalf(x, s))
      return *quotient;
  if (!isGpuCode(*x.b) || !mayBranch(*x.b) || isa<VectorType>(x.type()) ||
      isa<VectorType>(s.type()))
    return x / 6.0 / s;
  Lanes rough = roughReciprocal(s);
  Lanes r = fma(rough, residual(s, rough), rough);
  Lanes inRange = x.wrap(arith::AndIOp::create(*x.b, isIn(s, kLeast, kMost).v,
                                               isIn(x, 0, kMost).v));
  return x.wrap(choosePath(
      inRange, x.type(),
      [&]() -> SmallVector<Value> {
        Lanes sixth = quickQuotient(x, x.c(6.0), x.c(1.0f / 6.0f));
        return {quickQuotient(sixth, s, r).v};
      },
      [&]() -> SmallVector<Value> { return {(x / 6.0 / s).v}; })[0]);
}

//===----------------------------------------------------------------------===//
// E2M1
//===----------------------------------------------------------------------===//

/// Code of |q| with the sign of x, as i32: the last four bits. The code is
/// min(2 q, q + 2, q / 2 + 4), which are the steps 1/2 below 2, 1 below 4, and
/// 2, rounded to even; sums with 3 2^22 have such units. Minima are of bits.
/// Most of it is what FMA units do.
static Lanes e2m1OfQuotient(Lanes q, Lanes x) {
  constexpr double kUnits = 0x1.8p23, kSign = 4;
  double base = kUnits + kSign;
  Lanes small = fma(q, q.c(2.0), q.c(base)), middle = q + (base + 2),
        large = fma(q, q.c(0.5), q.c(base + 4));
  auto least = [](Lanes a, Lanes b) {
    return a.wrap(arith::MinUIOp::create(*a.b, a.v, b.v));
  };
  Lanes code = least(least(small.asInt(), middle.asInt()), large.asInt());
  code = least(code, q.c(base + 7).asInt());
  Lanes sign = x.c(kSign);
  sign = x.wrap(math::CopySignOp::create(*x.b, sign.v, x.v));
  return (code.asF32() - sign).asInt();
}

static Lanes e2m1Code(Lanes x, Lanes s) {
  Lanes size = x.wrap(math::AbsFOp::create(*x.b, x.v));
  return e2m1OfQuotient(quickReciprocal(s).times(size), x);
}

/// Words of codes, taken apart again, which where they are stored undoes. Zero
/// is a scale of f16 only: next to it, bf16 has numbers that are too small.
static Lanes e2m1OfPairs(const PackedHalves &pairs, Lanes x, Lanes s,
                         llvm::function_ref<Lanes()> byDivision) {
  ImplicitLocOpBuilder &b = *x.b;
  auto type = VectorType::get(cast<VectorType>(x.type()).getNumElements() / 8,
                              b.getI32Type());
  ValueRange words = choosePath(
      isIn(s, pairs.isBf16 ? 0x1p-80 : 0,
           std::numeric_limits<float>::infinity()),
      type,
      [&]() -> SmallVector<Value> {
        return {vector::FromElementsOp::create(b, type, e2m1Words(pairs, s))};
      },
      [&]() -> SmallVector<Value> { return {packNibbles(b, byDivision().v)}; });
  return x.wrap(unpackNibbles(b, words[0]));
}

std::optional<Lanes> e2m1CodeOnGpu(Lanes x, Lanes scale,
                                   llvm::function_ref<Lanes()> byDivision) {
  auto s = scalarOf(scale);
  if (s)
    if (auto codes = e2m1OfQuotients(x, *s))
      return codes;
  if (isOfBlock(scale))
    return e2m1PairCodes(x, scale);
  if (!s)
    return std::nullopt;
  if (auto pairs = findPackedHalves(x))
    return e2m1OfPairs(*pairs, x, *s, byDivision);
  // A scale in this range has no NaN in its block.
  ValueRange codes = choosePath(
      isIn(*s, kLeast, kMost), x.intType(32),
      [&]() -> SmallVector<Value> { return {e2m1Code(x, *s).v}; },
      [&]() -> SmallVector<Value> { return {byDivision().v}; });
  return (x.wrap(codes[0]) & 15).resize(8);
}

} // namespace cpu
} // namespace nibble
