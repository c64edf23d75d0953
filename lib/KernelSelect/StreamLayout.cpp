// How weights are stored that are streamed through registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/StreamLayout.h"

#include "DigitOrder.h"

using namespace mlir;
using namespace nibble;

static std::optional<StreamFormat> no(std::string &why, const Twine &reason) {
  why = reason.str();
  return std::nullopt;
}

static bool isFloat(Type type) {
  return type.isF16() || type.isBF16() || type.isF32();
}

/// Block along k of codes that are scaled in blocks of one row.
static std::optional<int64_t> getBlock(nq::ScaledType scaled,
                                       RankedTensorType type, MatrixDims dims) {
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  if (block[dims.k] >= type.getDimSize(dims.k))
    return 0;
  if (block[dims.row] != 1)
    return std::nullopt;
  return block[dims.k];
}

static bool takesScale(Type storage, Type scale, int64_t block) {
  if (block == 0)
    return true;
  if (isa<Float4E2M1FNType>(storage))
    return (block == 16 && isa<Float8E4M3FNType>(scale)) ||
           (block == 32 && isa<Float8E4M3FNType, Float8E8M0FNUType>(scale));
  return storage.isInteger(4) && isFloat(scale) &&
         (block == 32 || block == 64 || block == 128);
}

std::optional<StreamFormat> nibble::getStreamFormat(RankedTensorType type,
                                                    MatrixDims dims,
                                                    std::string &why) {
  if (type.getRank() != 2)
    return no(why, "the weight has " + Twine(type.getRank()) + " dimensions");
  nq::ScaledType scaled = nq::getScaledElement(type);
  Type element = type.getElementType();
  if (!scaled) {
    if (element.isF16() || element.isBF16())
      return StreamFormat{16, 0};
    return no(why, "the weight is neither scaled nor f16 nor bf16");
  }
  if (scaled.getZeroPoint())
    return no(why, "the weight has zero points");
  if (scaled.getGlobal() && !scaled.getGlobal().isF32())
    return no(why, "combined scales are rounded to 16 bits");
  Type storage = scaled.getStorage();
  int64_t bits = scaled.getStorageBits();
  if (bits > 8)
    return no(why, "codes have " + Twine(bits) + " bits");
  std::optional<int64_t> block = getBlock(scaled, type, dims);
  if (!block || !takesScale(storage, scaled.getScale(), *block))
    return no(why, "scales change in other blocks than of 16 (E4M3), 32 (E8M0, "
                   "E4M3) or, of 4-bit integers, 32, 64 or 128 k of a row");
  return StreamFormat{bits, *block};
}

static nq::LayoutAttr getScaleLayout(MLIRContext *context, MatrixDims dims,
                                     const StreamFormat &format) {
  if (!format.block)
    return {};
  return DigitOrder(dims, {2, 8}, {128 / format.block})
      .row(0)
      .k(0)
      .row(2)
      .row(1)
      .k(1)
      .build(context, {});
}

/// E2M1 becomes pairs of the activations' format.
static nq::WordCode getWords(RankedTensorType type, Type element) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (!scaled || !isa<Float4E2M1FNType>(scaled.getStorage()))
    return nq::WordCode::Plain;
  return element.isBF16() ? nq::WordCode::E2M1ToBF16 : nq::WordCode::E2M1ToF16;
}

nq::LayoutAttr nibble::getStreamLayout(RankedTensorType type, MatrixDims dims,
                                       Type element) {
  std::string why;
  std::optional<StreamFormat> format = getStreamFormat(type, dims, why);
  if (!format)
    return {};
  MLIRContext *context = type.getContext();
  nq::LayoutAttr scales = getScaleLayout(context, dims, *format);
  // Digits of k: pieces of 1024 bytes, and what they are made of.
  if (format->bits == 16) // piece, load, k / 8 % 2, t, k % 2
    return DigitOrder(dims, {2, 8}, {2, 2, 4, 2})
        .row(0)
        .k(0)
        .k(1)
        .row(2)
        .k(3)
        .row(1)
        .k(2)
        .k(4)
        .build(context, scales);
  if (format->bits == 8) // piece, load, 16 k, k / 8 % 2, t, k % 2
    return DigitOrder(dims, {2, 8}, {2, 2, 2, 4, 2})
        .row(0)
        .k(0)
        .k(1)
        .row(2)
        .k(4)
        .row(1)
        .k(2)
        .k(3)
        .k(5)
        .build(context, scales);
  return DigitOrder(dims, {2, 8}, {2, 2, 4, 4, 2}) // piece, load, 32 k, 8 k, t
      .row(0)
      .k(0)
      .k(1)
      .row(2)
      .k(4)
      .row(1)
      .k(2)
      .k(5)
      .k(3)
      .build(context, scales, getWords(type, element));
}
