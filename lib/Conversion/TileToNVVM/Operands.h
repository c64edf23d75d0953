// What an epilogue reads beside the accumulator.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_OPERANDS_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_OPERANDS_H

#include "Kernel.h"

namespace nibble {
namespace tilecode {

/// Loads of `rows`, `cols` and `elements`, each once per tile and thread, from
/// indices that are kept inside of the operand.
class Operands {
public:
  /// `row` and `column`: of the thread's first element in the output. Vectors
  /// of `width` columns.
  Operands(Kernel &kernel, tile::EpilogueOp op, int64_t width, Int row,
           Int column);

  /// Element `rowOffset` rows further on, in all lanes of a vector.
  mlir::Value getRow(unsigned operand, int64_t rowOffset);
  mlir::Value getColumns(unsigned operand, int64_t columnOffset);
  mlir::Value getElements(unsigned operand, int64_t rowOffset,
                          int64_t columnOffset);

private:
  mlir::Value getTransposed(unsigned operand, int64_t rowOffset,
                            int64_t columnOffset);
  bool isInside(unsigned axis, int64_t extent);
  Int clampRow(int64_t rowOffset, int64_t extent);
  /// `width` elements from `column` on, of a row that begins at `row`.
  mlir::Value load(mlir::Value memref, mlir::Value row, int64_t columnOffset,
                   int64_t extent);
  mlir::Value loadVector(mlir::Type element, mlir::Value address, int64_t count,
                         bool isConstant);

  Kernel &kernel;
  Code &code;
  tile::EpilogueOp op;
  int64_t width;
  Int row, column;
  llvm::DenseMap<std::pair<unsigned, int64_t>, mlir::Value> rows, columns,
      pitches;
};

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_OPERANDS_H
