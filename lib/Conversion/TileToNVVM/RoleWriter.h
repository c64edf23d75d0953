// One role being written: walks over its ops in order.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_ROLEWRITER_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_ROLEWRITER_H

#include "Rings.h"

#include "mlir/Dialect/SCF/IR/SCF.h"

namespace nibble {
namespace tilecode {

/// What roles of all targets have in common: loads, coordinates of tiles, and
/// ops that are not tile's. Targets write the rest.
class RoleWriter {
public:
  RoleWriter(Kernel &kernel, tile::RoleOp op);
  virtual ~RoleWriter() = default;
  mlir::LogicalResult write();

protected:
  /// Ops of the target, the others by `writeCommon`.
  virtual mlir::LogicalResult writeOp(mlir::Operation *op) = 0;
  /// Only block 0 of a cluster does it.
  virtual bool isOfFirstBlock() { return false; }
  /// Behind the last op, before the role's memory goes away.
  virtual void writeEnd() {}

  /// tile.load, tile.once, and what is not of tile.
  mlir::LogicalResult writeCommon(mlir::Operation *op);
  mlir::LogicalResult writeBlock(mlir::Block &block);
  /// In its regions: then it is not code that is only cloned.
  static bool hasTileOps(mlir::Operation *op);
  /// The slots of a stage that was taken.
  void addSlots(mlir::Value ring, mlir::ValueRange results);
  /// The arguments of a loop over tiles, in round `index` of the raster.
  void bindTile(tile::ForTilesOp op, Int index);
  void mapOperands(mlir::Operation *op);
  Int getInt(mlir::Value value);

  Kernel &kernel;
  Code &code;
  tile::RoleOp op;
  bool isSingle;
  Int warp = 0; ///< in the role
  Rings rings;
  mlir::IRMapping values;
  llvm::DenseMap<mlir::Value, Int> ints; ///< index values
  llvm::DenseMap<mlir::Value, Slot> slots;

private:
  mlir::LogicalResult writeBody();
  mlir::LogicalResult writeLoad(tile::LoadOp op);
  mlir::LogicalResult writeOnce(tile::OnceOp op);
  /// arith, vector, math, scf without tile ops: cloned.
  mlir::LogicalResult writeOther(mlir::Operation *op);
  /// memref.load and memref.store of arguments of the kernel.
  void writeMemoryOps(mlir::Operation *original, mlir::Operation *clone);
};

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_ROLEWRITER_H
