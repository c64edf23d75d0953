// Math functions as polynomials, for f32 and f64, scalars and vectors.
//
// exp, exp2, tanh and erf have f32 versions, as they are in every model; all
// others are computed in f64 and rounded. f16 and bf16 go through f32.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "FloatExpr.h"
#include "Passes.h"

#include "mlir/Dialect/Math/Transforms/Passes.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

#include <cmath>
#include <limits>

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kPi = 3.14159265358979323846;
constexpr double kLn2 = 0.693147180559945309417;
constexpr double kLog2e = 1.44269504088896340736;
// ln 2 and pi/2 as sums, each part exact in its type (f64: 33 + 53 bits).
constexpr double kLn2High64 = 0x1.62e42fee00000p-1,
                 kLn2Low64 = 0x1.a39ef35793c76p-33;
constexpr double kLn2High32 = 0x1.62e4p-1, kLn2Low32 = 0x1.7f7d1cp-20;
constexpr double kHalfPi[3] = {0x1.921fb54442d18p+0, 0x1.1a62633145c07p-54,
                               -0x1.f1976b7ed8fbcp-110};

/// x rounded to an integer by adding 1.5 * 2^23 (2^52): the sum has the integer
/// in its low bits, so that no conversion (poison for NaN) is needed.
struct Rounded {
  Fx value;
  Value integer;
};
Rounded roundToInt(Fx x) {
  double magic = x.isF64() ? 0x1.8p52 : 0x1.8p23;
  Fx sum = x + magic;
  Value offset = sum.c(magic).bits();
  return {sum - magic, arith::SubIOp::create(*x.b, sum.bits(), offset)};
}

/// x * 2^n for |n| up to 2 * the largest exponent, in two steps so that
/// results in the denormal range are right.
Fx scaleByPowerOf2(Fx x, Value n) {
  ImplicitLocOpBuilder &b = *x.b;
  int mantissa = x.isF64() ? 52 : 23, bias = x.isF64() ? 1023 : 127;
  Value half = arith::ShRSIOp::create(b, n, x.intConst(1));
  Value rest = arith::SubIOp::create(b, n, half);
  auto power = [&](Value e) {
    Value biased = arith::AddIOp::create(b, e, x.intConst(bias));
    return x.fromBits(arith::ShLIOp::create(b, biased, x.intConst(mantissa)));
  };
  return x * power(half) * power(rest);
}

/// exp(r + n ln 2) for |r| <= ln 2 / 2.
Fx expReduced(Fx r, Value n) {
  Fx p = r;
  if (r.isF64()) {
    // Taylor series; the first omitted term is below 2^-57.
    SmallVector<double> c(14, 1.0);
    for (int i = 1; i < 14; ++i)
      c[i] = c[i - 1] / i;
    p = polynomial(r, c);
  } else {
    Fx q = polynomial(r, {0.5, 0.166665766661, 0.041666554213, 0.00836323288368,
                          0.00139262508315});
    p = fma(q, r * r, r) + 1.0;
  }
  return scaleByPowerOf2(p, n);
}

Fx expOf(Fx x) {
  bool wide = x.isF64();
  Fx t = atLeast(atMost(x, wide ? 710 : 89), wide ? -746 : -104);
  Rounded n = roundToInt(t * kLog2e);
  Fx r = fma(n.value, wide ? -kLn2High64 : -kLn2High32, t);
  r = fma(n.value, wide ? -kLn2Low64 : -kLn2Low32, r);
  return expReduced(r, n.integer);
}

Fx exp2Of(Fx x) {
  bool wide = x.isF64();
  Fx t = atLeast(atMost(x, wide ? 1025 : 129), wide ? -1076 : -151);
  Rounded n = roundToInt(t);
  return expReduced((t - n.value) * kLn2, n.integer);
}

