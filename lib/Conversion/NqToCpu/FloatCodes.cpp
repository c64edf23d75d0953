// Decoding and encoding of small floats as lane arithmetic.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "FloatCodes.h"
#include "GpuCode.h"
#include "LaneMath.h"
#include "LoopExpr.h"
#include "PackedHalves.h"

using namespace mlir;

namespace nibble {
namespace cpu {

static Value splat(ImplicitLocOpBuilder &b, Type type, TypedAttr attr) {
  if (auto shaped = dyn_cast<ShapedType>(type))
    attr = DenseElementsAttr::get(shaped, Attribute(attr));
  return arith::ConstantOp::create(b, attr);
}

Value splatConstant(ImplicitLocOpBuilder &b, Type type, double value) {
  Type element = getElementTypeOrSelf(type);
  if (isa<FloatType>(element))
    return splat(b, type, b.getFloatAttr(element, value));
  return splatConstant(b, type, static_cast<int64_t>(value));
}

Value splatConstant(ImplicitLocOpBuilder &b, Type type, int64_t value) {
  Type element = getElementTypeOrSelf(type);
  if (isa<FloatType>(element))
    return splatConstant(b, type, static_cast<double>(value));
  return splat(b, type, b.getIntegerAttr(element, value));
}

namespace {

/// Fields of a float format of at most 8 bits. Codes are magnitudes, without
/// sign, except for the NaN of FNUZ formats: that is the code of -0.
struct SmallFloat {
  int bits, mantissa, bias;
  int64_t largest;  ///< code of the largest finite number
  int64_t inf, nan; ///< their codes; `largest` if the format has none
  int shift() const { return 23 - mantissa; }
  int rebias() const { return 127 - bias; }
  int64_t signBit() const { return int64_t(1) << (bits - 1); }
  bool hasNan() const { return nan != largest; }
  bool hasInf() const { return inf != largest; }
  bool hasNegativeZero() const { return nan != signBit(); }
  /// 2^(1-bias): the smallest normal number.
  double smallestNormal() const { return std::ldexp(1.0, 1 - bias); }
};

SmallFloat describe(Type element) {
  if (isa<Float4E2M1FNType>(element))
    return {4, 1, 1, 7, 7, 7};
  if (isa<Float8E5M2Type>(element))
    return {8, 2, 15, 0x7b, 0x7c, 0x7e};
  if (isa<Float8E4M3FNUZType>(element))
    return {8, 3, 8, 0x7f, 0x7f, 0x80};
  if (isa<Float8E5M2FNUZType>(element))
    return {8, 2, 16, 0x7f, 0x7f, 0x80};
  return {8, 3, 7, 0x7e, 0x7e, 0x7f}; // E4M3FN
}

Lanes decodeSmall(const SmallFloat &format, Lanes code) {
  Lanes wide = code.resize(32);
  Lanes magnitude = wide & (format.signBit() - 1);
  Lanes shifted = magnitude << format.shift();
  Lanes normal = shifted + (int64_t(format.rebias()) << 23);
  // Subnormal: 0.m * 2^k = 1.m * 2^k - 2^k.
  Lanes one = (shifted + (int64_t(format.rebias() + 1) << 23)).asF32();
  Lanes subnormal = (one - format.smallestNormal()).asInt();
  Lanes bits =
      select(magnitude >= (int64_t(1) << format.mantissa), normal, subnormal);
  if (format.hasInf())
    bits = select(magnitude >= format.inf, shifted | 0x7f800000, bits);
  else if (format.hasNan())
    bits = select((format.hasNegativeZero() ? magnitude : wide) == format.nan,
                  bits.c(0x7fc00000), bits);
  Lanes sign = (wide & format.signBit()) << (32 - format.bits);
  return (bits | sign).asF32();
}

/// bf16 as its bits, on CPUs: LLVM would call a library, or go lane by lane.
/// GPUs have instructions, and what was rounded is not rounded once more.
Lanes decodeBf16(Lanes bits) { return (bits.resize(32) << 16).asF32(); }

Lanes encodeBf16(Lanes x) {
  Lanes bits = x.asInt();
  Lanes odd = (bits >> 16) & 1;
  Lanes rounded = (bits + odd + int64_t(0x7fff)) >> 16;
  Lanes nan = ((bits >> 16) & 0x8000) | 0x7fc0;
  Lanes isNan = compareFloat(arith::CmpFPredicate::UNO, x, x);
  return select(isNan, nan, rounded).resize(16);
}

/// 2^(code - 127); 0 is the subnormal 2^-127, 255 is NaN.
Lanes decodeE8M0(Lanes code) {
  Lanes wide = code.resize(32);
  Lanes bits = wide << 23;
  bits = select(wide == 0, bits.c(0x00400000), bits);
  bits = select(wide == 255, bits.c(0x7fc00000), bits);
  return bits.asF32();
}

/// As i32, without a sign. Comparisons are on floats: AVX2 has them.
Lanes encodeSmall(const SmallFloat &format, Lanes x, bool saturate) {
  using arith::CmpFPredicate;
  Lanes bits = x.asInt();
  Lanes magnitude = bits & 0x7fffffff;
  int shift = format.shift();
  Lanes odd = (magnitude >> shift) & 1;
  int64_t half = (int64_t(1) << (shift - 1)) - 1;
  Lanes normal =
      (magnitude + (half - (int64_t(format.rebias()) << 23)) + odd) >> shift;
  // Adding 2^k with ulp(2^k) = the smallest subnormal rounds to a multiple.
  double big = format.smallestNormal() * std::ldexp(1.0, 23 - format.mantissa);
  Lanes sum = magnitude.asF32() + big;
  Lanes subnormal = sum.asInt() - sum.c(big).asInt();
  Lanes isNormal = compareFloat(CmpFPredicate::OGE, magnitude.asF32(),
                                x.c(format.smallestNormal()));
  Lanes code = select(isNormal, normal, subnormal);
  if (saturate || !format.hasNan())
    code = minUnsigned(code, format.largest);
  else
    code = select(code > format.largest,
                  code.c(format.hasInf() ? format.inf : format.nan), code);
  Lanes sign = (bits >> (32 - format.bits)) & format.signBit();
  if (!format.hasNegativeZero())
    sign = select(code == 0, sign.c(0), sign);
  Lanes isNan = compareFloat(CmpFPredicate::UNO, x, x);
  if (format.hasNan())
    code = select(isNan, code.c(format.nan), code);
  else // +6: the sum above is NaN, a large code
    sign = select(isNan, sign.c(0), sign);
  return code | sign;
}

/// Exponent of x rounded as asked; negative numbers and NaN give 255.
Lanes encodeE8M0(Lanes x, const EncodeOptions &options) {
  Lanes bits = x.asInt();
  Lanes exponent = bits >> 23, fraction = bits & 0x7fffff;
  bool up = options.roundMode == "up", down = options.roundMode == "down";
  // Above these fractions (of normal, of subnormal numbers) one is added.
  int64_t normal = up ? 0 : 0x3fffff, subnormal = up ? 0x400000 : 0x5fffff;
  Lanes code = exponent;
  if (!down) {
    Lanes limit = select(exponent == 0, bits.c(subnormal), bits.c(normal));
    Lanes above = fraction.wrap(arith::CmpIOp::create(
        *x.b, arith::CmpIPredicate::sgt, fraction.v, limit.v));
    code = exponent +
           bits.wrap(arith::ExtUIOp::create(*x.b, bits.type(), above.v));
  }
  if (options.saturate) {
    code = minInt(code, 254);
  } else {
    // Below 2^-127 after rounding; zero among them.
    int64_t least = up ? 0x200001 : down ? 0x400000 : 0x300000;
    Lanes tooSmall = compareInt(arith::CmpIPredicate::slt, bits, least);
    code = select(tooSmall, code.c(255), code);
  }
  // -0 counts as zero.
  Lanes minusZero = bits == int64_t(INT32_MIN);
  Lanes invalid = compareInt(arith::CmpIPredicate::ugt, bits, 0x7f800000);
  code = select(invalid, code.c(255), code);
  code = select(minusZero, code.c(options.saturate ? 0 : 255), code);
  return code.resize(8);
}

/// GPUs have instructions for these, which arith.truncf and arith.extf become
/// (gpu-convert-float8).
bool hasInstructions(ImplicitLocOpBuilder &b, Type element) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(element) && isGpuCode(b);
}

Lanes decodeByInstruction(Type element, Lanes code) {
  return code.bitcast(element).extend(code.b->getF32Type());
}

/// The bounds are a part of the instruction. NaN stays NaN.
Lanes encodeByInstruction(Type element, Lanes x, bool saturate) {
  if (saturate) {
    double largest = isa<Float8E5M2Type>(element) ? 57344 : 448;
    x = x.wrap(arith::MinimumFOp::create(*x.b, x.v, x.c(largest).v));
    x = x.wrap(arith::MaximumFOp::create(*x.b, x.v, x.c(-largest).v));
  }
  return x.truncate(element).bitcast(x.b->getI8Type());
}

} // namespace

Value decodeBits(ImplicitLocOpBuilder &b, Type element, Value bits) {
  Lanes x{&b, bits};
  if (hasInstructions(b, element))
    return decodeByInstruction(element, x).v;
  if (isa<Float4E2M1FNType>(element)) {
    if (auto values = decodePairCodes(x))
      return values->v;
    if (auto codes = widenNibbles(x))
      x = *codes;
  }
  if (isa<Float4E2M1FNType, Float8E4M3FNType, Float8E5M2Type,
          Float8E4M3FNUZType, Float8E5M2FNUZType>(element))
    return decodeSmall(describe(element), x).v;
  if (isa<Float8E8M0FNUType>(element))
    return decodeE8M0(x).v;
  if (element.isBF16())
    return (isGpuCode(b) ? x.bitcast(element).extend(b.getF32Type())
                         : decodeBf16(x))
        .v;
  if (element.isF16())
    return x.extend(b.getF32Type()).v;
  if (element.isInteger(1))
    return (x != 0).v;
  return x.resize(element.getIntOrFloatBitWidth()).v;
}

Value encodeBits(ImplicitLocOpBuilder &b, Type element, Value value,
                 const EncodeOptions &options) {
  Lanes x{&b, value};
  if (isa<IntegerType>(element))
    return x.resize(std::max(8u, element.getIntOrFloatBitWidth())).v;
  if (element.isF64())
    return x.element().isF64() ? value : x.extend(element).v;
  if (x.element().isF64() && element.isF32())
    return x.truncate(element).v;
  if (x.element().isF64())
    x.v = truncToOdd(b, value);
  if (element.isF32())
    return x.v;
  if (element.isBF16())
    return (isGpuCode(b) ? x.truncate(element).asInt() : encodeBf16(x)).v;
  if (element.isF16())
    return x.truncate(element).v;
  if (isa<Float8E8M0FNUType>(element))
    return encodeE8M0(x, options).v;
  if (hasInstructions(b, element))
    return encodeByInstruction(element, x, options.saturate).v;
  return encodeSmall(describe(element), x, options.saturate).resize(8).v;
}

Value encodeWide(ImplicitLocOpBuilder &b, Type element, Value value,
                 bool saturate) {
  if (hasInstructions(b, element))
    return encodeByInstruction(element, {&b, value}, saturate).resize(32).v;
  return encodeSmall(describe(element), Lanes{&b, value}, saturate).v;
}

/// `rounded` is nearest to an exact number; `error` has the sign of the exact
/// number minus `rounded`, and is 0 if they are equal.
static Lanes toOdd(Lanes rounded, Lanes error) {
  Lanes bits = rounded.asInt();
  // Away from zero by the rounding: step back before setting the last bit.
  Lanes errorSign = error.asInt().bits() == 64
                        ? (error.asInt() >> 32).resize(32)
                        : error.asInt();
  Lanes differ = bits.wrap(arith::XOrIOp::create(*bits.b, bits.v, errorSign.v));
  Lanes away = differ >> 31;
  Lanes inexact = compareFloat(arith::CmpFPredicate::ONE, error, error.c(0));
  Lanes odd = (bits - away) | 1;
  return select(inexact, odd, bits).asF32();
}

Value truncToOdd(ImplicitLocOpBuilder &b, Value value) {
  Lanes x{&b, value};
  Lanes rounded = x.truncate(b.getF32Type());
  // Infinities: inf - inf is NaN, which is not ordered-unequal to 0.
  return toOdd(rounded, x - rounded.extend(b.getF64Type())).v;
}

Value multiplyToOdd(ImplicitLocOpBuilder &b, Value x, Value y) {
  Lanes a{&b, x}, c{&b, y};
  Lanes product = a * c;
  Lanes negative = product.wrap(arith::NegFOp::create(b, product.v));
  Lanes error = a.wrap(math::FmaOp::create(b, x, y, negative.v));
  return toOdd(product, error).v;
}

} // namespace cpu
} // namespace nibble
