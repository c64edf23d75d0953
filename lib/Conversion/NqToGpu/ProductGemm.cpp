// Matrix products on the FMA units.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ProductGemm.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

constexpr int64_t kDepth = GemmPlan::kDepth;
/// Steps along K that are worth a block of their own.
constexpr int64_t kLeastSteps = 8;

GemmPlan::GemmPlan(const MatrixProduct &product, const GpuTarget &target) {
  constexpr GemmTile kTiles[] = {{4, 2, 2, 2}, {2, 2, 2, 1}, {2, 2, 1, 1}};
  int64_t rows = product.a.rows, columns = product.b.rows,
          batches = product.a.batches;
  auto blocks = [&](const GemmTile &t) {
    int64_t tiles =
        divideCeil(rows, t.rows()) * divideCeil(columns, t.columns());
    return std::max<int64_t>(tiles * batches, 1);
  };
  tile = kTiles[2];
  for (const GemmTile &t : kTiles)
    if (rows > t.rows() / 2 && blocks(t) >= target.multiprocessors) {
      tile = t;
      break;
    }
  if (blocks(tile) < target.multiprocessors && rows > 32)
    tile = kTiles[1];
  tilesM = divideCeil(rows, tile.rows());
  tilesN = divideCeil(columns, tile.columns());
  steps = divideCeil(product.depth, kDepth);
  int64_t wanted = 2 * target.multiprocessors / blocks(tile);
  splits = std::max<int64_t>(std::min(wanted, steps / kLeastSteps), 1);
  stepsEach = divideCeil(steps, splits);
  if (stepsEach)
    splits = divideCeil(steps, stepsEach);
}

namespace {

class GemmEmitter {
public:
  GemmEmitter(ProductGraph &graph, mlir::gpu::GPUModuleOp target,
              const GpuTarget &options)
      : graph(graph), target(target),
        product(graph.graph, cast<nq::MatmulOp>(graph.product)),
        plan(product, options), tile(plan.tile) {}

  FailureOr<GpuKernel> run() {
    GpuKernel kernel;
    const MatrixResult &c = product.c;
    if (c.batches * c.rows * c.columns == 0)
      return kernel;
    kernel.launches.push_back(emitProduct());
    if (plan.splits > 1) {
      kernel.workspaceBytes = workspaceFloats() * 4;
      kernel.launches.push_back(emitSum());
    }
    kernel.flops = 2 * c.batches * c.rows * c.columns * product.depth;
    return kernel;
  }

private:
  int64_t elements() const {
    return product.c.batches * product.c.rows * product.c.columns;
  }
  int64_t workspaceFloats() const {
    return plan.splits > 1 ? plan.splits * elements() : 0;
  }
  std::string nameOf(StringRef suffix) {
    return (graph.part.getName() + suffix).str();
  }

  //===--------------------------------------------------------------------===//
  // Tiles
  //===--------------------------------------------------------------------===//

  struct Lanes {
    Value warpM, warpN, laneM, laneN;
  };

  /// Of a warp, 4 x 8 threads.
  Lanes lanesOf(cpu::GemmCode &code, Value thread) const {
    Value warp = code.div(thread, 32), lane = code.rem(thread, 32);
    return {code.rem(warp, tile.warpsM), code.div(warp, tile.warpsM),
            code.div(lane, 8), code.rem(lane, 8)};
  }

