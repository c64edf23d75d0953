// Kernels without matrix products, from tensors to loops for the CPU: which
// tensors are kept, in which stages, and how stages share the range of a
// launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/KernelToLoops.h"
#include "EmitNest.h"
#include "KernelGraph.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/ScopeExit.h"
#include "llvm/Support/MathExtras.h"

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
        context(kernel.getContext()), graph(context),
        b(kernel.getLoc(), context) {}

  FailureOr<KernelInfo> run() {
    if (failed(graph.read(kernel)))
      return failure();
    collectResults();
    chooseStored();
    makeStages();
    chooseRows();
    makeFunction();
    bindBuffers();
    emit();
    return info;
  }

private:
  //===--------------------------------------------------------------------===//
  // What is kept in memory
  //===--------------------------------------------------------------------===//

  struct Result {
    Tensor *tensor;
    unsigned value, part; ///< which part of which returned value
  };

  /// A returned tensor gets the buffer of its result. If it has another buffer
  /// already, the result is a copy.
  void collectResults() {
    Operation *terminator = kernel.getBody().front().getTerminator();
    llvm::DenseSet<Tensor *> taken;
    for (auto [i, value] : llvm::enumerate(terminator->getOperands()))
      for (auto [part, tensor] : llvm::enumerate(graph.partsOf(value))) {
        Tensor *own = tensor;
        if (!tensor->isComputed() || !taken.insert(tensor).second)
          own = copyOf(*tensor);
        results.push_back({own, unsigned(i), unsigned(part)});
      }
  }

  Tensor *copyOf(Tensor &source) {
    Tensor &copy = graph.tensors.emplace_back();
    copy.element = source.element;
    copy.shape = source.shape;
    copy.layout = source.layout;
    copy.sources = {&source};
    copy.compute = [from = &source](Dag &dag, IndexRef index) {
      return dag.pull(*from, index);
    };
    return &copy;
  }

  void visit(Tensor *tensor) {
    if (!seen.insert(tensor).second)
      return;
    for (Tensor *source : tensor->sources)
      visit(source);
    // Results of one reduction are written together.
    if (tensor->reduction)
      for (Tensor *sibling : tensor->reduction->results)
        if (sibling && sibling != tensor && seen.insert(sibling).second)
          order.push_back(sibling);
    order.push_back(tensor);
  }

  void chooseStored() {
    for (Result &result : results)
      visit(result.tensor);
    for (Tensor *tensor : order) {
      SmallVector<Tensor *> unique;
      for (Tensor *source : tensor->sources)
        if (!llvm::is_contained(unique, source))
          unique.push_back(source);
      for (Tensor *source : unique)
        ++source->uses;
    }
    for (Tensor &tensor : graph.tensors) {
      tensor.stored = !tensor.isComputed();
      // Nests are planned before buffers are bound.
      tensor.buffer.element = tensor.element;
    }
    for (Tensor *tensor : order)
      if (tensor->isComputed() && tensor->uses)
        tensor->stored = tensor->reduction || tensor->keep ||
                         (tensor->expensive && tensor->uses > 1);
    for (Result &result : results)
      result.tensor->stored = true;
  }

  //===--------------------------------------------------------------------===//
  // Stages
  //===--------------------------------------------------------------------===//

  static bool mayJoin(const Stage &stage, const Tensor &tensor) {
    const Tensor &first = *stage.tensors.front();
    auto simple = [](const Tensor &t) {
      return !t.reduction && t.pieces.empty() && !t.layout;
    };
    return simple(first) && simple(tensor) && first.shape == tensor.shape;
  }

  void makeStages() {
    llvm::DenseSet<Reduction *> done;
    for (Tensor *tensor : order) {
      if (!tensor->stored || !tensor->isComputed())
        continue;
      if (tensor->reduction) {
        if (done.insert(tensor->reduction.get()).second) {
          Stage &stage = stages.emplace_back();
          for (Tensor *result : tensor->reduction->results)
            if (result)
              stage.tensors.push_back(result);
        }
      } else if (!stages.empty() && mayJoin(stages.back(), *tensor)) {
        stages.back().tensors.push_back(tensor);
      } else {
        stages.emplace_back().tensors.push_back(tensor);
      }
    }
    for (auto [i, stage] : llvm::enumerate(stages))
      for (Tensor *tensor : stage.tensors)
        tensor->stage = i;
  }

  /// Adds the earlier stages that computing `tensor` in `stage` reads.
  void addReads(Tensor *tensor, int stage, llvm::SmallDenseSet<int> &reads) {
    for (Tensor *source : tensor->sources) {
      if (source->stored && source->stage != stage) {
        if (source->stage >= 0)
          reads.insert(source->stage);
      } else if (source != tensor) {
        addReads(source, stage, reads);
      }
    }
  }

  /// Stages that depend on each other, directly or not, run row by row
  /// together; the others are independent.
  void groupStages() {
    inRows.assign(stages.size(), false);
    for (auto [i, stage] : llvm::enumerate(stages)) {
      llvm::SmallDenseSet<int> reads;
      for (Tensor *tensor : stage.tensors)
        addReads(tensor, i, reads);
      for (int other : reads)
        inRows[i] = inRows[other] = true;
    }
  }

  //===--------------------------------------------------------------------===//
  // Rows
  //===--------------------------------------------------------------------===//

  /// Number of leading dimensions that all stored tensors share.
  unsigned sharedDims() const {
    ArrayRef<int64_t> shape = rowShape();
    unsigned shared = shape.size();
    for (auto [i, stage] : llvm::enumerate(stages))
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
    for (auto [i, stage] : llvm::enumerate(stages))
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
    for (auto [i, stage] : llvm::enumerate(stages))
      for (Tensor *tensor : stage.tensors) {
        if (!inRows[i])
          continue;
        int64_t all = tensor->size();
        if (tensor->reduction)
          all *= ShapedType::getNumElements(tensor->reduction->extents);
        size = std::max(size, all / std::max<int64_t>(rowCount(dims), 1));
      }
    return size;
  }

  bool build(unsigned rows) {
    nests.clear();
    for (auto [i, stage] : llvm::enumerate(stages))
      for (Tensor *tensor : stage.tensors)
        tensor->rowDims = isResult(tensor) || !inRows[i] ? 0 : rows;
    for (auto [i, stage] : llvm::enumerate(stages)) {
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
    for (size_t i = stages.size(); i-- > 0;) {
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

  bool isResult(Tensor *tensor) const {
    return llvm::any_of(
        results, [&](const Result &result) { return result.tensor == tensor; });
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
  // The function
  //===--------------------------------------------------------------------===//

  MemRefType bufferType(Type type) {
    auto tensor = cast<RankedTensorType>(type);
    nq::StorageRegions regions = nq::getStorageRegions(tensor);
    if (nq::getScaledElement(type) || isPacked(tensor.getElementType()))
      return MemRefType::get({regions.total}, b.getI8Type());
    nq::LayoutAttr layout = nq::getLayout(type);
    int64_t count = layout ? layout.getStorageSize(tensor.getShape())
                           : tensor.getNumElements();
    return MemRefType::get({count}, storageType(tensor.getElementType()));
  }

  void makeFunction() {
    SmallVector<Type> types;
    for (Type type : kernel.getArgumentTypes())
      types.push_back(bufferType(type));
    for (Type type : kernel.getResultTypes())
      types.push_back(bufferType(type));
    auto scratchType = MemRefType::get({ShapedType::kDynamic}, b.getI8Type());
    types.append({b.getIndexType(), b.getIndexType(), scratchType});
    b.setInsertionPointToEnd(target.getBody());
    function = func::FuncOp::create(b, name, b.getFunctionType(types, {}));
    function->setAttr("nibble.kernel", b.getUnitAttr());
    b.setInsertionPointToStart(function.addEntryBlock());
  }

  Value viewOf(Value bytes, int64_t offset, Type element, int64_t count) {
    Type type = isPacked(element) ? b.getI8Type() : storageType(element);
    if (isPacked(element))
      count = llvm::divideCeil(count, 2);
    return memref::ViewOp::create(b, MemRefType::get({count}, type), bytes,
                                  arith::ConstantIndexOp::create(b, offset),
                                  ValueRange());
  }

  int64_t bufferSize(const Tensor &tensor) {
    if (tensor.layout)
      return tensor.layout.getStorageSize(tensor.shape);
    return ShapedType::getNumElements(
        ArrayRef<int64_t>(tensor.shape).drop_front(tensor.rowDims));
  }

  void bindPart(Value buffer, Type type, Tensor &tensor, unsigned part) {
    if (!nq::getScaledElement(type)) {
      tensor.buffer.memref = buffer;
      return;
    }
    nq::StorageRegions regions =
        nq::getStorageRegions(cast<RankedTensorType>(type));
    bool hasGlobal = nq::getScaledElement(type).getGlobal() != nullptr;
    int64_t offsets[] = {regions.codes, regions.scales,
                         hasGlobal ? regions.global : regions.zeroPoints,
                         regions.zeroPoints};
    tensor.buffer.memref =
        viewOf(buffer, offsets[part], tensor.element, bufferSize(tensor));
  }

  void bindBuffers() {
    for (auto [i, argument] : llvm::enumerate(kernel.getArguments()))
      for (auto [part, tensor] : llvm::enumerate(graph.partsOf(argument)))
        bindPart(function.getArgument(i), argument.getType(), *tensor, part);
    unsigned first = kernel.getNumArguments();
    for (Result &result : results)
      bindPart(function.getArgument(first + result.value),
               kernel.getResultTypes()[result.value], *result.tensor,
               result.part);
    for (auto [i, data] : llvm::enumerate(graph.constants))
      bindConstant(data, i);
    Value scratch = function.getArguments().back();
    for (Stage &stage : stages)
      for (Tensor *tensor : stage.tensors) {
        if (!tensor->stored || isResult(tensor))
          continue;
        int64_t size = bufferSize(*tensor);
        tensor->buffer.memref =
            viewOf(scratch, info.scratchBytes, tensor->element, size);
        info.scratchBytes +=
            llvm::alignTo(nq::getPlainBytes(tensor->element, size), 64);
      }
  }

  void bindConstant(KernelGraph::Data &data, unsigned number) {
    auto type = MemRefType::get({int64_t(data.bytes.size())}, b.getI8Type());
    std::string symbol = (name + "_constant" + Twine(number)).str();
    auto bytes = DenseElementsAttr::getFromRawBuffer(
        RankedTensorType::get(type.getShape(), b.getI8Type()), data.bytes);
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(function);
      memref::GlobalOp::create(b, symbol, b.getStringAttr("private"), type,
                               bytes, /*constant=*/true,
                               b.getI64IntegerAttr(64));
    }
    Value global = memref::GetGlobalOp::create(b, type, symbol);
    data.tensor->buffer.memref =
        viewOf(global, 0, data.tensor->element, bufferSize(*data.tensor));
  }

  //===--------------------------------------------------------------------===//
  // Code
  //===--------------------------------------------------------------------===//

  void emit() {
    unsigned count = function.getNumArguments();
    Value low = function.getArgument(count - 3),
          high = function.getArgument(count - 2);
    info.extent = 0;
    if (llvm::is_contained(inRows, true))
      emitRows(low, high);
    emitIndependent(low, high);
    b.setInsertionPointToEnd(&function.front());
    func::ReturnOp::create(b);
  }

  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }

  /// The part of the launch's range that covers the next `units` units, which
  /// begin at 0 then.
  std::pair<Value, Value> claim(Value low, Value high, int64_t units) {
    bool only = units == totalUnits();
    int64_t base = info.extent;
    info.extent += units;
    if (only)
      return {low, high};
    auto shift = [&](Value border) -> Value {
      if (base > 0)
        border = arith::MaxSIOp::create(
            b, arith::SubIOp::create(b, border, index(base)), index(0));
      return arith::MinSIOp::create(b, border, index(units));
    };
    return {shift(low), shift(high)};
  }

  int64_t totalUnits() const {
    bool anyRows = llvm::is_contained(inRows, true);
    int64_t total = anyRows ? rowCount(rowDims) : 0;
    for (auto [i, stage] : llvm::enumerate(nests))
      if (!inRows[i])
        for (auto &nest : stage)
          total += nest->plan.units;
    return total;
  }

  /// The grain of a launch is that of its largest part.
  void noteGrain(int64_t grain, int64_t work) {
    if (work < mostWork)
      return;
    mostWork = work;
    info.grain = grain;
  }

  void emitIndependent(Value low, Value high) {
    for (auto [i, stage] : llvm::enumerate(nests)) {
      if (inRows[i])
        continue;
      for (auto &nest : stage) {
        if (nest->plan.units == 0)
          continue;
        noteGrain(nest->plan.grain, nest->plan.work);
        auto [from, to] = claim(low, high, nest->plan.units);
        emitUnits(b, *nest, from, to);
      }
    }
  }

  void emitRows(Value low, Value high) {
    int64_t size = std::max<int64_t>(rowSize(rowDims), 1);
    noteGrain(std::max<int64_t>(1, options.grainElements / 2 / size),
              size * rowCount(rowDims));
    auto [from, to] = claim(low, high, rowCount(rowDims));
    auto loop = scf::ForOp::create(b, from, to, index(1));
    b.setInsertionPoint(loop.getBody()->getTerminator());
    SmallVector<Value> row(rowDims);
    Value rest = loop.getInductionVar();
    ArrayRef<int64_t> shape = rowShape();
    for (unsigned d = rowDims; d-- > 0;) {
      if (d == 0) {
        row[d] = rest;
        break;
      }
      row[d] = arith::RemUIOp::create(b, rest, index(shape[d]));
      rest = arith::DivUIOp::create(b, rest, index(shape[d]));
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
  ImplicitLocOpBuilder b;
  KernelInfo info;
  func::FuncOp function;
  SmallVector<Result> results;
  llvm::DenseSet<Tensor *> seen;
  std::vector<Tensor *> order;
  std::vector<Stage> stages;
  std::vector<Nests> nests;
  std::vector<bool> inRows; ///< per stage
  unsigned rowDims = 0;
  int64_t mostWork = 0;
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
