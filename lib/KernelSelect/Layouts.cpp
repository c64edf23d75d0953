// Storage layouts that kernels ask for.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/Layouts.h"

#include <numeric>

using namespace mlir;
using namespace nibble;

/// Row pitch in bytes must be a multiple of this (cuTensorMapEncodeTiled:
/// globalStrides), and of codes of 4 bits that are spread (16U4_ALIGN16B) a
/// multiple of so many codes (globalDim).
static constexpr int64_t kPitchBytes = 16, kSpreadCodes = 128;

static unsigned getCodeBits(RankedTensorType type) {
  if (nq::ScaledType scaled = nq::getScaledElement(type))
    return scaled.getStorageBits();
  return type.getElementTypeBitWidth();
}

namespace {
/// Tiles per dimension and the order of their digits.
struct Digits {
  SmallVector<SmallVector<int64_t>> tiles;

  explicit Digits(int64_t rank) : tiles(rank) {}
  /// Number of digit `digit` of dimension `dim` among all digits.
  int64_t number(int64_t dim, int64_t digit) const {
    int64_t before = 0;
    for (int64_t d = 0; d < dim; ++d)
      before += tiles[d].size() + 1;
    return before + digit;
  }
  nq::LayoutAttr build(MLIRContext *context, ArrayRef<int64_t> order,
                       nq::LayoutAttr scales) const {
    SmallVector<DenseI64ArrayAttr> attrs;
    for (ArrayRef<int64_t> tile : tiles)
      attrs.push_back(DenseI64ArrayAttr::get(context, tile));
    return nq::LayoutAttr::get(context, attrs, order, {}, scales);
  }
};
} // namespace

/// Dimensions other than row and K, outermost.
static SmallVector<int64_t> getLeading(int64_t rank, MatrixDims dims) {
  SmallVector<int64_t> leading;
  for (int64_t d = 0; d < rank; ++d)
    if (d != dims.row && d != dims.k)
      leading.push_back(d);
  return leading;
}

/// Rows of multiples of `pitch` elements.
static nq::LayoutAttr getKMajor(RankedTensorType type, MatrixDims dims,
                                nq::LayoutAttr scales, int64_t pitch) {
  int64_t rank = type.getRank();
  bool pads = type.getDimSize(dims.k) % pitch != 0;
  bool inOrder = dims.k == rank - 1 && dims.row == rank - 2;
  if (!pads && inOrder && !scales)
    return {};
  Digits digits(rank);
  if (pads)
    digits.tiles[dims.k] = {pitch};
  SmallVector<int64_t> order;
  for (int64_t d : getLeading(rank, dims))
    order.push_back(digits.number(d, 0));
  order.push_back(digits.number(dims.row, 0));
  order.push_back(digits.number(dims.k, 0));
  if (pads)
    order.push_back(digits.number(dims.k, 1));
  return digits.build(type.getContext(), order, scales);
}

static int64_t getPitch(RankedTensorType type) {
  return kPitchBytes * 8 / getCodeBits(type);
}

nq::LayoutAttr nibble::getKMajorLayout(RankedTensorType type, MatrixDims dims) {
  return getKMajor(type, dims, {}, getPitch(type));
}

nq::LayoutAttr nibble::getKMajorScalesLayout(RankedTensorType type,
                                             MatrixDims dims) {
  int64_t rank = type.getRank();
  if (rank != 2)
    return getKMajorLayout(type, dims);
  Digits digits(rank);
  return getKMajor(
      type, dims,
      digits.build(type.getContext(),
                   {digits.number(dims.k, 0), digits.number(dims.row, 0)}, {}),
      getPitch(type));
}

static nq::LayoutAttr getScaleTiles(RankedTensorType type, MatrixDims dims) {
  int64_t rank = type.getRank();
  Digits digits(rank);
  digits.tiles[dims.row] = {4, 32};
  digits.tiles[dims.k] = {4};
  SmallVector<int64_t> order;
  for (int64_t d : getLeading(rank, dims))
    order.push_back(digits.number(d, 0));
  order.append({digits.number(dims.row, 0), digits.number(dims.k, 0),
                digits.number(dims.row, 2), digits.number(dims.row, 1),
                digits.number(dims.k, 1)});
  return digits.build(type.getContext(), order, {});
}

nq::LayoutAttr nibble::getBlockScaledLayout(RankedTensorType type,
                                            MatrixDims dims) {
  return getKMajor(type, dims, getScaleTiles(type, dims), getPitch(type));
}

nq::LayoutAttr nibble::getSpreadLayout(RankedTensorType type, MatrixDims dims) {
  return getKMajor(type, dims, getScaleTiles(type, dims), kSpreadCodes);
}
