// Brings tiles of an operand from memory to shared memory, as f32.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileLoader.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using cpu::Dag;
using cpu::GemmCode;
using cpu::Lin;
using cpu::LoopEmitter;
using cpu::Node;

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

/// A mixed-radix number: lanes, chunks of a tile, tiles; split where a division
/// vanishes then.
void TileLoader::addAxis(Dag &dag, Axis &axis, int id, int64_t total,
                         bool lanes, ArrayRef<int64_t> splits) {
  SmallVector<int64_t> weights{1, axis.chunk, axis.tile};
  for (int64_t split : splits)
    if (split < std::max(total, axis.tile))
      weights.push_back(split);
  llvm::sort(weights);
  weights.erase(llvm::unique(weights), weights.end());
  // Lanes go on to the chunk.
  if (lanes)
    llvm::erase_if(weights, [&](int64_t w) { return w > 1 && w < axis.chunk; });
  for (auto [i, weight] : llvm::enumerate(weights)) {
    int64_t extent = i + 1 < weights.size() ? weights[i + 1] / weight
                                            : llvm::divideCeil(total, weight);
    extent = std::max<int64_t>(extent, 1);
    unsigned dim = dag.addDim({extent, std::nullopt, 0, id, weight});
    axis.digits.push_back({dim, weight, extent});
    axis.value += Lin::dim(dim, weight);
  }
}

/// Instructions that load the lanes of `load`, about.
static double costOfLoad(const Node *load, unsigned laneDim, int64_t width) {
  int64_t factor = load->lin.factorOf(laneDim);
  for (auto [term, f] : load->lin.terms)
    if ((term->deps >> laneDim) & 1)
      return width;
  if (width == 1)
    return 1;
  if (factor == 0)
    return 0.3;
  if (factor != 1)
    return width;
  uint64_t any = uint64_t(load->lin.constant);
  for (auto [dim, f] : load->lin.dims)
    any |= uint64_t(f) * (dim == laneDim ? uint64_t(width) : 1);
  for (auto [term, f] : load->lin.terms)
    any |= uint64_t(f);
  unsigned bits = cpu::isPacked(load->buffer->element)
                      ? 4
                      : load->type.getIntOrFloatBitWidth();
  uint64_t elements = any ? (any & -any) : 1;
  double bytes = std::min<double>(16, double(elements * bits) / 8);
  return std::max(1.0, double(width * bits) / 8 / bytes);
}

void TileLoader::findLoads(Plan &plan) const {
  llvm::DenseSet<Node *> seen;
  std::function<void(Node *)> visit = [&](Node *node) {
    if (!seen.insert(node).second)
      return;
    for (auto [term, factor] : node->lin.terms)
      visit(term);
    for (Node *operand : node->operands)
      visit(operand);
    if (node->kind == Node::Kind::Load)
      plan.loads.push_back(node);
  };
  visit(plan.root);
}

std::unique_ptr<TileLoader::Plan>
TileLoader::tryPlan(bool alongDepth, int64_t width,
                    const Wishes &wishes) const {
  auto plan = std::make_unique<Plan>();
  plan->dag = std::make_unique<Dag>(context);
  Dag &dag = *plan->dag;
  plan->alongDepth = alongDepth;
  plan->width = width;
  plan->rows = {shape.rows, alongDepth ? 1 : width, {}, {}};
  plan->depth = {shape.depth, alongDepth ? width : 1, {}, {}};
  plan->batchDim = dag.addDim({operand.batches});
  addAxis(dag, plan->rows, 0, operand.rows, !alongDepth && width > 1,
          wishes[0]);
  addAxis(dag, plan->depth, 1, operand.depth, alongDepth && width > 1,
          wishes[1]);
  Lin row = plan->rows.value;
  if (!alongDepth && width > 1) {
    Lin lane = Lin::dim(plan->rows.digits[0].dim);
    row = dag.clamp(row - lane, operand.rows - width + 1) + lane;
  } else {
    row = dag.clamp(row, operand.rows);
  }
  Lin batch = operand.batches == 1 ? Lin() : Lin::dim(plan->batchDim);
  plan->root = operand.element(dag, batch, row, plan->depth.value);
  findLoads(*plan);
  const Axis &lanes = alongDepth ? plan->depth : plan->rows;
  for (Node *load : plan->loads)
    plan->cost += costOfLoad(load, lanes.digits[0].dim, width);
  plan->cost /= width;
  return plan;
}

std::unique_ptr<TileLoader::Plan> TileLoader::makePlan(bool alongDepth,
                                                       int64_t width) const {
  Wishes wishes;
  for (int attempt = 0;; ++attempt) {
    auto result = tryPlan(alongDepth, width, wishes);
    bool grown = false;
    for (auto [axis, split] : result->dag->wishes)
      if (llvm::isPowerOf2_64(split) &&
          !llvm::is_contained(wishes[axis], split)) {
        wishes[axis].push_back(split);
        grown = true;
      }
    if (!grown || attempt == 4)
      return result;
  }
}

