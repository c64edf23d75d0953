// Kernels for Blackwell: products by one thread into tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_SM100KERNEL_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_SM100KERNEL_H

#include "Kernel.h"
#include "Tcgen05.h"

namespace nibble {
namespace sm100 {

/// Where accumulators and block scales lie in tensor memory: columns from the
/// begin of what the block has.
struct TensorMemory {
  explicit TensorMemory(tile::KernelOp kernel);
  llvm::DenseMap<mlir::Value, int64_t> rings;
  llvm::DenseMap<mlir::Operation *, int64_t> scales; ///< by tile.scales
  /// That are allocated: a power of 2, at least 32.
  int64_t columns = 0;
};

class Sm100Kernel : public Kernel {
public:
  explicit Sm100Kernel(tile::KernelOp op) : Kernel(op), tensor(op) {}
  /// The address of a column, in lane 0 or from `lanes` (lane << 16) on.
  Int getColumn(Int column, Int lanes = 0);
  /// The same as a pointer.
  mlir::Value getAddress(Int column);
  /// Blocks multiply in pairs.
  bool isPair() { return shared.pair; }

  TensorMemory tensor;

private:
  mlir::LogicalResult writeRole(tile::RoleOp role) override;
  void writeSetUp() override;
  void writeBegin() override;
  void writeEnd() override;
  void whenAllocator(llvm::function_ref<void()> then);
  mlir::Value getSlot();

  Int base = 0; ///< address of the first column
};

std::unique_ptr<tilecode::Kernel> createKernel(tile::KernelOp op);

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_SM100KERNEL_H
