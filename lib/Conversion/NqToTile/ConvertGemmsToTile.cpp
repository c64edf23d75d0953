// convert-gemms-to-tile: products of a plan as tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToTile/Gemm.h"
#include "nibble/Conversion/Passes.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"

namespace nibble {
#define GEN_PASS_DEF_CONVERTGEMMSTOTILE
#include "lib/Conversion/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

struct ConvertGemmsToTilePass
    : nibble::impl::ConvertGemmsToTileBase<ConvertGemmsToTilePass> {
  using ConvertGemmsToTileBase::ConvertGemmsToTileBase;

  void runOnOperation() override {
    OpBuilder builder = OpBuilder::atBlockEnd(getOperation().getBody());
    auto tiles =
        ModuleOp::create(builder, getOperation().getLoc(), StringRef("tiles"));
    for (auto kernel : getOperation().getOps<func::FuncOp>())
      if (kernel->hasAttr(kKernelAttr) &&
          !kernel.getOps<nq::MatmulOp>().empty() &&
          failed(convert(kernel, tiles)))
        return signalPassFailure();
  }

  LogicalResult convert(func::FuncOp kernel, ModuleOp tiles) {
    std::string why;
    nibble::gpu::GpuTarget machine;
    machine.chip = chip;
    machine.multiprocessors = multiprocessors;
    std::optional<GemmSchedule> chosen =
        schedule.empty() ? estimateSchedule(kernel.front(), machine, why)
                         : GemmSchedule::parse(schedule);
    if (!chosen && why.empty())
      why = "'" + schedule + "' is no schedule";
    FailureOr<TileGemm> gemm = failure();
    if (chosen)
      gemm = buildTileGemm(kernel, *chosen, machine, tiles, why);
    if (failed(gemm))
      return kernel.emitError() << "kernel '" << kernel.getSymName()
                                << "' is no product on tensor cores: " << why;
    return success();
  }
};

} // namespace