TileLoader::TileLoader(MLIRContext *context, MatrixOperand operand,
                       TileShape shape)
    : context(context), operand(std::move(operand)), shape(shape) {
  int64_t most = shape.rows * shape.depth / shape.threads;
  for (int64_t width = 16; width >= 1; width /= 2)
    for (bool alongDepth : {true, false}) {
      int64_t extent = alongDepth ? this->operand.depth : this->operand.rows;
      int64_t tile = alongDepth ? shape.depth : shape.rows;
      bool fits = width <= most && width <= tile && extent % width == 0 &&
                  (alongDepth || width == 1 || width >= 4);
      if (width > 1 && !fits)
        continue;
      auto candidate = makePlan(alongDepth, width);
      if (!plan || candidate->cost < plan->cost)
        plan = std::move(candidate);
    }
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

LoopEmitter TileLoader::makeEmitter(GemmCode &code) const {
  SmallVector<unsigned> self;
  for (unsigned d = 0; d < plan->dag->getDims().size(); ++d)
    self.push_back(d);
  LoopEmitter emitter(code.b, *plan->dag, self);
  emitter.setAligned();
  return emitter;
}

TileLoader::Chunk TileLoader::chunkOf(GemmCode &code, Value thread,
                                      int64_t number) const {
  int64_t rowChunks = shape.rows / plan->rows.chunk, threads = shape.threads;
  if (threads >= rowChunks)
    return {
        code.rem(thread, rowChunks),
        code.add(code.div(thread, rowChunks), number * (threads / rowChunks))};
  int64_t parts = rowChunks / threads;
  return {code.add(thread, number % parts * threads),
          code.index(number / parts)};
}

void TileLoader::bind(GemmCode &code, LoopEmitter &emitter, const Axis &axis,
                      Value step, Value chunk, bool lanes) const {
  for (auto [i, digit] : llvm::enumerate(axis.digits)) {
    bool isLast = i + 1 == axis.digits.size();
    if (digit.weight < axis.chunk) {
      assert(lanes);
      emitter.bindLanes(digit.dim, code.index(0), plan->width);
      continue;
    }
    bool isTile = digit.weight >= axis.tile;
    int64_t unit = isTile ? axis.tile : axis.chunk;
    Value value = code.div(isTile ? step : chunk, digit.weight / unit);
    bool isTop = isLast || (!isTile && axis.digits[i + 1].weight >= axis.tile);
    emitter.bind(digit.dim, isTop ? value : code.rem(value, digit.extent));
  }
}

void TileLoader::bindAll(GemmCode &code, LoopEmitter &emitter,
                         const TilePlace &place, Chunk chunk) const {
  emitter.bind(plan->batchDim, place.batch);
  bool lanes = plan->width > 1;
  bind(code, emitter, plan->rows, place.block, chunk.row,
       lanes && !plan->alongDepth);
  bind(code, emitter, plan->depth, place.step, chunk.k,
       lanes && plan->alongDepth);
}

SmallVector<Value> TileLoader::loadChunk(GemmCode &code, const TilePlace &place,
                                         Chunk chunk) const {
  LoopEmitter emitter = makeEmitter(code);
  bindAll(code, emitter, place, chunk);
  SmallVector<Value> bits;
  for (Node *load : plan->loads)
    bits.push_back(emitter.emit(load));
  return bits;
}

bool TileLoader::isWhole(const TilePlace &place) const {
  return !place.limit && operand.depth % shape.depth == 0;
}

/// What a chunk is in registers.
SmallVector<Type> TileLoader::bitTypes() const {
  const Axis &lanes = plan->alongDepth ? plan->depth : plan->rows;
  SmallVector<Type> types;
  for (Node *load : plan->loads) {
    bool isWide = plan->width > 1 && ((load->deps >> lanes.digits[0].dim) & 1);
    types.push_back(isWide ? Type(VectorType::get({plan->width}, load->type))
                           : load->type);
  }
  return types;
}

using ValuesFn = function_ref<SmallVector<Value>()>;

static SmallVector<Value> choose(GemmCode &code, Value condition,
                                 TypeRange types, ValuesFn then,
                                 ValuesFn otherwise) {
  auto branch = scf::IfOp::create(code.b, types, condition, true);
  OpBuilder::InsertionGuard guard(code.b);
  for (auto [block, values] : {std::pair(branch.thenBlock(), then),
                               std::pair(branch.elseBlock(), otherwise)}) {
    code.b.setInsertionPointToEnd(block);
    SmallVector<Value> results = values();
    code.b.setInsertionPointToEnd(block);
    scf::YieldOp::create(code.b, results);
  }
  return SmallVector<Value>(branch.getResults());
}

/// Chunks behind the end are not read.
SmallVector<Value> TileLoader::loadInside(GemmCode &code,
                                          const TilePlace &place,
                                          Chunk chunk) const {
  SmallVector<Type> types = bitTypes();
  Value first = code.add(code.mul(place.step, shape.depth),
                         code.mul(chunk.k, plan->depth.chunk));
  Value inside = code.less(first, code.index(operand.depth));
  return choose(
      code, inside, types, [&] { return loadChunk(code, place, chunk); },
      [&] {
        SmallVector<Value> zeros;
        for (Type type : types)
          zeros.push_back(
              arith::ConstantOp::create(code.b, code.b.getZeroAttr(type)));
        return zeros;
      });
}

TileLoader::Tile TileLoader::load(ProductFunction &function, Value thread,
                                  TilePlace place) {
  GemmCode &code = function.code;
  auto loadAll = [&](bool isWhole) {
    SmallVector<Value> all;
    for (int64_t i = 0; i < chunks(); ++i) {
      Chunk chunk = chunkOf(code, thread, i);
      llvm::append_range(all, isWhole ? loadChunk(code, place, chunk)
                                      : loadInside(code, place, chunk));
    }
    return all;
  };
  SmallVector<Value> all;
  int64_t whole = operand.depth / shape.depth;
  if (operand.depth % shape.depth == 0) {
    all = loadAll(true);
  } else if (whole == 0) {
    all = loadAll(false);
  } else {
    // All threads of the block agree.
    SmallVector<Type> types;
    for (int64_t i = 0; i < chunks(); ++i)
      llvm::append_range(types, bitTypes());
    all = choose(
        code, code.less(place.step, code.index(whole)), types,
        [&] { return loadAll(true); }, [&] { return loadAll(false); });
  }
  Tile tile;
  tile.place = place;
  size_t count = plan->loads.size();
  for (int64_t i = 0; i < chunks(); ++i)
    tile.bits.emplace_back(all.begin() + i * count,
                           all.begin() + (i + 1) * count);
  return tile;
}

void TileLoader::store(ProductFunction &function, Value thread,
                       const Tile &tile, Value memory, Value at) {
  GemmCode &code = function.code;
  for (auto [i, bits] : llvm::enumerate(tile.bits)) {
    Chunk chunk = chunkOf(code, thread, i);
    LoopEmitter emitter = makeEmitter(code);
    bindAll(code, emitter, tile.place, chunk);
    for (auto [load, value] : llvm::zip(plan->loads, bits))
      emitter.setValue(load, value);
    Value value = emitter.emitWide(plan->root);
    storeChunk(function, value, tile.place, chunk, memory, at);
  }
}

void TileLoader::storeChunk(ProductFunction &function, Value value,
                            const TilePlace &place, Chunk chunk, Value memory,
                            Value at) const {
  GemmCode &code = function.code;
  int64_t width = plan->width, pitch = shape.pitch;
  Value k = code.mul(chunk.k, plan->depth.chunk);
  Value row = code.mul(chunk.row, plan->rows.chunk);
  if (shape.interleaved)
    row = code.add(code.mul(code.rem(row, shape.rows / 4), 4),
                   code.div(row, shape.rows / 4));
  Value first = code.add(at, code.add(code.mul(k, pitch), row));
  Value limit = place.limit ? place.limit : code.index(operand.depth);
  auto zeroBehind = [&](Value x, int64_t lane) -> Value {
    if (isWhole(place))
      return x;
    Value here = code.add(code.mul(place.step, shape.depth), code.add(k, lane));
    Value zero =
        arith::ConstantOp::create(code.b, code.b.getZeroAttr(x.getType()));
    return arith::SelectOp::create(code.b, code.less(here, limit), x, zero);
  };
  if (width == 1) {
    code.store(zeroBehind(value, 0), memory, first);
    return;
  }
  if (!plan->alongDepth && !shape.interleaved) {
    value = zeroBehind(value, 0);
    for (int64_t i = 0; i < width; i += 4) {
      Value part = value;
      if (width > 4)
        part = vector::ShuffleOp::create(
            code.b, value, value, ArrayRef<int64_t>{i, i + 1, i + 2, i + 3});
      vector::StoreOp::create(code.b, part, memory, code.add(first, i),
                              /*nontemporal=*/false, llvm::MaybeAlign(16));
    }
    return;
  }
  for (int64_t i = 0; i < width; ++i) {
    Value lane = vector::ExtractOp::create(code.b, value, i);
    if (plan->alongDepth) {
      code.store(zeroBehind(lane, i), memory, code.add(first, i * pitch));
      continue;
    }
    Value own = code.add(code.mul(chunk.row, width), i);
    Value placed = code.add(code.mul(code.rem(own, shape.rows / 4), 4),
                            code.div(own, shape.rows / 4));
    code.store(zeroBehind(lane, 0), memory,
               code.add(at, code.add(code.mul(k, pitch), placed)));
  }
}

} // namespace gpu
} // namespace nibble
