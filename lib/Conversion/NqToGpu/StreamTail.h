// What follows streamed products, on sums of a row and some columns.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMTAIL_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMTAIL_H

#include "ProductMatrices.h"
#include "ProductSpace.h"
#include "StreamPlan.h"

namespace nibble {
namespace gpu {

/// The results of a kernel as functions of the sums of its products: scales,
/// each product's rounding, and the ops behind. An element of a result takes
/// the products at its own row and column, or is one of a block of 16 columns
/// with a scale of its own, which a thread computes alone; what depends on no
/// product may be read anywhere.
class StreamTail {
public:
  StreamTail(ProductGraph &graph, const StreamProblem &problem)
      : graph(graph), problem(problem) {}

  /// Fails with the reason in `why`. Results are bound in functions that are
  /// made of the graph afterwards.
  mlir::LogicalResult read(std::string &why);
  /// What sums are multiplied by first (StreamWeights::getFactor).
  void setFactor(double value) { factor = value; }

  /// Columns that are written together: those of a block; else 4, or 1 if rows
  /// are no multiple of 4.
  int64_t getLanes() const { return block ? block : problem.n % 4 ? 1 : 4; }
  /// Computes and stores all results at `row`, in columns from `column` *
  /// getLanes() on. `sums` are a vector of f32 (a scalar of one lane) of each
  /// product.
  void write(cpu::GemmCode &code, mlir::ValueRange sums, mlir::Value row,
             mlir::Value column);
  /// Results that depend on no product: a scale that is passed on.
  bool hasPassed() const { return !passed.empty(); }
  void writePassed(cpu::GemmCode &code);

private:
  void placeTensors(const cpu::ProductSpace &space);
  mlir::LogicalResult readResults(std::string &why);
  mlir::LogicalResult takeMaximum(cpu::Tensor &tensor, std::string &why);
  cpu::Node *makeMaximum(cpu::Dag &dag, cpu::Tensor &tensor,
                         const cpu::Placement &place, cpu::IndexRef index);
  mlir::LogicalResult checkPulls(std::string &why);
  cpu::Index indexAt(cpu::Dag &dag, const cpu::Placement &place,
                     llvm::ArrayRef<int64_t> shape) const;
  void computeProducts(cpu::Dag &dag);
  cpu::Node *makeProduct(cpu::Dag &dag, unsigned number, cpu::IndexRef index);

  ProductGraph &graph;
  const StreamProblem &problem;
  double factor = 1;
  int64_t block = 0; ///< columns that have a maximum together; 0: none have
  llvm::SmallVector<MatrixProduct, 2> products;
  llvm::SmallVector<cpu::Tensor *> results, passed;
  // Of the dag that is built.
  cpu::Lin row, column;
  llvm::SmallVector<cpu::Node *, 2> accumulators;
  bool isElsewhere = false; ///< a product is read at another row or column
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMTAIL_H
