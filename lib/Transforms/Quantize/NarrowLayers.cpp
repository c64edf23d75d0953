// narrow-layers: f16 and bf16 operands and tables where the policy asks for
// them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "WeightSource.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Passes.h"
#include "nibble/Transforms/Quantize/Layers.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"
#include "mlir/IR/Threading.h"

namespace nibble {
#define GEN_PASS_DEF_NARROWLAYERS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using rt::StorageFormat;

/// A constant rounded to `element`, to nearest, ties to even.
static Value roundConstant(OpBuilder &builder, Location loc,
                           const ConstantSource &source, RankedTensorType type,
                           Type element) {
  constexpr int64_t kPiece = 1 << 15;
  auto format = element.isF16() ? StorageFormat::F16 : StorageFormat::BF16;
  int64_t size = source.size();
  auto blob = HeapAsmResourceBlob::allocate(size * 2, 64);
  char *to = blob.getMutableData().data();
  parallelFor(builder.getContext(), 0, llvm::divideCeil(size, kPiece),
              [&](size_t piece) {
                std::vector<float> values(kPiece);
                int64_t first = piece * kPiece;
                int64_t count = std::min(kPiece, size - first);
                source.read(first, count, values.data());
                rt::encodeArray(format, values.data(), first, count, to);
              });
  auto narrow = RankedTensorType::get(type.getShape(), element);
  ElementsAttr data = DenseResourceElementsAttr::get(
      narrow, source.getName() + (element.isF16() ? ".f16" : ".bf16"),
      std::move(blob));
  return nq::ConstantOp::create(builder, loc, narrow, data, ElementsAttr(),
                                ElementsAttr(), ElementsAttr());
}

namespace {
struct NarrowLayersPass : nibble::impl::NarrowLayersBase<NarrowLayersPass> {
  void runOnOperation() override {
    for (const Layer &layer : collectLayers(getOperation())) {
      auto format = getPrecision(layer.op);
      if (failed(format))
        return signalPassFailure();
      if (!*format || !(*format)->isNarrow())
        continue;
      Builder builder(&getContext());
      narrow(layer, (*format)->precision == Precision::F16
                        ? Type(builder.getF16Type())
                        : Type(builder.getBF16Type()));
      layer.op->removeAttr(kPrecisionAttr);
      report(layer, getSpelling((*format)->precision));
    }
  }

  void narrow(const Layer &layer, Type element) {
    if (auto matmul = dyn_cast<nq::MatmulOp>(layer.op))
      return narrowMatmul(matmul, element);
    if (isa<nq::AttentionOp>(layer.op)) {
      for (OpOperand &operand : layer.op->getOpOperands().take_front(3))
        narrowOperand(operand, element);
      return;
    }
    narrowTable(layer.op, element);
  }

  void narrowMatmul(nq::MatmulOp op, Type element) {
    narrowOperand(op.getAMutable(), element);
    std::string why;
    WeightSource weight = WeightSource::get(op, why);
    if (!weight)
      return narrowOperand(op.getBMutable(), element);
    op.getBMutable().assign(
        getRounded(op, weight.getConstant(), weight.getType(), element));
    op.setTransposeB(!weight.isTransposed());
  }

  void narrowOperand(OpOperand &operand, Type element) {
    auto type = cast<RankedTensorType>(operand.get().getType());
    if (type.getElementType() == element)
      return;
    OpBuilder builder(operand.getOwner());
    operand.set(nq::CastOp::create(
        builder, operand.getOwner()->getLoc(),
        RankedTensorType::get(type.getShape(), element), operand.get(),
        /*saturate=*/true, StringAttr()));
  }

  /// The table holds narrow numbers; what is read from it is widened, exactly.
  void narrowTable(Operation *op, Type element) {
    tensor::ExtractOp read = getTableRead(op);
    Value table = read.getTensor();
    ConstantSource source = ConstantSource::get(table);
    auto type = cast<RankedTensorType>(table.getType());
    if (type.getElementType() == element)
      return;
    read.getTensorMutable().assign(getRounded(op, source, type, element));
    Type wide = read.getType();
    read.getResult().setType(element);
    OpBuilder builder(op->getContext());
    builder.setInsertionPointAfter(read);
    Value value = convert(builder, read.getLoc(), read.getResult(), wide);
    read.getResult().replaceAllUsesExcept(value, value.getDefiningOp());
  }

  /// f16 <-> bf16 goes through f32.
  static Value convert(OpBuilder &builder, Location loc, Value value, Type to) {
    if (to.getIntOrFloatBitWidth() > 16)
      return arith::ExtFOp::create(builder, loc, to, value);
    Value wide =
        arith::ExtFOp::create(builder, loc, builder.getF32Type(), value);
    return arith::TruncFOp::create(builder, loc, to, wide);
  }

  Value getRounded(Operation *op, const ConstantSource &source,
                   RankedTensorType type, Type element) {
    Value &rounded = known[{source.getData(), element}];
    if (!rounded) {
      OpBuilder builder(op);
      rounded = roundConstant(builder, op->getLoc(), source, type, element);
    }
    return rounded;
  }

  void report(const Layer &layer, StringRef chosen) {
    remarkDone(layer.op->getLoc(), "narrow-layers")
        << RemarkArg("kind", getSpelling(layer.kind))
        << RemarkArg("chosen", chosen)
        << RemarkArg("reason", "the policy asks for it");
  }

  llvm::DenseMap<std::pair<Attribute, Type>, Value> known;
};
} // namespace
