// Custom operators of TensorRT's exporters, left in files un-lowered (R15).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../GraphImporter.h"
#include "Ops.h"
#include "QuantBuild.h"
#include "nibble/rt/quantize.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

/// Default result type where a file does not say it: what value_info says, or
/// `otherwise`.
static ElemType getResultType(NodeContext &n, ElemType otherwise) {
  auto said = ElemType(n.intAttr("output_dtype", 0));
  if (said != ElemType::Undefined)
    return said;
  ElemType declared = n.declaredOutputType(0);
  return isFloat(declared) ? declared : otherwise;
}

static LayoutAttrs getBlockAttrs(NodeContext &n, int64_t blockSize) {
  return {n.intAttr("axis", -1), n.intAttr("block_size", blockSize)};
}

/// Blocks of a format along attribute `axis` (default -1): of 16 or 32 elements
/// (`sizes`), dividing the dimension, as its producers and consumers demand.
static FailureOr<BlockLayout> getFormatBlocks(NodeContext &n,
                                              ArrayRef<int64_t> x,
                                              StringRef format,
                                              ArrayRef<int64_t> sizes) {
  int64_t size = n.intAttr("block_size", sizes.front());
  auto axis = n.normalizeAxis(n.intAttr("axis", -1), x.size());
  if (failed(axis))
    return failure();
  if (!llvm::is_contained(sizes, size))
    return n.fail("block_size " + Twine(size) + " is not one that " + format +
                  " has: " + toString(sizes));
  if (x[*axis] % size != 0)
    return n.fail("dimension " + Twine(*axis) + " of " + toString(x) +
                  " is not a multiple of the block_size " + Twine(size) +
                  "; pad the model's layer");
  return makeBlockedLayout(n, x, *axis, size);
}

//===----------------------------------------------------------------------===//
// FP8
//===----------------------------------------------------------------------===//

static LogicalResult importFp8Quantize(NodeContext &n) {
  auto codes = emitQuantize(n, n.input(0), n.input(1), n.input(2),
                            ElemType::Float8E4M3FN, LayoutAttrs(), true);
  return failed(codes) ? failure() : n.setOutput(0, *codes);
}

static LogicalResult importFp8Dequantize(NodeContext &n) {
  Tensor codes = n.input(0);
  // The exporter types the bytes as uint8 at times.
  if (codes.type == ElemType::UInt8)
    codes = n.build.bitcast(codes, ElemType::Float8E4M3FN);
  auto y = emitDequantize(n, codes, n.input(1), n.input(2), LayoutAttrs(),
                          n.input(1).type);
  return failed(y) ? failure() : n.setOutput(0, *y);
}

//===----------------------------------------------------------------------===//
// NVFP4
//===----------------------------------------------------------------------===//

/// The global scale as an f32 scalar, checked if it is known.
static FailureOr<Tensor> getGlobal(NodeContext &n, size_t i) {
  Tensor global = n.input(i);
  if (!isFloat(global.type) || global.numElements() != 1)
    return n.fail("global scale must be one float, got " +
                  getName(global.type) + " " + toString(global.shape()));
  if (failed(checkScales(n, global, Tensor(), BlockLayout())))
    return failure();
  return n.build.reshape(n.build.cast(global, ElemType::Float), {});
}

static LogicalResult importFp4DynamicQuantize(NodeContext &n) {
  Tensor x = n.input(0);
  auto scaleType = ElemType(n.intAttr("scale_type", 17));
  if (scaleType != ElemType::Float8E4M3FN)
    return n.fail("scale_type " + getName(scaleType) +
                  " is not supported; NVFP4 has float8e4m3fn scales");
  auto layout = getFormatBlocks(n, x.shape(), "NVFP4", {16, 32});
  auto global = getGlobal(n, 1);
  if (failed(layout) || failed(global))
    return failure();
  RankedTensorType type = getScaledTensor(n, x.shape(), ElemType::Float4E2M1,
                                          scaleType, *layout, ElemType::Float);
  Value scaled = emitDynamicQuantize(n, x, *global, "trt-dynamic", type);
  (void)n.setOutput(1, emitScales(n, scaled, scaleType));
  return n.setOutput(0, emitCodes(n, scaled, ElemType::Float4E2M1));
}

