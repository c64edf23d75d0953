// One GPU kernel: its parameters, its threads and its shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuFunction.h"

#include "nibble/Analysis/InPlace.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {

GpuFunction::GpuFunction(func::FuncOp kernel, mlir::gpu::GPUModuleOp target,
                         StringRef symbol, int64_t threads,
                         int64_t workspaceBytes)
    : KernelBuffers(kernel), threads(threads),
      hasWorkspace(workspaceBytes > 0) {
  SmallVector<Type> types;
  for (Type type : kernel.getArgumentTypes())
    types.push_back(bufferType(type));
  for (Type type : kernel.getResultTypes())
    types.push_back(bufferType(type));
  if (hasWorkspace)
    types.push_back(MemRefType::get({workspaceBytes}, b.getI8Type()));
  b.setInsertionPointToEnd(target.getBody());
  function =
      mlir::gpu::GPUFuncOp::create(b, symbol, b.getFunctionType(types, {}));
  function->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(),
                    b.getUnitAttr());
  function.setKnownBlockSizeAttr(
      b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  // Or the assembler keeps variables in memory for a second block of 1024.
  if (threads >= 1024)
    function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                      b.getI32IntegerAttr(1));
  markAliases();
  b.setInsertionPointToStart(&function.getBody().front());
  // Code that is written goes in front of it.
  auto end = mlir::gpu::ReturnOp::create(b);
  b.setInsertionPoint(end);
}

/// What no other argument reaches may be loaded early, and through the path of
/// constants.
void GpuFunction::markAliases() {
  llvm::SmallBitVector shared(function.getNumArguments());
  for (auto [operand, result] : getUpdatedOperands(kernel)) {
    shared.set(operand);
    shared.set(kernel.getNumArguments() + result);
  }
  for (unsigned i = 0; i < function.getNumArguments(); ++i)
    if (!shared[i])
      function.setArgAttr(i, LLVM::LLVMDialect::getNoAliasAttrName(),
                          b.getUnitAttr());
}

void GpuFunction::bindArguments(cpu::KernelGraph &graph,
                                const cpu::KernelStages &stages) {
  unsigned count = kernel.getNumArguments() + kernel.getNumResults();
  KernelBuffers::bindArguments(graph, stages,
                               function.getArguments().take_front(count),
                               function, function.getName());
}

Value GpuFunction::workspaceView(int64_t offset, Type element, int64_t count) {
  // Behind the parameters come the attributions of shared memory.
  unsigned last = function.getFunctionType().getNumInputs() - 1;
  return viewOf(function.getArgument(last), index(offset), element, count);
}

static MemRefType sharedType(Type element, int64_t count) {
  auto space = mlir::gpu::AddressSpaceAttr::get(
      element.getContext(), mlir::gpu::AddressSpace::Workgroup);
  return MemRefType::get({std::max<int64_t>(count, 1)}, element,
                         MemRefLayoutAttrInterface(), space);
}

static int64_t bytesOf(MemRefType type) {
  return type.getNumElements() * type.getElementTypeBitWidth() / 8;
}

Value GpuFunction::makeShared(Type element, int64_t count) {
  Type type =
      cpu::isPacked(element) ? b.getI8Type() : cpu::storageType(element);
  if (cpu::isPacked(element))
    count = llvm::divideCeil(count, 2);
  MemRefType memref = sharedType(type, count);
  if (!warp)
    return addShared(memref);
  int64_t bytes = llvm::alignTo(bytesOf(memref), 64);
  Value all = addShared(sharedType(b.getI8Type(), bytes * threads / 32));
  Value mine = arith::MulIOp::create(b, warp, index(bytes));
  return memref::ViewOp::create(b, memref, all, mine, ValueRange());
}

Value GpuFunction::addShared(MemRefType type) {
  BlockArgument memory =
      function.addWorkgroupAttribution(type, function.getLoc());
  // No more than its size asks for: LLVM would read three elements as four.
  int64_t bytes = bytesOf(type);
  function.setWorkgroupAttributionAttr(
      function.getNumWorkgroupAttributions() - 1,
      LLVM::LLVMDialect::getAlignAttrName(),
      b.getI64IntegerAttr(std::min<int64_t>(64, bytes & -bytes)));
  return memory;
}

void GpuFunction::barrier() {
  if (!warp) {
    mlir::gpu::BarrierOp::create(b);
    return;
  }
  Value all = arith::ConstantOp::create(b, b.getI32IntegerAttr(-1));
  NVVM::SyncWarpOp::create(b, all);
}

void GpuFunction::forWarps(function_ref<void(Value)> body) {
  Value id = threadId();
  warp = arith::DivUIOp::create(b, id, index(32));
  lane = arith::RemUIOp::create(b, id, index(32));
  body(warp);
  warp = lane = {};
}

static Value atStart(GpuFunction &f, function_ref<Value()> make) {
  OpBuilder::InsertionGuard guard(f.b);
  f.b.setInsertionPointToStart(&f.function.getBody().front());
  return make();
}

Value GpuFunction::threadId() {
  if (lane)
    return lane;
  if (!thread)
    thread = atStart(*this, [&]() -> Value {
      return mlir::gpu::ThreadIdOp::create(b, mlir::gpu::Dimension::x);
    });
  return thread;
}

Value GpuFunction::blockId() {
  if (!block)
    block = atStart(*this, [&]() -> Value {
      return mlir::gpu::BlockIdOp::create(b, mlir::gpu::Dimension::x);
    });
  return block;
}

KernelLaunch GpuFunction::makeLaunch(int64_t blocks) {
  KernelLaunch launch;
  launch.symbol = function.getName().str();
  launch.grid[0] = blocks;
  launch.block[0] = threads;
  for (unsigned i = 0; i < function.getFunctionType().getNumInputs(); ++i)
    launch.args.push_back(KernelArg::pointer(i));
  return launch;
}

} // namespace gpu
} // namespace nibble
