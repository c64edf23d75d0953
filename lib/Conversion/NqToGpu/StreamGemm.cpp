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

class StreamEmitter {
public:
  StreamEmitter(ProductGraph &graph, mlir::gpu::GPUModuleOp target,
                const StreamProblem &problem, const GpuTarget &options)
      : graph(graph), target(target), problem(problem), plan(problem, options),
        product(graph.graph, problem.op),
        function(graph, target, graph.part.getName() + "_stream",
                 plan.threads(), /*blocks=*/1, plan.workspaceFloats(problem)),
        code(function) {}

  GpuKernel run() {
    place();
    StreamWeights weights(code, problem, plan, lane);
    SmallVector<Value> sums = multiplyAll(weights);
    storeSums(sums);
    addGlobalScale();
    writeResult(weights.getFactor());
    GpuKernel kernel;
    KernelLaunch launch = function.finish(plan.blocks);
    if (plan.isCluster())
      launch.cluster[0] = plan.splits;
    launch.sharedBytes = plan.sharedBytes();
    kernel.launches.push_back(std::move(launch));
    if (plan.hasSecondPass()) {
      kernel.workspaceBytes = plan.workspaceFloats(problem) * 4;
      kernel.launches.push_back(emitSum());
    }
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

  /// Codes and scales of this warp at step `step` (of all of k). Behind the
  /// end, where tokens are zeros, the last piece comes again.
  void copyWeights(Value step, Value stage, Value barrier) {
    Value piece = code.add(code.mul(step, plan.kGroups), kGroup);
    Value last = code.constant(problem.pieces() - 1);
    piece = code.select(code.less(piece, last), piece, last);
    Value codesTo = code.add(stage, code.mul(warpOfBlock, plan.codesOfWarp()));
    Value scalesTo = code.add(code.add(stage, plan.scalesAt()),
                              code.mul(warpOfBlock, plan.scalesOfWarp()));
    int64_t bytes = problem.scaleBytes();
    for (int64_t tile = 0; tile < plan.tiles; ++tile) {
      Value number = code.add(code.mul(rowTile(tile), problem.pieces()), piece);
      code.copy(code.add(codesTo, tile * 1024),
                code.advance(codesOfAll, code.mul(number, 1024)),
                code.constant(1024), barrier);
      if (bytes)
        code.copy(code.add(scalesTo, tile * bytes),
                  code.advance(scalesOfAll, code.mul(number, bytes)),
                  code.constant(bytes), barrier);
    }
  }

  bool hasTail() const {
    return problem.k % (plan.blockK() * plan.splits * plan.steps) != 0;
  }

  /// Bytes of a token's row at a step that are inside of k.
  Value tokenBytes(Value step) {
    Value all = code.constant(plan.blockK() * 2);
    if (!hasTail())
      return all;
    Value left = code.sub(code.constant(problem.k * 2),
                          code.mul(step, plan.blockK() * 2));
    Value some = code.select(code.less(left, all), left, all);
    return code.select(code.less(some, code.constant(0)), code.constant(0),
                       some);
  }

  /// One thread for each row.
  void copyTokens(Value step, Value stage, Value barrier) {
    Value bytes = tokenBytes(step);
    Value here = code.less(thread, code.constant(problem.m));
    if (hasTail())
      here = arith::AndIOp::create(function.code.b, here,
                                   code.less(code.constant(0), bytes));
    Value row = code.add(code.add(stage, plan.tokensAt()),
                         code.mul(thread, plan.tokenPitch()));
    Value from = code.add(code.mul(thread, problem.k * 2),
                          code.mul(step, plan.blockK() * 2));
    function.code.ifElse(here, [&] {
      code.copy(row, code.advance(tokensOfAll, from), bytes, barrier);
    });
    if (hasTail())
      clearTail(stage, bytes);
  }

  /// Zeros behind the end of k, in all rows.
  void clearTail(Value stage, Value bytes) {
    int64_t octets = plan.blockK() / 8, all = octets * problem.m;
    auto clear = [&](Value number) {
      Value token = code.div(number, octets), octet = code.rem(number, octets);
      Value at = code.mul(octet, 16);
      auto store = [&] {
        code.storeZeros(code.add(code.add(code.add(stage, plan.tokensAt()), at),
                                 code.mul(token, plan.tokenPitch())));
      };
      // Not less than: at >= bytes.
      function.code.ifElse(code.less(at, bytes), [] {}, store);
    };
    function.code.ifElse(
        code.less(bytes, code.constant(plan.blockK() * 2)), [&] {
          function.code.loop(
              function.code.index(0), function.code.index(all), plan.threads(),
              [&](Value first) {
                Value number = code.add(code.fromIndex(first), thread);
                function.code.ifElse(code.less(number, code.constant(all)),
                                     [&] { clear(number); });
              });
        });
  }

  /// Rows of tokens that are none, in all stages.
  void clearPadding() {
    int64_t rows = plan.tokenTiles * 8 - problem.m, octets = plan.blockK() / 8,
            all = rows * octets * plan.stages;
    if (!rows)
      return;
    Value first = code.toIndex(thread);
    function.code.loop(
        first, function.code.index(all), plan.threads(), [&](Value index) {
          Value number = code.fromIndex(index);
          Value octet = code.rem(number, octets),
                row = code.rem(code.div(number, octets), rows),
                stage = code.div(number, octets * rows);
          Value at = code.add(
              code.add(code.mul(stage, plan.stageBytes()), code.mul(octet, 16)),
              code.mul(row, plan.tokenPitch()));
          code.storeZeros(
              code.add(code.add(shared, at),
                       plan.tokensAt() + problem.m * plan.tokenPitch()));
        });
  }

  /// Blocks begin at different places, lest all read the same tokens at once.
  Value placeOf(Value step) {
    Value turned = code.rem(code.add(step, rowBlock), plan.steps);
    return code.add(firstStep, turned);
  }

  void copyWeightsOf(Value step) {
    Value place = placeOf(step), barrier = barrierOf(step);
    function.code.ifElse(code.equal(thread, 0), [&] {
      int64_t weights = plan.warps * (plan.codesOfWarp() + plan.scalesOfWarp());
      code.arrive(barrier,
                  code.add(code.mul(tokenBytes(place), problem.m), weights));
    });
    function.code.ifElse(code.equal(lane, 0),
                         [&] { copyWeights(place, stageOf(step), barrier); });
  }

  void copyTokensOf(Value step) {
    copyTokens(placeOf(step), stageOf(step), barrierOf(step));
  }

  Value stageOf(Value step) {
    return code.add(shared,
                    code.mul(code.rem(step, plan.stages), plan.stageBytes()));
  }

  Value barrierOf(Value step) {
    return code.add(code.add(shared, plan.barriersAt()),
                    code.mul(code.rem(step, plan.stages), 8));
  }

  //===--------------------------------------------------------------------===//
  // Products
  //===--------------------------------------------------------------------===//

  void initBarriers() {
    function.code.ifElse(code.equal(thread, 0), [&] {
      for (int64_t i = 0; i < plan.stages; ++i)
        code.initBarrier(barrierOf(code.constant(i)));
      code.fenceBarriers();
    });
    clearPadding();
    function.barrier();
  }

  SmallVector<Value> multiplyAll(StreamWeights &weights) {
    initBarriers();
    // Weights are constants, tokens come from the launch before.
    code.letNextBegin();
    // Stages that are used once need no word from who reads them.
    bool reuses = plan.steps > plan.stages;
    int64_t early = reuses ? plan.stages - 1 : plan.steps;
    for (int64_t i = 0; i < early; ++i)
      copyWeightsOf(code.constant(i));
    code.waitForPrevious();
    for (int64_t i = 0; i < early; ++i)
      copyTokensOf(code.constant(i));
    if (hasTail() && !reuses)
      function.barrier();
    SmallVector<Value> zeros(plan.tiles * plan.tokenTiles * 4, function.zero());
    SmallVector<Value> sums = function.code.loop(
        0, plan.steps, 1, zeros, [&](Value index, ValueRange carried) {
          Value step = code.fromIndex(index);
          if (reuses) {
            // All have read what they needed in the step before.
            function.barrier();
            Value ahead = code.add(step, plan.stages - 1);
            function.code.ifElse(code.less(ahead, code.constant(plan.steps)),
                                 [&] {
                                   copyWeightsOf(ahead);
                                   copyTokensOf(ahead);
                                 });
          }
          code.waitFor(barrierOf(step),
                       code.rem(code.div(step, plan.stages), 2));
          return multiplyStep(weights, stageOf(step), carried);
        });
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
      SmallVector<SmallVector<Value>> operands;
      SmallVector<SmallVector<Value, 2>> scales;
      for (int64_t tile = 0; tile < plan.tiles; ++tile) {
        operands.push_back(weights.operands(unit, tile));
        scales.push_back(weights.scales(unit, tile));
      }
      Value at = tokensOf(weights, unit, stage);
      for (int64_t i = 0; i < plan.tokenTiles; ++i) {
        SmallVector<Value> tokens =
            code.load(code.add(at, i * 8 * plan.tokenPitch()), 4);
        for (int64_t tile = 0; tile < plan.tiles; ++tile)
          multiplyUnit(operands[tile], scales[tile], tokens,
                       MutableArrayRef<Value>(sums).slice(
                           (tile * plan.tokenTiles + i) * 4, 4));
      }
    }
    return sums;
  }

