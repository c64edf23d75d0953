// outline-kernels: every op of an entry point becomes a launch of a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Quantize/Layers.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/ADT/StringMap.h"

namespace nibble {
#define GEN_PASS_DEF_OUTLINEKERNELS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// Constants of the plan: they stay in the entry point.
static bool isPlanConstant(Operation *op) {
  return isa<nq::ConstantOp>(op) ||
         (isa<arith::ConstantOp>(op) &&
          isa<RankedTensorType>(op->getResult(0).getType()));
}

/// Producers that a kernel repeats inside instead of reading: scalars, and
/// the initial values that destination-style ops overwrite or accumulate on.
static bool isInlined(Operation *op) {
  if (isa<tensor::EmptyOp, linalg::FillOp>(op))
    return true;
  return op->hasTrait<OpTrait::ConstantLike>() && !isPlanConstant(op);
}

static bool isReshape(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}

/// A state is a buffer of the plan: reading it and writing it are no kernels.
static bool isStateAccess(Operation *op) {
  return isa<nq::StateReadOp, nq::StateWriteOp>(op);
}

/// What a region computes: the order in which it stores that is no op.
static Operation *getWork(nq::RegionOp region) {
  Operation *root = region.getRoot();
  while (auto reformat = dyn_cast<nq::ReformatOp>(root)) {
    Operation *from = reformat.getInput().getDefiningOp();
    if (!from)
      break;
    root = from;
  }
  return root;
}

/// Short name of what a kernel computes: "matmul", "softmax", "elementwise".
static std::string getKind(Operation *op) {
  if (auto region = dyn_cast<nq::RegionOp>(op))
    return region.getRoot() == op ? region.getKind().str()
                                  : getKind(getWork(region));
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    bool gathers = op->walk([](tensor::ExtractOp) {
                       return WalkResult::interrupt();
                     }).wasInterrupted();
    if (gathers)
      return "gather";
    return generic.getNumReductionLoops() ? "reduce" : "elementwise";
  }
  return op->getName().stripDialect().str();
}

namespace {

/// The ops and values that make up one kernel.
struct Cluster {
  Operation *root;
  llvm::SetVector<Operation *> inlined; ///< in program order of discovery
  llvm::SetVector<Value> inputs;
};

class Outliner {
public:
  explicit Outliner(ModuleOp module)
      : module(module), builder(module.getContext()) {}

  LogicalResult run(func::FuncOp entry) {
    entryName = entry.getSymName();
    regions = 0;
    SmallVector<Operation *> ops;
    for (Operation &op : entry.front().without_terminator())
      ops.push_back(&op);
    for (Operation *op : ops)
      if (failed(outline(op)))
        return failure();
    copyForwardedOutputs(entry);
    eraseDead(entry);
    return success();
  }

private:
  LogicalResult outline(Operation *op) {
    if (isPlanConstant(op) || isStateAccess(op) || isReplacedByUsers(op))
      return success();
    if (isReshape(op))
      return replaceByAlias(op);
    auto dest = dyn_cast<DestinationStyleOpInterface>(op);
    if (!isPure(op) && !(dest && dest.hasPureTensorSemantics()))
      return op->emitError()
             << "layer '" << getLayerName(op->getLoc()) << "': '"
             << op->getName() << "' has side effects that a kernel cannot have";
    replaceByLaunch(op);
    return success();
  }

  /// Inlined producers need no launch, unless their value itself is wanted.
  bool isReplacedByUsers(Operation *op) {
    if (!isInlined(op))
      return false;
    if (op->hasTrait<OpTrait::ConstantLike>())
      return true;
    return llvm::all_of(op->getUses(), [](OpOperand &use) {
      auto dest = dyn_cast<DestinationStyleOpInterface>(use.getOwner());
      return (dest && dest.isDpsInit(&use)) ||
             isa<tensor::EmptyOp>(use.get().getDefiningOp());
    });
  }

  LogicalResult replaceByAlias(Operation *op) {
    builder.setInsertionPoint(op);
    auto alias = exec::AliasOp::create(
        builder, op->getLoc(), op->getResult(0).getType(), op->getOperand(0));
    op->getResult(0).replaceAllUsesWith(alias.getResult());
    op->erase();
    return success();
  }

  void addOperand(Cluster &cluster, Operation *user, Value value) {
    Operation *producer = value.getDefiningOp();
    if (producer && producer->getBlock() != cluster.root->getBlock())
      return; // defined inside of the region of the root
    bool scalar = !isa<RankedTensorType>(value.getType());
    if (producer &&
        (scalar || isa<tensor::EmptyOp>(producer) || isInit(user, value))) {
      if (isInlined(producer) && !isPlanConstant(producer)) {
        for (Value operand : producer->getOperands())
          addOperand(cluster, producer, operand);
        cluster.inlined.insert(producer);
        return;
      }
    }
    cluster.inputs.insert(value);
  }

