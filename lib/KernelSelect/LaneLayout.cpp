// How weights are stored that are expanded to operand A in tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/LaneLayout.h"

#include "DigitOrder.h"

using namespace mlir;
using namespace nibble;

nq::LayoutAttr nibble::getLaneLayout(RankedTensorType type, MatrixDims dims,
                                     Type element) {
  std::string why;
  auto format = getFragmentFormat(type, dims, element, why);
  if (!format)
    return {};
  MLIRContext *context = type.getContext();
  nq::LayoutAttr scales;
  if (format->block)
    scales = DigitOrder(dims, {128}, {format->stageBlocks()})
                 .row(0)
                 .k(0)
                 .row(1)
                 .k(1)
                 .build(context, {});
  // Digits of k: stage, / 16, % 16.
  if (format->bits == 8)
    return DigitOrder(dims, {128}, {format->stageK / 16, 16})
        .row(0)
        .k(0)
        .k(1)
        .row(1)
        .k(2)
        .build(context, scales);
  // Digits of k: stage, / 32, / 8 % 4, / 2 % 4, % 2.
  return DigitOrder(dims, {128}, {format->stageK / 32, 4, 4, 2})
      .row(0)
      .k(0)
      .k(1)
      .row(1)
      .k(2)
      .k(4)
      .k(3)
      .build(context, scales);
}
