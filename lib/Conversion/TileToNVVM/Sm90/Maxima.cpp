// Maxima of blocks of neighbours, which several threads have parts of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Maxima.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/TypeUtilities.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

/// Rows of a warp, and its threads' columns of a unit.
static constexpr int64_t kWarpRows = 16, kUnit = 8;

//===----------------------------------------------------------------------===//
// Parts
//===----------------------------------------------------------------------===//

BodyParts::BodyParts(tile::EpilogueOp op) {
  llvm::DenseSet<Value> ofElements, ofMaxima;
  Block &body = op.getBody().front();
  ofElements.insert_range(body.getArguments());
  for (Operation &inside : body) {
    bool element = false, maximum = false;
    for (Value operand : inside.getOperands()) {
      element |= ofElements.contains(operand);
      maximum |= ofMaxima.contains(operand);
    }
    bool isEnd = inside.hasTrait<OpTrait::IsTerminator>();
    if (element || isEnd)
      for (Value operand : inside.getOperands())
        if (ofMaxima.contains(operand) && !ofElements.contains(operand))
          shared.insert(operand);
    if (isEnd)
      continue;
    if (auto max = dyn_cast<tile::BlockMaxOp>(inside)) {
      maxima.push_back(max);
      ofMaxima.insert(max.getResult());
      continue;
    }
    (maximum ? (element ? after : ofBlock) : (element ? before : outside))
        .push_back(&inside);
    for (Value result : inside.getResults()) {
      if (element)
        ofElements.insert(result);
      if (maximum)
        ofMaxima.insert(result);
    }
  }
}

Maxima::Maxima(Kernel &kernel, tile::RoleOp role, tile::EpilogueOp op, Int warp)
    : kernel(kernel), code(kernel.getCode()), role(role), op(op), warp(warp),
      parts(op) {
  if (!any())
    return;
  axis = parts.maxima.front().getAxis();
  block = parts.maxima.front().getBlock();
  if (isAlongM())
    bits = {4, 8, 16};
  else
    bits = {1, 2};
}

LogicalResult Maxima::check(int64_t width) {
  if (!any())
    return success();
  tile::BlockMaxOp max = parts.maxima.front();
  if (width != 2)
    return refuse(max) << "maxima in an epilogue on " << width
                       << " columns at once; 2 work";
  if (isAlongM() && (block < kWarpRows || block > 4 * kWarpRows))
    return refuse(max) << "blocks of " << block
                       << " rows; 16, 32 and 64, of one warpgroup, work";
  for (Value value : parts.shared)
    if (!getElementTypeOrSelf(value).isIntOrFloat() ||
        getElementTypeOrSelf(value).getIntOrFloatBitWidth() > 32)
      return refuse(value.getDefiningOp())
             << value.getType() << " of a block; 32 bits and less work";
  return success();
}

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

Maxima::Group Maxima::getGroup(int64_t unit, int64_t r) {
  Group group;
  if (isAlongM()) {
    int64_t first = unit / 8 * 8, end = std::min(first + 8, countUnits());
    for (int64_t u = first; u < end; ++u)
      group.push_back({{u, 0, {}}, {u, 1, {}}});
    return group;
  }
  // Long blocks are one of each row, or their elements take too many registers.
  int64_t units = block / kUnit, blocks = units <= 4 ? 2 : 1;
  int64_t first = unit / (units * blocks) * (units * blocks);
  for (int64_t u = first; u < std::min(first + units * blocks, countUnits());
       u += units)
    for (int64_t row : {0, 1}) {
      auto &elements = group.emplace_back();
      for (int64_t i = 0; i < units; ++i)
        elements.push_back({u + i, row, {}});
    }
  return group;
}

void Maxima::copy(ArrayRef<Operation *> ops, IRMapping &values) {
  for (Operation *inside : ops)
    code.clone(*inside, values);
}

void Maxima::begin() {
  // Others may still read maxima of the tile before.
  if (any() && isAlongM() && block > kWarpRows)
    sync();
}