  static bool isInit(Operation *user, Value value) {
    auto dest = dyn_cast<DestinationStyleOpInterface>(user);
    return dest && llvm::is_contained(dest.getDpsInits(), value);
  }

  Cluster collect(Operation *op) {
    Cluster cluster{op, {}, {}};
    for (Value operand : op->getOperands())
      addOperand(cluster, op, operand);
    llvm::SetVector<Value> captured;
    for (Region &region : op->getRegions())
      getUsedValuesDefinedAbove(region, captured);
    for (Value value : captured)
      addOperand(cluster, op, value);
    return cluster;
  }

  void replaceByLaunch(Operation *op) {
    Cluster cluster = collect(op);
    std::string kind = getKind(op);
    func::FuncOp kernel = getKernel(cluster, kind);
    StringRef layer = getLayerName(op->getLoc());
    builder.setInsertionPoint(op);
    auto launch =
        exec::LaunchOp::create(builder, op->getLoc(), op->getResultTypes(),
                               FlatSymbolRefAttr::get(kernel.getSymNameAttr()),
                               cluster.inputs.getArrayRef(),
                               layer.empty() ? StringRef(kind) : layer, kind);
    if (isa<nq::RegionOp>(op))
      mlir::remark::analysis(
          op->getLoc(),
          remark::RemarkOpts::name("outline-kernels").category(kRemarkCategory))
          << RemarkArg("layer", launch.getLayer())
          << RemarkArg("entry", entryName) << RemarkArg("index", regions++)
          << RemarkArg("kernel", kernel.getSymName());
    if (std::string requested = getRequested(op); !requested.empty())
      launch->setAttr(kRequestedAttr, builder.getStringAttr(requested));
    op->replaceAllUsesWith(launch.getResults());
    op->erase();
  }

  /// What was asked for in all of a launch: "nvfp4", or "fp8,nvfp4".
  static std::string getRequested(Operation *root) {
    llvm::SetVector<StringRef> names;
    root->walk([&](Operation *op) {
      if (auto name = op->getAttrOfType<StringAttr>(kRequestedAttr))
        names.insert(name);
    });
    return llvm::join(names, ",");
  }

  /// Builds the kernel function, or finds the one that reads the same.
  func::FuncOp getKernel(Cluster &cluster, StringRef kind) {
    builder.setInsertionPointToEnd(module.getBody());
    SmallVector<Type> inputs;
    for (Value value : cluster.inputs)
      inputs.push_back(value.getType());
    auto type = builder.getFunctionType(inputs, cluster.root->getResultTypes());
    auto kernel =
        func::FuncOp::create(builder, builder.getUnknownLoc(), "kernel", type);
    kernel.setPrivate();
    kernel->setAttr(kKernelAttr, builder.getUnitAttr());
    Block *body = kernel.addEntryBlock();
    IRMapping mapping;
    for (auto [value, argument] :
         llvm::zip(cluster.inputs, body->getArguments()))
      mapping.map(value, argument);
    builder.setInsertionPointToEnd(body);
    for (Operation *op : cluster.inlined)
      builder.clone(*op, mapping);
    if (auto region = dyn_cast<nq::RegionOp>(cluster.root))
      fillFromRegion(region, mapping, kernel);
    else
      fillFromOp(cluster.root, mapping);
    // What was asked for is a matter of the launch: kernels are shared.
    kernel.walk([](Operation *op) { op->removeAttr(kRequestedAttr); });
    return unique(kernel, kind);
  }

  void fillFromOp(Operation *op, IRMapping &mapping) {
    Operation *root = builder.clone(*op, mapping);
    func::ReturnOp::create(builder, root->getLoc(), root->getResults());
  }

  /// The body of the region is the kernel.
  void fillFromRegion(nq::RegionOp region, IRMapping &mapping,
                      func::FuncOp kernel) {
    // The CPU has one generator; elsewhere the class says which one it is.
    if (auto name = region->getAttrOfType<StringAttr>(kKernelClassAttr);
        name && !name.getValue().contains(".cpu"))
      kernel->setAttr(kKernelClassAttr, name);
    if (Attribute schedule = region->getAttr(kScheduleAttr))
      kernel->setAttr(kScheduleAttr, schedule);
    for (auto [argument, input] :
         llvm::zip(region.getBlock().getArguments(), region.getInputs()))
      mapping.map(argument, mapping.lookup(input));
    for (Operation &op : region.getBlock().without_terminator())
      builder.clone(op, mapping);
    SmallVector<Value> results =
        llvm::map_to_vector(region.getYield().getValues(),
                            [&](Value value) { return mapping.lookup(value); });
    func::ReturnOp::create(builder, region.getLoc(), results);
  }

