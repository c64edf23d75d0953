// Slices of K in the blocks of a cluster, and the sums of all of them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/Dialect/SCF/IR/SCF.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::tile;
using llvm::divideCeil;

/// Axis of the cluster along which blocks share a tile.
static constexpr unsigned kAlongK = 2;

//===----------------------------------------------------------------------===//
// tile.slice
//===----------------------------------------------------------------------===//

LogicalResult SliceOp::verify() {
  if (!getTargetOf(*this))
    return failure();
  int64_t splits = getKernel(*this).getBlocks(kAlongK), blocks = getBlocks();
  if (splits == 1)
    return emitOpError() << "in a kernel whose cluster has one block along k: "
                            "it does all K blocks";
  if (blocks < splits)
    return emitOpError() << "cuts " << blocks << " K blocks into " << splits
                         << " slices";
  auto index = dyn_cast<BlockArgument>(getIndex());
  auto loop = index ? dyn_cast<scf::ForOp>(index.getOwner()->getParentOp())
                    : scf::ForOp();
  if (!loop || loop.getInductionVar() != index)
    return emitOpError() << "counts by the index of the loop over K (scf.for)";
  auto trips = loop.getStaticTripCount();
  int64_t wanted = divideCeil(blocks, splits);
  if (trips && *trips == uint64_t(wanted) &&
      getConstantIntValue(loop.getLowerBound()) == 0 &&
      getConstantIntValue(loop.getStep()) == 1)
    return success();
  return emitOpError() << "of " << blocks << " K blocks each of " << splits
                       << " blocks does " << wanted
                       << ", which the loop counts from 0 in steps of 1";
}

/// Computed from a tile.slice.
static bool isSliced(Value value) {
  Operation *op = value.getDefiningOp();
  return op && (isa<SliceOp>(op) || llvm::any_of(op->getOperands(), isSliced));
}

LogicalResult nibble::tile::verifySliced(Operation *op, ValueRange coords) {
  int64_t splits = getKernel(op).getBlocks(kAlongK);
  if (splits == 1 || llvm::any_of(coords, isSliced))
    return success();
  return op->emitOpError() << "is the same in " << splits
                           << " blocks along k, whose sums are added up; "
                              "count K blocks by tile.slice";
}

//===----------------------------------------------------------------------===//
// tile.reduce
//===----------------------------------------------------------------------===//

int64_t ReduceOp::getPartColumns(int64_t columns, int64_t splits) {
  return splits == 1 ? columns : 8 * divideCeil(divideCeil(columns, 8), splits);
}

int64_t ReduceOp::getReceivedBytes() {
  ArrayRef<int64_t> shape = getAccType().getShape();
  int64_t splits = getKernel(*this).getBlocks(kAlongK);
  return getAccs().size() * splits * shape[0] *
         getPartColumns(shape[1], splits) * 4;
}

/// Memory of a block is written by the others without asking.
static LogicalResult verifyOnce(ReduceOp op) {
  auto loop = dyn_cast<ForTilesOp>(op->getParentOp());
  if (!loop)
    return op.emitOpError() << "stands in a tile.for_tiles, behind the loop "
                               "over K";
  if (getRole(op).getTeams() > 1)
    return op.emitOpError() << "in role @" << getRole(op).getSymName()
                            << ", whose teams take turns; all of its warps "
                               "work on one tile";
  KernelOp kernel = getKernel(op);
  int64_t clusters = kernel.getGrid() / kernel.getClusterSize();
  int64_t tiles = loop.getTiles()[0] * loop.getTiles()[1] /
                  (kernel.getBlocks(0) * kernel.getBlocks(1));
  if (tiles <= clusters)
    return success();
  return op.emitOpError() << "adds up one tile per cluster; " << clusters
                          << " clusters do " << tiles << " tiles";
}

LogicalResult ReduceOp::verify() {
  const Target *target = getTargetOf(*this);
  if (!target)
    return failure();
  if (target->hasTensorMemory())
    return emitOpError() << target->name
                         << " accumulates in tensor memory, which this op "
                            "does not add up";
  int64_t splits = getKernel(*this).getBlocks(kAlongK);
  if (splits == 1)
    return emitOpError() << "in a kernel whose cluster has one block along k";
  if (!getRole(*this).isWarpgroups())
    return emitOpError() << "reads accumulators with whole warpgroups";
  if (getAccs().empty() || !llvm::all_equal(getAccs().getTypes()) ||
      !getAccType().getElement().isF32())
    return emitOpError() << "adds up accumulators of f32 of one shape, at "
                            "least one";
  AccType type = getAccType();
  ArrayRef<int64_t> shape = type.getShape();
  auto part =
      AccType::get(getContext(), {shape[0], getPartColumns(shape[1], splits)},
                   type.getElement());
  if (getParts().size() != getAccs().size() ||
      llvm::any_of(getParts().getTypes(), [&](Type t) { return t != part; }))
    return emitOpError() << "gives each of " << splits << " blocks " << part
                         << " of each accumulator";
  for (Operation *user : getOperation()->getUsers())
    if (!isa<EpilogueOp>(user))
      return emitOpError() << "is what an epilogue reads, and '"
                           << user->getName() << "' does";
  return verifyOnce(*this);
}

//===----------------------------------------------------------------------===//
// Results of a part
//===----------------------------------------------------------------------===//

ReduceOp EpilogueOp::getReduce() {
  return getAccs()[0].getDefiningOp<ReduceOp>();
}

ArrayRef<int64_t> EpilogueOp::getTileShape() {
  ReduceOp reduce = getReduce();
  return (reduce ? reduce.getAccType() : getAccType()).getShape();
}

std::array<int64_t, 2> StoreOp::getTileShape() {
  ArrayRef<int64_t> shape = getValue().getType().getShape();
  auto epilogue = getValue().getDefiningOp<EpilogueOp>();
  if (!epilogue)
    return {shape[0], shape[1]};
  return {shape[0], shape[1] * epilogue.getTileShape()[1] /
                        epilogue.getAccType().getShape()[1]};
}

LogicalResult nibble::tile::verifyReduced(EpilogueOp op) {
  int64_t splits = getKernel(op).getBlocks(kAlongK);
  ReduceOp reduce = op.getReduce();
  if (splits > 1 && !reduce)
    return op.emitOpError() << "reads the sums of one of " << splits
                            << " blocks along k; tile.reduce adds them up";
  if (llvm::all_of(op.getAccs(), [&](Value acc) {
        return acc.getDefiningOp<ReduceOp>() == reduce;
      }))
    return success();
  return op.emitOpError() << "reads parts of different tile.reduce";
}
