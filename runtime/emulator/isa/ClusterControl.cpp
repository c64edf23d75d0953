// clusterlaunchcontrol: a cluster takes the place of one that has not started.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PTX ISA 9.7.13.17 and 18. The response is opaque; here it is the first CTA of
// the cancelled cluster and a mark. A request may fail although clusters are
// left, as it may on a device that has other work; those start later.
#include "isa/Copy.h"

#include "isa/Control.h"
#include "isa/Select.h"

#include <cstring>

using namespace nibble::emu;

namespace {

struct Response {
  uint32_t ctaid[3];
  uint32_t mark;
};
constexpr uint32_t kCancelled = 0x434C4331, kFailed = 0x434C4330;

/// Takes a cluster that has not started, if there is one.
Response cancelOne(Cluster &cluster) {
  Dim3 id;
  const Dim3 &size = cluster.launch.cluster;
  bool refused = cluster.launch.eager && cluster.random() % 16 == 0;
  if (refused || !cluster.queue.take(id))
    return {{0, 0, 0}, kFailed};
  return {{id.x * size.x, id.y * size.y, id.z * size.z}, kCancelled};
}

/// refs[extra ..]: addresses of the response and of the mbarrier, a base and an
/// offset each. sub[0]: 1 multicast; sub[1] bits 0, 1: the base has 4 bytes.
void tryCancel(Warp &w, const Inst &i, Lanes lanes) {
  const Ref *r = &w.code.refs[i.extra];
  WideAddress to{r[0], r[1], bool(i.sub[1] & 1)};
  WideAddress barrier{r[2], r[3], bool(i.sub[1] & 2)};
  Cluster *cluster = &w.cta.cluster;
  forLanes(lanes, [&](unsigned l) {
    if (w.cta.sawNoCluster)
      w.fault("asks for another cluster after it saw that there is none",
              int(l));
    SharedPlace place = findSharedForRead(w, to.of(w, l), int(l));
    SharedPlace where = findBarrierPlace(w, barrier.of(w, l), int(l));
    if (place.offset % sizeof(Response) || place.cta != &w.cta)
      w.fault("the response needs 16 aligned bytes of the CTA's own shared "
              "memory",
              int(l));
    std::vector<Cta *> targets{place.cta};
    if (i.sub[0] & 1)
      targets =
          maskedCtas(w, uint16_t((1u << cluster->ctas.size()) - 1), int(l));
    auto barriers = barriersOf(w, targets, where, i.sub[0] & 1, int(l));
    std::vector<Epoch> epochs = tickAll(w, barriers);
    for (size_t t = 0; t < targets.size(); ++t)
      beginWrite(w, *targets[t], place.offset, sizeof(Response), int(l),
                 epochs[t]);
    AsyncOp op;
    op.complete = [=, at = w.place(int(l)), offset = place.offset] {
      Response response = cancelOne(*cluster);
      for (size_t t = 0; t < targets.size(); ++t) {
        std::memcpy(targets[t]->shared.data() + offset, &response,
                    sizeof(response));
        endWrite(*targets[t], offset, sizeof(response));
        completeBytes(barriers[t], sizeof(response), epochs[t], at);
      }
    };
    cluster->async.submit(std::move(op));
  });
}

/// The response in a register of a lane.
Response responseOf(Warp &w, const Inst &i, unsigned lane) {
  Response response;
  std::memcpy(&response, w.lanes<unsigned __int128>(i.a) + lane,
              sizeof(response));
  if (response.mark != kCancelled && response.mark != kFailed)
    w.fault("its operand is not the response of a "
            "clusterlaunchcontrol.try_cancel",
            int(lane));
  return response;
}

void isCancelled(Warp &w, const Inst &i, Lanes lanes) {
  Lanes yes = 0;
  forLanes(lanes, [&](unsigned l) {
    bool cancelled = responseOf(w, i, l).mark == kCancelled;
    w.cta.sawNoCluster |= !cancelled;
    yes |= Lanes(cancelled) << l;
  });
  setPred(w, i.p, lanes, yes);
}

/// refs[extra ..]: where x, y, z go; invalid ones are not wanted.
void getFirstCta(Warp &w, const Inst &i, Lanes lanes) {
  const Ref *to = &w.code.refs[i.extra];
  forLanes(lanes, [&](unsigned l) {
    Response response = responseOf(w, i, l);
    if (response.mark != kCancelled)
      w.fault("reads the CTA of a request that has failed", int(l));
    for (unsigned dim = 0; dim < 3; ++dim)
      if (to[dim].valid())
        w.lanes<uint32_t>(to[dim])[l] = response.ctaid[dim];
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

void decodeTryCancel(Decoder &d) {
  bool own = d.words().take("shared::cta");
  Inst &inst = d.inst();
  if (!d.words().take("async") ||
      !d.words().take("mbarrier::complete_tx::bytes") ||
      !d.words().take("b128"))
    d.error("needs .async, .mbarrier::complete_tx::bytes and .b128");
  inst.sub[0] = d.words().take("multicast::cluster::all") ? 1 : 0;
  d.expectOperands(2, 2);
  std::vector<Ref> refs;
  inst.sub[1] |= addWideAddress(d, d.operand(0), own, refs) ? 1 : 0;
  inst.sub[1] |= addWideAddress(d, d.operand(1), own, refs) ? 2 : 0;
  inst.extra = d.addRefs(refs);
  inst.sub[2] = uint8_t(own ? Space::Shared : Space::Generic);
  inst.run = tryCancel;
}

/// {x, y, z, _}
std::vector<Ref> coordinates(Decoder &d) {
  using Kind = ptx::Operand::Kind;
  const ptx::Operand &vector = d.operand(0);
  if (vector.kind != Kind::Vector || vector.parts.size() != 4)
    d.error("needs a vector of 4 registers");
  std::vector<Ref> refs;
  for (unsigned dim = 0; dim < 3; ++dim)
    refs.push_back(vector.parts[dim].kind == Kind::Sink
                       ? Ref()
                       : d.value(vector.parts[dim], 4));
  return refs;
}

void decodeFirstCta(Decoder &d) {
  int dim = d.words().takeOf(
      {"get_first_ctaid::x", "get_first_ctaid::y", "get_first_ctaid::z"});
  std::vector<Ref> refs(3);
  if (dim >= 0) {
    refs[dim] = d.destination(0, 4);
  } else {
    if (!d.words().take("get_first_ctaid") || !d.words().take("v4"))
      d.error("needs .is_canceled, .get_first_ctaid.v4 or "
              ".get_first_ctaid::x, ::y, ::z");
    refs = coordinates(d);
  }
  if (!d.words().take("b32") || !d.words().take("b128"))
    d.error("needs .b32.b128");
  d.inst().extra = d.addRefs(refs);
  d.inst().run = getFirstCta;
}

} // namespace

void control::clusterLaunchControl(Decoder &d) {
  if (d.words().take("try_cancel"))
    return decodeTryCancel(d);
  if (!d.words().take("query_cancel"))
    d.error("needs .try_cancel or .query_cancel");
  d.expectOperands(2, 2);
  d.inst().a = d.value(d.operand(1), 16);
  if (!d.words().take("is_canceled"))
    return decodeFirstCta(d);
  if (!d.words().take("pred") || !d.words().take("b128"))
    d.error("needs .pred.b128");
  d.inst().p = d.predicate(d.operand(0));
  d.inst().run = isCancelled;
}
