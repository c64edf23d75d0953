// Products of few rows: the weight is read once, as fast as memory gives it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamGemm.h"

#include "ProductMatrices.h"
#include "StreamWeights.h"
#include "nibble/KernelSelect/Passes.h"

#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace nibble {
namespace gpu {

bool isStreamKernel(func::FuncOp kernel, const GpuTarget &options) {
  auto name = kernel->getAttrOfType<StringAttr>(kKernelClassAttr);
  return options.chip == "sm_90a" && name &&
         name.getValue().starts_with("gemm.stream.");
}

namespace {

constexpr int64_t kLoads = StreamPlan::kLoads;

class StreamEmitter {
public:
  StreamEmitter(ProductGraph &graph, mlir::gpu::GPUModuleOp target,
                const StreamProblem &problem, const GpuTarget &options)
      : graph(graph), problem(problem), plan(problem, options),
        product(graph.graph, problem.op),
        function(graph, target, graph.part.getName() + "_stream",
                 plan.threads(), /*blocks=*/1, /*workspaceFloats=*/0),
        code(function) {}

  GpuKernel run() {
    place();
    StreamWeights weights(code, problem, plan, lane);
    SmallVector<Value> sums = multiplyAll(weights);
    storeSums(sums);
    writeResult(weights.getFactor());
    GpuKernel kernel;
    KernelLaunch launch = function.finish(plan.blocks);
    launch.cluster[0] = plan.splits;
    launch.sharedBytes = plan.sharedBytes();
    kernel.launches.push_back(std::move(launch));
    kernel.flops = 2 * problem.m * problem.n * problem.k;
    return kernel;
  }

private:
  //===--------------------------------------------------------------------===//
  // Who does what
  //===--------------------------------------------------------------------===//

  void place() {
    thread = code.fromIndex(function.thread());
    lane = code.rem(thread, 32);
    Value warp = code.div(thread, 32), block = code.fromIndex(function.block());
    warpOfBlock = warp;
    rowGroup = code.rem(warp, plan.rowGroups);
    kGroup = code.div(warp, plan.rowGroups);
    rank = code.rem(block, plan.splits);
    rowBlock = code.div(block, plan.splits);
    firstStep = code.mul(rank, plan.steps);
    shared = code.getShared();
    codesOfAll = code.getGlobal(problem.weight, problem.codes);
    if (problem.format.block)
      scalesOfAll = code.getGlobal(problem.weight, problem.scales);
    tokensOfAll = code.getGlobal(problem.tokens, 0);
  }

  //===--------------------------------------------------------------------===//
  // Copies
  //===--------------------------------------------------------------------===//

  /// Number of a tile of 16 rows; behind the end, the last one again.
  Value rowTile(int64_t tile) {
    Value number = code.add(code.mul(rowBlock, plan.rows / 16),
                            code.add(code.mul(rowGroup, plan.tiles), tile));
    Value last = code.constant(problem.rowTiles() - 1);
    return code.select(code.less(number, last), number, last);
  }

  /// Codes and scales of this warp at step `step` (of all of k).
  void copyWeights(Value step, Value stage) {
    Value piece = code.add(code.mul(step, plan.kGroups), kGroup);
    Value to =
        code.add(code.add(stage, code.mul(warpOfBlock, plan.codesOfWarp())),
                 code.mul(lane, 16));
    for (int64_t tile = 0; tile < plan.tiles; ++tile)
      for (int64_t i = 0; i < kLoads; ++i) {
        Value load = code.add(code.mul(piece, kLoads), i);
        Value inside = code.less(load, code.constant(problem.loads()));
        Value number = code.add(code.mul(rowTile(tile), problem.loads()), load);
        Value from = code.add(code.mul(number, 512), code.mul(lane, 16));
        code.copy16(code.add(to, (tile * kLoads + i) * 512),
                    code.advance(codesOfAll,
                                 code.select(inside, from, code.constant(0))),
                    inside);
      }
    if (problem.format.block)
      copyScales(piece, stage);
  }

