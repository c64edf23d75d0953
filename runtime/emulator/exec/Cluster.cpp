// Clusters and grids: which warp runs next, deadlocks, faults.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Cta.h"

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>
#include <thread>

using namespace nibble::emu;

/// Instructions that a warp runs before another one has its turn.
static constexpr uint64_t kSlice = 256;
/// Slices of a cluster before another one that waits has its turn.
static constexpr uint64_t kTurn = 4096;
/// Times that soft waits are resumed in vain before this is a deadlock.
static constexpr uint32_t kSoftRounds = 1000;

bool ClusterQueue::take(Dim3 &id) {
  uint64_t i = next++;
  if (i >= clusters.count())
    return false;
  id = {uint32_t(i % clusters.x), uint32_t(i / clusters.x % clusters.y),
        uint32_t(i / clusters.x / clusters.y)};
  return true;
}

Cluster::Cluster(const Launch &launch, Dim3 id, ClusterQueue &queue)
    : launch(launch), id(id), queue(queue),
      random(launch.seed * 0x9E3779B97F4A7C15ull + id.x +
             (uint64_t(id.y) << 20) + (uint64_t(id.z) << 40)) {
  Dim3 size = launch.cluster;
  for (unsigned rank = 0; rank < size.count(); ++rank) {
    Dim3 inside{rank % size.x, rank / size.x % size.y, rank / size.x / size.y};
    Dim3 cta{id.x * size.x + inside.x, id.y * size.y + inside.y,
             id.z * size.z + inside.z};
    ctas.push_back(std::make_unique<Cta>(*this, rank, cta));
  }
  if (launch.checks.races && !ctas[0]->shared.empty() &&
      (ctas.size() > 1 || ctas[0]->warps.size() > 1))
    races.enable(*this);
}

Cluster::~Cluster() = default;

std::string Barrier::describe() const {
  return std::to_string(arrived) + " of " + std::to_string(expected) +
         " threads have arrived";
}

/// Warps that wait softly give up for now; false if they did so too often.
bool Cluster::resumeSoftly() {
  bool any = false;
  for (auto &cta : ctas)
    for (auto &warp : cta->warps)
      if (warp->state == Run::WaitsSoftly) {
        warp->resumedSoftly = true;
        warp->until = [] { return true; };
        any = true;
      }
  if (progress != progressSeen)
    softRounds = 0;
  progressSeen = progress;
  return any && ++softRounds < kSoftRounds;
}

bool Cluster::run(uint64_t budget) {
  std::vector<Warp *> all;
  for (auto &cta : ctas)
    for (auto &warp : cta->warps)
      if (warp->state != Run::Done)
        all.push_back(warp.get());
  for (uint64_t slice = 0; slice < budget && !all.empty();) {
    bool any = false;
    size_t start = random() % all.size();
    for (size_t n = all.size(), i = 0; i < n; ++i) {
      Warp &warp = *all[(start + i) % n];
      if (!warp.canRun())
        continue;
      any = true;
      ++slice;
      async.running = &warp;
      executed += warp.run(kSlice);
    }
    if (launch.maxInstructions && executed > launch.maxInstructions)
      throw Fault{
          "more than " + std::to_string(launch.maxInstructions) +
          " instructions in a cluster: it does not end:" + describeWaits()};
    all.erase(std::remove_if(all.begin(), all.end(),
                             [](Warp *w) { return w->state == Run::Done; }),
              all.end());
    // Asynchronous work is done as late as can be, or at some time before.
    if (!any || (launch.eager && random() % 8 == 0))
      if (async.step(random)) {
        ++progress;
        any = true;
      }
    if (!any && !all.empty() && !resumeSoftly())
      throw Fault{"deadlock: all warps wait:" + describeWaits(),
                  FaultKind::Deadlock};
  }
  if (all.empty())
    finish();
  return all.empty();
}

/// All threads have ended: nothing may be left that needs their memory.
void Cluster::finish() {
  std::string where = "kernel " + launch.code->name + ", cluster (" +
                      std::to_string(id.x) + ", " + std::to_string(id.y) +
                      ", " + std::to_string(id.z) + "): ";
  if (size_t users = async.countUsers(); users && launch.checks.pending)
    throw Fault{where + "ends while " + std::to_string(users) +
                " asynchronous operations still use its shared or tensor "
                "memory: they have not been waited for (PTX lines " +
                async.linesOfUsers() + ")"};
  while (async.step(random)) {
  }
  count();
  for (auto &cta : ctas)
    if (std::string left = cta->tensor.leftovers(); !left.empty())
      throw Fault{where + left, FaultKind::TensorLeak};
}

