// Products on tensor cores: NqToTile, then TileToNVVM.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileGemm.h"

#include "nibble/Conversion/NqToTile/Gemm.h"
#include "nibble/Conversion/TileToNVVM/TileToNVVM.h"
#include "nibble/KernelSelect/Passes.h"

#include "mlir/IR/Verifier.h"

using namespace mlir;

namespace nibble {
namespace gpu {

static std::optional<GemmSchedule>
getSchedule(func::FuncOp function, const GpuTarget &options, std::string &why) {
  if (auto text = function->getAttrOfType<StringAttr>(kScheduleAttr)) {
    auto parsed = GemmSchedule::parse(text.getValue());
    if (!parsed)
      why = "'" + text.str() + "' is no schedule";
    return parsed;
  }
  return estimateSchedule(function.front(), options, why);
}

FailureOr<std::optional<GpuKernel>> emitTileGemm(func::FuncOp function,
                                                 mlir::gpu::GPUModuleOp target,
                                                 const GpuTarget &options,
                                                 std::string &why) {
  std::optional<GemmSchedule> schedule = getSchedule(function, options, why);
  if (!schedule)
    return std::optional<GpuKernel>();
  OwningOpRef<ModuleOp> tiles = ModuleOp::create(function.getLoc());
  FailureOr<TileGemm> gemm =
      buildTileGemm(function, *schedule, options, *tiles, why);
  if (failed(gemm))
    return std::optional<GpuKernel>();
  if (failed(mlir::verify(*tiles)))
    return failure();
  FailureOr<KernelLaunch> launch = lowerTileKernel(gemm->kernel, target);
  if (failed(launch))
    return failure();
  // From arguments of the tile.kernel to values of the kernel function.
  for (KernelArg &arg : launch->args) {
    const KernelArg &place = gemm->args[arg.value];
    arg.value = place.value;
    arg.offset += place.offset;
  }
  GpuKernel kernel;
  kernel.flops = gemm->flops;
  kernel.launches.push_back(std::move(*launch));
  return std::optional<GpuKernel>(std::move(kernel));
}

} // namespace gpu
} // namespace nibble
