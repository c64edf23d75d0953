// Kernels without matrix products, from tensors to loops for the CPU: how
// stages share the range of a launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/KernelToLoops.h"
#include "EmitNest.h"
#include "KernelFunction.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

using Nests = std::vector<std::unique_ptr<Nest>>;

class KernelLowering {
public:
  KernelLowering(func::FuncOp kernel, ModuleOp target, StringRef name,
                 const CpuKernelOptions &options)
      : kernel(kernel), target(target), name(name), options(options),
        context(kernel.getContext()), graph(context), stages(graph) {}

  FailureOr<KernelInfo> run() {
    if (failed(graph.read(kernel)))
      return failure();
    stages.choose(kernel.getBody().front().getTerminator()->getOperands());
    chooseRows();
    KernelFunction function(kernel, target, name);
    function.bindArguments(graph, stages);
    for (const Stage &stage : all())
      for (Tensor *tensor : stage.tensors)
        if (tensor->stored && !stages.isResult(tensor))
          function.bindScratch(*tensor);
    if (llvm::is_contained(inRows, true))
      emitRows(function);
    emitIndependent(function);
    function.finish();
    return function.info;
  }

private:
  const std::vector<Stage> &all() const { return stages.stages; }

  /// Stages that depend on each other, directly or not, run row by row
  /// together; the others are independent.
  void groupStages() {
    inRows.assign(all().size(), false);
    for (size_t i = 0; i < all().size(); ++i)
      for (int other : stages.getReads(i))
        inRows[i] = inRows[other] = true;
  }

  //===--------------------------------------------------------------------===//
  // Rows
  //===--------------------------------------------------------------------===//

  /// Number of leading dimensions that all stored tensors share.
  unsigned sharedDims() const {
    ArrayRef<int64_t> shape = rowShape();
    unsigned shared = shape.size();
    for (auto [i, stage] : llvm::enumerate(all()))
      for (Tensor *tensor : stage.tensors) {
        if (!inRows[i])
          continue;
        shared = std::min<unsigned>(shared, tensor->shape.size());
        for (unsigned d = 0; d < shared; ++d)
          if (tensor->shape[d] != shape[d])
            shared = d;
      }
    return shared;
  }

  /// Shape of some tensor that is computed by rows.
  ArrayRef<int64_t> rowShape() const {
    for (auto [i, stage] : llvm::enumerate(all()))
      if (inRows[i])
        return stage.tensors.front()->shape;
    return {};
  }

  int64_t rowCount(unsigned dims) const {
    return ShapedType::getNumElements(rowShape().take_front(dims));
  }

  /// Elements of the largest tensor of a row.
  int64_t rowSize(unsigned dims) const {
    int64_t size = 1;
    for (auto [i, stage] : llvm::enumerate(all()))
      for (Tensor *tensor : stage.tensors) {
        if (!inRows[i])
          continue;
        int64_t count = tensor->size();
        if (tensor->reduction)
          count *= ShapedType::getNumElements(tensor->reduction->extents);
        size = std::max(size, count / std::max<int64_t>(rowCount(dims), 1));
      }
    return size;
  }

  bool build(unsigned rows) {
    nests.clear();
    for (auto [i, stage] : llvm::enumerate(all()))
      for (Tensor *tensor : stage.tensors)
        tensor->rowDims = stages.isResult(tensor) || !inRows[i] ? 0 : rows;
    for (auto [i, stage] : llvm::enumerate(all())) {
      auto built = buildNests(stage, i, inRows[i] ? rows : 0, context);
      if (!built)
        return false;
      nests.push_back(std::move(*built));
    }
    rowDims = rows;
    return true;
  }

