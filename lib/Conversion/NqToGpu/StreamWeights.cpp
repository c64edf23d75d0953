// Weights that are streamed: from bits in shared memory to operands of
// mma.sync.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamWeights.h"

#include "nibble/Dialect/Quant/WordCode.h"
#include "nibble/Dialect/Tile/TileOps.h"

#include <cmath>

using namespace mlir;

namespace nibble {
namespace gpu {

constexpr int64_t kLoads = StreamPlan::kLoads;

/// E2M1 as f16 is 2^-14 of its value. Times an E4M3 scale, a multiple of 2^-9,
/// that is a multiple of 2^-24 with six significant bits at most, and below
/// 2^12 * 2^-14: exact, though it may be no normal number.
double StreamWeights::getFactor() const {
  if (problem.format.bits != 4)
    return 1;
  if (!isInt && !problem.bf16)
    return std::ldexp(1, 14);
  Type scale = problem.format.scalesCodes() ? problem.scale : Type();
  MLIRContext *context = problem.storage.getContext();
  Type element = problem.bf16 ? Type(BFloat16Type::get(context))
                              : Float16Type::get(context);
  return std::ldexp(1, -int(*tile::ExpandOp::getExactExponent(problem.storage,
                                                              scale, element)));
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

/// Of two blocks.
Value StreamWeights::fromScales(Value bytes) {
  return problem.bf16 ? halves.fromScales(bytes)
                      : halves.fromBytes(bytes, /*isE5M2=*/false);
}

/// Eight bytes of row g, then of row g + 8.
void StreamWeights::convertScales() {
  Value mine = code.add(code.mul(code.div(lane, 4), 16), 1024);
  for (int64_t tile = 0; tile < plan.tiles; ++tile)
    for (Value bytes : code.load(
             code.add(code.add(piece, mine), tile * problem.pieceBytes()), 4))
      for (int64_t high : {0, 16})
        pairs.push_back(fromScales(high ? code.shr(bytes, high) : bytes));
}

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

SmallVector<Value> StreamWeights::fromBytes(Value word) {
  return {halves.fromByteCodes(word, problem.storage),
          halves.fromByteCodes(code.shr(word, 16), problem.storage)};
}

SmallVector<Value> StreamWeights::fromWord(Value word) {
  const nq::WordRecipe &recipe = nq::getWordRecipe(
      problem.bf16 ? nq::WordCode::E2M1ToBF16 : nq::WordCode::E2M1ToF16);
  auto shifted = [&](int left) {
    if (left == 0)
      return word;
    return left > 0 ? code.shl(word, left) : code.shr(word, -left);
  };
  SmallVector<Value> pairs;
  for (auto [first, second] : recipe.shifts) {
    Value bits = shifted(*first);
    if (second)
      bits = code.bitXor(bits, shifted(*second));
    pairs.push_back(code.bitAnd(bits, int32_t(recipe.mask)));
  }
  return pairs;
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
  Value codes = word(tile, unit / 2, first + unit % 2);
  if (isInt)
    return halves.fromIntegers(codes, isSigned);
  SmallVector<Value> values = fromWord(codes);
  if (!problem.format.scalesCodes()) {
    if (problem.bf16)
      for (Value &value : values)
        value = halves.toValues(value);
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
    return code.pairs(problem.scale.isBF16()).lowToFloat(code.loadHalf(at));
  Value byte = code.loadByte(at);
  if (isa<Float8E8M0FNUType>(problem.scale))
    return code.powerOfTwo(byte);
  sm90::HalfPairs f16 = code.pairs(/*bf16=*/false);
  return f16.lowToFloat(f16.fromBytes(byte, /*isE5M2=*/false));
}

SmallVector<Value, 2> StreamWeights::scales(int64_t unit, int64_t tile) {
  if (!scalesSums())
    return {};
  return {scaleOfSum(unit, tile, 0), scaleOfSum(unit, tile, 1)};
}

} // namespace gpu
} // namespace nibble
