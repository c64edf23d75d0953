// How a nest of loops runs on the threads of a GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopsPlan.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

using namespace cpu;

class JobPlanner {
public:
  JobPlanner(Nest &nest, int64_t threads, int64_t wanted, bool mayPart)
      : nest(nest), threads(threads), wanted(wanted), mayPart(mayPart) {
    planNest(nest, PlanOptions());
    body = scanNest(nest);
    job.nest = &nest;
    job.outer = kept(nest.dims);
    job.folded = kept(nest.folded);
  }

  LoopJob run() {
    if (nest.reduction)
      chooseFold();
    if (job.inOrder)
      chooseLanes();
    job.units = 1;
    for (unsigned d : job.outer)
      job.units *= extent(d);
    if (job.lanesDim >= 0) {
      job.runs = llvm::divideCeil(extent(job.lanesDim), job.width);
      job.units *= job.runs;
    }
    if (mayPart)
      chooseParts();
    return job;
  }

private:
  const Dim &dimOf(unsigned d) const { return nest.dag.getDims()[d]; }
  int64_t extent(unsigned d) const { return dimOf(d).extent; }
  bool isBounded(unsigned d) const { return dimOf(d).total.has_value(); }

  /// The dimensions that loops are left for.
  SmallVector<unsigned> kept(ArrayRef<unsigned> dims) const {
    SmallVector<unsigned> result;
    for (unsigned d : dims)
      if (nest.plan.mergedInto[d] == d && (extent(d) != 1 || isBounded(d)))
        result.push_back(d);
    return result;
  }

  uint64_t maskOf(unsigned d) const {
    uint64_t mask = 0;
    for (unsigned i = 0; i < nest.plan.mergedInto.size(); ++i)
      if (nest.plan.mergedInto[i] == d)
        mask |= uint64_t(1) << i;
    return mask;
  }

  bool isBlockDim(unsigned d) const {
    return llvm::any_of(nest.dag.getDims(), [&](const Dim &dim) {
      return dim.total && dim.blockDim == d;
    });
  }

  //===--------------------------------------------------------------------===//
  // Lanes
  //===--------------------------------------------------------------------===//

  bool isContiguous(const NestAccess &access, unsigned d) const {
    return access.lin.factorOf(d) == 1 && !(access.termDeps & maskOf(d));
  }

  /// Pairs of 4-bit elements that are stored begin at even ones.
  bool canPack(unsigned d) const {
    return llvm::all_of(body.accesses, [&](const NestAccess &access) {
      if (!access.isStore || !access.packed)
        return true;
      for (auto [dim, factor] : access.lin.dims)
        if (dim != d && nest.plan.mergedInto[dim] == dim && factor % 2)
          return false;
      return access.lin.terms.empty() && access.lin.factorOf(d) == 1 &&
             access.lin.constant % 2 == 0;
    });
  }

  bool guardsDepend(unsigned d) const {
    return llvm::any_of(nest.stores, [&](const Store &store) {
      return store.guard && (store.guard->deps & maskOf(d));
    });
  }

  /// Whether runs of `width` along d are accesses of at most 16 bytes each that
  /// the machine has. Other accesses do not mind.
  bool isAligned(unsigned d, int64_t width, bool stores) const {
    return llvm::all_of(body.accesses, [&](const NestAccess &access) {
      if (!isContiguous(access, d))
        return !access.isStore || !stores;
      int64_t bits = 4;
      if (!access.packed)
        bits = storageType(access.buffer->element).getIntOrFloatBitWidth();
      return alignmentOf(nest.dag, nest.plan.mergedInto, *access.buffer,
                         access.lin, int(d),
                         width) >= std::min<int64_t>(16, width * bits / 8);
    });
  }

  /// Elements that 16 bytes hold of the narrowest type, 32 bytes of the widest.
  int64_t fullWidth(unsigned d) const {
    int64_t least = 64, most = 4;
    for (const NestAccess &access : body.accesses) {
      if (!isContiguous(access, d))
        continue;
      int64_t bits = 4;
      if (!access.packed)
        bits = storageType(access.buffer->element).getIntOrFloatBitWidth();
      least = std::min(least, bits);
      most = std::max(most, bits);
    }
    int64_t compute = std::max<int64_t>(body.widestBits, 16);
    return std::max<int64_t>(std::min({128 / least, 256 / most, 512 / compute}),
                             1);
  }

  int64_t othersThan(unsigned d) const {
    int64_t units = 1;
    for (unsigned other : job.outer)
      if (other != d)
        units *= extent(other);
    return units;
  }

