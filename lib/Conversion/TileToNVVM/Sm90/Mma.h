// Products of matrices by warpgroups, in registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_MMA_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_MMA_H

#include "Expand.h"

namespace nibble {
namespace sm90 {

/// Accumulator of a warpgroup: a struct of N / 2 f32 for each 64 rows.
/// Register 4 j + 2 r + e of a thread is row (lane / 4 + 8 r) of its warp's 16,
/// column 8 j + 2 (lane % 4) + e (PTX ISA, "wgmma register fragment D").
struct Acc {
  llvm::SmallVector<mlir::Value> parts;
  bool isZero = false;    ///< nothing was added: registers have no value
  bool isSettled = false; ///< all products are done
};

class Mma {
public:
  /// `warpgroup` of `warpgroups` of the role; each does neighbouring rows.
  Mma(Kernel &kernel, Rings &rings, int64_t warpgroups, Int warpgroup)
      : kernel(kernel), code(kernel.getCode()), rings(rings),
        warpgroups(warpgroups), warpgroup(warpgroup) {}

  Acc getZero(tile::AccType type);
  /// Issues the products of a K block and commits them.
  Acc multiply(tile::MmaOp op, const Acc &acc, const Slot &a, const Slot &b);
  /// The same with A from registers: the next fragments are made while products
  /// with the last ones are under way, of which one is left at the end.
  Acc multiply(tile::MmaOp op, const Acc &acc, const ExpandedOperand &a,
               const Slot &b);
  /// `acc` + `partial`, which is settled, times `scales` (of rows g and g + 8,
  /// for each part) and those of columns (one, or one for each register of a
  /// row; or none).
  Acc promote(const Acc &acc, const Acc &partial,
              llvm::ArrayRef<llvm::SmallVector<mlir::Value, 2>> rows,
              llvm::ArrayRef<mlir::Value> columns);
  /// Number of the warp's 16 rows of a part in a tile.
  Int getRowTile(int64_t parts, int64_t part);
  /// Waits for all products but the last `groups`; uses of the result cannot
  /// move before that.
  Acc settle(const Acc &acc, int64_t groups = 0);
  /// 64-row parts of an accumulator in one warpgroup.
  int64_t getParts(tile::AccType type) {
    return type.getShape()[0] / (64 * warpgroups);
  }

private:
  mlir::Value getDescriptor(const Slot &slot, tile::SlotType type, Int bytes);
  mlir::Value issueExpanded(tile::MmaOp op, mlir::Value acc,
                            llvm::ArrayRef<mlir::Value> a, mlir::Value b,
                            bool overwrites);
  mlir::Value settlePart(mlir::Value part, bool isFirst, int64_t groups);

  Kernel &kernel;
  Code &code;
  Rings &rings;
  int64_t warpgroups;
  Int warpgroup;
};

} // namespace sm90
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM90_MMA_H
