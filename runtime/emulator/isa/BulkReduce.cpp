// cp.reduce.async.bulk; st.async and red.async to other CTAs of the cluster.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Copy.h"
#include "isa/Reduce.h"
#include "isa/Select.h"

#include <cstring>

using namespace nibble::emu;
using ptx::Type;

namespace {

//===----------------------------------------------------------------------===//
// Which reductions there are
//===----------------------------------------------------------------------===//

AtomicOp takeReduction(Decoder &d) {
  int op =
      d.words().takeOf({"add", "min", "max", "inc", "dec", "and", "or", "xor"});
  if (op < 0)
    d.error("names no operation");
  return AtomicOp(op);
}

bool isOneOf(Type type, std::initializer_list<Type> types) {
  for (Type each : types)
    if (type == each)
      return true;
  return false;
}

/// The table of valid combinations (PTX ISA, cp.reduce.async.bulk; red.async
/// has those of shared memory).
bool exists(AtomicOp op, Type type, bool inGlobal) {
  switch (op) {
  case kAdd:
    return isOneOf(type, {Type::U32, Type::S32, Type::U64}) ||
           (inGlobal &&
            isOneOf(type, {Type::F32, Type::F64, Type::F16, Type::BF16}));
  case kMin:
  case kMax:
    return isOneOf(type, {Type::U32, Type::S32}) ||
           (inGlobal &&
            isOneOf(type, {Type::U64, Type::S64, Type::F16, Type::BF16}));
  case kInc:
  case kDec:
    return type == Type::U32;
  default:
    return type == Type::B32 || (inGlobal && type == Type::B64);
  }
}

//===----------------------------------------------------------------------===//
// cp.reduce.async.bulk
//===----------------------------------------------------------------------===//

/// Operands as of bulk copies, without a mask. sub[0]: operation; sub[2]: type;
/// target: the destination is shared memory.
void reduceGlobal(Warp &w, const Inst &i, Lanes lanes) {
  BulkOperands o = bulkOperandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    const BulkSizes sizes = bulkSizesOf(w, o, l, "reduction");
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
      data->assign(source.at, source.at + bytes);
      endRead(*source.cta, source.offset, bytes);
    };
    op.complete = [=, how = AtomicOp(i.sub[0]), type = Type(i.sub[2])] {
      reduceElements(how, type, target, data->data(), bytes);
    };
    addToGroup(w, l, w.cta.cluster.async.submit(std::move(op)), true, epoch);
  });
}

