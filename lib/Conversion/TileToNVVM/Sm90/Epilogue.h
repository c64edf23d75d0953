// The arithmetic on accumulators, piece by piece as stores ask for it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_EPILOGUE_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_EPILOGUE_H

#include "Maxima.h"
#include "Mma.h"
#include "Operands.h"

#include <map>
#include <memory>

namespace nibble {
namespace sm90 {

/// A unit is what a thread computes at once: with W <= 2, its two columns of 8
/// (body W = 1 runs twice); with W = 4 (8), the four threads of a row exchange
/// their columns of 16 (32), and each does W neighbouring ones. Units that have
/// blocks together are computed together (Maxima.h).
class Epilogue {
public:
  /// `warp` in the role; `row`: the warp's first one; `column`: the first one
  /// of what the block has, `inTile` counted from the tile's.
  Epilogue(Kernel &kernel, tile::RoleOp role, tile::EpilogueOp op,
           llvm::SmallVector<Acc> accs, const mlir::IRMapping &values, Int warp,
           Int row, Int column, Int inTile);

  /// Refuses widths that are not written.
  mlir::LogicalResult check();
  /// Once, where the accumulator is ready.
  void begin();

  /// Columns of the result in a unit, of all four threads of a row.
  int64_t getUnitColumns(unsigned result);
  /// Of one thread, neighbouring.
  int64_t getThreadColumns(unsigned result) {
    return getUnitColumns(result) / 4;
  }
  /// Columns of the result that other blocks have to the left.
  Int getPartColumn(unsigned result);
  /// Where they begin in the unit.
  Int getLaneColumn(unsigned result);
  int64_t getParts() { return accs[0].parts.size(); }
  /// A vector of the thread's columns of unit `unit`, in row lane / 4 + 8 r of
  /// the warp's 16 in `part`. FP8 comes as i8.
  mlir::Value get(unsigned result, int64_t part, int64_t unit, int64_t r);
  /// An element of each block (StoreBlocks.cpp).
  mlir::LogicalResult storeBlocks(tile::StoreBlocksOp store, unsigned result);

private:
  using Key = std::tuple<int64_t, int64_t, int64_t>;
  /// W numbers of an accumulator.
  mlir::Value exchange(unsigned acc, int64_t part, int64_t unit, int64_t r);
  llvm::SmallVector<mlir::Value> getArguments(int64_t part, int64_t unit,
                                              int64_t r);
  llvm::SmallVector<mlir::Value> run(int64_t part, int64_t unit, int64_t r);
  void runGroup(int64_t part, int64_t unit, int64_t r);
  void storeRows(tile::StoreBlocksOp store, unsigned result, int64_t part);
  void storeColumns(tile::StoreBlocksOp store, unsigned result, int64_t part);
  void addOperands(llvm::SmallVectorImpl<mlir::Value> &args, int64_t part,
                   int64_t unit, int64_t r);
  mlir::Value slice(mlir::Value vector, int64_t index);

  Kernel &kernel;
  Code &code;
  tile::EpilogueOp op;
  llvm::SmallVector<Acc> accs;
  mlir::IRMapping outside;
  Int row, column, inTile;
  int64_t width;  ///< W
  int64_t pieces; ///< of 8 columns in a unit
  Int laneColumn; ///< in columns of the accumulator
  /// By accumulator, then by part.
  llvm::SmallVector<llvm::SmallVector<llvm::SmallVector<mlir::Value>>>
      registers;
  std::unique_ptr<Operands> operands;
  Maxima maxima;
  std::map<Key, llvm::SmallVector<mlir::Value>> done;
};

/// A result that is computed where it is stored.
struct Fragment {
  std::shared_ptr<Epilogue> work;
  unsigned result = 0;
};

} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_EPILOGUE_H
