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
/// Of FP8 tiles that are expanded: one is read while others come.
static constexpr int64_t kMostRawSlots = 6, kFewestRawSlots = 2;

// In clocks, fitted to an H200 (docs/performance.md): a launch, with its first
// copies and last results; what a walking block, whose first copies run under
// the results before, or another one adds; merging.
static constexpr double kLaunchClocks = 12000, kNextClocks = 2000,
                        kBlockClocks = 3500, kMergeClocks = 3000;
/// Operations of a multiprocessor's tensor cores in a clock, its powers of two,
/// and what reaches it of L2 while all multiprocessors read.
static constexpr double kFlopsPerClock = 4096, kExp2PerClock = 16,
                        kBytesPerClock = 32;
/// Elements that three warps expand in a clock: counted, not measured.
static constexpr double kExpandedPerClock = 32;
/// Products with fewer keys wait for shared memory, which both operands are
/// read from: by so much more.
static constexpr double kFewKeys = 1.05;
/// What two warpgroups reach, which hide each other's softmax, of the slower of
/// the two; one waits for both.
static constexpr double kReached = 0.85;

AttentionSchedule::AttentionSchedule(const AttentionShape &shape,
                                     const GpuTarget &target)
    : columns(llvm::alignTo(shape.width, 8)),
      panelsQK(divideCeil(shape.depth * shape.q.bytes(), 128)),
      panelsV(divideCeil(shape.width, 64)),
      rawKeys(shape.expandsKeys() ? llvm::alignTo(shape.depth, 16) : 0),
      rawValues(shape.expandsValues() ? llvm::alignTo(shape.width, 16) : 0) {
  // Scores of a tile and sums of a row are registers of one thread.
  bool isWide = std::max(shape.depth, shape.width) > 128;
  SmallVector<int64_t> tiles{isWide || shape.keys <= 64 ? 64 : 128};
  if (isWide)
    tiles.push_back(80);
  std::optional<AttentionSchedule> best;
  double least = 0;
  for (int64_t groups : {2, 1})
    for (int64_t parts : {1, 2, 4, 8}) {
      for (int64_t tile : tiles) {
        warpgroups = groups, splits = parts, keys = tile;
        if (!fits(shape, target))
          continue;
        double clocks = estimate(shape, target);
        if (best && clocks >= least)
          continue;
        least = clocks;
        best = *this;
      }
    }
  *this = *best;
  if (walks(shape) && items(shape) > target.multiprocessors)
    walkers = target.multiprocessors;
}

/// Blocks of equal length can be given out beforehand. Lengths that are loaded
/// need not be equal, and take registers that walking blocks do not have.
bool AttentionSchedule::walks(const AttentionShape &shape) const {
  return splits == 1 && !shape.causal && !shape.lengths;
}

/// Sums of heads of 256, queries of 16 bits and a mask that is loaded take more
/// registers than ptxas has for threads of several warpgroups: it spills.
static bool isTight(const AttentionShape &shape) {
  return shape.mask && shape.width > 192 && shape.q.bytes() == 2;
}

/// One warpgroup without a cluster always fits.
bool AttentionSchedule::fits(const AttentionShape &shape,
                             const GpuTarget &target) {
  if (isTight(shape) && (warpgroups > 1 || keys > 64))
    return false;
  if (splits > int64_t(divideCeil(shape.keys, keys)) ||
      splits > target.multiprocessors || splits > columns / 8 ||
      shape.rows() <= 64 * (warpgroups - 1))
    return false;
  findSlots();
  return slots >= kFewestSlots && (!expands() || rawSlots >= kFewestRawSlots) &&
         sharedBytes() <= kSm90SharedBytes;
}

/// As many as there is room for; of expanded tiles few, as their codes have the
/// way from memory.
void AttentionSchedule::findSlots() {
  int64_t most = kMostSlots + (expands() ? kMostRawSlots : 0);
  int64_t fixed = qBytes() + factorBytes() + barrierBytes(most);
  int64_t room = kSm90SharedBytes - fixed;
  rawSlots = 0;
  if (expands()) {
    int64_t left = room - kFewestSlots * slotBytes();
    rawSlots = std::clamp(left / rawBytes(), int64_t(0), kMostRawSlots);
  }
  slots = std::min(kMostSlots, (room - rawSlots * rawBytes()) / slotBytes());
}

/// Clusters that run at once. Those of four and eight do not find all
/// multiprocessors: 30 and 15 on an H200, by its driver.
static int64_t getClusters(const GpuTarget &target, int64_t blocks) {
  int64_t usable = target.multiprocessors;
  if (blocks > 2)
    usable -= usable / 11;
  return std::max(usable / blocks, int64_t(1));
}

/// Rows fill the machine, or keys are shared by blocks of a cluster.
double AttentionSchedule::estimate(const AttentionShape &shape,
                                   const GpuTarget &target) const {
  int64_t tiles = divideCeil(divideCeil(shape.keys, keys), splits);
  double sums = double(rows()) * keys;
  double ofKeys = double(llvm::alignTo(shape.depth * shape.q.bytes(), 32)) / 2;
  // Keys are taken twice if weights become codes.
  int64_t passes = shape.weightCodes ? 2 : 1;
  double products = 2 * sums * (passes * ofKeys + columns) / kFlopsPerClock;
  if (keys < 80)
    products *= kFewKeys;
  double weights = passes * sums / kExp2PerClock;
  double tile = warpgroups == 1 ? products + weights
                                : std::max(products, weights) / kReached;
  double bytes = double(keys) * passes * (rawKeys ? rawKeys : 128 * panelsQK) +
                 double(keys) * (rawValues ? rawValues : 128 * panelsV);
  tile = std::max(tile, bytes / kBytesPerClock);
  tile = std::max(tile, double(keys) * (passes * rawKeys + rawValues) /
                            kExpandedPerClock);
  int64_t waves = divideCeil(items(shape), getClusters(target, splits));
  return waves * tiles * tile + kLaunchClocks +
         (waves - 1) * (walks(shape) ? kNextClocks : kBlockClocks) +
         (splits > 1 ? kMergeClocks : 0);
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
