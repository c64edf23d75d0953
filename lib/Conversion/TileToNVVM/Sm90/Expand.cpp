// Operand A of wgmma from codes in shared memory, and scales of sums.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Expand.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

Int nibble::sm90::getSlotAddress(Kernel &kernel, const Slot &slot) {
  Code &code = kernel.getCode();
  Value base = LLVM::PtrToIntOp::create(code, code.i32(), kernel.memory);
  Int offset = code.add(code.mul(slot.stage, slot.ring->layout->stageBytes),
                        slot.offset);
  return code.add(base, offset);
}

/// The upper halves of the bits of two f32.
static Value upperHalves(Code &code, Value low, Value high) {
  return code.get(code.bitOr(code.shr(low, 16),
                             code.bitAnd(high, int64_t(int32_t(0xFFFF0000)))));
}

//===----------------------------------------------------------------------===//
// Fragments
//===----------------------------------------------------------------------===//

Fragments::Fragments(Kernel &kernel, const ExpandedOperand &operand, Int tile)
    : code(kernel.getCode()), op(operand.op),
      isBf16(op.getResult().getType().getElement().isBF16()),
      pairs(code, isBf16) {
  int64_t k = op.getResult().getType().getShape()[1];
  loadCodes(getSlotAddress(kernel, operand.codes), tile, kernel.threads.lane);
  if (!op.getScales())
    return;
  // Blocks, and in them rows g and g + 8: bytes.
  int64_t bytes = 2 * k / *op.getPer();
  Int scales = getSlotAddress(kernel, operand.scales);
  scales = code.add(scales, code.mul(tile, 8 * bytes));
  scales = code.add(scales, code.mul(code.shr(kernel.threads.lane, 2), bytes));
  if (bytes >= 4) {
    scaleWords = loadWords(code, code.get(scales), bytes / 4);
    return;
  }
  scaleWords = {loadHalf(code, code.get(scales))};
}

/// Up to 16 bytes of each lane, lane after lane: of 8 bits, those of 32 k, then
/// of the next.
void Fragments::loadCodes(Int codes, Int tile, Int lane) {
  int64_t k = op.getResult().getType().getShape()[1],
          bits = op.getFormat().getIntOrFloatBitWidth();
  int64_t bytes = k * bits / 16, each = std::min<int64_t>(bytes, 16);
  codes = code.add(codes, code.mul(tile, 32 * bytes));
  codes = code.add(codes, code.mul(lane, each));
  for (int64_t i = 0; i < bytes; i += each)
    llvm::append_range(
        words, loadWords(code, code.get(code.add(codes, 32 * i)), each / 4));
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
    pair = upperHalves(code, powerOfTwo(code, code.get(low)),
                       powerOfTwo(code, code.get(high)));
  } else {
    pair = pairs.fromScales(bytes);
  }
  factors = {pairs.permute(pair, pair, 0x1010),
             pairs.permute(pair, pair, 0x3232)};
}

SmallVector<Value> Fragments::make(int64_t step) {
  if (op.getFormat().getIntOrFloatBitWidth() == 8)
    return makeFromBytes(step);
  if (op.getFormat().isInteger(4))
    return pairs.fromIntegers(words[step], !op.getFormat().isUnsignedInteger());
  SmallVector<Value> values = pairs.fromE2M1(words[step]);
  bool isScaled = bool(op.getScales());
  bool isE4M3 =
      isScaled && isa<Float8E4M3FNType>(op.getScales().getType().getElement());
  if (isScaled)
    convertScales(16 * step / int64_t(*op.getPer()));
  for (auto [i, value] : llvm::enumerate(values)) {
    if (isBf16 && !isE4M3)
      value = pairs.toValues(value);
    if (isScaled)
      value = pairs.multiply(value, factors[i % 2]);
  }
  return values;
}

SmallVector<Value> Fragments::makeFromBytes(int64_t step) {
  SmallVector<Value> values;
  for (Value word : {words[2 * step], words[2 * step + 1]})
    for (int64_t half : {0, 16})
      values.push_back(
          pairs.fromByteCodes(code.get(code.shr(word, half)), op.getFormat()));
  if (!op.getScales())
    return values;
  convertScales(16 * step / int64_t(*op.getPer()));
  for (auto [i, value] : llvm::enumerate(values))
    value = pairs.multiply(value, factors[i % 2]);
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
  Value address = code.get(at);
  if (bytes == 4) {
    SmallVector<Value> words = loadWords(code, address, 2);
    return {asFloat(code, words[0]), asFloat(code, words[1])};
  }
  HalfPairs pairs(code, element.isBF16());
  if (bytes == 2) {
    Value pair = loadWords(code, address, 1).front();
    return {pairs.lowToFloat(pair), pairs.highToFloat(pair)};
  }
  Value codes = loadHalf(code, address);
  if (isa<Float8E8M0FNUType>(element)) {
    Int low = code.bitAnd(codes, 255), high = code.shr(codes, 8);
    return {asFloat(code, powerOfTwo(code, code.get(low))),
            asFloat(code, powerOfTwo(code, code.get(high)))};
  }
  Value pair = pairs.fromBytes(codes, /*isE5M2=*/false);
  return {pairs.lowToFloat(pair), pairs.highToFloat(pair)};
}
