// Attention on Hopper's tensor cores: the result as FP8 codes to one scale.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "QuantizeRecipes.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <numeric>

using namespace mlir;

namespace nibble {
namespace gpu {

/// Chunks of 8 columns, of which each of four threads stores two.
static constexpr int64_t kGroup = 8;

/// Where the graph has it: the codes are that of this scale, of this launch.
void AttentionKernel::storeScale() {
  Value block = NVVM::BlockIdXOp::create(code, code.i32());
  Value isFirst =
      LLVM::AndOp::create(code, code.equal(block, 0), code.equal(thread, 0));
  const TensorFactor &scale = shape.codes->scale;
  code.when(isFirst, [&] {
    Value value = loadFactor(scale);
    if (!scale.element.isF32())
      value = LLVM::FPTruncOp::create(code, scale.element, value);
    store(value, function.getArgument(3), shape.codes->scaleOffset,
          scale.element.getIntOrFloatBitWidth() / 8);
  });
}

/// Codes of row r, two chunks in a word: two columns of the first one, two of
/// the second. Sums are rounded as the graph says before they are quantized.
SmallVector<Value> AttentionKernel::encode(ArrayRef<Value> sums, unsigned r) {
  auto vector = VectorType::get(4, code.getF32Type());
  auto halves = VectorType::get(2, shape.rounded);
  auto rounded = [&](Value low, Value high) -> SmallVector<Value> {
    if (shape.rounded.isF32())
      return {low, high};
    Value both =
        LLVM::BitcastOp::create(code, halves, pack(low, high, shape.rounded));
    SmallVector<Value> numbers;
    for (int64_t e : {0, 1})
      numbers.push_back(LLVM::FPExtOp::create(
          code, code.getF32Type(),
          LLVM::ExtractElementOp::create(code, both, code.get(e))));
    return numbers;
  };
  Value scale =
      vector::BroadcastOp::create(code, vector, loadFactor(shape.codes->scale));
  Values words;
  for (size_t i = 2 * r; i < sums.size(); i += 8) {
    Values four = rounded(sums[i], sums[i + 1]);
    bool isLast = i + 4 >= sums.size();
    llvm::append_range(four, isLast ? Values{number(0), number(0)}
                                    : rounded(sums[i + 4], sums[i + 5]));
    Value numbers = LLVM::UndefOp::create(code, vector);
    for (auto [e, value] : llvm::enumerate(four))
      numbers = LLVM::InsertElementOp::create(code, numbers, value,
                                              code.get(int64_t(e)));
    cpu::Lanes codes =
        cpu::staticCode({&code, numbers}, {&code, scale}, Value(),
                        shape.result.element, shape.codes->saturates);
    words.push_back(LLVM::BitcastOp::create(code, code.i32(), codes.v));
  }
  return words;
}

/// Thread t of four gets word t of all of them, in their order.
SmallVector<Value> AttentionKernel::exchange(ArrayRef<Value> words) {
  Values mine(words);
  for (int64_t distance : {1, 2}) {
    Value isHigh = code.equal(code.bitAnd(lane, distance), distance);
    for (int64_t i = 0; i < 4; ++i) {
      if (i & distance)
        continue;
      Value &low = mine[i], &high = mine[i + distance];
      Value other = NVVM::ShflOp::create(
          code, code.i32(), code.get(-1), code.selectAny(isHigh, low, high),
          code.get(distance), code.get(31), NVVM::ShflKind::bfly, UnitAttr());
      low = code.selectAny(isHigh, other, low);
      high = code.selectAny(isHigh, high, other);
    }
  }
  return mine;
}

/// Words with the low halves of pairs, then with their high halves.
static Value joinHalves(sm90::Code &code, ArrayRef<Value> words) {
  auto type = VectorType::get(4, code.i32());
  Value all = LLVM::UndefOp::create(code, type);
  for (int64_t i = 0; i < 4; ++i) {
    Value a = words[i % 2 * 2], b = words[i % 2 * 2 + 1];
    const char *order = i < 2 ? "0x5410" : "0x7632";
    Value word = code.emitAsm(Twine("prmt.b32 $0, $1, $2, ") + order + ";",
                              "=r,r,r", code.i32(), {a, b})
                     .front();
    all = LLVM::InsertElementOp::create(code, all, word, code.get(i));
  }
  return all;
}

/// What all rows begin at multiples of, up to 16 bytes.
static unsigned getAlignment(const StridedTensor &result, int64_t firstChunk) {
  int64_t all = std::gcd(std::gcd(result.offset, firstChunk * 8), 16);
  for (int64_t stride : ArrayRef(result.strides).drop_back())
    all = std::gcd(all, stride);
  return unsigned(all);
}

/// Eight chunks at a time are 64 bytes of a row, 16 of each of four threads,
/// after these exchanged their columns for whole chunks. What is left is
/// stored in pairs of columns.
void AttentionKernel::storeCodes(ArrayRef<Value> sums, unsigned r,
                                 int64_t firstChunk, Value line,
                                 Value isInside) {
  Values words = encode(sums, r);
  int64_t chunks = sums.size() / 4, groups = chunks / kGroup;
  Values stored;
  for (int64_t g = 0; g < groups; ++g)
    stored.push_back(
        joinHalves(code, exchange(ArrayRef(words).slice(4 * g, 4))));
  unsigned alignment = getAlignment(shape.result, firstChunk);
  Value inLane = code.get(code.bitAnd(lane, 3));
  Value wide = advanced(line, code.get(code.shl(inLane, 4))),
        pairs = advanced(line, code.get(code.shl(inLane, 1)));
  code.when(isInside, [&] {
    for (int64_t g = 0; g < groups; ++g)
      store(stored[g], wide, 64 * g, alignment);
    for (int64_t chunk = groups * kGroup; chunk < chunks; ++chunk) {
      Value word = words[chunk / 2];
      if (chunk % 2)
        word = code.get(code.shr(word, 16));
      store(LLVM::TruncOp::create(code, code.i16(), word), pairs, 8 * chunk, 2);
    }
  });
}

} // namespace gpu
} // namespace nibble
