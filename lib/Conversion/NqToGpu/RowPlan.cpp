// Rows whose elements stay in registers from stage to stage.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RowPlan.h"

#include "llvm/Support/MathExtras.h"

#include <numeric>

using namespace mlir;

namespace nibble {
namespace gpu {

using namespace cpu;

/// Elements of a row that a thread may have, for the registers they take: if
/// that makes a row the work of one warp, and else.
static constexpr int64_t kElementsOfWarp = 32, kElements = 16;
/// And if need be: by blocks of 1024 threads, with 64 registers each, of which
/// codes with scales of their own take more.
static constexpr int64_t kMostElements = 32, kMostOfBlocks = 24,
                         kMostThreads = 1024;
/// Elements of the longest block that a thread does alone.
static constexpr int64_t kWidestBlock = 16;
/// Threads of a block that does several rows.
static constexpr int64_t kBlock = 128;
/// Threads of a block whose warps share rows, and of the part of a warp that
/// has one row; parts of a row.
static constexpr int64_t kMostShared = 512, kLeastGroup = 8, kMostGroups = 16;

SmallVector<unsigned> RowNest::loops() const {
  SmallVector<unsigned> result(outer);
  result.append(folded);
  return result;
}

//===----------------------------------------------------------------------===//
// Keys
//===----------------------------------------------------------------------===//

/// [buffer, constant, factors of the dimensions of the row, then pairs of
/// extent and factor from the inside out], neighbours that walk on evenly as
/// one.
ElementKey RowPlan::keyOf(const RowNest &nest, const Buffer &buffer,
                          const Lin &offset) const {
  if (nest.isSmall || !offset.terms.empty())
    return {};
  ElementKey key{int64_t(reinterpret_cast<intptr_t>(&buffer)), offset.constant};
  for (unsigned d = 0; d < rowDims; ++d)
    key.push_back(offset.factorOf(d));
  int64_t extent = nest.weight, factor = 0;
  for (unsigned d : llvm::reverse(nest.loops())) {
    int64_t next = offset.factorOf(d);
    if (extent == 1) {
      factor = next;
    } else if (next != factor * extent) {
      key.append({extent, factor});
      extent = 1;
      factor = next;
    }
    extent *= nest.extent(d);
  }
  key.append({extent, factor});
  // Where the row is long differs between nests of one element and others.
  if (factor == 0)
    key[key.size() - 2] = -1;
  key.push_back(factor == 0 && key.size() == rowDims + 4);
  return key;
}

bool RowPlan::isRowWide(const ElementKey &key) {
  return !key.empty() && key.back() == 1;
}

//===----------------------------------------------------------------------===//
// Plans
//===----------------------------------------------------------------------===//

namespace {

class RowPlanner {
public:
  RowPlanner(const KernelStages &stages, ArrayRef<int> numbers,
             ArrayRef<Nests> nests, RowMachine machine, RowPlan &plan)
      : stages(stages), numbers(numbers), nests(nests), machine(machine),
        plan(plan) {}

  bool run() {
    for (auto &stage : nests)
      for (auto &nest : stage)
        if (!addNest(*nest))
          return false;
    plan.size = 1;
    for (auto [i, count] : llvm::enumerate(counts))
      plan.size = std::max(plan.size, count);
    return weigh() && chooseWidth() && chooseTeam() && staysInThreads();
  }

private:
  bool addNest(Nest &nest) {
    if (nest.reduction && (nest.terms.empty() || !canFold(*nest.reduction)))
      return false;
    for (const Dim &dim : nest.dag.getDims())
      if (dim.total)
        return false;
    planNest(nest, PlanOptions());
    RowNest row;
    row.nest = &nest;
    row.outer = kept(nest, nest.dims);
    row.folded = kept(nest, nest.folded);
    int64_t count = 1;
    for (unsigned d : row.loops())
      count *= row.extent(d);
    counts.push_back(count);
    bodies.push_back(scanNest(nest));
    plan.nests.push_back(std::move(row));
    return count > 0;
  }

  static SmallVector<unsigned> kept(const Nest &nest, ArrayRef<unsigned> dims) {
    SmallVector<unsigned> result;
    for (unsigned d : dims)
      if (nest.plan.mergedInto[d] == d && nest.dag.getDims()[d].extent != 1)
        result.push_back(d);
    return result;
  }

  static bool canFold(const Reduction &reduction) {
    return llvm::all_of(reduction.types, [](Type type) {
      return type.isIntOrFloat() && type.getIntOrFloatBitWidth() >= 8;
    });
  }

  bool weigh() {
    for (auto [row, count] : llvm::zip(plan.nests, counts)) {
      if (plan.size % count != 0)
        return false;
      row.weight = plan.size / count;
      int64_t results = 1;
      for (unsigned d : row.outer)
        results *= row.extent(d);
      row.granule = plan.size / results;
      if (!row.nest->reduction || row.isFull())
        continue;
      row.isSmall = true;
      row.smallSize = count;
      if (results != 1 || count > 1024)
        return false;
    }
    return true;
  }