Fx tanhOf(Fx x) {
  if (x.isF64()) {
    Fx a = abs(x);
    Fx t = expOf(atMost(a, 22) * 2.0);
    // tanh = x - x^3/3 ... near 0, where 1 - 2/(t+1) cancels.
    Fx z = x * x;
    Fx small = polynomial(
        z, {1.0, -1.0 / 3, 2.0 / 15, -17.0 / 315, 62.0 / 2835, -1382.0 / 155925,
            21844.0 / 6081075, -929569.0 / 638512875, 6404582.0 / 10854718875.0,
            -443861162.0 / 1856156927625.0, 18888466084.0 / 194896477400625.0});
    return select(a < 0.25, x * small, copysign(1.0 - 2.0 / (t + 1.0), x));
  }
  Fx a = abs(x), z = x * x;
  Fx odd = fma(x * z,
               polynomial(z, {-0.333332282528, 0.133303959972, -0.0536640197583,
                              0.0204117998975, -0.00546506750647}),
               x);
  Fx large = 1.0 - 2.0 / (expOf(atMost(a, 10) * 2.0) + 1.0);
  return select(a < 0.65, odd, copysign(large, x));
}

//===----------------------------------------------------------------------===//
// f64
//===----------------------------------------------------------------------===//

/// log(x) * factor. Zero gives -inf, negative numbers NaN.
Fx logOf(Fx x, double factor = 1.0) {
  ImplicitLocOpBuilder &b = *x.b;
  Fx denormal = x < 0x1p-1022;
  Fx y = select(denormal, x * 0x1p54, x);
  // x = m * 2^e with m in [sqrt(1/2), sqrt(2)).
  Value bits = y.bits();
  Value shifted =
      arith::SubIOp::create(b, bits, y.intConst(0x3fe6a09e667f3bcd));
  Value exponent = arith::ShRSIOp::create(b, shifted, y.intConst(52));
  Value high = arith::ShLIOp::create(b, exponent, y.intConst(52));
  Fx m = y.fromBits(arith::SubIOp::create(b, bits, high));
  Fx e = x.wrap(arith::SIToFPOp::create(b, x.type(), exponent)) -
         select(denormal, x.c(54), x.c(0));
  // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.1716.
  Fx f = m - 1.0;
  Fx s = f / (m + 1.0), z = s * s;
  SmallVector<double> c;
  for (int i = 3; i <= 23; i += 2)
    c.push_back(2.0 / i);
  // 2s = f - s f, which keeps the bits of f.
  Fx series = f - s * (f - z * polynomial(z, c));
  Fx log = fma(e, kLn2High64, fma(e, kLn2Low64, series));
  if (factor != 1.0)
    log = log * factor;
  log = select(x < 0.0, x.c(kNan), log);
  log = select(equal(x, x.c(0)), x.c(-kInf), log);
  // +inf and NaN pass through.
  Fx finite = x < kInf;
  return select(finite, log, x);
}

Fx log2Of(Fx x) { return logOf(x, kLog2e); }
Fx log10Of(Fx x) { return logOf(x, 0.43429448190325182765); }

Fx log1pOf(Fx x) {
  // log(1 + x) + what the rounding of 1 + x lost, to first order.
  Fx u = x + 1.0;
  Fx lost = (x - (u - 1.0)) / u;
  Fx log = logOf(u) + select(u > 0.0, select(u < kInf, lost, x.c(0)), x.c(0));
  return select(abs(x) < 1e-300, x, select(x < kInf, log, x));
}

Fx expm1Of(Fx x) {
  SmallVector<double> c(14, 1.0);
  for (int i = 1; i < 14; ++i)
    c[i] = c[i - 1] / (i + 1);
  return select(abs(x) < 0.35, x * polynomial(x, c), expOf(x) - 1.0);
}

struct SinCos {
  Fx sin, cos;
};
SinCos sinCosOf(Fx x) {
  ImplicitLocOpBuilder &b = *x.b;
  Rounded n = roundToInt(x * (2 / kPi));
  Fx r = x;
  for (double part : kHalfPi)
    r = fma(n.value, -part, r);
  Fx z = r * r;
  SmallVector<double> s{1.0}, c{1.0};
  for (int i = 1; i <= 9; ++i) {
    s.push_back(-s.back() / ((2 * i) * (2 * i + 1)));
    c.push_back(-c.back() / ((2 * i - 1) * (2 * i)));
  }
  Fx sin = fma(r * z, polynomial(z, ArrayRef(s).drop_front()), r);
  Fx cos = polynomial(z, c);
  auto bit = [&](int mask, Value of) {
    Value masked = arith::AndIOp::create(b, of, x.intConst(mask));
    return x.wrap(arith::CmpIOp::create(b, arith::CmpIPredicate::ne, masked,
                                        x.intConst(0)));
  };
  Fx odd = bit(1, n.integer);
  Value next = arith::AddIOp::create(b, n.integer, x.intConst(1));
  Fx sinValue = select(odd, cos, sin), cosValue = select(odd, sin, cos);
  Fx special = abs(x) < kInf; // false for inf and NaN
  sinValue = select(bit(2, n.integer), -sinValue, sinValue);
  cosValue = select(bit(2, next), -cosValue, cosValue);
  return {select(special, sinValue, x.c(kNan)),
          select(special, cosValue, x.c(kNan))};
}

