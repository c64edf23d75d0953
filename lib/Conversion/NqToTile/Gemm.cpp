// Writes a product and what follows it as a tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToTile/Gemm.h"
#include "GemmTiles.h"
#include "TensorGemm.h"
#include "WgmmaGemm.h"

#include "nibble/Dialect/Tile/TileTarget.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;

std::optional<GemmShape>
nibble::getTileGemmShape(Block &body, bool tensorMemory, std::string &why) {
  GemmProblem problem(body.getParentOp()->getContext(), tensorMemory);
  if (failed(problem.read(body, why)))
    return std::nullopt;
  GemmEpilogue epilogue(problem);
  if (failed(epilogue.make(why)))
    return std::nullopt;
  return epilogue.getShape();
}

static bool hasTensorMemory(const nibble::gpu::GpuTarget &chip) {
  return tile::getTarget(chip.chip)->hasTensorMemory();
}

std::optional<GemmSchedule>
nibble::estimateSchedule(Block &body, const nibble::gpu::GpuTarget &chip,
                         std::string &why) {
  std::optional<GemmShape> shape =
      getTileGemmShape(body, hasTensorMemory(chip), why);
  if (!shape)
    return std::nullopt;
  auto candidates =
      getCandidates(*shape, kSm90SharedBytes, chip.multiprocessors);
  if (!candidates.empty())
    return candidates.front();
  why = whyNoCandidates(*shape, kSm90SharedBytes);
  return std::nullopt;
}

FailureOr<TileGemm> nibble::buildTileGemm(func::FuncOp kernel,
                                          const GemmSchedule &schedule,
                                          const nibble::gpu::GpuTarget &chip,
                                          ModuleOp target, std::string &why) {
  GemmProblem problem(kernel.getContext(), hasTensorMemory(chip));
  if (failed(problem.read(kernel.front(), why)))
    return failure();
  GemmEpilogue epilogue(problem);
  if (failed(epilogue.make(why)))
    return failure();
  why = whyNotSchedule(schedule, epilogue.getShape(), kSm90SharedBytes);
  if (!why.empty())
    return failure();
  if (problem.tensorMemory)
    return TensorGemm(problem, epilogue, schedule, chip, kernel.getLoc(),
                      target)
        .run(kernel.getSymName());
  return WgmmaGemm(problem, epilogue, schedule, chip, kernel.getLoc(), target)
      .run(kernel.getSymName());
}
