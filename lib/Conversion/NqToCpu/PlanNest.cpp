// How the loops of a nest run.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Nest.h"

#include "llvm/ADT/DenseSet.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

class BodyScan {
public:
  explicit BodyScan(NestBody &body) : body(body) {}

  void visit(const Node *node) {
    if (!node || !seen.insert(node).second)
      return;
    if (!node->type.isIndex() && !node->type.isInteger(1) && node->deps)
      body.widestBits = std::max(body.widestBits,
                                 unsigned(node->type.getIntOrFloatBitWidth()));
    visitLin(node->lin);
    if (node->kind == Node::Kind::Load)
      addAccess(node->lin, false, *node->buffer);
    else if (node->kind == Node::Kind::Index)
      for (auto [dim, factor] : node->lin.dims)
        body.pinned |= uint64_t(1) << dim;
    else if (node->kind == Node::Kind::Compute && node->deps)
      body.computes.push_back(node);
    for (const Node *operand : node->operands)
      visit(operand);
  }
  void visitLin(const Lin &lin) {
    for (auto [node, factor] : lin.terms)
      visit(node);
  }
  void addAccess(const Lin &lin, bool isStore, const Buffer &buffer) {
    uint64_t deps = 0;
    for (auto [node, factor] : lin.terms)
      deps |= node->deps;
    body.accesses.push_back(
        {lin, deps, isStore, isPacked(buffer.element), &buffer});
  }

private:
  NestBody &body;
  llvm::DenseSet<const Node *> seen;
};

} // namespace

NestBody scanNest(const Nest &nest) {
  NestBody body;
  BodyScan scan(body);
  for (const Store &store : nest.stores) {
    scan.visit(store.bits);
    scan.visit(store.guard);
    scan.visitLin(store.offset);
    scan.addAccess(store.offset, true, *store.buffer);
  }
  for (const NodeList *list : {&nest.inits, &nest.terms, &nest.updates})
    for (const Node *node : *list)
      scan.visit(node);
  for (const Dim &dim : nest.dag.getDims())
    if (dim.total)
      body.pinned |= uint64_t(1) << dim.blockDim;
  return body;
}

namespace {

class Planner {
public:
  Planner(Nest &nest, const PlanOptions &options)
      : nest(nest), plan(nest.plan), options(options), body(scanNest(nest)),
        extents(llvm::map_to_vector(
            nest.dag.getDims(), [](const Dim &dim) { return dim.extent; })) {
    for (const NestAccess &access : body.accesses)
      (access.isStore ? plan.packs : plan.unpacks) |= access.packed;
  }

  void run() {
    for (unsigned d = 0; d < extents.size(); ++d)
      plan.mergedInto.push_back(d);
    plan.outer = merge(nest.dims);
    plan.folded = merge(nest.folded);
    plan.bodySize = body.computes.size() + body.accesses.size();
    chooseVector();
    chooseUnits();
  }

  ArrayRef<int64_t> getExtents() const { return extents; }

private:
  bool isBounded(unsigned d) const {
    return nest.dag.getDims()[d].total.has_value();
  }
  bool isPinned(unsigned d) const { return (body.pinned >> d) & 1; }

  /// True if every address moves by the same step in a, and in extents[b] steps
  /// of b.
  bool canMerge(unsigned a, unsigned b) const {
    if (isPinned(a) || isPinned(b) || isBounded(a) || isBounded(b))
      return false;
    return llvm::all_of(body.accesses, [&](const NestAccess &access) {
      return access.lin.factorOf(a) == access.lin.factorOf(b) * extents[b];
    });
  }

  /// Loops of extent 1 vanish, neighbours that walk on evenly become one.
  SmallVector<unsigned> merge(ArrayRef<unsigned> dims) {
    SmallVector<unsigned> result;
    for (unsigned d : dims) {
      if (extents[d] == 1 && !isBounded(d))
        continue;
      while (!result.empty() && canMerge(result.back(), d)) {
        unsigned gone = result.pop_back_val();
        extents[d] *= extents[gone];
        for (unsigned &into : plan.mergedInto)
          if (into == gone)
            into = d;
      }
      result.push_back(d);
    }
    return result;
  }

