// Loads, stores, atomics, addresses.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Memory.h"

#include "exec/Cta.h"
#include "isa/Access.h"
#include "isa/Address.h"
#include "isa/Copy.h"
#include "isa/Numbers.h"
#include "isa/Select.h"

#include <cstring>

using namespace nibble::emu;
using ptx::Type;

namespace {

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

/// sub[0]: bytes of an element; sub[1]: flags (Address.h); sub[2]: space. a:
/// base; imm: offset. Registers from refs[extra] on, their bytes in `target`.

/// Copies an element into a register that may be wider.
void widen(uint8_t *to, unsigned toBytes, const uint8_t *from, unsigned bytes,
           bool isSigned) {
  if (toBytes == bytes) {
    std::memcpy(to, from, bytes);
    return;
  }
  uint64_t value = 0;
  std::memcpy(&value, from, bytes);
  if (isSigned && (value >> (8 * bytes - 1) & 1))
    value |= ~uint64_t(0) << (8 * bytes);
  std::memcpy(to, &value, std::min(toBytes, 8u));
}

void load(Warp &w, const Inst &i, Lanes lanes) {
  const unsigned bytes = i.sub[0], toBytes = i.target, count = i.extras;
  const Ref *refs = &w.code.refs[i.extra];
  countAccess(w, i, lanes, bytes * count, false);
  countBanksOf(w, i, lanes, bytes * count);
  forLanes(lanes, [&](unsigned l) {
    uint64_t address = addressOf(w, i, l);
    const uint8_t *from = w.cta.resolve(w, Space(i.sub[2]), address,
                                        bytes * count, false, int(l));
    if (i.order)
      w.cta.cluster.races.strong(w, address, true, false, i.order);
    for (unsigned n = 0; n < count; ++n)
      widen(w.lanes<uint8_t>(refs[n]) + l * toBytes, toBytes, from + n * bytes,
            bytes, i.sub[1] & kSigned);
  });
}

void store(Warp &w, const Inst &i, Lanes lanes) {
  const unsigned bytes = i.sub[0], fromBytes = i.target, count = i.extras;
  const Ref *refs = &w.code.refs[i.extra];
  countAccess(w, i, lanes, bytes * count, true);
  countBanksOf(w, i, lanes, bytes * count);
  uint8_t values[32 + 16];
  w.stored = values;
  forLanes(lanes, [&](unsigned l) {
    for (unsigned n = 0; n < count; ++n)
      std::memcpy(values + n * bytes, w.lanes<uint8_t>(refs[n]) + l * fromBytes,
                  bytes);
    uint64_t address = addressOf(w, i, l);
    uint8_t *to =
        w.cta.resolve(w, Space(i.sub[2]), address, bytes * count, true, int(l));
    if (i.order)
      w.cta.cluster.races.strong(w, address, false, true, i.order);
    std::memcpy(to, values, bytes * count);
  });
  w.stored = nullptr;
}

/// Parameters of the kernel are the same for all lanes.
void loadParam(Warp &w, const Inst &i, Lanes lanes) {
  const unsigned bytes = i.sub[0], toBytes = i.target;
  const Ref *refs = &w.code.refs[i.extra];
  const uint8_t *from = w.cta.cluster.launch.params + i.imm;
  for (unsigned n = 0; n < i.extras; ++n) {
    uint8_t *to = w.lanes<uint8_t>(refs[n]);
    forLanes(lanes, [&](unsigned l) {
      widen(to + l * toBytes, toBytes, from + n * bytes, bytes,
            i.sub[1] & kSigned);
    });
  }
}

/// Address of a parameter of the kernel, generic.
void paramAddress(Warp &w, const Inst &i, Lanes lanes) {
  uint64_t address = uint64_t(w.cta.cluster.launch.params) + i.imm;
  uint64_t *d = w.lanes<uint64_t>(i.d);
  forLanes(lanes, [=](unsigned l) { d[l] = address; });
}

/// d = a + imm with 64 or 32 bits on either side: cvta and its way back.
template <typename D, typename A>
void addAddress(Warp &w, const Inst &i, Lanes lanes) {
  D *d = w.lanes<D>(i.d);
  const A *a = w.lanes<A>(i.a);
  forLanes(lanes, [&](unsigned l) { d[l] = D(a[l] + i.imm); });
}

void isSpace(Warp &w, const Inst &i, Lanes lanes) {
  const uint64_t *a = w.lanes<uint64_t>(i.a);
  Lanes result = 0;
  Space space = Space(i.sub[2]);
  forLanes(lanes, [&](unsigned l) {
    bool local = a[l] & kLocalWindow, shared = a[l] & kSharedWindow;
    bool own = (uint32_t(a[l]) >> kRankShift) == w.cta.rank;
    bool is = space == Space::Local           ? local
              : space == Space::Shared        ? shared && own
              : space == Space::SharedCluster ? shared
                                              : !local && !shared;
    result |= Lanes(is) << l;
  });
  setPred(w, i.p, lanes, result);
}

/// Address of the same offset in another CTA of the cluster.
template <typename T> void mapa(Warp &w, const Inst &i, Lanes lanes) {
  T *d = w.lanes<T>(i.d);
  const T *a = w.lanes<T>(i.a);
  const uint32_t *rank = w.lanes<uint32_t>(i.b);
  uint64_t count = w.cta.cluster.ctas.size();
  forLanes(lanes, [&](unsigned l) {
    if (rank[l] >= count)
      w.fault("maps to CTA " + std::to_string(rank[l]) + " of a cluster of " +
                  std::to_string(count),
              int(l));
    d[l] =
        T(i.imm | uint64_t(rank[l]) << kRankShift | (a[l] & kSharedOffsetMask));
  });
}

template <typename T> void getCtaRank(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const T *a = w.lanes<T>(i.a);
  forLanes(lanes, [=](unsigned l) { d[l] = uint32_t(a[l]) >> kRankShift; });
}

void nothing(Warp &, const Inst &, Lanes) {}
void fence(Warp &w, const Inst &, Lanes) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  w.cta.cluster.races.fence(w);
}
/// The asynchronous proxy sees what the generic one has written to the shared
/// memory of the cluster.
void fenceProxy(Warp &w, const Inst &, Lanes) {
  for (auto &cta : w.cta.cluster.ctas)
    cta->state.fence();
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// Registers of a scalar or vector operand; all of one size, at least that of
/// an element.
void setRegisters(Decoder &d, const ptx::Operand &operand, unsigned count,
                  unsigned bytes, bool isDestination) {
  const std::vector<ptx::Operand> one{operand};
  bool isVector = operand.kind == ptx::Operand::Kind::Vector;
  const std::vector<ptx::Operand> &parts = isVector ? operand.parts : one;
  if (parts.size() != count)
    d.error("has " + std::to_string(parts.size()) + " registers for " +
            std::to_string(count) + " elements");
  unsigned size = std::max(bytes, 2u);
  for (const ptx::Operand &part : parts)
    if (d.isRegister(part))
      size = std::max(size, d.registerBytes(part));
  std::vector<Ref> refs;
  for (const ptx::Operand &part : parts)
    refs.push_back(part.kind == ptx::Operand::Kind::Sink ? d.scratch(size)
                                                         : d.value(part, size));
  (void)isDestination;
  d.inst().extra = d.addRefs(refs);
  d.inst().extras = count;
  d.inst().target = size;
}

bool isSignedType(Type type) {
  return type == Type::S8 || type == Type::S16 || type == Type::S32 ||
         type == Type::S64;
}

void access(Decoder &d, bool isLoad) {
  takeHints(d);
  Space space = takeSpace(d);
  d.words().take("unified");
  bool policy = d.words().take("L2::cache_hint");
  unsigned count = takeVector(d);
  Type type = takeType(d);
  unsigned bytes = Decoder::bytesOf(type);
  d.expectOperands(policy ? 3 : 2, policy ? 3 : 2);
  Inst &inst = d.inst();
  inst.sub[0] = uint8_t(bytes);
  inst.sub[1] = isLoad && isSignedType(type) ? kSigned : 0;
  const ptx::Operand &where = d.operand(isLoad ? 0 + 1 : 0);
  setRegisters(d, d.operand(isLoad ? 0 : 1), count, bytes, isLoad);
  inst.run = isLoad ? load : store;
  if (space == Space::Param && isLoad) {
    Decoder::Address address = d.address(where);
    int64_t offset = d.paramOffset(address.symbol);
    if (offset >= 0) {
      offset += address.offset;
      if (offset < 0 || uint64_t(offset) + bytes * count > d.paramBytes() ||
          offset % (bytes * count))
        d.error("reads " + std::to_string(bytes * count) + " bytes at offset " +
                std::to_string(offset) + " of " +
                std::to_string(d.paramBytes()) + " bytes of parameters");
      inst.imm = uint64_t(offset);
      inst.run = loadParam;
      return;
    }
  }
  setAddress(d, where, space);
}

Space takeTarget(Decoder &d) {
  Space space = takeSpace(d);
  if (space == Space::Generic)
    d.error("names no state space");
  return space;
}

uint64_t windowOf(Space space) {
  return space == Space::Shared || space == Space::SharedCluster ? kSharedWindow
         : space == Space::Local                                 ? kLocalWindow
                                                                 : 0;
}

void convertAddress(Decoder &d) {
  bool back = d.words().take("to");
  Space space = takeTarget(d);
  Type type = takeType(d);
  d.expectOperands(2, 2);
  Inst &inst = d.inst();
  unsigned bytes = Decoder::bytesOf(type);
  inst.d = d.destination(0, bytes);
  const ptx::Operand &from = d.operand(1);
  if (int64_t param = d.paramOffset(from.text);
      space == Space::Param && param >= 0) {
    inst.imm = uint64_t(param + from.offset);
    inst.run = paramAddress;
    return;
  }
  if (space == Space::Param) {
    // The address of a parameter of the kernel is generic already.
    inst.a = d.value(from, bytes);
    inst.run = addAddress<uint64_t, uint64_t>;
    return;
  }
  inst.a = d.value(from, bytes);
  inst.imm = back ? 0 - windowOf(space) : windowOf(space);
  inst.run = bytes == 8 ? addAddress<uint64_t, uint64_t>
                        : addAddress<uint32_t, uint32_t>;
}

void whichSpace(Decoder &d) {
  d.inst().sub[2] = uint8_t(takeTarget(d));
  d.expectOperands(2, 2);
  d.inst().p = d.predicate(d.operand(0));
  d.inst().a = d.value(d.operand(1), 8);
  d.inst().run = isSpace;
}

void mapAddress(Decoder &d) {
  Space space = takeSpace(d);
  Type type = takeType(d);
  d.expectOperands(3, 3);
  unsigned bytes = Decoder::bytesOf(type);
  d.inst().a = d.value(d.operand(1), bytes);
  d.inst().b = d.value(d.operand(2), 4);
  d.inst().d = d.destination(0, bytes);
  d.inst().imm = space == Space::Generic ? kSharedWindow : 0;
  if (space == Space::Generic && bytes != 8)
    d.error("generic addresses have 64 bits");
  d.inst().run = bytes == 8 ? mapa<uint64_t> : mapa<uint32_t>;
}

void ctaRank(Decoder &d) {
  takeSpace(d);
  Type type = takeType(d);
  d.expectOperands(2, 2);
  unsigned bytes = Decoder::bytesOf(type);
  d.inst().a = d.value(d.operand(1), bytes);
  d.inst().d = d.destination(0, 4);
  d.inst().run = bytes == 8 ? getCtaRank<uint64_t> : getCtaRank<uint32_t>;
}

void takeAll(Decoder &d) {
  while (!d.words().rest().empty())
    d.words().take(d.words().rest());
}

} // namespace

void Decoder::setParamAddress(int64_t offset, unsigned bytes) {
  if (bytes != 8)
    error("the address of a parameter has 64 bits");
  inst().imm = uint64_t(offset);
  inst().d = destination(0, 8);
  inst().run = paramAddress;
}

namespace nibble {
namespace emu {
namespace memory {
void ld(Decoder &d) { access(d, true); }
void ldu(Decoder &d) { access(d, true); }
void st(Decoder &d) {
  if (d.words().has("async"))
    return storeAsync(d);
  access(d, false);
}
void cvta(Decoder &d) { convertAddress(d); }
void isspacep(Decoder &d) { whichSpace(d); }
void mapa(Decoder &d) { mapAddress(d); }
void getctarank(Decoder &d) { ctaRank(d); }
void membar(Decoder &d) {
  bool proxy = d.words().has("proxy"), async = d.words().has("async");
  takeAll(d);
  d.inst().run = !proxy ? fence : async ? fenceProxy : nothing;
}
void prefetch(Decoder &d) {
  takeAll(d);
  d.inst().run = nothing;
}
} // namespace memory
} // namespace emu
} // namespace nibble
