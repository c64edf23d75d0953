// Addresses of memory instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Address.h"

using namespace nibble::emu;

uint64_t nibble::emu::addressAt(Warp &w, Ref base, bool narrow, int64_t offset,
                                unsigned lane) {
  if (!base.valid())
    return uint64_t(offset);
  uint64_t value =
      narrow ? w.lanes<uint32_t>(base)[lane] : w.lanes<uint64_t>(base)[lane];
  uint64_t address = value + uint64_t(offset);
  return narrow ? uint32_t(address) : address;
}

uint64_t nibble::emu::addressOf(Warp &w, const Inst &i, unsigned lane) {
  return addressAt(w, i.a, i.sub[1] & kNarrowAddress, int64_t(i.imm), lane);
}

static SharedPlace barrierAt(Warp &w, Space space, uint64_t address,
                             bool writes, int lane) {
  if (space == Space::Generic) {
    if (!(address & kSharedWindow))
      w.fault("a generic address that is not one of shared memory", lane);
    address &= ~kSharedWindow;
    space = Space::SharedCluster;
  }
  if (address % 8)
    w.fault("an mbarrier at shared address " + std::to_string(address) +
                ", which is no multiple of 8",
            lane, FaultKind::Misaligned);
  Cta &cta = w.cta.ownerOf(w, space, address, 8, writes, lane);
  uint32_t offset = uint32_t(address) & kSharedOffsetMask;
  cta.checkBarrier(w, offset, writes, lane);
  return {&cta, offset, cta.shared.data() + offset};
}

SharedPlace nibble::emu::findSharedForRead(Warp &w, uint64_t address,
                                           int lane) {
  address &= ~kSharedWindow;
  uint64_t rank = address >> kRankShift;
  uint32_t offset = uint32_t(address) & kSharedOffsetMask;
  auto &ctas = w.cta.cluster.ctas;
  if (rank >= ctas.size() || offset >= ctas[rank]->shared.size())
    w.fault("an address outside of the shared memory of the cluster", lane,
            FaultKind::Address);
  return {ctas[rank].get(), offset, ctas[rank]->shared.data() + offset};
}

SharedPlace nibble::emu::findBarrierPlace(Warp &w, uint64_t address, int lane) {
  return barrierAt(w, Space::SharedCluster, address & ~kSharedWindow, false,
                   lane);
}

SharedPlace nibble::emu::findBarrierPlace(Warp &w, const Inst &i, unsigned lane,
                                          bool writes) {
  return barrierAt(w, Space(i.sub[2]), addressOf(w, i, lane), writes,
                   int(lane));
}

MBarrier &nibble::emu::findBarrier(Warp &w, const Inst &i, unsigned lane) {
  SharedPlace place = findBarrierPlace(w, i, lane);
  std::string why;
  MBarrier *barrier = place.cta->mbarriers.find(place.at, place.offset, why);
  if (!barrier)
    w.fault(why, int(lane));
  return *barrier;
}

Space nibble::emu::takeSharedSpace(Decoder &d) {
  switch (d.words().takeOf({"shared", "shared::cta", "shared::cluster"})) {
  case 0:
  case 1:
    return Space::Shared;
  case 2:
    return Space::SharedCluster;
  default:
    return Space::Generic;
  }
}

/// Address of a variable: 4 bytes in shared memory, 8 elsewhere.
static Ref addressOfSymbol(Decoder &d, std::string_view name, bool isShared) {
  ptx::Operand symbol;
  symbol.kind = ptx::Operand::Kind::Symbol;
  symbol.text = name;
  return d.value(symbol, isShared ? 4 : 8);
}

void nibble::emu::setAddress(Decoder &d, const ptx::Operand &operand,
                             Space space) {
  Inst &inst = d.inst();
  Decoder::Address address = d.address(operand);
  inst.sub[2] = uint8_t(space);
  inst.imm = uint64_t(address.offset);
  if (address.symbol.empty()) {
    inst.a = address.base;
    if (address.bytes == 4)
      inst.sub[1] |= kNarrowAddress;
    return;
  }
  if (int64_t local = d.localOffset(address.symbol); local >= 0) {
    inst.sub[2] = uint8_t(Space::Local); // also .param of calls
    inst.imm += uint64_t(local);
    inst.a = d.frame();
    return;
  }
  bool isShared = space == Space::Shared || space == Space::SharedCluster;
  inst.a = addressOfSymbol(d, address.symbol, isShared);
  if (isShared)
    inst.sub[1] |= kNarrowAddress;
}

bool nibble::emu::addWideAddress(Decoder &d, const ptx::Operand &operand,
                                 bool isShared, std::vector<Ref> &refs) {
  Decoder::Address address = d.address(operand);
  Ref base = address.base;
  if (!address.symbol.empty()) {
    address.bytes = isShared ? 4 : 8;
    base = addressOfSymbol(d, address.symbol, isShared);
  }
  refs.push_back(base);
  refs.push_back(d.constant(uint64_t(address.offset), 8));
  return address.bytes == 4;
}
