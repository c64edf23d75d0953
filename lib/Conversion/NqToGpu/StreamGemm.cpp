// Products of few rows: the weight is read once, as fast as memory gives it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamGemm.h"

#include "StreamSums.h"
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
  StreamEmitter(ProductGraph &graph, StreamTail &tail,
                mlir::gpu::GPUModuleOp target, const StreamProblem &problem,
                const StreamPlan &plan)
      : tail(tail), problem(problem), plan(plan),
        function(graph, target, graph.part.getName() + "_stream",
                 plan.threads(), /*blocks=*/1, plan.workspaceFloats(problem),
                 /*maps=*/1, plan.counters()),
        code(function) {}

  GpuKernel run() {
    place();
    StreamWeights weights(code, problem, plan, who.lane);
    tail.setFactor(weights.getFactor());
    SmallVector<Value> sums = multiplyAll(weights);
    StreamSums(function, code, tail, problem, plan, who).write(sums);
    GpuKernel kernel;
    KernelLaunch launch = function.finish(plan.blocks);
    launch.args.push_back(KernelArg::tensorMap(problem.tokens, getMap()));
    launch.cluster[0] = plan.cluster;
    launch.sharedBytes = plan.sharedBytes();
    kernel.launches.push_back(std::move(launch));
    kernel.workspaceBytes = plan.workspaceFloats(problem) * 4;
    kernel.counterBytes = plan.counters() * 4;
    kernel.flops = 2 * problem.products() * problem.m * problem.n * problem.k;
    return kernel;
  }

private:
  //===--------------------------------------------------------------------===//
  // Who does what
  //===--------------------------------------------------------------------===//

  void place() {
    who.thread = code.fromIndex(function.thread());
    who.lane = code.rem(who.thread, 32);
    Value block = code.fromIndex(function.block());
    // From lane 0, so that ptxas knows it to be uniform.
    warp = NVVM::ShflOp::create(function.code.b, function.code.b.getI32Type(),
                                code.constant(-1), code.div(who.thread, 32),
                                code.constant(0), code.constant(31),
                                NVVM::ShflKind::idx, UnitAttr());
    who.rowGroup = code.rem(warp, plan.rowGroups);
    who.kGroup = code.div(warp, plan.rowGroups);
    who.rank = code.rem(block, plan.cluster);
    Value rest = code.div(block, plan.cluster);
    who.part = code.rem(rest, plan.parts);
    who.rowBlock = code.div(rest, plan.parts);
    firstInBlock = code.mul(who.kGroup, plan.pieces);
    Value split = code.add(code.mul(who.part, plan.cluster), who.rank);
    firstOfBlock = code.mul(split, plan.kGroups * plan.pieces);
    findPieces();
    who.shared = code.getShared();
    ring = code.add(code.add(who.shared, plan.tokenBytes()),
                    code.mul(warp, plan.ringBytes()));
    for (int64_t tile = 0; tile < plan.tiles; ++tile)
      places.push_back(placeOf(tile));
  }

  /// What this lane copies of the first piece of a tile of 16 rows; behind the
  /// last tile, of that one again.
  struct TilePlace {
    Value codes, scales;
  };
  TilePlace placeOf(int64_t tile) {
    Value inBlock = code.add(code.mul(who.rowGroup, plan.tiles), tile);
    int64_t each = plan.rowsEach / 16;
    Value weight = code.div(inBlock, each);
    Value number =
        code.add(code.mul(who.rowBlock, each), code.rem(inBlock, each));
    Value last = code.constant(problem.rowTiles() - 1);
    number = code.select(code.less(number, last), number, last);
    Value piece = code.mul(number, problem.pieces());
    TilePlace place;
    for (auto [i, one] : llvm::enumerate(problem.weights)) {
      Value codes = code.getGlobal(one.argument, one.codes), scales;
      if (problem.format.block)
        scales = code.getGlobal(one.argument, one.scales);
      Value here = i ? code.equal(weight, i) : Value();
      place.codes = i ? code.select(here, codes, place.codes) : codes;
      if (scales)
        place.scales = i ? code.select(here, scales, place.scales) : scales;
    }
    Value mine = code.mul(who.lane, 16);
    place.codes = code.advance(code.advance(place.codes, piece, 1024), mine);
    if (place.scales)
      place.scales = code.advance(
          code.advance(place.scales, piece, problem.scaleBytes()), mine);
    return place;
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
    turn = arith::RemUIOp::create(b, who.rowBlock, some);
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

  /// Codes and scales of this warp's step, lane after lane, as one group.
  /// Without branches, which ptxas separates from copies by empty loads.
  void copyWeights(Value step, Value slot) {
    Value inside = code.less(step, count);
    Value piece = code.add(code.add(firstOfBlock, firstInBlock), pieceAt(step));
    Value to = code.add(code.add(ring, code.mul(slot, plan.stageBytes())),
                        code.mul(who.lane, 16));
    for (int64_t tile = 0; tile < plan.tiles; ++tile)
      copyPiece(places[tile], inside, code.add(to, tile * problem.pieceBytes()),
                piece);
    code.commitCopies();
  }

  void copyPiece(const TilePlace &place, Value inside, Value to, Value piece) {
    Value codes = code.advance(place.codes, piece, 1024);
    code.copy16(inside, to, codes);
    code.copy16(inside, to, codes, 512);
    int64_t bytes = problem.scaleBytes();
    if (!bytes)
      return;
    Value copies =
        arith::AndIOp::create(function.code.b, inside,
                              code.less(who.lane, code.constant(bytes / 16)));
    code.copy16(copies, code.add(to, 1024),
                code.advance(place.scales, piece, bytes));
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
      code.copyBox(code.add(who.shared, code.mul(at, plan.tokenTileBytes())),
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
    function.code.loop(code.toIndex(who.lane),
                       function.code.index(plan.barriers()), 32,
                       [&](Value index) {
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
    return code.add(code.add(who.shared, plan.barriersAt()),
                    code.mul(number, 8));
  }

  void initBarriers() {
    function.code.ifElse(code.equal(who.thread, 0), [&] {
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
    if (!plan.hasOwnSums)
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
    return {code.add(who.shared, tile), half};
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
    Value row = code.rem(who.lane, 8);
    Value octet = code.mul(code.bitXor(code.div(who.lane, 8), row), 16);
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

  StreamTail &tail;
  const StreamProblem &problem;
  const StreamPlan &plan;
  ProductFunction function;
  StreamAsm code;
  StreamPlace who;
  Value warp;
  Value firstOfBlock, firstInBlock, count, turn; ///< pieces
  Value ring;
  SmallVector<TilePlace> places; ///< of this warp's tiles
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
  StreamTail tail(graph, problem);
  if (failed(tail.read(why)))
    return std::optional<GpuKernel>();
  return std::optional<GpuKernel>(
      StreamEmitter(graph, tail, target, problem, plan).run());
}

} // namespace gpu
} // namespace nibble
