// Layouts of matrices as an order of digits of rows and k.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_KERNELSELECT_DIGITORDER_H
#define NIBBLE_LIB_KERNELSELECT_DIGITORDER_H

#include "nibble/Dialect/Quant/WordCode.h"
#include "nibble/KernelSelect/Layouts.h"

namespace nibble {

/// Digits of rows and k, by number, in the order of storage.
class DigitOrder {
public:
  DigitOrder(MatrixDims dims, llvm::ArrayRef<int64_t> rows,
             llvm::ArrayRef<int64_t> k)
      : dims(dims), tiles(2) {
    tiles[dims.row].assign(rows.begin(), rows.end());
    tiles[dims.k].assign(k.begin(), k.end());
  }
  DigitOrder &row(int64_t digit) { return add(dims.row, digit); }
  DigitOrder &k(int64_t digit) { return add(dims.k, digit); }

  nq::LayoutAttr build(mlir::MLIRContext *context, nq::LayoutAttr scales,
                       nq::WordCode words = nq::WordCode::Plain) const {
    llvm::SmallVector<mlir::DenseI64ArrayAttr> attrs;
    for (llvm::ArrayRef<int64_t> tile : tiles)
      attrs.push_back(mlir::DenseI64ArrayAttr::get(context, tile));
    return nq::LayoutAttr::get(context, attrs, order, nq::getSwizzleOf(words),
                               scales);
  }

private:
  DigitOrder &add(int64_t dim, int64_t digit) {
    order.push_back((dim ? tiles[0].size() + 1 : 0) + digit);
    return *this;
  }

  MatrixDims dims;
  llvm::SmallVector<llvm::SmallVector<int64_t>> tiles;
  llvm::SmallVector<int64_t> order;
};

} // namespace nibble

#endif // NIBBLE_LIB_KERNELSELECT_DIGITORDER_H
