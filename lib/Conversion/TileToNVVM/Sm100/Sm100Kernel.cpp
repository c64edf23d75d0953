// Kernels for Blackwell: tensor memory of a block, and its roles.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Sm100Kernel.h"

#include "Role.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;

/// Of a multiprocessor.
static constexpr int64_t kTensorColumns = 512;

TensorMemory::TensorMemory(tile::KernelOp kernel) {
  int64_t next = 0;
  for (auto ring : kernel.getBody().front().getOps<tile::RingOp>()) {
    rings[ring.getRing()] = next;
    next += ring.getRing().getType().getColumns();
  }
  kernel.walk([&](tile::ScalesOp op) {
    scales[op] = next;
    next += op.getColumns();
  });
  if (next)
    columns = std::max<int64_t>(32, llvm::PowerOf2Ceil(next));
}

Int Sm100Kernel::getColumn(Int column, Int lanes) {
  Code &c = getCode();
  return c.add(c.add(base, lanes), column);
}

Value Sm100Kernel::getAddress(Int column) {
  return getPointer(getCode(), getColumn(column));
}

/// The block's first warp, all of it.
void Sm100Kernel::whenAllocator(function_ref<void()> then) {
  Code &c = getCode();
  c.when(c.equal(threads.warp, 0), then);
}

Value Sm100Kernel::getSlot() {
  return getCode().at(memory, shared.tensorAddress);
}

void Sm100Kernel::writeSetUp() {
  if (!tensor.columns)
    return;
  Code &c = getCode();
  whenAllocator([&] { allocate(c, getSlot(), tensor.columns, isPair()); });
  fence(c, /*after=*/false);
}

void Sm100Kernel::writeBegin() {
  if (!tensor.columns)
    return;
  Code &c = getCode();
  fence(c, /*after=*/true);
  // All there are begin at the first: addresses are constants then.
  if (tensor.columns < kTensorColumns)
    base = Value(LLVM::LoadOp::create(c, c.i32(), getSlot()));
}

/// Threads that did a role alone meet their warps first.
void Sm100Kernel::writeEnd() {
  if (!tensor.columns)
    return;
  Code &c = getCode();
  fence(c, /*after=*/false);
  NVVM::SyncWarpOp::create(c, c.get(-1));
  if (isPair())
    writeClusterBarrier(/*aligned=*/false);
  else
    NVVM::Barrier0Op::create(c);
  fence(c, /*after=*/true);
  whenAllocator([&] { release(c, getColumn(0), tensor.columns, isPair()); });
}

LogicalResult Sm100Kernel::writeRole(tile::RoleOp role) {
  return Role(*this, role).write();
}

std::unique_ptr<tilecode::Kernel> sm100::createKernel(tile::KernelOp op) {
  return std::make_unique<Sm100Kernel>(op);
}
