// Sums of streamed products: of warps, of blocks, and what follows them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamSums.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {

void StreamSums::write(ArrayRef<Value> sums) {
  storeSums(sums);
  writeResult();
  writePassed();
}

//===----------------------------------------------------------------------===//
// Blocks and clusters
//===----------------------------------------------------------------------===//

/// Registers 0, 1: row g of the weight, columns 2t, 2t + 1; 2, 3: row g + 8.
void StreamSums::storeSums(ArrayRef<Value> sums) {
  Value row = code.add(code.mul(place.rowGroup, plan.tiles * 16),
                       code.div(place.lane, 4));
  Value token = code.mul(code.rem(place.lane, 4), 2);
  Value base = code.add(code.mul(place.kGroup, plan.sumsOfGroup()),
                        code.add(code.mul(token, plan.sumPitch()), row));
  base = code.add(code.add(place.shared, plan.sumsAt()), code.mul(base, 4));
  for (auto [number, sum] : llvm::enumerate(sums)) {
    int64_t tile = int64_t(number) / 4 / plan.tokenTiles,
            tokens = int64_t(number) / 4 % plan.tokenTiles,
            part = int64_t(number) % 4;
    int64_t at =
        (tokens * 8 + part % 2) * plan.sumPitch() + tile * 16 + part / 2 * 8;
    code.storeFloat(code.add(base, at * 4), sum);
  }
}

/// Calls `body` with a token, and a unit of columns that are written
/// together, counted in the block and in all, of units [first, end) of the
/// rows. Blocks of a cluster share the units.
void StreamSums::forEachUnit(Value first, Value end, UnitFn body) {
  Value mine = code.add(first, place.thread);
  if (plan.isCluster())
    mine = code.add(mine, code.mul(place.rank, plan.threads()));
  function.code.loop(
      code.toIndex(mine), code.toIndex(end), plan.cluster * plan.threads(),
      [&](Value index) {
        Value unit = code.fromIndex(index);
        Value token = code.div(unit, perToken()),
              here = code.rem(unit, perToken());
        Value column = code.add(code.mul(place.rowBlock, perToken()), here);
        if (problem.n % plan.rowsEach == 0)
          return body(token, here, column);
        function.code.ifElse(
            code.less(column, code.constant(problem.n / tail.getLanes())),
            [&] { body(token, here, column); });
      });
}