  void copyScales(Value piece, Value stage) {
    int64_t bytes = problem.scaleBytes();
    auto copy = [&] {
      Value to = code.add(code.add(code.add(stage, plan.scalesAt()),
                                   code.mul(warpOfBlock, plan.scalesOfWarp())),
                          code.mul(lane, 16));
      for (int64_t tile = 0; tile < plan.tiles; ++tile) {
        Value inside = code.less(piece, code.constant(problem.scalePieces()));
        Value number =
            code.add(code.mul(rowTile(tile), problem.scalePieces()), piece);
        Value from = code.add(code.mul(number, bytes), code.mul(lane, 16));
        code.copy16(code.add(to, tile * bytes),
                    code.advance(scalesOfAll,
                                 code.select(inside, from, code.constant(0))),
                    inside);
      }
    };
    if (bytes >= 512)
      return copy();
    function.code.ifElse(code.less(lane, code.constant(bytes / 16)), copy);
  }

  /// Octets of all tokens. That of unit u and thread (g, t) lies at
  /// [u][token / 8][g ^ (u & 1)][t]: reads and writes are without bank
  /// conflicts.
  void copyTokens(Value step, Value stage) {
    int64_t octets = plan.blockK() / 8, pieces = octets * plan.tokenTiles * 8;
    for (int64_t first = 0; first < pieces; first += plan.threads()) {
      Value number = code.add(thread, first);
      auto copy = [&] { copyToken(step, stage, number, octets); };
      if (first + plan.threads() <= pieces)
        copy();
      else
        function.code.ifElse(code.less(number, code.constant(pieces)), copy);
    }
  }

  void copyToken(Value step, Value stage, Value number, int64_t octets) {
    Value octet = code.rem(number, octets), token = code.div(number, octets);
    Value unit, t;
    if (problem.format.hasRuns()) {
      unit = code.add(code.mul(code.div(octet, 8), 2), code.rem(octet, 2));
      t = code.div(code.rem(octet, 8), 2);
    } else {
      unit = code.div(octet, 4);
      t = code.rem(octet, 4);
    }
    Value g = code.bitXor(code.rem(token, 8), code.rem(unit, 2));
    Value row = code.add(code.mul(unit, plan.tokenTiles), code.div(token, 8));
    Value at = code.add(code.mul(row, 512),
                        code.add(code.mul(g, 64), code.mul(t, 16)));
    Value k = code.mul(code.add(code.mul(step, octets), octet), 8);
    Value inside = arith::AndIOp::create(
        function.code.b, code.less(k, code.constant(problem.k)),
        code.less(token, code.constant(problem.m)));
    Value from = code.mul(code.add(code.mul(token, problem.k), k), 2);
    code.copy16(
        code.add(code.add(stage, plan.tokensAt()), at),
        code.advance(tokensOfAll, code.select(inside, from, code.constant(0))),
        inside);
  }

  void copyStep(Value step, Value stage) {
    Value all = code.add(firstStep, step);
    copyWeights(all, stage);
    copyTokens(all, stage);
  }

  Value stageOf(Value step) {
    return code.add(shared,
                    code.mul(code.rem(step, plan.stages), plan.stageBytes()));
  }

  //===--------------------------------------------------------------------===//
  // Products
  //===--------------------------------------------------------------------===//

  SmallVector<Value> multiplyAll(StreamWeights &weights) {
    for (int64_t i = 0; i < plan.stages - 1; ++i) {
      if (i < plan.steps)
        copyStep(code.constant(i), stageOf(code.constant(i)));
      code.commit();
    }
    SmallVector<Value> zeros(plan.tiles * plan.tokenTiles * 4, function.zero());
    SmallVector<Value> sums = function.code.loop(
        0, plan.steps, 1, zeros, [&](Value index, ValueRange carried) {
          Value step = code.fromIndex(index);
          code.waitFor(plan.stages - 2);
          // What all have read in the step before is free, too.
          function.barrier();
          Value ahead = code.add(step, plan.stages - 1);
          function.code.ifElse(code.less(ahead, code.constant(plan.steps)),
                               [&] { copyStep(ahead, stageOf(ahead)); });
          code.commit();
          return multiplyStep(weights, stageOf(step), carried);
        });
    code.waitFor(0);
    function.barrier();
    return sums;
  }

