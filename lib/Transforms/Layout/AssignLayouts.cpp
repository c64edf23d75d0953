// assign-layouts: every tensor gets one storage layout.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/MapVector.h"

namespace nibble {
#define GEN_PASS_DEF_ASSIGNLAYOUTS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using nq::LayoutAttr;

static RankedTensorType withLayout(Type type, LayoutAttr layout) {
  auto tensor = cast<RankedTensorType>(type);
  return RankedTensorType::get(tensor.getShape(), tensor.getElementType(),
                               layout);
}

static int64_t getBytes(Type type) {
  return nq::getStorageRegions(cast<RankedTensorType>(type)).total;
}

namespace {

/// One reader of a value: an operand of a region, or something that wants it
/// row-major (the graph's output, a reshape).
struct Reader {
  OpOperand *use;
  nq::RequiredLayout wanted;
};

class Assignment {
public:
  Assignment(func::FuncOp entry, StringRef target)
      : entry(entry), target(target), rewriter(entry.getContext()) {}

  void run() {
    SmallVector<Value> values(entry.getArguments());
    for (Operation &op : entry.front())
      for (Value result : op.getResults())
        values.push_back(result);
    for (Value value : values)
      if (isa<RankedTensorType>(value.getType()) && !value.use_empty())
        assign(value);
  }

private:
  SmallVector<Reader> getReaders(Value value) {
    SmallVector<Reader> readers;
    for (OpOperand &use : value.getUses()) {
      nq::RequiredLayout wanted;
      if (auto region = dyn_cast<nq::RegionOp>(use.getOwner()))
        wanted = getRequired(region).operands[use.getOperandNumber()];
      readers.push_back({&use, wanted});
    }
    return readers;
  }

  /// Asked once per region: operands change their types while values are
  /// assigned.
  const nq::RequiredLayouts &getRequired(nq::RegionOp region) {
    auto [it, isNew] = required.try_emplace(region);
    if (!isNew)
      return it->second;
    if (auto kernel = dyn_cast<nq::LayoutInterface>(region.getOperation())) {
      it->second = kernel.getRequiredLayouts(target);
    } else {
      it->second.operands.resize(region.getInputs().size());
      it->second.results.resize(region.getNumResults());
    }
    return it->second;
  }

  void assign(Value value) {
    Operation *producer = value.getDefiningOp();
    if (isa_and_present<nq::ConstantOp, arith::ConstantOp>(producer))
      return assignConstant(value);
    SmallVector<Reader> readers = getReaders(value);
    bool free = isa_and_present<nq::RegionOp>(producer) && isFree(value);
    LayoutAttr layout = free ? choose(value, readers) : LayoutAttr();
    if (layout)
      storeAs(value, layout);
    for (Reader &reader : readers)
      read(reader, layout);
  }

  /// The kernel that computes it can store it anywhere.
  bool isFree(Value value) {
    auto region = value.getDefiningOp<nq::RegionOp>();
    return getRequired(region)
        .results[cast<OpResult>(value).getResultNumber()]
        .any;
  }

  /// The layout that leaves the fewest bytes to be moved by reformats. Readers
  /// that take any do not count.
  static LayoutAttr choose(Value value, ArrayRef<Reader> readers) {
    llvm::MapVector<LayoutAttr, int64_t> wishes;
    for (const Reader &reader : readers)
      if (!reader.wanted.any)
        ++wishes[reader.wanted.layout];
    LayoutAttr best;
    int64_t fewest = std::numeric_limits<int64_t>::max();
    for (auto &[layout, count] : wishes) {
      int64_t others = 0;
      for (auto &[other, otherCount] : wishes)
        if (other != layout)
          others += getBytes(withLayout(value.getType(), layout)) +
                    getBytes(withLayout(value.getType(), other));
      if (others < fewest) {
        fewest = others;
        best = layout;
      }
    }
    return best;
  }

  /// The producer's store addresses the layout: a reformat inside its region.
  void storeAs(Value value, LayoutAttr layout) {
    auto region = value.getDefiningOp<nq::RegionOp>();
    unsigned number = cast<OpResult>(value).getResultNumber();
    nq::YieldOp yield = region.getYield();
    RankedTensorType type = withLayout(value.getType(), layout);
    rewriter.setInsertionPoint(yield);
    Value stored = nq::ReformatOp::create(
        rewriter, yield.getValues()[number].getLoc(), type,
        yield.getValues()[number], rewriter.getStringAttr("absorbed by store"));
    yield.getValuesMutable()[number].assign(stored);
    value.setType(type);
    remarkDone(region.getLoc(), "assign-layouts")
        << RemarkArg("chosen", toString(layout))
        << RemarkArg("bytes", getBytes(type))
        << RemarkArg("reason", "its reader wants it so; the store of the "
                               "producer computes the addresses");
  }

  static std::string toString(LayoutAttr layout) {
    if (!layout)
      return "row-major";
    std::string text;
    llvm::raw_string_ostream(text) << layout;
    return text;
  }

