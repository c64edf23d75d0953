// Operand A of wgmma from codes in shared memory, and scales of sums.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Expand.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm90;

Int nibble::sm90::getSlotAddress(Kernel &kernel, const Slot &slot) {
  Code &code = kernel.getCode();
  Value base = LLVM::PtrToIntOp::create(code, code.i32(), kernel.memory);
  Int offset = code.add(code.mul(slot.stage, slot.ring->layout->stageBytes),
                        slot.offset);
  return code.add(base, offset);
}

/// `count` registers of 32 bits.
static SmallVector<Value> load(Code &code, Int address, int64_t count) {
  std::string list, constraints;
  for (int64_t i = 0; i < count; ++i) {
    list += (i ? ", $" : "$") + std::to_string(i);
    constraints += "=r,";
  }
  std::string form = count == 1
                         ? ".b32 $0"
                         : ".v" + std::to_string(count) + ".b32 {" + list + "}";
  return code.emitAsm("ld.shared" + form + ", [$" + std::to_string(count) +
                          "];",
                      constraints + "r", SmallVector<Type>(count, code.i32()),
                      code.get(address), /*hasEffects=*/true);
}

static Value permute(Code &code, Value x, int64_t selector) {
  return code
      .emitAsm("prmt.b32 $0, $1, $1, " + std::to_string(selector) + ";", "=r,r",
               code.i32(), x)
      .front();
}

/// Two E4M3 in the low half of x as f16.
static Value pairOfBytes(Code &code, Value x) {
  Value low = LLVM::TruncOp::create(code, code.i16(), x);
  return code.emitAsm("cvt.rn.f16x2.e4m3x2 $0, $1;", "=r,h", code.i32(), low)
      .front();
}

static Value lowToFloat(Code &code, Value x) {
  Value low = LLVM::TruncOp::create(code, code.i16(), x);
  return code.emitAsm("cvt.f32.f16 $0, $1;", "=f,h", code.getF32Type(), low)
      .front();
}

static Value asFloat(Code &code, Int bits) {
  return LLVM::BitcastOp::create(code, code.getF32Type(), code.get(bits));
}

/// The upper halves of the bits of two f32.
static Value upperHalves(Code &code, Int low, Int high) {
  return code.get(code.bitOr(code.shr(low, 16),
                             code.bitAnd(high, int64_t(int32_t(0xFFFF0000)))));
}

