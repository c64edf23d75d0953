// Block scales of packed weights and of activations as f32.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmScales.h"

using namespace mlir;

namespace nibble {
namespace cpu {

using Elem = rt::StorageFormat;

static int64_t lanesOf(Value value) {
  return cast<VectorType>(value.getType()).getDimSize(0);
}

/// s eeee mmm becomes the f16 s 0eeee mmm0000000, which is the value / 256.
Value e4m3ToF32(GemmCode &code, Value codes, bool keepNan) {
  ImplicitLocOpBuilder &b = code.b;
  auto words = code.vec(lanesOf(codes), b.getIntegerType(16));
  Value wide = arith::ExtSIOp::create(b, words, codes);
  Value shifted = arith::ShLIOp::create(b, wide, code.splat(words, 7));
  Value bits = arith::AndIOp::create(b, shifted, code.splat(words, 0xbf80));
  if (keepNan) {
    Value magnitude = arith::AndIOp::create(b, wide, code.splat(words, 0x7f));
    Value isNan = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, magnitude,
                                        code.splat(words, 0x7f));
    bits = arith::SelectOp::create(b, isNan, code.splat(words, 0x7e00), bits);
  }
  return code.toF32(code.bitcast(bits, b.getF16Type()));
}

static Value e8m0ToF32(GemmCode &code, Value codes) {
  ImplicitLocOpBuilder &b = code.b;
  auto words = code.vec(lanesOf(codes), b.getI32Type());
  Value wide = arith::ExtUIOp::create(b, words, codes);
  Value shifted = arith::ShLIOp::create(b, wide, code.splat(words, 23));
  // 0 is 2^-127, a subnormal; 255 is NaN.
  Value bits =
      arith::MaxUIOp::create(b, shifted, code.splat(words, 0x00400000));
  Value isNan = arith::CmpIOp::create(b, arith::CmpIPredicate::eq, wide,
                                      code.splat(words, 255));
  bits = arith::SelectOp::create(b, isNan, code.splat(words, 0x7fc00000), bits);
  return code.bitcast(bits, code.f32());
}

Value scaleToF32(GemmCode &code, Elem format, Value raw, bool keepNan) {
  if (format == Elem::E4M3)
    return e4m3ToF32(code, raw, keepNan);
  return format == Elem::E8M0 ? e8m0ToF32(code, raw) : code.toF32(raw);
}

/// The product of an E4M3 scale and a T is exact in f32 for the 16-bit T, so
/// that it is rounded once.
Value applyGlobal(GemmCode &code, Elem format, Value scale, Elem globalFormat,
                  Value global) {
  ImplicitLocOpBuilder &b = code.b;
  bool narrow = format == Elem::E4M3;
  Value factor;
  if (narrow)
    factor = arith::ConstantOp::create(b, b.getF32FloatAttr(256));
  if (globalFormat != Elem::None)
    factor = narrow ? code.mulF(global, factor) : global;
  if (!factor)
    return scale;
  Value wide =
      vector::BroadcastOp::create(b, cast<VectorType>(scale.getType()), factor);
  Value product = code.mulF(scale, wide);
  if (globalFormat == Elem::None)
    return product;
  return code.toF32(code.fromF32(product, globalFormat));
}

} // namespace cpu
} // namespace nibble