  KernelLaunch emitProduct() {
    ProductFunction function(graph, target, nameOf("_gemm"), tile.threads(),
                             512 / tile.threads(), workspaceFloats());
    cpu::GemmCode &code = function.code;
    int64_t pitchA = tile.rows() + 4, pitchB = tile.columns() + 4;
    TileLoader a(graph.part.getContext(), product.a,
                 {tile.rows(), kDepth, pitchA, tile.threads()});
    TileLoader b(graph.part.getContext(), product.b,
                 {tile.columns(), kDepth, pitchB, tile.threads()});
    memoryA = function.addShared(2 * kDepth * pitchA);
    memoryB = function.addShared(2 * kDepth * pitchB);
    Value thread = function.thread();
    // Neighbours share rows of A.
    Value number = function.block();
    auto digit = [&](int64_t extent) {
      Value value = code.rem(number, extent);
      number = code.div(number, extent);
      return value;
    };
    Value blockN = digit(plan.tilesN), blockM = digit(plan.tilesM),
          batch = digit(product.c.batches), split = number;
    Value first = code.mul(split, plan.stepsEach);
    Value end =
        code.min(code.add(first, plan.stepsEach), code.index(plan.steps));
    Value last = code.sub(end, code.index(1));
    Lanes lanes = lanesOf(code, thread);
    int64_t count = 16 * tile.rowFours * tile.columnFours;
    SmallVector<Value> sums(count, function.zero());
    if (plan.steps > 0) {
      auto bring = [&](Value step, Value buffer) {
        auto tileA = a.load(function, thread, {batch, blockM, step, {}});
        auto tileB = b.load(function, thread, {batch, blockN, step, {}});
        return [&, buffer, tileA, tileB] {
          a.store(function, thread, tileA, memoryA,
                  code.mul(buffer, kDepth * pitchA));
          b.store(function, thread, tileB, memoryB,
                  code.mul(buffer, kDepth * pitchB));
        };
      };
      bring(first, code.index(0))();
      function.barrier();
      sums =
          code.loop(first, end, 1, sums, [&](Value step, ValueRange carried) {
            Value here = code.rem(code.sub(step, first), 2);
            Value there = code.sub(code.index(1), here);
            // The last step brings a tile again that nobody reads.
            auto store = bring(code.min(code.add(step, 1), last), there);
            SmallVector<Value> next = multiply(
                code, lanes, code.mul(here, kDepth * pitchA),
                code.mul(here, kDepth * pitchB), pitchA, pitchB, carried);
            store();
            function.barrier();
            return next;
          });
    }
    emitStores(function, lanes, blockM, blockN, batch, split,
               function.pin(sums));
    return function.finish(plan.tilesN * plan.tilesM * product.c.batches *
                           plan.splits);
  }

  SmallVector<Value> loadFours(cpu::GemmCode &code, Value memory, Value at,
                               int64_t fours, int64_t distance) {
    SmallVector<Value> values;
    for (int64_t i = 0; i < fours; ++i) {
      Value four = vector::LoadOp::create(
          code.b, code.vec(4, code.f32()), memory, code.add(at, i * distance),
          /*nontemporal=*/false, llvm::MaybeAlign(16));
      for (int64_t j = 0; j < 4; ++j)
        values.push_back(vector::ExtractOp::create(code.b, four, j));
    }
    return values;
  }

