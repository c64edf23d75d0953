// Layers: what a precision policy sees of a graph.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_QUANTIZE_LAYERS_H
#define NIBBLE_TRANSFORMS_QUANTIZE_LAYERS_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Quantize/PrecisionPolicy.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

namespace nibble {

/// Attributes by which the stage `quantize` hands decisions on.
/// Name of the format that the policy asked for ("nvfp4"); stays on the op, so
/// that later stages can tell what was wanted from what was chosen.
constexpr llvm::StringLiteral kRequestedAttr = "nibble.requested";
/// LayerFormat::str() of what was chosen; gone when the stage has ended.
constexpr llvm::StringLiteral kPrecisionAttr = "nibble.precision";
/// f32: calibrated amax of the activations; gone when the stage has ended.
constexpr llvm::StringLiteral kAmaxAttr = "nibble.amax";
/// f32: amax of the weight, which has been checked; gone when quantized.
constexpr llvm::StringLiteral kWeightAmaxAttr = "nibble.weight_amax";

struct Layer {
  mlir::Operation *op;
  LayerKind kind;
  llvm::StringRef name; ///< ONNX node name; empty if it has none
};

/// Layers of a graph, in program order. Ops that only move or create data are
/// none.
llvm::SmallVector<Layer> collectLayers(mlir::func::FuncOp function);

/// The read of the constant table of an Embedding.
mlir::tensor::ExtractOp getTableRead(mlir::Operation *embedding);

/// The format of kPrecisionAttr; a malformed one is an error at the op. Nothing
/// if the op has none.
mlir::FailureOr<std::optional<LayerFormat>> getPrecision(mlir::Operation *op);

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_QUANTIZE_LAYERS_H
