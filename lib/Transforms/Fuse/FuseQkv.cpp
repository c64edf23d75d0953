// fuse-qkv: products that read one input become one product with several
// weights.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
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
  }

  static bool hasConstantWeight(nq::MatmulOp op) {
    Operation *producer = op.getB().getDefiningOp();
    return cast<RankedTensorType>(op.getB().getType()).getRank() == 2 &&
           isa_and_present<nq::ConstantOp, arith::ConstantOp>(producer);
  }

  /// What may follow a product up to attention: bias, scale, conversion, split
  /// into heads, rotation, transposition of heads and positions.
  static bool isTail(Operation *op, Value value) {
    if (fuse::isElementwise(op))
      return fuse::readsSameIndex(op, value);
    if (auto rope = dyn_cast<nq::RopeOp>(op))
      return rope.getInput() == value;
    return isa<tensor::ExpandShapeOp, linalg::TransposeOp>(op);
  }

  /// The product and the ops that follow it, each the only reader of the one
  /// before it.
  static SmallVector<Operation *> getChain(nq::MatmulOp product) {
    SmallVector<Operation *> chain{product};
    while (true) {
      Value value = chain.back()->getResult(0);
      Operation *user = fuse::getOnlyUser(value);
      if (!user || !isTail(user, value))
        break;
      chain.push_back(user);
    }
    // A reshape at the end is no work: it stays outside.
    while (fuse::isReshape(chain.back()))
      chain.pop_back();
    return chain;
  }

  static void fuseProducts(IRRewriter &rewriter, Products all) {
    SmallVector<Operation *> ops;
    std::string names;
    for (nq::MatmulOp product : all) {
      ops.append(getChain(product));
      names +=
          (names.empty() ? "" : ", ") + getLayerName(product.getLoc()).str();
    }
    if (std::string why = fuse::whyNotOneRegion(ops); !why.empty()) {
      remarkMissed(all.back().getLoc(), "fuse-qkv") << RemarkArg("reason", why);
      return;
    }
    nq::RegionOp region = fuse::makeRegion(rewriter, ops, "gemm", "fuse-qkv");
    remarkDone(region.getLoc(), "fuse-qkv")
        << RemarkArg("chosen", "one product with " +
                                   std::to_string(all.size()) + " weights")
        << RemarkArg("with", names)
        << RemarkArg("reason",
                     "they read the same input; each weight keeps its "
                     "own scales");
  }
};
} // namespace