  SmallVector<Value> multiplyStep(StreamWeights &weights, Value stage,
                                  ValueRange carried) {
    SmallVector<Value> sums(carried);
    weights.load(code.add(stage, code.mul(warpOfBlock, plan.codesOfWarp())),
                 code.add(code.add(stage, plan.scalesAt()),
                          code.mul(warpOfBlock, plan.scalesOfWarp())));
    for (int64_t unit = 0; unit < weights.units(); ++unit) {
      SmallVector<Value> tokens = loadTokens(weights, unit, stage);
      for (int64_t tile = 0; tile < plan.tiles; ++tile)
        multiplyUnit(weights, unit, tile, tokens, sums);
    }
    return sums;
  }

  /// Four registers per eight tokens.
  SmallVector<Value> loadTokens(StreamWeights &weights, int64_t unit,
                                Value stage) {
    Value number = code.add(code.mul(kGroup, weights.units()), unit);
    Value g = code.bitXor(code.div(lane, 4), code.rem(number, 2));
    Value at =
        code.add(code.add(code.add(stage, plan.tokensAt()),
                          code.mul(number, plan.tokenTiles * 512)),
                 code.add(code.mul(g, 64), code.mul(code.rem(lane, 4), 16)));
    SmallVector<Value> registers;
    for (int64_t i = 0; i < plan.tokenTiles; ++i)
      llvm::append_range(registers, code.load(code.add(at, i * 512), 4));
    return registers;
  }

