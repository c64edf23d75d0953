// Parameters of a kernel: tensor maps, pointers, scalars.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_PARAMS_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_PARAMS_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace nibble {
namespace tilecode {

/// Error at `op`: "layer 'L': not lowered for TARGET: ".
mlir::InFlightDiagnostic refuse(mlir::Operation *op);

/// The part of a tensor that one copy moves: extents, outermost first, and the
/// swizzle in bytes.
struct Box {
  llvm::SmallVector<int64_t> extents;
  int64_t swizzle = 0;
  bool spread = false; ///< elements of 4 bits take a byte
};
/// What one block loads of the slot: with multicast, its share of the rows.
Box getLoadBox(tile::LoadOp load);
/// Rows of a panel that one copy of a tile.store takes.
Box getStoreBox(tile::StoreOp store);

class Params {
public:
  /// Finds out what the kernel needs of its arguments.
  mlir::LogicalResult collect(tile::KernelOp kernel);
  /// The types of the parameters.
  llvm::SmallVector<mlir::Type> getTypes(mlir::MLIRContext *context) const;
  /// Names the function whose arguments the parameters are.
  void bind(mlir::LLVM::LLVMFuncOp function);

  mlir::Value getMap(mlir::Value memref, const Box &box) const;
  mlir::Value getPointer(mlir::Value memref) const;
  mlir::Value getScalar(mlir::Value scalar) const;
  /// True if the kernel stores to this memref.
  bool isWritten(mlir::Value memref) const { return written.contains(memref); }
  llvm::ArrayRef<gpu::KernelArg> getArgs() const { return args; }
  llvm::SmallVector<mlir::Value> getMaps() const;

private:
  mlir::LogicalResult addMap(mlir::Operation *op, mlir::Value memref,
                             const Box &box);
  mlir::LogicalResult addPointer(mlir::Operation *op, mlir::Value memref);
  mlir::LogicalResult addOperation(mlir::Operation *op);
  mlir::LogicalResult addScalar(tile::KernelOp kernel,
                                mlir::BlockArgument argument);
  void sort(unsigned arguments);
  mlir::Value find(llvm::function_ref<bool(const gpu::KernelArg &)> is) const;

  std::vector<gpu::KernelArg> args;
  llvm::DenseMap<unsigned, mlir::Type> scalars;
  llvm::DenseSet<mlir::Value> written;
  mlir::LLVM::LLVMFuncOp function;
};

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_PARAMS_H
