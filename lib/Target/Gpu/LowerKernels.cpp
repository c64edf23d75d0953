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

/// convert-gpu-to-nvvm wants calls of a library in place of intrinsics that the
/// machine has instructions for (sqrt, floor ...). It lets calls of intrinsics
/// by name pass.
class NameIntrinsics
    : public PassWrapper<NameIntrinsics, OperationPass<mlir::gpu::GPUFuncOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(NameIntrinsics)
  StringRef getArgument() const final { return "gpu-name-intrinsics"; }
  StringRef getDescription() const final {
    return "Write intrinsics of float functions as calls by name";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<LLVM::LLVMDialect>();
  }

  void runOnOperation() override {
    getOperation().walk([](Operation *op) {
      if (isa<LLVM::FAbsOp, LLVM::FCeilOp, LLVM::FFloorOp, LLVM::CopySignOp,
              LLVM::RoundEvenOp, LLVM::RoundOp, LLVM::SqrtOp>(op))
        name(op);
    });
  }

private:
  static void name(Operation *op) {
    OpBuilder builder(op);
    StringRef name = op->getName().getStringRef();
    name.consume_front("llvm.intr.");
    auto call = LLVM::CallIntrinsicOp::create(
        builder, op->getLoc(), op->getResult(0).getType(),
        builder.getStringAttr("llvm." + name), op->getOperands());
    op->getResult(0).replaceAllUsesWith(call.getResult(0));
    op->erase();
  }
};

/// Arithmetic on f16 and bf16 is done in f32, as everywhere.
void addFloatLegalization(OpPassManager &pm) {
  pm.addPass(createConvertFloat8Pass());
  pm.addPass(createExpandMathPass());
  pm.addPass(cpu::createExpandMathPass());
  arith::ArithEmulateUnsupportedFloatsOptions emulate;
  emulate.sourceTypeStrs = {"f16", "bf16"};
  emulate.targetTypeStr = "f32";
  pm.addPass(arith::createArithEmulateUnsupportedFloats(emulate));
  pm.addPass(createCanonicalizerPass());
  arith::ArithExpandOpsPassOptions expand;
  expand.includeF8E8M0 = true;
  expand.includeF4E2M1 = true;
  pm.addPass(arith::createArithExpandOpsPass(expand));
}

void addLlvmConversions(OpPassManager &pm) {
  // What is left of math has instructions.
  ConvertMathToLLVMPassOptions math;
  math.approximateLog1p = false;
  pm.addPass(createConvertMathToLLVMPass(math));
  pm.addNestedPass<mlir::gpu::GPUFuncOp>(std::make_unique<NameIntrinsics>());
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
  registerPass([] { return std::make_unique<NameIntrinsics>(); });
  registerPass([] { return std::make_unique<SetIndexWidth>(); });
  registerPass([] { return createConvertGpuToLlvmPass(); });
  registerPass([] { return createConvertFloat8Pass(); });
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