/// Largest magnitude of a constant, in runs as weights are large. NaN if any
/// element is.
static float getAmax(ElementsAttr data, ElemType type) {
  SmallVector<char> scratch;
  auto bytes = nq::getRawBytes(data, scratch);
  if (failed(bytes))
    return NAN;
  rt::StorageFormat format = rt::formatFromOnnx(int64_t(type));
  constexpr int64_t run = 8192;
  SmallVector<float, 0> values(run);
  float amax = 0;
  for (int64_t i = 0, e = data.getNumElements(); i < e; i += run) {
    int64_t length = std::min(run, e - i);
    rt::decodeArray(format, bytes->data(), i, length, values.data());
    float most = rt::amaxOf(values.data(), length);
    amax = std::isnan(most) || most > amax ? most : amax;
    if (std::isnan(amax))
      break;
  }
  return amax;
}

static bool passesThrough(const Node &node) {
  return node.opType == "Cast" || node.opType == "Transpose" ||
         node.opType == "Reshape" || node.opType == "Identity";
}

/// True if `name` comes out of an FP8 dequantization.
static bool isFp8Dequantized(NodeContext &n, StringRef name) {
  const Node *node = n.importer.getProducer(name);
  while (node && passesThrough(*node) && !node->inputs.empty())
    node = n.importer.getProducer(node->inputs[0]);
  if (!node || node->inputs.empty())
    return false;
  if (node->opType == "TRT_FP8DequantizeLinear")
    return true;
  if (node->opType != "DequantizeLinear")
    return false;
  // The producer may come later in the file: then its zero point tells.
  Tensor codes = n.importer.lookUp(node->inputs[0]);
  const Node *quantize = n.importer.getProducer(node->inputs[0]);
  if (!codes && quantize && quantize->inputs.size() > 2)
    codes = n.importer.lookUp(quantize->inputs[2]);
  if (!codes && quantize)
    for (const NodeAttribute &attribute : quantize->attributes)
      if (attribute.name == "output_dtype")
        return ElemType(attribute.i) == ElemType::Float8E4M3FN;
  return codes.type == ElemType::Float8E4M3FN;
}

/// True if the value multiplies FP8 activations: then the format is
/// W4A8_NVFP4_FP8, whose block scales are held below 448/6 so that the weight
/// fits in FP8 (global = amax/448).
static bool meetsFp8Activations(NodeContext &n, StringRef name,
                                unsigned depth = 0) {
  for (const Node *consumer : n.importer.getConsumers(name)) {
    if (passesThrough(*consumer) && depth < 8 && !consumer->outputs.empty() &&
        meetsFp8Activations(n, consumer->outputs[0], depth + 1))
      return true;
    if (consumer->opType != "MatMul" && consumer->opType != "Gemm")
      continue;
    for (StringRef input : ArrayRef(consumer->inputs).take_front(2))
      if (input != name && isFp8Dequantized(n, input))
        return true;
  }
  return false;
}

/// Marker of static weight quantization: quantize here, as the exporter would
/// have (the scales derive from the weight itself).
static LogicalResult importFp4Qdq(NodeContext &n) {
  Tensor w = n.input(0);
  ElementsAttr data = n.constant(0);
  if (!data || !isFloat(w.type))
    return n.fail("marks a static quantization but its input is not a "
                  "constant; activations need TRT_FP4DynamicQuantize (ModelOpt "
                  "cannot export NVFP4 KV caches)");
  auto layout = getFormatBlocks(n, w.shape(), "NVFP4", {16, 32});
  if (failed(layout))
    return failure();
  float amax = getAmax(data, w.type);
  if (!std::isfinite(amax))
    return n.fail("the weight has NaN or infinite elements");
  bool w4a8 = meetsFp8Activations(n, n.node.outputs[0]);
  float global =
      rt::nvfp4Global(amax, rt::Nvfp4Recipe::ModeloptTorch, w4a8 ? 448 : 2688);
  Tensor g = n.build.constantFloats(ElemType::Float, {}, double(global));
  RankedTensorType type =
      getScaledTensor(n, w.shape(), ElemType::Float4E2M1,
                      ElemType::Float8E4M3FN, *layout, ElemType::Float);
  Value scaled = emitDynamicQuantize(n, w, g, "modelopt-torch", type);
  GraphBuilder &b = n.build;
  return n.setOutput(
      0, {nq::DequantizeOp::create(b.builder, b.loc, w.getType(), scaled),
          w.type});
}

