// convert-tile-to-nvvm-*: kernels of tile as functions of a gpu.module.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/Passes.h"
#include "nibble/Conversion/TileToNVVM/TileToNVVM.h"
#include "nibble/Dialect/Tile/TileTarget.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace nibble {
#define GEN_PASS_DEF_CONVERTTILETONVVMSM100
#define GEN_PASS_DEF_CONVERTTILETONVVMSM90
#include "lib/Conversion/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

/// "map 0 u8 128x64 swizzle 3": argument, CUDA's numbers, box outermost first.
static std::string describe(const nibble::gpu::KernelArg &arg) {
  std::string text;
  llvm::raw_string_ostream os(text);
  if (arg.kind == nibble::gpu::KernelArg::Pointer)
    os << "pointer " << arg.value;
  if (arg.kind == nibble::gpu::KernelArg::Bytes)
    os << "scalar " << arg.value;
  if (arg.kind != nibble::gpu::KernelArg::Map)
    return text;
  os << "map " << arg.value << " type " << arg.map.type << " of ";
  llvm::interleave(llvm::reverse(arg.map.sizes), os, "x");
  os << " box ";
  llvm::interleave(llvm::reverse(arg.map.box), os, "x");
  os << " swizzle " << arg.map.swizzle;
  return text;
}

static DictionaryAttr describe(Builder builder,
                               const nibble::gpu::KernelLaunch &launch) {
  SmallVector<Attribute> args;
  for (const nibble::gpu::KernelArg &arg : launch.args)
    args.push_back(builder.getStringAttr(describe(arg)));
  NamedAttribute attributes[] = {
      builder.getNamedAttr("args", builder.getArrayAttr(args)),
      builder.getNamedAttr("block", builder.getDenseI64ArrayAttr(launch.block)),
      builder.getNamedAttr("cluster",
                           builder.getDenseI64ArrayAttr(launch.cluster)),
      builder.getNamedAttr("grid", builder.getDenseI64ArrayAttr(launch.grid)),
      builder.getNamedAttr("shared",
                           builder.getI64IntegerAttr(launch.sharedBytes))};
  return builder.getDictionaryAttr(attributes);
}

/// Kernels for targets with or without tensor memory.
static LogicalResult convert(ModuleOp module, bool tensorMemory) {
  SmallVector<tile::KernelOp> kernels;
  for (auto kernel : module.getOps<tile::KernelOp>())
    if (tile::getTarget(kernel.getTarget())->hasTensorMemory() == tensorMemory)
      kernels.push_back(kernel);
  if (kernels.empty())
    return success();
  OpBuilder builder(kernels.front());
  auto target = mlir::gpu::GPUModuleOp::create(
      builder, kernels.front().getLoc(), kGpuKernelsModule);
  for (tile::KernelOp kernel : kernels) {
    auto launch = lowerTileKernel(kernel, target);
    if (failed(launch))
      return failure();
    target.lookupSymbol(kernel.getSymNameAttr())
        ->setAttr("nibble.launch", describe(builder, *launch));
    kernel.erase();
  }
  return success();
}

namespace {
struct ConvertTileToNVVMSm90
    : nibble::impl::ConvertTileToNVVMSm90Base<ConvertTileToNVVMSm90> {
  void runOnOperation() override {
    if (failed(convert(getOperation(), /*tensorMemory=*/false)))
      signalPassFailure();
  }
};

struct ConvertTileToNVVMSm100
    : nibble::impl::ConvertTileToNVVMSm100Base<ConvertTileToNVVMSm100> {
  void runOnOperation() override {
    if (failed(convert(getOperation(), /*tensorMemory=*/true)))
      signalPassFailure();
  }
};
} // namespace
