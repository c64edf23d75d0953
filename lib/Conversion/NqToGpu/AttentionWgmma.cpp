// Attention on Hopper's tensor cores: the schedule, and the launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionKernel.h"

#include "nibble/Conversion/NqToTile/GemmSchedule.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

/// Slots beyond that hide nothing more, and fewer do not let a warpgroup go on
/// while another one still reads.
static constexpr int64_t kMostSlots = 8, kFewestSlots = 4;
/// What a block costs beside its tiles, in clocks: launch and first copies,
/// results; barriers of a cluster; merging.
static constexpr double kBlockClocks = 3500, kClusterClocks = 500,
                        kMergeClocks = 1500;
/// Of a walking block, whose first copies run under the last results.
static constexpr double kNextClocks = 1500;
/// Operations of a multiprocessor's tensor cores in a clock.
static constexpr double kFlopsPerClock = 4096;
/// Of that rate, what 1, 2 and 3 warpgroups reach, which hide each other's
/// softmax.
static constexpr double kReached[] = {0.5, 0.8, 0.8};
/// From L2 to a multiprocessor, while all of them copy.
static constexpr double kBytesPerClock = 24;

AttentionSchedule::AttentionSchedule(const AttentionShape &shape,
                                     const GpuTarget &target)
    : columns(llvm::alignTo(shape.width, 8)),
      panelsQK(divideCeil(shape.depth, 64)),
      panelsV(divideCeil(shape.width, 64)) {
  // Scores of a tile and sums of a row are registers of one thread.
  bool isNarrow = std::max(shape.depth, shape.width) <= 128;
  keys = isNarrow && shape.keys > 64 ? 128 : 64;
  std::optional<AttentionSchedule> best;
  double least = 0;
  for (int64_t groups : {2, 1, 3})
    for (int64_t parts : {1, 2, 4, 8})
      for (int64_t others : {1, 2, 4}) {
        warpgroups = groups, splits = parts, sharers = others;
        if (!fits(shape))
          continue;
        double clocks = estimate(shape, target);
        if (best && clocks >= least)
          continue;
        least = clocks;
        best = *this;
      }
  *this = *best;
  int64_t most = target.multiprocessors / blocksOfCluster();
  if (splits == 1 && !shape.causal && items(shape) > most)
    walkers = most;
}

/// One warpgroup, one block always fits.
bool AttentionSchedule::fits(const AttentionShape &shape) {
  if (splits > int64_t(divideCeil(shape.keys, keys)) || blocksOfCluster() > 8)
    return false;
  if (shape.rows() <= 64 * (warpgroups - 1) ||
      shape.rows() <= rows() * (sharers - 1) || (shape.causal && sharers > 1))
    return false;
  // Two warps of rows or columns of one have one owner each.
  bool isSpread = splits <= warps() ? warps() % splits == 0
                                    : columns / 8 % columnParts() == 0;
  if (!isSpread || (warpgroups == 3 && (columns > 64 || splits > 1)))
    return false;
  int64_t fixed = qBytes() + factorBytes() + barrierBytes(kMostSlots);
  slots = std::min(kMostSlots, (kSm90SharedBytes - fixed) / slotBytes());
  return slots >= kFewestSlots && sharedBytes() <= kSm90SharedBytes;
}

/// Rows fill the machine, or keys are shared by blocks of a cluster.
double AttentionSchedule::estimate(const AttentionShape &shape,
                                   const GpuTarget &target) const {
  int64_t tiles = divideCeil(divideCeil(shape.keys, keys), splits);
  double flops = 2.0 * rows() * keys * 64 * (panelsQK + panelsV);
  double bytes = 128.0 * keys * (panelsQK + panelsV) / sharers;
  double clocks =
      tiles * std::max(flops / (kFlopsPerClock * kReached[warpgroups - 1]),
                       bytes / kBytesPerClock);
  int64_t clusters = target.multiprocessors / blocksOfCluster();
  int64_t waves = divideCeil(items(shape), clusters);
  bool walks = splits == 1 && !shape.causal;
  return waves * clocks + kBlockClocks +
         (waves - 1) * (walks ? kNextClocks : kBlockClocks) +
         waves * ((blocksOfCluster() > 1 ? kClusterClocks : 0) +
                  (splits > 1 ? kMergeClocks : 0));
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
