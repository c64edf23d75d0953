// How weights are stored that are expanded to operand A of wgmma.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/FragmentLayout.h"

#include "DigitOrder.h"
#include "nibble/KernelSelect/StreamLayout.h"

using namespace mlir;
using namespace nibble;

std::optional<FragmentFormat> nibble::getFragmentFormat(RankedTensorType type,
                                                        MatrixDims dims,
                                                        Type element,
                                                        std::string &why) {
  // What can be streamed with codes of 4 bits can be expanded.
  std::optional<StreamFormat> stream = getStreamFormat(type, dims, why);
  if (!stream)
    return std::nullopt;
  if (stream->bits != 4) {
    why = "the weight's codes have " + std::to_string(stream->bits) + " bits";
    return std::nullopt;
  }
  nq::ScaledType scaled = nq::getScaledElement(type);
  FragmentFormat format;
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
