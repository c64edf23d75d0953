// fuse-gated-mlp: gate and up become one product with the gate as epilogue.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Fuse/Regions.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"

namespace nibble {
#define GEN_PASS_DEF_FUSEGATEDMLP
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct FuseGatedMlpPass : nibble::impl::FuseGatedMlpBase<FuseGatedMlpPass> {
  void runOnOperation() override {
    SmallVector<linalg::GenericOp> gates;
    for (auto op : getOperation().front().getOps<linalg::GenericOp>())
      if (fuse::isElementwise(op))
        gates.push_back(op);
    IRRewriter rewriter(&getContext());
    for (linalg::GenericOp gate : gates)
      fuseGate(rewriter, gate);
  }

  /// The matmuls whose elements the gate combines at the same index.
  static SmallVector<nq::MatmulOp> getProducts(linalg::GenericOp gate) {
    SmallVector<nq::MatmulOp> products;
    for (OpOperand *operand : gate.getDpsInputOperands()) {
      auto matmul = operand->get().getDefiningOp<nq::MatmulOp>();
      if (matmul && fuse::readsSameIndex(gate, operand->get()) &&
          !llvm::is_contained(products, matmul))
        products.push_back(matmul);
    }
    return products;
  }

  /// "" if gate and products can be one kernel.
  static std::string whyNot(linalg::GenericOp gate,
                            ArrayRef<nq::MatmulOp> products) {
    nq::MatmulOp first = products.front();
    for (nq::MatmulOp matmul : products) {
      if (matmul.getA() != first.getA())
        return "the matmuls read different inputs";
      if (fuse::getOnlyUser(matmul.getResult()) != gate)
        return ("the result of '" + getLayerName(matmul.getLoc()) +
                "' has other readers")
            .str();
      if (!matmul.getB().getDefiningOp<nq::ConstantOp>() &&
          !matmul.getB().getDefiningOp<arith::ConstantOp>())
        return ("the weight of '" + getLayerName(matmul.getLoc()) +
                "' is computed at run time")
            .str();
    }
    SmallVector<Operation *> ops(products.begin(), products.end());
    ops.push_back(gate);
    return fuse::whyNotOneRegion(ops);
  }

  static void fuseGate(IRRewriter &rewriter, linalg::GenericOp gate) {
    SmallVector<nq::MatmulOp> products = getProducts(gate);
    if (products.size() != 2)
      return;
    if (std::string why = whyNot(gate, products); !why.empty()) {
      remarkMissed(gate.getLoc(), "fuse-gated-mlp") << RemarkArg("reason", why);
      return;
    }
    SmallVector<Operation *> ops(products.begin(), products.end());
    ops.push_back(gate);
    std::string gateName = getLayerName(products[0].getLoc()).str();
    nq::RegionOp region =
        fuse::makeRegion(rewriter, ops, "gemm", "fuse-gated-mlp");
    remarkDone(region.getLoc(), "fuse-gated-mlp")
        << RemarkArg("chosen", "one product with two weights")
        << RemarkArg("reason", "both read the same input, their product is "
                               "formed on the accumulators; each weight keeps "
                               "its own scales")
        << RemarkArg("with", gateName);
  }
};
} // namespace