//===----------------------------------------------------------------------===//
// MXFP8
//===----------------------------------------------------------------------===//

static LogicalResult importMxfp8DynamicQuantize(NodeContext &n) {
  Tensor x = n.input(0);
  auto codeType = ElemType(n.intAttr("output_dtype", 17));
  if (!isFloat(codeType) || !isCodeType(codeType))
    return n.fail("output_dtype " + getName(codeType) + " is not supported");
  auto layout = getFormatBlocks(n, x.shape(), "MXFP8", {32});
  if (failed(layout))
    return failure();
  RankedTensorType type =
      getScaledTensor(n, x.shape(), codeType, ElemType::Float8E8M0, *layout);
  Value scaled = emitDynamicQuantize(n, x, Tensor(), "trt-dynamic", type);
  // Scales are typed as bits (R17).
  (void)n.setOutput(1, emitScales(n, scaled, ElemType::UInt8));
  return n.setOutput(0, emitCodes(n, scaled, codeType));
}

static LogicalResult importMxfp8Quantize(NodeContext &n) {
  auto codes = emitQuantize(n, n.input(0), n.input(1), Tensor(),
                            ElemType(n.intAttr("output_dtype", 17)),
                            getBlockAttrs(n, 32), true);
  return failed(codes) ? failure() : n.setOutput(0, *codes);
}

static LogicalResult importMxfp8Dequantize(NodeContext &n) {
  Tensor codes = n.input(0);
  if (codes.type == ElemType::UInt8)
    codes = n.build.bitcast(codes, ElemType::Float8E4M3FN);
  auto y = emitDequantize(n, codes, n.input(1), Tensor(), getBlockAttrs(n, 32),
                          getResultType(n, ElemType::Float));
  return failed(y) ? failure() : n.setOutput(0, *y);
}

//===----------------------------------------------------------------------===//
// INT4, blocks of any shape
//===----------------------------------------------------------------------===//

static LogicalResult importInt4Quantize(NodeContext &n) {
  auto codes = emitQuantize(n, n.input(0), n.input(1), n.input(2),
                            n.hasInput(2) ? n.input(2).type : ElemType::Int4,
                            getBlockAttrs(n, 0), true);
  return failed(codes) ? failure() : n.setOutput(0, *codes);
}

static LogicalResult importInt4Dequantize(NodeContext &n) {
  auto y = emitDequantize(n, n.input(0), n.input(1), n.input(2),
                          getBlockAttrs(n, 0), n.input(1).type);
  return failed(y) ? failure() : n.setOutput(0, *y);
}

/// Layout from block_shape, checked against the shape of the scales.
static FailureOr<BlockLayout> getBlockShape(NodeContext &n, Tensor x,
                                            Tensor scale) {
  auto blockShape = n.intsAttr("block_shape");
  if (!blockShape)
    return deduceLayout(n, x.shape(), scale.shape(), LayoutAttrs());
  auto layout = makeLayout(n, x.shape(), *blockShape);
  if (failed(layout))
    return failure();
  if (scale.numElements() != ShapedType::getNumElements(layout->grid))
    return n.fail("scales " + toString(scale.shape()) + " do not fit blocks " +
                  toString(*blockShape) + " of a tensor of shape " +
                  toString(x.shape()));
  return layout;
}

