// lower-kernels-to-cpu: every kernel of the plan as loops over memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/FusedKernel.h"
#include "nibble/Conversion/NqToCpu/KernelToLoops.h"
#include "nibble/Conversion/NqToCpu/MatmulKernel.h"
#include "nibble/Conversion/NqToCpu/UpdateKernel.h"
#include "nibble/Conversion/Passes.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Target/Cpu/CpuTarget.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "llvm/ADT/StringMap.h"

namespace nibble {
#define GEN_PASS_DEF_LOWERKERNELSTOCPU
#include "lib/Conversion/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

/// What a launch of a kernel needs to know.
struct Launching {
  int64_t extent = 0, grain = 1, scratch = 0, flops = 0;
};

struct LowerKernelsToCpuPass
    : nibble::impl::LowerKernelsToCpuBase<LowerKernelsToCpuPass> {
  void runOnOperation() override {
    ModuleOp module = getOperation();
    OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
    auto code = ModuleOp::create(builder, module.getLoc(), kCpuKernelsModule);
    bool ok = true;
    // One emission per kernel; the first layer that uses it names errors.
    module.walk([&](exec::LaunchOp launch) {
      auto [it, isNew] = known.try_emplace(launch.getKernel());
      if (isNew) {
        FailureOr<Launching> lowered = lower(launch, code);
        ok &= succeeded(lowered);
        it->second = lowered.value_or(Launching());
      }
      setAttributes(launch, it->second);
    });
    if (!ok)
      return signalPassFailure();
    module.walk([&](exec::LaunchOp launch) { allowAliases(launch, code); });
  }

  /// Arguments that a launch runs in place on are one buffer: no `noalias`.
  static void allowAliases(exec::LaunchOp launch, ModuleOp code) {
    auto function = code.lookupSymbol<func::FuncOp>(launch.getKernel());
    for (unsigned i = 0; i < launch.getNumResults(); ++i) {
      if (!launch.getInPlaceOperand(i))
        continue;
      auto unit = UnitAttr::get(launch.getContext());
      unsigned operand = (*launch.getInPlace())[i];
      function.setArgAttr(operand, cpu::kMayAliasAttr, unit);
      function.setArgAttr(launch.getInputs().size() + i, cpu::kMayAliasAttr,
                          unit);
    }
  }

  FailureOr<Launching> lower(exec::LaunchOp launch, ModuleOp code) {
    auto kernel = getOperation().lookupSymbol<func::FuncOp>(
        launch.getKernelAttr().getAttr());
    FailureOr<Launching> result = failure();
    if (cpu::isMatmulKernel(kernel))
      result = lowerMatmul(kernel, code);
    else if (cpu::isUpdateKernel(kernel))
      result = lowerUpdate(kernel, code);
    else if (cpu::isFusedKernel(kernel))
      result = lowerFused(kernel, code);
    else
      result = lowerLoops(kernel, code);
    if (failed(result))
      refuse(launch);
    return result;
  }

  /// Says so as a remark, too: what a target lacks is no bug.
  static void refuse(exec::LaunchOp launch) {
    remark::failed(launch.getLoc(),
                   remark::RemarkOpts::name("lower-kernels-to-cpu")
                       .category(kRemarkCategory))
        << RemarkArg("layer", launch.getLayer())
        << RemarkArg("requested", launch.getKind())
        << RemarkArg("reason", "the CPU target has no kernel for it");
    launch.emitError() << "layer '" << launch.getLayer() << "' ("
                       << launch.getKind() << ") cannot be lowered for the CPU";
  }

  FailureOr<Launching> lowerMatmul(func::FuncOp kernel, ModuleOp code) {
    auto gemm = cpu::lowerMatmulKernel(kernel, code);
    if (failed(gemm))
      return failure();
    nq::MatmulOp op = *kernel.getOps<nq::MatmulOp>().begin();
    auto result = cast<RankedTensorType>(op.getResult().getType());
    return Launching{gemm->extent, gemm->grain, int64_t(gemm->scratchBytes),
                     2 * result.getNumElements() * op.getK()};
  }

  FailureOr<Launching> lowerFused(func::FuncOp kernel, ModuleOp code) {
    auto fused = cpu::lowerFusedKernel(kernel, code);
    if (failed(fused))
      return failure();
    return Launching{fused->info.extent, fused->info.grain,
                     fused->info.scratchBytes, fused->flops};
  }

  FailureOr<Launching> lowerLoops(func::FuncOp kernel, ModuleOp code) {
    auto info = cpu::lowerKernelToLoops(kernel, code, kernel.getSymName());
    if (failed(info))
      return failure();
    return Launching{info->extent, info->grain, info->scratchBytes, 0};
  }

  Launching lowerUpdate(func::FuncOp kernel, ModuleOp code) {
    cpu::KernelInfo info = cpu::lowerUpdateKernel(kernel, code);
    return Launching{info.extent, info.grain, info.scratchBytes, 0};
  }

  static void setAttributes(exec::LaunchOp launch, const Launching &info) {
    launch.setExtent(info.extent);
    launch.setGrain(info.grain);
    launch.setScratch(info.scratch);
    launch->setAttr("flops",
                    Builder(launch.getContext()).getI64IntegerAttr(info.flops));
  }

  llvm::StringMap<Launching> known;
};

} // namespace
