// Kernel signatures before and wrappers after the lowering to LLVM.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Passes.h"
#include "nibble/Target/Cpu/CpuTarget.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

/// Carries the exported name from the first pass to the second.
constexpr StringLiteral kExportAttr = "nibble.export";
/// Stands for "as large as the launch says"; no code depends on it.
constexpr int64_t kScratchExtent = int64_t(1) << 40;

LogicalResult checkBuffer(func::FuncOp func, unsigned index) {
  auto type = dyn_cast<MemRefType>(func.getArgument(index).getType());
  if (!type || !type.hasStaticShape() || !type.getLayout().isIdentity())
    return func.emitError()
           << "kernel '" << func.getName() << "': argument " << index
           << " has type " << func.getArgument(index).getType()
           << "; kernels take memrefs of static shape and "
              "identity layout";
  return success();
}

LogicalResult checkSignature(func::FuncOp func) {
  unsigned count = func.getNumArguments();
  bool tail = count >= 3 && func.getArgument(count - 3).getType().isIndex() &&
              func.getArgument(count - 2).getType().isIndex();
  auto scratch =
      tail ? dyn_cast<MemRefType>(func.getArgument(count - 1).getType())
           : MemRefType();
  if (!scratch || scratch.getRank() != 1 ||
      !scratch.getElementType().isInteger(8) || func.getNumResults() != 0)
    return func.emitError() << "kernel '" << func.getName() << "' has type "
                            << func.getFunctionType()
                            << "; it must end in (index, index, memref<?xi8>) "
                               "and return nothing";
  for (unsigned i = 0; i + 3 < count; ++i)
    if (failed(checkBuffer(func, i)))
      return failure();
  return success();
}

/// memref<?xi8> has no bare pointer form; a static type has.
void makeScratchStatic(func::FuncOp func) {
  BlockArgument arg = func.getArgument(func.getNumArguments() - 1);
  auto type = cast<MemRefType>(arg.getType());
  if (type.hasStaticShape())
    return;
  auto fixed = MemRefType::get({kScratchExtent}, type.getElementType());
  OpBuilder builder(func.getContext());
  builder.setInsertionPointToStart(&func.front());
  arg.setType(fixed);
  auto cast = memref::CastOp::create(builder, func.getLoc(), type, arg);
  arg.replaceAllUsesExcept(cast, cast);
  func.setType(builder.getFunctionType(func.front().getArgumentTypes(), {}));
}

void markNoAlias(func::FuncOp func) {
  auto unit = UnitAttr::get(func.getContext());
  for (unsigned i = 0, e = func.getNumArguments(); i < e; ++i) {
    if (!isa<MemRefType>(func.getArgument(i).getType()))
      continue;
    if (!func.getArgAttr(i, kMayAliasAttr))
      func.setArgAttr(i, "llvm.noalias", unit);
    func.removeArgAttr(i, StringAttr::get(func.getContext(), kMayAliasAttr));
  }
}

struct PrepareKernels : PassWrapper<PrepareKernels, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(PrepareKernels)
  StringRef getArgument() const final { return "cpu-prepare-kernels"; }
  StringRef getDescription() const final {
    return "Check kernel signatures and make them fit for bare pointers";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<memref::MemRefDialect>();
  }
  void runOnOperation() final {
    for (auto func : getOperation().getOps<func::FuncOp>()) {
      if (!func->hasAttr(kKernelAttr))
        continue;
      if (func.isExternal() || failed(checkSignature(func)))
        return signalPassFailure();
      makeScratchStatic(func);
      markNoAlias(func);
      func->removeAttr(kKernelAttr);
      func->setAttr(kExportAttr, func.getSymNameAttr());
      func.setName((func.getName() + "_impl").str());
      func.setPrivate();
    }
  }
};

/// void k(ptr args, i64 lo, i64 hi, ptr scratch) { k_impl(args[0], .., lo, hi,
/// scratch) }
void addWrapper(LLVM::LLVMFuncOp impl, StringRef name) {
  OpBuilder builder(impl);
  Location loc = impl.getLoc();
  Type ptr = LLVM::LLVMPointerType::get(impl.getContext());
  Type i64 = builder.getI64Type();
  auto type = LLVM::LLVMFunctionType::get(
      LLVM::LLVMVoidType::get(impl.getContext()), {ptr, i64, i64, ptr});
  auto wrapper = LLVM::LLVMFuncOp::create(builder, loc, name, type);
  Block *body = wrapper.addEntryBlock(builder);
  builder.setInsertionPointToStart(body);
  SmallVector<Value> operands;
  for (int32_t i = 0, e = impl.getNumArguments() - 3; i < e; ++i) {
    Value slot =
        LLVM::GEPOp::create(builder, loc, ptr, ptr, body->getArgument(0),
                            ArrayRef<LLVM::GEPArg>{i});
    operands.push_back(LLVM::LoadOp::create(builder, loc, ptr, slot));
  }
  llvm::append_range(operands, body->getArguments().drop_front());
  LLVM::CallOp::create(builder, loc, impl, operands);
  LLVM::ReturnOp::create(builder, loc, ValueRange{});
}

/// Loop annotations arrive from scf.for as discardable attributes, which the
/// translation to LLVM IR does not read.
void keepLoopAnnotations(Operation *module) {
  module->walk([](LLVM::BrOp branch) {
    StringRef name = LLVM::LoopAnnotationAttr::getMnemonic();
    std::string discardable = ("llvm." + name).str();
    auto annotation =
        branch->getAttrOfType<LLVM::LoopAnnotationAttr>(discardable);
    if (!annotation)
      return;
    branch->removeAttr(discardable);
    branch.setLoopAnnotationAttr(annotation);
  });
}

struct WrapKernels : PassWrapper<WrapKernels, OperationPass<ModuleOp>> {
  MLIR_DEFINE_EXPLICIT_INTERNAL_INLINE_TYPE_ID(WrapKernels)
  StringRef getArgument() const final { return "cpu-wrap-kernels"; }
  StringRef getDescription() const final {
    return "Add the exported wrapper of every lowered kernel";
  }
  void getDependentDialects(DialectRegistry &registry) const final {
    registry.insert<LLVM::LLVMDialect>();
  }
  void runOnOperation() final {
    for (auto impl :
         llvm::to_vector(getOperation().getOps<LLVM::LLVMFuncOp>())) {
      auto name = impl->getAttrOfType<StringAttr>(kExportAttr);
      if (!name)
        continue;
      impl->removeAttr(kExportAttr);
      // Inlining would turn the noalias of the arguments into weaker metadata.
      impl.setNoInline(true);
      impl.setLinkage(LLVM::Linkage::Internal);
      addWrapper(impl, name);
    }
    keepLoopAnnotations(getOperation());
  }
};

} // namespace

std::unique_ptr<Pass> createPrepareKernelsPass() {
  return std::make_unique<PrepareKernels>();
}
std::unique_ptr<Pass> createWrapKernelsPass() {
  return std::make_unique<WrapKernels>();
}

} // namespace cpu
} // namespace nibble