  func::FuncOp unique(func::FuncOp kernel, StringRef kind) {
    // Names do not make kernels differ: print without locations.
    std::string text;
    llvm::raw_string_ostream os(text);
    kernel->print(os, OpPrintingFlags().useLocalScope());
    func::FuncOp &known = kernels[text];
    if (known) {
      kernel->erase();
      return known;
    }
    kernel.setSymName(("k" + Twine(kernels.size() - 1) + "_" + kind).str());
    return known = kernel;
  }

  /// Outputs that no launch writes, or that two outputs share, are copied.
  void copyForwardedOutputs(func::FuncOp entry) {
    Operation *terminator = entry.front().getTerminator();
    llvm::DenseSet<Value> taken;
    for (OpOperand &operand : terminator->getOpOperands()) {
      Value root = operand.get();
      while (auto alias = root.getDefiningOp<exec::AliasOp>())
        root = alias.getInput();
      if (root.getDefiningOp<exec::LaunchOp>() && taken.insert(root).second)
        continue;
      operand.set(copy(operand.get(), terminator));
    }
  }

  Value copy(Value value, Operation *before) {
    auto type = cast<RankedTensorType>(value.getType());
    builder.setInsertionPoint(before);
    Location loc = before->getLoc();
    Value init = tensor::EmptyOp::create(builder, loc, type.getShape(),
                                         type.getElementType());
    auto map = builder.getMultiDimIdentityMap(type.getRank());
    SmallVector<utils::IteratorType> loops(type.getRank(),
                                           utils::IteratorType::parallel);
    auto generic = linalg::GenericOp::create(
        builder, loc, type, value, init, ArrayRef<AffineMap>{map, map}, loops,
        [](OpBuilder &b, Location loc, ValueRange args) {
          linalg::YieldOp::create(b, loc, args[0]);
        });
    OpBuilder::InsertionGuard guard(builder);
    Cluster cluster = collect(generic);
    func::FuncOp kernel = getKernel(cluster, "copy");
    builder.setInsertionPoint(generic);
    auto launch =
        exec::LaunchOp::create(builder, loc, generic.getResultTypes(),
                               FlatSymbolRefAttr::get(kernel.getSymNameAttr()),
                               cluster.inputs.getArrayRef(), "output", "copy");
    generic->replaceAllUsesWith(launch.getResults());
    generic->erase();
    remarkCopy(launch);
    return launch.getResult(0);
  }

  /// A kernel that no region asked for.
  void remarkCopy(exec::LaunchOp launch) {
    auto type = cast<RankedTensorType>(launch.getResult(0).getType());
    mlir::remark::analysis(
        launch.getLoc(),
        remark::RemarkOpts::name("outline-kernels").category(kRemarkCategory))
        << RemarkArg("layer", launch.getLayer())
        << RemarkArg("entry", entryName)
        << RemarkArg("kernel", launch.getKernel())
        << RemarkArg("op", launch.getKind())
        << RemarkArg("bytes", nq::getStorageRegions(type).total)
        << RemarkArg("reason",
                     "the output is an input, a constant, a view of another "
                     "shape or another output: its buffer is filled by a copy");
  }

  void eraseDead(func::FuncOp entry) {
    SmallVector<Operation *> ops;
    for (Operation &op : entry.front().without_terminator())
      ops.push_back(&op);
    for (Operation *op : llvm::reverse(ops))
      if (op->use_empty() && !isa<exec::LaunchOp, nq::StateWriteOp>(op))
        op->erase();
  }

  ModuleOp module;
  OpBuilder builder;
  llvm::StringMap<func::FuncOp> kernels;
  StringRef entryName;
  int64_t regions = 0; ///< of the entry point, as select-kernels counts them
};

struct OutlineKernelsPass
    : nibble::impl::OutlineKernelsBase<OutlineKernelsPass> {
  void runOnOperation() override {
    SmallVector<func::FuncOp> entries;
    for (auto function : getOperation().getOps<func::FuncOp>())
      if (function->hasAttr(kEntryAttr))
        entries.push_back(function);
    Outliner outliner(getOperation());
    for (func::FuncOp entry : entries)
      if (failed(outliner.run(entry)))
        return signalPassFailure();
  }
};

} // namespace
