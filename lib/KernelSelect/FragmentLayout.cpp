// How weights are stored that are expanded to operand A of wgmma.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/FragmentLayout.h"

#include "DigitOrder.h"
#include "nibble/KernelSelect/StreamLayout.h"

using namespace mlir;
using namespace nibble;

/// Blocks along k of codes of 8 bits.
static bool takesByteBlock(nq::ScaledType scaled, int64_t block) {
  Type scale = scaled.getScale();
  bool isFloat = scale.isF32() || scale.isF16() || scale.isBF16();
  if (scaled.getStorage().isInteger())
    return isFloat && (block == 32 || block == 64 || block == 128);
  return isa<Float8E8M0FNUType>(scale) ? block == 32 : isFloat && block == 128;
}

/// Codes of 8 bits with scales along k, of one row: not streamed.
static std::optional<StreamFormat> getByteBlocks(RankedTensorType type,
                                                 MatrixDims dims) {
  nq::ScaledType scaled = nq::getScaledElement(type);
  if (type.getRank() != 2 || !scaled || scaled.getGlobal() ||
      scaled.getZeroPoint() || scaled.getStorageBits() != 8)
    return std::nullopt;
  SmallVector<int64_t> block = scaled.getBlockFor(type.getShape());
  if (block[dims.row] != 1 || type.getDimSize(dims.k) <= block[dims.k] ||
      !takesByteBlock(scaled, block[dims.k]))
    return std::nullopt;
  return StreamFormat{8, block[dims.k]};
}

std::optional<FragmentFormat> nibble::getFragmentFormat(RankedTensorType type,
                                                        MatrixDims dims,
                                                        Type element,
                                                        std::string &why) {
  // What can be streamed with codes of 4 or 8 bits can be expanded.
  std::optional<StreamFormat> stream = getByteBlocks(type, dims);
  if (!stream)
    stream = getStreamFormat(type, dims, why);
  if (!stream)
    return std::nullopt;
  if (stream->bits > 8) {
    why = "the weight's codes have " + std::to_string(stream->bits) + " bits";
    return std::nullopt;
  }
  nq::ScaledType scaled = nq::getScaledElement(type);
  FragmentFormat format;
  format.bits = stream->bits;
  format.block = stream->block;
  bool isE4M3 = isa<Float8E4M3FNType>(scaled.getScale());
  bool isE8M0 = isa<Float8E8M0FNUType>(scaled.getScale());
  bool multiplies = isE4M3 || (isE8M0 && element.isBF16());
  format.scalesSums =
      format.block && (scaled.getStorage().isInteger() || !multiplies);
  if (format.scalesSums && format.block < format.stageK)
    format.stageK = format.block;
  return format;
}

nq::LayoutAttr nibble::getFragmentLayout(RankedTensorType type, MatrixDims dims,
                                         Type element) {
  std::string why;
  auto format = getFragmentFormat(type, dims, element, why);
  if (!format)
    return {};
  MLIRContext *context = type.getContext();
  // Digits of a row: / 16, / 8 % 2, % 8.
  nq::LayoutAttr scales;
  if (format->block)
    scales = DigitOrder(dims, {2, 8}, {format->stageBlocks()})
                 .row(0)
                 .k(0)
                 .row(2)
                 .k(1)
                 .row(1)
                 .build(context, {});
  // Digits of k: stage, / 32, / 16 % 2, / 8 % 2, / 2 % 4, % 2.
  if (format->bits == 8)
    return DigitOrder(dims, {2, 8}, {format->stageK / 32, 2, 2, 4, 2})
        .row(0)
        .k(0)
        .k(1)
        .row(2)
        .k(4)
        .k(2)
        .k(3)
        .row(1)
        .k(5)
        .build(context, scales);
  // Digits of k: stage, / 16, / 8 % 2, / 2 % 4, % 2.
  return DigitOrder(dims, {2, 8}, {format->stageK / 16, 2, 4, 2})
      .row(0)
      .k(0)
      .row(2)
      .k(3)
      .k(1)
      .k(4)
      .k(2)
      .row(1)
      .build(context, scales);
}
