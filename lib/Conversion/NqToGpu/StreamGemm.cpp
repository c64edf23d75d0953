// Products of few rows: the weight is read once, as fast as memory gives it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamGemm.h"

#include "ProductMatrices.h"
#include "StreamWeights.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Math/IR/Math.h"

using namespace mlir;

namespace nibble {
namespace gpu {

namespace {

/// Pieces of a warp that are copied before the launch waits for those before
/// it.
constexpr int64_t kEarlyPieces = 1;

class StreamEmitter {
public:
  StreamEmitter(ProductGraph &graph, mlir::gpu::GPUModuleOp target,
                const StreamProblem &problem, const StreamPlan &plan)
      : graph(graph), target(target), problem(problem), plan(plan),
        product(graph.graph, problem.op),
        function(graph, target, graph.part.getName() + "_stream",
                 plan.threads(), /*blocks=*/1, plan.workspaceFloats(problem),
                 /*maps=*/1),
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
    launch.args.push_back(KernelArg::tensorMap(problem.tokens, getMap()));
    launch.cluster[0] = plan.cluster;
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
    Value block = code.fromIndex(function.block());
    // From lane 0, so that ptxas knows it to be uniform.
    warp = NVVM::ShflOp::create(function.code.b, function.code.b.getI32Type(),
                                code.constant(-1), code.div(thread, 32),
                                code.constant(0), code.constant(31),
                                NVVM::ShflKind::idx, UnitAttr());
    rowGroup = code.rem(warp, plan.rowGroups);
    kGroup = code.div(warp, plan.rowGroups);
    rank = code.rem(block, plan.cluster);
    Value rest = code.div(block, plan.cluster);
    part = code.rem(rest, plan.parts);
    rowBlock = code.div(rest, plan.parts);
    firstInBlock = code.mul(kGroup, plan.pieces);
    Value split = code.add(code.mul(part, plan.cluster), rank);
    firstOfBlock = code.mul(split, plan.kGroups * plan.pieces);
    findPieces();
    shared = code.getShared();
    ring = code.add(code.add(shared, plan.tokenBytes()),
                    code.mul(warp, plan.ringBytes()));
    codesOfAll = code.getGlobal(problem.weight, problem.codes);
    if (problem.format.block)
      scalesOfAll = code.getGlobal(problem.weight, problem.scales);
  }

  /// Pieces of this warp that are before the end of k. Blocks begin at
  /// different ones, lest all read the same tokens at once.
  void findPieces() {
    auto &b = function.code.b;
    Value left = code.sub(code.constant(problem.pieces()),
                          code.add(firstOfBlock, firstInBlock));
    left = arith::MaxSIOp::create(b, left, code.constant(0));
    count = arith::MinSIOp::create(b, left, code.constant(plan.pieces));
    Value some = arith::MaxSIOp::create(b, count, code.constant(1));
    turn = arith::RemUIOp::create(b, rowBlock, some);
  }

