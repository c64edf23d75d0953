// wgmma: when operations run (PTX ISA 9.7.15.7).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// An operation belongs to a warpgroup: it begins once all four warps have
// issued it, runs as a whole at some time, after the earlier ones of its
// warpgroup, and is over when a warp has waited for its group. Until then its
// matrices in shared memory may not be written, and its registers not be
// touched.
#include "isa/Copy.h"
#include "isa/Wgmma.h"

#include <deque>

using namespace nibble::emu;

static constexpr unsigned kWarps = 4, kChunk = 16;

namespace nibble {
namespace emu {

struct WgmmaJob {
  std::vector<WgmmaOperation> operations; ///< of the warps that have come
  std::vector<uint32_t> chunks;           ///< of shared memory, in hand
  Epoch epoch;
  bool done = false, released = false;
};

struct WarpGroup {
  std::deque<std::shared_ptr<WgmmaJob>> jobs; ///< the first: number `first`
  uint32_t first = 1;

  std::shared_ptr<WgmmaJob> find(uint32_t number) const {
    return number < first || number - first >= jobs.size()
               ? nullptr
               : jobs[number - first];
  }
};

} // namespace emu
} // namespace nibble

static WarpGroup &groupOf(Warp &w) {
  auto &groups = w.cta.warpgroups;
  groups.resize((w.cta.warps.size() + kWarps - 1) / kWarps);
  std::shared_ptr<WarpGroup> &group = groups[w.index / kWarps];
  if (!group)
    group = std::make_shared<WarpGroup>();
  return *group;
}

static std::shared_ptr<WgmmaJob> begin(Warp &w, WarpGroup &group) {
  auto job = std::make_shared<WgmmaJob>();
  job->epoch = w.cta.cluster.races.tickWgmma(w);
  group.jobs.push_back(job);
  AsyncOp op;
  // Behind the queues of tensor cores (tcgen05), which are ranks of CTAs.
  op.queue = (w.cta.rank + 1) * 64 + w.index / kWarps;
  op.ready = [job] { return job->operations.size() == kWarps; };
  const bool hopper = w.cta.cluster.launch.hopperSums;
  op.complete = [job, hopper] {
    executeWgmma(job->operations, hopper);
    job->done = true;
  };
  w.cta.cluster.async.submit(std::move(op));
  return job;
}

/// The warps of a warpgroup come with the same operation.
static void checkSame(Warp &w, const WgmmaOperation &a,
                      const WgmmaOperation &b) {
  if (a.inst != b.inst)
    w.fault(
        "the warps of the warpgroup issue different wgmma.mma_async: warp " +
        std::to_string(b.warp->index) + " that of PTX line " +
        std::to_string(b.inst->line));
  if (a.descriptorB != b.descriptorB || a.descriptorA != b.descriptorA ||
      a.accumulate != b.accumulate)
    w.fault("the warps of the warpgroup come with different descriptors or "
            "scale-d");
}

void nibble::emu::submitWgmma(const WgmmaOperation &operation) {
  Warp &w = *operation.warp;
  const WgmmaForm &form = operation.form;
  uint32_t number = ++w.wgmmaIssued;
  w.registers.beginWgmma(w, *operation.inst, operation.accumulatorCount(),
                         uint32_t(form.n) << 8 | uint32_t(form.d), number,
                         operation.accumulate);
  WarpGroup &group = groupOf(w);
  std::shared_ptr<WgmmaJob> job = group.find(number);
  bool isFirst = !job;
  if (isFirst)
    job = begin(w, group);
  else
    checkSame(w, operation, job->operations[0]);
  forSharedReads(operation, isFirst, [&](uint32_t offset) {
    beginRead(w, w.cta, offset, kChunk, -1, job->epoch);
    job->chunks.push_back(offset);
  });
  job->operations.push_back(operation);
  countMultiplies(w, form.a, uint64_t(64 / kWarps) * form.n * form.k);
  ++w.cta.cluster.progress;
}

/// Gives back what the operations up to `last` have in hand.
static void giveBack(Warp &w, WarpGroup &group, uint32_t last) {
  for (uint32_t number = group.first; number <= last; ++number) {
    WgmmaJob &job = *group.jobs[number - group.first];
    w.cta.cluster.races.acquire(w, job.epoch);
    if (job.released)
      continue;
    for (uint32_t offset : job.chunks)
      endRead(w.cta, offset, kChunk);
    job.released = true;
  }
  // Every warp may still wait for the last one that it has not waited for.
  uint32_t oldest = last;
  size_t first = w.index / kWarps * kWarps;
  for (size_t i = first; i < first + kWarps; ++i)
    oldest = std::min(oldest, w.cta.warps[i]->wgmmaDone);
  for (; group.first <= oldest; ++group.first)
    group.jobs.pop_front();
}

static bool wait(Warp &w, uint32_t pending) {
  if (w.wgmmaGroups.size() <= pending)
    return true;
  size_t count = w.wgmmaGroups.size() - pending;
  uint32_t last = w.wgmmaGroups[count - 1];
  WarpGroup &group = groupOf(w);
  std::shared_ptr<WgmmaJob> job = group.find(last);
  if (job && !job->done) {
    w.wait([job] { return job->done; },
           [] {
             return std::string("a group of wgmma.mma_async, which all four "
                                "warps of the warpgroup must issue");
           });
    return false;
  }
  w.wgmmaGroups.erase(w.wgmmaGroups.begin(),
                      w.wgmmaGroups.begin() + long(count));
  w.registers.endWgmma(last);
  w.wgmmaDone = std::max(w.wgmmaDone, last);
  giveBack(w, group, last);
  return true;
}

bool nibble::emu::orderWgmma(Warp &w, WgmmaOrder order, uint32_t pending) {
  switch (order) {
  case WgmmaOrder::Fence:
    w.registers.fence();
    return true;
  case WgmmaOrder::Commit:
    w.wgmmaCommitted = w.wgmmaIssued;
    w.wgmmaGroups.push_back(w.wgmmaIssued);
    return true;
  case WgmmaOrder::Wait:
    return wait(w, pending);
  }
  return true;
}
