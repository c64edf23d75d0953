// cp.async and cp.async.bulk without tensor maps, and the groups that threads
// wait for. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Copy.h"

#include "isa/Select.h"

#include <cstring>

using namespace nibble::emu;
using ptx::Type;

//===----------------------------------------------------------------------===//
// Memory in the hands of asynchronous work
//===----------------------------------------------------------------------===//

/// Accesses of the warp itself, or of what it issues.
static void noteAccess(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes,
                       bool write, Epoch as, int lane) {
  Counters &counters = w.cta.cluster.counters;
  (write ? counters.sharedAsyncWritten : counters.sharedAsyncRead) += bytes;
  Races &races = w.cta.cluster.races;
  if (as.time)
    races.access(w, cta, offset, bytes, write, as, lane, false);
  else
    races.access(w, cta, offset, bytes, write, false, lane);
}

void nibble::emu::beginWrite(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes,
                             int lane, Epoch as) {
  const Checks &checks = w.cta.cluster.launch.checks;
  uint8_t flags = cta.state.any(offset, bytes);
  if (checks.pending && (flags & SharedState::PendingWrite))
    w.fault("an asynchronous copy writes shared memory that another one, not "
            "waited for, writes too (offset " +
                std::to_string(offset) + ", " + std::to_string(bytes) +
                " bytes)",
            lane);
  if (checks.pending && (flags & SharedState::PendingRead))
    w.fault("an asynchronous copy overwrites shared memory that another "
            "operation still reads (offset " +
                std::to_string(offset) + ")",
            lane);
  noteAccess(w, cta, offset, bytes, true, as, lane);
  cta.state.set(offset, bytes, SharedState::PendingWrite);
}

void nibble::emu::endWrite(Cta &cta, uint32_t offset, uint32_t bytes) {
  cta.state.clear(offset, bytes, SharedState::PendingWrite);
  cta.state.set(offset, bytes, SharedState::Written);
}

/// What asynchronous work may read.
static void checkReadable(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes,
                          int lane) {
  const Checks &checks = w.cta.cluster.launch.checks;
  // Made only for a fault: every 16 bytes of every matrix come here.
  auto where = [=] {
    return " (offset " + std::to_string(offset) + ", " + std::to_string(bytes) +
           " bytes)";
  };
  if (checks.pending &&
      (cta.state.any(offset, bytes) & SharedState::PendingWrite))
    w.fault("an asynchronous operation reads shared memory that a copy writes "
            "which has not been waited for" +
                where(),
            lane);
  if (checks.uninitialized && !cta.state.allWritten(offset, bytes))
    w.fault("an asynchronous operation reads shared memory that nobody has "
            "written" +
                where(),
            lane);
  if (checks.proxies && !cta.state.isFenced(offset, bytes))
    w.fault("an asynchronous operation reads shared memory that was written "
            "without a fence.proxy.async since" +
                where(),
            lane);
}

void nibble::emu::beginRead(Warp &w, Cta &cta, uint32_t offset, uint32_t bytes,
                            int lane, Epoch as) {
  checkReadable(w, cta, offset, bytes, lane);
  noteAccess(w, cta, offset, bytes, false, as, lane);
  cta.state.addReader(offset, bytes, 1);
}

void nibble::emu::beginReduce(Warp &w, Cta &cta, uint32_t offset,
                              uint32_t bytes, int lane, Epoch as) {
  checkReadable(w, cta, offset, bytes, lane);
  w.cta.cluster.counters.sharedAsyncRead += bytes;
  w.cta.cluster.counters.sharedAsyncWritten += bytes;
  w.cta.cluster.races.access(w, cta, offset, bytes, true, as, lane, true);
  cta.state.addReader(offset, bytes, 1);
}

void nibble::emu::endRead(Cta &cta, uint32_t offset, uint32_t bytes) {
  cta.state.addReader(offset, bytes, -1);
}

