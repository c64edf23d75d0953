// Fragments to global memory: panels in shared memory, then TMA.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_STORE_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_STORE_H

#include "Epilogue.h"

namespace nibble {
namespace sm90 {

/// A panel is what one thread copies at once. Straight stores: 16 rows, those
/// of a warp, by `panel` columns; each warp works alone. Transposed ones:
/// `panel` columns of the fragment are rows, by the 64 rows of a warpgroup
/// (as several boxes where that is more than 128 bytes); four warps meet at a
/// named barrier. 16-bit pairs go by stmatrix, everything else by stores, which
/// have no bank conflicts up to 4 bytes per element and thread.
class Store {
public:
  /// `warp` in the role; `coords` in fragments, as in the op.
  Store(Kernel &kernel, tile::RoleOp role, tile::StoreOp op, Fragment fragment,
        Int warp, llvm::ArrayRef<Int> coords);
  mlir::LogicalResult write();

private:
  mlir::LogicalResult check();
  void prepare();
  void writePanel(int64_t part, int64_t first);
  void waitForPanel();
  void sync();
  void stage(int64_t part, int64_t first);
  void stageMatrices(int64_t part, int64_t first);
  void stageElements(int64_t part, int64_t first);
  void stageTransposed(int64_t part, int64_t first);
  void copy(int64_t part, int64_t first);
  bool usesMatrices();
  mlir::Value getValue(int64_t part, int64_t unit, int64_t r) {
    return fragment.work->get(fragment.result, part, unit, r);
  }
  void storePair(mlir::Value vector, mlir::Value address);
  void storeChunk(mlir::Value vector, int64_t first, mlir::Value address);

  Kernel &kernel;
  Code &code;
  tile::RoleOp role;
  tile::StoreOp op;
  Fragment fragment;
  Int warp;
  llvm::SmallVector<Int> coords;
  bool transposed;
  int64_t elementBytes, unitColumns;
  int64_t rowBytes;   ///< of a row in shared memory, at most 128
  int64_t panelBytes; ///< of one panel, all its boxes
  int64_t panels = 0; ///< written so far, in this tile
  int64_t slots;      ///< panels that are in use in turn
  mlir::Value begin, isLeader;
};

} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_STORE_H
