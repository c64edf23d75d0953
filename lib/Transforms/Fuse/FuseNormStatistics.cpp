// fuse-norm-statistics: a product sums the rows it stores for the norm behind.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/RowStatistics.h"
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace nibble {
#define GEN_PASS_DEF_FUSENORMSTATISTICS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static SmallVector<ReassociationIndices> getReassociation(Operation *reshape) {
  if (auto expand = dyn_cast<tensor::ExpandShapeOp>(reshape))
    return expand.getReassociationIndices();
  return cast<tensor::CollapseShapeOp>(reshape).getReassociationIndices();
}

namespace {

/// A norm behind a product: result `result` of `product` is, after `reshapes`,
/// what `norm` normalizes inside of region `reader`.
struct Pair {
  nq::RegionOp product, reader;
  unsigned result = 0;
  SmallVector<Operation *> reshapes; ///< in the order of the graph
  nq::NormOp norm;

  Value getStored() { return product.getYield().getValues()[result]; }
};

} // namespace

/// The product whose result a norm reads as it is stored; nothing if it reads
/// anything else.
static std::optional<Pair> findPair(nq::NormOp norm) {
  auto reader = norm->getParentOfType<nq::RegionOp>();
  auto argument = dyn_cast<BlockArgument>(norm.getInput());
  if (!reader || !argument || !norm.getStatistics().empty())
    return std::nullopt;
  Pair pair;
  pair.reader = reader;
  pair.norm = norm;
  Value value = reader.getInputs()[argument.getArgNumber()];
  while (Operation *op = value.getDefiningOp()) {
    if (!fuse::isReshape(op))
      break;
    pair.reshapes.insert(pair.reshapes.begin(), op);
    value = op->getOperand(0);
  }
  pair.product = value.getDefiningOp<nq::RegionOp>();
  if (!pair.product || !fuse::isProduct(pair.product))
    return std::nullopt;
  pair.result = cast<OpResult>(value).getResultNumber();
  return pair;
}

/// "" if statistics of the rows of the product are those of the norm, and a
/// tile of columns of the product is one of them.
static std::string whyNot(Pair &pair) {
  RankedTensorType stored = tensorOf(pair.getStored());
  auto matmuls = pair.product.getBlock().getOps<nq::MatmulOp>();
  if (int64_t(pair.norm.getAxis()) !=
      tensorOf(pair.norm.getInput()).getRank() - 1)
    return "the norm is over several dimensions";
  if (matmuls.empty() || stored.getRank() == 0 ||
      stored.getShape().back() != (*matmuls.begin()).getN())
    return "rows of the norm are no whole rows of the product";
  if (isa_and_present<nq::UpdateOp>(pair.getStored().getDefiningOp()))
    return "its rows are written into a state";
  for (Operation *reshape : pair.reshapes)
    if (getReassociation(reshape).empty() ||
        getReassociation(reshape).back().size() != 1)
      return "a reshape between them cuts or joins rows";
  if (stored.getNumElements() == 0)
    return "there are no elements";
  return "";
}

/// `sums` in the shape that `reshape` gives to the rows they are of.
static Value reshapeLike(OpBuilder &builder, Operation *reshape, Value sums) {
  Value rows = reshape->getResult(0);
  SmallVector<int64_t> shape(tensorOf(rows).getShape());
  shape.back() = tensorOf(sums).getShape().back();
  auto type = RankedTensorType::get(shape, tensorOf(sums).getElementType());
  if (isa<tensor::ExpandShapeOp>(reshape))
    return tensor::ExpandShapeOp::create(builder, reshape->getLoc(), type, sums,
                                         getReassociation(reshape));
  return tensor::CollapseShapeOp::create(builder, reshape->getLoc(), type, sums,
                                         getReassociation(reshape));
}