  //===--------------------------------------------------------------------===//
  // Lanes
  //===--------------------------------------------------------------------===//

  int64_t fullWidth() const {
    unsigned bits = std::max(body.widestBits, 16u);
    return std::max<int64_t>(options.vectorBits / bits, 4);
  }

  uint64_t maskOf(unsigned d) const {
    uint64_t mask = 0;
    for (unsigned i = 0; i < plan.mergedInto.size(); ++i)
      if (plan.mergedInto[i] == d)
        mask |= uint64_t(1) << i;
    return mask;
  }

  /// Cost per element of running dimension d in lanes; 1 lane if d < 0.
  double costOf(int d) const {
    double lanes = d < 0 ? 1 : std::min<int64_t>(extents[d], fullWidth());
    uint64_t mask = d < 0 ? 0 : maskOf(d);
    double cost = 0;
    for (const Node *node : body.computes)
      cost += d < 0 || (node->deps & mask) ? 1 : 0.1;
    for (const NestAccess &access : body.accesses) {
      int64_t factor = d < 0 ? 0 : access.lin.factorOf(d);
      bool gathers = access.termDeps & mask;
      if (!gathers && factor == 0)
        cost += d < 0 ? 1 : 0.2;
      else if (!gathers && (factor == 1 || factor == -1))
        cost += 1;
      else
        cost += lanes * (access.isStore ? 1.6 : 1.5);
    }
    return cost / lanes;
  }

  /// 4-bit stores need consecutive lanes from an even element on.
  bool canPack(unsigned d) const {
    return llvm::all_of(body.accesses, [&](const NestAccess &access) {
      if (!access.isStore || !access.packed)
        return true;
      for (auto [dim, factor] : access.lin.dims)
        if (dim != d && plan.mergedInto[dim] == dim && factor % 2)
          return false;
      return access.lin.terms.empty() && access.lin.factorOf(d) == 1 &&
             access.lin.constant % 2 == 0;
    });
  }

  bool isBlockDim(unsigned d) const {
    return llvm::any_of(nest.dag.getDims(), [&](const Dim &dim) {
      return dim.total && dim.blockDim == d;
    });
  }

  void chooseVector() {
    double best = plan.packs ? 1e30 : costOf(-1);
    int parallel = -1, fold = -1;
    for (unsigned d : plan.outer) {
      if (isBlockDim(d) || extents[d] < 2 || (plan.packs && !canPack(d)))
        continue;
      if (double cost = costOf(d); cost <= best) {
        best = cost;
        parallel = d;
      }
    }
    if (!nest.terms.empty())
      for (unsigned d : plan.folded) {
        // Folding the lanes costs some more at the end.
        double cost = costOf(d) + 8.0 / std::max<int64_t>(foldedSize(), 1);
        if (extents[d] >= 4 && !isBlockDim(d) && cost < best) {
          best = cost;
          parallel = -1;
          fold = d;
        }
      }
    setVector(parallel, fold);
  }

  int64_t foldedSize() const {
    int64_t size = 1;
    for (unsigned d : plan.folded)
      size *= extents[d];
    return size;
  }

  void setVector(int parallel, int fold) {
    plan.vectorDim = parallel;
    plan.foldVectorDim = fold;
    int d = std::max(parallel, fold);
    if (d < 0)
      return;
    auto &list = parallel >= 0 ? plan.outer : plan.folded;
    llvm::erase(list, unsigned(d));
    plan.width = fullWidth();
    // Several accumulators hide the latency of an addition.
    if (nest.reduction && extents[d] >= 8 * plan.width && plan.bodySize < 12)
      plan.width *= 2;
    while (plan.width > extents[d])
      plan.width /= 2;
    if (parallel >= 0 && !nest.reduction)
      chooseInner();
  }

