// Building fusion regions: which values enter and leave, and where they stand.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"

#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/IRMapping.h"
#include "mlir/Transforms/RegionUtils.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace nibble;

bool fuse::isReshape(Operation *op) {
  return isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op);
}

bool fuse::isRepeated(Operation *op) {
  if (isa<tensor::EmptyOp, linalg::FillOp>(op))
    return true;
  return op->hasTrait<OpTrait::ConstantLike>() &&
         !isa<RankedTensorType>(op->getResult(0).getType());
}

bool fuse::isEffectFree(Operation *op) {
  auto dest = dyn_cast<DestinationStyleOpInterface>(op);
  return isPure(op) || (dest && dest.hasPureTensorSemantics());
}

bool fuse::isProduct(Operation *op) {
  auto region = dyn_cast_if_present<nq::RegionOp>(op);
  return isa_and_present<nq::MatmulOp>(op) ||
         (region && region.getKind() == "gemm");
}

bool fuse::isElementwise(Operation *op) {
  if (isa<nq::CastOp>(op))
    return true;
  auto generic = dyn_cast<linalg::GenericOp>(op);
  return generic && generic->getNumResults() == 1 &&
         generic.getNumReductionLoops() == 0 &&
         generic.getIndexingMapsArray().back().isIdentity() &&
         getKernelClass(op) == "elementwise";
}

bool fuse::readsSameIndex(Operation *user, Value value) {
  auto generic = dyn_cast<linalg::GenericOp>(user);
  if (!generic)
    return true;
  for (OpOperand *operand : generic.getDpsInputOperands())
    if (operand->get() == value &&
        !generic.getMatchingIndexingMap(operand).isIdentity())
      return false;
  return true;
}

std::string fuse::whyNotQuantizedByProducer(nq::QuantizeOp op) {
  Operation *producer = op.getInput().getDefiningOp();
  if (!producer)
    return "it quantizes an input of the graph";
  if (!isKernelOp(producer) || !isEffectFree(producer))
    return ("'" + producer->getName().getStringRef() + "' is no kernel").str();
  auto type = cast<RankedTensorType>(op.getResult().getType());
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (op.getScale())
    return "";
  if (scaled.isPerTensor())
    return "a scale from the maximum of the whole tensor is known only after "
           "all of it is computed";
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  for (int64_t extent : ArrayRef<int64_t>(block).drop_back())
    if (extent != 1)
      return "its blocks span several rows";
  return "";
}

Operation *fuse::getOnlyUser(Value value) {
  Operation *only = nullptr;
  for (Operation *user : value.getUsers()) {
    if (only && user != only)
      return nullptr;
    only = user;
  }
  return only;
}

Value fuse::getSource(Value value) {
  auto argument = dyn_cast<BlockArgument>(value);
  if (!argument)
    return value;
  auto region = dyn_cast<nq::RegionOp>(argument.getOwner()->getParentOp());
  return region ? region.getInputs()[argument.getArgNumber()] : value;
}

/// Metadata of locations that tells siblings from ops that were fused.
static constexpr llvm::StringLiteral kSiblings = "siblings";

Location fuse::getSiblingsLocation(ArrayRef<Operation *> ops) {
  MLIRContext *context = ops.front()->getContext();
  auto locations =
      llvm::map_to_vector(ops, [](Operation *op) { return op->getLoc(); });
  return FusedLoc::get(context, locations, StringAttr::get(context, kSiblings));
}

SmallVector<StringRef> fuse::getSiblingNames(Location loc) {
  auto fused = dyn_cast<FusedLoc>(loc);
  auto note = fused ? dyn_cast_if_present<StringAttr>(fused.getMetadata())
                    : StringAttr();
  if (!note || note.getValue() != kSiblings)
    return {getLayerName(loc)};
  return llvm::map_to_vector(
      fused.getLocations(), [](Location inner) { return getLayerName(inner); });
}

static bool isConstant(Operation *op) {
  return isa<nq::ConstantOp>(op) || op->hasTrait<OpTrait::ConstantLike>();
}

/// An initial value that is wanted for itself, not as what an op overwrites.
static bool isWantedFill(Operation *op) {
  return isa<linalg::FillOp>(op) &&
         llvm::any_of(op->getUses(), [](OpOperand &use) {
           auto dest = dyn_cast<DestinationStyleOpInterface>(use.getOwner());
           return !dest || !dest.isDpsInit(&use);
         });
}

bool fuse::isKernelOp(Operation *op) {
  if (op->hasTrait<OpTrait::IsTerminator>() || isReshape(op) || isConstant(op))
    return false;
  if (isRepeated(op))
    return isWantedFill(op);
  return !isa<nq::StateOp, nq::StateReadOp, nq::StateWriteOp, func::FuncOp>(op);
}

