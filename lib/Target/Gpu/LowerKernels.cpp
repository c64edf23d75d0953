// The pass pipeline from kernels in a gpu.module to the LLVM dialect.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Passes.h"
#include "nibble/Target/Cpu/CpuTarget.h"
#include "nibble/Target/Gpu/GpuTarget.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/DLTI/DLTI.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

/// An index has 32 bits: 64-bit arithmetic takes several instructions, and no
/// buffer has 2^31 elements. Buffers that do are refused here.
class SetIndexWidth
    : public PassWrapper<SetIndexWidth, OperationPass<mlir::gpu::GPUModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(SetIndexWidth)
  StringRef getArgument() const final { return "gpu-set-index-width"; }
  StringRef getDescription() const final {
    return "Give a gpu.module indices of 32 bits; refuse buffers that need "
           "more";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<DLTIDialect>();
  }

  void runOnOperation() override {
    for (auto function : getOperation().getOps<mlir::gpu::GPUFuncOp>())
      if (failed(check(function)))
        return signalPassFailure();
    Builder builder(&getContext());
    auto entry = DataLayoutEntryAttr::get(builder.getIndexType(),
                                          builder.getI32IntegerAttr(32));
    getOperation()->setAttr(DLTIDialect::kDataLayoutAttrName,
                            DataLayoutSpecAttr::get(&getContext(), {entry}));
  }

private:
  static LogicalResult check(mlir::gpu::GPUFuncOp function) {
    for (Type type : function.getArgumentTypes())
      if (auto memref = dyn_cast<MemRefType>(type);
          memref && memref.getNumElements() > INT32_MAX)
        return function.emitError()
               << "kernel '" << function.getName() << "': a buffer of "
               << memref.getNumElements()
               << " elements; GPU kernels take less than 2^31";
    return success();
  }
};

/// Arithmetic on f16 and bf16 is done in f32, as everywhere.
void addFloatLegalization(OpPassManager &pm) {
  pm.addPass(createConvertFloat8Pass());
  pm.addPass(createExpandMathPass());
  cpu::addFloatLegalization(pm, /*expandBf16=*/false);
  pm.addPass(createConvertPairsPass());
}

void addLlvmConversions(OpPassManager &pm) {
  // What is left of math has instructions.
  ConvertMathToLLVMPassOptions math;
  math.approximateLog1p = false;
  pm.addPass(createConvertMathToLLVMPass(math));
  // Not convert-vector-to-llvm before it, which takes indices for 64 bits.
  pm.addPass(createConvertGpuToLlvmPass());
  pm.addPass(createConvertNVVMToLLVMPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
  pm.addPass(createCanonicalizerPass());
  pm.addPass(createCSEPass());
}

} // namespace

void buildGpuLowerKernelsPipeline(OpPassManager &pm) {
  pm.addPass(std::make_unique<SetIndexWidth>());
  pm.addPass(createOverlapLaunchesPass());
  OpPassManager &func = pm.nest<mlir::gpu::GPUFuncOp>();
  func.addPass(createConvertVectorToSCFPass());
  addFloatLegalization(func);
  func.addPass(memref::createExpandStridedMetadataPass());
  func.addPass(createLowerAffinePass());
  func.addPass(createLoopInvariantCodeMotionPass());
  func.addPass(createCanonicalizerPass());
  func.addPass(createCSEPass());
  // Of tile: the epilogues of tensor-core kernels.
  addFloatLegalization(pm.nest<LLVM::LLVMFuncOp>());
  pm.addPass(createSCFToControlFlowPass());
  addLlvmConversions(pm);
}

void registerGpuTargetPasses() {
  registerPass([] { return std::make_unique<SetIndexWidth>(); });
  registerPass([] { return createConvertGpuToLlvmPass(); });
  registerPass([] { return createConvertFloat8Pass(); });
  registerPass([] { return createConvertPairsPass(); });
  registerPass([] { return createExpandMathPass(); });
  registerPass([] { return createOverlapLaunchesPass(); });
  registerPass([] { return createCompileKernelsToPtxPass(); });
  PassPipelineRegistration<>(
      "gpu-lower-kernels", "Lower the kernels of a gpu.module to NVVM",
      [](OpPassManager &pm) {
        buildGpuLowerKernelsPipeline(pm.nest<mlir::gpu::GPUModuleOp>());
      });
}

} // namespace gpu
} // namespace nibble
