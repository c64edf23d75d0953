// Reads the left operand of a GEMM as f32, whatever it is stored as.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmActivation.h"

using namespace mlir;

namespace nibble {
namespace cpu {

using Elem = rt::StorageFormat;

static bool isOneOf(Elem format, std::initializer_list<Elem> list) {
  return llvm::is_contained(list, format);
}

/// Vectors of 8 elements must not reach over two scales or into another row.
static std::string whyBadRun(const GemmSpec &spec) {
  int64_t run = spec.scaledA.run;
  if (run && spec.k % run)
    return "blocks of " + std::to_string(run) +
           " elements do not divide rows of " + std::to_string(spec.k);
  if (run && run % 8 && run != spec.k)
    return "blocks of " + std::to_string(run) +
           " elements are no multiple of 8";
  if (rt::formatBits(spec.a) == 4 && spec.k % 8)
    return "rows of " + std::to_string(spec.k) +
           " 4-bit codes are no multiple of 8";
  return "";
}

std::string whyUnsupportedScaledA(const GemmSpec &spec) {
  auto noKernel = [](const char *what, Elem format) {
    return std::string("there is no kernel for activations with ") + what +
           " of type " + rt::formatName(format);
  };
  if (!isOneOf(spec.a,
               {Elem::E4M3, Elem::E5M2, Elem::E2M1, Elem::I8, Elem::U8}))
    return noKernel("codes", spec.a);
  if (!isOneOf(spec.scaledA.scale,
               {Elem::F32, Elem::F16, Elem::BF16, Elem::E4M3, Elem::E8M0}))
    return noKernel("scales", spec.scaledA.scale);
  if (!isOneOf(spec.scaledA.global,
               {Elem::None, Elem::F32, Elem::F16, Elem::BF16}))
    return noKernel("a global scale", spec.scaledA.global);
  if (spec.strideA && spec.strideA != spec.k)
    return "rows of a scaled activation must be dense";
  for (const GemmBatchDim &dim : spec.batch)
    if (dim.strideA % spec.k)
      return "batches of a scaled activation must be whole rows";
  return whyBadRun(spec);
}

Value GemmActivation::load(Value at, int64_t lanes) {
  if (!spec.scaledA.scaled())
    return code.toF32(code.load(buffer, at, lanes));
  int64_t run = spec.scaledA.run;
  Value scale = scales(run ? code.div(at, run) : code.index(0), 1);
  Value scalar = vector::ExtractOp::create(code.b, scale, int64_t(0));
  Value wide =
      vector::BroadcastOp::create(code.b, code.vec(lanes, code.f32()), scalar);
  return code.mulF(codes(at, lanes), wide);
}

Value GemmActivation::global() {
  return code.loadNumber(buffer, spec.scaledA.globalAt, spec.scaledA.global);
}

Value GemmActivation::scales(Value first, int64_t count, bool withGlobal) {
  const GemmScaledA &a = spec.scaledA;
  Type element = code.elementType(a.scale);
  int64_t size = element.getIntOrFloatBitWidth() / 8;
  Value at = code.add(code.mul(first, size), a.scalesAt);
  Value scale =
      scaleToF32(code, a.scale, code.loadBytes(buffer, at, count, element),
                 /*keepNan=*/true);
  if (!withGlobal || a.global == Elem::None)
    return applyGlobal(code, a.scale, scale, Elem::None, Value());
  return applyGlobal(code, a.scale, scale, a.global, global());
}

Value GemmActivation::codes(Value at, int64_t lanes) {
  ImplicitLocOpBuilder &b = code.b;
  if (spec.a == Elem::E2M1)
    return eightNibbles(at);
  Value raw = code.load(buffer, at, lanes);
  auto f32 = code.vec(lanes, code.f32());
  auto ints = code.vec(lanes, b.getI32Type());
  switch (spec.a) {
  case Elem::E4M3: {
    Value factor = arith::ConstantOp::create(
        b, DenseElementsAttr::get(f32, b.getF32FloatAttr(256)));
    return code.mulF(e4m3ToF32(code, raw, /*keepNan=*/true), factor);
  }
  case Elem::E5M2: { // the upper byte of an f16
    auto words = code.vec(lanes, b.getIntegerType(16));
    Value bits = arith::ShLIOp::create(b, arith::ExtUIOp::create(b, words, raw),
                                       code.splat(words, 8));
    return code.toF32(code.bitcast(bits, b.getF16Type()));
  }
  case Elem::I8:
    return arith::SIToFPOp::create(b, f32,
                                   arith::ExtSIOp::create(b, ints, raw));
  default:
    return arith::SIToFPOp::create(b, f32,
                                   arith::ExtUIOp::create(b, ints, raw));
  }
}

/// Magnitudes are looked up in a register of eight; bit 3 is the sign.
Value GemmActivation::eightNibbles(Value at) {
  ImplicitLocOpBuilder &b = code.b;
  auto ints = code.vec(8, b.getI32Type());
  Value bytes = code.load(buffer, code.div(at, 2), 4);
  Value word = vector::ExtractOp::create(b, code.bitcast(bytes, b.getI32Type()),
                                         int64_t(0));
  SmallVector<int32_t> shifts = {0, 4, 8, 12, 16, 20, 24, 28};
  Value nibbles = arith::ShRUIOp::create(
      b, code.broadcast(word),
      arith::ConstantOp::create(
          b, DenseElementsAttr::get(ints, ArrayRef<int32_t>(shifts))));
  SmallVector<float> magnitudes = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  Value table = arith::ConstantOp::create(
      b, DenseElementsAttr::get(code.v8(), ArrayRef<float>(magnitudes)));
  Value magnitude =
      code.intrinsic("llvm.x86.avx2.permps", code.v8(), {table, nibbles});
  Value sign = arith::ShLIOp::create(
      b, arith::AndIOp::create(b, nibbles, code.splat(ints, 8)),
      code.splat(ints, 28));
  return code.bitcast(
      arith::XOrIOp::create(b, code.bitcast(magnitude, b.getI32Type()), sign),
      code.f32());
}

} // namespace cpu
} // namespace nibble
