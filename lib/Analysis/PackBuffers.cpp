// Places buffers in several orders, then improves the best one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/PackBuffers.h"
#include "nibble/Support/StableSort.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/SmallVector.h"

#include <limits>
#include <numeric>

using namespace nibble;
using llvm::ArrayRef;
using llvm::SmallVector;

namespace {

using Order = std::vector<unsigned>;

/// Offsets of all buffers, by number.
struct Placement {
  std::vector<int64_t> offsets;
  int64_t arena = std::numeric_limits<int64_t>::max();
};

enum class Fit {
  Lowest,  ///< at the lowest address
  Tightest ///< in the smallest gap that is large enough
};

class Packer {
public:
  Packer(ArrayRef<Lifetime> buffers, const PackOptions &options)
      : buffers(buffers), bound(getLivenessBound(buffers, &fullest)),
        budget(options.searchBudget) {
    findNeighbors();
  }

  Placement run() {
    for (const Order &order : makeOrders())
      for (Fit fit : {Fit::Lowest, Fit::Tightest})
        if (best.arena > bound)
          tryOrder(order, fit);
    search();
    return best;
  }

private:
  /// Buffers that live at a common step.
  void findNeighbors() {
    neighbors.resize(buffers.size());
    Order byStart = makeOrder([&](unsigned i) { return -buffers[i].first; });
    std::vector<unsigned> alive;
    for (unsigned i : byStart) {
      llvm::erase_if(alive, [&](unsigned other) {
        return buffers[other].last < buffers[i].first;
      });
      for (unsigned other : alive) {
        neighbors[i].push_back(other);
        neighbors[other].push_back(i);
      }
      alive.push_back(i);
    }
  }

  /// Buffers by descending key; equal ones by number.
  template <typename Key> Order makeOrder(Key key) const {
    Order order(buffers.size());
    std::iota(order.begin(), order.end(), 0);
    stableSort(order, [&](unsigned a, unsigned b) { return key(a) > key(b); });
    return order;
  }

  SmallVector<Order> makeOrders() const {
    auto size = [&](unsigned i) { return buffers[i].size; };
    auto steps = [&](unsigned i) {
      return buffers[i].last - buffers[i].first + 1;
    };
    auto isAtPeak = [&](unsigned i) {
      return buffers[i].first <= fullest && fullest <= buffers[i].last;
    };
    auto distance = [&](unsigned i) {
      return std::max<int64_t>(
          {0, buffers[i].first - fullest, fullest - buffers[i].last});
    };
    return {
        makeOrder(size),
        makeOrder([&](unsigned i) { return double(size(i)) * steps(i); }),
        makeOrder([&](unsigned i) {
          return std::make_tuple(isAtPeak(i), steps(i), size(i));
        }),
        makeOrder(
            [&](unsigned i) { return std::make_tuple(-distance(i), size(i)); }),
        makeOrder(
            [&](unsigned i) { return std::make_tuple(steps(i), size(i)); }),
        makeOrder([&](unsigned i) {
          return std::make_tuple(-buffers[i].first, size(i));
        }),
        makeOrder([&](unsigned i) {
          return std::make_tuple(buffers[i].last, size(i));
        }),
    };
  }

  /// An address for buffer `i` between its neighbors placed so far.
  int64_t findOffset(unsigned i, Fit fit, const Placement &placed) {
    taken.clear();
    for (unsigned other : neighbors[i])
      if (placed.offsets[other] >= 0)
        taken.push_back({placed.offsets[other],
                         placed.offsets[other] + buffers[other].size});
    budget -= neighbors[i].size() + 1;
    llvm::sort(taken);
    int64_t size = buffers[i].size, end = 0, offset = -1;
    int64_t tightest = std::numeric_limits<int64_t>::max();
    for (auto [begin, next] : taken) {
      int64_t gap = begin - end;
      if (gap >= size && gap < tightest) {
        offset = end;
        tightest = gap;
        if (fit == Fit::Lowest)
          break;
      }
      end = std::max(end, next);
    }
    return offset >= 0 ? offset : end;
  }

  bool tryOrder(const Order &order, Fit fit) {
    Placement placed;
    placed.offsets.assign(buffers.size(), -1);
    placed.arena = 0;
    for (unsigned i : order) {
      placed.offsets[i] = findOffset(i, fit, placed);
      placed.arena =
          std::max(placed.arena, placed.offsets[i] + buffers[i].size);
      if (placed.arena > best.arena)
        return false;
    }
    bool better = placed.arena < best.arena;
    bestOrder = order;
    bestFit = fit;
    best = std::move(placed);
    return better;
  }

  /// xorshift64: the same numbers on every machine.
  unsigned random(unsigned below) {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
  }

  /// Moves one of the buffers that reach the top of the arena to an earlier
  /// place in the order. Equally good placements are kept, too, as a way across
  /// plateaus.
  void search() {
    while (best.arena > bound && budget > 0) {
      SmallVector<unsigned> top;
      for (unsigned at = 0; at < bestOrder.size(); ++at) {
        unsigned i = bestOrder[at];
        if (best.offsets[i] + buffers[i].size == best.arena && at > 0)
          top.push_back(at);
      }
      budget -= 1;
      if (top.empty())
        return;
      unsigned from = top[random(top.size())];
      unsigned to = random(4) ? random(from) : 0;
      Order order = bestOrder;
      std::rotate(order.begin() + to, order.begin() + from,
                  order.begin() + from + 1);
      tryOrder(order, random(8) ? bestFit : Fit::Lowest);
    }
  }

  ArrayRef<Lifetime> buffers;
  int64_t fullest = 0; ///< the step of the bound
  int64_t bound;
  int64_t budget;
  std::vector<std::vector<unsigned>> neighbors;
  std::vector<std::pair<int64_t, int64_t>> taken;
  Placement best;
  Order bestOrder;
  Fit bestFit = Fit::Lowest;
  uint64_t seed = 0x9E3779B97F4A7C15;
};

} // namespace

int64_t nibble::getLivenessBound(ArrayRef<Lifetime> buffers, int64_t *step) {
  // Bytes that come at a step, and those that go after it.
  std::vector<std::pair<int64_t, int64_t>> changes;
  for (const Lifetime &buffer : buffers) {
    changes.push_back({buffer.first, buffer.size});
    changes.push_back({buffer.last + 1, -buffer.size});
  }
  llvm::sort(changes);
  int64_t live = 0, most = 0;
  if (step)
    *step = 0;
  for (size_t i = 0; i < changes.size(); ++i) {
    live += changes[i].second;
    bool complete =
        i + 1 == changes.size() || changes[i + 1].first != changes[i].first;
    if (!complete || live <= most)
      continue;
    most = live;
    if (step)
      *step = changes[i].first;
  }
  return most;
}

int64_t nibble::packBuffers(llvm::MutableArrayRef<Lifetime> buffers,
                            const PackOptions &options) {
  if (buffers.empty())
    return 0;
  Placement placement = Packer(buffers, options).run();
  for (auto [buffer, offset] : llvm::zip(buffers, placement.offsets))
    buffer.offset = offset;
  return placement.arena;
}
