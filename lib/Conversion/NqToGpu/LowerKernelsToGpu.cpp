// lower-kernels-to-gpu: every kernel of the plan as kernels of a GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ChosenClass.h"
#include "TileGemm.h"

#include "nibble/Conversion/NqToGpu/Loops.h"
#include "nibble/Conversion/NqToGpu/Products.h"
#include "nibble/Conversion/Passes.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Dialect/Tile/TileOps.h"
#include "nibble/KernelSelect/Machine.h"
#include "nibble/Support/GpuChip.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Interfaces/FunctionInterfaces.h"
#include "llvm/ADT/StringMap.h"

namespace nibble {
#define GEN_PASS_DEF_LOWERKERNELSTOGPU
#include "lib/Conversion/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;
using nibble::gpu::GpuKernel;
using nibble::gpu::KernelArg;
using nibble::gpu::KernelLaunch;

//===----------------------------------------------------------------------===//
// What generators return, as attributes
//===----------------------------------------------------------------------===//

static exec::TensorMapAttr getMap(MLIRContext *context,
                                  const nibble::gpu::TensorMap &map) {
  return exec::TensorMapAttr::get(context, map.type, map.swizzle,
                                  map.l2Promotion, map.sizes, map.strides,
                                  map.box);
}

static exec::GpuArgAttr getArg(MLIRContext *context, const KernelArg &arg) {
  auto map = arg.kind == KernelArg::Map ? getMap(context, arg.map)
                                        : exec::TensorMapAttr();
  return exec::GpuArgAttr::get(context, arg.value, arg.offset, arg.bytes, map);
}

static Attribute getLaunch(MLIRContext *context, const KernelLaunch &launch) {
  auto args = llvm::map_to_vector(
      launch.args, [&](const KernelArg &arg) { return getArg(context, arg); });
  return exec::GpuLaunchAttr::get(context, launch.symbol, launch.grid,
                                  launch.block, launch.cluster,
                                  launch.sharedBytes, args);
}

static void setAttributes(exec::LaunchOp op, const GpuKernel &kernel) {
  Builder builder(op.getContext());
  op.setGpuAttr(builder.getArrayAttr(
      llvm::map_to_vector(kernel.launches, [&](const KernelLaunch &launch) {
        return getLaunch(op.getContext(), launch);
      })));
  if (kernel.workspaceBytes)
    op.setWorkspace(kernel.workspaceBytes);
  if (kernel.counterBytes)
    op.setCounters(kernel.counterBytes);
  op->setAttr("flops", builder.getI64IntegerAttr(kernel.flops));
}

//===----------------------------------------------------------------------===//
// Pass
//===----------------------------------------------------------------------===//

namespace {

struct LowerKernelsToGpuPass
    : nibble::impl::LowerKernelsToGpuBase<LowerKernelsToGpuPass> {
  using LowerKernelsToGpuBase::LowerKernelsToGpuBase;

  void runOnOperation() override {
    ModuleOp module = getOperation();
    std::optional<Machine> machine = getMachine(target);
    if (!machine || !machine->isGpu()) {
      module.emitError() << "'" << target << "' is no GPU target";
      return signalPassFailure();
    }
    chip = {machine->target, machine->multiprocessors};
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    auto code = mlir::gpu::GPUModuleOp::create(builder, module.getLoc(),
                                               kGpuKernelsModule);
    setChip(code, chip.chip);
    bool ok = true;
    // One emission per kernel; the first layer that uses it names errors.
    module.walk([&](exec::LaunchOp launch) {
      auto [it, isNew] = known.try_emplace(launch.getKernel());
      if (isNew) {
        FailureOr<GpuKernel> lowered = lower(launch, code);
        ok &= succeeded(lowered);
        it->second = lowered.value_or(GpuKernel());
      }
      setAttributes(launch, it->second);
    });
    if (!ok)
      return signalPassFailure();
    module.walk([&](exec::LaunchOp launch) { allowAliases(launch, code); });
  }

  /// Arguments that a launch runs in place on are one buffer: no `noalias` in
  /// kernels that get both.
  static void allowAliases(exec::LaunchOp op, mlir::gpu::GPUModuleOp code) {
    for (unsigned i = 0; i < op.getNumResults(); ++i) {
      if (!op.getInPlaceOperand(i))
        continue;
      int64_t operand = (*op.getInPlace())[i];
      int64_t result = op.getInputs().size() + i;
      for (auto launch : op.getGpu()->getAsRange<exec::GpuLaunchAttr>())
        for (auto [number, arg] : llvm::enumerate(launch.getArgs()))
          if (arg.getValue() == operand || arg.getValue() == result)
            removeNoalias(code.lookupSymbol(launch.getSymbol()), number);
    }
  }

  static void removeNoalias(Operation *kernel, unsigned argument) {
    auto function = dyn_cast_or_null<FunctionOpInterface>(kernel);
    if (function && argument < function.getNumArguments())
      function.removeArgAttr(argument, LLVM::LLVMDialect::getNoAliasAttrName());
  }

  FailureOr<GpuKernel> lower(exec::LaunchOp launch,
                             mlir::gpu::GPUModuleOp code) {
    auto kernel = getOperation().lookupSymbol<func::FuncOp>(
        launch.getKernelAttr().getAttr());
    FailureOr<GpuKernel> result = emit(kernel, code, launch);
    if (failed(result))
      refuse(launch);
    return result;
  }

  FailureOr<GpuKernel> emit(func::FuncOp kernel, mlir::gpu::GPUModuleOp code,
                            exec::LaunchOp launch) {
    if (!nibble::gpu::isProductKernel(kernel))
      return nibble::gpu::lowerLoopsToGpu(kernel, code, chip);
    if (nibble::gpu::getProductClass(kernel).generator !=
        ProductGenerator::TensorCores)
      return nibble::gpu::lowerProductsToGpu(kernel, code, chip);
    std::string why;
    auto tile = nibble::gpu::emitTileGemm(kernel, code, chip, why);
    if (failed(tile))
      return failure();
    if (*tile)
      return std::move(**tile);
    remarkParts(launch, why);
    return nibble::gpu::lowerProductsToGpu(kernel, code, chip);
  }

  void remarkParts(exec::LaunchOp launch, StringRef why) {
    remark::missed(launch.getLoc(),
                   remark::RemarkOpts::name("lower-kernels-to-gpu")
                       .category(kRemarkCategory))
        << RemarkArg("layer", launch.getLayer())
        << RemarkArg("chosen", "the product and what follows it as kernels of "
                               "their own")
        << RemarkArg("rejected", "one kernel") << RemarkArg("reason", why);
  }

  /// Says so as a remark, too: what a target lacks is no bug.
  void refuse(exec::LaunchOp launch) {
    remark::failed(launch.getLoc(),
                   remark::RemarkOpts::name("lower-kernels-to-gpu")
                       .category(kRemarkCategory))
        << RemarkArg("layer", launch.getLayer())
        << RemarkArg("requested", launch.getKind())
        << RemarkArg("reason", "target " + target + " has no kernel for it");
    launch.emitError() << "layer '" << launch.getLayer() << "' ("
                       << launch.getKind() << ") cannot be lowered for "
                       << target;
  }

  nibble::gpu::GpuTarget chip;
  llvm::StringMap<GpuKernel> known;
};

} // namespace
