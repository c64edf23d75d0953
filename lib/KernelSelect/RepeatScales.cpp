// repeat-scales: scales of square blocks of FP8 weights, once for each row.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ConstantWeight.h"

#include "nibble/KernelSelect/Passes.h"
#include "nibble/Transforms/Remarks.h"

namespace nibble {
#define GEN_PASS_DEF_REPEATSCALES
#include "lib/KernelSelect/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using Format = OperandFormat;

static RankedTensorType tensorOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// FP8 in blocks of several rows, next to activations of 16 bits.
static bool isCandidate(const Product &product) {
  nq::MatmulOp op = product.op;
  RankedTensorType type = tensorOf(op.getB());
  constexpr Format kWide[] = {Format::F16, Format::BF16, Format::F16Codes,
                              Format::Bf16Codes};
  if (product.b != Format::Fp8Block || !llvm::is_contained(kWide, product.a))
    return false;
  nq::ScaledType scaled = nq::getScaledElement(type);
  int64_t row = op.getTransposeB() ? 0 : 1;
  return !scaled.getGlobal() && !scaled.getZeroPoint() &&
         scaled.getBlockFor(type.getShape())[row] > 1;
}

/// The same values with blocks of one row.
static FailureOr<nq::ConstantOp> repeat(OpBuilder &builder,
                                        nq::ConstantOp constant, int64_t row) {
  RankedTensorType type = tensorOf(constant);
  nq::ScaledType scaled = nq::getScaledElement(type);
  SmallVector<char, 0> scratch;
  auto bytes = nq::getRawBytes(*constant.getScales(), scratch);
  if (failed(bytes))
    return constant.emitOpError() << "has no data: its resource was not loaded";
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape()),
                       grid = scaled.getScaleGrid(type.getShape()), one = block;
  one[row] = 1;
  auto element = nq::ScaledType::get(type.getContext(), scaled.getStorage(),
                                     scaled.getScale(), one, Type(), false);
  SmallVector<int64_t> wide = element.getScaleGrid(type.getShape());
  int64_t size = scaled.getScale().getIntOrFloatBitWidth() / 8;
  SmallVector<char, 0> repeated(wide[0] * wide[1] * size);
  for (int64_t i = 0; i < wide[0]; ++i)
    for (int64_t j = 0; j < wide[1]; ++j) {
      int64_t from =
          row == 0 ? i / block[0] * grid[1] + j : i * grid[1] + j / block[1];
      std::copy_n(bytes->data() + from * size, size,
                  repeated.data() + (i * wide[1] + j) * size);
    }
  return nq::ConstantOp::create(builder, constant.getLoc(),
                                RankedTensorType::get(type.getShape(), element),
                                constant.getCodes(),
                                makeBytes(builder, repeated, "rows.scales"),
                                ElementsAttr(), ElementsAttr());
}

namespace {
struct RepeatScalesPass : nibble::impl::RepeatScalesBase<RepeatScalesPass> {
  using nibble::impl::RepeatScalesBase<RepeatScalesPass>::RepeatScalesBase;

  void runOnOperation() override {
    if (failed(replaceGpuWeights(
            getOperation(), target, isCandidate,
            [&](auto region, auto op) { return replace(region, op); })))
      signalPassFailure();
  }

  LogicalResult replace(nq::RegionOp region, nq::MatmulOp op) {
    nq::ConstantOp constant = getConstantWeight(op);
    OpBuilder builder(&getContext());
    builder.setInsertionPointAfter(constant);
    auto rows = repeat(builder, constant, op.getTransposeB() ? 0 : 1);
    if (failed(rows))
      return failure();
    setWeight(region, op, *rows);
    auto bytesOf = [](Value value) {
      return nq::getStorageRegions(tensorOf(value)).scaleBytes;
    };
    remarkDone(op.getLoc(), "repeat-scales")
        << RemarkArg("chosen", "a scale for each row of a block")
        << RemarkArg("bytes", bytesOf(*rows))
        << RemarkArg("instead", bytesOf(constant))
        << RemarkArg("reason", "the kernel loads scales of sums by rows");
    return success();
  }
};
} // namespace
