// How matrix products and the ops behind them run as one kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The products of a group (they meet in some op) run block by block: rows of a
// GEMM segment, columns of a few panels. Their results go to strips in the
// scratch, one per product; the ops behind them, its tail, then run over the
// strips, one block of columns of one row at a time:
//
//   for each segment (rows), for each run of column blocks
//     for each product: strip = A[rows] * B[columns]
//     for each row, for each block of columns: stages of the tail
//
// A launch covers units (segment, block of columns), blocks fastest, group
// after group, then the stages that depend on no product.
//
// Attention (AttentionEmitter.h) takes the place of the products of a group:
// rows are (batch, query), columns (head, element), a block of columns is some
// heads. Units are (batch, block of columns, block of rows), rows fastest: they
// share packed keys and values.
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_FUSEDPLAN_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_FUSEDPLAN_H

#include "AttentionPlan.h"
#include "GemmEmitter.h"
#include "KernelStages.h"
#include "ProductSpace.h"

namespace nibble {
namespace cpu {

using Nests = std::vector<std::unique_ptr<Nest>>;

struct FusedProduct {
  nq::MatmulOp op;
  Tensor *tensor = nullptr;
  GemmSpec spec; ///< C is the strip
  GemmLaunch launch;
};

/// The tail on one kind of column blocks: whole ones, or the last, partial one.
struct FusedTail {
  ColumnBlocks columns;
  std::vector<Nests> nests; ///< per stage of the group
};

struct FusedGroup {
  FusedGroup() = default;
  FusedGroup(FusedGroup &&) = default;

  llvm::SmallVector<FusedProduct, 2> products;
  std::optional<AttentionPlan> attention; ///< instead of products
  Tensor *attentionTensor = nullptr;
  int64_t rows = 0, columns = 0;
  int64_t block = 0;       ///< columns, whole panels
  int64_t blocks = 0;      ///< of a row; the last may be partial
  int64_t stripBlocks = 0; ///< that share one run of the products
  llvm::SmallVector<unsigned> stages;
  std::vector<FusedTail> tails; ///< in the order of columns

  int64_t units() const {
    if (attention)
      return attention->batch * blocks * attention->rowBlocks;
    return products[0].launch.rowBlocks * blocks;
  }
  int64_t stripColumns() const { return stripBlocks * block; }
};

/// KernelGraph::read, whose first error goes to `why` instead of the user.
mlir::LogicalResult readQuietly(KernelGraph &graph, mlir::Block &body,
                                bool products, std::string &why);

class FusedPlan {
public:
  explicit FusedPlan(mlir::MLIRContext *context)
      : context(context), graph(context), stages(graph) {}

  /// Plans the body of a kernel or region. Fails with the reason in `why`.
  mlir::LogicalResult make(mlir::Block &body, std::string &why);

private:
  mlir::MLIRContext *context;

public:
  KernelGraph graph;
  KernelStages stages;
  std::vector<FusedGroup> groups;
  std::vector<Nests> independent; ///< stages that depend on no product

private:
  void placeTensors(const ProductSpace &space);
  mlir::LogicalResult sortStages(std::string &why);
  mlir::LogicalResult planGroup(const ProductGroup &from, FusedGroup &group,
                                std::string &why);
  mlir::LogicalResult planAttention(const ProductGroup &from, FusedGroup &group,
                                    std::string &why);
  mlir::LogicalResult planProducts(FusedGroup &group, std::string &why);
  mlir::LogicalResult planTails(FusedGroup &group, std::string &why);
  void keepBlocks(FusedGroup &group);
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_FUSEDPLAN_H