  /// Which of eight tokens is column g of a product: one that lies in other
  /// banks than that of column g ^ 1.
  Value tokenOf(Value g) {
    if (problem.format.hasRuns())
      return g;
    return code.add(code.div(g, 2), code.mul(code.rem(g, 2), 4));
  }

  /// This thread's octet of a unit, of the first eight tokens.
  Value tokensOf(StreamWeights &weights, int64_t unit, Value stage) {
    Value number = code.add(code.mul(kGroup, weights.units()), unit);
    Value t = code.rem(lane, 4), half = code.rem(number, 2);
    Value octet = problem.format.hasRuns() ? code.add(code.mul(t, 2), half)
                                           : code.add(code.mul(half, 4), t);
    octet = code.add(code.mul(code.div(number, 2), 8), octet);
    return code.add(
        code.add(code.add(stage, plan.tokensAt()), code.mul(octet, 16)),
        code.mul(tokenOf(code.div(lane, 4)), plan.tokenPitch()));
  }

  void multiplyUnit(ArrayRef<Value> a, ArrayRef<Value> scales,
                    ArrayRef<Value> b, MutableArrayRef<Value> sum) {
    SmallVector<Value> begin(sum);
    if (!scales.empty())
      begin.assign(4, function.zero());
    SmallVector<Value> next = code.multiply(
        a.drop_front(4), b.drop_front(2),
        code.multiply(a.take_front(4), b.take_front(2), begin, problem.bf16),
        problem.bf16);
    for (int64_t j = 0; j < 4; ++j)
      sum[j] = scales.empty() ? next[j]
                              : math::FmaOp::create(function.code.b, next[j],
                                                    scales[j / 2], sum[j])
                                    .getResult();
  }

