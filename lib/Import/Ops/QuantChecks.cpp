// What scales and zero points of a file must satisfy.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../GraphImporter.h"
#include "QuantBuild.h"
#include "nibble/rt/formats.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

//===----------------------------------------------------------------------===//
// Scales
//===----------------------------------------------------------------------===//

/// Follows scales back through casts, reshapes and a DequantizeLinear (whose
/// own factor is checked by itself) to the numbers that the file holds.
static Value findSource(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (isa<nq::CastOp, tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op)) {
      value = op->getOperand(0);
    } else if (auto dequantize = dyn_cast<nq::DequantizeOp>(op)) {
      auto assemble = dequantize.getInput().getDefiningOp<nq::AssembleOp>();
      if (!assemble)
        return value;
      value = assemble.getCodes();
    } else {
      return value;
    }
  }
  return value;
}

/// Storage format of the numbers behind a scale; E8M0 bits come as integers.
static rt::StorageFormat getScaleFormat(Type element) {
  if (element.isInteger(8))
    return rt::StorageFormat::E8M0;
  return rt::formatFromOnnx(int64_t(getFloatElemType(element)));
}

static const char *getScaleProblem(double scale) {
  if (std::isnan(scale))
    return "NaN";
  if (std::isinf(scale))
    return "infinite";
  return scale < 0 ? "negative" : nullptr;
}

/// Position of a flat grid index, as text.
static std::string describeIndex(int64_t flat, ArrayRef<int64_t> grid) {
  Shape index(grid.size());
  for (size_t d = grid.size(); d-- > 0; flat /= grid[d])
    index[d] = flat % grid[d];
  return toString(index);
}

/// True if every code in block `flat` of the grid is zero of either sign.
static bool isZeroBlock(const char *codes, rt::StorageFormat format,
                        ArrayRef<int64_t> shape, const BlockLayout &layout,
                        int64_t flat) {
  int64_t rank = shape.size();
  Shape start(rank, 0), extent(shape);
  for (int64_t d = rank; d-- > 0 && !layout.isPerTensor();) {
    int64_t block = layout.blocks[d];
    if (!ShapedType::isDynamic(block)) {
      start[d] = flat % layout.grid[d] * block;
      extent[d] = std::min(block, shape[d] - start[d]);
    }
    flat /= layout.grid[d];
  }
  int64_t count = ShapedType::getNumElements(extent);
  for (int64_t i = 0; i < count; ++i) {
    int64_t rest = i, index = 0, stride = 1;
    for (int64_t d = rank; d-- > 0; stride *= shape[d], rest /= extent[d])
      index += (start[d] + rest % extent[d]) * stride;
    if (rt::decode(format, rt::loadCode(format, codes, index)) != 0)
      return false;
  }
  return true;
}

/// R19: a zero scale loses nothing where all codes are zero anyway.
static LogicalResult checkZeroScales(NodeContext &n, ArrayRef<int64_t> zeros,
                                     Tensor codes, const BlockLayout &layout) {
  const char *advice = "; quantize the weight again with scales > 0";
  ElementsAttr data = codes ? getConstantData(codes.value) : ElementsAttr();
  SmallVector<char> scratch;
  FailureOr<ArrayRef<char>> bytes = failure();
  if (data)
    bytes = nq::getRawBytes(data, scratch);
  if (failed(bytes))
    return n.fail("scale at " + describeIndex(zeros[0], layout.grid) +
                  " is zero" + advice);
  rt::StorageFormat format = rt::formatFromOnnx(int64_t(codes.type));
  for (int64_t flat : zeros)
    if (!isZeroBlock(bytes->data(), format, codes.shape(), layout, flat))
      return n.fail("scale at " + describeIndex(flat, layout.grid) +
                    " is zero but its block has codes that are not" + advice);
  n.warn(Twine(zeros.size()) +
         " scales are zero; their blocks hold only zeros, so nothing is lost");
  return success();
}