namespace {
struct FuseNormStatisticsPass
    : nibble::impl::FuseNormStatisticsBase<FuseNormStatisticsPass> {
  using nibble::impl::FuseNormStatisticsBase<
      FuseNormStatisticsPass>::FuseNormStatisticsBase;

  void runOnOperation() override {
    std::optional<Machine> machine = getMachine(target, getOperation());
    if (!machine)
      return signalPassFailure();
    if (tile < 1) {
      getOperation().emitError()
          << "tiles of " << int64_t(tile) << " columns: use 1 or more";
      return signalPassFailure();
    }
    SmallVector<nq::NormOp> norms;
    getOperation().walk([&](nq::NormOp op) { norms.push_back(op); });
    IRRewriter rewriter(&getContext());
    for (nq::NormOp norm : norms)
      if (std::optional<Pair> pair = findPair(norm))
        decide(rewriter, *machine, *pair);
  }

private:
  void decide(IRRewriter &rewriter, const Machine &machine, Pair &pair) {
    std::string why = whyNot(pair);
    if (!why.empty())
      return remarkKept(pair, why);
    if (!machine.writesRowSums() && !force)
      return remarkKept(pair, "products of this target do not write sums of "
                              "rows yet: they would be launches of their own");
    RankedTensorType stored = tensorOf(pair.getStored());
    int64_t columns = stored.getShape().back();
    StatisticsVerdict verdict = judgeStatistics(
        machine, {stored.getNumElements() / columns, columns,
                  nq::getPlainBytes(stored.getElementType(), 1), tile,
                  nq::StatisticsOp::getCount(pair.norm.getKind())});
    if (!verdict.pays && !force)
      return remarkKept(pair, verdict.reason);
    std::string product = getLayerName(pair.product.getLoc()).str();
    fuseStatistics(rewriter, pair);
    remarkDone(pair.norm.getLoc(), getArgument())
        << RemarkArg("chosen", "statistics of rows by the product in front")
        << RemarkArg("with", product)
        << RemarkArg("reason", verdict.pays
                                   ? verdict.reason
                                   : "asked for, although: " + verdict.reason);
  }

  void remarkKept(Pair &pair, StringRef reason) {
    remarkMissed(pair.norm.getLoc(), getArgument())
        << RemarkArg("chosen", "the norm reads its rows first")
        << RemarkArg("rejected", "statistics of rows by the product in front")
        << RemarkArg("reason", reason);
  }

  void fuseStatistics(IRRewriter &rewriter, Pair &pair) {
    SmallVector<Value> sums = getSums(rewriter, pair);
    for (Operation *reshape : pair.reshapes) {
      rewriter.setInsertionPointAfter(reshape);
      for (Value &value : sums)
        value = reshapeLike(rewriter, reshape, value);
    }
    readSums(pair, sums);
    fuse::noteFusion(pair.product, getArgument());
    fuse::noteFusion(pair.reader, getArgument());
  }

  /// Results of the product, made here unless another norm has asked for them.
  SmallVector<Value> getSums(IRRewriter &rewriter, Pair &pair) {
    Value stored = pair.getStored();
    nq::NormKind kind = pair.norm.getKind();
    nq::StatisticsOp known;
    for (Operation *user : stored.getUsers())
      if (auto op = dyn_cast<nq::StatisticsOp>(user);
          op && op.getKind() == kind && int64_t(op.getTile()) == tile)
        known = op;
    if (!known) {
      rewriter.setInsertionPoint(pair.product.getYield());
      SmallVector<Type> types(
          nq::StatisticsOp::getCount(kind),
          nq::StatisticsOp::getType(tensorOf(stored), tile));
      known = nq::StatisticsOp::create(rewriter, pair.norm.getLoc(), types,
                                       kind, stored, tile);
      pair.product = fuse::addResults(rewriter, pair.product, known.getSums());
    }
    SmallVector<Value> sums;
    for (auto [i, value] : llvm::enumerate(pair.product.getYield().getValues()))
      if (value.getDefiningOp() == known)
        sums.push_back(pair.product.getResult(i));
    return sums;
  }

  /// The norm takes the sums: its region is elementwise, if nothing else in it
  /// needs whole rows.
  void readSums(Pair &pair, ArrayRef<Value> sums) {
    Block &body = pair.reader.getBlock();
    pair.reader.getInputsMutable().append(sums);
    for (Value value : sums)
      pair.norm.getStatisticsMutable().append(
          ValueRange(body.addArgument(value.getType(), value.getLoc())));
    pair.norm.setTile(tile);
    bool needsRows = llvm::any_of(body.without_terminator(), [](Operation &op) {
      std::string kind = fuse::getKernelClass(&op);
      return kind == "rowwise" || kind == "reduce";
    });
    if (!needsRows)
      pair.reader.setKind("elementwise");
  }
};
} // namespace
