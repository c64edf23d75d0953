// Which machine code is written for.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GPUCODE_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GPUCODE_H

#include "nibble/Support/GpuChip.h"

#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace nibble {
namespace cpu {

/// True inside of a gpu.module or of a kernel of the dialect `tile`. What is
/// written has the same results there; only the instructions differ.
inline bool isGpuCode(mlir::OpBuilder &b) {
  for (mlir::Operation *op = b.getInsertionBlock()->getParentOp(); op;
       op = op->getParentOp())
    if (llvm::isa<mlir::gpu::GPUModuleOp>(op) ||
        op->getName().getDialectNamespace() == "tile")
      return true;
  return false;
}

/// True for code on its own: bodies of the dialect `tile` have no control flow.
inline bool mayBranch(mlir::OpBuilder &b) {
  for (mlir::Operation *op = b.getInsertionBlock()->getParentOp(); op;
       op = op->getParentOp())
    if (op->getName().getDialectNamespace() == "tile")
      return false;
  return true;
}

/// True inside of code for a Blackwell.
inline bool isBlackwellCode(mlir::OpBuilder &b) {
  return isForBlackwell(b.getInsertionBlock()->getParentOp());
}

/// An instruction of PTX that has no effect but its one result.
inline mlir::Value emitInstruction(mlir::OpBuilder &b, mlir::Location loc,
                                   const llvm::Twine &text,
                                   llvm::StringRef constraints,
                                   mlir::Type result,
                                   mlir::ValueRange operands) {
  using namespace mlir::LLVM;
  auto dialect = AsmDialectAttr::get(b.getContext(), AsmDialect::AD_ATT);
  return InlineAsmOp::create(b, loc, result, operands, text.str(), constraints,
                             /*has_side_effects=*/false,
                             /*is_align_stack=*/false,
                             tailcallkind::TailCallKind::None, dialect,
                             mlir::ArrayAttr())
      .getResult(0);
}

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GPUCODE_H