  //===--------------------------------------------------------------------===//
  // Width
  //===--------------------------------------------------------------------===//

  static int64_t bitsOf(const NestAccess &access) {
    return access.packed
               ? 4
               : storageType(access.buffer->element).getIntOrFloatBitWidth();
  }

  bool isWritten(const Buffer *buffer) const {
    for (int number : numbers)
      for (Tensor *tensor : stages.stages[number].tensors)
        if (&tensor->buffer == buffer)
          return true;
    return false;
  }

  /// Written to no memory but registers.
  bool isInner(const Buffer *buffer) const {
    for (int number : numbers)
      for (Tensor *tensor : stages.stages[number].tensors)
        if (&tensor->buffer == buffer)
          return !stages.isResult(tensor);
    return false;
  }

  static int lanesDim(const RowNest &row) {
    auto loops = row.loops();
    return loops.empty() ? -1 : int(loops.back());
  }

  template <typename Fn> bool allRuns(Fn fn) const {
    for (auto [row, body] : llvm::zip(plan.nests, bodies)) {
      int d = lanesDim(row);
      if (!row.isFull() || d < 0)
        continue;
      for (const NestAccess &access : body.accesses)
        if (access.lin.factorOf(d) == 1 && !isInner(access.buffer) &&
            !fn(row, access))
          return false;
    }
    return true;
  }

  /// What is read or written for every row decides: `bits` of it.
  int64_t fullWidth(int64_t bits = 128) const {
    int64_t most = 4;
    allRuns([&](const RowNest &, const NestAccess &access) {
      bool ofRow = plan.rows == 1 || access.isStore;
      for (unsigned d = 0; d < plan.rowDims; ++d)
        ofRow |= access.lin.factorOf(d) != 0;
      if (ofRow)
        most = std::max(most, bitsOf(access));
      return true;
    });
    return std::min<int64_t>(bits / most, 16);
  }

  /// Folds parts of a row.
  bool isOfBlocks(const RowNest &row) const {
    return row.nest->reduction && !row.isSmall && row.granule < plan.size;
  }

  /// A thread that has all elements of a block folds it without others, and
  /// finds its scale once: twice the accesses of 16 bytes, and no more.
  int64_t widthOfBlocks() const {
    int64_t width = 2 * fullWidth();
    bool found = llvm::any_of(plan.nests, [&](const RowNest &row) {
      return isOfBlocks(row) && row.granule == width;
    });
    bool isOneRun = plan.size <= width * kMostThreads;
    return found && isOneRun && width <= kWidestBlock && fits(width) ? width
                                                                     : 0;
  }

  bool fits(int64_t width) const {
    for (const RowNest &row : plan.nests) {
      if (row.isSmall)
        continue;
      int d = lanesDim(row);
      bool isMap = row.isFull() && !row.nest->reduction;
      if (!isMap &&
          (row.granule % width || row.weight % (row.isFull() ? 1 : width)))
        return false;
      if (row.isFull() && (d < 0 || row.extent(d) % width))
        return false;
    }
    return allRuns([&](const RowNest &row, const NestAccess &access) {
      return alignmentOf(row.nest->dag, row.nest->plan.mergedInto,
                         *access.buffer, access.lin, lanesDim(row), width) >=
             std::min<int64_t>(16, width * bitsOf(access) / 8);
    });
  }

  /// Wider than 16 bytes only if that leaves threads enough, and whole warps of
  /// them with one run each.
  int64_t widestAccess() const {
    int64_t wide = fullWidth(machine.accessBits);
    bool isWhole =
        plan.size % (wide * 32) == 0 && plan.size <= wide * kMostThreads;
    bool isEnough = plan.rows * (plan.size / wide) >= machine.threads;
    return isWhole && isEnough ? wide : fullWidth();
  }

  bool chooseWidth() {
    int64_t ofBlocks = widthOfBlocks();
    plan.hasOwnBlocks = ofBlocks > 0;
    plan.width = std::max(widestAccess(), ofBlocks);
    while (plan.width > 1 && !fits(plan.width))
      plan.width /= 2;
    for (auto [row, body] : llvm::zip(plan.nests, bodies))
      for (const NestAccess &access : body.accesses)
        if (access.isStore && access.packed &&
            (!row.isFull() || plan.width < 2 || !canPack(row, access)))
          return false;
    return true;
  }

  /// Pairs of 4-bit elements that are stored begin at even ones.
  static bool canPack(const RowNest &row, const NestAccess &access) {
    unsigned last = lanesDim(row);
    for (auto [dim, factor] : access.lin.dims)
      if (dim != last && row.nest->plan.mergedInto[dim] == dim && factor % 2)
        return false;
    return access.lin.terms.empty() && access.lin.factorOf(last) == 1 &&
           access.lin.constant % 2 == 0;
  }

