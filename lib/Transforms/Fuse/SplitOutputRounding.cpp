// split-output-rounding: matmul results stay f32, a cast rounds them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

namespace nibble {
#define GEN_PASS_DEF_SPLITOUTPUTROUNDING
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {
struct SplitOutputRoundingPass
    : nibble::impl::SplitOutputRoundingBase<SplitOutputRoundingPass> {
  void runOnOperation() override {
    getOperation().walk([](nq::MatmulOp op) {
      auto type = cast<RankedTensorType>(op.getResult().getType());
      if (!isa<Float16Type, BFloat16Type>(type.getElementType()))
        return;
      OpBuilder builder(op->getContext());
      builder.setInsertionPointAfter(op);
      op.getResult().setType(
          RankedTensorType::get(type.getShape(), builder.getF32Type()));
      auto cast = nq::CastOp::create(builder, op.getLoc(), type, op.getResult(),
                                     /*saturate=*/true, StringAttr());
      op.getResult().replaceAllUsesExcept(cast.getResult(), cast);
    });
  }
};
} // namespace
