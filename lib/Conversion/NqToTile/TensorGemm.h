// Products of tcgen05 as a tile.kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_TENSORGEMM_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_TENSORGEMM_H

#include "GemmBuilder.h"
#include "TensorGemmPromote.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace nibble {
namespace tilegen {

/// For Blackwell: one thread loads, one multiplies into tensor memory, and four
/// warps finish a tile while the next one is multiplied.
class TensorGemm : public GemmBuilder {
public:
  using GemmBuilder::GemmBuilder;
  TileGemm run(StringRef name);

private:
  bool isExpanded() const { return problem.factors[0].expanded.has_value(); }
  /// 64 k of each weight.
  tile::RingType getOperands();

  /// An operand in a stage: the slot of its codes, and those of its scales.
  struct Side {
    Value codes, scales;
    bool isM;
    int64_t rows;   ///< of a tile
    int64_t loaded; ///< of them, by one block
    bool spread;
    const ExpandedWeight *expanded = nullptr;
    unsigned slot = 0;
  };
  /// A, then the weights.
  SmallVector<Side> getSides() const;
  static unsigned countScaleSlots(const Side &side);
  /// Tiles of scales along k in a stage.
  int64_t getScalesAlongK() const;
  tile::RingType getStages();
  void addLaneSlots(const ExpandedWeight &weight, SmallVectorImpl<Type> &slots);
  tile::RoleOp addPlainRole(StringRef name, int64_t warps);
  void addFinishRole();
  void addLoadTilesRole();
  /// Codes of each stage become operands.
  void addExpandRole();
  /// The tile of 128 rows of scales in which the rows of a tile begin.
  Value getFirstScaleTile(const Side &side, Value number);
  void loadScales(const Side &side, Value first, Value k,
                  tile::AcquireOp stage);
  void addMultiplyTilesRole();
  /// Where the tile begins in its first 128 rows of scales, if not there.
  Value getRowOfScales(Value n);
  Value addScales(const Side &side, Value row, tile::WaitOp stage);
  void addTensorProducts(scf::ForOp loop, Value row);

  GroupSums groups{b, problem, schedule};
  Value sums, operandRing;
};

} // namespace tilegen
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_TENSORGEMM_H