  //===--------------------------------------------------------------------===//
  // Teams
  //===--------------------------------------------------------------------===//

  bool chooseTeam() {
    int64_t all = plan.allRuns();
    if (all <= 16) {
      plan.team = llvm::PowerOf2Ceil(all);
      plan.runs = 1;
    } else if (!chooseRuns(all)) {
      return false;
    }
    plan.rowsPerBlock = std::max<int64_t>(kBlock / plan.team, 1);
    shareWarps(all);
    // A granule is of one warp.
    for (const RowNest &row : plan.nests) {
      int64_t lanes = row.granule / plan.width;
      if (isOfBlocks(row) && lanes > 1 &&
          (!llvm::isPowerOf2_64(lanes) ||
           lanes > std::min<int64_t>(plan.team, 32)))
        return false;
    }
    return true;
  }

  /// If a row leaves much of its last warp idle, warps have the end of one row
  /// and the beginning of the next. Granules that threads have alone only.
  void shareWarps(int64_t all) {
    if (!plan.hasOwnBlocks || plan.runs != 1 || plan.team <= 32 ||
        (plan.team - all) * 5 < plan.team ||
        llvm::any_of(plan.nests, [](auto &row) { return row.isSmall; }))
      return;
    int64_t group = std::gcd(all, int64_t(32)), rows = 32 / group;
    if (group < kLeastGroup || all / group > kMostGroups ||
        all * rows > kMostShared)
      return;
    plan.team = all;
    plan.group = group;
    plan.rowsPerBlock = rows;
  }

  /// Long runs per thread, if there are threads enough. Blocks of more than 512
  /// threads wait long for each other: elements go up to kMostElements before.
  bool chooseRuns(int64_t all) {
    int64_t most = std::max<int64_t>(kElementsOfWarp / plan.width, 1);
    most = std::min<int64_t>(most, 16);
    int64_t usual = std::max<int64_t>(kElements / plan.width, 1);
    int64_t elements = teamFor(all, usual) > 512 ? mostElements() : kElements;
    for (plan.runs = most; plan.runs > 1; --plan.runs) {
      plan.team = teamFor(all, plan.runs);
      if (plan.team > 32 && plan.runs * plan.width > elements)
        continue;
      bool wasteful = plan.team * plan.runs >= all + plan.team;
      if (!wasteful && plan.rows * plan.team >= machine.threads)
        break;
    }
    while ((plan.team = teamFor(all, plan.runs)) > kMostThreads)
      ++plan.runs;
    return plan.runs * plan.width <= mostElements();
  }

  int64_t mostElements() const {
    bool hasBlocks = llvm::any_of(
        plan.nests, [&](const RowNest &row) { return isOfBlocks(row); });
    return hasBlocks ? kMostOfBlocks : kMostElements;
  }

  static int64_t teamFor(int64_t all, int64_t runs) {
    return llvm::alignTo(llvm::divideCeil(all, runs), 32);
  }

  //===--------------------------------------------------------------------===//
  // Who has what
  //===--------------------------------------------------------------------===//

  bool staysInThreads() const {
    std::set<std::vector<int64_t>> known;
    auto keyOf = [&](const RowNest &row, const NestAccess &access) {
      ElementKey key = plan.keyOf(row, *access.buffer, access.lin);
      return std::vector<int64_t>(key.begin(), key.end());
    };
    for (auto [row, body] : llvm::zip(plan.nests, bodies)) {
      for (const NestAccess &access : body.accesses) {
        if (access.isStore || !isWritten(access.buffer))
          continue;
        auto key = keyOf(row, access);
        if (key.empty() || !known.count(key))
          return false;
      }
      for (const NestAccess &access : body.accesses)
        if (access.isStore)
          known.insert(storeKey(row, access));
    }
    return true;
  }

  /// Results of folds are stored at points without their folded dimensions.
  std::vector<int64_t> storeKey(const RowNest &row,
                                const NestAccess &access) const {
    RowNest results = row;
    if (row.nest->reduction) {
      results.folded.clear();
      results.weight = row.granule;
      results.isSmall = false;
    }
    ElementKey key = plan.keyOf(results, *access.buffer, access.lin);
    return std::vector<int64_t>(key.begin(), key.end());
  }

  const KernelStages &stages;
  ArrayRef<int> numbers;
  ArrayRef<Nests> nests;
  RowMachine machine;
  RowPlan &plan;
  SmallVector<int64_t> counts;
  std::vector<NestBody> bodies;
};

} // namespace

std::optional<RowPlan> planRow(const KernelStages &stages,
                               ArrayRef<int> numbers, ArrayRef<Nests> nests,
                               unsigned rowDims, int64_t rows,
                               RowMachine machine) {
  RowPlan plan;
  plan.rowDims = rowDims;
  plan.rows = rows;
  if (!RowPlanner(stages, numbers, nests, machine, plan).run())
    return std::nullopt;
  return plan;
}

} // namespace gpu
} // namespace nibble
