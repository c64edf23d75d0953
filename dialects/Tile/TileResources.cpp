// Threads, registers and memories of a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::tile;

int64_t KernelOp::getSharedBytes() {
  // Rings and panels begin at an atom of the widest swizzle.
  constexpr int64_t kAlignment = 1024;
  int64_t bytes = 0;
  for (auto ring : getBody().front().getOps<RingOp>())
    bytes = llvm::alignTo(bytes, kAlignment) +
            ring.getRing().getType().getSharedBytes();
  auto add = [&](int64_t more) {
    bytes = llvm::alignTo(bytes, kAlignment) + more;
  };
  walk([&](ReduceOp reduce) { add(reduce.getStagingBytes()); });
  walk([&](EpilogueOp epilogue) { add(epilogue.getStagingBytes()); });
  walk([&](StoreOp store) { add(store.getStagingBytes()); });
  // Where the address of tensor memory is written.
  if (getTensorColumns())
    bytes = llvm::alignTo(bytes, 16) + 16;
  return bytes;
}

int64_t KernelOp::getTensorColumns() {
  int64_t columns = 0;
  for (auto ring : getBody().front().getOps<RingOp>())
    columns += ring.getRing().getType().getColumns();
  walk([&](ScalesOp scales) { columns += scales.getColumns(); });
  return columns;
}

static LogicalResult verifyWarps(KernelOp kernel, const Target &target) {
  int64_t warps = 0, registers = 0;
  unsigned withRegisters = 0, roles = 0;
  for (auto role : kernel.getBody().front().getOps<RoleOp>()) {
    warps += role.getWarps();
    registers += role.getWarps() * 32 * role.getRegisters().value_or(0);
    withRegisters += role.getRegisters().has_value();
    ++roles;
  }
  if (!roles || warps > 32)
    return kernel.emitOpError() << "has " << roles << " roles with " << warps
                                << " warps; at least 1, at most 32 warps";
  if (withRegisters && withRegisters != roles)
    return kernel.emitOpError() << "sets the registers of " << withRegisters
                                << " of " << roles << " roles; all or none";
  if (registers > target.registers)
    return kernel.emitOpError()
           << "its roles take " << registers << " registers, " << target.name
           << " has " << target.registers;
  return success();
}

LogicalResult nibble::tile::verifyResources(KernelOp kernel) {
  const Target &target = *getTarget(kernel.getTarget());
  if (failed(verifyWarps(kernel, target)))
    return failure();
  int64_t limit = kernel.getShared().value_or(target.sharedBytes);
  if (limit > target.sharedBytes)
    return kernel.emitOpError()
           << "allows itself " << limit
           << " bytes of shared memory, a block on " << target.name
           << " may have " << target.sharedBytes;
  if (kernel.getSharedBytes() > limit)
    return kernel.emitOpError()
           << "needs " << kernel.getSharedBytes()
           << " bytes of shared memory for rings and staging, and may have "
           << limit << "; use fewer stages or a smaller tile";
  if (kernel.getTensorColumns() > target.tensorColumns)
    return kernel.emitOpError()
           << "needs " << kernel.getTensorColumns()
           << " columns of tensor memory for accumulators and scales, "
           << target.name << " has " << target.tensorColumns;
  return success();
}
