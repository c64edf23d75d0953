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

/// One scale for all of k.
static bool isScaledByRows(RankedTensorType type) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  return !scaled.getZeroPoint() &&
         scaled.getBlockFor(type.getShape()).back() >= type.getShape().back();
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

static LogicalResult no(std::string &why, const Twine &reason) {
  why = reason.str();
  return failure();
}

/// Everything that the first product fixes for the others is in `this`.
LogicalResult StreamProblem::add(nq::MatmulOp op, std::string &why) {
  RankedTensorType right = typeOf(op.getB());
  nq::ScaledType wide = nq::getScaledElement(typeOf(op.getA()));
  Type element = wide ? wide.getStorage() : typeOf(op.getA()).getElementType();
  if (!element.isF16() && !element.isBF16())
    return no(why, "activations are neither f16 nor bf16");
  if (wide && !isScaledByRows(typeOf(op.getA())))
    return no(why, "scales of the activations change along k");
  BlockArgument a = getArgument(op.getA());
  auto b = dyn_cast<BlockArgument>(op.getB());
  if (!a || nq::getLayout(a.getType()))
    return no(why, "activations do not lie row-major in memory");
  if (!b || right.getRank() != 2)
    return no(why, "the weight is no matrix in memory");
  MatrixDims dims = op.getTransposeB() ? MatrixDims{0, 1} : MatrixDims{1, 0};
  std::optional<StreamFormat> found = getStreamFormat(right, dims, why);
  if (!found)
    return failure();
  nq::ScaledType scaled = nq::getScaledElement(right);
  if (!scaled && right.getElementType() != element)
    return no(why, "activations and weight are of different types");
  if (nq::getLayout(right) != getStreamLayout(right, dims, element))
    return no(why, "the weight is not stored for it");
  nq::StorageRegions regions = nq::getStorageRegions(right);
  StreamProblem one;
  one.tokens = a.getArgNumber();
  one.bf16 = element.isBF16();
  one.format = *found;
  one.storage = scaled ? scaled.getStorage() : element;
  one.scale = scaled ? scaled.getScale() : Type();
  one.k = op.getK();
  one.n = op.getN();
  one.m = one.k ? typeOf(op.getA()).getNumElements() / one.k : 0;
  if (weights.empty())
    *this = one;
  else if (one.tokens != tokens || one.k != k)
    return no(why, "products have different A");
  else if (one.n != n || one.storage != storage || one.scale != scale ||
           one.format.bits != format.bits || one.format.block != format.block)
    return no(why, "products have B of different formats");
  weights.push_back({op, b.getArgNumber(), regions.codes, regions.scales});
  return success();
}

LogicalResult StreamProblem::read(func::FuncOp part, std::string &why) {
  for (auto op : part.getOps<nq::MatmulOp>())
    if (failed(add(op, why)))
      return failure();
  if (weights.size() > 2)
    return no(why, Twine(weights.size()) + " products in one kernel");
  if (m == 0 || m > 64 || n == 0 || k == 0 || k % 32)
    return no(why, "M = " + Twine(m) + ", K = " + Twine(k) +
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

/// Bytes of all parts of some rows that one block adds up: one multiprocessor
/// reads about 100 bytes of the L2 cache in a nanosecond.
static constexpr int64_t kSumsOfOneBlock = 64 * 1024;

/// Sums in registers of a thread, next to operands. A multiprocessor has 64 K
/// registers; sixteen warps leave 128 to each thread.
static int64_t mostSums(const StreamProblem &problem, int64_t warps) {
  if (warps > 8)
    return problem.scalesSums() ? 24 : 32;
  return problem.scalesSums() ? 64 : 128;
}

/// Fails if the warps cannot share the tiles, or something is too large.
bool StreamPlan::fit(const StreamProblem &problem, const GpuTarget &target) {
  pieceBytes = problem.pieceBytes();
  pieceK = problem.format.pieceK();
  tokenTiles = divideCeil(problem.m, 8);
  wide = tokenTiles > 2 && !problem.scalesSums();
  int64_t rowTiles = rows / 16;
  rowsEach = rows / problem.products();
  if (rowsEach % 16 || rowTiles % tiles || warps % (rowTiles / tiles) ||
      (wide && rowTiles % 4) || (tiles > 1 && (wide || tokenTiles <= 2)) ||
      tiles * tokenTiles * 4 > mostSums(problem, warps))
    return false;
  rowGroups = rowTiles / tiles;
  kGroups = warps / rowGroups;
  pieces = divideCeil(problem.pieces(), cluster * parts * kGroups);
  blocks = divideCeil(problem.n, rowsEach) * cluster * parts;
  // Blocks wait for each other only if all of them are there.
  sharesSums = parts * problem.m * rows * 4 > kSumsOfOneBlock &&
               blocks <= target.multiprocessors;
  if (sharesSums && parts > threads())
    return false;
  if (counters() * 4 > GpuKernel::kMostCounterBytes)
    return false;
  // More than one block for each multiprocessor: two of them share one, or run
  // one after the other.
  if (blocks > target.multiprocessors && fitDepth(kSharedBytes / 2))
    return true;
  return fitDepth(kSharedBytes);
}

/// The deepest ring that has room, up to what helps.
bool StreamPlan::fitDepth(int64_t room) {
  depth = std::min(kMostDepth, pieces + 1);
  depth = std::max<int64_t>(depth, 2);
  hasOwnSums = false;
  while (depth > 2 && sharedBytes() > room)
    --depth;
  hasOwnSums = true;
  hasOwnSums = sharedBytes() <= room;
  return sharedBytes() <= room;
}

/// Bytes that the busiest multiprocessor reads, those of tokens from the L2
/// cache at a higher rate; more if few warps hide how long things take. What
/// beginnings and exchanges of sums cost, as bytes. The constants were fitted
/// by hand to plans measured on an H200: two shapes, three M.
double StreamPlan::cost(const StreamProblem &problem,
                        const GpuTarget &target) const {
  constexpr double kBlock = 6e3, kCluster = 30e3, kParts = 30e3;
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
    sum += kCluster + each * sums / 2;
  if (hasParts())
    sum +=
        kParts + each * sums + 0.4 * sums * (sharesSums ? each : double(parts));
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
