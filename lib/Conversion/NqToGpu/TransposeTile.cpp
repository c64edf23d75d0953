// Copies that turn rows into columns, by tiles in shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TransposeTile.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using namespace cpu;

/// Dimensions shorter than this leave too much of a tile empty.
static constexpr int64_t kShortest = 16;

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

static int64_t extentOf(const LoopJob &job, unsigned dim) {
  return job.nest->dag.getDims()[dim].extent;
}

static int64_t bitsOf(const Buffer &buffer) {
  return storageType(buffer.element).getIntOrFloatBitWidth();
}

/// Elements per access along `dim`: up to 16 bytes.
static int64_t widthOf(const LoopJob &job, const Buffer &buffer, const Lin &lin,
                       unsigned dim) {
  int64_t bits = bitsOf(buffer), width = 128 / bits;
  const Nest &nest = *job.nest;
  while (width > 1 && (extentOf(job, dim) % width ||
                       alignmentOf(nest.dag, nest.plan.mergedInto, buffer, lin,
                                   int(dim), width) < width * bits / 8))
    width /= 2;
  return width;
}

static bool isPlainCopy(const LoopJob &job) {
  const Nest &nest = *job.nest;
  if (nest.reduction || nest.stores.size() != 1 || !job.more.empty() ||
      job.lanesDim < 0)
    return false;
  const Store &store = nest.stores.front();
  return store.bits->kind == Node::Kind::Load && !store.guard &&
         store.bits->lin.terms.empty() && store.offset.terms.empty() &&
         !isPacked(store.buffer->element) &&
         !isPacked(store.bits->buffer->element) &&
         llvm::none_of(nest.dag.getDims(),
                       [](const Dim &dim) { return dim.total.has_value(); });
}

