// fuse-matmul-epilogue: what follows a product elementwise runs on its
// accumulators.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEMATMULEPILOGUE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct FuseMatmulEpiloguePass
    : nibble::impl::FuseMatmulEpilogueBase<FuseMatmulEpiloguePass> {
  void runOnOperation() override {
    SmallVector<Operation *> products;
    for (Operation &op : getOperation().front())
      if (fuse::isProduct(&op))
        products.push_back(&op);
    IRRewriter rewriter(&getContext());
    // From the end: an op that joins two products belongs to the later one.
    for (Operation *product : llvm::reverse(products))
      while (product)
        product = extend(rewriter, product);
  }

  /// The product with one more op at its end; null if there is none.
  static Operation *extend(IRRewriter &rewriter, Operation *product) {
    for (Value result : product->getResults()) {
      Operation *user = fuse::getOnlyUser(result);
      if (!user || !fuse::isElementwise(user) ||
          !fuse::readsSameIndex(user, result))
        continue;
      std::string why = fuse::whyNotOneRegion({product, user});
      if (!why.empty()) {
        remarkMissed(user->getLoc(), "fuse-matmul-epilogue")
            << RemarkArg("reason", why);
        continue;
      }
      std::string name = getLayerName(user->getLoc()).str();
      nq::RegionOp region = fuse::makeRegion(rewriter, {product, user}, "gemm",
                                             "fuse-matmul-epilogue");
      remarkDone(region.getLoc(), "fuse-matmul-epilogue")
          << RemarkArg("chosen", "epilogue") << RemarkArg("with", name)
          << RemarkArg("reason", "it is the only reader of the product and "
                                 "reads it element by element");
      return region;
    }
    return nullptr;
  }
};
} // namespace