  /// The first pass over a row waits for memory, the later ones compute: the
  /// last one that reads an operand asks for its next row.
  void prefetchRows() {
    if (rowDims == 0)
      return;
    llvm::DenseSet<const Buffer *> done;
    for (size_t i = all().size(); i-- > 0;) {
      if (!inRows[i])
        continue;
      llvm::DenseSet<const Buffer *> here;
      for (auto &nest : nests[i])
        for (Node &node : nest->dag.getNodes())
          if (node.kind == Node::Kind::Load &&
              !isPacked(node.buffer->element) && !done.contains(node.buffer)) {
            // Results and scratch are in the cache.
            node.prefetch = isLargeOperand(node.buffer)
                                ? node.lin.factorOf(rowDims - 1)
                                : 0;
            here.insert(node.buffer);
          }
      done.insert(here.begin(), here.end());
    }
  }

  /// An operand that a cache does not hold anyway.
  bool isLargeOperand(const Buffer *buffer) {
    return llvm::any_of(graph.tensors, [&](const Tensor &tensor) {
      return &tensor.buffer == buffer && tensor.stage < 0 &&
             nq::getPlainBytes(tensor.element, tensor.size()) > 512 * 1024;
    });
  }

  /// If rows depend on each other, all of them are one row: one task runs the
  /// stages one after the other.
  void chooseRows() {
    groupStages();
    unsigned dims = sharedDims();
    // Rows of a few elements waste the lanes.
    while (dims > 1 && rowSize(dims) < 64 && rowCount(dims - 1) >= 8)
      --dims;
    while (!build(dims))
      --dims;
    prefetchRows();
    PlanOptions planOptions{options.vectorBits, options.grainElements};
    for (Nests &stage : nests)
      for (auto &nest : stage)
        planNest(*nest, planOptions);
  }

  //===--------------------------------------------------------------------===//
  // Code
  //===--------------------------------------------------------------------===//

  int64_t totalUnits() const {
    bool anyRows = llvm::is_contained(inRows, true);
    int64_t total = anyRows ? rowCount(rowDims) : 0;
    for (auto [i, stage] : llvm::enumerate(nests))
      if (!inRows[i])
        for (auto &nest : stage)
          total += nest->plan.units;
    return total;
  }

  void emitIndependent(KernelFunction &function) {
    for (auto [i, stage] : llvm::enumerate(nests))
      if (!inRows[i])
        for (auto &nest : stage)
          function.emitUnits(*nest, totalUnits());
  }

  void emitRows(KernelFunction &function) {
    ImplicitLocOpBuilder &b = function.b;
    int64_t size = std::max<int64_t>(rowSize(rowDims), 1);
    function.noteGrain(std::max<int64_t>(1, options.grainElements / 2 / size),
                       size * rowCount(rowDims));
    auto [from, to] = function.claim(rowCount(rowDims), totalUnits());
    auto loop = scf::ForOp::create(b, from, to, function.index(1));
    b.setInsertionPoint(loop.getBody()->getTerminator());
    SmallVector<Value> row(rowDims);
    Value rest = loop.getInductionVar();
    ArrayRef<int64_t> shape = rowShape();
    for (unsigned d = rowDims; d-- > 0;) {
      if (d == 0) {
        row[d] = rest;
        break;
      }
      row[d] = arith::RemUIOp::create(b, rest, function.index(shape[d]));
      rest = arith::DivUIOp::create(b, rest, function.index(shape[d]));
    }
    for (auto [i, stage] : llvm::enumerate(nests))
      if (inRows[i])
        for (auto &nest : stage)
          emitNest(b, *nest, row);
    b.setInsertionPointAfter(loop);
  }

  func::FuncOp kernel;
  ModuleOp target;
  StringRef name;
  const CpuKernelOptions &options;
  MLIRContext *context;
  KernelGraph graph;
  KernelStages stages;
  std::vector<Nests> nests;
  std::vector<bool> inRows; ///< per stage
  unsigned rowDims = 0;
};

} // namespace

FailureOr<KernelInfo> lowerKernelToLoops(func::FuncOp kernel, ModuleOp target,
                                         StringRef name,
                                         const CpuKernelOptions &options) {
  if (name.empty())
    name = kernel.getName();
  return KernelLowering(kernel, target, name, options).run();
}

} // namespace cpu
} // namespace nibble
