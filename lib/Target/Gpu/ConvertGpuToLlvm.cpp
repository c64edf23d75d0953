// gpu-kernels-to-llvm: what is left in a gpu.module to the LLVM dialect.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Passes.h"

#include "mlir/Conversion/ConvertToLLVM/ToLLVMInterface.h"
#include "mlir/Conversion/GPUToNVVM/GPUToNVVMPass.h"
#include "mlir/Conversion/LLVMCommon/ConversionTarget.h"
#include "mlir/Conversion/LLVMCommon/TypeConverter.h"
#include "mlir/Dialect/GPU/IR/GPUDialect.h"
#include "mlir/Dialect/GPU/Transforms/Passes.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/Transforms/LoweringPatterns.h"
#include "mlir/Dialect/Vector/Transforms/VectorRewritePatterns.h"
#include "mlir/Transforms/GreedyPatternRewriteDriver.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

/// MLIR's convert-gpu-to-nvvm, but for two things: intrinsics of LLVM for
/// square roots and the like stay, as they are instructions and libdevice is
/// not there; and an index has the width that the module says.
class ConvertGpuToLlvm
    : public PassWrapper<ConvertGpuToLlvm,
                         OperationPass<mlir::gpu::GPUModuleOp>> {
public:
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(ConvertGpuToLlvm)
  StringRef getArgument() const final { return "gpu-kernels-to-llvm"; }
  StringRef getDescription() const final {
    return "Convert the ops of a gpu.module to LLVM and NVVM";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<LLVM::LLVMDialect, NVVM::NVVMDialect>();
  }

  void runOnOperation() override {
    mlir::gpu::GPUModuleOp module = getOperation();
    SmallVector<std::pair<StringAttr, unsigned>> maps = findMaps(module);
    RewritePatternSet rewrites(&getContext());
    populateGpuRewritePatterns(rewrites);
    populateVectorRewrites(rewrites);
    if (failed(applyPatternsGreedily(module, std::move(rewrites))))
      return signalPassFailure();

    LowerToLLVMOptions options(&getContext(), DataLayout(module));
    options.useBarePtrCallConv = true;
    LLVMTypeConverter converter(&getContext(), options);
    configureGpuToNVVMTypeConverter(converter);
    LLVMConversionTarget target(getContext());
    configureGpuToNVVMConversionLegality(target);
    target.addLegalDialect<LLVM::LLVMDialect>();
    keepIntrinsics(target);
    RewritePatternSet patterns(&getContext());
    // Those that registerGpuTarget registers.
    for (StringRef name : {"arith", "cf", "func", "index", "math", "memref",
                           "nvvm", "ub", "vector"})
      if (Dialect *dialect = getContext().getLoadedDialect(name))
        cast<ConvertToLLVMPatternInterface>(dialect)
            ->populateConvertToLLVMConversionPatterns(target, converter,
                                                      patterns);
    populateGpuToNVVMConversionPatterns(converter, patterns);
    if (failed(applyPartialConversion(module, target, std::move(patterns))))
      return signalPassFailure();
    for (auto [name, number] : maps)
      markMap(cast<LLVM::LLVMFuncOp>(module.lookupSymbol(name)), number);
  }

private:
  /// Parameters of kernels that are pointers and no buffers: tensor maps.
  static SmallVector<std::pair<StringAttr, unsigned>>
  findMaps(mlir::gpu::GPUModuleOp module) {
    SmallVector<std::pair<StringAttr, unsigned>> maps;
    for (auto function : module.getOps<mlir::gpu::GPUFuncOp>())
      for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
        if (function.isKernel() && isa<LLVM::LLVMPointerType>(type))
          maps.push_back({function.getNameAttr(), unsigned(i)});
    return maps;
  }

  /// 128 bytes in the parameters themselves, which are not copied. gpu.func may
  /// not have these attributes.
  static void markMap(LLVM::LLVMFuncOp function, unsigned number) {
    Builder b(function.getContext());
    auto bytes = LLVM::LLVMArrayType::get(b.getI8Type(), 128);
    function.setArgAttr(number, NVVM::NVVMDialect::getGridConstantAttrName(),
                        b.getUnitAttr());
    function.setArgAttr(number, LLVM::LLVMDialect::getByValAttrName(),
                        TypeAttr::get(bytes));
    function.setArgAttr(number, LLVM::LLVMDialect::getAlignAttrName(),
                        b.getI64IntegerAttr(64));
  }

  /// Ops on vectors that LLVM has no counterpart of, as several that it has.
  static void populateVectorRewrites(RewritePatternSet &rewrites) {
    using namespace mlir::vector;
    populateVectorFromElementsUnrollPatterns(rewrites);
    populateVectorToElementsUnrollPatterns(rewrites);
    populateVectorInsertExtractStridedSliceTransforms(rewrites);
    populateVectorBroadcastLoweringPatterns(rewrites);
    populateVectorShapeCastLoweringPatterns(rewrites);
    populateVectorBitCastLoweringPatterns(rewrites);
    populateVectorInterleaveLoweringPatterns(rewrites);
    populateVectorStepLoweringPatterns(rewrites);
    populateVectorTransposeLoweringPatterns(rewrites,
                                            VectorTransposeLowering::EltWise);
  }

  static void keepIntrinsics(ConversionTarget &target) {
    target.addLegalOp<LLVM::FAbsOp, LLVM::FCeilOp, LLVM::FFloorOp,
                      LLVM::RoundEvenOp, LLVM::RoundOp, LLVM::FTruncOp,
                      LLVM::SqrtOp, LLVM::FMAOp, LLVM::CopySignOp>();
  }
};

} // namespace

std::unique_ptr<Pass> createConvertGpuToLlvmPass() {
  return std::make_unique<ConvertGpuToLlvm>();
}

} // namespace gpu
} // namespace nibble