std::string fuse::getKernelClass(Operation *op) {
  if (auto region = dyn_cast<nq::RegionOp>(op))
    return region.getKind().str();
  if (auto generic = dyn_cast<linalg::GenericOp>(op)) {
    bool gathers = op->walk([](tensor::ExtractOp) {
                       return WalkResult::interrupt();
                     }).wasInterrupted();
    if (gathers)
      return "gather";
    return generic.getNumReductionLoops() ? "reduce" : "elementwise";
  }
  if (isa<nq::MatmulOp>(op))
    return "gemm";
  if (auto norm = dyn_cast<nq::NormOp>(op))
    return norm.getStatistics().empty() ? "rowwise" : "elementwise";
  if (isa<linalg::SoftmaxOp>(op))
    return "rowwise";
  if (isa<nq::StatisticsOp>(op))
    return "reduce";
  if (isa<nq::CastOp, nq::DequantizeOp>(op))
    return "elementwise";
  return op->getName().stripDialect().str();
}

//===----------------------------------------------------------------------===//
// What may be put together
//===----------------------------------------------------------------------===//

/// All that an op reads: operands and what its regions capture.
static SetVector<Value> getReads(Operation *op) {
  SetVector<Value> reads;
  reads.insert(op->operand_begin(), op->operand_end());
  for (Region &region : op->getRegions())
    getUsedValuesDefinedAbove(region, reads);
  return reads;
}

static SmallVector<Operation *> inOrder(ArrayRef<Operation *> ops) {
  SmallVector<Operation *> sorted(ops);
  llvm::sort(sorted,
             [](Operation *a, Operation *b) { return a->isBeforeInBlock(b); });
  sorted.erase(llvm::unique(sorted), sorted.end());
  return sorted;
}

/// Ops between the members that need one of their results, in order.
static SetVector<Operation *> getUsersBetween(ArrayRef<Operation *> sorted) {
  llvm::SmallPtrSet<Operation *, 8> members(sorted.begin(), sorted.end());
  SetVector<Operation *> between;
  for (Operation *op = sorted.front(); op != sorted.back();
       op = op->getNextNode()) {
    if (members.contains(op))
      continue;
    for (Value value : getReads(op)) {
      Operation *producer = value.getDefiningOp();
      if (producer &&
          (members.contains(producer) || between.contains(producer)))
        between.insert(op);
    }
  }
  return between;
}