Fx atanOf(Fx x) {
  Fx a = abs(x);
  Fx big = a > 1.0;
  Fx t = select(big, 1.0 / a, a);
  // Halving the angle twice: t <= tan(pi/16).
  t = t / (sqrt(fma(t, t, t.c(1))) + 1.0);
  t = t / (sqrt(fma(t, t, t.c(1))) + 1.0);
  SmallVector<double> c;
  for (int i = 1; i <= 25; i += 2)
    c.push_back((i % 4 == 1 ? 1.0 : -1.0) / i);
  Fx angle = t * polynomial(t * t, c) * 4.0;
  return copysign(select(big, kPi / 2 - angle, angle), x);
}

Fx atan2Of(Fx y, Fx x) {
  Fx ay = abs(y), ax = abs(x);
  Fx infinite = x.wrap(arith::AndIOp::create(*x.b, equal(ay, ax.c(kInf)).v,
                                             equal(ax, ay.c(kInf)).v));
  Fx both0 = x.wrap(
      arith::AndIOp::create(*x.b, equal(ay, y.c(0)).v, equal(ax, y.c(0)).v));
  Fx ratio = select(infinite, y.c(1), select(both0, y.c(0), ay / ax));
  Fx angle = atanOf(ratio);
  Fx negative = copysign(x.c(1), x) < 0.0;
  return copysign(select(negative, kPi - angle, angle), y);
}

Fx asinOf(Fx x) { return atan2Of(x, sqrt((1.0 - x) * (x + 1.0))); }
Fx acosOf(Fx x) { return atan2Of(sqrt(1.0 - x), sqrt(x + 1.0)) * 2.0; }

Fx sinhOf(Fx x) {
  Fx a = abs(x);
  Fx m = expm1Of(atMost(a, 709));
  Fx small = (m + m / (m + 1.0)) * 0.5;
  // exp(a) overflows before sinh(a) does.
  Fx half = expOf(a * 0.5);
  return copysign(select(a < 22, small, half * 0.5 * half), x);
}
Fx coshOf(Fx x) {
  Fx half = expOf(abs(x) * 0.5);
  Fx e = expOf(atMost(abs(x), 100));
  return select(abs(x) < 22, (e + 1.0 / e) * 0.5, half * 0.5 * half);
}
Fx asinhOf(Fx x) {
  Fx a = abs(x), z = a * a;
  Fx small = log1pOf(a + z / (sqrt(z + 1.0) + 1.0));
  return copysign(select(a > 1e8, logOf(a) + kLn2, small), x);
}
Fx acoshOf(Fx x) {
  Fx t = x - 1.0;
  Fx small = log1pOf(t + sqrt(t * (x + 1.0)));
  Fx valid = select(x > 1e8, logOf(x) + kLn2, small);
  return select(x < 1.0, x.c(kNan), valid);
}
Fx atanhOf(Fx x) {
  Fx a = abs(x);
  return copysign(log1pOf(a * 2.0 / (1.0 - a)) * 0.5, x);
}

