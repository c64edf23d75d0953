// Attention on Hopper's tensor cores: the schedule, and the launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "nibble/Conversion/NqToTile/GemmSchedule.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

/// Slots beyond that hide nothing more.
static constexpr int64_t kMostSlots = 8;
/// What a block costs beside its tiles, and what merging costs, in clocks.
static constexpr double kBlockClocks = 2500, kMergeClocks = 1500;
/// Operations of a multiprocessor's tensor cores in a clock.
static constexpr double kFlopsPerClock = 4096;
/// Of that rate, what one and two warpgroups reach: two hide each other's
/// softmax.
static constexpr double kReached[] = {0.55, 0.8};

AttentionSchedule::AttentionSchedule(const AttentionShape &shape,
                                     const GpuTarget &target)
    : columns(llvm::alignTo(shape.width, 8)),
      panelsQK(divideCeil(shape.depth, 64)),
      panelsV(divideCeil(shape.width, 64)) {
  // Scores of a tile and sums of a row are registers of one thread.
  bool isNarrow = std::max(shape.depth, shape.width) <= 128;
  keys = isNarrow && shape.keys > 64 ? 128 : 64;
  spread(shape, target);
  int64_t barrierBytes = 8 * (1 + 2 * kMostSlots) + 128;
  int64_t ring = kSm90SharedBytes - barrierBytes - qBytes();
  slots = std::min(kMostSlots, ring / slotBytes());
}

/// Rows fill the machine, or keys are shared by blocks of a cluster.
void AttentionSchedule::spread(const AttentionShape &shape,
                               const GpuTarget &target) {
  int64_t tiles = divideCeil(shape.keys, keys);
  int64_t matrices = shape.batch * shape.matrices();
  double best = 0;
  for (int64_t groups : {2, 1})
    for (int64_t parts : {1, 2, 4, 8}) {
      if (parts > tiles || (groups == 2 && shape.rows() <= 64))
        continue;
      int64_t blocks =
          matrices * int64_t(divideCeil(shape.rows(), 64 * groups)) * parts;
      double flops = 2.0 * 64 * groups * keys * 64 * (panelsQK + panelsV);
      double clocks = divideCeil(tiles, parts) * flops /
                          (kFlopsPerClock * kReached[groups - 1]) +
                      kBlockClocks + (parts > 1 ? kMergeClocks : 0);
      clocks *= divideCeil(blocks, target.multiprocessors);
      if (best != 0 && clocks >= best)
        continue;
      best = clocks;
      warpgroups = groups, splits = parts;
    }
}

bool isAttentionWgmma(func::FuncOp part) {
  ProductGraph graph(part);
  std::string why;
  return succeeded(graph.read()) && getAttentionShape(graph, why);
}

FailureOr<std::optional<GpuKernel>>
emitAttentionWgmma(func::FuncOp part, mlir::gpu::GPUModuleOp target,
                   const GpuTarget &options, std::string &why) {
  ProductGraph graph(part);
  if (failed(graph.read()))
    return failure();
  std::optional<AttentionShape> shape = getAttentionShape(graph, why);
  if (!shape)
    return std::optional<GpuKernel>();
  AttentionSchedule schedule(*shape, options);
  GpuKernel kernel;
  AttentionKernel code(*shape, schedule, graph.product->getLoc(), target,
                       part.getName() + "_flash");
  kernel.launches.push_back(code.write());
  const AttentionShape &s = *shape;
  kernel.flops =
      2 * s.batch * s.heads * s.queries * s.keys * (s.depth + s.width);
  return std::optional<GpuKernel>(kernel);
}

} // namespace gpu
} // namespace nibble
