// Sliding windows of convolutions and pooling.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_OPS_WINDOW_H
#define NIBBLE_LIB_IMPORT_OPS_WINDOW_H

#include "Indexing.h"

namespace nibble::onnx {

/// One entry per spatial dimension.
struct Window {
  Shape input; ///< extents that the window slides over
  Shape kernel, strides, dilations;
  Shape low, high; ///< padding; `high` as declared
  Shape extra;     ///< more at the end, where ceil_mode needs it
  Shape output;

  size_t rank() const { return kernel.size(); }
  /// Extent that the dilated kernel covers.
  int64_t span(size_t d) const { return (kernel[d] - 1) * dilations[d] + 1; }
  bool isPadded() const;
  /// Windows that tile the input: kernel = stride, no padding, no dilation.
  bool isTiling() const;
};

/// strides, dilations, pads of the node, each checked: one per dimension, and
/// not negative.
mlir::LogicalResult readWindowAttrs(NodeContext &n, Window &window);
/// Who says how much is padded. SameUpper: the odd element at the end.
enum class AutoPad { Given, Valid, SameUpper, SameLower };
/// auto_pad, or a reported failure for a word that it does not have.
mlir::FailureOr<AutoPad> readAutoPad(NodeContext &n);
/// Pads that auto_pad overrules must be 0 or say the same as `resolved`.
mlir::LogicalResult checkOverruledPads(NodeContext &n, const Window &given,
                                       const Window &resolved);
/// Attributes of the node with auto_pad resolved, or a reported failure.
/// `kernel` as given by the weights or by kernel_shape; `ceilMode` as of pools.
mlir::FailureOr<Window> getWindow(NodeContext &n,
                                  llvm::ArrayRef<int64_t> spatial,
                                  llvm::ArrayRef<int64_t> kernel,
                                  bool ceilMode = false);
/// kernel_shape (required); for pooling.
mlir::FailureOr<Shape> getKernelShape(NodeContext &n, size_t rank);

/// x [N, C, spatial..] padded with `value` so that every window lies inside.
Tensor padForWindow(GraphBuilder &build, Tensor x, const Window &window,
                    double value);
/// Indices out * stride + offset * dilation of all spatial dimensions; loops
/// `out` and `offset` are the first of their dimensions in an affine map of
/// `loops` loops.
llvm::SmallVector<mlir::AffineExpr> getWindowExprs(mlir::MLIRContext *context,
                                                   const Window &window,
                                                   unsigned out,
                                                   unsigned offset);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_OPS_WINDOW_H