/// Bits of 2^(x - 127) as an f32: 2^-127 is no normal number, 255 is a NaN.
static Int powerOfTwo(Code &code, Int x) {
  Int bits = code.shl(x, 23);
  bits = code.select(code.equal(x, 0), 0x00400000, bits);
  return code.select(code.equal(x, 255), 0x7FC00000, bits);
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

Fragments::Fragments(Kernel &kernel, const ExpandedOperand &operand, Int tile)
    : code(kernel.getCode()), op(operand.op),
      isBf16(op.getResult().getType().getElement().isBF16()) {
  int64_t k = op.getResult().getType().getShape()[1];
  Int codes = getSlotAddress(kernel, operand.codes);
  codes = code.add(codes, code.mul(tile, 8 * k));
  codes = code.add(codes, code.mul(kernel.threads.lane, k / 4));
  words = load(code, codes, k / 16);
  if (!op.getScales())
    return;
  // Blocks, and in them rows g and g + 8: bytes.
  int64_t bytes = 2 * k / *op.getPer();
  Int scales = getSlotAddress(kernel, operand.scales);
  scales = code.add(scales, code.mul(tile, 8 * bytes));
  scales = code.add(scales, code.mul(code.shr(kernel.threads.lane, 2), bytes));
  if (bytes >= 4) {
    scaleWords = load(code, scales, bytes / 4);
    return;
  }
  scaleWords = code.emitAsm("ld.shared.u16 $0, [$1];", "=r,r", code.i32(),
                            code.get(scales), /*hasEffects=*/true);
}

Value Fragments::multiply(Value x, Value y) {
  return code
      .emitAsm(isBf16 ? "mul.rn.bf16x2 $0, $1, $2;"
                      : "mul.rn.f16x2 $0, $1, $2;",
               "=r,r,r", code.i32(), {x, y})
      .front();
}

/// Sign to bits 15 and 31; exponent and mantissa to where those of the wider
/// format end (f16: 9-11, bf16: 6-8).
SmallVector<Value> Fragments::fromFloats(Value word) {
  SmallVector<Value> values;
  for (int64_t i = 0; i < 4; ++i) {
    Int sign =
        code.bitAnd(code.shl(word, 12 - 4 * i), int64_t(int32_t(0x80008000)));
    int64_t right = (isBf16 ? 6 : 3) - (12 - 4 * i);
    Int moved = right > 0 ? code.shr(word, right) : code.shl(word, -right);
    Int rest = code.bitAnd(moved, isBf16 ? 0x01C001C0 : 0x0E000E00);
    values.push_back(code.get(code.bitOr(sign, rest)));
  }
  return values;
}

/// 1024 + code, or 128 + code in bf16; signed codes with their sign bit turned
/// are 8 more.
SmallVector<Value> Fragments::fromIntegers(Value word) {
  bool isSigned = !op.getFormat().isUnsignedInteger();
  if (isSigned)
    word = code.get(code.bitXor(word, int64_t(int32_t(0x88888888))));
  int64_t ones = isBf16 ? 0x43004300 : 0x64006400;
  int64_t offset = ones + (isSigned ? 0x00080008 : 0);
  SmallVector<Value> values;
  for (int64_t i = 0; i < 4; ++i) {
    Int low = code.bitAnd(code.shr(word, 4 * i), 0x000F000F);
    Value raised = code.get(code.bitOr(low, ones));
    values.push_back(code.emitAsm(isBf16 ? "sub.rn.bf16x2 $0, $1, $2;"
                                         : "sub.rn.f16x2 $0, $1, $2;",
                                  "=r,r,r", code.i32(),
                                  {raised, code.get(offset)})
                         .front());
  }
  return values;
}

/// Pairs of one scale, for rows g and g + 8, times what makes products exact
/// (ExpandOp::getExactExponent).
void Fragments::convertScales(int64_t block) {
  if (converted == block)
    return;
  converted = block;
  Value word = scaleWords[block / 2];
  Value bytes = code.get(code.shr(word, 16 * (block % 2)));
  Value pair;
  if (isa<Float8E8M0FNUType>(op.getScales().getType().getElement())) {
    Int low = code.bitAnd(bytes, 255);
    Int high = code.bitAnd(code.shr(bytes, 8), 255);
    pair = upperHalves(code, powerOfTwo(code, low), powerOfTwo(code, high));
  } else if (isBf16) {
    Value halves = pairOfBytes(code, bytes);
    Value upper = code.get(code.shr(halves, 16));
    Value rounded =
        code.emitAsm("cvt.rn.bf16x2.f32 $0, $2, $1;", "=r,f,f", code.i32(),
                     {lowToFloat(code, halves), lowToFloat(code, upper)})
            .front();
    pair = multiply(rounded, code.get(0x7A807A80)); // 2^118
  } else {
    pair = multiply(pairOfBytes(code, bytes), code.get(0x58005800)); // 2^7
  }
  factors = {permute(code, pair, 0x1010), permute(code, pair, 0x3232)};
}

SmallVector<Value> Fragments::make(int64_t step) {
  if (op.getFormat().isInteger(4))
    return fromIntegers(words[step]);
  SmallVector<Value> values = fromFloats(words[step]);
  bool isScaled = bool(op.getScales());
  bool isE4M3 =
      isScaled && isa<Float8E4M3FNType>(op.getScales().getType().getElement());
  if (isScaled)
    convertScales(16 * step / int64_t(*op.getPer()));
  for (auto [i, value] : llvm::enumerate(values)) {
    if (isBf16 && !isE4M3)
      value = multiply(value, code.get(0x7E807E80)); // 2^126
    if (isScaled)
      value = multiply(value, factors[i % 2]);
  }
  return values;
}

//===----------------------------------------------------------------------===//
// Scales of sums
//===----------------------------------------------------------------------===//

SmallVector<Value, 2> nibble::sm90::loadPackedScales(Kernel &kernel,
                                                     const Slot &slot,
                                                     Type element, Int tile) {
  Code &code = kernel.getCode();
  int64_t bytes = element.getIntOrFloatBitWidth() / 8;
  Int g = code.shr(kernel.threads.lane, 2);
  Int at = code.add(getSlotAddress(kernel, slot), code.mul(tile, 16 * bytes));
  at = code.add(at, code.mul(g, 2 * bytes));
  if (bytes == 4) {
    SmallVector<Value> words = load(code, at, 2);
    return {asFloat(code, words[0]), asFloat(code, words[1])};
  }
  if (bytes == 2) {
    Value pair = load(code, at, 1).front();
    if (element.isBF16())
      return {asFloat(code, code.shl(pair, 16)),
              asFloat(code, code.bitAnd(pair, int64_t(int32_t(0xFFFF0000))))};
    return {lowToFloat(code, pair),
            lowToFloat(code, code.get(code.shr(pair, 16)))};
  }
  Value pair = code.emitAsm("ld.shared.u16 $0, [$1];", "=r,r", code.i32(),
                            code.get(at), /*hasEffects=*/true)
                   .front();
  if (isa<Float8E8M0FNUType>(element))
    return {asFloat(code, powerOfTwo(code, code.bitAnd(pair, 255))),
            asFloat(code, powerOfTwo(code, code.shr(pair, 8)))};
  Value halves = pairOfBytes(code, pair);
  return {lowToFloat(code, halves),
          lowToFloat(code, code.get(code.shr(halves, 16)))};
}
