// The arithmetic of quantization recipes on lanes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "QuantizeRecipes.h"

#include "GpuCode.h"
#include "HalfPairs.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;
using nibble::rt::MxRecipe;
using nibble::rt::Nvfp4Recipe;

namespace nibble {
namespace cpu {

static Lanes encodeAs(Lanes x, Type format, bool saturate = true) {
  return x.wrap(encodeBits(*x.b, format, x.v, {saturate, "up"}));
}
/// As i32.
static Lanes encodeToInt(Lanes x, Type format, bool saturate = true) {
  return x.wrap(encodeWide(*x.b, format, x.v, saturate));
}
static Type e4m3(Lanes x) { return Float8E4M3FNType::get(x.b->getContext()); }
static Type e2m1(Lanes x) { return Float4E2M1FNType::get(x.b->getContext()); }

static Lanes isZero(Lanes x) {
  return compareFloat(arith::CmpFPredicate::OEQ, x, x.c(0.0));
}

//===----------------------------------------------------------------------===//
// NVFP4
//===----------------------------------------------------------------------===//

bool nvfp4Multiplies(Nvfp4Recipe recipe) {
  return recipe == Nvfp4Recipe::TransformerEngine ||
         recipe == Nvfp4Recipe::Torchao;
}

static bool keepsNegativeZero(Nvfp4Recipe recipe) {
  return recipe == Nvfp4Recipe::TrtDynamic ||
         recipe == Nvfp4Recipe::CompressedTensors ||
         recipe == Nvfp4Recipe::Torchao;
}

/// The number whose E4M3 code is the scale; NaN stays NaN.
static Lanes scaleTarget(Lanes amax, Lanes global, Nvfp4Recipe recipe) {
  constexpr float sixth = 1.0f / 6.0f;
  switch (recipe) {
  case Nvfp4Recipe::ModeloptTorch: {
    Lanes t = amax / (global.c(6.0) * global);
    return select(isZero(t), t.c(1.0), minFloat(maxFloat(t, 0x1p-9), 448));
  }
  case Nvfp4Recipe::ModeloptOnnx: {
    Lanes a = amax / 6.0;
    return select(isZero(a), a.c(1.0), a / global);
  }
  case Nvfp4Recipe::TrtDynamic:
    return amax / 6.0 / global;
  case Nvfp4Recipe::CompressedTensors:
    return global * (amax / 6.0);
  case Nvfp4Recipe::TransformerEngine:
    return amax * (global * double(sixth));
  case Nvfp4Recipe::Torchao:
    break;
  }
  return minFloat(maxFloat(amax / 6.0 / global, 0x1p-6), 448);
}

Lanes nvfp4ScaleCode(Lanes amax, Lanes global, Nvfp4Recipe recipe) {
  Lanes target = scaleTarget(amax, global, recipe);
  Lanes code = encodeAs(target, e4m3(amax)) & 0x7f;
  if (recipe == Nvfp4Recipe::CompressedTensors)
    code = select(code == 0, code.c(0x20), code);
  return code;
}

Lanes nvfp4Factor(Lanes amax, Lanes code, Lanes global, Nvfp4Recipe recipe) {
  constexpr double maxFloat = std::numeric_limits<float>::max();
  Lanes scale = amax.wrap(decodeBits(*amax.b, e4m3(amax), code.v));
  switch (recipe) {
  case Nvfp4Recipe::ModeloptTorch:
  case Nvfp4Recipe::TrtDynamic:
    return scale * global;
  case Nvfp4Recipe::ModeloptOnnx:
    return scaleTarget(amax, global, recipe) * global;
  case Nvfp4Recipe::CompressedTensors:
    return scale / global;
  case Nvfp4Recipe::TransformerEngine:
    return minFloat(1.0 / (scale * (1.0 / global)), maxFloat);
  case Nvfp4Recipe::Torchao:
    break;
  }
  return (1.0 / global) / scale;
}

/// As i32.
static Lanes nvfp4CodeByDivision(Lanes x, Lanes factor, Nvfp4Recipe recipe) {
  Lanes q = nvfp4Multiplies(recipe) ? x * factor : x / factor;
  Lanes code = encodeToInt(q, e2m1(x));
  if (!keepsNegativeZero(recipe))
    code = select(isZero(q), code.c(0), code);
  Lanes usable = compareFloat(arith::CmpFPredicate::OGT, factor, factor.c(0.0));
  return select(usable, code, code.c(0));
}

//===----------------------------------------------------------------------===//
// NVFP4 on GPUs
//===----------------------------------------------------------------------===//

static Lanes fma(Lanes x, Lanes y, Lanes z) {
  return x.wrap(math::FmaOp::create(*x.b, x.v, y.v, z.v));
}
static Lanes negate(Lanes x) {
  return x.wrap(arith::NegFOp::create(*x.b, x.v));
}
static Lanes widen(Lanes scalar, Type type) {
  return scalar.wrap(vector::BroadcastOp::create(*scalar.b, type, scalar.v));
}

/// A quotient that encodes to the same E2M1 number as x / s: off by less than
/// 2^-22 ulp before it is rounded, as divideForCode is, of which see why that
/// is enough. For s in [2^-80, 2^100] no step of quotients that encode to more
/// than 0 leaves the range of f32, but for some that encode to the largest,
/// which may be NaN.
static Lanes e2m1Quotient(Lanes x, Lanes s) {
  Lanes reciprocal = widen(1.0 / s, x.type()), scale = widen(s, x.type());
  Lanes q = x * reciprocal;
  return fma(fma(negate(q), scale, x), reciprocal, q);
}

/// Code of |x| / s (NaN as the largest) with the sign of x, as i32: the last
/// four bits. The code is min(2 q, q + 2, q / 2 + 4), which are the steps 1/2
/// below 2, 1 below 4, and 2, rounded to even; sums with 3 2^22 have such
/// units. Minima are of bits, where NaN is large. Most of it is what FMA units
/// do.
static Lanes e2m1Code(Lanes x, Lanes s) {
  constexpr double kUnits = 0x1.8p23, kSign = 4;
  Lanes q = e2m1Quotient(x.wrap(math::AbsFOp::create(*x.b, x.v)), s);
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

using CodesFn = llvm::function_ref<Value()>;

static int64_t bitsOf(double number) {
  return int64_t(llvm::bit_cast<uint32_t>(float(number)));
}

/// What `fast` gives if s is in [least, above), numbers of which none is
/// negative, else what `slow` does: of one type.
static Value choosePath(Lanes s, double least, double above, Type type,
                        CodesFn fast, CodesFn slow) {
  ImplicitLocOpBuilder &b = *s.b;
  Lanes inRange =
      compareInt(arith::CmpIPredicate::ult, s.asInt() - bitsOf(least),
                 bitsOf(above) - bitsOf(least));
  auto branch = scf::IfOp::create(b, type, inRange.v, /*withElseRegion=*/true);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  scf::YieldOp::create(b, fast());
  b.setInsertionPointToStart(branch.elseBlock());
  scf::YieldOp::create(b, slow());
  return branch.getResult(0);
}

/// Without branches for each number where the scale of the lanes is in the
/// range of e2m1Quotient: one that is has no NaN in its block.
static Lanes nvfp4CodeOnGpu(Lanes x, Lanes factor, Lanes s,
                            Nvfp4Recipe recipe) {
  Value codes = choosePath(
      s, 0x1p-80, 0x1p100, x.intType(32), [&] { return e2m1Code(x, s).v; },
      [&] { return nvfp4CodeByDivision(x, factor, recipe).v; });
  return (x.wrap(codes) & 15).resize(8);
}

/// The same of numbers of 16 bits: words of codes, taken apart again, which
/// where they are stored undoes.
static Lanes nvfp4CodeOfPairs(const HalfPairs &pairs, Lanes x, Lanes factor,
                              Lanes s, Nvfp4Recipe recipe) {
  ImplicitLocOpBuilder &b = *x.b;
  auto shape = cast<VectorType>(x.type());
  auto type = VectorType::get(shape.getNumElements() / 8, b.getI32Type());
  // Zero is not in the range of bf16, where it can be next to numbers that are
  // too small.
  double least = pairs.isBf16 ? 0x1p-80 : 0;
  Value words = choosePath(
      s, least, std::numeric_limits<float>::infinity(), type,
      [&]() -> Value {
        return vector::FromElementsOp::create(b, type, e2m1Words(pairs, s));
      },
      [&] { return packNibbles(b, nvfp4CodeByDivision(x, factor, recipe).v); });
  return x.wrap(unpackNibbles(b, words));
}

Lanes nvfp4Code(Lanes x, Lanes factor, Nvfp4Recipe recipe) {
  auto uniform = factor.v.getDefiningOp<vector::BroadcastOp>();
  bool isShared = uniform && !isa<VectorType>(uniform.getSource().getType());
  if (!isShared || !isGpuCode(*x.b) || !keepsNegativeZero(recipe) ||
      nvfp4Multiplies(recipe))
    return nvfp4CodeByDivision(x, factor, recipe).resize(8);
  Lanes s = x.wrap(uniform.getSource());
  if (auto pairs = findHalfPairs(x))
    return nvfp4CodeOfPairs(*pairs, x, factor, s, recipe);
  return nvfp4CodeOnGpu(x, factor, s, recipe);
}

//===----------------------------------------------------------------------===//
// MXFP4, MXFP8
//===----------------------------------------------------------------------===//

namespace {
struct MxFormat {
  double largest;
  int power, mantissa; ///< floor(log2(largest)), mantissa bits
};
} // namespace

static MxFormat mxFormat(Type storage) {
  if (isa<Float4E2M1FNType>(storage))
    return {6, 2, 1};
  if (isa<Float8E5M2Type>(storage))
    return {57344, 15, 2};
  return {448, 8, 3};
}

/// max(floor(log2 a) [+ 1 if a is no power of two] - power, -127) + 127 of the
/// bits of a; 255 for infinity and NaN.
static Lanes exponentCode(Lanes bits, bool ceil, int power) {
  Lanes code = bits >> 23;
  if (ceil) {
    Lanes inexact = (bits & 0x7fffff) > 0;
    code = code +
           bits.wrap(arith::ExtUIOp::create(*bits.b, bits.type(), inexact.v));
  }
  code = maxInt(code - power, 0);
  return select(bits >= 0x7f800000, code.c(255), code).resize(8);
}

Lanes mxScaleCode(Lanes amax, Type storage, MxRecipe recipe) {
  MxFormat format = mxFormat(storage);
  Type e8m0 = Float8E8M0FNUType::get(amax.b->getContext());
  Lanes bits = amax.asInt();
  switch (recipe) {
  case MxRecipe::Modelopt:
  case MxRecipe::TrtDynamic:
    return encodeAs(amax / format.largest, e8m0);
  case MxRecipe::TransformerEngine:
  case MxRecipe::TorchaoRceil: {
    Lanes code = encodeAs(amax * double(1.0f / float(format.largest)), e8m0);
    if (recipe == MxRecipe::TransformerEngine)
      return code;
    return select(bits == 0x7f800000, code.c(255), code);
  }
  case MxRecipe::Ocp:
    return exponentCode(bits, false, format.power);
  case MxRecipe::TorchaoCeil:
    return exponentCode(bits, true, format.power);
  case MxRecipe::TorchaoEven:
  case MxRecipe::CompressedTensors:
    break;
  }
  // Half a unit of the rounded mantissa, added to the bits; infinity and NaN
  // stay above infinity.
  int low = recipe == MxRecipe::TorchaoEven ? 22 - format.mantissa : 21;
  Lanes raised = bits + (int64_t(1) << low);
  Lanes special = bits >= 0x7f800000;
  return exponentCode(select(special, bits, raised), false, format.power);
}

Lanes mxFactor(Lanes code) {
  Lanes wide = code.resize(32);
  Lanes bits = (wide.c(254) - wide) << 23;
  bits = select(wide == 254, bits.c(0x00400000), bits);
  bits = select(wide == 255, bits.c(0x7fc00000), bits);
  return bits.asF32();
}

Lanes mxCode(Lanes x, Lanes factor, Type storage, MxRecipe recipe) {
  Lanes q = x * factor;
  Lanes code = encodeToInt(q, storage);
  if (recipe == MxRecipe::Modelopt && isa<Float4E2M1FNType>(storage)) {
    // Midpoints go toward zero: these three went away from it.
    Lanes bits = q.asInt();
    Lanes magnitude = bits & 0x7fffffff;
    for (double midpoint : {0.75, 1.75, 3.5}) {
      Lanes tie = compareFloat(arith::CmpFPredicate::OEQ, magnitude.asF32(),
                               q.c(midpoint));
      code = select(tie, code - int64_t(1), code);
    }
    code = select(magnitude == 0, code.c(8), code);
  }
  // A NaN factor means a NaN scale.
  Lanes usable = compareFloat(arith::CmpFPredicate::ORD, factor, factor);
  return select(usable, code, code.c(0)).resize(8);
}

//===----------------------------------------------------------------------===//
// Scales in float
//===----------------------------------------------------------------------===//

namespace {
struct IntRange {
  double low, high;
};
} // namespace

static IntRange intRange(IntegerType storage) {
  double span = 1 << storage.getWidth();
  if (storage.isSigned())
    return {-span / 2, span / 2 - 1};
  return {0, span - 1};
}

Lanes symmetricScale(Lanes amax, Type storage) {
  auto integer = dyn_cast<IntegerType>(storage);
  double largest = isa<Float8E5M2Type>(storage)     ? 57344
                   : isa<Float4E2M1FNType>(storage) ? 6
                                                    : 448;
  if (integer)
    largest = integer.getWidth() == 4 ? 7 : 127;
  double least = integer ? 0 : 0x1p-24;
  Lanes tiny = compareFloat(arith::CmpFPredicate::OLE, amax, amax.c(least));
  return select(tiny, amax.c(1.0), amax / largest);
}

namespace {
/// 1 / s = high + low, both with the sign of s.
struct Reciprocal {
  Lanes high, low;
};
} // namespace

/// `high` is rounded toward zero. Infinite s: zeros; s below 2^-129, where the
/// quotient of anything that is not tiny saturates, too: as large as it gets.
static Reciprocal reciprocal(Lanes s) {
  auto residual = [&](Lanes of) {
    Lanes negative = of.wrap(arith::NegFOp::create(*s.b, of.v));
    return s.wrap(math::FmaOp::create(*s.b, negative.v, s.v, s.c(1.0).v));
  };
  auto magnitude = [](Lanes of) { return (of.asInt() & 0x7fffffff).asF32(); };
  Lanes nearest = 1.0 / s;
  Lanes isAbove =
      compareFloat(arith::CmpFPredicate::OLT, residual(nearest), s.c(0.0));
  Lanes isInfinite = magnitude(nearest).asInt() == 0x7f800000;
  Lanes below = (nearest.asInt() - int64_t(1)).asF32();
  Lanes high = select(isAbove, below, select(isInfinite, below, nearest));
  // Not zero, and of the sign of `high`: see divideForCode.
  Lanes size = magnitude(residual(high) / s);
  Lanes least = magnitude(high) * 0x1p-60 + 0x1p-149;
  size =
      select(compareFloat(arith::CmpFPredicate::OLT, size, least), least, size);
  // 0 / 0 must be NaN, but 0 divided by a tiny number 0.
  Lanes isDivisor = compareFloat(arith::CmpFPredicate::ONE, s, s.c(0.0));
  Lanes limited = minFloat(size, std::numeric_limits<float>::max());
  size = select(isDivisor, limited, size);
  size = select(magnitude(s).asInt() == 0x7f800000, s.c(0.0), size);
  return {high, s.wrap(math::CopySignOp::create(*s.b, size.v, high.v))};
}

/// A quotient that encodes to the same 4- or 8-bit float as x / scale. Lanes of
/// a GPU that share the scale multiply by both parts of its reciprocal:
/// x * high + (x * low) is off by less than 2^-22 ulp before it is rounded, so
/// that it can differ from the rounded quotient only where that is half an ulp
/// from a tie of the format (to 2^-22 ulp); the few x and scales with that
/// property have the same codes (GpuArithmetic.DivisionForCodes tries all).
/// Parts of one sign make infinity of infinity, never NaN.
static Lanes divideForCode(Lanes x, Lanes scale) {
  auto uniform = scale.v.getDefiningOp<vector::BroadcastOp>();
  if (!uniform || !isGpuCode(*x.b) ||
      isa<VectorType>(uniform.getSource().getType()))
    return x / scale;
  Reciprocal parts = reciprocal(x.wrap(uniform.getSource()));
  auto widen = [&](Lanes part) {
    return x.wrap(vector::BroadcastOp::create(*x.b, x.type(), part.v));
  };
  Lanes rest = x * widen(parts.low);
  return x.wrap(math::FmaOp::create(*x.b, x.v, widen(parts.high).v, rest.v));
}

Lanes staticCode(Lanes x, Lanes scale, Value zeroPoint, Type storage,
                 bool saturate) {
  auto integer = dyn_cast<IntegerType>(storage);
  if (!integer)
    return encodeAs(divideForCode(x, scale), storage, saturate);
  Lanes q = x / scale;
  Lanes r = q.wrap(math::RoundEvenOp::create(*q.b, q.v));
  if (zeroPoint)
    r = r + q.wrap(arith::SIToFPOp::create(*q.b, q.type(), zeroPoint));
  IntRange range = intRange(integer);
  r = minFloat(maxFloat(r, range.low), range.high);
  Lanes ordered = compareFloat(arith::CmpFPredicate::ORD, r, r);
  r = select(ordered, r, r.c(0.0));
  Lanes code = r.wrap(arith::FPToSIOp::create(*r.b, r.intType(32), r.v));
  if (integer.getWidth() == 4)
    code = code & 15;
  return code.resize(8);
}

} // namespace cpu
} // namespace nibble
