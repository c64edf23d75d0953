// Pairs of f16 or bf16 in registers, and the codes that become some.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "HalfPairs.h"

using namespace mlir;

namespace nibble {
namespace tilecode {

static Value constantOf(ImplicitLocOpBuilder &b, int64_t bits) {
  return LLVM::ConstantOp::create(b, b.getI32Type(),
                                  b.getI32IntegerAttr(int32_t(bits)));
}

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

Value HalfPairs::constant(int64_t bits) { return constantOf(b, bits); }

Value HalfPairs::bitAnd(Value x, int64_t bits) {
  return LLVM::AndOp::create(b, x, constant(bits));
}

Value HalfPairs::bitOr(Value x, Value y) { return LLVM::OrOp::create(b, x, y); }

Value HalfPairs::shift(Value x, int64_t left) {
  if (left == 0)
    return x;
  if (left > 0)
    return LLVM::ShlOp::create(b, x, constant(left));
  return LLVM::LShrOp::create(b, x, constant(-left));
}

Value HalfPairs::permute(Value x, Value y, int64_t selector) {
  return emitAsm(b, "prmt.b32 $0, $1, $2, " + Twine(selector) + ";", "=r,r,r",
                 b.getI32Type(), {x, y})
      .front();
}

Value HalfPairs::arithmetic(StringRef name, Value x, Value y) {
  return emitAsm(b,
                 name + (isBf16 ? ".rn.bf16x2" : ".rn.f16x2") + " $0, $1, $2;",
                 "=r,r,r", b.getI32Type(), {x, y})
      .front();
}

Value HalfPairs::multiply(Value x, Value y) { return arithmetic("mul", x, y); }
Value HalfPairs::subtract(Value x, Value y) { return arithmetic("sub", x, y); }

Value HalfPairs::lowToFloat(Value x) {
  if (isBf16)
    return asFloat(b, shift(x, 16));
  Value low = LLVM::TruncOp::create(b, b.getI16Type(), x);
  return emitAsm(b, "cvt.f32.f16 $0, $1;", "=f,h", b.getF32Type(), low).front();
}

Value HalfPairs::highToFloat(Value x) {
  return isBf16 ? asFloat(b, bitAnd(x, 0xFFFF0000)) : lowToFloat(shift(x, -16));
}

Value asFloat(ImplicitLocOpBuilder &b, Value bits) {
  return LLVM::BitcastOp::create(b, b.getF32Type(), bits);
}

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

/// The upper bytes of f16, four at once: of odd pairs, then of even ones. The
/// lower bytes are zeros.
SmallVector<Value> HalfPairs::fromE2M1ByBytes(Value word) {
  auto bytes = [&](Value signs, Value rest) {
    return bitOr(bitAnd(signs, 0x80808080), bitAnd(rest, 0x0E0E0E0E));
  };
  Value odd = bytes(word, shift(word, -3)),
        even = bytes(shift(word, 4), shift(word, 1));
  Value zero = constant(0);
  constexpr int64_t kBytes02 = 0x2404, kBytes13 = 0x3414;
  return {permute(even, zero, kBytes02), permute(odd, zero, kBytes02),
          permute(even, zero, kBytes13), permute(odd, zero, kBytes13)};
}

/// Of bf16, signs to bits 15 and 31, the rest to bits 6-8 and 22-24.
SmallVector<Value> HalfPairs::fromE2M1(Value word) {
  if (!isBf16)
    return fromE2M1ByBytes(word);
  SmallVector<Value> pairs;
  for (int64_t i = 0; i < 4; ++i) {
    int64_t left = 12 - 4 * i;
    pairs.push_back(bitOr(bitAnd(shift(word, left), 0x80008000),
                          bitAnd(shift(word, left - 6), 0x01C001C0)));
  }
  return pairs;
}

/// 1024 + code, or 128 + code in bf16, less that; signed codes with their sign
/// bit turned are 8 more.
SmallVector<Value> HalfPairs::fromIntegers(Value word, bool isSigned) {
  if (isSigned)
    word = LLVM::XOrOp::create(b, word, constant(0x88888888));
  int64_t ones = isBf16 ? 0x43004300 : 0x64006400;
  Value offset = constant(ones + (isSigned ? 0x00080008 : 0));
  SmallVector<Value> pairs;
  for (int64_t i = 0; i < 4; ++i) {
    Value low = bitAnd(shift(word, -4 * i), 0x000F000F);
    pairs.push_back(subtract(bitOr(low, constant(ones)), offset));
  }
  return pairs;
}

Value HalfPairs::fromBytes(Value x, bool isE5M2) {
  Value low = LLVM::TruncOp::create(b, b.getI16Type(), x);
  StringRef text =
      isE5M2 ? "cvt.rn.f16x2.e5m2x2 $0, $1;" : "cvt.rn.f16x2.e4m3x2 $0, $1;";
  Value pair = emitAsm(b, text, "=r,h", b.getI32Type(), low).front();
  if (!isBf16)
    return pair;
  HalfPairs halves(b, /*isBf16=*/false);
  Value first = halves.lowToFloat(pair), second = halves.highToFloat(pair);
  return emitAsm(b, "cvt.rn.bf16x2.f32 $0, $2, $1;", "=r,f,f", b.getI32Type(),
                 {first, second})
      .front();
}

/// The byte is the end of the mantissa of 1024 in f16, or of 2^23 in f32, whose
/// difference is a number of bf16; signed ones with their sign bit turned are
/// 128 more.
Value HalfPairs::fromByteIntegers(Value x, bool isSigned) {
  if (isSigned)
    x = LLVM::XOrOp::create(b, x, constant(0x8080));
  if (!isBf16)
    return subtract(permute(x, constant(0x64), 0x4140),
                    constant(isSigned ? 0x64806480 : 0x64006400));
  Type f32 = b.getF32Type();
  Value offset = LLVM::ConstantOp::create(
      b, f32, b.getF32FloatAttr(isSigned ? 8388736.0f : 8388608.0f));
  SmallVector<Value> numbers;
  for (int64_t selector : {0x7440, 0x7441}) {
    Value bits = permute(x, constant(0x4B000000), selector);
    numbers.push_back(LLVM::FSubOp::create(b, asFloat(b, bits), offset));
  }
  return emitAsm(b, "cvt.rn.bf16x2.f32 $0, $2, $1;", "=r,f,f", b.getI32Type(),
                 numbers)
      .front();
}

Value HalfPairs::fromByteCodes(Value x, Type format) {
  if (format.isInteger())
    return fromByteIntegers(x, !format.isUnsignedInteger());
  return fromBytes(x, isa<Float8E5M2Type>(format));
}

Value HalfPairs::fromScales(Value x) {
  return multiply(fromBytes(x, /*isE5M2=*/false),
                  constant(isBf16 ? 0x7A807A80 : 0x58005800));
}

Value HalfPairs::toValues(Value x) { return multiply(x, constant(0x7E807E80)); }

Value powerOfTwo(ImplicitLocOpBuilder &b, Value x) {
  Value bits = LLVM::ShlOp::create(b, x, constantOf(b, 23));
  for (auto [code, value] :
       {std::pair(0, 0x00400000), std::pair(255, 0x7FC00000)}) {
    Value is = LLVM::ICmpOp::create(b, LLVM::ICmpPredicate::eq, x,
                                    constantOf(b, code));
    bits = LLVM::SelectOp::create(b, is, constantOf(b, value), bits);
  }
  return bits;
}

} // namespace tilecode
} // namespace nibble