  void read(Reader &reader, LayoutAttr layout) {
    auto region = dyn_cast<nq::RegionOp>(reader.use->getOwner());
    if (!region) {
      if (layout)
        reader.use->set(reformat(reader.use->get(), {}, reader.use->getOwner(),
                                 "it leaves the graph or is reshaped"));
      return;
    }
    if (!reader.wanted.any && reader.wanted.layout != layout)
      reader.use->set(reformat(reader.use->get(), reader.wanted.layout, region,
                               whyNotStored(reader.use->get())));
    LayoutAttr now = reader.wanted.any ? layout : reader.wanted.layout;
    if (now)
      loadFrom(region, reader.use->getOperandNumber(), now, reader.wanted.any);
  }

  static bool isUpdate(nq::RegionOp region, Value value) {
    unsigned number = cast<OpResult>(value).getResultNumber();
    return region.getYield().getValues()[number].getDefiningOp<nq::UpdateOp>();
  }

  /// Why a value does not have the layout that a reader wants.
  StringRef whyNotStored(Value value) {
    Operation *producer = value.getDefiningOp();
    if (!producer)
      return "inputs of the graph are row-major";
    if (fuse::isReshape(producer))
      return "a reshape in front of it needs row-major order";
    if (isa<nq::StateReadOp>(producer))
      return "states are row-major";
    auto region = dyn_cast<nq::RegionOp>(producer);
    if (region && isUpdate(region, value))
      return "its rows are written in place into a state, which is row-major";
    if (!region || !isFree(value))
      return "its producer stores one order only";
    return "its readers want different layouts";
  }

  /// The body sees the layout; loops that do not care undo it by their loads.
  void loadFrom(nq::RegionOp region, unsigned number, LayoutAttr layout,
                bool any) {
    BlockArgument argument = region.getBlock().getArgument(number);
    Type plain = argument.getType();
    argument.setType(withLayout(plain, layout));
    if (!any)
      return;
    rewriter.setInsertionPointToStart(&region.getBlock());
    auto load =
        nq::ReformatOp::create(rewriter, argument.getLoc(), plain, argument,
                               rewriter.getStringAttr("absorbed by load"));
    argument.replaceAllUsesExcept(load.getResult(), load);
  }

  /// A reformat at run time, once per value and layout.
  Value reformat(Value value, LayoutAttr layout, Operation *before,
                 StringRef reason) {
    Value &known = reformats[{value, layout}];
    if (known)
      return known;
    RankedTensorType type = withLayout(value.getType(), layout);
    rewriter.setInsertionPointAfterValue(value);
    known = nq::ReformatOp::create(rewriter, value.getLoc(), type, value,
                                   rewriter.getStringAttr(reason));
    remarkMissed(before->getLoc(), "assign-layouts")
        << RemarkArg("chosen", "reformat at run time")
        << RemarkArg("from", toString(nq::getLayout(value.getType())))
        << RemarkArg("to", toString(layout))
        << RemarkArg("bytes", getBytes(value.getType()) + getBytes(type))
        << RemarkArg("reason", reason);
    return known;
  }

  /// One copy of a constant per layout that is asked for; packed when the
  /// engine is written.
  void assignConstant(Value value) {
    for (OpOperand &use : llvm::make_early_inc_range(value.getUses())) {
      auto region = dyn_cast<nq::RegionOp>(use.getOwner());
      if (!region)
        continue;
      nq::RequiredLayout wanted =
          getRequired(region).operands[use.getOperandNumber()];
      if (wanted.any || !wanted.layout)
        continue;
      loadFrom(region, use.getOperandNumber(), wanted.layout, false);
      use.set(getConstant(value, wanted.layout));
    }
  }

  Value getConstant(Value value, LayoutAttr layout) {
    Value &known = reformats[{value, layout}];
    if (known)
      return known;
    RankedTensorType type = withLayout(value.getType(), layout);
    Operation *producer = value.getDefiningOp();
    rewriter.setInsertionPointAfter(producer);
    if (auto constant = dyn_cast<nq::ConstantOp>(producer)) {
      auto copy = cast<nq::ConstantOp>(rewriter.clone(*constant));
      copy.getResult().setType(type);
      known = copy.getResult();
    } else {
      auto data =
          cast<ElementsAttr>(cast<arith::ConstantOp>(producer).getValue());
      known = nq::ConstantOp::create(rewriter, producer->getLoc(), type, data,
                                     ElementsAttr(), ElementsAttr(),
                                     ElementsAttr());
    }
    remarkDone(value.getLoc(), "assign-layouts")
        << RemarkArg("chosen", toString(layout))
        << RemarkArg("bytes", getBytes(type))
        << RemarkArg("reason", "constants are packed at compile time");
    return known;
  }

  func::FuncOp entry;
  StringRef target;
  IRRewriter rewriter;
  llvm::DenseMap<Operation *, nq::RequiredLayouts> required;
  llvm::DenseMap<std::pair<Value, LayoutAttr>, Value> reformats;
};

struct AssignLayoutsPass : nibble::impl::AssignLayoutsBase<AssignLayoutsPass> {
  using nibble::impl::AssignLayoutsBase<AssignLayoutsPass>::AssignLayoutsBase;

  void runOnOperation() override {
    if (!getOperation()->hasAttr(kEntryAttr))
      return;
    Assignment(getOperation(), target).run();
    // Reformats that are kernels of their own.
    IRRewriter rewriter(&getContext());
    for (auto op : llvm::make_early_inc_range(
             getOperation().front().getOps<nq::ReformatOp>()))
      fuse::makeRegion(rewriter, op.getOperation(), "reformat", "");
  }
};
} // namespace