  int64_t widthFor(unsigned d, bool stores) const {
    if (guardsDepend(d))
      return 1;
    for (int64_t width = fullWidth(d); width > 1; width /= 2) {
      bool whole = extent(d) % width == 0 &&
                   (!isBounded(d) || *dimOf(d).total % width == 0);
      // One long run: its end is done by single elements. Not in rows, whose
      // shared memory is aligned only as far as its size is.
      bool flat = !isBounded(d) && nest.dag.rowDims == 0 &&
                  job.outer.size() == 1 && extent(d) >= 4 * width;
      bool enough =
          width <= 4 || othersThan(d) * extent(d) / width * 4 >= wanted;
      if ((whole || flat) && enough && isAligned(d, width, stores))
        return width;
    }
    return 1;
  }

  /// The dimension along which threads are neighbours.
  void chooseLanes() {
    bool packs = nest.plan.packs;
    int best = -1, bestScore = -1;
    for (unsigned d : job.outer) {
      if (isBlockDim(d) || (packs && !canPack(d)))
        continue;
      int score = 0;
      for (const NestAccess &access : body.accesses)
        score += isContiguous(access, d) * (access.isStore ? 3 : 2);
      if (score >= bestScore) {
        bestScore = score;
        best = d;
      }
    }
    if (best < 0)
      return;
    job.lanesDim = best;
    job.width = widthFor(best, /*stores=*/true);
    if (packs)
      job.width = std::max<int64_t>(job.width, 2);
    llvm::erase(job.outer, unsigned(best));
  }

  //===--------------------------------------------------------------------===//
  // Folds
  //===--------------------------------------------------------------------===//

  int contiguousLoads(unsigned d) const {
    return llvm::count_if(body.accesses, [&](const NestAccess &access) {
      return !access.isStore && isContiguous(access, d);
    });
  }

  void chooseFold() {
    int64_t size = 1, points = 1;
    for (unsigned d : job.folded)
      size *= extent(d);
    for (unsigned d : job.outer)
      points *= extent(d);
    if (nest.terms.empty() || job.folded.empty() || nest.plan.packs ||
        llvm::any_of(job.folded, [&](unsigned d) { return isBounded(d); }) ||
        llvm::any_of(job.folded, [&](unsigned d) { return isBlockDim(d); }))
      return;
    unsigned last = job.folded.back();
    int along = contiguousLoads(last), across = 0;
    for (unsigned d : job.outer)
      across = std::max(across, contiguousLoads(d));
    if (size < 4 || across > along || (across == along && points >= wanted))
      return;
    job.inOrder = false;
    if (along)
      for (job.foldWidth = fullWidth(last);
           job.foldWidth > 1 && (extent(last) % job.foldWidth ||
                                 !isAligned(last, job.foldWidth, false));)
        job.foldWidth /= 2;
    job.foldRuns = size / job.foldWidth;
    chooseTeam(points);
  }

  /// As many threads as have something to do, and no more than are wanted.
  void chooseTeam(int64_t points) {
    while (job.team < 32 && job.team * 2 <= job.foldRuns &&
           (job.team * points < wanted || job.foldRuns / job.team > 4))
      job.team *= 2;
    if (job.team == 32 && threads > 32 && job.foldRuns >= 8 * 32 &&
        (points * 32 < wanted || job.foldRuns > 16 * 32))
      job.team = threads;
  }

  /// Long folds of few units.
  void chooseParts() {
    if (nest.terms.empty() || job.folded.empty() || job.units == 0 ||
        llvm::any_of(job.folded,
                     [&](unsigned d) { return isBounded(d) || isBlockDim(d); }))
      return;
    int64_t length = job.inOrder ? extent(job.folded.front()) : job.foldRuns;
    int64_t perThread = job.inOrder ? length : length / job.team;
    int64_t parts = std::min(
        {wanted / (job.units * job.team), perThread / 8, int64_t(128)});
    if (parts < 2)
      return;
    job.partLength = llvm::divideCeil(length, parts);
    job.parts = llvm::divideCeil(length, job.partLength);
  }

  Nest &nest;
  int64_t threads, wanted;
  bool mayPart;
  NestBody body;
  LoopJob job;
};

} // namespace

LoopJob planJob(Nest &nest, int64_t threads, int64_t wanted, bool mayPart) {
  return JobPlanner(nest, threads, wanted, mayPart).run();
}

bool haveSameLoops(const LoopJob &job, const LoopJob &other) {
  auto dims = [](const LoopJob &job) { return job.nest->dag.getDims(); };
  auto same = [](const Dim &x, const Dim &y) {
    return x.extent == y.extent && !x.total && !y.total;
  };
  return !job.nest->reduction && !other.nest->reduction &&
         job.outer == other.outer && job.lanesDim == other.lanesDim &&
         job.width == other.width && job.units == other.units &&
         llvm::equal(dims(job), dims(other), same) &&
         job.nest->plan.mergedInto == other.nest->plan.mergedInto;
}

} // namespace gpu
} // namespace nibble
