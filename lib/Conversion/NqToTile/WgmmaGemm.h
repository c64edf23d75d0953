// Products of wgmma as a tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_WGMMAGEMM_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_WGMMAGEMM_H

#include "GemmBuilder.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace nibble {
namespace tilegen {

/// For Hopper: a warpgroup loads, others multiply into registers and store.
class WgmmaGemm : public GemmBuilder {
public:
  using GemmBuilder::GemmBuilder;
  TileGemm run(StringRef name);

private:
  //===--------------------------------------------------------------------===//
  // Types and extents
  //===--------------------------------------------------------------------===//
  tile::SlotType getSlot(int64_t rows, Type element);
  /// A part of the rows of a stage, packed: tiles of 16 rows.
  tile::SlotType getPackedSlot(int64_t perTile, Type element);
  /// Of A, then of each factor: the weight, or its codes and scales.
  tile::RingType getRingType();
  /// K blocks that one block does.
  int64_t roundsK() const;
  /// Number of the K block of a round.
  Value getBlockOfK(scf::ForOp loop);

  //===--------------------------------------------------------------------===//
  // Roles
  //===--------------------------------------------------------------------===//
  tile::RoleOp addRole(StringRef name, int64_t warps, int64_t registers,
                       int64_t turns = 1);
  void addLoadRole();
  /// Codes and scales of factor `i`, into the slots from `next` on.
  void loadPacked(unsigned i, Value m, Value k, tile::AcquireOp stage,
                  unsigned &next);
  /// Blocks of the cluster along `axis` need the same rows.
  void load(Value source, Value row, Value k, Value slot, int64_t sharing,
            tile::Axis axis);
  void addMultiplyRole();
  /// The block's part of what all slices of K come to.
  SmallVector<Value> reduce(ValueRange sums);
  void addProducts(scf::ForOp loop, Value m, Value n);
  /// The product with slots from `next` on as codes and scales. Scales of sums
  /// go to `packed`, and the sum is of this stage alone.
  Value addExpanded(const ExpandedWeight &weight, tile::WaitOp stage,
                    unsigned &next, Value sum, SmallVectorImpl<Value> &packed);
  /// Sums of this stage times their scales to those of the stages before.
  void promote(scf::ForOp loop, ArrayRef<Value> packed,
               MutableArrayRef<Value> sums);
  /// The same with scales in memory: of rows of A, and of columns.
  void promoteBlocks(scf::ForOp loop, Value m, Value n,
                     MutableArrayRef<Value> sums);
};

} // namespace tilegen
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_WGMMAGEMM_H
