// Kernels with matrix products or attention: parts, and what they hand over.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToGpu/Products.h"

#include "AttentionSimt.h"
#include "AttentionTcgen05.h"
#include "AttentionWgmma.h"
#include "ChosenClass.h"
#include "ProductCut.h"
#include "ProductGemm.h"
#include "StreamGemm.h"
#include "TileGemm.h"
#include "nibble/Conversion/NqToGpu/Loops.h"
#include "nibble/Dialect/Tile/TileTarget.h"
#include "nibble/KernelSelect/Passes.h"
#include "nibble/Transforms/Remarks.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace gpu {
namespace {

using AttentionEnd = ProductCut::AttentionEnd;

constexpr int64_t kAlignment = 256;

/// Where a value lies: a buffer of the kernel, from a byte on.
struct Home {
  unsigned value;
  int64_t offset;
};

class ProductsLowering {
public:
  ProductsLowering(func::FuncOp kernel, mlir::gpu::GPUModuleOp target,
                   const GpuTarget &options)
      : chosen(getProductClass(kernel)),
        onTensorCores(mayUseTensorCores(kernel, options)),
        cut(kernel, chosen.plainOperands,
            onTensorCores ? chooseEnd(kernel, options) : AttentionEnd::Result),
        target(target), options(options), name(kernel.getSymName()),
        chosenName(getClassName(kernel)),
        workspace(kernel.getNumArguments() + kernel.getNumResults()) {
    for (auto [i, argument] : llvm::enumerate(cut.getKernel().getArguments()))
      homes[argument] = {unsigned(i), 0};
    Operation *end = cut.getKernel().front().getTerminator();
    firstResult = kernel.getNumArguments();
    for (auto [i, value] : llvm::enumerate(end->getOperands()))
      returned.push_back(value);
  }

  FailureOr<GpuKernel> run() {
    if (chosen.generator == ProductGenerator::Streams) {
      FailureOr<std::optional<GpuKernel>> whole = streamWhole();
      if (failed(whole))
        return failure();
      if (*whole)
        return std::move(**whole);
    }
    for (KernelPart &part : cut.parts)
      if (failed(lower(part)))
        return failure();
    return result;
  }

private:
  /// Products and what follows them as one kernel.
  FailureOr<std::optional<GpuKernel>> streamWhole() {
    std::string why;
    auto kernel = emitStreamGemm(cut.getKernel(), target, options, why);
    if (failed(kernel) || *kernel || cut.parts.size() == 1)
      return kernel;
    remarkMissed(cut.getKernel().getLoc(), "lower-kernels-to-gpu")
        << RemarkArg("chosen", "the product and what follows it as kernels of "
                               "their own")
        << RemarkArg("rejected", "one kernel") << RemarkArg("reason", why);
    return kernel;
  }

  LogicalResult lower(KernelPart &part) {
    FailureOr<GpuKernel> lowered = emit(part);
    if (failed(lowered))
      return failure();
    SmallVector<Home> values;
    for (Value operand : part.operands)
      values.push_back(homes.find(operand)->second);
    for (Value value : part.results)
      values.push_back(place(value));
    // Its own workspace is free when it is done, the next part's takes its
    // place. Counters are behind the workspace; all parts have the same.
    values.push_back({workspace, kept});
    values.push_back({workspace + 1, 0});
    for (KernelLaunch &launch : lowered->launches) {
      for (KernelArg &arg : launch.args)
        if (arg.kind != KernelArg::Bytes) {
          Home home = values[arg.value];
          arg.value = home.value;
          arg.offset += home.offset;
        }
      result.launches.push_back(std::move(launch));
    }
    result.flops += lowered->flops;
    result.counterBytes = std::max(result.counterBytes, lowered->counterBytes);
    result.workspaceBytes = std::max(
        result.workspaceBytes,
        kept + int64_t(llvm::alignTo(lowered->workspaceBytes, kAlignment)));
    return success();
  }

  FailureOr<GpuKernel> emit(KernelPart &part) {
    if (!part.isProduct)
      return lowerLoopsToGpu(part.function, target, options);
    if (!part.function.getOps<nq::AttentionOp>().empty())
      return emitAnyAttention(part.function);
    return emitMatmul(part.function);
  }

  static StringRef getClassName(func::FuncOp kernel) {
    auto name = kernel->getAttrOfType<StringAttr>(kKernelClassAttr);
    return name ? name.getValue() : "";
  }

  static bool hasTensorMemory(const GpuTarget &options) {
    const tile::Target *chip = tile::getTarget(options.chip);
    return chip && chip->hasTensorMemory();
  }

  /// Of a class, or of no class at all, that does not say otherwise.
  static bool mayUseTensorCores(func::FuncOp kernel, const GpuTarget &options) {
    return (options.chip == "sm_90a" || hasTensorMemory(options)) &&
           getClassName(kernel) != "attention.simt.f32";
  }