std::optional<TransposeTile> planTranspose(const LoopJob &job) {
  if (!isPlainCopy(job))
    return std::nullopt;
  const Store &store = job.nest->stores.front();
  const Node &load = *store.bits;
  TransposeTile plan;
  plan.job = &job;
  plan.to = job.lanesDim;
  auto from = llvm::find_if(
      job.outer, [&](unsigned d) { return load.lin.factorOf(d) == 1; });
  if (from == job.outer.end() || store.offset.factorOf(plan.to) != 1 ||
      load.lin.factorOf(plan.to) == 1 || extentOf(job, *from) < kShortest ||
      extentOf(job, plan.to) < kShortest)
    return std::nullopt;
  plan.from = *from;
  int64_t bits = bitsOf(*store.buffer);
  plan.tile = bits == 8 ? 128 : bits == 16 ? 64 : 32;
  plan.reads = widthOf(job, *load.buffer, load.lin, plan.from);
  plan.writes = widthOf(job, *store.buffer, store.offset, plan.to);
  plan.blocks = llvm::divideCeil(extentOf(job, plan.from), plan.tile) *
                llvm::divideCeil(extentOf(job, plan.to), plan.tile);
  for (unsigned d : job.outer)
    if (d != plan.from) {
      plan.outer.push_back(d);
      plan.blocks *= extentOf(job, d);
    }
  return plan;
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

namespace {

class TransposeEmitter {
public:
  TransposeEmitter(GpuFunction &f, const TransposeTile &plan)
      : f(f), b(f.b), plan(plan), store(plan.job->nest->stores.front()),
        load(*store.bits), tile(plan.tile) {
    int64_t bits = bitsOf(*store.buffer);
    // An odd number of words: a column is in all banks.
    pitch = tile + std::max<int64_t>(32 / bits, 1);
    alignment = std::min<int64_t>(4, bits / 8);
    if (bits == 64)
      alignment = 8;
    memory = f.makeShared(store.buffer->element, tile * pitch);
  }

  void run(Value block) {
    place(block);
    Value from = offset(load.lin), to = offset(store.offset);
    SmallVector<std::pair<Value, Value>> values;
    for (int64_t i = 0; i < rounds(plan.reads); ++i)
      values.push_back(read(from, i));
    for (auto [at, value] : values)
      vector::StoreOp::create(b, value, memory, at, /*nontemporal=*/false,
                              llvm::MaybeAlign(alignment));
    mlir::gpu::BarrierOp::create(b);
    for (int64_t i = 0; i < rounds(plan.writes); ++i)
      write(to, i);
  }

private:
  Value index(int64_t value) { return f.index(value); }
  Value add(Value x, Value y) { return arith::AddIOp::create(b, x, y); }
  Value times(Value x, int64_t y) {
    return y == 1 ? x : arith::MulIOp::create(b, x, index(y)).getResult();
  }
  Value divide(Value x, int64_t y) {
    return y == 1 ? x : arith::DivUIOp::create(b, x, index(y)).getResult();
  }
  Value rest(Value x, int64_t y) {
    return y == 1 ? index(0)
                  : arith::RemUIOp::create(b, x, index(y)).getResult();
  }
  int64_t extent(unsigned dim) const { return extentOf(*plan.job, dim); }

  /// Corner of the tile, and the dimensions around it.
  void place(Value block) {
    auto take = [&](unsigned dim, int64_t count, int64_t step) {
      places.push_back({dim, times(rest(block, count), step)});
      block = divide(block, count);
      return places.back().second;
    };
    // Neighbours write one after the other.
    toCorner = take(plan.to, llvm::divideCeil(extent(plan.to), tile), tile);
    fromCorner =
        take(plan.from, llvm::divideCeil(extent(plan.from), tile), tile);
    for (unsigned d : llvm::reverse(plan.outer))
      take(d, extent(d), 1);
  }

  Value offset(const Lin &lin) {
    Value sum = index(lin.constant);
    for (auto [dim, at] : places)
      if (int64_t factor = lin.factorOf(dim))
        sum = add(sum, times(at, factor));
    return sum;
  }

  int64_t rounds(int64_t width) const {
    return llvm::divideCeil(tile * tile / width, f.getThreads());
  }

  /// Number of the access of this thread in round i.
  Value number(int64_t i) {
    return i ? add(f.threadId(), index(i * f.getThreads())) : f.threadId();
  }

  /// Whether corner + at is in the tensor; null if it always is.
  Value inside(unsigned dim, Value corner, Value at) {
    if (extent(dim) % tile == 0)
      return {};
    return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, add(corner, at),
                                 index(extent(dim)));
  }
  Value both(Value x, Value y) {
    return x && y ? arith::AndIOp::create(b, x, y).getResult() : x ? x : y;
  }

  /// Where in shared memory, and what. Outside of the tensor, and behind the
  /// tile, its first element is read again.
  std::pair<Value, Value> read(Value base, int64_t i) {
    int64_t perRow = tile / plan.reads;
    Value n = number(i), zero = index(0);
    if ((i + 1) * f.getThreads() > tile * perRow) {
      Value has = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, n,
                                        index(tile * perRow));
      n = arith::SelectOp::create(b, has, n, index(tile * perRow - 1));
    }
    Value row = divide(n, perRow), column = times(rest(n, perRow), plan.reads);
    Value offset = add(times(row, load.lin.factorOf(plan.to)), column);
    if (Value has = both(inside(plan.to, toCorner, row),
                         inside(plan.from, fromCorner, column)))
      offset = arith::SelectOp::create(b, has, offset, zero);
    auto type =
        VectorType::get({plan.reads}, storageType(load.buffer->element));
    int64_t bytes = plan.reads * bitsOf(*load.buffer) / 8;
    Value value =
        vector::LoadOp::create(b, type, load.buffer->memref, add(base, offset),
                               /*nontemporal=*/false, llvm::MaybeAlign(bytes));
    return {add(times(row, pitch), column), value};
  }

  /// Runs along the column, then the next column.
  void write(Value base, int64_t i) {
    int64_t perColumn = tile / plan.writes;
    // Whole columns, 128 bytes; less where rows 16 apart are in two banks.
    int64_t runs = plan.writes == 16 ? 2 : std::min<int64_t>(perColumn, 32);
    Value n = number(i), has;
    if ((i + 1) * f.getThreads() > tile * perColumn)
      has = arith::CmpIOp::create(b, arith::CmpIPredicate::ult, n,
                                  index(tile * perColumn));
    Value column = rest(divide(n, runs), tile);
    Value row = times(add(rest(n, runs), times(divide(n, runs * tile), runs)),
                      plan.writes);
    has = both(has, both(inside(plan.to, toCorner, row),
                         inside(plan.from, fromCorner, column)));
    scf::IfOp branch;
    if (has) {
      branch = scf::IfOp::create(b, has, /*withElseRegion=*/false);
      b.setInsertionPoint(branch.thenYield());
    }
    writeRun(
        add(base, add(times(column, store.offset.factorOf(plan.from)), row)),
        add(times(row, pitch), column));
    if (has)
      b.setInsertionPointAfter(branch);
  }

  void writeRun(Value to, Value from) {
    SmallVector<Value> elements;
    for (int64_t k = 0; k < plan.writes; ++k)
      elements.push_back(memref::LoadOp::create(
          b, memory, k ? add(from, index(k * pitch)) : from));
    auto type = VectorType::get({plan.writes}, elements[0].getType());
    Value value = vector::FromElementsOp::create(b, type, elements);
    int64_t bytes = plan.writes * bitsOf(*store.buffer) / 8;
    vector::StoreOp::create(b, value, store.buffer->memref, to,
                            /*nontemporal=*/false, llvm::MaybeAlign(bytes));
  }

  GpuFunction &f;
  ImplicitLocOpBuilder &b;
  const TransposeTile &plan;
  const Store &store;
  const Node &load;
  int64_t tile, pitch, alignment;
  Value memory, fromCorner, toCorner;
  SmallVector<std::pair<unsigned, Value>> places;
};

} // namespace

void emitTranspose(GpuFunction &f, const TransposeTile &plan, Value block) {
  TransposeEmitter(f, plan).run(block);
}

} // namespace gpu
} // namespace nibble