/// Several reductions may be under way on one place: it is marked as read.
void reduceShared(Warp &w, const Inst &i, Lanes lanes) {
  BulkOperands o = bulkOperandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    const BulkSizes sizes = bulkSizesOf(w, o, l, "reduction");
    const uint32_t bytes = sizes.bytes;
    SharedPlace target = findSharedForRead(w, sizes.to, int(l));
    SharedPlace source = findSharedForRead(w, sizes.from, int(l));
    SharedPlace where = findBarrierPlace(w, o.barrier.of(w, l), int(l));
    MBarrier *barrier = barriersOf(w, {target.cta}, where, false, int(l))[0];
    Epoch epoch = w.cta.cluster.races.tickBarrier(barrier);
    beginRead(w, *source.cta, source.offset, bytes, int(l), epoch);
    beginReduce(w, *target.cta, target.offset, bytes, int(l), epoch);
    AsyncOp op;
    op.complete = [=, how = AtomicOp(i.sub[0]), type = Type(i.sub[2]),
                   at = w.place(int(l))] {
      reduceElements(how, type, target.at, source.at, bytes);
      endRead(*source.cta, source.offset, bytes);
      endRead(*target.cta, target.offset, bytes);
      completeBytes(barrier, bytes, epoch, at);
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

//===----------------------------------------------------------------------===//
// st.async, red.async
//===----------------------------------------------------------------------===//

/// refs[extra ..]: addresses of destination and mbarrier, then `extras` values
/// of sub[0] bytes. sub[1]: narrow bases. sub[2]: type; target: operation.
struct Remote {
  SharedPlace to;
  MBarrier *barrier;
  uint32_t bytes;
  std::vector<uint8_t> values;
};

Remote remoteOf(Warp &w, const Inst &i, unsigned lane) {
  const Ref *r = &w.code.refs[i.extra];
  WideAddress to{r[0], r[1], bool(i.sub[1] & 1)};
  WideAddress bar{r[2], r[3], bool(i.sub[1] & 2)};
  Remote remote{findSharedForRead(w, to.of(w, lane), int(lane)),
                nullptr,
                i.sub[0] * i.extras,
                {}};
  uint32_t offset = remote.to.offset;
  if (w.cta.cluster.ctas.size() < 2)
    w.fault("needs a cluster of more than one CTA", int(lane));
  if (offset % remote.bytes ||
      offset + remote.bytes > remote.to.cta->shared.size())
    w.fault("stores " + std::to_string(remote.bytes) + " bytes at offset " +
                std::to_string(offset) + ": misaligned or out of bounds",
            int(lane));
  SharedPlace where = findBarrierPlace(w, bar.of(w, lane), int(lane));
  if (where.cta != remote.to.cta)
    w.fault("the mbarrier and the destination are in different CTAs",
            int(lane));
  remote.barrier = barriersOf(w, {where.cta}, where, false, int(lane))[0];
  for (uint32_t n = 0; n < i.extras; ++n) {
    const uint8_t *from = w.lanes<uint8_t>(r[4 + n]) + i.sub[0] * lane;
    remote.values.insert(remote.values.end(), from, from + i.sub[0]);
  }
  return remote;
}

void storeRemote(Warp &w, const Inst &i, Lanes lanes) {
  forLanes(lanes, [&](unsigned l) {
    Remote r = remoteOf(w, i, l);
    Epoch epoch = w.cta.cluster.races.tickBarrier(r.barrier);
    beginWrite(w, *r.to.cta, r.to.offset, r.bytes, int(l), epoch);
    AsyncOp op;
    op.complete = [r, epoch, at = w.place(int(l))] {
      std::memcpy(r.to.at, r.values.data(), r.bytes);
      endWrite(*r.to.cta, r.to.offset, r.bytes);
      r.to.cta->state.noteGenericWrite(r.to.offset, r.bytes);
      completeBytes(r.barrier, r.bytes, epoch, at);
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

void reduceRemote(Warp &w, const Inst &i, Lanes lanes) {
  forLanes(lanes, [&](unsigned l) {
    Remote r = remoteOf(w, i, l);
    if (r.to.cta == &w.cta)
      w.fault("reduces in the CTA of the thread itself", int(l));
    SharedState &state = r.to.cta->state;
    if (w.cta.cluster.launch.checks.uninitialized &&
        !state.allWritten(r.to.offset, r.bytes))
      w.fault("reduces into shared memory that nobody has written", int(l));
    state.addReader(r.to.offset, r.bytes, 1);
    Epoch epoch = w.cta.cluster.races.tickBarrier(r.barrier);
    w.cta.cluster.races.access(w, *r.to.cta, r.to.offset, r.bytes, true, epoch,
                               int(l), true);
    AsyncOp op;
    op.complete = [r, epoch, how = AtomicOp(i.target), type = Type(i.sub[2]),
                   at = w.place(int(l))] {
      reduceElements(how, type, r.to.at, r.values.data(), r.bytes);
      endRead(*r.to.cta, r.to.offset, r.bytes);
      completeBytes(r.barrier, r.bytes, epoch, at);
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

/// The words that both have; `type` is taken.
void decodeRemote(Decoder &d, Type &type, unsigned count) {
  if (d.words().has("release") || d.words().has("global") ||
      d.words().has("mmio"))
    d.unsupported("the form for global memory");
  d.words().take("cluster");
  d.words().take("shared::cluster");
  d.words().take("mbarrier::complete_tx::bytes");
  type = takeType(d);
  unsigned bytes = Decoder::bytesOf(type);
  d.expectOperands(3, 3);
  Inst &inst = d.inst();
  std::vector<Ref> refs;
  inst.sub[1] |= addWideAddress(d, d.operand(0), true, refs) ? 1 : 0;
  inst.sub[1] |= addWideAddress(d, d.operand(2), true, refs) ? 2 : 0;
  const ptx::Operand &data = d.operand(1);
  bool isVector = data.kind == ptx::Operand::Kind::Vector;
  if (isVector ? data.parts.size() != count : count != 1)
    d.error("needs " + std::to_string(count) + " values");
  for (unsigned n = 0; n < count; ++n)
    refs.push_back(d.value(isVector ? data.parts[n] : data, bytes));
  inst.extra = d.addRefs(refs);
  inst.extras = count;
  inst.sub[0] = uint8_t(bytes);
  inst.sub[2] = uint8_t(type);
}

} // namespace

void nibble::emu::storeAsync(Decoder &d) {
  d.words().take("async");
  d.words().take("weak");
  int vector = d.words().takeOf({"v2", "v4"});
  Type type;
  decodeRemote(d, type, vector < 0 ? 1 : vector ? 4 : 2);
  if (Decoder::bytesOf(type) < 4)
    d.error("stores elements of 32 or 64 bits");
  d.inst().run = storeRemote;
}

void nibble::emu::reduceAsync(Decoder &d) {
  d.words().take("async");
  d.words().take("relaxed");
  AtomicOp op = takeReduction(d);
  Type type;
  decodeRemote(d, type, 1);
  if (!exists(op, type, false))
    d.error("has no such operation on this type");
  d.inst().target = op;
  d.inst().run = reduceRemote;
}

void nibble::emu::bulkReduce(Decoder &d) {
  bool inGlobal = d.words().take("global");
  if (!inGlobal && !d.words().take("shared::cluster"))
    d.error("reduces in .global or .shared::cluster");
  bool group = d.words().take("bulk_group");
  bool toBarrier = d.words().take("mbarrier::complete_tx::bytes");
  if (!d.words().take("shared::cta") || group == toBarrier || group != inGlobal)
    d.error("needs .shared::cta, and .bulk_group into global memory, "
            ".mbarrier::complete_tx::bytes into shared memory");
  bool policy = d.words().take("L2::cache_hint");
  AtomicOp op = takeReduction(d);
  bool noftz = d.words().take("noftz");
  Type type = takeType(d);
  bool half = type == Type::F16 || type == Type::BF16;
  if (!exists(op, type, inGlobal) || (policy && !inGlobal))
    d.error("has no such operation on this type");
  if (noftz != (half && op == kAdd))
    d.error(".noftz belongs to .add of .f16 and .bf16");
  size_t n = 3 + toBarrier + policy;
  d.expectOperands(n, n);
  Inst &inst = d.inst();
  std::vector<Ref> refs;
  inst.sub[1] |= addWideAddress(d, d.operand(0), !inGlobal, refs) ? 1 : 0;
  inst.sub[1] |= addWideAddress(d, d.operand(1), true, refs) ? 2 : 0;
  if (toBarrier)
    inst.sub[1] |= addWideAddress(d, d.operand(3), true, refs) ? 4 : 0;
  refs.resize(6);
  refs.push_back(d.value(d.operand(2), 4));
  refs.push_back(Ref());
  inst.extra = d.addRefs(refs);
  inst.sub[0] = op;
  inst.sub[2] = uint8_t(type);
  inst.run = inGlobal ? reduceGlobal : reduceShared;
}
