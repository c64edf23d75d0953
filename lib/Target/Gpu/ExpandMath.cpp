// gpu-expand-math: math functions of f32 by the instructions for 2^x, 1/x and
// 1/sqrt x.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "FloatExpr.h"
#include "NumberPatterns.h"
#include "Passes.h"

using namespace mlir;
using nibble::cpu::atMost;
using nibble::cpu::Fx;
using nibble::cpu::select;

namespace nibble {
namespace gpu {
namespace {

constexpr double kLn2 = 0.693147180559945309417;
constexpr double kLog2e = 1.44269504088896340736;
/// log2(e) = high + low, both f32.
constexpr double kLog2eHigh = 0x1.715476p+0, kLog2eLow = 0x1.4ae0c0p-26;

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

/// A scalar instruction on every element.
Fx perElement(Fx x, function_ref<Value(Value)> instruction) {
  SmallVector<Value> results;
  for (Value element : unpack(*x.b, x.v))
    results.push_back(instruction(element));
  return x.wrap(pack(*x.b, x.type(), results));
}

/// 2^x to 2^-22 (PTX ISA); results below 2^-126 are zero.
Fx power2(Fx x) {
  auto name = x.b->getStringAttr("llvm.nvvm.ex2.approx.ftz.f32");
  return perElement(x, [&](Value of) -> Value {
    return LLVM::CallIntrinsicOp::create(*x.b, of.getType(), name,
                                         ValueRange{of})
        .getResult(0);
  });
}

/// 1 / x to 1 ulp (PTX ISA); results below 2^-126 are zero.
Fx reciprocal(Fx x) {
  return perElement(x, [&](Value of) -> Value {
    return NVVM::RcpApproxFtzF32Op::create(*x.b, of.getType(), of);
  });
}

/// A sum with a constant like this is zero or at least 2^-124.
bool isNeverDenormal(Fx x) {
  auto sum = matchConstant<arith::AddFOp>(x.v);
  return sum && sum->second >= 0x1p-100;
}

/// 1 / sqrt(x) to 2^-22.9 (PTX ISA).
Fx roughInverseRoot(Fx x) {
  auto name =
      x.b->getStringAttr(isNeverDenormal(x) ? "llvm.nvvm.rsqrt.approx.ftz.f"
                                            : "llvm.nvvm.rsqrt.approx.f");
  return perElement(x, [&](Value of) -> Value {
    return LLVM::CallIntrinsicOp::create(*x.b, of.getType(), name,
                                         ValueRange{of})
        .getResult(0);
  });
}

/// One instruction each; NaN stays NaN.
Fx clamp(Fx x, double low, double high) {
  x = x.wrap(arith::MinimumFOp::create(*x.b, x.v, x.c(high).v));
  return x.wrap(arith::MaximumFOp::create(*x.b, x.v, x.c(low).v));
}

//===----------------------------------------------------------------------===//
// Functions
//===----------------------------------------------------------------------===//

/// x log2(e) in two parts: rounding it alone would cost |x| 2^-24.
Fx expOf(Fx x) {
  Fx t = clamp(x, -104, 89);
  Fx high = t * kLog2eHigh;
  Fx low = fma(t, kLog2eLow, fma(t, kLog2eHigh, -high));
  // Not power + power * low, which is NaN beyond the largest number.
  return power2(high) * fma(low, kLn2, low.c(1));
}

Fx exp2Of(Fx x) { return power2(x); }

/// 1 / (1 + 2^x), for any x.
Fx logisticOf2(Fx x) { return reciprocal(power2(x) + 1.0); }

/// (tanh(x) / x - 1) / x^2 in x^2, for |x| <= 0.41, to 2.2e-9.
constexpr double kTanh[] = {-0.3333329216484963, 0.13330918522287818,
                            -0.05352523383278694, 0.018609763907148216};

/// 1 - 2 / (e^2a + 1), which cancels near 0: a polynomial there.
Fx tanhOf(Fx x) {
  Fx a = abs(x), z = x * x;
  Fx small = fma(x * z, cpu::polynomial(z, kTanh), x);
  Fx large = fma(logisticOf2(a * (2 * kLog2e)), -2.0, x.c(1));
  return select(a < 0.4, small, copysign(large, x));
}

/// As on the CPU, but for the power.
Fx erfOf(Fx x) {
  Fx a = abs(x);
  Fx small = x * cpu::polynomial(x * x, {1.12837916585, -0.376126266667,
                                         0.112835947152, -0.0268542120106,
                                         0.00518908742343, -0.000801686428717,
                                         7.87587506269e-5});
  // log(erfc(a)) on [0.95, 4]; beyond, erf is 1 in f32.
  Fx q = cpu::polynomial(
      atMost(a, 4), {0.000321866257549, -1.13024187748, -0.631809550131,
                     -0.110097242506, 0.0264316432828, -0.00476350966326,
                     0.000597677274919, -4.61647851613e-5, 1.64267896843e-6});
  return select(a < 1.0, small, copysign(1.0 - power2(q * kLog2e), x));
}

//===----------------------------------------------------------------------===//
// Patterns
//===----------------------------------------------------------------------===//

/// f32, scalars or vectors of one dimension.
bool isCovered(Type type) {
  return getElementTypeOrSelf(type).isF32() && isFlat(type);
}

template <typename Op> struct Expand : OpRewritePattern<Op> {
  Expand(MLIRContext *context, Fx (*function)(Fx))
      : OpRewritePattern<Op>(context), function(function) {}
  LogicalResult matchAndRewrite(Op op, PatternRewriter &rewriter) const final {
    if (!isCovered(op.getType()))
      return rewriter.notifyMatchFailure(op, "not f32, or several dimensions");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, function({&b, op->getOperand(0)}).v);
    return success();
  }
  Fx (*function)(Fx);
};

template <typename Op> Value matchPlusOne(Value value) {
  auto sum = matchConstant<arith::AddFOp>(value);
  auto function =
      sum && sum->second == 1 ? sum->first.getDefiningOp<Op>() : Op();
  return function ? function.getOperand() : Value();
}

/// 1 / (1 + e^-2u), u perhaps a product with a constant.
Fx logisticOfTwice(Fx u) {
  double factor = -2 * kLog2e;
  if (auto product = matchConstant<arith::MulFOp>(u.v)) {
    u = u.wrap(product->first);
    factor *= product->second;
  }
  return logisticOf2(u * factor);
}

/// (1 + tanh u) = 2 / (1 + e^-2u), without the cancellation.
struct ExpandOnePlusTanh : OpRewritePattern<arith::AddFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::AddFOp op,
                                PatternRewriter &rewriter) const final {
    Value u = matchPlusOne<math::TanhOp>(op);
    if (!u || !isCovered(op.getType()))
      return rewriter.notifyMatchFailure(op, "not 1 + tanh in f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, (logisticOfTwice({&b, u}) * 2.0).v);
    return success();
  }
};

/// (x / 2) (1 + tanh u) = x / (1 + e^-2u).
struct ExpandGelu : OpRewritePattern<arith::MulFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::MulFOp op,
                                PatternRewriter &rewriter) const final {
    for (unsigned i : {0, 1}) {
      auto half = matchConstant<arith::MulFOp>(op->getOperand(i));
      Value u = matchPlusOne<math::TanhOp>(op->getOperand(1 - i));
      if (!half || half->second != 0.5 || !u || !isCovered(op.getType()))
        continue;
      ImplicitLocOpBuilder b(op.getLoc(), rewriter);
      Fx x{&b, half->first};
      rewriter.replaceOp(op, (x * logisticOfTwice({&b, u})).v);
      return success();
    }
    return rewriter.notifyMatchFailure(op, "not (x / 2) (1 + tanh)");
  }
};