/// exp(y log |x|) with the sign and the special cases of C's pow.
Fx powOf(Fx x, Fx y) {
  auto andOf = [&](Fx p, Fx q) {
    return x.wrap(arith::AndIOp::create(*x.b, p.v, q.v));
  };
  Fx magnitude = expOf(y * logOf(abs(x)));
  // 0 * inf in the product: |x| = 1 gives 1 for any y; y = 0 gives 1.
  Fx one = x.wrap(
      arith::OrIOp::create(*x.b, equal(y, y.c(0)).v, equal(abs(x), x.c(1)).v));
  magnitude = select(one, x.c(1), magnitude);
  Fx integer = equal(trunc(y), y);
  Fx halfY = y * 0.5;
  Fx negative = copysign(x.c(1), x) < 0.0;
  Fx odd =
      andOf(integer, compare(arith::CmpFPredicate::UNE, trunc(halfY), halfY));
  Fx result = select(andOf(negative, odd), -magnitude, magnitude);
  // A negative base with a fractional exponent (both finite).
  Fx fractional = x.wrap(
      arith::CmpFOp::create(*x.b, arith::CmpFPredicate::ONE, trunc(y).v, y.v));
  Fx invalid = andOf(andOf(x < 0.0, abs(x) < kInf), fractional);
  result = select(invalid, x.c(kNan), result);
  result = select(compare(arith::CmpFPredicate::UNO, y, y), y, result);
  return select(equal(y, y.c(0)), x.c(1),
                select(equal(x, x.c(1)), x.c(1), result));
}

Fx cbrtOf(Fx x) {
  Fx a = abs(x);
  Fx r = expOf(logOf(a) * (1.0 / 3));
  // One Newton step, then the cases it would spoil.
  Fx better = r - (r * r * r - a) / (r * r * 3.0);
  Fx plain = x.wrap(arith::AndIOp::create(*x.b, (a > 0.0).v, (a < kInf).v));
  return select(plain, copysign(better, x), x);
}

//===----------------------------------------------------------------------===//
// erf
//===----------------------------------------------------------------------===//

constexpr double kErfSmall64[] = {
    1.1283791670955125739,     -0.37612638903183752462,
    0.11283791670955125626,    -0.026866170645131218518,
    0.0052239776254416740139,  -0.00085483270234030006089,
    0.00012055332978879483867, -0.000014925650236967501742,
    1.6462110782018636387e-6,  -1.6365768648832072118e-7,
    1.4806027146128751663e-8,  -1.2277734486795523848e-9,
    9.3237235181530266337e-11, -6.1967364287876999834e-12,
    2.8067128195611262471e-13};

// erfc(x) exp(x^2) (1 + 2x) in t = (x - 3) / (x + 3), for x >= 1.
constexpr double kErfcLarge64[] = {
    1.2530080582697296555,      -0.13562110612458116685,
    -0.047562294353452593737,   0.12964515870275860704,
    -0.11927366341514494662,    0.068308027344060539923,
    -0.023770514924294558627,   0.0025293918163201968758,
    0.0018886904575092514331,   -0.00077983232647531453315,
    -0.00010516076086178657189, 0.00012510035409359621111,
    4.9548668385444671721e-6,   -0.000020109020843792854513,
    -7.4736679149413189388e-7,  3.5099166698348806767e-6,
    3.7134697111554670564e-7,   -7.0066280590948031798e-7,
    -1.0617535937566775593e-7,  1.725785651063718578e-7,
    -3.342253607689200081e-8};

Fx erfcLarge(Fx a) {
  Fx x = atMost(a, 28);
  Fx t = (x - 3.0) / (x + 3.0);
  // exp(-x^2) with the rounding error of the square.
  Fx square = x * x;
  Fx error = fma(x, x, -square);
  Fx e = expOf(-square);
  e = e - e * error;
  return polynomial(t, kErfcLarge64) * e / (x * 2.0 + 1.0);
}

Fx erf64(Fx x) {
  Fx a = abs(x);
  Fx small = x * polynomial(x * x, kErfSmall64);
  return select(a < 1.0, small, copysign(1.0 - erfcLarge(a), x));
}

Fx erfcOf(Fx x) {
  Fx a = abs(x);
  Fx small = 1.0 - x * polynomial(x * x, kErfSmall64);
  Fx large = erfcLarge(a);
  return select(a < 1.0, small, select(x < 0.0, 2.0 - large, large));
}

Fx erfOf(Fx x) {
  if (x.isF64())
    return erf64(x);
  Fx a = abs(x);
  Fx small =
      x * polynomial(x * x, {1.12837916585, -0.376126266667, 0.112835947152,
                             -0.0268542120106, 0.00518908742343,
                             -0.000801686428717, 7.87587506269e-5});
  // log(erfc(a)) on [0.95, 4]; beyond, erf is 1 in f32.
  Fx q = polynomial(atMost(a, 4),
                    {0.000321866257549, -1.13024187748, -0.631809550131,
                     -0.110097242506, 0.0264316432828, -0.00476350966326,
                     0.000597677274919, -4.61647851613e-5, 1.64267896843e-6});
  return select(a < 1.0, small, copysign(1.0 - expOf(q), x));
}

