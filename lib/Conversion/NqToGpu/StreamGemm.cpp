// Products of few rows: the weight is read once, as fast as memory gives it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamGemm.h"

#include "StreamTail.h"
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
    StreamWeights weights(code, problem, plan, lane);
    tail.setFactor(weights.getFactor());
    SmallVector<Value> sums = multiplyAll(weights);
    storeSums(sums);
    writeResult();
    writePassed();
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
    for (int64_t tile = 0; tile < plan.tiles; ++tile)
      places.push_back(placeOf(tile));
  }

  /// What this lane copies of the first piece of a tile of 16 rows; behind the
  /// last tile, of that one again.
  struct TilePlace {
    Value codes, scales;
  };
  TilePlace placeOf(int64_t tile) {
    Value inBlock = code.add(code.mul(rowGroup, plan.tiles), tile);
    int64_t each = plan.rowsEach / 16;
    Value weight = code.div(inBlock, each);
    Value number = code.add(code.mul(rowBlock, each), code.rem(inBlock, each));
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
    Value mine = code.mul(lane, 16);
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

  /// Codes and scales of this warp's step, lane after lane, as one group.
  /// Without branches, which ptxas separates from copies by empty loads.
  void copyWeights(Value step, Value slot) {
    Value inside = code.less(step, count);
    Value piece = code.add(code.add(firstOfBlock, firstInBlock), pieceAt(step));
    Value to = code.add(code.add(ring, code.mul(slot, plan.stageBytes())),
                        code.mul(lane, 16));
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
    Value copies = arith::AndIOp::create(
        function.code.b, inside, code.less(lane, code.constant(bytes / 16)));
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
    base = code.add(code.add(shared, plan.sumsAt()), code.mul(base, 4));
    for (auto [number, sum] : llvm::enumerate(sums)) {
      int64_t tile = int64_t(number) / 4 / plan.tokenTiles,
              tokens = int64_t(number) / 4 % plan.tokenTiles,
              part = int64_t(number) % 4;
      int64_t at =
          (tokens * 8 + part % 2) * plan.sumPitch() + tile * 16 + part / 2 * 8;
      code.storeFloat(code.add(base, at * 4), sum);
    }
  }

  using UnitFn = llvm::function_ref<void(Value, Value, Value)>;

  int64_t perToken() const { return plan.rowsEach / tail.getLanes(); }
  int64_t units() const { return problem.m * perToken(); }

  /// Calls `body` with a token, and a unit of columns that are written
  /// together, counted in the block and in all, of units [first, end) of the
  /// rows. Blocks of a cluster share the units.
  void forEachUnit(Value first, Value end, UnitFn body) {
    Value mine = code.add(first, thread);
    if (plan.isCluster())
      mine = code.add(mine, code.mul(rank, plan.threads()));
    function.code.loop(
        code.toIndex(mine), code.toIndex(end), plan.cluster * plan.threads(),
        [&](Value index) {
          Value unit = code.fromIndex(index);
          Value token = code.div(unit, perToken()),
                here = code.rem(unit, perToken());
          Value column = code.add(code.mul(rowBlock, perToken()), here);
          if (problem.n % plan.rowsEach == 0)
            return body(token, here, column);
          function.code.ifElse(
              code.less(column, code.constant(problem.n / tail.getLanes())),
              [&] { body(token, here, column); });
        });
  }
  void forEachUnit(UnitFn body) {
    forEachUnit(code.constant(0), code.constant(units()), body);
  }

  /// Sums of warps and blocks in the order of k, and what follows.
  void writeResult() {
    if (plan.isCluster())
      code.clusterBarrier();
    else
      function.barrier();
    forEachUnit([&](Value token, Value here, Value column) {
      SmallVector<Value> sums;
      for (int64_t i = 0; i < problem.products(); ++i)
        sums.push_back(addGroups(token, here, i));
      if (!plan.hasParts())
        return tail.write(function.code, sums, code.toIndex(token),
                          code.toIndex(column));
      for (auto [i, sum] : llvm::enumerate(sums))
        storePart(sum, token, column, i);
    });
    if (plan.isCluster())
      code.clusterBarrier();
    if (plan.hasParts())
      addParts();
  }

  void writePassed() {
    if (!tail.hasPassed())
      return;
    Value number = code.fromIndex(function.block());
    function.code.ifElse(code.equal(code.add(number, thread), 0),
                         [&] { tail.writePassed(function.code); });
  }

  /// Of groups of warps, and of the blocks of a cluster.
  Value addGroups(Value token, Value here, int64_t weight) {
    int64_t lanes = tail.getLanes();
    Value row = code.add(code.mul(here, lanes), weight * plan.rowsEach);
    Value at =
        code.add(code.add(shared, plan.sumsAt()),
                 code.mul(code.add(code.mul(token, plan.sumPitch()), row), 4));
    Value sum;
    for (int64_t split = 0; split < plan.cluster; ++split)
      for (int64_t group = 0; group < plan.kGroups; ++group)
        sum = addTo(
            sum,
            code.loadFloats(code.add(at, group * plan.sumsOfGroup() * 4), lanes,
                            plan.isCluster() ? code.constant(split) : Value()));
    return sum;
  }

  Value addTo(Value sum, Value part) {
    if (!sum)
      return part;
    return arith::AddFOp::create(function.code.b, sum, part);
  }

  //===--------------------------------------------------------------------===//
  // Sums of parts
  //===--------------------------------------------------------------------===//

  /// The workspace is [parts, products, m, n].
  Value placeOfPart(Value number, Value token, Value column, int64_t weight) {
    Value row = code.add(code.mul(number, problem.products() * problem.m),
                         code.add(token, weight * problem.m));
    return code.toIndex(
        code.add(code.mul(row, problem.n), code.mul(column, tail.getLanes())));
  }

  void storePart(Value sum, Value token, Value column, int64_t weight) {
    Value at = placeOfPart(part, token, column, weight);
    if (tail.getLanes() == 1)
      return function.code.store(sum, function.getWorkspace(), at);
    vector::StoreOp::create(function.code.b, sum, function.getWorkspace(), at,
                            /*nontemporal=*/false, llvm::MaybeAlign(16));
  }

  Value loadPart(Value number, Value token, Value column, int64_t weight) {
    int64_t lanes = tail.getLanes();
    Value at = placeOfPart(number, token, column, weight);
    if (lanes == 1)
      return function.code.loadScalar(function.getWorkspace(), at);
    return vector::LoadOp::create(function.code.b,
                                  function.code.vec(lanes, function.code.f32()),
                                  function.getWorkspace(), at,
                                  /*nontemporal=*/false, llvm::MaybeAlign(16));
  }

  /// What blocks of the same rows and rank count in: how many are done, then a
  /// word of each part.
  Value counterOf(Value number) {
    Value rows = code.add(code.mul(rowBlock, plan.cluster), rank);
    Value at = code.add(code.mul(rows, plan.countersOfRows()), number);
    return code.advance(code.getGlobal(function.getCountersNumber(), 0),
                        code.mul(at, 4));
  }
  Value flagOf(Value number) {
    return code.add(code.add(shared, plan.flagsAt()), code.mul(number, 4));
  }

  /// What thread 0 reads, in all threads. It sees what other blocks wrote
  /// before, and so do they.
  Value tellAll(llvm::function_ref<Value()> read) {
    Value flag = flagOf(code.constant(0));
    function.code.ifElse(code.equal(thread, 0),
                         [&] { code.storeWord(flag, read()); });
    function.barrier();
    return code.load(flag, 1).front();
  }

  /// Parts in the order of k, whoever adds them up: same input, same bits.
  void addUnits(Value first, Value end) {
    forEachUnit(first, end, [&](Value token, Value, Value column) {
      SmallVector<Value> sums(problem.products());
      for (int64_t i = 0; i < plan.parts; ++i)
        for (auto [weight, sum] : llvm::enumerate(sums))
          sum = addTo(sum, loadPart(code.constant(i), token, column, weight));
      tail.write(function.code, sums, code.toIndex(token),
                 code.toIndex(column));
    });
  }

  void addParts() {
    function.barrier();
    Value before = tellAll([&] {
      return code.countRound(counterOf(code.constant(0)), plan.parts);
    });
    Value isLast = code.equal(before, plan.parts - 1);
    if (plan.sharesSums)
      function.code.ifElse(isLast, [&] { shareOut(); }, [&] { addShare(); });
    else
      function.code.ifElse(
          isLast, [&] { addUnits(code.constant(0), code.constant(units())); });
  }

  //===--------------------------------------------------------------------===//
  // Shares of sums
  //===--------------------------------------------------------------------===//
  // All blocks of some rows wait for the last one, each for its word, and add
  // up a share of the units. A block that waits too long (others may have found
  // no place yet, and never will if all wait) leaves its share to the last one.

  enum : int64_t { kNobody = 0, kAllDone = 1, kLeft = 2 };
  static constexpr int64_t kMostLooks = 64;

  void addUnitsOf(Value share) {
    int64_t size = llvm::divideCeil(units(), plan.parts);
    Value first = code.mul(share, size), all = code.constant(units());
    Value end =
        arith::MinSIOp::create(function.code.b, code.add(first, size), all);
    addUnits(first, end);
    function.code.ifElse(code.equal(thread, 0), [&] {
      code.storeGlobal(counterOf(code.add(share, 1)), code.constant(kNobody));
    });
  }

  void addShare() {
    Value word = counterOf(code.add(part, 1)), flag = flagOf(code.constant(1));
    function.code.ifElse(code.equal(thread, 0), [&] {
      Value looked = code.waitForWord(word, kAllDone, kMostLooks);
      code.storeWord(flag, looked);
      function.code.ifElse(code.equal(looked, kNobody), [&] {
        code.storeWord(flag, code.replace(word, kNobody, kLeft));
      });
    });
    function.barrier();
    Value seen = code.load(flag, 1).front();
    function.code.ifElse(code.equal(seen, kAllDone), [&] { addUnitsOf(part); });
  }

  /// Of the last block: its own share, and those that were left.
  void shareOut() {
    function.code.ifElse(code.less(thread, code.constant(plan.parts)), [&] {
      Value seen = code.exchange(counterOf(code.add(thread, 1)), kAllDone);
      Value own = code.constant(kLeft);
      Value isOwn = arith::CmpIOp::create(
          function.code.b, arith::CmpIPredicate::eq, thread, part);
      code.storeWord(flagOf(code.add(thread, 1)),
                     code.select(isOwn, own, seen));
    });
    function.barrier();
    function.code.loop(function.code.index(0), function.code.index(plan.parts),
                       1, [&](Value index) {
                         Value share = code.fromIndex(index);
                         Value seen =
                             code.load(flagOf(code.add(share, 1)), 1).front();
                         function.code.ifElse(code.equal(seen, kLeft),
                                              [&] { addUnitsOf(share); });
                       });
  }

  StreamTail &tail;
  const StreamProblem &problem;
  const StreamPlan &plan;
  ProductFunction function;
  StreamAsm code;
  Value thread, lane, warp, rowGroup, kGroup, rank, part, rowBlock;
  Value firstOfBlock, firstInBlock, count, turn; ///< pieces
  Value shared, ring;
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
