// Stores sums as elements of a product's result.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_RESULTWRITER_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_RESULTWRITER_H

#include "LoopEmitter.h"
#include "ProductFunction.h"

namespace nibble {
namespace gpu {

/// A result as a batch of matrices [rows, columns].
struct MatrixResult {
  cpu::Tensor *tensor; ///< in memory
  int64_t batches = 1, rows = 1, columns = 1;
  std::function<cpu::Index(cpu::Dag &, const cpu::Lin &batch,
                           const cpu::Lin &row, const cpu::Lin &column)>
      index;
  /// What sums are multiplied by, one after the other.
  using FactorFn =
      std::function<cpu::Node *(cpu::Dag &, const cpu::Lin &batch,
                                const cpu::Lin &row, const cpu::Lin &column)>;
  llvm::SmallVector<FactorFn> factors;
};

class ResultWriter {
public:
  ResultWriter(mlir::MLIRContext *context, const MatrixResult &result);

  /// Columns that are written together: 4, or 1 if rows are no multiple of 4.
  int64_t getLanes() const { return lanes; }
  /// Rounds and stores a vector of `getLanes()` f32 (a scalar if 1), of columns
  /// from `column` * getLanes() on; all inside.
  void write(cpu::GemmCode &code, mlir::Value sums, mlir::Value batch,
             mlir::Value row, mlir::Value column);

private:
  MatrixResult result;
  int64_t lanes;
  cpu::Dag dag;
  unsigned batchDim, rowDim, columnDim, laneDim = 0;
  cpu::Node *sum, *bits;
  cpu::Lin offset;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_RESULTWRITER_H
