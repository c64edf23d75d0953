// Weights that are streamed: from bits in shared memory to operands of
// mma.sync.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamWeights.h"

using namespace mlir;

namespace nibble {
namespace gpu {

constexpr int64_t kLoads = StreamPlan::kLoads;

/// 2^7 as two f16; 2^118 and 2^126 as two bf16.
constexpr int64_t kScaleF16 = 0x58005800, kScaleBf16 = 0x7A807A80,
                  kCodeBf16 = 0x7E807E80;

double StreamWeights::getFactor() const {
  if (problem.format.bits != 4 || isInt)
    return 1;
  if (problem.format.scalesCodes())
    return problem.bf16 ? 0x1p8 : 0x1p7;
  return problem.bf16 ? 1 : 0x1p14;
}

void StreamWeights::load(Value at) {
  words.clear();
  pairs.clear();
  piece = at;
  Value mine = code.add(at, code.mul(lane, 16));
  for (int64_t tile = 0; tile < plan.tiles; ++tile)
    for (int64_t i = 0; i < kLoads; ++i)
      llvm::append_range(
          words,
          code.load(code.add(mine, tile * problem.pieceBytes() + i * 512), 4));
  if (problem.format.scalesCodes())
    convertScales();
}

/// Eight bytes of row g, then of row g + 8.
void StreamWeights::convertScales() {
  Value mine = code.add(code.mul(code.div(lane, 4), 16), 1024);
  for (int64_t tile = 0; tile < plan.tiles; ++tile)
    for (Value bytes : code.load(
             code.add(code.add(piece, mine), tile * problem.pieceBytes()), 4))
      for (int64_t high : {0, 16}) {
        Value pair = code.pairOfBytes(high ? code.shr(bytes, high) : bytes,
                                      /*e5m2=*/false, problem.bf16);
        pairs.push_back(code.mulPair(
            pair, code.constant(problem.bf16 ? kScaleBf16 : kScaleF16),
            problem.bf16));
      }
}

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

/// The upper bytes of f16 with a sign, two bits of exponent and one of
/// mantissa, four at once: of odd nibbles (values 1, 3), then of even ones (0,
/// 2). The lower bytes are zeros.
SmallVector<Value> StreamWeights::fromE2M1(Value word) {
  auto bytes = [&](Value signs, Value rest) {
    return code.bitOr(code.bitAnd(signs, 0x80808080),
                      code.bitAnd(rest, 0x0E0E0E0E));
  };
  Value odd = bytes(word, code.shr(word, 3)),
        even = bytes(code.shl(word, 4), code.shl(word, 1));
  Value zero = code.constant(0);
  constexpr int64_t kBytes02 = 0x2404, kBytes13 = 0x3414;
  return {code.permute(even, zero, kBytes02), code.permute(odd, zero, kBytes02),
          code.permute(even, zero, kBytes13),
          code.permute(odd, zero, kBytes13)};
}

/// k = 2i, 2i + 1 at bits 4i and 4i + 16.
SmallVector<Value> StreamWeights::fromNibbles(Value word) {
  SmallVector<Value> values;
  bool bf16 = problem.bf16;
  if (!isInt && !bf16)
    return fromE2M1(word);
  if (isInt && isSigned)
    word = code.bitXor(word, code.constant(0x88888888));
  int64_t ones = bf16 ? 0x43004300 : 0x64006400;
  int64_t offset = isSigned ? (bf16 ? 0x43084308 : 0x64086408) : ones;
  for (int64_t i = 0; i < 4; ++i) {
    if (isInt) {
      Value low = code.bitAnd(code.shr(word, 4 * i), 0x000F000F);
      values.push_back(code.subPair(code.bitOr(low, code.constant(ones)),
                                    code.constant(offset), bf16));
      continue;
    }
    Value sign = code.bitAnd(code.shl(word, 12 - 4 * i), 0x80008000);
    int64_t right = 6 - (12 - 4 * i);
    Value moved = right > 0 ? code.shr(word, right) : code.shl(word, -right);
    Value rest = code.bitAnd(moved, 0x01C001C0);
    values.push_back(code.bitOr(sign, rest));
  }
  return values;
}

SmallVector<Value> StreamWeights::fromBytes(Value word) {
  bool e5m2 = isa<Float8E5M2Type>(problem.storage);
  return {code.pairOfBytes(word, e5m2, problem.bf16),
          code.pairOfBytes(code.shr(word, 16), e5m2, problem.bf16)};
}

/// Of 32 k of one row, this thread's eight: four pairs.
SmallVector<Value> StreamWeights::octet(int64_t unit, int64_t tile,
                                        int64_t half) {
  int64_t first = 2 * half;
  if (problem.format.bits == 16)
    return {word(tile, 0, first), word(tile, 0, first + 1),
            word(tile, 1, first), word(tile, 1, first + 1)};
  if (problem.format.bits == 8) {
    SmallVector<Value> values = fromBytes(word(tile, unit, first));
    llvm::append_range(values, fromBytes(word(tile, unit, first + 1)));
    return values;
  }
  SmallVector<Value> values =
      fromNibbles(word(tile, unit / 2, first + unit % 2));
  if (isInt || (!problem.format.scalesCodes() && !problem.bf16))
    return values;
  if (!problem.format.scalesCodes()) {
    for (Value &value : values)
      value = code.mulPair(value, code.constant(kCodeBf16), problem.bf16);
    return values;
  }
  Value scales = pairs[(tile * 2 + half) * 4 + unit];
  for (auto [i, value] : llvm::enumerate(values))
    value = code.mulByHalf(value, scales, /*high=*/i >= 2, problem.bf16);
  return values;
}

SmallVector<Value> StreamWeights::operands(int64_t unit, int64_t tile) {
  SmallVector<Value> g = octet(unit, tile, 0), h = octet(unit, tile, 1);
  return {g[0], h[0], g[1], h[1], g[2], h[2], g[3], h[3]};
}

//===----------------------------------------------------------------------===//
// Scales of sums
//===----------------------------------------------------------------------===//

/// E8M0: 2^(x - 127); 2^-127 is no normal number, 255 is a NaN.
Value StreamWeights::powerOfTwo(Value exponent) {
  Value bits = code.shl(exponent, 23);
  bits = code.select(code.equal(exponent, 0), code.constant(0x00400000), bits);
  bits =
      code.select(code.equal(exponent, 255), code.constant(0x7FC00000), bits);
  return code.asFloat(bits);
}

Value StreamWeights::scaleOfSum(int64_t unit, int64_t tile, int64_t half) {
  int64_t blocks = 128 / problem.format.block,
          bytes = problem.scale.getIntOrFloatBitWidth() / 8;
  Value row = code.add(code.mul(code.div(lane, 4), 2), half);
  int64_t block = unit * 32 / problem.format.block;
  Value at = code.add(code.add(piece, code.mul(row, blocks * bytes)),
                      tile * problem.pieceBytes() + 1024 + block * bytes);
  if (bytes == 4)
    return code.asFloat(code.load(at, 1)[0]);
  if (bytes == 2)
    return code.lowToFloat(code.loadHalf(at), problem.scale.isBF16());
  Value byte = code.loadByte(at);
  if (isa<Float8E8M0FNUType>(problem.scale))
    return powerOfTwo(byte);
  return code.lowToFloat(code.pairOfBytes(byte, false, false), false);
}

SmallVector<Value, 2> StreamWeights::scales(int64_t unit, int64_t tile) {
  if (!scalesSums())
    return {};
  return {scaleOfSum(unit, tile, 0), scaleOfSum(unit, tile, 1)};
}

} // namespace gpu
} // namespace nibble