  /// The piece of step `step`, counted from this warp's first.
  Value pieceAt(Value step) {
    Value turned = code.add(step, turn);
    return code.select(code.less(turned, count), turned,
                       code.sub(turned, count));
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

  /// Codes and scales of this warp's step, lane after lane, as one group.
  void copyWeights(Value step, Value slot) {
    function.code.ifElse(code.less(step, count), [&] {
      Value piece =
          code.add(code.add(firstOfBlock, firstInBlock), pieceAt(step));
      Value to = code.add(ring, code.mul(slot, plan.stageBytes()));
      for (int64_t tile = 0; tile < plan.tiles; ++tile)
        copyPiece(code.add(to, tile * problem.pieceBytes()),
                  code.add(code.mul(rowTile(tile), problem.pieces()), piece));
    });
    code.commitCopies();
  }

  void copyPiece(Value to, Value number) {
    Value at = code.mul(lane, 16);
    Value codes = code.add(code.mul(number, 1024), at);
    for (int64_t load : {0, 512})
      code.copy16(code.add(code.add(to, load), at),
                  code.advance(codesOfAll, code.add(codes, load)));
    int64_t bytes = problem.scaleBytes();
    if (!bytes)
      return;
    function.code.ifElse(code.less(lane, code.constant(bytes / 16)), [&] {
      code.copy16(
          code.add(code.add(to, 1024), at),
          code.advance(scalesOfAll, code.add(code.mul(number, bytes), at)));
    });
  }

  /// Tokens [m, k], 64 k of them at a time. Zeros stand for what is behind the
  /// end of k, and for tokens up to a multiple of eight.
  TensorMap getMap() const {
    TensorMap map;
    map.type = problem.bf16 ? TensorMap::BF16 : TensorMap::F16;
    map.swizzle = TensorMap::Bytes128;
    map.sizes = {problem.k, problem.m};
    map.strides = {problem.k * 2};
    map.box = {64, plan.tokenTiles * 8};
    return map;
  }

  /// All tokens of the block; a lane of the first warp copies two tiles.
  void copyTokens() {
    Value first = code.mul(firstOfBlock, plan.pieceK);
    int64_t tiles = plan.tokenBytes() / plan.tokenTileBytes();
    auto copy = [&](Value number, int64_t tile) {
      Value at = code.add(code.mul(number, 2), tile);
      code.copyBox(code.add(shared, code.mul(at, plan.tokenTileBytes())),
                   function.getMap(), code.add(first, code.mul(at, 64)),
                   code.constant(0), barrierOf(number));
    };
    auto both = [&](Value number) {
      code.arrive(barrierOf(number), code.constant(2 * plan.tokenTileBytes()));
      copy(number, 0);
      copy(number, 1);
    };
    auto one = [&](Value number) {
      code.arrive(barrierOf(number), code.constant(plan.tokenTileBytes()));
      copy(number, 0);
    };
    // What nobody waits for would come whenever it likes.
    Value left = code.mul(
        code.sub(code.constant(problem.pieces()), firstOfBlock), plan.pieceK);
    left = arith::MaxSIOp::create(function.code.b, left, code.constant(0));
    Value end = code.div(code.add(left, 127), 128);
    auto copyNeeded = [&](Value number) {
      if (tiles % 2 == 0)
        return both(number);
      function.code.ifElse(
          code.less(number, code.constant(tiles / 2)), [&] { both(number); },
          [&] { one(number); });
    };
    function.code.loop(code.toIndex(lane), function.code.index(plan.barriers()),
                       32, [&](Value index) {
                         Value number = inOrder(code.fromIndex(index));
                         function.code.ifElse(code.less(number, end),
                                              [&] { copyNeeded(number); });
                       });
  }

  /// Tokens in the order in which the groups of k need them.
  Value inOrder(Value number) {
    int64_t ofGroup = plan.pieces * plan.pieceK;
    if (ofGroup % 128)
      return number;
    Value group = code.rem(number, plan.kGroups),
          step = code.div(number, plan.kGroups);
    Value first = code.div(code.mul(turn, plan.pieceK), 128);
    Value turned = code.rem(code.add(step, first), ofGroup / 128);
    return code.add(code.mul(group, ofGroup / 128), turned);
  }

  Value barrierOf(Value number) {
    return code.add(code.add(shared, plan.barriersAt()), code.mul(number, 8));
  }

  void initBarriers() {
    function.code.ifElse(code.equal(thread, 0), [&] {
      for (int64_t i = 0; i < plan.barriers(); ++i)
        code.initBarrier(barrierOf(code.constant(i)));
      code.fenceBarriers();
    });
  }

  //===--------------------------------------------------------------------===//
  // Products
  //===--------------------------------------------------------------------===//

  SmallVector<Value> multiplyAll(StreamWeights &weights) {
    initBarriers();
    // Weights are constants, tokens come from the launch before.
    // The first products need tokens, too, which should not queue behind all
    // the weights.
    int64_t early = std::min<int64_t>(plan.depth - 1, kEarlyPieces);
    for (int64_t i = 0; i < early; ++i)
      copyWeights(code.constant(i), code.constant(i));
    function.barrier();
    code.waitForPrevious();
    function.code.ifElse(code.equal(warp, 0), [&] { copyTokens(); });
    for (int64_t i = early; i + 1 < plan.depth; ++i)
      copyWeights(code.constant(i), code.constant(i));
    SmallVector<Value> carried(plan.tiles * plan.tokenTiles * 4,
                               function.zero());
    carried.push_back(code.constant(0));
    carried = function.code.loop(function.code.index(0), code.toIndex(count), 1,
                                 carried, [&](Value index, ValueRange values) {
                                   return multiplyStep(
                                       weights, code.fromIndex(index), values);
                                 });
    // Steps are long; several of them at once have no room in registers.
    function.code.keepRolled(cast<scf::ForOp>(carried.front().getDefiningOp()));
    carried.pop_back();
    if (plan.wide)
      carried = code.finishProducts(carried);
    function.barrier();
    return carried;
  }

  /// Carried are sums, and the slot of the ring.
  SmallVector<Value> multiplyStep(StreamWeights &weights, Value step,
                                  ValueRange carried) {
    SmallVector<Value> sums(carried.drop_back());
    Value slot = carried.back();
    code.waitForCopies(plan.depth - 2);
    // All lanes see what each of them copied, and have read the slot before.
    code.syncWarp();
    weights.load(code.add(ring, code.mul(slot, plan.stageBytes())));
    Value last = code.constant(plan.depth - 1);
    Value before = code.select(code.equal(slot, 0), last,
                               code.sub(slot, code.constant(1)));
    copyWeights(code.add(step, plan.depth - 1), before);
    Value piece = code.add(firstInBlock, pieceAt(step));
    code.waitFor(barrierOf(code.div(code.mul(piece, plan.pieceK), 128)),
                 code.constant(0));
    if (plan.wide)
      multiplyWide(weights, piece, sums);
    else
      multiplyPiece(weights, piece, sums);
    Value next = code.add(slot, 1);
    sums.push_back(
        code.select(code.equal(next, plan.depth), code.constant(0), next));
    return sums;
  }

  /// Where the tokens of a piece begin: a tile of 64 k, and bytes in its rows
  /// (a piece may be half a tile).
  std::pair<Value, Value> tokensOf(Value piece) {
    Value bytes = code.mul(piece, plan.pieceK * 2);
    Value tile = code.mul(code.div(bytes, 128), plan.tokenTileBytes());
    Value half = plan.pieceK < 64 ? code.rem(bytes, 128) : code.constant(0);
    return {code.add(shared, tile), half};
  }

  /// Two products of tensor cores for each unit; up to two units under way
  /// while the next are expanded.
  void multiplyWide(StreamWeights &weights, Value piece,
                    SmallVectorImpl<Value> &sums) {
    auto [tile, half] = tokensOf(piece);
    Value begin = code.getDescriptor(code.add(tile, half));
    for (int64_t first = 0; first < weights.units(); first += 2) {
      int64_t end = std::min(first + 2, weights.units());
      SmallVector<Value> operands(sums.begin(), sums.end());
      for (int64_t unit = first; unit < end; ++unit)
        llvm::append_range(operands, weights.operands(unit, 0));
      operands = code.fenceProducts(operands);
      llvm::copy(ArrayRef(operands).take_front(sums.size()), sums.begin());
      ArrayRef<Value> left = ArrayRef(operands).drop_front(sums.size());
      for (int64_t k = 0; k < 2 * (end - first); ++k) {
        int64_t unit = first + k / 2;
        int64_t at =
            unit / 2 * plan.tokenTileBytes() + unit % 2 * 64 + k % 2 * 32;
        sums = code.multiplyWide(left.slice(4 * k, 4),
                                 code.advanceDescriptor(begin, at), sums,
                                 problem.bf16);
      }
      code.commitProducts();
      // The next expansion of this unit writes the same registers. A loop of
      // one round becomes a condition, behind which sums meet those of warps
      // without pieces: none may be under way there.
      bool ends = end == weights.units() && plan.pieces == 1;
      code.waitForProducts(weights.units() > 2 && !ends ? 1 : 0);
    }
  }

  void multiplyPiece(StreamWeights &weights, Value piece,
                     SmallVectorImpl<Value> &sums) {
    auto [tile, half] = tokensOf(piece);
    for (int64_t unit = 0; unit < weights.units(); ++unit) {
      // Loads do not pass it. Products of a unit whose sums are scaled depend
      // on nothing, and ptxas would have more of them under way than registers.
      if (unit && problem.scalesSums())
        code.syncWarp();
      SmallVector<SmallVector<Value>> operands;
      SmallVector<SmallVector<Value, 2>> scales;
      for (int64_t i = 0; i < plan.tiles; ++i) {
        operands.push_back(weights.operands(unit, i));
        scales.push_back(weights.scales(unit, i));
      }
      Value at = code.add(code.add(tile, unit / 2 * plan.tokenTileBytes()),
                          placeOfLane(code.add(half, unit % 2 * 64)));
      for (int64_t i = 0; i < plan.tokenTiles; ++i) {
        SmallVector<Value> tokens = code.loadMatrices(code.add(at, i * 1024));
        for (int64_t n = 0; n < plan.tiles; ++n)
          multiplyUnit(operands[n], scales[n], tokens,
                       MutableArrayRef<Value>(sums).slice(
                           (n * plan.tokenTiles + i) * 4, 4));
      }
    }
  }

  /// In eight rows of 128 bytes, the octet of k of row lane % 8 that is lane /
  /// 8 behind byte `begin`.
  Value placeOfLane(Value begin) {
    Value row = code.rem(lane, 8);
    Value octet = code.mul(code.bitXor(code.div(lane, 8), row), 16);
    return code.add(code.mul(row, 128), code.bitXor(octet, begin));
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
    int64_t sharing = plan.cluster;
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

  /// The workspace is [parts, m, n].
  void storePart(Value sum, Value token, Value column, int64_t lanes) {
    Value row = code.add(code.mul(part, problem.m), token);
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
      for (int64_t i = 0; i < plan.parts; ++i) {
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
    for (int64_t split = 0; split < plan.cluster; ++split)
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
  const StreamPlan &plan;
  MatrixProduct product;
  ProductFunction function;
  StreamAsm code;
  Value thread, lane, warp, rowGroup, kGroup, rank, part, rowBlock;
  Value firstOfBlock, firstInBlock, count, turn; ///< pieces
  Value shared, ring, codesOfAll, scalesOfAll;
};

} // namespace

FailureOr<std::optional<GpuKernel>>
emitStreamGemm(func::FuncOp part, mlir::gpu::GPUModuleOp target,
               const GpuTarget &options, std::string &why) {
  StreamProblem problem;
  if (failed(problem.read(part, why)))
    return std::optional<GpuKernel>();
  StreamPlan plan(problem, options);
  if (plan.blocks == 0) {
    why = "tokens of no part of k fit in shared memory";
    return std::optional<GpuKernel>();
  }
  ProductGraph graph(part);
  if (failed(graph.read()))
    return failure();
  return std::optional<GpuKernel>(
      StreamEmitter(graph, target, problem, plan).run());
}

} // namespace gpu
} // namespace nibble
