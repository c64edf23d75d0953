// Constant weights of the products of a region, and others in their place.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_KERNELSELECT_CONSTANTWEIGHT_H
#define NIBBLE_LIB_KERNELSELECT_CONSTANTWEIGHT_H

#include "nibble/KernelSelect/Product.h"
#include "nibble/Transforms/Fuse/Regions.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectResourceBlobManager.h"

namespace nibble {

/// The constant that B is; null if it is none.
inline nq::ConstantOp getConstantWeight(nq::MatmulOp op) {
  return fuse::getSource(op.getB()).getDefiningOp<nq::ConstantOp>();
}

/// Whether B is a constant matrix that comes into the region from outside.
inline bool hasConstantWeight(nq::MatmulOp op) {
  return llvm::isa<mlir::BlockArgument>(op.getB()) &&
         llvm::cast<mlir::RankedTensorType>(op.getB().getType()).getRank() ==
             2 &&
         getConstantWeight(op);
}

/// Calls `replace` for all products of an entry for which hasConstantWeight
/// and `isCandidate` hold, until it fails; nothing if `target`, which must be
/// one, is a CPU.
mlir::LogicalResult replaceGpuWeights(
    mlir::func::FuncOp entry, llvm::StringRef target,
    llvm::function_ref<bool(const Product &)> isCandidate,
    llvm::function_ref<mlir::LogicalResult(nq::RegionOp, nq::MatmulOp)>
        replace);

/// Bytes of a part of a constant, copied.
inline mlir::ElementsAttr makeBytes(mlir::OpBuilder &builder,
                                    llvm::ArrayRef<char> bytes,
                                    llvm::StringRef name) {
  auto type =
      mlir::RankedTensorType::get({int64_t(bytes.size())}, builder.getI8Type());
  return mlir::DenseResourceElementsAttr::get(
      type, name,
      mlir::HeapAsmResourceBlob::allocateAndCopyWithAlign(bytes, 64));
}

/// Makes `weight`, a value outside of the region, operand B of a matmul in it.
/// B is an argument of the region.
inline void setWeight(nq::RegionOp region, nq::MatmulOp op,
                      mlir::Value weight) {
  auto argument = llvm::cast<mlir::BlockArgument>(op.getB());
  if (argument.hasOneUse()) {
    region.getInputsMutable()[argument.getArgNumber()].set(weight);
    argument.setType(weight.getType());
    return;
  }
  region.getInputsMutable().append(weight);
  op.getBMutable().assign(
      region.getBlock().addArgument(weight.getType(), weight.getLoc()));
}

} // namespace nibble

#endif // NIBBLE_LIB_KERNELSELECT_CONSTANTWEIGHT_H
