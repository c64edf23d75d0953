// Which elements share a scale: from shapes first, from attributes second.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_OPS_QUANTLAYOUT_H
#define NIBBLE_LIB_IMPORT_OPS_QUANTLAYOUT_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Import/OpImporter.h"

namespace nibble::onnx {

/// Block extents, one per dimension of the quantized tensor
/// (ShapedType::kDynamic = full extent); empty = one scale per tensor.
struct BlockLayout {
  llvm::SmallVector<int64_t> blocks;
  /// Shape of the scales: [] per tensor, else ceil(shape / blocks).
  Shape grid;

  bool isPerTensor() const { return blocks.empty(); }
};

/// What attributes say; absent ones have a value of their own.
struct LayoutAttrs {
  std::optional<int64_t> axis;
  int64_t blockSize = 0; ///< 0: not blocked, or not said
};

/// Layout of scales of shape `scale` on a tensor of shape `x`. [] and [1] mean
/// per tensor (R4); where `attrs` contradict the shapes, the shapes win, with a
/// warning (R11). Reports what does not fit.
mlir::FailureOr<BlockLayout> deduceLayout(NodeContext &n,
                                          llvm::ArrayRef<int64_t> x,
                                          llvm::ArrayRef<int64_t> scale,
                                          LayoutAttrs attrs);

/// Blocks of `blockSize` along `axis`, for dynamic quantization.
mlir::FailureOr<BlockLayout> makeBlockedLayout(NodeContext &n,
                                               llvm::ArrayRef<int64_t> x,
                                               int64_t axis, int64_t blockSize);

/// Layout from explicit extents (-1 = full), one per dimension.
mlir::FailureOr<BlockLayout> makeLayout(NodeContext &n,
                                        llvm::ArrayRef<int64_t> x,
                                        llvm::ArrayRef<int64_t> blockShape);

/// The block list of a scaled type: leading 1s dropped, at least two
/// dimensions kept, so that NVFP4 of any rank is `per 1x16`.
llvm::SmallVector<int64_t> getTypeBlocks(const BlockLayout &layout);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_OPS_QUANTLAYOUT_H
