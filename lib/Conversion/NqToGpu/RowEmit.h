// Code of rows whose elements stay in registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_ROWEMIT_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_ROWEMIT_H

#include "GpuFunction.h"
#include "RowPlan.h"

namespace nibble {
namespace gpu {

/// The rows of block number `block`; the block has plan.threads() threads, all
/// of which come here.
void emitRowsInRegisters(GpuFunction &f, const cpu::KernelStages &stages,
                         const RowPlan &plan, llvm::ArrayRef<int64_t> rowShape,
                         mlir::Value block);

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_ROWEMIT_H
