// Where the values of a fused kernel lie in the index space (row, column) of
// its matrix products.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_PRODUCTSPACE_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_PRODUCTSPACE_H

#include "KernelTensor.h"

namespace nibble {
namespace cpu {

/// Products whose results meet in an op: they have the same rows and columns.
/// Or attention by itself: rows are (batch, query), columns (head, element).
struct ProductGroup {
  llvm::SmallVector<nq::MatmulOp> products;
  nq::AttentionOp attention; ///< null if there are products
  int64_t rows = 0, columns = 0;
  /// Runs of this many columns stay together: scale blocks, rotated heads.
  int64_t run = 1;
  /// Dimensions split columns into runs of this many: heads. A block is a
  /// multiple or a divisor of it.
  int64_t split = 1;
};

/// Every value that depends on a product. An element of it is computed from
/// elements in the same row and run of columns.
struct ProductSpace {
  llvm::SmallVector<ProductGroup> groups;
  struct Member {
    unsigned group;
    Placement place;
    std::optional<Placement> scales; ///< of a dynamically quantized value
  };
  llvm::DenseMap<mlir::Value, Member> members;
};

/// Follows the products of a kernel body or region through the ops behind
/// them. Fails, with the reason in `why`, on ops that need more than one run
/// of columns of one row. With `forCpu`, and on products that the CPU target
/// has no GEMM for.
mlir::FailureOr<ProductSpace> mapProducts(mlir::Block &body, std::string &why,
                                          bool forCpu = true);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_PRODUCTSPACE_H
