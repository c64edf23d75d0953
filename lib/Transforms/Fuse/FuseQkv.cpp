// fuse-qkv: products that read one input become one product with several
// weights.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ColumnSlices.h"

#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/MapVector.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEQKV
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct FuseQkvPass : nibble::impl::FuseQkvBase<FuseQkvPass> {
  using FuseQkvBase::FuseQkvBase;
  using Products = SmallVector<nq::MatmulOp>;

  void runOnOperation() override {
    llvm::MapVector<Value, Products> byInput;
    for (auto op : getOperation().front().getOps<nq::MatmulOp>())
      if (hasConstantWeight(op))
        byInput[op.getA()].push_back(op);
    IRRewriter rewriter(&getContext());
    for (auto &[input, products] : byInput)
      if (products.size() > 1)
        fuseProducts(rewriter, products);
      else if (views)
        fuseSlices(rewriter, products.front());
  }

  static bool hasConstantWeight(nq::MatmulOp op) {
    Operation *producer = op.getB().getDefiningOp();
    return cast<RankedTensorType>(op.getB().getType()).getRank() == 2 &&
           isa_and_present<nq::ConstantOp, arith::ConstantOp>(producer);
  }

  /// What may follow a product up to attention: bias, scale, conversion, split
  /// into heads, rotation, transposition of heads and positions; on GPUs, a
  /// quantization to scales that are known, of which a cache takes the codes
  /// alone.
  bool isTail(Operation *op, Value value) const {
    if (fuse::isElementwise(op))
      return fuse::readsSameIndex(op, value);
    if (auto quantize = dyn_cast<nq::QuantizeOp>(op))
      return views && quantize.getInput() == value && quantize.getScale();
    if (isa<nq::CodesOp>(op))
      return views;
    if (auto rope = dyn_cast<nq::RopeOp>(op))
      return rope.getInput() == value;
    return isa<tensor::ExpandShapeOp, linalg::TransposeOp>(op);
  }

  //===--------------------------------------------------------------------===//
  // Rows of a state
  //===--------------------------------------------------------------------===//

  static Value throughReshapes(Value value) {
    while (Operation *op = value.getDefiningOp()) {
      if (!fuse::isReshape(op))
        break;
      value = op->getOperand(0);
    }
    return value;
  }

  static std::string describe(Operation *op) {
    return ("'" + op->getName().getStringRef() + "' of layer '" +
            getLayerName(op->getLoc()) + "'")
        .str();
  }

  /// Who else reads `value`, maybe in another shape; null if nobody does.
  static Operation *findOtherReader(Value value, nq::UpdateOp update) {
    for (Operation *user : value.getUsers()) {
      if (user == update)
        continue;
      if (!fuse::isReshape(user))
        return user;
      if (Operation *found = findOtherReader(user->getResult(0), update))
        return found;
    }
    return nullptr;
  }

  /// "" if the store of `rows` can put them where the old value lies. Kernels
  /// that an update ends always run in place (nibble/Analysis/InPlace.h).
  static std::string whyNotStored(nq::UpdateOp update, Value rows) {
    Value old = throughReshapes(update.getInput());
    Operation *producer = old.getDefiningOp();
    if (update.getRows() != rows || throughReshapes(rows) == old)
      return "the product is the value that is updated, or the position";
    if (isa_and_present<nq::UpdateOp>(producer))
      return describe(producer) + " updates the same value before";
    if (producer && !isa<nq::StateReadOp>(producer))
      return "the old value is no state: " + describe(producer) +
             " computes it";
    if (Operation *reader = findOtherReader(old, update))
      return describe(reader) + (isa<nq::UpdateOp>(reader)
                                     ? " updates the same value"
                                     : " reads the old value");
    for (Operation *user : update->getUsers())
      if (auto next = dyn_cast<nq::UpdateOp>(user);
          next && next.getInput() == update.getResult())
        return describe(user) + " updates the same value again";
    if (int64_t(update.getAxis()) + 1 ==
        cast<RankedTensorType>(update.getResult().getType()).getRank())
      return "positions are the innermost axis: the store would write single "
             "elements";
    return "";
  }

  /// True if the rows that end the chain go into a state that the region may
  /// write.
  static bool isStored(nq::UpdateOp update, Value rows) {
    std::string why = whyNotStored(update, rows);
    if (!why.empty())
      remarkNotStored(update, why);
    return why.empty();
  }

  static void remarkNotStored(Operation *update, const std::string &why) {
    remarkMissed(update->getLoc(), "fuse-qkv")
        << RemarkArg("chosen", "a kernel of its own")
        << RemarkArg("rejected", "rows stored by the product")
        << RemarkArg("reason", why);
  }

  //===--------------------------------------------------------------------===//
  // Regions
  //===--------------------------------------------------------------------===//

  /// The product and the ops that follow it, each the only reader of the one
  /// before it.
  SmallVector<Operation *> getChain(Operation *product) const {
    SmallVector<Operation *> chain{product};
    while (true) {
      Value value = chain.back()->getResult(0);
      Operation *user = fuse::getOnlyUser(value);
      auto update = dyn_cast_if_present<nq::UpdateOp>(user);
      if (update && isStored(update, value)) {
        chain.push_back(update);
        return chain;
      }
      if (!user || !isTail(user, value))
        break;
      chain.push_back(user);
    }
    // A reshape at the end is no work: it stays outside.
    while (fuse::isReshape(chain.back()))
      chain.pop_back();
    return chain;
  }

  /// Writes of states stay outside, for the reason `why`; false if there are
  /// none. A reshape in front of one is no work: it stays outside, too.
  static bool dropUpdates(SmallVectorImpl<Operation *> &ops,
                          const std::string &why) {
    SmallVector<Operation *> kept;
    for (Operation *op : ops) {
      if (!isa<nq::UpdateOp>(op)) {
        kept.push_back(op);
        continue;
      }
      remarkNotStored(op, why);
      while (fuse::isReshape(kept.back()))
        kept.pop_back();
    }
    bool any = kept.size() != ops.size();
    ops.assign(kept);
    return any;
  }

  void fuseProducts(IRRewriter &rewriter, Products all) {
    SmallVector<Operation *> ops;
    std::string names;
    for (nq::MatmulOp product : all) {
      ops.append(getChain(product));
      names +=
          (names.empty() ? "" : ", ") + getLayerName(product.getLoc()).str();
    }
    fuseOps(rewriter, ops, all.back(),
            "one product with " + std::to_string(all.size()) + " weights",
            names,
            "they read the same input; each weight keeps its own scales");
  }

  static void fuseOps(IRRewriter &rewriter, SmallVector<Operation *> &ops,
                      nq::MatmulOp last, std::string chosen,
                      const std::string &names, StringRef reason) {
    std::string why = fuse::whyNotOneRegion(ops);
    if (!why.empty() && dropUpdates(ops, why))
      why = fuse::whyNotOneRegion(ops);
    if (!why.empty()) {
      remarkMissed(last.getLoc(), "fuse-qkv") << RemarkArg("reason", why);
      return;
    }
    size_t states = llvm::count_if(ops, llvm::IsaPred<nq::UpdateOp>);
    nq::RegionOp region = fuse::makeRegion(rewriter, ops, "gemm", "fuse-qkv");
    if (states)
      chosen += ", rows stored into " + std::to_string(states) + " states";
    remarkDone(region.getLoc(), "fuse-qkv")
        << RemarkArg("chosen", chosen) << RemarkArg("with", names)
        << RemarkArg("reason", reason);
  }

  //===--------------------------------------------------------------------===//
  // Slices of one product
  //===--------------------------------------------------------------------===//

  /// True if the ops behind a slice compute something, or if a reader at their
  /// end wants it in a buffer of its own. What is left reads it in place.
  static bool isWork(ArrayRef<Operation *> chain) {
    if (!llvm::all_of(chain, fuse::isMove))
      return true;
    Value end = chain.back()->getResult(0);
    return llvm::any_of(fuse::getMovedReaders(end),
                        [](const fuse::MovedReader &reader) {
                          return !fuse::whyNotReadInPlace(reader.op).empty();
                        });
  }

  /// A chain that would leave the region and come back stays outside, all of it
  /// or the writes of states at its end.
  static bool addChain(SmallVector<Operation *> &ops,
                       SmallVector<Operation *> &chain) {
    auto whyNot = [&] {
      SmallVector<Operation *> more(ops);
      more.append(chain);
      return fuse::whyNotOneRegion(more);
    };
    std::string why = whyNot();
    if (!why.empty() && dropUpdates(chain, why))
      why = whyNot();
    if (why.empty())
      ops.append(chain);
    else
      remarkMissed(chain.back()->getLoc(), "fuse-qkv")
          << RemarkArg("chosen", "a kernel of its own")
          << RemarkArg("reason", why);
    return why.empty();
  }

  void fuseSlices(IRRewriter &rewriter, nq::MatmulOp product) {
    SmallVector<Operation *> ops{product};
    Value value = product.getResult();
    while (Operation *user = fuse::getOnlyUser(value)) {
      if (!fuse::isElementwise(user) || !fuse::readsSameIndex(user, value))
        break;
      ops.push_back(user);
      value = user->getResult(0);
    }
    SmallVector<std::string> names;
    SmallVector<Operation *> users(value.getUsers());
    for (Operation *user : llvm::reverse(users)) {
      if (!fuse::isColumnSlice(user))
        continue;
      SmallVector<Operation *> chain = getChain(user);
      if (!isWork(chain) || !addChain(ops, chain))
        continue;
      names.push_back(getLayerName(user->getLoc()).str());
    }
    if (!names.empty())
      fuseOps(rewriter, ops, product, "one product, slices of its columns",
              llvm::join(names, ", "),
              "what follows reads its columns where they are");
  }
};
} // namespace