std::vector<Epoch>
nibble::emu::tickAll(Warp &w, const std::vector<MBarrier *> &barriers) {
  std::vector<Epoch> epochs;
  for (MBarrier *barrier : barriers)
    epochs.push_back(w.cta.cluster.races.tickBarrier(barrier));
  return epochs;
}

void nibble::emu::completeBytes(MBarrier *barrier, uint32_t bytes,
                                Epoch operation, const std::string &where) {
  barrier->gathered.join(operation);
  std::string why = barrier->complete(bytes);
  if (!why.empty())
    throw Fault{where + ": " + why};
}

void nibble::emu::arriveAt(MBarrier *barrier, const std::string &where) {
  std::string why = barrier->arrive(1);
  if (!why.empty())
    throw Fault{where + ": " + why};
}

/// Every byte of global memory must belong to one allocation.
uint8_t *nibble::emu::resolveRange(Warp &w, uint64_t address, uint32_t bytes,
                                   bool write, int lane) {
  if (bytes == 0)
    return nullptr;
  uint8_t *first = w.cta.resolve(w, Space::Global, address, 1, write, lane);
  w.cta.resolve(w, Space::Global, address + bytes - 1, 1, write, lane);
  w.cta.cluster.noteTraffic(address, bytes, write);
  return first;
}

void nibble::emu::addToGroup(Warp &w, unsigned lane, uint64_t number, bool bulk,
                             Epoch operation) {
  CopyGroups &groups = (bulk ? w.bulkCopies : w.copies)[lane];
  groups.open.push_back(number);
  groups.newest = operation;
}