static LogicalResult importBlockQuantize(NodeContext &n) {
  Tensor x = n.input(0), scale = n.input(1);
  auto layout = getBlockShape(n, x, scale);
  if (failed(layout))
    return failure();
  auto codes =
      emitQuantize(n, x, scale, Tensor(),
                   ElemType(n.intAttr("output_dtype", 17)), *layout, true);
  return failed(codes) ? failure() : n.setOutput(0, *codes);
}

static LogicalResult importBlockDequantize(NodeContext &n) {
  Tensor codes = n.input(0), scale = n.input(1);
  auto layout = getBlockShape(n, codes, scale);
  if (failed(layout))
    return failure();
  ElemType scaleType =
      scale.type == ElemType::UInt8 ? ElemType::Float : scale.type;
  auto y = emitDequantize(n, codes, scale, Tensor(), *layout,
                          getResultType(n, scaleType));
  return failed(y) ? failure() : n.setOutput(0, *y);
}

/// Block scales computed from the data: NVFP4 (E4M3 scales, FP4 codes, global
/// scale given) and MX (E8M0 scales).
static LogicalResult importDynamicQuantize(NodeContext &n) {
  Tensor x = n.input(0);
  auto blockShape = n.intsAttr("block_shape");
  if (!blockShape)
    return n.fail("attribute 'block_shape' is missing");
  auto layout = makeLayout(n, x.shape(), *blockShape);
  if (failed(layout))
    return failure();
  auto scaleType = ElemType(n.intAttr("scale_type", 1));
  auto codeType = ElemType(n.intAttr("output_type", 17));
  bool isNvfp4 = scaleType == ElemType::Float8E4M3FN &&
                 codeType == ElemType::Float4E2M1 && n.hasInput(1);
  bool isMx = scaleType == ElemType::Float8E8M0 && isFloat(codeType) &&
              isCodeType(codeType);
  if (!isNvfp4 && !isMx)
    return n.fail(
        "scale_type " + getName(scaleType) + " with output_type " +
        getName(codeType) +
        " is not supported; float8e4m3fn with float4e2m1 and a global "
        "scale (NVFP4), and float8e8m0 (MX) are");
  FailureOr<Tensor> global = isNvfp4 ? getGlobal(n, 1) : Tensor();
  if (failed(global))
    return failure();
  RankedTensorType type =
      getScaledTensor(n, x.shape(), codeType, scaleType, *layout,
                      isNvfp4 ? ElemType::Float : ElemType::Undefined);
  Value scaled = emitDynamicQuantize(n, x, *global, "trt-dynamic", type);
  (void)n.setOutput(1, emitScales(n, scaled, scaleType));
  return n.setOutput(0, emitCodes(n, scaled, codeType));
}

void nibble::onnx::registerTrtOps(OpRegistry &r) {
  r.add("trt", "TRT_FP8QuantizeLinear", importFp8Quantize, 2);
  r.add("trt", "TRT_FP8DequantizeLinear", importFp8Dequantize, 2);
  r.add("trt", "TRT_FP4DynamicQuantize", importFp4DynamicQuantize, 2);
  r.add("trt", "TRT_FP4QDQ", importFp4Qdq);
  r.add("trt", "TRT_MXFP8DynamicQuantize", importMxfp8DynamicQuantize);
  r.add("trt", "TRT_MXFP8QuantizeLinear", importMxfp8Quantize, 2);
  r.add("trt", "TRT_MXFP8DequantizeLinear", importMxfp8Dequantize, 2);
  r.add("trt", "TRT_INT4QuantizeLinear", importInt4Quantize, 2);
  r.add("trt", "TRT_INT4DequantizeLinear", importInt4Dequantize, 2);
  r.add("trt", "TRT_BlockQuantize", importBlockQuantize, 2);
  r.add("trt", "TRT_BlockDequantize", importBlockDequantize, 2);
  r.add("trt", "TRT_DynamicQuantize", importDynamicQuantize);
}
