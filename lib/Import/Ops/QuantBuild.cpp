// Emission of Q/DQ.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "QuantBuild.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

bool nibble::onnx::isCodeType(ElemType type) {
  switch (type) {
  case ElemType::Int4:
  case ElemType::UInt4:
  case ElemType::Int8:
  case ElemType::UInt8:
  case ElemType::Float4E2M1:
  case ElemType::Float8E4M3FN:
  case ElemType::Float8E5M2:
    return true;
  default:
    return false;
  }
}

static bool isScaleType(ElemType type) {
  return type == ElemType::Float || type == ElemType::Float16 ||
         type == ElemType::BFloat16 || type == ElemType::Float8E8M0 ||
         type == ElemType::Float8E4M3FN;
}

/// Integers carry their sign in a scaled type.
static Type getStorageType(GraphBuilder &build, ElemType type) {
  if (isFloat(type))
    return build.elementType(type);
  return IntegerType::get(build.builder.getContext(), getBitWidth(type),
                          isUnsigned(type) ? IntegerType::Unsigned
                                           : IntegerType::Signed);
}

RankedTensorType nibble::onnx::getScaledTensor(
    NodeContext &n, ArrayRef<int64_t> shape, ElemType storage, ElemType scale,
    const BlockLayout &layout, ElemType global, bool zeroPoint) {
  GraphBuilder &b = n.build;
  Type globalType =
      global == ElemType::Undefined ? Type() : b.elementType(global);
  auto scaled = nq::ScaledType::get(
      b.builder.getContext(), getStorageType(b, storage), b.elementType(scale),
      getTypeBlocks(layout), globalType, zeroPoint);
  return RankedTensorType::get(shape, scaled);
}

//===----------------------------------------------------------------------===//
// Plain arithmetic, for types that are not storage of scaled tensors
//===----------------------------------------------------------------------===//

/// Scales (or zero points) stretched to the shape of the tensor.
static Tensor expandToShape(GraphBuilder &b, Tensor x, ArrayRef<int64_t> shape,
                            const BlockLayout &layout) {
  if (layout.isPerTensor())
    return b.reshape(x, {});
  Shape split, stretched, padded, zeros(shape.size(), 0), ones(shape.size(), 1);
  for (auto [d, block] : llvm::enumerate(layout.blocks)) {
    int64_t extent = ShapedType::isDynamic(block) ? shape[d] : block;
    split.append({layout.grid[d], 1});
    stretched.append({layout.grid[d], extent});
    padded.push_back(layout.grid[d] * extent);
  }
  Tensor wide = b.broadcastTo(b.reshape(x, split), stretched);
  return b.slice(b.reshape(wide, padded), zeros, shape, ones);
}

/// (codes - zero point) * scale in f32, one rounding.
static Tensor dequantizePlain(NodeContext &n, Tensor codes, Tensor scale,
                              Tensor zeroPoint, const BlockLayout &layout,
                              ElemType result) {
  GraphBuilder &b = n.build;
  // Integers subtract before they are rounded to float.
  Tensor x = codes;
  if (zeroPoint) {
    Tensor zero = expandToShape(b, zeroPoint, codes.shape(), layout);
    x = b.binary(
        b.cast(x, ElemType::Int32), b.cast(zero, ElemType::Int32),
        [](ScalarBuilder &s, Value v, Value z) { return s.sub(v, z); });
  }
  Tensor factor = expandToShape(b, scale, codes.shape(), layout);
  return b.elementwise(
      {b.cast(x, ElemType::Float), factor}, result,
      [](ScalarBuilder &s, ValueRange v) { return s.mul(v[0], v[1]); });
}