/// What is known at the end only.
void Cluster::count() {
  for (uint64_t each : counters.byClass)
    counters.instructions += each;
  counters.ctas = ctas.size();
  for (auto &cta : ctas) {
    counters.sharedBytes = cta->shared.size();
    counters.sharedPeak =
        std::max<uint64_t>(counters.sharedPeak, cta->state.endOfWritten());
    counters.tensorPeak =
        std::max<uint64_t>(counters.tensorPeak, cta->tensor.peak());
  }
}

std::string Cluster::describeWaits() const {
  std::string text;
  for (auto &cta : ctas)
    for (auto &warp : cta->warps)
      if (warp->state != Run::Done)
        text += "\n  CTA (" + std::to_string(cta->id.x) + ", " +
                std::to_string(cta->id.y) + ", " + std::to_string(cta->id.z) +
                "), warp " + std::to_string(warp->index) + ", PTX line " +
                std::to_string(warp->code.insts[warp->current.pc].line) + ": " +
                (warp->state == Run::Ready ? "can run" : warp->what());
  return text;
}

namespace {

/// Clusters of a grid, given out in order; each host thread runs a few by
/// turns.
class Grid {
public:
  Grid(const Launch &launch, Counters &counters)
      : launch(launch), counters(counters),
        clusters{launch.grid.x / launch.cluster.x,
                 launch.grid.y / launch.cluster.y,
                 launch.grid.z / launch.cluster.z},
        queue(clusters) {}

  std::string run(unsigned threads) {
    uint64_t count = clusters.count();
    threads = unsigned(std::min<uint64_t>(std::max(threads, 1u), count));
    std::vector<std::thread> helpers;
    for (unsigned i = 1; i < threads; ++i)
      helpers.emplace_back([this] { work(); });
    work();
    for (std::thread &helper : helpers)
      helper.join();
    return first.message;
  }
  FaultKind kind() const {
    return first.message.empty() ? FaultKind::None : first.kind;
  }

private:
  std::unique_ptr<Cluster> take() {
    Dim3 id;
    if (failed || !queue.take(id))
      return nullptr;
    return std::make_unique<Cluster>(launch, id, queue);
  }

  /// A cluster that does not end in its turn may wait for another one: a new
  /// one is begun when one has come to nothing in its turn, or after many turns
  /// of those that are there. Each needs memory for what is known of its own.
  void work() {
    std::deque<std::unique_ptr<Cluster>> mine;
    size_t turns = 0; // since the last one was begun
    bool stuck = false;
    try {
      while (!failed) {
        if (mine.empty() || (mine.size() < kResident &&
                             (stuck || turns > kPatience * mine.size())))
          if (auto cluster = take()) {
            mine.push_back(std::move(cluster));
            turns = stuck = 0;
          }
        if (mine.empty())
          return;
        std::unique_ptr<Cluster> current = std::move(mine.front());
        mine.pop_front();
        uint64_t before = current->progress;
        if (current->run(kTurn)) {
          finish(*current);
          continue;
        }
        ++turns;
        stuck |= current->progress == before;
        mine.push_back(std::move(current));
      }
    } catch (const Fault &fault) {
      std::lock_guard lock(mutex);
      if (first.message.empty())
        first = fault;
      failed = true;
    }
  }

  void finish(Cluster &cluster) {
    std::lock_guard lock(mutex);
    counters.add(cluster.counters);
    if (launch.traffic)
      launch.traffic->add(numberOf(cluster.id), std::move(cluster.trace));
  }

  uint64_t numberOf(Dim3 id) const {
    return id.x + uint64_t(clusters.x) * (id.y + uint64_t(clusters.y) * id.z);
  }

  static constexpr size_t kResident = 64, kPatience = 16;
  const Launch &launch;
  Counters &counters;
  const Dim3 clusters;
  ClusterQueue queue;
  std::atomic<bool> failed{false};
  std::mutex mutex;
  Fault first;
};

} // namespace

std::string nibble::emu::runGrid(const Launch &launch, unsigned threads,
                                 Counters &counters, FaultKind *kind) {
  Grid grid(launch, counters);
  std::string message = grid.run(threads);
  if (kind)
    *kind = grid.kind();
  return message;
}
