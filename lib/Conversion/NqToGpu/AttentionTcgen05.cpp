// Attention on Blackwell's tensor cores: the schedule, and the launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionTcgen05.h"

#include "AttentionTcgen05Kernel.h"

#include "nibble/Dialect/Tile/TileTarget.h"

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

/// More hide nothing more.
static constexpr int64_t kMostSlots = 8, kMostRawSlots = 4;
/// Of operands, before there is more than one of codes.
static constexpr int64_t kFewestSlots = 4;

// In clocks, counted, not measured: what begins and ends a block, and merging.
static constexpr double kBlockClocks = 3500, kMergeClocks = 3000;
/// Operations of a multiprocessor's tensor cores in a clock, its powers of two
/// with what goes with them, and what reaches it of memory.
static constexpr double kFlopsPerClock = 8192, kWeightsPerClock = 12,
                        kBytesPerClock = 32;

/// Bytes along a head of a piece that is expanded.
static int64_t getRawBytes(int64_t elements) {
  constexpr int64_t kMost = AttentionTcgen05Schedule::kPiecePanels * 64;
  return std::min<int64_t>(llvm::alignTo(elements, 16), kMost);
}

AttentionTcgen05Schedule::AttentionTcgen05Schedule(const AttentionShape &shape,
                                                   const GpuTarget &target) {
  warpgroups = 2; // of 64 rows each, as Q is copied
  splits = 1;
  walksTwice = shape.weightCodes.has_value();
  valueBytes = walksTwice ? shape.v.bytes() : 2;
  rawKeys = shape.expandsKeys() ? getRawBytes(shape.depth) : 0;
  rawValues =
      shape.expandsValues() && valueBytes == 2 ? getRawBytes(shape.width) : 0;
  keys = shape.keys <= 64 ? 64 : 128;
  columns = llvm::alignTo(shape.width, 16);
  panelsQK = divideCeil(shape.depth * shape.q.bytes(), 128);
  panelsV = divideCeil(shape.width * valueBytes, 128);
  findSplits(shape, target);
  int64_t room = tile::getTarget(target.chip)->sharedBytes - qBytes() -
                 receivedBytes() -
                 8 * (kBarriers + 1 + 2 * (kMostSlots + kMostRawSlots));
  rawSlots = 0;
  if (expands()) {
    int64_t left = room - kFewestSlots * pieceBytes();
    rawSlots = std::clamp(left / rawBytes(), int64_t(1), kMostRawSlots);
  }
  slots = std::min(kMostSlots, (room - rawSlots * rawBytes()) / pieceBytes());
  int64_t results =
      rows() *
      resultPitch(divideCeil(shape.rounded.getIntOrFloatBitWidth(), 8));
  if (splits > 1)
    results = totalsBegin() + rows() * 8;
  ringEnd = std::max(codesBegin() + rawSlots * rawBytes(), results);
}

/// Rows fill the machine, or keys are shared by blocks of a cluster.
void AttentionTcgen05Schedule::findSplits(const AttentionShape &shape,
                                          const GpuTarget &target) {
  int64_t best = 1;
  double least = 0;
  for (int64_t count : {1, 2, 4, 8}) {
    splits = count;
    if (splits > int64_t(divideCeil(shape.keys, keys)) ||
        splits > target.multiprocessors)
      break;
    double clocks = estimate(shape, target);
    if (count > 1 && clocks >= least)
      continue;
    least = clocks, best = count;
  }
  splits = best;
}

double AttentionTcgen05Schedule::estimate(const AttentionShape &shape,
                                          const GpuTarget &target) const {
  int64_t tiles = divideCeil(divideCeil(shape.keys, keys), splits);
  double scores = double(rows()) * keys;
  auto getClocks = [&](double products, double bytes) {
    return std::max({2 * scores * products / kFlopsPerClock,
                     scores / kWeightsPerClock, bytes / kBytesPerClock});
  };
  // Products count in elements of 16 bits.
  double ofKeys = double(llvm::alignTo(shape.depth * shape.q.bytes(), 32)) / 2;
  double ofValues = double(columns * valueBytes) / 2;
  double keyBytes = double(keys) * shape.depth * shape.k.bytes(),
         valuesBytes = double(keys) * shape.width * shape.v.bytes();
  double tile = getClocks(ofKeys + ofValues, keyBytes + valuesBytes);
  if (walksTwice)
    tile += getClocks(ofKeys, keyBytes);
  // Clusters of four and eight do not find all multiprocessors.
  int64_t usable = target.multiprocessors;
  if (splits > 2)
    usable -= divideCeil(usable, 11);
  int64_t atOnce = std::max<int64_t>(usable / splits, 1);
  int64_t waves = divideCeil(items(shape), atOnce);
  return waves * (tiles * tile + kBlockClocks) +
         (splits > 1 ? kMergeClocks : 0);
}

std::string whyNotAttentionTcgen05(func::FuncOp part) {
  ProductGraph graph(part);
  std::string why;
  if (failed(graph.read()))
    return "its operands cannot be read";
  getAttentionShape(graph, why);
  return why;
}

FailureOr<std::optional<GpuKernel>>
emitAttentionTcgen05(func::FuncOp part, mlir::gpu::GPUModuleOp target,
                     const GpuTarget &options, std::string &why) {
  ProductGraph graph(part);
  if (failed(graph.read()))
    return failure();
  std::optional<AttentionShape> shape = getAttentionShape(graph, why);
  if (!shape)
    return std::optional<GpuKernel>();
  const AttentionShape &s = *shape;
  AttentionTcgen05Schedule schedule(s, options);
  GpuKernel kernel;
  AttentionTcgen05Kernel code(s, schedule, *tile::getTarget(options.chip),
                              graph.product->getLoc(), target,
                              part.getName() + "_flash");
  kernel.launches.push_back(code.write());
  kernel.flops =
      2 * s.batch * s.heads * s.queries * s.keys * (s.depth + s.width);
  return std::optional<GpuKernel>(kernel);
}

} // namespace gpu
} // namespace nibble