  /// A loop along which what the lanes gather is contiguous, if there is one.
  void chooseInner() {
    for (const NestAccess &access : body.accesses) {
      int64_t step = access.lin.factorOf(plan.vectorDim);
      if (access.isStore || step == 0 || step == 1 || step == -1)
        continue;
      for (unsigned u : plan.outer)
        if (access.lin.factorOf(u) == 1 && !isBounded(u) && !isBlockDim(u))
          plan.innerDim = u;
    }
    if (plan.innerDim < 0)
      return;
    llvm::erase(plan.outer, unsigned(plan.innerDim));
    if (isPlainCopy())
      plan.tile =
          nest.stores[0].bits->type.getIntOrFloatBitWidth() > 32 ? 4 : 8;
    if (plan.width % std::max<int64_t>(plan.tile, 1) != 0 ||
        extents[plan.innerDim] < plan.tile)
      plan.tile = 0;
  }

  bool isPlainCopy() const {
    return nest.stores.size() == 1 && !plan.packs && !plan.unpacks &&
           nest.stores[0].bits->kind == Node::Kind::Load &&
           nest.stores[0].bits->lin.terms.empty() &&
           nest.stores[0].offset.terms.empty() &&
           nest.stores[0].offset.factorOf(plan.vectorDim) == 1;
  }

  //===--------------------------------------------------------------------===//
  // Partition
  //===--------------------------------------------------------------------===//

  int64_t elementsPerUnit() const {
    int64_t size = foldedSize();
    if (plan.foldVectorDim >= 0)
      size *= extents[plan.foldVectorDim];
    for (unsigned i = plan.unitDims; i < plan.outer.size(); ++i)
      size *= extents[plan.outer[i]];
    if (plan.vectorDim >= 0)
      size *= plan.chunk ? plan.chunk : extents[plan.vectorDim];
    if (plan.innerDim >= 0)
      size *= extents[plan.innerDim];
    return size;
  }

  void chooseUnits() {
    plan.units = 1;
    for (unsigned d : plan.outer) {
      if (plan.units >= 64 || isBounded(d))
        break;
      plan.units *= extents[d];
      ++plan.unitDims;
    }
    int d = plan.vectorDim;
    if (d >= 0 && !isBounded(d) && plan.units < 16 &&
        plan.unitDims == plan.outer.size()) {
      // Few rows: units are runs of the innermost loop.
      int64_t run = plan.packs || plan.unpacks ? 2 : 1;
      if (!plan.outer.empty() || nest.reduction || plan.innerDim >= 0)
        run =
            plan.innerDim >= 0 ? plan.width : std::max<int64_t>(plan.width, 64);
      plan.chunk = run;
      plan.units *= llvm::divideCeil(extents[d], run);
    }
    // Costly elements make smaller tasks.
    int64_t elements = options.grainElements / (plan.bodySize > 40 ? 4 : 1);
    plan.work = plan.units * elementsPerUnit();
    plan.grain = std::max<int64_t>(
        1, elements / std::max<int64_t>(elementsPerUnit(), 1));
  }

  Nest &nest;
  NestPlan &plan;
  const PlanOptions &options;
  NestBody body;
  SmallVector<int64_t> extents;

  friend void cpu::planNest(Nest &, const PlanOptions &);
};

} // namespace

int64_t alignmentOf(const Dag &dag, ArrayRef<unsigned> mergedInto,
                    const Buffer &buffer, const Lin &lin, int lanesDim,
                    int64_t lanes) {
  uint64_t bits = 4;
  if (!isPacked(buffer.element))
    bits = storageType(buffer.element).getIntOrFloatBitWidth();
  // The lowest bit that any part of the offset may have.
  uint64_t any = uint64_t(64 * 8) / bits | uint64_t(lin.constant);
  for (auto [dim, factor] : lin.dims)
    if (mergedInto[dim] == dim && dag.getDims()[dim].extent != 1)
      any |= uint64_t(factor) *
             uint64_t(static_cast<int>(dim) == lanesDim ? lanes : 1);
  for (auto [node, factor] : lin.terms)
    any |= uint64_t(factor);
  return std::max<int64_t>(1, (any & -any) * bits / 8);
}

void planNest(Nest &nest, const PlanOptions &options) {
  Planner planner(nest, options);
  planner.run();
  nest.dag.setExtents(planner.getExtents());
}

} // namespace cpu
} // namespace nibble