std::string fuse::whyNotOneRegion(ArrayRef<Operation *> ops) {
  SmallVector<Operation *> sorted = inOrder(ops);
  for (Operation *op : sorted)
    if (op->getBlock() != sorted.front()->getBlock())
      return "the ops are not in one block";
  SetVector<Operation *> between = getUsersBetween(sorted);
  for (Operation *op : sorted)
    for (Value value : getReads(op))
      if (Operation *producer = value.getDefiningOp();
          producer && between.contains(producer))
        return ("a value leaves the region and comes back through '" +
                producer->getName().getStringRef() + "' of layer '" +
                getLayerName(producer->getLoc()) + "'")
            .str();
  return "";
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

namespace {
class RegionBuilder {
public:
  RegionBuilder(RewriterBase &rewriter, ArrayRef<Operation *> ops)
      : rewriter(rewriter), sorted(inOrder(ops)),
        members(sorted.begin(), sorted.end()) {}

  nq::RegionOp build(StringRef kind, StringRef pass) {
    collectInputs();
    collectOutputs();
    Operation *last = sorted.back();
    rewriter.setInsertionPoint(last);
    SmallVector<Type> types = llvm::map_to_vector(
        outputs, [](Value value) { return value.getType(); });
    auto region = nq::RegionOp::create(rewriter, getLocation(), types,
                                       rewriter.getStringAttr(kind),
                                       inputs.getArrayRef(), getFusions(pass));
    takeAttributes(region);
    moveUsersBehind(region);
    fillBody(region);
    for (auto [from, to] : llvm::zip(outputs, region.getResults()))
      rewriter.replaceAllUsesWith(from, to);
    for (Operation *op : llvm::reverse(sorted))
      rewriter.eraseOp(op);
    return region;
  }

private:
  void collectInputs() {
    for (Operation *op : sorted)
      for (Value value : getReads(op))
        addInput(value);
  }

  void addInput(Value value) {
    Operation *producer = value.getDefiningOp();
    if (producer && members.contains(producer))
      return;
    if (producer && fuse::isRepeated(producer)) {
      for (Value operand : getReads(producer))
        addInput(operand);
      repeated.insert(producer);
      return;
    }
    inputs.insert(value);
  }

  void collectOutputs() {
    for (Operation *op : sorted)
      for (Value result : op->getResults())
        if (llvm::any_of(result.getUsers(), [&](Operation *user) {
              Operation *ancestor =
                  op->getBlock()->findAncestorOpInBlock(*user);
              return !members.contains(ancestor);
            }))
          outputs.push_back(result);
  }

  /// Locations of all layers, that of the last matmul or attention at the end:
  /// it names the kernel.
  Location getLocation() {
    SetVector<Location> all;
    std::optional<Location> root;
    auto note = [&](Operation *op) {
      all.insert(op->getLoc());
      if (isa<nq::MatmulOp, nq::AttentionOp>(op))
        root = op->getLoc();
    };
    for (Operation *op : sorted) {
      if (auto region = dyn_cast<nq::RegionOp>(op)) {
        for (Operation &inner : region.getBlock().without_terminator())
          note(&inner);
        continue;
      }
      note(op);
    }
    if (root) {
      all.remove(*root);
      all.insert(*root);
    }
    return FusedLoc::get(rewriter.getContext(), all.getArrayRef());
  }

  ArrayAttr getFusions(StringRef pass) {
    SetVector<Attribute> names;
    for (Operation *op : sorted)
      if (auto region = dyn_cast<nq::RegionOp>(op))
        if (ArrayAttr fused = region.getFusedAttr())
          names.insert(fused.begin(), fused.end());
    if (!pass.empty())
      names.insert(rewriter.getStringAttr(pass));
    return names.empty() ? ArrayAttr()
                         : rewriter.getArrayAttr(names.getArrayRef());
  }

  void takeAttributes(nq::RegionOp region) {
    for (Operation *op : sorted)
      if (isa<nq::RegionOp>(op))
        for (NamedAttribute attr : op->getDiscardableAttrs())
          region->setDiscardableAttr(attr.getName(), attr.getValue());
  }

  /// They read results of the region, which stands where the last op stood.
  void moveUsersBehind(nq::RegionOp region) {
    Operation *after = sorted.back();
    for (Operation *op : getUsersBetween(sorted)) {
      rewriter.moveOpAfter(op, after);
      after = op;
    }
  }

  void fillBody(nq::RegionOp region) {
    Block *body = rewriter.createBlock(&region.getBody());
    IRMapping mapping;
    for (Value input : inputs)
      mapping.map(input, body->addArgument(input.getType(), input.getLoc()));
    rewriter.setInsertionPointToEnd(body);
    for (Operation *op : repeated)
      rewriter.clone(*op, mapping);
    for (Operation *op : sorted)
      cloneInto(op, mapping);
    SmallVector<Value> yielded = llvm::map_to_vector(
        outputs, [&](Value value) { return mapping.lookup(value); });
    nq::YieldOp::create(rewriter, region.getLoc(), yielded);
  }

  void cloneInto(Operation *op, IRMapping &mapping) {
    auto region = dyn_cast<nq::RegionOp>(op);
    if (!region) {
      rewriter.clone(*op, mapping);
      return;
    }
    for (auto [argument, input] :
         llvm::zip(region.getBlock().getArguments(), region.getInputs()))
      mapping.map(argument, mapping.lookup(input));
    for (Operation &inner : region.getBlock().without_terminator())
      rewriter.clone(inner, mapping);
    for (auto [result, value] :
         llvm::zip(region.getResults(), region.getYield().getValues()))
      mapping.map(result, mapping.lookup(value));
  }

  RewriterBase &rewriter;
  SmallVector<Operation *> sorted;
  llvm::SmallPtrSet<Operation *, 8> members;
  SetVector<Value> inputs;
  SetVector<Operation *> repeated;
  SmallVector<Value> outputs;
};
} // namespace

nq::RegionOp fuse::makeRegion(RewriterBase &rewriter, ArrayRef<Operation *> ops,
                              StringRef kind, StringRef pass) {
  return RegionBuilder(rewriter, ops).build(kind, pass);
}

nq::RegionOp fuse::addResults(RewriterBase &rewriter, nq::RegionOp region,
                              ValueRange values) {
  nq::YieldOp yield = region.getYield();
  yield.getValuesMutable().append(values);
  rewriter.setInsertionPoint(region);
  auto wider = nq::RegionOp::create(
      rewriter, region.getLoc(), yield.getValues().getTypes(),
      region.getKindAttr(), region.getInputs(), region.getFusedAttr());
  wider->setDiscardableAttrs(region->getDiscardableAttrDictionary());
  rewriter.inlineRegionBefore(region.getBody(), wider.getBody(),
                              wider.getBody().end());
  rewriter.replaceAllUsesWith(
      region.getResults(),
      wider.getResults().take_front(region.getNumResults()));
  rewriter.eraseOp(region);
  return wider;
}

void fuse::noteFusion(nq::RegionOp region, StringRef pass) {
  SetVector<Attribute> names;
  if (ArrayAttr fused = region.getFusedAttr())
    names.insert(fused.begin(), fused.end());
  names.insert(StringAttr::get(region.getContext(), pass));
  region.setFusedAttr(ArrayAttr::get(region.getContext(), names.getArrayRef()));
}

void fuse::dissolveRegion(RewriterBase &rewriter, nq::RegionOp region) {
  nq::YieldOp yield = region.getYield();
  SmallVector<Value> values(yield.getValues());
  IRMapping mapping;
  mapping.map(region.getBlock().getArguments(), region.getInputs());
  rewriter.setInsertionPoint(region);
  for (Operation &op : region.getBlock().without_terminator())
    rewriter.clone(op, mapping);
  SmallVector<Value> results = llvm::map_to_vector(
      values, [&](Value value) { return mapping.lookupOrDefault(value); });
  rewriter.replaceOp(region, results);
}