/// round(x / scale) + zero point, saturated to an integer type.
static Tensor quantizePlain(NodeContext &n, Tensor x, Tensor scale,
                            Tensor zeroPoint, ElemType codeType,
                            const BlockLayout &layout) {
  GraphBuilder &b = n.build;
  SmallVector<Tensor> inputs = {x, expandToShape(b, scale, x.shape(), layout)};
  if (zeroPoint)
    inputs.push_back(b.cast(expandToShape(b, zeroPoint, x.shape(), layout),
                            ElemType::Float));
  Type type = b.elementType(codeType);
  return b.elementwise(inputs, codeType, [&](ScalarBuilder &s, ValueRange v) {
    Value code = s.roundEven(s.div(v[0], v[1]));
    if (zeroPoint)
      code = s.add(code, v[2]);
    if (getHeldType(codeType) != codeType) {
      bool positive = isUnsigned(codeType);
      code = s.max(code, s.constant(positive ? 0 : -2, code));
      code = s.min(code, s.constant(positive ? 3 : 1, code));
    }
    return s.convert(code, type, false, isUnsigned(codeType));
  });
}

//===----------------------------------------------------------------------===//
// Scaled tensors
//===----------------------------------------------------------------------===//

/// Scales on their grid, typed as what they are. nq.assemble takes computed
/// E8M0 scales as bits, too (`allowBits`), which keeps them next to the
/// nq.scales that made them.
static FailureOr<Tensor> prepareScale(NodeContext &n, Tensor scale,
                                      const BlockLayout &layout,
                                      bool allowBits) {
  bool isBits = scale.type == ElemType::UInt8;
  if (isBits && allowBits && scale.value.getDefiningOp<nq::ScalesOp>())
    scale.type = ElemType::Float8E8M0;
  else if (isBits)
    scale = n.build.bitcast(scale, ElemType::Float8E8M0);
  if (!isScaleType(scale.type))
    return n.fail("scales of type " + getName(scale.type) +
                  " are not supported; float, float16, bfloat16 and float8e8m0 "
                  "are");
  if (scale.shape() == ArrayRef<int64_t>(layout.grid))
    return scale;
  return n.build.reshape(scale, layout.grid);
}

FailureOr<Tensor> nibble::onnx::emitQuantize(NodeContext &n, Tensor x,
                                             Tensor scale, Tensor zeroPoint,
                                             ElemType codeType,
                                             const BlockLayout &layout,
                                             bool saturate) {
  auto grid = prepareScale(n, scale, layout, /*allowBits=*/false);
  auto zero = prepareZeroPoint(n, zeroPoint, codeType, layout);
  if (failed(grid) || failed(zero) ||
      failed(checkScales(n, scale, Tensor(), layout)))
    return failure();
  if (!isFloat(x.type))
    x = n.build.cast(x, ElemType::Float);
  if (codeType == ElemType::Int16 || codeType == ElemType::UInt16 ||
      getHeldType(codeType) != codeType)
    return quantizePlain(n, x, *grid, *zero, codeType, layout);
  if (!isCodeType(codeType))
    return n.fail("cannot quantize to " + getName(codeType));
  GraphBuilder &b = n.build;
  RankedTensorType type =
      getScaledTensor(n, x.shape(), codeType, grid->type, layout,
                      ElemType::Undefined, bool(*zero));
  Value scaled = nq::QuantizeOp::create(
      b.builder, b.loc, type, x.value, grid->value, Value(), zero->value,
      StringAttr(), b.builder.getBoolAttr(saturate));
  return emitCodes(n, scaled, codeType);
}

FailureOr<Tensor> nibble::onnx::emitQuotients(NodeContext &n, Tensor x,
                                              Tensor scale, LayoutAttrs attrs,
                                              ElemType precision) {
  auto layout = deduceLayout(n, x.shape(), scale.shape(), attrs);
  if (failed(layout) || failed(checkScales(n, scale, Tensor(), *layout)) ||
      failed(checkScalesIn(n, scale, precision)))
    return failure();
  GraphBuilder &b = n.build;
  // f32 quotients of such operands round to the narrow type as exact ones do:
  // 24 bits are at least twice the narrow significand plus two.
  Tensor divisor = b.cast(scale, precision);
  if (!layout->isPerTensor())
    divisor = b.reshape(divisor, layout->grid);
  return b.elementwise(
      {b.cast(x, precision), expandToShape(b, divisor, x.shape(), *layout)},
      precision,
      [](ScalarBuilder &s, ValueRange v) { return s.div(v[0], v[1]); });
}