void Maxima::run(Group &group, int64_t part) {
  for (auto &elements : group)
    for (UnitRow &element : elements) {
      copy(parts.outside, element.values);
      copy(parts.before, element.values);
    }
  SmallVector<Words> maxima;
  for (tile::BlockMaxOp max : parts.maxima) {
    SmallVector<Words> blocks;
    for (auto &elements : group)
      blocks.push_back(getOwn(elements, max));
    maxima.push_back(distribute(std::move(blocks), max));
  }
  if (isAlongM() && block > kWarpRows)
    exchangeWarps(maxima, part, group.front().front().unit / 8);
  IRMapping ofBlock(group.front().front().values);
  for (auto [max, words] : llvm::zip(parts.maxima, maxima))
    ofBlock.map(max.getResult(), unpack(max.getType(), words));
  copy(parts.ofBlock, ofBlock);
  share(group, ofBlock);
  for (auto &elements : group)
    for (UnitRow &element : elements)
      copy(parts.after, element.values);
}

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

Value Maxima::packScalar(Value scalar) {
  Type type = scalar.getType();
  unsigned width = type.getIntOrFloatBitWidth();
  if (!type.isInteger())
    scalar = arith::BitcastOp::create(code, code.getIntegerType(width), scalar);
  if (width < 32)
    scalar = arith::ExtUIOp::create(code, code.i32(), scalar);
  return scalar;
}

Value Maxima::unpackScalar(Type type, Value word) {
  unsigned width = type.getIntOrFloatBitWidth();
  if (width < 32)
    word = arith::TruncIOp::create(code, code.getIntegerType(width), word);
  return type.isInteger()
             ? word
             : arith::BitcastOp::create(code, type, word).getResult();
}

/// Of two columns: a word each, or one with both. Along n both are in the same
/// block, and equal.
Maxima::Words Maxima::pack(Value value) {
  auto type = dyn_cast<VectorType>(value.getType());
  if (!type)
    return {packScalar(value)};
  if (isAlongM() && type.getElementTypeBitWidth() == 16) {
    auto word = VectorType::get(1, code.i32());
    return {vector::ExtractOp::create(
        code, vector::BitCastOp::create(code, word, value), 0)};
  }
  Words words;
  for (int64_t i = 0; i < (isAlongM() ? 2 : 1); ++i)
    words.push_back(packScalar(vector::ExtractOp::create(code, value, i)));
  if (words.size() == 2 && type.getElementTypeBitWidth() < 16)
    words = {code.get(code.bitOr(words[0], code.shl(words[1], 16)))};
  return words;
}

Value Maxima::unpack(Type type, ArrayRef<Value> words) {
  auto vector = dyn_cast<VectorType>(type);
  if (!vector)
    return unpackScalar(type, words[0]);
  Type element = vector.getElementType();
  if (!isAlongM())
    return vector::BroadcastOp::create(code, vector,
                                       unpackScalar(element, words[0]));
  if (vector.getElementTypeBitWidth() == 16)
    return vector::BitCastOp::create(
        code, vector,
        vector::FromElementsOp::create(code, VectorType::get(1, code.i32()),
                                       words[0]));
  Value high = words.size() == 2 ? words[1] : code.get(code.shr(words[0], 16));
  Value parts[] = {unpackScalar(element, words[0]),
                   unpackScalar(element, high)};
  return vector::FromElementsOp::create(code, vector, parts);
}

/// From a lane, or from the one whose number differs in a bit.
Value Maxima::shuffle(Value word, Int lane, bool butterfly) {
  return NVVM::ShflOp::create(
      code, code.i32(), code.get(-1), word, code.get(lane), code.get(31),
      butterfly ? NVVM::ShflKind::bfly : NVVM::ShflKind::idx, UnitAttr());
}

//===----------------------------------------------------------------------===//
// Maxima
//===----------------------------------------------------------------------===//

Maxima::Words Maxima::getOwn(ArrayRef<UnitRow> block, tile::BlockMaxOp max) {
  Value most;
  for (const UnitRow &element : block) {
    Value value = element.values.lookup(max.getValue());
    most = most ? arith::MaxUIOp::create(code, most, value).getResult() : value;
  }
  if (isAlongM())
    return pack(most);
  Value first = vector::ExtractOp::create(code, most, 0),
        second = vector::ExtractOp::create(code, most, 1);
  return {packScalar(arith::MaxUIOp::create(code, first, second))};
}

Maxima::Words Maxima::maximum(ArrayRef<Value> a, ArrayRef<Value> b,
                              tile::BlockMaxOp max) {
  Words words;
  for (auto [x, y] : llvm::zip(a, b)) {
    if (!isAlongM() || a.size() == 2) {
      words.push_back(arith::MaxUIOp::create(code, x, y));
      continue;
    }
    // Two numbers of 16 bits.
    Value both = arith::MaxUIOp::create(code, unpack(max.getType(), x),
                                        unpack(max.getType(), y));
    words.push_back(pack(both)[0]);
  }
  return words;
}

