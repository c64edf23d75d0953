// lowerTileKernel: the function and its launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Kernel.h"
#include "Sm100/Sm100Kernel.h"
#include "Sm90/Sm90Kernel.h"

#include "nibble/Conversion/TileToNVVM/TileToNVVM.h"
#include "nibble/Dialect/Tile/TileTarget.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

static LLVM::LLVMFuncOp createFunction(Kernel &kernel,
                                       mlir::gpu::GPUModuleOp target) {
  MLIRContext *context = target.getContext();
  OpBuilder builder = OpBuilder::atBlockEnd(target.getBody());
  auto type = LLVM::LLVMFunctionType::get(LLVM::LLVMVoidType::get(context),
                                          kernel.params.getTypes(context));
  auto function = LLVM::LLVMFuncOp::create(builder, kernel.op.getLoc(),
                                           kernel.op.getSymName(), type);
  function.addEntryBlock(builder);
  function->setAttr(NVVM::NVVMDialect::getKernelFuncAttrName(),
                    builder.getUnitAttr());
  // One block of exactly this size: ptxas may use all registers.
  function->setAttr(NVVM::NVVMDialect::getReqntidAttrName(),
                    builder.getDenseI32ArrayAttr(int32_t(kernel.getThreads())));
  function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                    builder.getI32IntegerAttr(1));
  if (kernel.getClusterSize() > 1)
    function->setAttr(
        NVVM::NVVMDialect::getClusterDimAttrName(),
        builder.getDenseI32ArrayAttr({int32_t(kernel.getClusterSize()), 1, 1}));
  kernel.params.bind(function);
  return function;
}

static nibble::gpu::KernelLaunch getLaunch(Kernel &kernel) {
  nibble::gpu::KernelLaunch launch;
  launch.symbol = kernel.op.getSymName().str();
  launch.grid = {int64_t(kernel.op.getGrid()), 1, 1};
  launch.block = {kernel.getThreads(), 1, 1};
  launch.cluster = {kernel.getClusterSize(), 1, 1};
  launch.sharedBytes = kernel.shared.bytes;
  launch.args = kernel.params.getArgs().vec();
  return launch;
}

static std::unique_ptr<Kernel> createKernel(tile::KernelOp op) {
  return tile::getTarget(op.getTarget())->hasTensorMemory()
             ? sm100::createKernel(op)
             : sm90::createKernel(op);
}

FailureOr<nibble::gpu::KernelLaunch>
nibble::lowerTileKernel(tile::KernelOp op, mlir::gpu::GPUModuleOp target) {
  if (SymbolTable::lookupSymbolIn(target, op.getSymName()))
    return refuse(op) << "the module has a symbol @" << op.getSymName();
  std::unique_ptr<Kernel> kernel = createKernel(op);
  if (failed(kernel->params.collect(op)))
    return failure();
  LLVM::LLVMFuncOp function = createFunction(*kernel, target);
  if (succeeded(kernel->write(function)))
    return getLaunch(*kernel);
  function->dropAllReferences();
  function.erase();
  return failure();
}
