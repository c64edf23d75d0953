// What follows a product, as the body of a tile.epilogue.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMEPILOGUE_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMEPILOGUE_H

#include "GemmProblem.h"

#include "nibble/Dialect/Tile/TileOps.h"

namespace nibble {
namespace tilegen {

/// A piece of memory that the epilogue reads.
struct EpilogueOperand {
  enum Kind { Uniform, Row, Column, Element };
  Kind kind;
  Place place;
  mlir::Type element; ///< as it is stored
  const cpu::Tensor *tensor;
};

/// Index of the element of a tensor with `place` at (row, column) of the
/// product.
cpu::Index indexAt(cpu::Dag &dag, const cpu::Placement &place,
                   llvm::ArrayRef<int64_t> shape);

/// The results of a problem as functions of (row, column) and the accumulators:
/// which memory they read, and the arithmetic, `getWidth()` columns at a time.
class GemmEpilogue {
public:
  explicit GemmEpilogue(GemmProblem &problem);

  /// Fails with the reason in `why`.
  mlir::LogicalResult make(std::string &why);

  /// Operands in the order Uniform, Row, Column, Element.
  llvm::SmallVector<EpilogueOperand> operands;

  /// Emits at `b` all that depends on neither row nor column; `uniforms` are
  /// the elements of the Uniform operands.
  void emitUniform(mlir::ImplicitLocOpBuilder &b, mlir::ValueRange uniforms);
  /// Emits at `b` the stored elements of the problem's passed results, one
  /// after the other.
  llvm::SmallVector<mlir::Value> emitPassed(mlir::ImplicitLocOpBuilder &b,
                                            mlir::ValueRange uniforms);
  /// Type of the elements of a result as they are stored: bf16 is not bits
  /// here, as there is an instruction that rounds to it.
  static mlir::Type getStoredType(mlir::Type element);
  /// Emits the body at `b`: `args` are those of the tile.epilogue, `swapped` if
  /// columns of the problem are its rows. Returns one vector for each of the
  /// problem's results, of its stored type; codes of 4 bits are joined.
  llvm::SmallVector<mlir::Value> emitBody(mlir::ImplicitLocOpBuilder &b,
                                          mlir::ValueRange args, bool swapped);

  /// The problem's shape, with what its epilogue reads.
  GemmShape getShape() const;

  /// Columns of the body: pairs as lanes of wgmma have them, or, where a thread
  /// has a row, as many as a word has codes of 4 bits.
  int64_t getWidth() const { return problem.tensorMemory ? 8 : 2; }
  /// Dimensions of the dag.
  enum : unsigned { kRow = 0, kColumn = 1 };

private:
  cpu::Node *makeProduct(cpu::Dag &dag, unsigned factor, cpu::IndexRef index);
  cpu::Node *getScale(cpu::Dag &dag, mlir::Value operand, bool isRow,
                      int64_t kDim);
  cpu::Node *getGlobal(cpu::Dag &dag, mlir::Value operand);
  cpu::Node *getScaleOfB(cpu::Dag &dag, unsigned factor);
  mlir::LogicalResult addLoads(cpu::Node *node, std::string &why);
  mlir::LogicalResult addLoad(cpu::Node *load, std::string &why);
  /// Whether all columns of a block are those of one thread.
  bool hasWholeBlocks() const {
    return problem.tensorMemory && alongBlocks == tile::Axis::n;
  }
  /// Whether lanes of the body differ. Maxima of whole blocks do not, nor does
  /// what follows from them.
  bool isWide(cpu::Node *node);
  mlir::Value widen(mlir::ImplicitLocOpBuilder &b, mlir::Value value);
  mlir::Value joinCodes(mlir::ImplicitLocOpBuilder &b, mlir::Value codes);
  mlir::Value emit(mlir::ImplicitLocOpBuilder &b, cpu::Node *node);
  // Maxima of blocks (EpilogueMaxima.cpp).
  mlir::LogicalResult takeMaxima(cpu::Tensor &tensor, std::string &why);
  mlir::LogicalResult takeMaximum(cpu::Tensor &tensor, std::string &why);
  cpu::Node *makeMaximum(cpu::Dag &dag, cpu::Tensor &tensor,
                         const cpu::Placement &place, cpu::IndexRef index);
  mlir::Value emitMaximum(mlir::ImplicitLocOpBuilder &b, mlir::Value bits);

  GemmProblem &problem;
  cpu::Dag dag;
  llvm::DenseMap<const cpu::Buffer *, const cpu::Tensor *> tensorOf;
  void setUniforms(mlir::ValueRange uniforms);
  void sortOperands();

  llvm::SmallVector<cpu::Node *> accumulators, results, passed;
  llvm::DenseMap<const cpu::Node *, unsigned> operandOf; ///< of loads
  llvm::DenseMap<const cpu::Node *, mlir::Value> values;
  llvm::DenseMap<const cpu::Node *, mlir::Value> uniformValues;
  llvm::DenseSet<const cpu::Tensor *> taken;
  llvm::DenseSet<const cpu::Node *> maxima;
  llvm::DenseMap<const cpu::Node *, bool> wide; ///< known results of isWide
  int64_t block = 0; ///< columns that have a maximum together; 0: none have
  tile::Axis alongBlocks = tile::Axis::n; ///< of the body that is emitted
  bool isElsewhere = false; ///< a product is read at another row or column
};

} // namespace tilegen
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMEPILOGUE_H