FailureOr<Tensor> nibble::onnx::emitDequantize(NodeContext &n, Tensor codes,
                                               Tensor scale, Tensor zeroPoint,
                                               const BlockLayout &layout,
                                               ElemType result) {
  if (!isFloat(result) || getBitWidth(result) < 16)
    return n.fail("cannot dequantize to " + getName(result));
  auto grid = prepareScale(n, scale, layout, /*allowBits=*/true);
  auto zero = prepareZeroPoint(n, zeroPoint, codes.type, layout);
  codes.type = getHeldType(codes.type);
  bool hasZero = succeeded(zero) && *zero;
  if (failed(grid) || failed(zero) ||
      failed(checkScales(n, scale, hasZero ? Tensor() : codes, layout)))
    return failure();
  if (!isFloat(codes.type) && !isCodeType(codes.type))
    return dequantizePlain(n, codes, *grid, *zero, layout, result);
  if (!isCodeType(codes.type))
    return n.fail("cannot dequantize codes of type " + getName(codes.type));
  GraphBuilder &b = n.build;
  RankedTensorType type =
      getScaledTensor(n, codes.shape(), codes.type, grid->type, layout,
                      ElemType::Undefined, hasZero);
  Value scaled = nq::AssembleOp::create(b.builder, b.loc, type, codes.value,
                                        grid->value, Value(), zero->value);
  return Tensor{nq::DequantizeOp::create(b.builder, b.loc,
                                         b.tensorType(codes.shape(), result),
                                         scaled),
                result};
}

FailureOr<Tensor> nibble::onnx::emitQuantize(NodeContext &n, Tensor x,
                                             Tensor scale, Tensor zeroPoint,
                                             ElemType codeType,
                                             LayoutAttrs attrs, bool saturate) {
  auto layout = deduceLayout(n, x.shape(), scale.shape(), attrs);
  if (failed(layout))
    return failure();
  return emitQuantize(n, x, scale, zeroPoint, codeType, *layout, saturate);
}

FailureOr<Tensor> nibble::onnx::emitDequantize(NodeContext &n, Tensor codes,
                                               Tensor scale, Tensor zeroPoint,
                                               LayoutAttrs attrs,
                                               ElemType result) {
  auto layout = deduceLayout(n, codes.shape(), scale.shape(), attrs);
  if (failed(layout))
    return failure();
  return emitDequantize(n, codes, scale, zeroPoint, *layout, result);
}

Value nibble::onnx::emitDynamicQuantize(NodeContext &n, Tensor x, Tensor global,
                                        StringRef recipe,
                                        RankedTensorType type) {
  GraphBuilder &b = n.build;
  return nq::QuantizeOp::create(
      b.builder, b.loc, type, x.value, Value(), global.value, Value(),
      b.builder.getStringAttr(recipe), b.builder.getBoolAttr(true));
}

Tensor nibble::onnx::emitCodes(NodeContext &n, Value scaled,
                               ElemType codeType) {
  GraphBuilder &b = n.build;
  ArrayRef<int64_t> shape = cast<RankedTensorType>(scaled.getType()).getShape();
  return {nq::CodesOp::create(b.builder, b.loc, b.tensorType(shape, codeType),
                              scaled),
          codeType};
}

Tensor nibble::onnx::emitScales(NodeContext &n, Value scaled,
                                ElemType scaleType) {
  GraphBuilder &b = n.build;
  auto type = cast<RankedTensorType>(scaled.getType());
  Shape grid = nq::getScaledElement(type).getScaleGrid(type.getShape());
  return {nq::ScalesOp::create(b.builder, b.loc, b.tensorType(grid, scaleType),
                               scaled),
          scaleType};
}