/// 1 / (1 + exp y).
struct ExpandLogistic : OpRewritePattern<arith::DivFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::DivFOp op,
                                PatternRewriter &rewriter) const final {
    Value y = matchPlusOne<math::ExpOp>(op.getRhs());
    if (!y || getNumber(op.getLhs()) != 1.0 || !isCovered(op.getType()))
      return rewriter.notifyMatchFailure(op, "not 1 / (1 + exp) in f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, reciprocal(expOf({&b, y}) + 1.0).v);
    return success();
  }
};

/// One step of Newton: to 1 ulp, without the branches of root and quotient.
/// Where there is no error to correct, of 0 and infinity, it is NaN.
Fx inverseRootOf(Fx x) {
  Fx root = roughInverseRoot(x);
  Fx error = fma(-(x * root), root, x.c(1));
  // Not that of arith, which becomes three instructions.
  error = x.wrap(LLVM::MinNumOp::create(*x.b, error.v, x.c(1).v));
  return fma(root * 0.5, error, root);
}

/// 1 / sqrt x.
struct ExpandInverseRoot : OpRewritePattern<arith::DivFOp> {
  using OpRewritePattern::OpRewritePattern;
  LogicalResult matchAndRewrite(arith::DivFOp op,
                                PatternRewriter &rewriter) const final {
    auto root = op.getRhs().getDefiningOp<math::SqrtOp>();
    if (!root || getNumber(op.getLhs()) != 1.0 || !isCovered(op.getType()))
      return rewriter.notifyMatchFailure(op, "not 1 / sqrt in f32");
    ImplicitLocOpBuilder b(op.getLoc(), rewriter);
    rewriter.replaceOp(op, inverseRootOf({&b, root.getOperand()}).v);
    return success();
  }
};

class ExpandMath : public NumberPass<ExpandMath> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ExpandMath)
  StringRef getArgument() const final { return "gpu-expand-math"; }
  StringRef getDescription() const final {
    return "Replace exp, exp2, tanh, erf and 1 / sqrt of f32 by instructions "
           "of "
           "GPUs";
  }
  /// Sums and quotients with functions in them before the functions.
  void runOnOperation() final {
    RewritePatternSet gelu(&getContext()), sums(&getContext()),
        functions(&getContext());
    gelu.add<ExpandGelu, ExpandInverseRoot, ExpandLogistic>(&getContext());
    sums.add<ExpandOnePlusTanh>(&getContext());
    functions.add<Expand<math::ExpOp>>(&getContext(), expOf);
    functions.add<Expand<math::Exp2Op>>(&getContext(), exp2Of);
    functions.add<Expand<math::TanhOp>>(&getContext(), tanhOf);
    functions.add<Expand<math::ErfOp>>(&getContext(), erfOf);
    for (RewritePatternSet *patterns : {&gelu, &sums, &functions})
      apply(std::move(*patterns));
  }
};

} // namespace

std::unique_ptr<Pass> createExpandMathPass() {
  return std::make_unique<ExpandMath>();
}

} // namespace gpu
} // namespace nibble