LogicalResult nibble::onnx::checkScales(NodeContext &n, Tensor scale,
                                        Tensor codes,
                                        const BlockLayout &layout) {
  ElementsAttr data = getConstantData(findSource(scale.value));
  SmallVector<char> scratch;
  FailureOr<ArrayRef<char>> bytes = failure();
  if (data)
    bytes = nq::getRawBytes(data, scratch);
  if (failed(bytes))
    return success();
  rt::StorageFormat format = getScaleFormat(data.getElementType());
  SmallVector<int64_t> zeros;
  // In runs, as scale tensors have millions of elements.
  constexpr int64_t run = 4096;
  SmallVector<double, 0> values(run);
  int64_t count = data.getNumElements();
  for (int64_t first = 0; first < count; first += run) {
    int64_t length = std::min(run, count - first);
    rt::decodeArray(format, bytes->data(), first, length, values.data());
    for (int64_t i = 0; i < length; ++i) {
      if (const char *problem = getScaleProblem(values[i]))
        return n.fail("scale at " + describeIndex(first + i, layout.grid) +
                      " is " + problem +
                      "; scales must be positive numbers: the file is damaged "
                      "or its calibration failed");
      if (values[i] == 0)
        zeros.push_back(first + i);
    }
  }
  if (zeros.empty())
    return success();
  return checkZeroScales(n, zeros, codes, layout);
}

LogicalResult nibble::onnx::checkScalesIn(NodeContext &n, Tensor scale,
                                          ElemType precision) {
  ElementsAttr data = n.importer.getConstant(scale, /*evaluate=*/true);
  SmallVector<double> values;
  if (!data || !readFloats(data, scale.type, values))
    return success();
  rt::StorageFormat format = rt::formatFromOnnx(int64_t(precision));
  for (auto [i, value] : llvm::enumerate(values)) {
    double rounded = rt::roundTo(format, value);
    if (rounded == 0 || std::isinf(rounded))
      return n.fail("scale at " + describeIndex(i, scale.shape()) +
                    " becomes " + (rounded == 0 ? "zero" : "infinite") +
                    " in " + getName(precision) +
                    ", which the attribute precision asks for; set it to 1 "
                    "(float)");
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Zero points
//===----------------------------------------------------------------------===//

/// Nothing if the zero points are not known at compile time.
static std::optional<bool> areAllZero(NodeContext &n, Tensor zeroPoint) {
  ElementsAttr data = n.importer.getConstant(zeroPoint, /*evaluate=*/true);
  SmallVector<double> values;
  if (!data || !readFloats(data, zeroPoint.type, values))
    return std::nullopt;
  return llvm::all_of(values, [](double v) { return v == 0; });
}

FailureOr<Tensor> nibble::onnx::prepareZeroPoint(NodeContext &n,
                                                 Tensor zeroPoint,
                                                 ElemType codeType,
                                                 const BlockLayout &layout) {
  if (!zeroPoint)
    return Tensor();
  if (zeroPoint.type != codeType)
    return n.fail("zero point is " + getName(zeroPoint.type) +
                  " but the codes are " + getName(codeType));
  std::optional<bool> zero = areAllZero(n, zeroPoint);
  if (zero && *zero)
    return Tensor();
  if (isFloat(codeType))
    return n.fail("zero point of " + getName(codeType) +
                  " must be zero: float formats are symmetric");
  if (zeroPoint.numElements() == 1)
    return n.build.broadcastTo(n.build.reshape(zeroPoint, {}), layout.grid);
  if (zeroPoint.numElements() != ShapedType::getNumElements(layout.grid))
    return n.fail("zero point has shape " + toString(zeroPoint.shape()) +
                  " but there are " +
                  Twine(ShapedType::getNumElements(layout.grid)) + " scales");
  return n.build.reshape(zeroPoint, layout.grid);
}
