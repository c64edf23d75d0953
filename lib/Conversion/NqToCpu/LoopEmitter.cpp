// Writes nests of loops and the nodes inside of them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopEmitter.h"
#include "GpuCode.h"
#include "LaneMath.h"
#include "PackedHalves.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;

namespace nibble {
namespace cpu {

LoopEmitter::LoopEmitter(ImplicitLocOpBuilder &b, const Dag &dag,
                         ArrayRef<unsigned> mergedInto)
    : b(b), dag(dag), mergedInto(mergedInto), ivs(dag.getDims().size()),
      levels(dag.getDims().size(), 0), isGpu(isGpuCode(b)) {
  stack.emplace_back().block = b.getInsertionBlock();
  // Statements that follow stay behind what is emitted now.
  if (b.getInsertionPoint() != b.getInsertionBlock()->end())
    stack.back().child = &*b.getInsertionPoint();
}

Value LoopEmitter::constantIndex(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

Type LoopEmitter::widened(Type type) const {
  return width == 1 ? type : VectorType::get({width}, type);
}

//===----------------------------------------------------------------------===//
// Levels
//===----------------------------------------------------------------------===//

void LoopEmitter::bind(unsigned dim, Value value) {
  ivs[dim] = value;
  levels[dim] = stack.size() - 1;
}

ValueRange LoopEmitter::open(unsigned dim, Value low, Value high, int64_t step,
                             ValueRange carried, bool lanes) {
  moveTo(stack.size() - 1);
  auto loop = scf::ForOp::create(b, low, high, constantIndex(step), carried);
  stack.back().child = loop;
  Level level;
  level.block = loop.getBody();
  level.outerWidth = width;
  level.outerVectorDim = vectorDim;
  stack.push_back(std::move(level));
  bind(dim, loop.getInductionVar());
  if (lanes && step != 1) {
    width = step;
    vectorDim = dim;
  }
  moveTo(stack.size() - 1);
  return loop.getRegionIterArgs();
}

std::pair<Value, ValueRange>
LoopEmitter::openRange(Value low, Value high, Value step, ValueRange carried) {
  moveTo(stack.size() - 1);
  auto loop = scf::ForOp::create(b, low, high, step, carried);
  stack.back().child = loop;
  Level level;
  level.block = loop.getBody();
  level.outerWidth = width;
  level.outerVectorDim = vectorDim;
  stack.push_back(std::move(level));
  moveTo(stack.size() - 1);
  return {loop.getInductionVar(), loop.getRegionIterArgs()};
}

void LoopEmitter::bindLanes(unsigned dim, Value first, int64_t lanes) {
  bind(dim, first);
  if (lanes == 1)
    return;
  width = lanes;
  vectorDim = dim;
}

SmallVector<Value> LoopEmitter::close(ValueRange carried) {
  Level &level = stack.back();
  auto loop = cast<scf::ForOp>(level.block->getParentOp());
  if (!carried.empty()) {
    moveTo(stack.size() - 1);
    scf::YieldOp::create(b, carried);
  }
  width = level.outerWidth;
  vectorDim = level.outerVectorDim;
  stack.pop_back();
  stack.back().child = loop->getNextNode();
  moveTo(stack.size() - 1);
  return llvm::to_vector_of<Value>(loop.getResults());
}

unsigned LoopEmitter::levelOf(uint64_t deps) const {
  int level = 0;
  for (unsigned d = 0; d < ivs.size(); ++d)
    if ((deps >> d) & 1)
      level = std::max(level, levels[mergedInto[d]]);
  return std::min<unsigned>(level, stack.size() - 1);
}

void LoopEmitter::moveTo(unsigned index) {
  Level &level = stack[index];
  if (level.child)
    b.setInsertionPoint(level.child);
  else if (level.block->mightHaveTerminator())
    b.setInsertionPoint(level.block->getTerminator());
  else
    b.setInsertionPointToEnd(level.block);
}

uint64_t LoopEmitter::vectorMask() const {
  uint64_t mask = 0;
  if (vectorDim >= 0)
    for (unsigned d = 0; d < mergedInto.size(); ++d)
      if (mergedInto[d] == static_cast<unsigned>(vectorDim))
        mask |= uint64_t(1) << d;
  return mask;
}

bool LoopEmitter::isWide(uint64_t deps) const {
  return width > 1 && (deps & vectorMask());
}

Value LoopEmitter::bound(unsigned dim) {
  const Dim &d = dag.getDims()[dim];
  moveTo(stack.size() - 1);
  if (!d.total)
    return constantIndex(d.extent);
  // A dimension of one block has no loop.
  Value block = ivs[d.blockDim];
  if (!block)
    return constantIndex(std::min(*d.total, d.extent));
  Value used = arith::MulIOp::create(b, block, constantIndex(d.extent));
  Value left = arith::SubIOp::create(b, constantIndex(*d.total), used);
  return arith::MinSIOp::create(b, left, constantIndex(d.extent));
}

//===----------------------------------------------------------------------===//
// Indices
//===----------------------------------------------------------------------===//

int64_t LoopEmitter::vectorFactor(const Lin &lin) const {
  return vectorDim < 0 ? 0 : lin.factorOf(vectorDim);
}

/// True if consecutive lanes are `factor` elements apart.
bool LoopEmitter::isRun(const Lin &lin, int64_t factor) const {
  for (auto [node, f] : lin.terms)
    if (isWide(node->deps))
      return false;
  return vectorFactor(lin) == factor;
}

/// True if the offset without the lane part is a multiple of 2.
bool LoopEmitter::isEven(const Lin &lin) const {
  for (auto [dim, factor] : lin.dims)
    if (factor % 2 && mergedInto[dim] == dim &&
        static_cast<int>(dim) != vectorDim && ivs[dim])
      return false;
  for (auto [node, factor] : lin.terms)
    if (factor % 2)
      return false;
  return lin.constant % 2 == 0;
}

/// The value of a linear form in the first lane, all wide terms left out;
/// divided by `divisor`, of which all factors (but that of the lanes, which
/// begin at a multiple) are multiples.
Value LoopEmitter::scalarOffset(const Lin &lin, int64_t divisor) {
  struct Part {
    unsigned level;
    Value value;
    int64_t factor;
  };
  SmallVector<Part> parts;
  for (auto [dim, factor] : lin.dims)
    if (mergedInto[dim] == dim && ivs[dim])
      parts.push_back({unsigned(levels[dim]), ivs[dim], factor});
  for (auto [node, factor] : lin.terms)
    if (!isWide(node->deps))
      parts.push_back({levelOf(node->deps), emit(node), factor});
  // Sums of outer loops first: they are computed there.
  for (size_t i = 1; i < parts.size(); ++i)
    for (size_t j = i; j > 0 && parts[j].level < parts[j - 1].level; --j)
      std::swap(parts[j], parts[j - 1]);
  // Of nothing but dimensions, no part of an offset is larger than the buffer.
  bool grows =
      isGpu && lin.terms.empty() && lin.constant >= 0 &&
      llvm::all_of(lin.dims, [](auto &dim) { return dim.second >= 0; });
  auto flags = grows ? arith::IntegerOverflowFlags::nsw |
                           arith::IntegerOverflowFlags::nuw
                     : arith::IntegerOverflowFlags::none;
  Value sum;
  auto add = [&](Value value) {
    sum = sum ? arith::AddIOp::create(b, sum, value, flags).getResult() : value;
  };
  // Added last, it becomes a part of the address.
  bool isLast = grows && !parts.empty();
  if (!isLast && (lin.constant || parts.empty())) {
    moveTo(0);
    add(constantIndex(lin.constant / divisor));
  }
  for (Part &part : parts) {
    moveTo(part.level);
    Value value = part.value;
    if (part.factor % divisor)
      value = arith::DivUIOp::create(b, value, constantIndex(divisor));
    else if (part.factor != divisor)
      value = arith::MulIOp::create(
          b, value, constantIndex(part.factor / divisor), flags);
    add(value);
  }
  if (isLast && lin.constant)
    add(constantIndex(lin.constant / divisor));
  return sum;
}

Value LoopEmitter::emitIndex(Node *node) {
  const Lin &lin = node->lin;
  Value value = scalarOffset(lin);
  moveTo(levelOf(node->deps));
  if (isWide(node->deps)) {
    value = broadcast(value);
    if (int64_t factor = vectorFactor(lin)) {
      SmallVector<int64_t> steps;
      for (int64_t i = 0; i < width; ++i)
        steps.push_back(i * factor);
      Value lanes = arith::ConstantOp::create(
          b, DenseElementsAttr::get(cast<VectorType>(value.getType()),
                                    ArrayRef<int64_t>(steps)));
      value = arith::AddIOp::create(b, value, lanes);
    }
    for (auto [term, factor] : lin.terms)
      if (isWide(term->deps)) {
        Value wide = emit(term);
        moveTo(levelOf(node->deps));
        Value by = splatConstant(b, wide.getType(), factor);
        value =
            arith::AddIOp::create(b, value, arith::MulIOp::create(b, wide, by));
      }
  }
  if (node->type.isIndex())
    return value;
  return arith::IndexCastOp::create(b, shapedLike(value.getType(), node->type),
                                    value);
}

llvm::MaybeAlign LoopEmitter::alignOf(const Buffer &buffer,
                                      const Lin &lin) const {
  if (!aligned)
    return {};
  return llvm::MaybeAlign(
      alignmentOf(dag, mergedInto, buffer, lin, vectorDim, width));
}

/// One offset per lane.
SmallVector<Value> LoopEmitter::laneOffsets(const Lin &lin, unsigned level) {
  Value base = scalarOffset(lin);
  SmallVector<std::pair<Value, int64_t>> wide;
  for (auto [term, factor] : lin.terms)
    if (isWide(term->deps))
      wide.push_back({emit(term), factor});
  moveTo(level);
  SmallVector<Value> offsets;
  for (int64_t i = 0; i < width; ++i) {
    Value offset = base;
    if (int64_t distance = vectorFactor(lin) * i)
      offset = arith::AddIOp::create(b, offset, constantIndex(distance));
    for (auto [value, factor] : wide) {
      Value lane = vector::ExtractOp::create(b, value, i);
      Value scaled = arith::MulIOp::create(b, lane, constantIndex(factor));
      offset = arith::AddIOp::create(b, offset, scaled);
    }
    offsets.push_back(offset);
  }
  return offsets;
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

Value LoopEmitter::broadcast(Value value) {
  if (width == 1 || isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(b, widened(value.getType()), value);
}

Value LoopEmitter::emit(Node *node) {
  unsigned level = levelOf(node->deps);
  if (Value value = stack[level].values.lookup(node))
    return value;
  Value value;
  switch (node->kind) {
  case Node::Kind::Constant:
    moveTo(level);
    value = arith::ConstantOp::create(b, node->attr);
    break;
  case Node::Kind::Index:
    value = emitIndex(node);
    break;
  case Node::Kind::Load:
    value = emitLoad(node);
    break;
  case Node::Kind::Compute:
  case Node::Kind::Accumulator:
    value = emitCompute(node);
    break;
  }
  stack[level].values[node] = value;
  return value;
}

Value LoopEmitter::emitWide(Node *node) {
  Value value = emit(node);
  moveTo(stack.size() - 1);
  return broadcast(value);
}

void LoopEmitter::setValue(Node *accumulator, Value value) {
  stack[levelOf(accumulator->deps)].values[accumulator] = value;
}

Value LoopEmitter::emitCompute(Node *node) {
  SmallVector<Value> operands;
  for (Node *operand : node->operands)
    operands.push_back(emit(operand));
  moveTo(levelOf(node->deps));
  if (!isWide(node->deps))
    return node->build(b, operands, node->type);
  for (Value &operand : operands)
    operand = broadcast(operand);
  return node->build(b, operands, widened(node->type));
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

Value LoopEmitter::loadScalar(const Buffer &buffer, Value offset) {
  if (!isPacked(buffer.element))
    return memref::LoadOp::create(b, buffer.memref, offset);
  Value byteOffset = arith::ShRUIOp::create(b, offset, constantIndex(1));
  Lanes byte{&b, memref::LoadOp::create(b, buffer.memref, byteOffset)};
  Value odd = arith::AndIOp::create(b, offset, constantIndex(1));
  Lanes isOdd{&b, arith::CmpIOp::create(b, arith::CmpIPredicate::ne, odd,
                                        constantIndex(0))};
  return select(isOdd, byte >> 4, byte & 15).v;
}

/// `width` packed elements from an even one on.
Value LoopEmitter::loadPacked(const Buffer &buffer, const Lin &lin,
                              unsigned level) {
  Value offset = scalarOffset(lin, 2);
  moveTo(level);
  Type i8 = b.getI8Type();
  auto half = VectorType::get({width / 2}, i8);
  Lanes bytes{&b, vector::LoadOp::create(b, half, buffer.memref, offset,
                                         /*nontemporal=*/false,
                                         alignOf(buffer, lin))};
  Lanes wide = bytes.resize(16);
  Lanes spread = (wide & 15) | ((wide & 0xf0) << 4);
  return vector::BitCastOp::create(b, VectorType::get({width}, i8), spread.v);
}

Value LoopEmitter::loadRun(const Buffer &buffer, const Lin &lin, int64_t factor,
                           int64_t prefetch, unsigned level) {
  Value offset = scalarOffset(lin);
  moveTo(level);
  if (factor < 0)
    offset = arith::SubIOp::create(b, offset, constantIndex(width - 1));
  auto type = VectorType::get({width}, storageType(buffer.element));
  Value value = vector::LoadOp::create(
      b, type, buffer.memref, offset, /*nontemporal=*/false,
      factor > 0 ? alignOf(buffer, lin) : llvm::MaybeAlign());
  if (prefetch)
    memref::PrefetchOp::create(
        b, buffer.memref,
        ValueRange{arith::AddIOp::create(b, offset, constantIndex(prefetch))},
        /*isWrite=*/false, /*localityHint=*/2, /*isDataCache=*/true);
  if (factor > 0)
    return value;
  SmallVector<int64_t> reversed;
  for (int64_t i = width - 1; i >= 0; --i)
    reversed.push_back(i);
  return vector::ShuffleOp::create(b, value, value, reversed);
}

Value LoopEmitter::loadLanes(const Buffer &buffer, const Lin &lin,
                             unsigned level) {
  SmallVector<Value> values;
  for (Value offset : laneOffsets(lin, level))
    values.push_back(loadScalar(buffer, offset));
  auto type = VectorType::get({width}, storageType(buffer.element));
  return vector::FromElementsOp::create(b, type, values);
}

Value LoopEmitter::emitLoad(Node *node) {
  if (!cache)
    return loadNode(node);
  Value value = cache->find(*node);
  if (!value) {
    value = loadNode(node);
    cache->keep(*node, value);
  }
  return value;
}

Value LoopEmitter::loadNode(Node *node) {
  const Buffer &buffer = *node->buffer;
  // Where users expect it: loops inside of that level may be open already.
  unsigned level = levelOf(node->deps);
  if (!isWide(node->deps)) {
    Value offset = scalarOffset(node->lin);
    moveTo(level);
    return loadScalar(buffer, offset);
  }
  bool packed = isPacked(buffer.element);
  if (packed && isRun(node->lin, 1) && isEven(node->lin))
    return loadPacked(buffer, node->lin, level);
  for (int64_t factor : {1, -1})
    if (!packed && isRun(node->lin, factor))
      return loadRun(buffer, node->lin, factor, node->prefetch, level);
  return loadLanes(buffer, node->lin, level);
}

/// Rows of a square matrix to its columns: interleaving the halves log2(n)
/// times.
static void transposeSquare(ImplicitLocOpBuilder &b,
                            MutableArrayRef<Value> rows) {
  int64_t n = rows.size();
  SmallVector<int64_t> low, high;
  for (int64_t i = 0; i < n / 2; ++i) {
    low.append({i, n + i});
    high.append({n / 2 + i, n + n / 2 + i});
  }
  for (int64_t step = 1; step < n; step *= 2) {
    SmallVector<Value> next;
    for (int64_t i = 0; i < n / 2; ++i)
      for (auto &mask : {low, high})
        next.push_back(
            vector::ShuffleOp::create(b, rows[i], rows[i + n / 2], mask));
    llvm::copy(next, rows.begin());
  }
}

void LoopEmitter::transposeTile(const Store &store, unsigned inner,
                                int64_t size) {
  const Node *load = store.bits;
  int64_t lanes = vectorFactor(load->lin), run = store.offset.factorOf(inner);
  Value from = scalarOffset(load->lin), to = scalarOffset(store.offset);
  moveTo(stack.size() - 1);
  auto type = VectorType::get({size}, load->type);
  for (int64_t first = 0; first < width; first += size) {
    SmallVector<Value> rows;
    for (int64_t i = 0; i < size; ++i) {
      Value at =
          arith::AddIOp::create(b, from, constantIndex((first + i) * lanes));
      rows.push_back(vector::LoadOp::create(b, type, load->buffer->memref, at));
    }
    transposeSquare(b, rows);
    for (int64_t i = 0; i < size; ++i) {
      Value at = arith::AddIOp::create(b, to, constantIndex(i * run + first));
      vector::StoreOp::create(b, rows[i], store.buffer->memref, at);
    }
  }
}

/// Pairs of 4-bit codes (one per byte) to bytes.
static Value packCodes(ImplicitLocOpBuilder &b, Value codes, int64_t width) {
  if (isGpuCode(b) && width % 8 == 0)
    return vector::BitCastOp::create(
        b, VectorType::get({width / 2}, b.getI8Type()), packNibbles(b, codes));
  auto pairs = VectorType::get({width / 2}, b.getIntegerType(16));
  Lanes wide{&b, vector::BitCastOp::create(b, pairs, codes)};
  return (wide | (wide >> 4)).resize(8).v;
}

void LoopEmitter::store(const Buffer &buffer, const Lin &offset, Node *node,
                        Node *guard) {
  Value value = emitWide(node);
  bool packed = isPacked(buffer.element);
  SmallVector<Value> offsets;
  if (width == 1 || packed || isRun(offset, 1))
    offsets = {scalarOffset(offset, packed ? 2 : 1)};
  else
    offsets = laneOffsets(offset, stack.size() - 1);
  enter(guard);
  if (packed && width > 1)
    value = packCodes(b, value, width);
  if (width == 1) {
    memref::StoreOp::create(b, value, buffer.memref, offsets[0]);
  } else if (offsets.size() == 1) {
    vector::StoreOp::create(b, value, buffer.memref, offsets[0],
                            /*nontemporal=*/false, alignOf(buffer, offset));
  } else {
    for (auto [i, at] : llvm::enumerate(offsets)) {
      Value lane = vector::ExtractOp::create(b, value, i);
      memref::StoreOp::create(b, lane, buffer.memref, at);
    }
  }
  moveTo(stack.size() - 1);
}

/// Code that is written next goes into the innermost loop, and runs if `guard`
/// is true or null, and so is the condition of all stores.
void LoopEmitter::enter(Node *guard) {
  Value mine = guard ? emit(guard) : condition;
  moveTo(stack.size() - 1);
  if (!mine)
    return;
  if (guard && condition)
    mine = arith::AndIOp::create(b, mine, condition);
  auto branch = scf::IfOp::create(b, mine, /*withElseRegion=*/false);
  b.setInsertionPoint(branch.thenYield());
}

} // namespace cpu
} // namespace nibble