  //===--------------------------------------------------------------------===//
  // Results
  //===--------------------------------------------------------------------===//

  /// Registers 0, 1: row g of the weight, columns 2t, 2t + 1; 2, 3: row g + 8.
  void storeSums(ArrayRef<Value> sums) {
    Value row =
        code.add(code.mul(rowGroup, plan.tiles * 16), code.div(lane, 4));
    bool inOrder = problem.format.hasRuns();
    Value token = code.mul(code.rem(lane, 4), inOrder ? 2 : 1);
    int64_t next = inOrder ? 1 : 4;
    Value base = code.add(code.mul(kGroup, plan.sumsOfGroup()),
                          code.add(code.mul(token, plan.sumPitch()), row));
    base = code.add(shared, code.mul(base, 4));
    for (auto [number, sum] : llvm::enumerate(sums)) {
      int64_t tile = int64_t(number) / 4 / plan.tokenTiles,
              tokens = int64_t(number) / 4 % plan.tokenTiles,
              part = int64_t(number) % 4;
      int64_t at = (tokens * 8 + part % 2 * next) * plan.sumPitch() +
                   tile * 16 + part / 2 * 8;
      code.storeFloat(code.add(base, at * 4), sum);
    }
  }

  /// Sums of warps and blocks in the order of k. Blocks of a cluster share the
  /// elements; others leave theirs to a second launch.
  void writeResult(double factor) {
    if (plan.isCluster())
      code.clusterBarrier();
    else
      function.barrier();
    bindResult(function);
    ResultWriter writer(graph.part.getContext(), product.c);
    int64_t lanes = writer.getLanes(), perToken = plan.rows / lanes;
    int64_t sharing = plan.isCluster() ? plan.splits : 1;
    Value first = thread;
    if (plan.isCluster())
      first = code.add(code.mul(rank, plan.threads()), thread);
    function.code.loop(
        code.toIndex(first), function.code.index(problem.m * perToken),
        sharing * plan.threads(), [&](Value index) {
          Value unit = code.fromIndex(index);
          Value token = code.div(unit, perToken),
                here = code.rem(unit, perToken);
          Value column = code.add(code.mul(rowBlock, perToken), here);
          auto write = [&] {
            Value sum = addParts(token, code.mul(here, lanes), lanes, factor);
            if (plan.hasSecondPass())
              storePart(sum, token, column, lanes);
            else
              writer.write(function.code, sum, function.code.index(0),
                           code.toIndex(token), code.toIndex(column));
          };
          if (problem.n % plan.rows == 0)
            return write();
          function.code.ifElse(
              code.less(column, code.constant(problem.n / lanes)), write);
        });
    if (plan.isCluster())
      code.clusterBarrier();
  }

