// The pass pipeline from kernels to the LLVM dialect.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Passes.h"
#include "nibble/Target/Cpu/CpuTarget.h"

#include "mlir/Conversion/Passes.h"
#include "mlir/Dialect/Arith/Transforms/Passes.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/MemRef/Transforms/Passes.h"
#include "mlir/Pass/PassManager.h"
#include "mlir/Transforms/Passes.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

void addLlvmConversions(OpPassManager &pm) {
  ConvertVectorToLLVMPassOptions vectors;
  vectors.reassociateFPReductions = true;
  pm.addPass(createConvertVectorToLLVMPass(vectors));
  ConvertMathToLLVMPassOptions math;
  math.approximateLog1p = false;
  pm.addPass(createConvertMathToLLVMPass(math));
  FinalizeMemRefToLLVMConversionPassOptions memref;
  pm.addPass(createFinalizeMemRefToLLVMConversionPass(memref));
  ConvertFuncToLLVMPassOptions func;
  func.useBarePtrCallConv = true;
  pm.addPass(createConvertFuncToLLVMPass(func));
  pm.addPass(createConvertIndexToLLVMPass());
  pm.addPass(createArithToLLVMConversionPass());
  pm.addPass(createConvertControlFlowToLLVMPass());
  pm.addPass(createUBToLLVMConversionPass());
  pm.addPass(createReconcileUnrealizedCastsPass());
}

} // namespace

void addFloatLegalization(OpPassManager &pm, bool expandBf16) {
  pm.addPass(createExpandMathPass());
  arith::ArithEmulateUnsupportedFloatsOptions emulate;
  emulate.sourceTypeStrs = {"f16", "bf16"};
  emulate.targetTypeStr = "f32";
  pm.addPass(arith::createArithEmulateUnsupportedFloats(emulate));
  pm.addPass(createCanonicalizerPass());
  arith::ArithExpandOpsPassOptions expand;
  expand.includeBf16 = expandBf16;
  expand.includeF8E8M0 = true;
  expand.includeF4E2M1 = true;
  pm.addPass(arith::createArithExpandOpsPass(expand));
}

void buildCpuLowerKernelsPipeline(OpPassManager &pm) {
  pm.addPass(createPrepareKernelsPass());
  OpPassManager &func = pm.nest<func::FuncOp>();
  func.addPass(createConvertVectorToSCFPass());
  addFloatLegalization(func, /*expandBf16=*/true);
  func.addPass(memref::createExpandStridedMetadataPass());
  func.addPass(createLowerAffinePass());
  func.addPass(createLoopInvariantCodeMotionPass());
  func.addPass(createCanonicalizerPass());
  func.addPass(createCSEPass());
  pm.addPass(createSCFToControlFlowPass());
  addLlvmConversions(pm);
  pm.addPass(createWrapKernelsPass());
}

void registerCpuTargetPasses() {
  registerPass([] { return createPrepareKernelsPass(); });
  registerPass([] { return createWrapKernelsPass(); });
  registerPass([] { return createExpandMathPass(); });
  registerPass([] { return createCompileKernelsToCpuPass(); });
  PassPipelineRegistration<>(
      "cpu-lower-kernels", "Lower CPU kernels to the LLVM dialect",
      [](OpPassManager &pm) { buildCpuLowerKernelsPipeline(pm); });
}

} // namespace cpu
} // namespace nibble