/// Sums of warps and blocks in the order of k, and what follows.
void StreamSums::writeResult() {
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

void StreamSums::writePassed() {
  if (!tail.hasPassed())
    return;
  Value number = code.fromIndex(function.block());
  function.code.ifElse(code.equal(code.add(number, place.thread), 0),
                       [&] { tail.writePassed(function.code); });
}

/// Of groups of warps, and of the blocks of a cluster.
Value StreamSums::addGroups(Value token, Value here, int64_t weight) {
  int64_t lanes = tail.getLanes();
  Value row = code.add(code.mul(here, lanes), weight * plan.rowsEach);
  Value at =
      code.add(code.add(place.shared, plan.sumsAt()),
               code.mul(code.add(code.mul(token, plan.sumPitch()), row), 4));
  Value sum;
  for (int64_t split = 0; split < plan.cluster; ++split)
    for (int64_t group = 0; group < plan.kGroups; ++group)
      sum = addTo(sum, code.loadFloats(
                           code.add(at, group * plan.sumsOfGroup() * 4), lanes,
                           plan.isCluster() ? code.constant(split) : Value()));
  return sum;
}

Value StreamSums::addTo(Value sum, Value part) {
  if (!sum)
    return part;
  return arith::AddFOp::create(function.code.b, sum, part);
}

//===----------------------------------------------------------------------===//
// Sums of parts
//===----------------------------------------------------------------------===//

/// The workspace is [parts, products, m, n].
Value StreamSums::placeOfPart(Value number, Value token, Value column,
                              int64_t weight) {
  Value row = code.add(code.mul(number, problem.products() * problem.m),
                       code.add(token, weight * problem.m));
  return code.toIndex(
      code.add(code.mul(row, problem.n), code.mul(column, tail.getLanes())));
}

void StreamSums::storePart(Value sum, Value token, Value column,
                           int64_t weight) {
  Value at = placeOfPart(place.part, token, column, weight);
  if (tail.getLanes() == 1)
    return function.code.store(sum, function.getWorkspace(), at);
  vector::StoreOp::create(function.code.b, sum, function.getWorkspace(), at,
                          /*nontemporal=*/false, llvm::MaybeAlign(16));
}

Value StreamSums::loadPart(Value number, Value token, Value column,
                           int64_t weight) {
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
Value StreamSums::counterOf(Value number) {
  Value rows = code.add(code.mul(place.rowBlock, plan.cluster), place.rank);
  Value at = code.add(code.mul(rows, plan.countersOfRows()), number);
  return code.advance(code.getGlobal(function.getCountersNumber(), 0),
                      code.mul(at, 4));
}

Value StreamSums::flagOf(Value number) {
  return code.add(code.add(place.shared, plan.flagsAt()), code.mul(number, 4));
}

/// What thread 0 reads, in all threads. It sees what other blocks wrote
/// before, and so do they.
Value StreamSums::tellAll(llvm::function_ref<Value()> read) {
  Value flag = flagOf(code.constant(0));
  function.code.ifElse(code.equal(place.thread, 0),
                       [&] { code.storeWord(flag, read()); });
  function.barrier();
  return code.load(flag, 1).front();
}

/// Parts in the order of k, whoever adds them up: same input, same bits.
void StreamSums::addUnits(Value first, Value end) {
  forEachUnit(first, end, [&](Value token, Value, Value column) {
    SmallVector<Value> sums(problem.products());
    for (int64_t i = 0; i < plan.parts; ++i)
      for (auto [weight, sum] : llvm::enumerate(sums))
        sum = addTo(sum, loadPart(code.constant(i), token, column, weight));
    tail.write(function.code, sums, code.toIndex(token), code.toIndex(column));
  });
}

void StreamSums::addParts() {
  function.barrier();
  Value before = tellAll(
      [&] { return code.countRound(counterOf(code.constant(0)), plan.parts); });
  Value isLast = code.equal(before, plan.parts - 1);
  if (plan.sharesSums)
    function.code.ifElse(isLast, [&] { shareOut(); }, [&] { addShare(); });
  else
    function.code.ifElse(
        isLast, [&] { addUnits(code.constant(0), code.constant(units())); });
}

//===----------------------------------------------------------------------===//
// Shares of sums
//===----------------------------------------------------------------------===//
// All blocks of some rows wait for the last one, each for its word, and add
// up a share of the units. A block that waits too long (others may have found
// no place yet, and never will if all wait) leaves its share to the last one.

enum : int64_t { kNobody = 0, kAllDone = 1, kLeft = 2 };
static constexpr int64_t kMostLooks = 32;

void StreamSums::addUnitsOf(Value share) {
  int64_t size = llvm::divideCeil(units(), plan.parts);
  Value first = code.mul(share, size), all = code.constant(units());
  Value end =
      arith::MinSIOp::create(function.code.b, code.add(first, size), all);
  addUnits(first, end);
  function.code.ifElse(code.equal(place.thread, 0), [&] {
    code.storeGlobal(counterOf(code.add(share, 1)), code.constant(kNobody));
  });
}

void StreamSums::addShare() {
  Value word = counterOf(code.add(place.part, 1)),
        flag = flagOf(code.constant(1));
  function.code.ifElse(code.equal(place.thread, 0), [&] {
    Value looked = code.waitForWord(word, kAllDone, kMostLooks);
    code.storeWord(flag, looked);
    function.code.ifElse(code.equal(looked, kNobody), [&] {
      code.storeWord(flag, code.replace(word, kNobody, kLeft));
    });
  });
  function.barrier();
  Value seen = code.load(flag, 1).front();
  function.code.ifElse(code.equal(seen, kAllDone),
                       [&] { addUnitsOf(place.part); });
}

/// Of the last block: its own share, and those that were left.
void StreamSums::shareOut() {
  function.code.ifElse(code.less(place.thread, code.constant(plan.parts)), [&] {
    Value seen = code.exchange(counterOf(code.add(place.thread, 1)), kAllDone);
    Value own = code.constant(kLeft);
    Value isOwn = arith::CmpIOp::create(
        function.code.b, arith::CmpIPredicate::eq, place.thread, place.part);
    code.storeWord(flagOf(code.add(place.thread, 1)),
                   code.select(isOwn, own, seen));
  });
  function.barrier();
  function.code.loop(function.code.index(0), function.code.index(plan.parts), 1,
                     [&](Value index) {
                       Value share = code.fromIndex(index);
                       Value seen =
                           code.load(flagOf(code.add(share, 1)), 1).front();
                       function.code.ifElse(code.equal(seen, kLeft),
                                            [&] { addUnitsOf(share); });
                     });
}

} // namespace gpu
} // namespace nibble