  static bool isAttentionTaken(func::FuncOp part, const GpuTarget &options) {
    return hasTensorMemory(options) ? whyNotAttentionTcgen05(part).empty()
                                    : isAttentionWgmma(part);
  }

  /// The most of what follows that kernels for tensor cores take; those on FMA
  /// units store their results as they are.
  static AttentionEnd chooseEnd(func::FuncOp kernel, const GpuTarget &options) {
    if (kernel.getOps<nq::AttentionOp>().empty())
      return AttentionEnd::Result;
    for (AttentionEnd end : {AttentionEnd::Codes, AttentionEnd::Moves}) {
      ProductCut cut(kernel, /*plainOperands=*/false, end);
      bool areTaken = llvm::all_of(cut.parts, [&](KernelPart &part) {
        return part.function.getOps<nq::AttentionOp>().empty() ||
               isAttentionTaken(part.function, options);
      });
      if (areTaken)
        return end;
    }
    return AttentionEnd::Result;
  }

  FailureOr<GpuKernel> emitAnyAttention(func::FuncOp function) {
    if (!onTensorCores)
      return emitAttention(function, target, options);
    std::string why;
    auto kernel = hasTensorMemory(options)
                      ? emitAttentionTcgen05(function, target, options, why)
                      : emitAttentionWgmma(function, target, options, why);
    if (failed(kernel))
      return failure();
    if (*kernel)
      return std::move(**kernel);
    if (chosenName == "attention.tcgen05")
      emitWarning(function.getLoc())
          << "kernel '" << this->name << "' was to run on tensor cores, and "
          << "runs on FMA units: " << why;
    auto op = *function.getOps<nq::AttentionOp>().begin();
    remarkMissed(op.getLoc(), "lower-kernels-to-gpu")
        << RemarkArg("chosen", "attention on FMA units")
        << RemarkArg("rejected", "attention on tensor cores")
        << RemarkArg("reason", why);
    return emitAttention(function, target, options);
  }

  /// Tensor cores, if the class of the kernel is that, and the kernels for
  /// them can read the operands.
  FailureOr<GpuKernel> emitMatmul(func::FuncOp function) {
    if (chosen.generator != ProductGenerator::Threads) {
      std::string why;
      auto lowered = chosen.generator == ProductGenerator::TensorCores
                         ? emitTileGemm(function, target, options, why)
                         : emitStreamGemm(function, target, options, why);
      if (failed(lowered))
        return failure();
      if (*lowered)
        return std::move(**lowered);
      emitWarning(function.getLoc())
          << "kernel '" << name << "' was to run on tensor cores, and runs on "
          << "FMA units: " << why;
    }
    return emitGemm(function, target, options);
  }

  /// The first result that returns a value has it; otherwise the workspace.
  Home place(Value value) {
    for (auto [i, other] : llvm::enumerate(returned))
      if (other == value) {
        // Further results are copies.
        other = Value();
        Home home{firstResult + unsigned(i), 0};
        homes.try_emplace(value, home);
        return home;
      }
    Home home{workspace, kept};
    homes[value] = home;
    int64_t bytes =
        nq::getStorageRegions(cast<RankedTensorType>(value.getType())).total;
    kept += llvm::alignTo(bytes, kAlignment);
    result.workspaceBytes = std::max(result.workspaceBytes, kept);
    return home;
  }

  ProductClass chosen;
  bool onTensorCores;
  ProductCut cut;
  mlir::gpu::GPUModuleOp target;
  const GpuTarget &options;
  std::string name;
  llvm::StringRef chosenName; ///< of the class
  unsigned workspace, firstResult;
  SmallVector<Value> returned; ///< null once written
  DenseMap<Value, Home> homes;
  int64_t kept = 0; ///< bytes of the workspace that later parts read
  GpuKernel result;
};

/// Sums are f32: what has more digits is refused.
LogicalResult checkOperands(func::FuncOp kernel) {
  auto isDouble = [](Value value) {
    auto type = cast<RankedTensorType>(value.getType());
    return type.getElementType().isF64();
  };
  for (Operation &op : kernel.front()) {
    if (!isa<nq::MatmulOp, nq::AttentionOp>(op))
      continue;
    for (Value value : op.getOperands())
      if (isDouble(value))
        return op.emitOpError()
               << "has an operand of type " << value.getType()
               << "; GPU kernels multiply in f32: convert the model to f32";
    if (isDouble(op.getResult(0)))
      return op.emitOpError() << "has a result of f64; GPU kernels sum in f32: "
                                 "convert the model to f32";
  }
  return success();
}

} // namespace

bool isProductKernel(func::FuncOp kernel) {
  return llvm::any_of(kernel.front(),
                      llvm::IsaPred<nq::MatmulOp, nq::AttentionOp>);
}

FailureOr<GpuKernel> lowerProductsToGpu(func::FuncOp kernel,
                                        mlir::gpu::GPUModuleOp target,
                                        const GpuTarget &options) {
  if (failed(checkOperands(kernel)))
    return failure();
  return ProductsLowering(kernel, target, options).run();
}

} // namespace gpu
} // namespace nibble
