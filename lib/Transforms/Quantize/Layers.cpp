// Layers: classification of the ops of a graph.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/Quantize/Layers.h"

#include "WeightSource.h"

#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble;

static bool isTensorConstant(Value value) {
  return isa<RankedTensorType>(value.getType()) &&
         (value.getDefiningOp<nq::ConstantOp>() ||
          value.getDefiningOp<arith::ConstantOp>());
}

/// A generic that yields an element of a constant float table at a computed
/// place.
tensor::ExtractOp nibble::getTableRead(Operation *op) {
  auto generic = dyn_cast<linalg::GenericOp>(op);
  if (!generic || generic.getNumResults() != 1)
    return {};
  auto yield = cast<linalg::YieldOp>(generic.getBody()->getTerminator());
  auto read = yield.getOperand(0).getDefiningOp<tensor::ExtractOp>();
  if (!read || !isTensorConstant(read.getTensor()) ||
      !isa<FloatType>(read.getType()) ||
      cast<RankedTensorType>(read.getTensor().getType()).getRank() < 2)
    return {};
  return read;
}

/// Sums of products with a constant of several dimensions.
static bool isConvolution(linalg::LinalgOp op) {
  return op.getNumReductionLoops() > 0 && op.getNumDpsInputs() > 1 &&
         llvm::any_of(op.getDpsInputs(), [](Value input) {
           auto type = dyn_cast<RankedTensorType>(input.getType());
           return type && type.getRank() > 1 && isTensorConstant(input) &&
                  isa<FloatType>(type.getElementType());
         });
}

static std::optional<LayerKind> classify(Operation *op) {
  if (auto matmul = dyn_cast<nq::MatmulOp>(op))
    return WeightSource::isLinear(matmul) ? LayerKind::Linear
                                          : LayerKind::Product;
  if (isa<nq::AttentionOp>(op))
    return LayerKind::Attention;
  if (isa<nq::NormOp>(op))
    return LayerKind::Norm;
  if (getTableRead(op))
    return LayerKind::Embedding;
  if (isa<linalg::FillOp, linalg::TransposeOp, linalg::BroadcastOp,
          linalg::CopyOp>(op))
    return std::nullopt;
  bool hasFloats = llvm::any_of(op->getResultTypes(), [](Type type) {
    auto tensor = dyn_cast<RankedTensorType>(type);
    return tensor && isa<FloatType>(tensor.getElementType());
  });
  if (!hasFloats)
    return std::nullopt;
  if (auto linalgOp = dyn_cast<linalg::LinalgOp>(op))
    return isConvolution(linalgOp) ? LayerKind::Convolution : LayerKind::Other;
  if (isa<linalg::SoftmaxOp, nq::RopeOp, nq::CastOp>(op))
    return LayerKind::Other;
  return std::nullopt;
}

SmallVector<Layer> nibble::collectLayers(func::FuncOp function) {
  SmallVector<Layer> layers;
  if (function.isExternal())
    return layers;
  for (Operation &op : function.front())
    if (auto kind = classify(&op))
      layers.push_back({&op, *kind, getLayerName(op.getLoc())});
  return layers;
}

FailureOr<std::optional<LayerFormat>> nibble::getPrecision(Operation *op) {
  Attribute attr = op->getAttr(kPrecisionAttr);
  if (!attr)
    return std::optional<LayerFormat>();
  auto text = dyn_cast<StringAttr>(attr);
  if (!text)
    return op->emitOpError()
           << kPrecisionAttr << " must be a string, not " << attr;
  auto format = LayerFormat::parse(text.getValue());
  if (!format)
    return op->emitOpError()
           << kPrecisionAttr << ": " << llvm::toString(format.takeError());
  return std::optional<LayerFormat>(*format);
}