/// The maximum of the thread's own block, whose number has a bit for each of
/// the first bits of the lane (the highest one first); the last block stands
/// for those that are not there.
Maxima::Words Maxima::distribute(SmallVector<Words> blocks,
                                 tile::BlockMaxOp max) {
  blocks.resize(llvm::PowerOf2Ceil(blocks.size()), blocks.back());
  for (int64_t bit : bits) {
    size_t half = blocks.size() / 2;
    auto fetch = [&](ArrayRef<Value> words) {
      return llvm::map_to_vector(
          words, [&](Value word) { return shuffle(word, bit, true); });
    };
    if (half == 0) {
      blocks[0] = maximum(blocks[0], fetch(blocks[0]), max);
      continue;
    }
    Value isHigh = code.compare(LLVM::ICmpPredicate::ne,
                                code.bitAnd(kernel.threads.lane, bit), 0);
    for (size_t i = 0; i < half; ++i) {
      Words keep, send;
      for (auto [low, high] : llvm::zip(blocks[i], blocks[i + half])) {
        keep.push_back(code.selectAny(isHigh, high, low));
        send.push_back(code.selectAny(isHigh, low, high));
      }
      blocks[i] = maximum(keep, fetch(send), max);
    }
    blocks.resize(half);
  }
  return blocks[0];
}

/// Gives the elements what the thread that owns their block has computed.
void Maxima::share(Group &group, const IRMapping &ofBlock) {
  size_t blocks = llvm::PowerOf2Ceil(group.size());
  for (Value value : parts.shared) {
    Value mine = ofBlock.lookup(value);
    Words words = pack(mine);
    for (auto [i, elements] : llvm::enumerate(group)) {
      Int owner = kernel.threads.lane;
      size_t weight = blocks / 2;
      for (int64_t bit : bits) {
        if (weight)
          owner = i & weight ? code.bitOr(owner, bit)
                             : code.bitAnd(owner, 31 - bit);
        weight /= 2;
      }
      Value theirs = mine;
      if (blocks > 1)
        theirs =
            unpack(value.getType(), llvm::map_to_vector(words, [&](Value word) {
                     return shuffle(word, owner, false);
                   }));
      for (UnitRow &element : elements)
        element.values.map(value, theirs);
    }
  }
}

//===----------------------------------------------------------------------===//
// Warps
//===----------------------------------------------------------------------===//

/// The warps of a warpgroup meet, as those that store transposed panels do.
void Maxima::sync() {
  Int id = code.add(code.shr(warp, 2), 1 + role.getFirstWarp() / 4);
  NVVM::BarrierOp::create(code, Type(), code.get(id), code.get(128),
                          NVVM::BarrierReductionAttr(), Value());
}

/// Each group of each part has a place of its own, so that nobody waits until
/// others have read.
void Maxima::exchangeWarps(MutableArrayRef<Words> maxima, int64_t part,
                           int64_t group) {
  int64_t groups = llvm::divideCeil(countUnits(), 8),
          all = op.getAccType().getShape()[0] / kWarpRows * role.getTeams();
  Int lane = code.shl(kernel.threads.lane, 2);
  int64_t place = kernel.shared.maxima.lookup(op);
  int64_t warps = role.getWarps(), turns = all / warps;
  auto getAddress = [&](int64_t number, Int of) {
    int64_t first = ((number * turns + part) * groups + group) * warps;
    Int at = code.add(code.shl(of, 7), place + first * 128);
    return code.at(kernel.memory, code.add(at, lane));
  };
  int64_t number = 0;
  for (const Words &words : maxima)
    for (Value word : words)
      LLVM::StoreOp::create(code, word, getAddress(number++, warp), 4);
  sync();
  for (int64_t other = 1; other < block / kWarpRows; ++other) {
    number = 0;
    for (auto [max, words] : llvm::zip(parts.maxima, maxima)) {
      Words theirs;
      for (size_t i = 0; i < words.size(); ++i)
        theirs.push_back(LLVM::LoadOp::create(
            code, code.i32(), getAddress(number++, code.bitXor(warp, other)),
            4));
      words = maximum(words, theirs, max);
    }
  }
}
