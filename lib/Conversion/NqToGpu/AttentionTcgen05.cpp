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
static constexpr int64_t kMostSlots = 8;

AttentionTcgen05Schedule::AttentionTcgen05Schedule(
    const AttentionShape &shape) {
  warpgroups = 2; // of 64 rows each, as Q is copied
  splits = 1;
  rawSlots = rawKeys = rawValues = 0;
  keys = shape.keys <= 64 ? 64 : 128;
  columns = llvm::alignTo(shape.width, 16);
  panelsQK = divideCeil(shape.depth * shape.q.bytes(), 128);
  panelsV = divideCeil(shape.width, 64);
  // Sm100 and Sm110 have the same.
  int64_t room = tile::getTarget("sm_110a")->sharedBytes - qBytes() -
                 8 * (6 + 2 * kMostSlots);
  slots = std::min(kMostSlots, room / pieceBytes());
  int64_t results =
      rows() *
      resultPitch(divideCeil(shape.rounded.getIntOrFloatBitWidth(), 8));
  ringEnd = std::max(qBytes() + slots * pieceBytes(), results);
}

static std::string whyNot(const AttentionShape &shape) {
  if (shape.weightCodes)
    return "the graph quantizes the weights, which this kernel does not";
  if (shape.expandsKeys() || shape.expandsValues())
    return "FP8 " + std::string(shape.expandsKeys() ? "keys" : "values") +
           " would have to be expanded to 16 bits on the way, which is not "
           "written for tcgen05 yet";
  return "";
}

static std::optional<AttentionShape> getShape(ProductGraph &graph,
                                              std::string &why) {
  auto shape = getAttentionShape(graph, why);
  if (shape)
    why = whyNot(*shape);
  return why.empty() ? shape : std::nullopt;
}

std::string whyNotAttentionTcgen05(func::FuncOp part) {
  ProductGraph graph(part);
  std::string why;
  if (failed(graph.read()))
    return "its operands cannot be read";
  getShape(graph, why);
  return why;
}

FailureOr<std::optional<GpuKernel>>
emitAttentionTcgen05(func::FuncOp part, mlir::gpu::GPUModuleOp target,
                     std::string &why) {
  ProductGraph graph(part);
  if (failed(graph.read()))
    return failure();
  std::optional<AttentionShape> shape = getShape(graph, why);
  if (!shape)
    return std::optional<GpuKernel>();
  const AttentionShape &s = *shape;
  AttentionTcgen05Schedule schedule(s);
  GpuKernel kernel;
  AttentionTcgen05Kernel code(s, schedule, graph.product->getLoc(), target,
                              part.getName() + "_flash");
  kernel.launches.push_back(code.write());
  kernel.flops =
      2 * s.batch * s.heads * s.queries * s.keys * (s.depth + s.width);
  return std::optional<GpuKernel>(kernel);
}

} // namespace gpu
} // namespace nibble