  /// Sums of one thread, row by row, after one more step.
  SmallVector<Value> multiply(cpu::GemmCode &code, const Lanes &lanes,
                              Value fromA, Value fromB, int64_t pitchA,
                              int64_t pitchB, ValueRange carried) {
    SmallVector<Value> sums(carried);
    Value rowA =
        code.add(fromA, code.add(code.mul(lanes.warpM, tile.rowFours * 16),
                                 code.mul(lanes.laneM, 4)));
    Value rowB =
        code.add(fromB, code.add(code.mul(lanes.warpN, tile.columnFours * 32),
                                 code.mul(lanes.laneN, 4)));
    for (int64_t k = 0; k < kDepth; ++k) {
      SmallVector<Value> x = loadFours(
          code, memoryA, code.add(rowA, k * pitchA), tile.rowFours, 16);
      SmallVector<Value> y = loadFours(
          code, memoryB, code.add(rowB, k * pitchB), tile.columnFours, 32);
      for (auto [i, xi] : llvm::enumerate(x))
        for (auto [j, yj] : llvm::enumerate(y)) {
          Value &sum = sums[i * y.size() + j];
          sum = math::FmaOp::create(code.b, xi, yj, sum);
        }
    }
    return sums;
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  using StoreFn = function_ref<void(ValueRange four, Value row, Value column)>;

  /// Calls `store` for each four of columns that is inside, or partly inside.
  void forEachFour(cpu::GemmCode &code, const Lanes &lanes, Value blockM,
                   Value blockN, ArrayRef<Value> sums, StoreFn store) {
    int64_t perRow = 4 * tile.columnFours;
    for (int64_t i = 0; i < 4 * tile.rowFours; ++i) {
      Value row =
          code.add(code.add(code.mul(blockM, tile.rows()),
                            code.mul(lanes.warpM, tile.rowFours * 16)),
                   code.add(code.mul(lanes.laneM, 4), i / 4 * 16 + i % 4));
      auto storeRow = [&] {
        for (int64_t j = 0; j < tile.columnFours; ++j) {
          Value column =
              code.add(code.add(code.mul(blockN, tile.columns()),
                                code.mul(lanes.warpN, tile.columnFours * 32)),
                       code.add(code.mul(lanes.laneN, 4), j * 32));
          ValueRange four(sums.slice(i * perRow + j * 4, 4));
          guard(code, column, product.c.columns, tile.columns(),
                [&] { store(four, row, column); });
        }
      };
      guard(code, row, product.c.rows, tile.rows(), storeRow);
    }
  }

  /// Only if index < extent.
  static void guard(cpu::GemmCode &code, Value index, int64_t extent,
                    int64_t tile, function_ref<void()> body) {
    if (extent % tile == 0)
      return body();
    code.ifElse(code.less(index, code.index(extent)), body);
  }

  static Value toVector(cpu::GemmCode &code, ValueRange four) {
    return vector::FromElementsOp::create(code.b, code.vec(4, code.f32()),
                                          four);
  }

  void emitStores(ProductFunction &function, const Lanes &lanes, Value blockM,
                  Value blockN, Value batch, Value split,
                  ArrayRef<Value> sums) {
    if (plan.splits > 1)
      return emitPartial(function, lanes, blockM, blockN, batch, split, sums);
    cpu::GemmCode &code = function.code;
    bindResult(function);
    ResultWriter writer(graph.part.getContext(), product.c);
    forEachFour(code, lanes, blockM, blockN, sums,
                [&](ValueRange four, Value row, Value column) {
                  if (writer.getLanes() == 4)
                    return writer.write(code, toVector(code, four), batch, row,
                                        code.div(column, 4));
                  for (int64_t i = 0; i < 4; ++i)
                    guard(code, code.add(column, i), product.c.columns, 4, [&] {
                      writer.write(code, four[i], batch, row,
                                   code.add(column, i));
                    });
                });
  }

  void bindResult(ProductFunction &function) {
    product.c.tensor->buffer.memref =
        function.function.getArgument(graph.part.getNumArguments());
  }

  void emitPartial(ProductFunction &function, const Lanes &lanes, Value blockM,
                   Value blockN, Value batch, Value split,
                   ArrayRef<Value> sums) {
    cpu::GemmCode &code = function.code;
    const MatrixResult &c = product.c;
    Value memory = function.getWorkspace();
    Value base = code.add(code.mul(split, elements()),
                          code.mul(batch, c.rows * c.columns));
    bool whole = c.columns % 4 == 0;
    forEachFour(
        code, lanes, blockM, blockN, sums,
        [&](ValueRange four, Value row, Value column) {
          Value at = code.add(base, code.add(code.mul(row, c.columns), column));
          if (whole) {
            vector::StoreOp::create(code.b, toVector(code, four), memory, at,
                                    /*nontemporal=*/false,
                                    llvm::MaybeAlign(16));
            return;
          }
          for (int64_t i = 0; i < 4; ++i)
            guard(code, code.add(column, i), c.columns, 4,
                  [&] { code.store(four[i], memory, code.add(at, i)); });
        });
  }

  //===--------------------------------------------------------------------===//
  // Sums of parts
  //===--------------------------------------------------------------------===//

  /// One thread per element, or per four of a row: sums in the order of K.
  KernelLaunch emitSum() {
    constexpr int64_t kThreads = 128;
    ProductFunction function(graph, target, nameOf("_sum"), kThreads,
                             /*blocks=*/8, workspaceFloats());
    cpu::GemmCode &code = function.code;
    const MatrixResult &c = product.c;
    bindResult(function);
    ResultWriter writer(graph.part.getContext(), c);
    int64_t lanes = writer.getLanes(), units = elements() / lanes,
            perRow = c.columns / lanes;
    Value unit =
        code.add(code.mul(function.block(), kThreads), function.thread());
    guard(code, unit, units, kThreads, [&] {
      Value sum = loadPart(function, unit, lanes, 0);
      for (int64_t i = 1; i < plan.splits; ++i)
        sum = arith::AddFOp::create(code.b, sum,
                                    loadPart(function, unit, lanes, i));
      Value row = code.div(unit, perRow);
      writer.write(code, sum, code.div(row, c.rows), code.rem(row, c.rows),
                   code.rem(unit, perRow));
    });
    return function.finish(divideCeil(units, kThreads));
  }

  Value loadPart(ProductFunction &function, Value unit, int64_t lanes,
                 int64_t part) {
    cpu::GemmCode &code = function.code;
    Value memory = function.getWorkspace(),
          at = code.add(code.mul(unit, lanes), part * elements());
    if (lanes == 1)
      return code.loadScalar(memory, at);
    return vector::LoadOp::create(code.b, code.vec(lanes, code.f32()), memory,
                                  at, /*nontemporal=*/false,
                                  llvm::MaybeAlign(16));
  }

  ProductGraph &graph;
  mlir::gpu::GPUModuleOp target;
  MatrixProduct product;
  GemmPlan plan;
  GemmTile tile;
  Value memoryA, memoryB;
};

} // namespace

FailureOr<GpuKernel> emitGemm(func::FuncOp part, mlir::gpu::GPUModuleOp target,
                              const GpuTarget &options) {
  ProductGraph graph(part);
  if (failed(graph.read()))
    return failure();
  return GemmEmitter(graph, target, options).run();
}

} // namespace gpu
} // namespace nibble