  void multiplyUnit(StreamWeights &weights, int64_t unit, int64_t tile,
                    ArrayRef<Value> tokens, MutableArrayRef<Value> sums) {
    SmallVector<Value> a = weights.operands(unit, tile);
    SmallVector<Value, 2> scales = weights.scales(unit, tile);
    ArrayRef<Value> first = ArrayRef(a).take_front(4),
                    second = ArrayRef(a).drop_front(4);
    for (int64_t i = 0; i < plan.tokenTiles; ++i) {
      auto sum = sums.slice((tile * plan.tokenTiles + i) * 4, 4);
      SmallVector<Value> begin(sum);
      if (!scales.empty())
        begin.assign(4, function.zero());
      ArrayRef<Value> b = tokens.slice(i * 4, 4);
      SmallVector<Value> next = code.multiply(
          second, b.drop_front(2),
          code.multiply(first, b.take_front(2), begin, problem.bf16),
          problem.bf16);
      for (int64_t j = 0; j < 4; ++j)
        sum[j] = scales.empty() ? next[j]
                                : math::FmaOp::create(function.code.b, next[j],
                                                      scales[j / 2], sum[j])
                                      .getResult();
    }
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  /// Registers 0, 1: row g of the weight, tokens 2t, 2t + 1; 2, 3: row g + 8.
  void storeSums(ArrayRef<Value> sums) {
    Value row =
        code.add(code.mul(rowGroup, plan.tiles * 16), code.div(lane, 4));
    Value token = code.mul(code.rem(lane, 4), 2);
    Value base = code.add(code.mul(kGroup, plan.sumsOfGroup()),
                          code.add(code.mul(token, plan.sumPitch()), row));
    base = code.add(shared, code.mul(base, 4));
    for (auto [number, sum] : llvm::enumerate(sums)) {
      int64_t tile = int64_t(number) / 4 / plan.tokenTiles,
              tokens = int64_t(number) / 4 % plan.tokenTiles,
              part = int64_t(number) % 4;
      int64_t at =
          (tokens * 8 + part % 2) * plan.sumPitch() + tile * 16 + part / 2 * 8;
      code.storeFloat(code.add(base, at * 4), sum);
    }
  }

  /// Sums of warps and blocks in the order of k; blocks of a cluster share the
  /// elements.
  void writeResult(double factor) {
    if (plan.splits > 1)
      code.clusterBarrier();
    else
      function.barrier();
    addGlobalScale();
    product.c.tensor->buffer.memref =
        function.function.getArgument(graph.part.getNumArguments());
    ResultWriter writer(graph.part.getContext(), product.c);
    int64_t lanes = writer.getLanes(), perToken = plan.rows / lanes;
    Value first = code.add(code.mul(rank, plan.threads()), thread);
    function.code.loop(
        code.toIndex(first), function.code.index(problem.m * perToken),
        plan.splits * plan.threads(), [&](Value index) {
          Value unit = code.fromIndex(index);
          Value token = code.div(unit, perToken),
                here = code.rem(unit, perToken);
          Value column = code.add(code.mul(rowBlock, perToken), here);
          auto write = [&] {
            Value sum = addParts(token, code.mul(here, lanes), lanes, factor);
            writer.write(function.code, sum, function.code.index(0),
                         code.toIndex(token), code.toIndex(column));
          };
          if (problem.n % plan.rows == 0)
            return write();
          function.code.ifElse(
              code.less(column, code.constant(problem.n / lanes)), write);
        });
    if (plan.splits > 1)
      code.clusterBarrier();
  }

  Value addParts(Value token, Value row, int64_t lanes, double factor) {
    ImplicitLocOpBuilder &b = function.code.b;
    Value at = code.add(
        shared, code.mul(code.add(code.mul(token, plan.sumPitch()), row), 4));
    Value sum;
    for (int64_t split = 0; split < plan.splits; ++split)
      for (int64_t group = 0; group < plan.kGroups; ++group) {
        Value part =
            code.loadFloats(code.add(at, group * plan.sumsOfGroup() * 4), lanes,
                            plan.splits > 1 ? code.constant(split) : Value());
        sum = sum ? arith::AddFOp::create(b, sum, part).getResult() : part;
      }
    if (factor == 1)
      return sum;
    TypedAttr value = b.getF32FloatAttr(float(factor));
    if (lanes > 1)
      value = DenseElementsAttr::get(cast<ShapedType>(sum.getType()),
                                     Attribute(value));
    return arith::MulFOp::create(b, sum, arith::ConstantOp::create(b, value));
  }

  /// Scales per block are in the sums, the global one is not.
  void addGlobalScale() {
    if (!problem.format.block)
      return;
    nq::MatmulOp op = problem.op;
    cpu::ScaledTensor &scaled = graph.graph.scaledOf(op.getB());
    if (!scaled.global)
      return;
    product.c.factors.push_back([&scaled](cpu::Dag &dag, const cpu::Lin &,
                                          const cpu::Lin &, const cpu::Lin &) {
      return dag.pull(*scaled.global, cpu::Index(scaled.global->shape.size()));
    });
  }

  ProductGraph &graph;
  const StreamProblem &problem;
  StreamPlan plan;
  MatrixProduct product;
  ProductFunction function;
  StreamAsm code;
  Value thread, lane, warpOfBlock, rowGroup, kGroup, rank, rowBlock, firstStep;
  Value shared, codesOfAll, scalesOfAll, tokensOfAll;
};

} // namespace

FailureOr<std::optional<GpuKernel>>
emitStreamGemm(func::FuncOp part, mlir::gpu::GPUModuleOp target,
               const GpuTarget &options, std::string &why) {
  StreamProblem problem;
  if (failed(problem.read(part, why)))
    return std::optional<GpuKernel>();
  ProductGraph graph(part);
  if (failed(graph.read()))
    return failure();
  return std::optional<GpuKernel>(
      StreamEmitter(graph, target, problem, options).run());
}

} // namespace gpu
} // namespace nibble
