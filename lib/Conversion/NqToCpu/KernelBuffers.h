// The buffers of the tensors of a kernel, in the function on memory that it
// becomes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELBUFFERS_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELBUFFERS_H

#include "KernelStages.h"

namespace nibble {
namespace cpu {

class KernelBuffers {
public:
  explicit KernelBuffers(mlir::func::FuncOp kernel)
      : b(kernel.getLoc(), kernel.getContext()), kernel(kernel) {}

  /// Flat: elements of a plain tensor as `storageType` (a layout's padding
  /// included), bytes of a packed or scaled one.
  mlir::MemRefType bufferType(mlir::Type type);

  /// Buffers of the operands, the results and the constants. `arguments` are
  /// those of the function: operands first, then results. Constants become
  /// globals `symbol`_constantN in front of `function`.
  void bindArguments(KernelGraph &graph, const KernelStages &stages,
                     mlir::ValueRange arguments, mlir::Operation *function,
                     llvm::StringRef symbol);
  /// `count` elements from byte `offset` of a buffer of bytes.
  mlir::Value viewOf(mlir::Value bytes, mlir::Value offset, mlir::Type element,
                     int64_t count);
  mlir::Value index(int64_t value);

  mlir::ImplicitLocOpBuilder b;

protected:
  mlir::func::FuncOp kernel;

private:
  void bindPart(mlir::Value buffer, mlir::Type type, Tensor &tensor,
                unsigned part);
  void bindConstant(KernelGraph::Data &data, mlir::Operation *function,
                    llvm::StringRef symbol);
};

/// Elements of a tensor's buffer.
int64_t bufferSize(const Tensor &tensor);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_KERNELBUFFERS_H
