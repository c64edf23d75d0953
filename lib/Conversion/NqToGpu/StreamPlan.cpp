// Products of few rows with a weight that is streamed: what they are, and how
// they are spread over the machine.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamPlan.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/MathExtras.h"

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

/// Fails if the warps cannot share the tiles.
bool StreamPlan::fit(const StreamProblem &problem, const GpuTarget &target) {
  scaleBytes = problem.scaleBytes();
  tokenTiles = divideCeil(problem.m, 8);
  int64_t rowTiles = rows / 16;
  if (rowTiles % tiles || warps % (rowTiles / tiles))
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
  return sharedBytes() <= kSharedBytes;
}

/// Bytes that the busiest multiprocessor reads, those of tokens from the L2
/// cache at twice the rate, and what beginnings and clusters cost, as bytes.
double StreamPlan::cost(const StreamProblem &problem,
                        const GpuTarget &target) const {
  constexpr double kBlock = 6e3, kCluster = 16e3;
  double waves = double(divideCeil(blocks, target.multiprocessors));
  double weights = double(steps * warps * (codesOfWarp() + scalesOfWarp()));
  double tokens = double(steps * blockK() * problem.m * 2);
  return waves * (weights + tokens / 2 + kBlock) + (splits > 1 ? kCluster : 0);
}

StreamPlan::StreamPlan(const StreamProblem &problem, const GpuTarget &target) {
  double best = -1;
  StreamPlan found = *this;
  // Many tokens: they are read from shared memory once for two tiles, and
  // their sums take the registers of eight warps.
  bool few = problem.m <= 16;
  for (int64_t rowsOfBlock : {128, 64, 32, 16})
    for (int64_t splitsOfK : {1, 2, 4, 8})
      for (int64_t warpsOfBlock : {16, 8, 4}) {
        rows = rowsOfBlock;
        splits = splitsOfK;
        warps = warpsOfBlock;
        tiles = few || rows < 32 ? 1 : 2;
        if ((!few && warps > 8) || !fit(problem, target))
          continue;
        double here = cost(problem, target);
        if (best >= 0 && here >= best)
          continue;
        best = here;
        found = *this;
      }
  *this = found;
  if (const char *e = getenv("NIBBLE_STREAM")) {
    int r, p, w, t, st;
    sscanf(e, "%d,%d,%d,%d,%d", &r, &p, &w, &t, &st);
    rows = r;
    splits = p;
    warps = w;
    tiles = t;
    if (!fit(problem, target)) {
      fprintf(stderr, "UNFIT\n");
      *this = found;
    }
    if (st) {
      stages = std::min<int64_t>(stages, st);
    }
  }
  if (getenv("NIBBLE_STREAM_SHOW"))
    fprintf(stderr,
            "PLAN rows %d splits %d warps %d tiles %d stages %d steps %d "
            "shared %d cost %.0f\n",
            int(rows), int(splits), int(warps), int(tiles), int(stages),
            int(steps), int(sharedBytes()), cost(problem, target));
}

} // namespace gpu
} // namespace nibble