  void bindResult(ProductFunction &f) {
    product.c.tensor->buffer.memref =
        f.function.getArgument(graph.part.getNumArguments());
  }

  /// The workspace is [splits, m, n].
  void storePart(Value sum, Value token, Value column, int64_t lanes) {
    Value row = code.add(code.mul(rank, problem.m), token);
    Value at = code.toIndex(
        code.add(code.mul(row, problem.n), code.mul(column, lanes)));
    if (lanes == 1)
      return function.code.store(sum, function.getWorkspace(), at);
    vector::StoreOp::create(function.code.b, sum, function.getWorkspace(), at,
                            /*nontemporal=*/false, llvm::MaybeAlign(16));
  }

  /// One thread per element, or per four of a row.
  KernelLaunch emitSum() {
    constexpr int64_t kThreads = 128;
    ProductFunction f(graph, target, graph.part.getName() + "_sum", kThreads,
                      /*blocks=*/8, plan.workspaceFloats(problem));
    bindResult(f);
    ResultWriter writer(graph.part.getContext(), product.c);
    int64_t lanes = writer.getLanes(), perRow = problem.n / lanes,
            units = problem.m * perRow;
    Value unit = f.code.add(f.code.mul(f.block(), kThreads), f.thread());
    f.code.ifElse(f.code.less(unit, f.code.index(units)), [&] {
      Value sum;
      for (int64_t i = 0; i < plan.splits; ++i) {
        Value part = loadPart(f, f.code.add(unit, i * units), lanes);
        sum =
            sum ? arith::AddFOp::create(f.code.b, sum, part).getResult() : part;
      }
      writer.write(f.code, sum, f.code.index(0), f.code.div(unit, perRow),
                   f.code.rem(unit, perRow));
    });
    return f.finish((units + kThreads - 1) / kThreads);
  }

  static Value loadPart(ProductFunction &f, Value unit, int64_t lanes) {
    if (lanes == 1)
      return f.code.loadScalar(f.getWorkspace(), unit);
    return vector::LoadOp::create(f.code.b, f.code.vec(lanes, f.code.f32()),
                                  f.getWorkspace(), f.code.mul(unit, lanes),
                                  /*nontemporal=*/false, llvm::MaybeAlign(16));
  }

  Value addParts(Value token, Value row, int64_t lanes, double factor) {
    ImplicitLocOpBuilder &b = function.code.b;
    Value at = code.add(
        shared, code.mul(code.add(code.mul(token, plan.sumPitch()), row), 4));
    Value sum;
    int64_t blocks = plan.isCluster() ? plan.splits : 1;
    for (int64_t split = 0; split < blocks; ++split)
      for (int64_t group = 0; group < plan.kGroups; ++group) {
        Value part =
            code.loadFloats(code.add(at, group * plan.sumsOfGroup() * 4), lanes,
                            plan.isCluster() ? code.constant(split) : Value());
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
  mlir::gpu::GPUModuleOp target;
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
