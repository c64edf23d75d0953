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
/// More took longer: on an H200, M = 1, 16384 x 2048, depths of 3, 4 and 8 took
/// 8.8, 9.1 and 10.8 us.
static constexpr int64_t kMostDepth = 3;

/// Sums in registers of a thread, next to operands. A multiprocessor has 64 K
/// registers; sixteen warps leave 128 to each thread.
static int64_t mostSums(const StreamProblem &problem, int64_t warps) {
  if (warps > 8)
    return 32;
  return problem.scalesSums() ? 64 : 128;
}

/// Fails if the warps cannot share the tiles, or something is too large.
bool StreamPlan::fit(const StreamProblem &problem, const GpuTarget &target) {
  pieceBytes = problem.pieceBytes();
  pieceK = problem.format.pieceK();
  tokenTiles = divideCeil(problem.m, 8);
  wide = tokenTiles > 2 && !problem.scalesSums();
  int64_t rowTiles = rows / 16;
  if (rowTiles % tiles || warps % (rowTiles / tiles) ||
      (wide && rowTiles % 4) || (tiles > 1 && (wide || tokenTiles <= 2)) ||
      tiles * tokenTiles * 4 > mostSums(problem, warps))
    return false;
  rowGroups = rowTiles / tiles;
  kGroups = warps / rowGroups;
  pieces = divideCeil(problem.pieces(), cluster * parts * kGroups);
  blocks = divideCeil(problem.n, rows) * cluster * parts;
  // More than one block for each multiprocessor: two of them share one.
  int64_t room =
      blocks > target.multiprocessors ? kSharedBytes / 2 : kSharedBytes;
  depth = 2;
  while (depth < std::min(kMostDepth, pieces + 1)) {
    ++depth;
    if (sharedBytes() <= room)
      continue;
    --depth;
    break;
  }
  return sharedBytes() <= room;
}

/// Bytes that the busiest multiprocessor reads, those of tokens from the L2
/// cache at a higher rate; more if few warps hide how long things take. What
/// beginnings and exchanges of sums cost, as bytes. The constants were fitted
/// by hand to plans measured on an H200: two shapes, three M.
double StreamPlan::cost(const StreamProblem &problem,
                        const GpuTarget &target) const {
  constexpr double kBlock = 6e3, kCluster = 30e3, kSecondPass = 28e3;
  double each = double(divideCeil(blocks, target.multiprocessors));
  double resident = each > 1 && sharedBytes() <= kSharedBytes / 2 &&
                            warps * (wide ? 128 : 64) <= 1024
                        ? 2
                        : 1;
  double perTile = wide ? 1 : 1 + double(tokenTiles) / double(tiles);
  double hidden = 1 + 2 * perTile / std::min(resident * double(warps), 16.0);
  // A ring that is too short leaves memory idle.
  double ahead = double((depth - 1) * warps * stageBytes()) * resident;
  hidden *= std::max(1.0, 32e3 / ahead);
  double weights = double(pieces * warps * stageBytes());
  double tokens = double(blockK() * problem.m * 2);
  double sums = double(problem.m * rows * 4);
  double sum = each * (weights * hidden + tokens / 2) + each * kBlock;
  if (isCluster())
    sum += kCluster + sums / 2;
  if (hasSecondPass())
    sum += kSecondPass + sums;
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
  for (int64_t rowsOfBlock : {256, 128, 64, 32, 16})
    for (int64_t blocksOfCluster : {1, 2})
      for (int64_t partsOfK = 1; partsOfK <= 256; partsOfK *= 2)
        for (int64_t warpsOfBlock : {16, 8, 4})
          for (int64_t tilesOfWarp : {1, 2, 4}) {
            rows = rowsOfBlock;
            cluster = blocksOfCluster;
            parts = partsOfK;
            warps = warpsOfBlock;
            tiles = tilesOfWarp;
            consider();
          }
  *this = found;
  if (best < 0)
    blocks = 0;
}

} // namespace gpu
} // namespace nibble
