// Products of few rows with a weight that is streamed: what they are, and how
// they are spread over the machine.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamPlan.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using llvm::divideCeil;

namespace nibble {
namespace gpu {

//===----------------------------------------------------------------------===//
// Problem
//===----------------------------------------------------------------------===//

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

/// Reshapes of what lies row-major change nothing in memory.
static BlockArgument getArgument(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<tensor::CollapseShapeOp, tensor::ExpandShapeOp>(op))
      return {};
    value = op->getOperand(0);
  }
  return cast<BlockArgument>(value);
}

LogicalResult StreamProblem::read(func::FuncOp part, std::string &why) {
  auto no = [&](const Twine &reason) {
    why = reason.str();
    return failure();
  };
  op = *part.getOps<nq::MatmulOp>().begin();
  RankedTensorType right = typeOf(op.getB());
  Type element = typeOf(op.getA()).getElementType();
  if (!element.isF16() && !element.isBF16())
    return no("activations are neither f16 nor bf16");
  bf16 = element.isBF16();
  BlockArgument a = getArgument(op.getA());
  auto b = dyn_cast<BlockArgument>(op.getB());
  if (!a || nq::getLayout(a.getType()))
    return no("activations do not lie row-major in memory");
  if (!b || right.getRank() != 2)
    return no("the weight is no matrix in memory");
  MatrixDims dims = op.getTransposeB() ? MatrixDims{0, 1} : MatrixDims{1, 0};
  std::optional<StreamFormat> found = getStreamFormat(right, dims, why);
  if (!found)
    return failure();
  format = *found;
  nq::ScaledType scaled = nq::getScaledElement(right);
  if (!scaled && right.getElementType() != element)
    return no("activations and weight are of different types");
  if (nq::getLayout(right) != getStreamLayout(right, dims))
    return no("the weight is not stored for it");
  storage = scaled ? scaled.getStorage() : element;
  scale = scaled ? scaled.getScale() : Type();
  tokens = a.getArgNumber();
  weight = b.getArgNumber();
  nq::StorageRegions regions = nq::getStorageRegions(right);
  codes = regions.codes;
  scales = regions.scales;
  k = op.getK();
  n = op.getN();
  m = k ? typeOf(op.getA()).getNumElements() / k : 0;
  if (m == 0 || m > 64 || n == 0 || k == 0 || k % 32)
    return no("M = " + Twine(m) + ", K = " + Twine(k) +
              "; it takes M from 1 to 64 and K in multiples of 32");
  return success();
}

int64_t StreamProblem::scaleBytes() const {
  if (!format.block)
    return 0;
  return 16 * (128 / format.block) * scale.getIntOrFloatBitWidth() / 8;
}

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

/// Shared memory of a multiprocessor, less what the system takes of each block.
static constexpr int64_t kSharedBytes = 226 * 1024;
static constexpr int64_t kMostStages = 8;

/// Sums in registers of a thread, next to operands. A multiprocessor has 64 K
/// registers; sixteen warps leave 128 to each thread.
static int64_t mostSums(const StreamProblem &problem, int64_t warps) {
  if (warps > 8)
    return 32;
  bool scalesSums = problem.format.block && !problem.format.hasRuns();
  return scalesSums ? 64 : 128;
}

/// Fails if the warps cannot share the tiles, or something is too large.
bool StreamPlan::fit(const StreamProblem &problem, const GpuTarget &target) {
  scaleBytes = problem.scaleBytes();
  tokenTiles = divideCeil(problem.m, 8);
  int64_t rowTiles = rows / 16;
  if (rowTiles % tiles || warps % (rowTiles / tiles) ||
      tiles * tokenTiles * 4 > mostSums(problem, warps))
    return false;
  rowGroups = rowTiles / tiles;
  kGroups = warps / rowGroups;
  kStep = problem.format.pieceK();
  if (blockK() < 64)
    return false;
  steps = divideCeil(divideCeil(problem.k, blockK()), splits);
  blocks = divideCeil(problem.n, rows) * splits;
  // More than one block for each multiprocessor: two of them share one.
  int64_t bytes =
      blocks > target.multiprocessors ? kSharedBytes / 2 : kSharedBytes;
  stages = std::clamp<int64_t>(bytes / stageBytes(), 2, kMostStages);
  stages = std::min(stages, std::max<int64_t>(steps, 2));
  // Few tokens leave all to memory: deep pipelines.
  bool few = tokenTiles <= 2, deep = stages >= 3 || stages >= steps;
  return sharedBytes() <= kSharedBytes && (!few || (tiles == 1 && deep));
}

/// Blocks that a multiprocessor has room for: shared memory, and registers as
/// ptxas uses them.
double StreamPlan::residents() const {
  constexpr int64_t kRegisters = 65536;
  int64_t registers = std::min<int64_t>(48 + 7 * tiles * tokenTiles, 255);
  if (isCluster() && warps == 16)
    registers = 128;
  int64_t fits = std::min(kRegisters / (threads() * registers),
                          kSharedBytes / sharedBytes());
  return double(std::max<int64_t>(fits, 1));
}

/// Bytes that the busiest multiprocessor reads, those of tokens from the L2
/// cache at four times the rate; more if few warps hide how long things take.
/// What beginnings and exchanges of sums cost, as bytes. The constants were
/// fitted by hand to plans measured on an H100: two shapes, four M.
double StreamPlan::cost(const StreamProblem &problem,
                        const GpuTarget &target) const {
  constexpr double kBlock = 6e3, kCluster = 30e3, kSecondPass = 40e3;
  double each = double(divideCeil(blocks, target.multiprocessors));
  double resident = std::min(residents(), each);
  double hidden = 1 + 2 * (1 + double(tokenTiles) / double(tiles)) /
                          (std::min(resident, 2.0) * double(warps));
  double weights = double(steps * warps * (codesOfWarp() + scalesOfWarp()));
  double tokens = double(steps * blockK() * problem.m * 2);
  double sum = each * (weights + tokens / 4) * hidden +
               std::ceil(each / resident) * kBlock;
  if (isCluster())
    sum += kCluster;
  if (hasSecondPass())
    sum += kSecondPass + double(workspaceFloats(problem)) * 4 /
                             double(target.multiprocessors);
  return sum;
}

StreamPlan::StreamPlan(const StreamProblem &problem, const GpuTarget &target) {
  double best = -1;
  StreamPlan found = *this;
  auto consider = [&] {
    if (!fit(problem, target))
      return;
    double here = cost(problem, target);
    if (best >= 0 && here >= best)
      return;
    best = here;
    found = *this;
  };
  for (int64_t rowsOfBlock : {128, 64, 32, 16})
    for (int64_t splitsOfK : {1, 2, 4, 8})
      for (int64_t warpsOfBlock : {16, 8, 4})
        for (int64_t tilesOfWarp : {1, 2, 4}) {
          rows = rowsOfBlock;
          splits = splitsOfK;
          warps = warpsOfBlock;
          tiles = tilesOfWarp;
          consider();
        }
  *this = found;
}

} // namespace gpu
} // namespace nibble