//===----------------------------------------------------------------------===//
// fmod
//===----------------------------------------------------------------------===//

/// x - n y with n = trunc(x / y), exact: one step removes 53 bits of n.
Fx remainderOf(Fx x, Fx y) {
  Fx a = abs(x), d = abs(y), r = a;
  bool wide = x.isF64();
  if (!wide) {
    Fx narrow = remainderOf(x.extended(), y.extended());
    return narrow.truncatedTo(x.type());
  }
  // 2^2098 is the largest quotient of f64 numbers.
  ImplicitLocOpBuilder &b = *x.b;
  Value zero = arith::ConstantIndexOp::create(b, 0);
  Value one = arith::ConstantIndexOp::create(b, 1);
  Value steps = arith::ConstantIndexOp::create(b, 40);
  auto loop = scf::ForOp::create(b, zero, steps, one, ValueRange{r.v});
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPointToStart(loop.getBody());
    Fx left = x.wrap(loop.getRegionIterArg(0));
    scf::YieldOp::create(b, fma(-trunc(left / d), d, left).v);
  }
  r = x.wrap(loop.getResult(0));
  // The last rounded quotient may have been one unit too large.
  r = select(r < 0.0, r + d, r);
  r = select(compare(arith::CmpFPredicate::OGE, r, d), r - d, r);
  Fx plain =
      x.wrap(arith::AndIOp::create(b, (a < kInf).v, equal(d, d.c(kInf)).v));
  return copysign(select(plain, a, r), x);
}

Fx rsqrtOf(Fx x) { return 1.0 / sqrt(x); }
Fx sinOf(Fx x) { return sinCosOf(x).sin; }
Fx cosOf(Fx x) { return sinCosOf(x).cos; }
Fx tanOf(Fx x) {
  SinCos both = sinCosOf(x);
  return both.sin / both.cos;
}
Fx logNaturalOf(Fx x) { return logOf(x); }

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

Type elementOf(Operation *op) {
  return getElementTypeOrSelf(op->getResult(0).getType());
}

/// f16 and bf16: the same operation in f32.
template <typename Op> struct WidenTo32 : OpRewritePattern<Op> {
  using OpRewritePattern<Op>::OpRewritePattern;
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    Type element = elementOf(op);
    if (!isa<FloatType>(element) || element.getIntOrFloatBitWidth() >= 32)
      return rewriter.notifyMatchFailure(op, "not a narrow float");
    Type narrow = op->getResult(0).getType();
    Type wide = withShapeOf(narrow, rewriter.getF32Type());
    SmallVector<Value> operands;
    for (Value operand : op->getOperands())
      operands.push_back(
          arith::ExtFOp::create(rewriter, op.getLoc(), wide, operand));
    Value result = Op::create(rewriter, op.getLoc(), wide, operands);
    rewriter.replaceOpWithNewOp<arith::TruncFOp>(op, narrow, result);
    return success();
  }
};

enum class In32 { Native, Through64 };

template <typename Op> struct ExpandUnary : OpRewritePattern<Op> {
  ExpandUnary(MLIRContext *context, Fx (*function)(Fx), In32 in32)
      : OpRewritePattern<Op>(context), function(function), in32(in32) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    Type element = elementOf(op);
    if (!element.isF32() && !element.isF64())
      return rewriter.notifyMatchFailure(op, "not f32 or f64");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Fx x{&b, op->getOperand(0)};
    Fx result = element.isF32() && in32 == In32::Through64
                    ? function(x.extended()).truncatedTo(x.type())
                    : function(x);
    rewriter.replaceOp(op, result.v);
    return success();
  }
  Fx (*function)(Fx);
  In32 in32;
};

template <typename Op> struct ExpandBinary : OpRewritePattern<Op> {
  ExpandBinary(MLIRContext *context, Fx (*function)(Fx, Fx))
      : OpRewritePattern<Op>(context), function(function) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    Type element = elementOf(op);
    if (!element.isF32() && !element.isF64())
      return rewriter.notifyMatchFailure(op, "not f32 or f64");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    Fx x{&b, op->getOperand(0)}, y{&b, op->getOperand(1)};
    Fx result = element.isF32()
                    ? function(x.extended(), y.extended()).truncatedTo(x.type())
                    : function(x, y);
    rewriter.replaceOp(op, result.v);
    return success();
  }
  Fx (*function)(Fx, Fx);
};