namespace {

//===----------------------------------------------------------------------===//
// Groups
//===----------------------------------------------------------------------===//

/// sub[0]: 1 bulk.
void commitGroup(Warp &w, const Inst &i, Lanes lanes) {
  forLanes(lanes, [&](unsigned l) {
    CopyGroups &groups = (i.sub[0] & 1 ? w.bulkCopies : w.copies)[l];
    if ((i.sub[0] & 4) && groups.open.empty())
      return;
    groups.committed.push_back(std::move(groups.open));
    groups.epochs.push_back(groups.newest);
    groups.open.clear();
  });
}

/// True if all but the newest `keep` groups are done, or have read.
bool groupsDone(Warp &w, CopyGroups &groups, size_t keep, bool onlyRead) {
  AsyncWork &async = w.cta.cluster.async;
  for (size_t g = 0; g + keep < groups.committed.size(); ++g)
    for (uint64_t number : groups.committed[g])
      if (onlyRead ? !async.hasRead(number) : !async.isDone(number))
        return false;
  if (groups.committed.size() <= keep)
    return true;
  size_t count = groups.committed.size() - keep;
  w.cta.cluster.races.acquire(w, groups.epochs[count - 1]);
  if (!onlyRead) {
    groups.committed.erase(groups.committed.begin(),
                           groups.committed.begin() + long(count));
    groups.epochs.erase(groups.epochs.begin(),
                        groups.epochs.begin() + long(count));
  }
  return true;
}

/// sub[0]: 1 bulk, 2 only the reads, 4 all; imm: groups that may be left.
void waitGroup(Warp &w, const Inst &i, Lanes lanes) {
  if (i.sub[0] & 4) // wait_all: also what is in no group yet
    commitGroup(w, i, lanes);
  auto done = [&w, lanes, &i] {
    bool all = true;
    forLanes(lanes, [&](unsigned l) {
      all &= groupsDone(w, (i.sub[0] & 1 ? w.bulkCopies : w.copies)[l],
                        size_t(i.imm), i.sub[0] & 2);
    });
    return all;
  };
  if (!done())
    return w.wait(done, [] { return std::string("a group of copies"); });
  w.next();
}

//===----------------------------------------------------------------------===//
// cp.async
//===----------------------------------------------------------------------===//

/// sub[0]: bytes; a, imm, sub[1], sub[2]: destination; refs[extra], [extra +
/// 1]: base and offset of the source; c: bytes of the source, or invalid; p:
/// predicate that ignores the source (negated: sub of q).
void copyAsync(Warp &w, const Inst &i, Lanes lanes) {
  struct Piece {
    uint32_t offset, bytes;
    const uint8_t *from;
  };
  std::vector<Piece> pieces;
  const uint32_t size = i.sub[0];
  const Ref *refs = &w.code.refs[i.extra];
  const WideAddress from{refs[0], refs[1], false};
  const Epoch epoch = w.cta.cluster.races.tickCopies(w, false);
  forLanes(lanes, [&](unsigned l) {
    uint32_t bytes = i.c.valid() ? w.lanes<uint32_t>(i.c)[l] : size;
    if (i.p >= 0 && (w.pred(i.p) >> l & 1))
      bytes = 0;
    if (bytes > size)
      w.fault("copies " + std::to_string(bytes) + " bytes of a source into " +
                  std::to_string(size),
              int(l));
    SharedPlace to = findSharedForRead(w, addressOf(w, i, l), int(l));
    if (to.offset % size)
      w.fault("copies to an address that is no multiple of its size", int(l));
    uint64_t address = from.of(w, l);
    const uint8_t *source =
        bytes ? w.cta.resolve(w, Space::Global, address,
                              bytes == size ? size : 1, false, int(l))
              : nullptr;
    beginWrite(w, w.cta, to.offset, size, int(l), epoch);
    pieces.push_back({to.offset, bytes, source});
    w.cta.cluster.counters.globalRead += bytes;
  });
  Cta *cta = &w.cta;
  AsyncOp op;
  op.complete = [cta, size, pieces = std::move(pieces)] {
    for (const Piece &p : pieces) {
      uint8_t *to = cta->shared.data() + p.offset;
      if (p.bytes)
        std::memcpy(to, p.from, p.bytes);
      std::memset(to + p.bytes, 0, size - p.bytes);
      endWrite(*cta, p.offset, size);
      cta->state.noteGenericWrite(p.offset, size); // not the async proxy
    }
  };
  uint64_t number = w.cta.cluster.async.submit(std::move(op));
  forLanes(lanes, [&](unsigned l) { addToGroup(w, l, number, false, epoch); });
}

/// Arrives at an mbarrier when all earlier cp.async of the thread are done.
/// sub[0]: 1 .noinc.
void arriveAfterCopies(Warp &w, const Inst &i, Lanes lanes) {
  forLanes(lanes, [&](unsigned l) {
    MBarrier *barrier = &findBarrier(w, i, l);
    Clock done;
    w.cta.cluster.races.release(w, done);
    done.join(w.copies[l].newest);
    std::vector<uint64_t> before = w.copies[l].open;
    for (const auto &group : w.copies[l].committed)
      before.insert(before.end(), group.begin(), group.end());
    if (!i.sub[0]) // one more arrival is expected in this phase
      barrier->addPending();
    AsyncWork *async = &w.cta.cluster.async;
    AsyncOp op;
    op.ready = [async, before] {
      for (uint64_t number : before)
        if (!async->isDone(number))
          return false;
      return true;
    };
    op.complete = [barrier, done, place = w.place(int(l))] {
      barrier->gathered.join(done);
      arriveAt(barrier, place);
    };
    async->submit(std::move(op));
  });
}

//===----------------------------------------------------------------------===//
// cp.async.bulk
//===----------------------------------------------------------------------===//

void bulkLoad(Warp &w, const Inst &i, Lanes lanes) {
  BulkOperands o = bulkOperandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    const BulkSizes sizes = bulkSizesOf(w, o, l, "copy");
    const uint32_t bytes = sizes.bytes;
    SharedPlace place = findSharedForRead(w, sizes.to, int(l));
    std::vector<Cta *> targets{place.cta};
    if (o.mask.valid())
      targets = maskedCtas(w, w.lanes<uint16_t>(o.mask)[l], int(l));
    const uint8_t *source = resolveRange(w, sizes.from, bytes, false, int(l));
    SharedPlace where = findBarrierPlace(w, o.barrier.of(w, l), int(l));
    auto barriers = barriersOf(w, targets, where, o.mask.valid(), int(l));
    std::vector<Epoch> epochs = tickAll(w, barriers);
    for (size_t t = 0; t < targets.size(); ++t)
      beginWrite(w, *targets[t], place.offset, bytes, int(l), epochs[t]);
    w.cta.cluster.counters.globalRead += bytes;
    w.cta.cluster.counters.copyRead += bytes;
    AsyncOp op;
    op.complete = [=, at = w.place(int(l)), offset = place.offset] {
      for (size_t t = 0; t < targets.size(); ++t) {
        std::memcpy(targets[t]->shared.data() + offset, source, bytes);
        endWrite(*targets[t], offset, bytes);
        completeBytes(barriers[t], bytes, epochs[t], at);
      }
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

/// To the shared memory of another CTA.
void bulkSend(Warp &w, const Inst &i, Lanes lanes) {
  BulkOperands o = bulkOperandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    const BulkSizes sizes = bulkSizesOf(w, o, l, "copy");
    const uint32_t bytes = sizes.bytes;
    SharedPlace target = findSharedForRead(w, sizes.to, int(l));
    SharedPlace source = findSharedForRead(w, sizes.from, int(l));
    SharedPlace where = findBarrierPlace(w, o.barrier.of(w, l), int(l));
    MBarrier *barrier = barriersOf(w, {target.cta}, where, false, int(l))[0];
    Epoch epoch = w.cta.cluster.races.tickBarrier(barrier);
    beginRead(w, *source.cta, source.offset, bytes, int(l), epoch);
    beginWrite(w, *target.cta, target.offset, bytes, int(l), epoch);
    AsyncOp op;
    op.complete = [=, at = w.place(int(l))] {
      std::memcpy(target.cta->shared.data() + target.offset,
                  source.cta->shared.data() + source.offset, bytes);
      endRead(*source.cta, source.offset, bytes);
      endWrite(*target.cta, target.offset, bytes);
      completeBytes(barrier, bytes, epoch, at);
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

void bulkStore(Warp &w, const Inst &i, Lanes lanes) {
  BulkOperands o = bulkOperandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    const BulkSizes sizes = bulkSizesOf(w, o, l, "copy");
    const uint32_t bytes = sizes.bytes;
    SharedPlace source = findSharedForRead(w, sizes.from, int(l));
    uint8_t *target = resolveRange(w, sizes.to, bytes, true, int(l));
    Epoch epoch = w.cta.cluster.races.tickCopies(w, true);
    beginRead(w, *source.cta, source.offset, bytes, int(l), epoch);
    w.cta.cluster.counters.globalWritten += bytes;
    w.cta.cluster.counters.copyWritten += bytes;
    auto data = std::make_shared<std::vector<uint8_t>>();
    AsyncOp op;
    op.read = [=] {
      const uint8_t *at = source.cta->shared.data() + source.offset;
      data->assign(at, at + bytes);
      endRead(*source.cta, source.offset, bytes);
    };
    op.complete = [=] { std::memcpy(target, data->data(), data->size()); };
    addToGroup(w, l, w.cta.cluster.async.submit(std::move(op)), true, epoch);
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

void takeCacheWords(Decoder &d) {
  d.words().takeOf({"L2::64B", "L2::128B", "L2::256B"});
}

void decodeGroup(Decoder &d, bool bulk) {
  if (d.words().take("commit_group")) {
    d.inst().sub[0] = bulk;
    d.inst().run = commitGroup;
    return;
  }
  bool all = d.words().take("wait_all");
  if (!all && !d.words().take("wait_group"))
    d.error("names no operation");
  d.inst().sub[0] =
      uint8_t(bulk | (d.words().take("read") ? 2 : 0) | (all ? 4 : 0));
  if (!all) {
    if (d.operand(0).kind != ptx::Operand::Kind::Integer)
      d.error("the number of groups must be an immediate");
    d.inst().imm = d.operand(0).bits;
  }
  d.inst().run = waitGroup;
  d.inst().flags |= Inst::Ends;
}

void decodeCopy(Decoder &d) {
  int cache = d.words().takeOf({"ca", "cg"});
  Space space = takeSharedSpace(d);
  if (cache < 0 || space == Space::Generic || !d.words().take("global"))
    d.error("needs .ca or .cg, .shared and .global");
  bool policy = d.words().take("L2::cache_hint");
  takeCacheWords(d);
  size_t n = d.source().operands.size() - policy;
  d.expectOperands(3 + policy, 4 + policy);
  Inst &inst = d.inst();
  setAddress(d, d.operand(0), space);
  std::vector<Ref> from;
  if (addWideAddress(d, d.operand(1), false, from))
    d.error("an address of global memory has 64 bits");
  inst.extra = d.addRefs(from);
  if (d.operand(2).kind != ptx::Operand::Kind::Integer)
    d.error("the size must be an immediate");
  inst.sub[0] = uint8_t(d.operand(2).bits);
  if (inst.sub[0] != 16 &&
      (cache == 1 || (inst.sub[0] != 4 && inst.sub[0] != 8)))
    d.error("copies 4, 8 or 16 bytes (.cg: 16)");
  if (n == 4 && d.isPredicate(d.operand(3)))
    inst.p = d.predicate(d.operand(3));
  else if (n == 4)
    inst.c = d.value(d.operand(3), 4);
  inst.run = copyAsync;
}

void decodeArrive(Decoder &d) {
  if (!d.words().take("arrive"))
    d.error("needs .arrive");
  d.inst().sub[0] = d.words().take("noinc");
  Space space = takeSharedSpace(d);
  takeType(d);
  setAddress(d, d.operand(0), space);
  d.inst().run = arriveAfterCopies;
}

/// Into the L2 cache, which is not seen here. a, imm, sub[1]: address; b: size.
void prefetched(Warp &w, const Inst &i, Lanes lanes) {
  forLanes(lanes, [&](unsigned l) {
    uint32_t bytes = w.lanes<uint32_t>(i.b)[l];
    if (bytes % 16 || addressOf(w, i, l) % 16)
      w.fault("a bulk prefetch of " + std::to_string(bytes) +
                  " bytes: size and address must be multiples of 16",
              int(l));
  });
}
void decodePrefetch(Decoder &d) {
  if (!d.words().take("L2") || !d.words().take("global"))
    d.error("needs .L2.global");
  bool policy = d.words().take("L2::cache_hint");
  d.expectOperands(2 + policy, 2 + policy);
  setAddress(d, d.operand(0), Space::Global);
  d.inst().b = d.value(d.operand(1), 4);
  d.inst().run = prefetched;
}

void decodeBulk(Decoder &d) {
  if (d.words().has("commit_group") || d.words().has("wait_group"))
    return decodeGroup(d, true);
  bool toCluster = d.words().take("shared::cluster");
  bool toCta = !toCluster && d.source().modifiers.size() > 2 &&
               d.source().modifiers[2] == "shared::cta" &&
               d.words().take("shared::cta");
  bool global = d.words().take("global");
  bool fromCta = d.words().take("shared::cta");
  bool toBarrier = d.words().take("mbarrier::complete_tx::bytes");
  bool group = d.words().take("bulk_group");
  bool multicast = d.words().take("multicast::cluster");
  bool policy = d.words().take("L2::cache_hint");
  size_t n = 3 + toBarrier + multicast + policy;
  d.expectOperands(n, n);
  if (toBarrier == group || (toCluster || toCta) != toBarrier)
    d.error("needs .mbarrier::complete_tx::bytes into shared memory, "
            ".bulk_group out of it");
  Inst &inst = d.inst();
  bool intoShared = toCluster || toCta;
  std::vector<Ref> refs;
  inst.sub[1] |= addWideAddress(d, d.operand(0), intoShared, refs) ? 1 : 0;
  inst.sub[1] |= addWideAddress(d, d.operand(1), fromCta, refs) ? 2 : 0;
  if (toBarrier)
    inst.sub[1] |= addWideAddress(d, d.operand(3), true, refs) ? 4 : 0;
  else
    refs.resize(6);
  refs.push_back(d.value(d.operand(2), 4));
  refs.push_back(multicast ? d.value(d.operand(4), 2) : Ref());
  inst.extra = d.addRefs(refs);
  inst.sub[2] = uint8_t(toCta ? Space::Shared : Space::SharedCluster);
  inst.run = !intoShared ? bulkStore : global ? bulkLoad : bulkSend;
}

} // namespace

BulkOperands nibble::emu::bulkOperandsOf(const Warp &w, const Inst &i) {
  const Ref *r = &w.code.refs[i.extra];
  return {{r[0], r[1], bool(i.sub[1] & 1)},
          {r[2], r[3], bool(i.sub[1] & 2)},
          {r[4], r[5], bool(i.sub[1] & 4)},
          r[6],
          r[7]};
}

BulkSizes nibble::emu::bulkSizesOf(Warp &w, const BulkOperands &o,
                                   unsigned lane, const char *what) {
  BulkSizes s{w.lanes<uint32_t>(o.size)[lane], o.to.of(w, lane),
              o.from.of(w, lane)};
  if (s.bytes % 16 || s.to % 16 || s.from % 16)
    w.fault(std::string("a bulk ") + what + " of " + std::to_string(s.bytes) +
                " bytes: size and addresses must be multiples of 16",
            int(lane));
  return s;
}

std::vector<Cta *> nibble::emu::maskedCtas(Warp &w, uint16_t mask, int lane) {
  std::vector<Cta *> targets;
  auto &ctas = w.cta.cluster.ctas;
  if (mask == 0 || mask >> ctas.size())
    w.fault("multicasts to CTAs " + std::to_string(mask) +
                " (bits) of a cluster of " + std::to_string(ctas.size()),
            lane);
  for (size_t rank = 0; rank < ctas.size(); ++rank)
    if (mask >> rank & 1)
      targets.push_back(ctas[rank].get());
  return targets;
}

std::vector<MBarrier *>
nibble::emu::barriersOf(Warp &w, const std::vector<Cta *> &targets,
                        const SharedPlace &where, bool multicast, int lane) {
  std::vector<MBarrier *> barriers;
  for (Cta *target : targets) {
    Cta *owner = multicast ? target : where.cta;
    std::string why;
    MBarrier *barrier = owner->mbarriers.find(
        owner->shared.data() + where.offset, where.offset, why);
    if (!barrier)
      w.fault(why, lane);
    barriers.push_back(barrier);
  }
  return barriers;
}

void nibble::emu::async::cp(Decoder &d) {
  bool reduces = d.words().take("reduce");
  if (d.words().take("async")) {
    if (d.words().take("bulk"))
      return d.words().take("tensor")     ? tensorCopy(d, reduces)
             : reduces                    ? bulkReduce(d)
             : d.words().take("prefetch") ? decodePrefetch(d)
                                          : decodeBulk(d);
    if (reduces)
      d.error("needs .bulk");
    if (d.words().take("mbarrier"))
      return decodeArrive(d);
    if (d.words().has("commit_group") || d.words().has("wait_group") ||
        d.words().has("wait_all"))
      return decodeGroup(d, false);
    return decodeCopy(d);
  }
  d.unsupported("this form");
}
