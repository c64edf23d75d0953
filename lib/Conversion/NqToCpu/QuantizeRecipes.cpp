// The arithmetic of quantization recipes on lanes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "QuantizeRecipes.h"

#include "BlackwellCodes.h"
#include "GpuCode.h"
#include "GpuQuotients.h"

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
    return sixthForCode(amax, global);
  case Nvfp4Recipe::CompressedTensors:
    return global * (amax / 6.0);
  case Nvfp4Recipe::TransformerEngine:
    return amax * (global * double(sixth));
  case Nvfp4Recipe::Torchao:
    break;
  }
  return minFloat(maxFloat(sixthForCode(amax, global), 0x1p-6), 448);
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

/// By words, if all lanes have one factor. Added zero makes -0 zero.
static std::optional<Lanes> nvfp4CodesOfBlock(Lanes x, Lanes factor,
                                              Nvfp4Recipe recipe) {
  auto scalar = scalarOf(factor);
  auto type = dyn_cast<VectorType>(x.type());
  if (!scalar || !type || type.getNumElements() % 8 || !isBlackwellCode(*x.b))
    return std::nullopt;
  Lanes q = nvfp4Multiplies(recipe) ? x * factor : x / factor;
  if (!keepsNegativeZero(recipe))
    q = q + 0.0;
  Lanes usable =
      compareFloat(arith::CmpFPredicate::OGT, *scalar, scalar->c(0.0));
  return keepCodes(*e2m1ByConversion(q), usable, 4);
}

Lanes nvfp4Code(Lanes x, Lanes factor, Nvfp4Recipe recipe) {
  auto byDivision = [&] { return nvfp4CodeByDivision(x, factor, recipe); };
  if (keepsNegativeZero(recipe) && !nvfp4Multiplies(recipe))
    if (auto code = e2m1CodeOnGpu(x, factor, byDivision))
      return *code;
  if (auto codes = nvfp4CodesOfBlock(x, factor, recipe))
    return *codes;
  return byDivision().resize(8);
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
    if (auto code = e8m0OfQuotient(amax, format.largest))
      return *code;
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

/// By words, if all lanes have one factor.
static std::optional<Lanes> mxCodesOfBlock(Lanes q, Lanes factor,
                                           Type storage) {
  auto scalar = scalarOf(factor);
  auto type = dyn_cast<VectorType>(q.type());
  if (!scalar || !type || type.getNumElements() % 8 || !isBlackwellCode(*q.b))
    return std::nullopt;
  Lanes isNumber = compareFloat(arith::CmpFPredicate::ORD, *scalar, *scalar);
  if (isa<Float4E2M1FNType>(storage))
    return keepCodes(*e2m1ByConversion(q), isNumber, 4);
  return keepCodes(encodeAs(q, storage), isNumber, 8);
}

Lanes mxCode(Lanes x, Lanes factor, Type storage, MxRecipe recipe) {
  Lanes q = x * factor;
  if (recipe != MxRecipe::Modelopt || !isa<Float4E2M1FNType>(storage))
    if (auto codes = mxCodesOfBlock(q, factor, storage))
      return *codes;
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

/// Adding a number with ulp = the step of codes near x rounds x to a multiple
/// of that step, ties to even.
Lanes codeNumber(Lanes x, Type storage) {
  const llvm::fltSemantics &format =
      cast<FloatType>(storage).getFloatSemantics();
  x = minFloat(x, APFloat::getLargest(format).convertToDouble());
  Lanes power = (x.asInt() & 0x7f800000).asF32();
  power =
      maxFloat(power, APFloat::getSmallestNormalized(format).convertToDouble());
  int digits = APFloat::semanticsPrecision(format);
  Lanes big = power * std::ldexp(1.5, 24 - digits);
  return (x + big) - big;
}

} // namespace cpu
} // namespace nibble