struct ExpandFPowI : OpRewritePattern<math::FPowIOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(math::FPowIOp op,
                                PatternRewriter &rewriter) const final {
    Type type = op.getType();
    Value exponent =
        arith::SIToFPOp::create(rewriter, op.getLoc(), type, op.getRhs());
    rewriter.replaceOpWithNewOp<math::PowFOp>(op, op.getLhs(), exponent);
    return success();
  }
};

template <typename... Ops> void addWidening(RewritePatternSet &patterns) {
  patterns.add<WidenTo32<Ops>...>(patterns.getContext());
}

template <typename Op>
void addUnary(RewritePatternSet &patterns, Fx (*function)(Fx),
              In32 in32 = In32::Through64) {
  patterns.add<ExpandUnary<Op>>(patterns.getContext(), function, in32);
  addWidening<Op>(patterns);
}

template <typename Op>
void addBinary(RewritePatternSet &patterns, Fx (*function)(Fx, Fx)) {
  patterns.add<ExpandBinary<Op>>(patterns.getContext(), function);
  addWidening<Op>(patterns);
}

void populatePatterns(RewritePatternSet &patterns) {
  addUnary<math::ExpOp>(patterns, expOf, In32::Native);
  addUnary<math::Exp2Op>(patterns, exp2Of, In32::Native);
  addUnary<math::TanhOp>(patterns, tanhOf, In32::Native);
  addUnary<math::ErfOp>(patterns, erfOf, In32::Native);
  addUnary<math::RsqrtOp>(patterns, rsqrtOf, In32::Native);
  addUnary<math::ErfcOp>(patterns, erfcOf);
  addUnary<math::ExpM1Op>(patterns, expm1Of);
  addUnary<math::LogOp>(patterns, logNaturalOf);
  addUnary<math::Log2Op>(patterns, log2Of);
  addUnary<math::Log10Op>(patterns, log10Of);
  addUnary<math::Log1pOp>(patterns, log1pOf);
  addUnary<math::SinOp>(patterns, sinOf);
  addUnary<math::CosOp>(patterns, cosOf);
  addUnary<math::TanOp>(patterns, tanOf);
  addUnary<math::AsinOp>(patterns, asinOf);
  addUnary<math::AcosOp>(patterns, acosOf);
  addUnary<math::AtanOp>(patterns, atanOf);
  addUnary<math::SinhOp>(patterns, sinhOf);
  addUnary<math::CoshOp>(patterns, coshOf);
  addUnary<math::AsinhOp>(patterns, asinhOf);
  addUnary<math::AcoshOp>(patterns, acoshOf);
  addUnary<math::AtanhOp>(patterns, atanhOf);
  addUnary<math::CbrtOp>(patterns, cbrtOf);
  addBinary<math::PowFOp>(patterns, powOf);
  addBinary<math::Atan2Op>(patterns, atan2Of);
  addBinary<arith::RemFOp>(patterns, remainderOf);
  addWidening<math::SqrtOp, math::CeilOp, math::FloorOp, math::TruncOp,
              math::RoundOp, math::RoundEvenOp, math::FmaOp, math::AbsFOp,
              math::CopySignOp>(patterns);
  patterns.add<ExpandFPowI>(patterns.getContext());
  math::populateExpansionPatterns(patterns, {"clampf"});
}

struct ExpandMath : PassWrapper<ExpandMath, OperationPass<>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMath)
  StringRef getArgument() const final { return "cpu-expand-math"; }
  StringRef getDescription() const final {
    return "Replace math functions by polynomials";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<arith::ArithDialect, math::MathDialect, scf::SCFDialect,
                    vector::VectorDialect>();
  }
  void runOnOperation() final {
    RewritePatternSet patterns(&getContext());
    populatePatterns(patterns);
    if (failed(applyPatternsGreedily(getOperation(), std::move(patterns))))
      signalPassFailure();
  }
};

} // namespace

std::unique_ptr<Pass> createExpandMathPass() {
  return std::make_unique<ExpandMath>();
}

} // namespace cpu
} // namespace nibble
