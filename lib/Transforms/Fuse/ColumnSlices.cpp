// Slices of columns of a product, and who reads them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ColumnSlices.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Transforms/Fuse/Regions.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "llvm/ADT/MapVector.h"
#include "llvm/ADT/SetVector.h"

using namespace mlir;
using namespace nibble;
using fuse::MovedReader;

bool fuse::isColumnSlice(Operation *op) {
  auto slice = dyn_cast_if_present<tensor::ExtractSliceOp>(op);
  if (!slice)
    return false;
  RankedTensorType from = slice.getSourceType(), to = slice.getType();
  int64_t rank = from.getRank();
  if (rank == 0 || to.getRank() != rank || !slice.hasUnitStride() ||
      llvm::any_of(slice.getStaticOffsets(), ShapedType::isDynamic))
    return false;
  return from.getShape().drop_back() == to.getShape().drop_back();
}

bool fuse::isSliceOfProduct(Operation *op) {
  if (!isColumnSlice(op))
    return false;
  return isProduct(
      cast<tensor::ExtractSliceOp>(op).getSource().getDefiningOp());
}

bool fuse::isMove(Operation *op) {
  return isReshape(op) || isa<linalg::TransposeOp>(op) || isColumnSlice(op);
}

bool MovedReader::isTransposed() const {
  return llvm::any_of(moves, llvm::IsaPred<linalg::TransposeOp>);
}

using ReaderMap = llvm::MapVector<Operation *, llvm::SetVector<Operation *>>;

static void findReaders(Value value, SmallVectorImpl<Operation *> &path,
                        ReaderMap &readers) {
  for (Operation *user : value.getUsers()) {
    Operation *op = value.getParentBlock()->findAncestorOpInBlock(*user);
    if (!fuse::isMove(op)) {
      readers[op].insert(path.begin(), path.end());
      continue;
    }
    path.push_back(op);
    findReaders(op->getResult(0), path, readers);
    path.pop_back();
  }
}

SmallVector<MovedReader> fuse::getMovedReaders(Value value) {
  ReaderMap found;
  SmallVector<Operation *> path;
  findReaders(value, path, found);
  SmallVector<MovedReader> readers;
  for (auto &[op, moves] : found) {
    MovedReader &reader = readers.emplace_back(MovedReader{op, {}});
    reader.moves.assign(moves.begin(), moves.end());
    llvm::sort(reader.moves, [](Operation *a, Operation *b) {
      return a->isBeforeInBlock(b);
    });
  }
  return readers;
}

std::string fuse::whyNotReadInPlace(Operation *op) {
  std::string name = ("'" + op->getName().getStringRef() + "' of layer '" +
                      getLayerName(op->getLoc()) + "'")
                         .str();
  if (op->hasTrait<OpTrait::IsTerminator>())
    return "it is an output of the graph";
  if (isProduct(op))
    return name + " multiplies matrices whose rows lie side by side";
  if (isa<nq::StateWriteOp>(op) || !isEffectFree(op))
    return name + " takes it as it is stored";
  return "";
}
