// MatMul, Gemm and the integer products.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../GraphImporter.h"
#include "Ops.h"
#include "QuantBuild.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

static LogicalResult failShapes(NodeContext &n, Tensor a, Tensor b) {
  return n.fail("shapes " + toString(a.shape()) + " and " +
                toString(b.shape()) + " do not multiply");
}

static LogicalResult importMatMul(NodeContext &n) {
  Tensor a = n.input(0), b = n.input(1);
  if (a.type != b.type)
    return n.fail("operands are " + getName(a.type) + " and " +
                  getName(b.type) + " but must have one type");
  if (failed(GraphBuilder::matmulShape(a.shape(), b.shape())))
    return failShapes(n, a, b);
  return n.setOutput(0, n.build.matmul(a, b, a.type));
}

//===----------------------------------------------------------------------===//
// Gemm
//===----------------------------------------------------------------------===//

static Tensor scaleBy(GraphBuilder &build, Tensor x, double factor) {
  if (factor == 1)
    return x;
  return build.unary(x, [&](ScalarBuilder &s, Value v) {
    // Integer Gemm has integer results: alpha and beta act in f32.
    Value wide =
        s.convert(v,
                  isa<FloatType>(v.getType()) ? v.getType()
                                              : Type(s.builder.getF32Type()),
                  s.unsignedInts, false);
    return s.convert(s.mul(wide, s.constant(factor, wide)), v.getType(), false,
                     s.unsignedInts);
  });
}

static LogicalResult importGemm(NodeContext &n) {
  Tensor a = n.input(0), b = n.input(1), c = n.input(2);
  if (a.rank() != 2 || b.rank() != 2)
    return n.fail("operands must be matrices, got " + toString(a.shape()) +
                  " and " + toString(b.shape()));
  if (a.type != b.type || (c && c.type != a.type))
    return n.fail("operands must have one type");
  bool transposeB = n.intAttr("transB", 0);
  if (n.intAttr("transA", 0))
    a = n.build.transpose(a, {1, 0});
  if (a.dim(1) != b.dim(transposeB ? 1 : 0))
    return failShapes(n, a, b);
  Tensor y = n.build.matmul(a, b, a.type, transposeB);
  y = scaleBy(n.build, y, n.floatAttr("alpha", 1));
  double beta = n.floatAttr("beta", 1);
  if (!c || beta == 0)
    return n.setOutput(0, y);
  auto shape = broadcastShapes({y.shape(), c.shape()});
  if (failed(shape) || ArrayRef<int64_t>(*shape) != y.shape())
    return n.fail("C " + toString(c.shape()) + " does not broadcast to " +
                  toString(y.shape()));
  c = scaleBy(n.build, c, beta);
  return n.setOutput(
      0, n.build.binary(y, c, [](ScalarBuilder &s, Value v, Value w) {
        return s.add(v, w);
      }));
}

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

/// x - zeroPoint in Int32. A vector of zero points is per row of the left
/// operand (`isLeft`), per column of the right one.
static FailureOr<Tensor> subtractZero(NodeContext &n, Tensor x, Tensor zero,
                                      bool isLeft) {
  Tensor wide = n.build.cast(x, ElemType::Int32);
  if (!zero)
    return wide;
  if (zero.numElements() == 1)
    zero = n.build.reshape(zero, {});
  else if (isLeft && zero.rank() == 1)
    zero = n.build.reshape(zero, {zero.dim(0), 1});
  auto shape = broadcastShapes({x.shape(), zero.shape()});
  if (failed(shape) || ArrayRef<int64_t>(*shape) != x.shape())
    return n.fail("zero point " + toString(zero.shape()) +
                  " does not fit operand " + toString(x.shape()));
  return n.build.binary(
      wide, n.build.cast(zero, ElemType::Int32),
      [](ScalarBuilder &s, Value a, Value b) { return s.sub(a, b); });
}

static FailureOr<Tensor> multiplyInts(NodeContext &n, Tensor a, Tensor aZero,
                                      Tensor b, Tensor bZero) {
  if (failed(GraphBuilder::matmulShape(a.shape(), b.shape())))
    return failShapes(n, a, b);
  auto left = subtractZero(n, a, aZero, true);
  auto right = subtractZero(n, b, bZero, false);
  if (failed(left) || failed(right))
    return failure();
  return n.build.matmul(*left, *right, ElemType::Int32);
}

static LogicalResult importMatMulInteger(NodeContext &n) {
  auto y = multiplyInts(n, n.input(0), n.input(2), n.input(1), n.input(3));
  return failed(y) ? failure() : n.setOutput(0, *y);
}

/// round(x * a_scale * b_scale / y_scale) + y_zero_point, saturated.
static LogicalResult importQLinearMatMul(NodeContext &n) {
  Tensor aScale = n.input(1), bScale = n.input(4), yScale = n.input(6),
         yZero = n.input(7);
  if (isFloat(yZero.type) || getBitWidth(yZero.type) != 8)
    return n.fail("only 8-bit integers are supported, not " +
                  getName(yZero.type));
  auto y = multiplyInts(n, n.input(0), n.input(2), n.input(3), n.input(5));
  if (failed(y))
    return failure();
  GraphBuilder &b = n.build;
  if (aScale.rank() == 1 && aScale.numElements() > 1)
    aScale = b.reshape(aScale, {aScale.dim(0), 1});
  if (failed(broadcastShapes({y->shape(), aScale.shape(), bScale.shape(),
                              yScale.shape(), yZero.shape()})))
    return n.fail("scales do not fit the result " + toString(y->shape()));
  ElemType type = yZero.type;
  bool isU8 = isUnsigned(type);
  SmallVector<Tensor> inputs = {
      b.cast(*y, ElemType::Float), b.cast(aScale, ElemType::Float),
      b.cast(bScale, ElemType::Float), b.cast(yScale, ElemType::Float),
      b.cast(yZero, ElemType::Float)};
  Tensor result =
      b.elementwise(inputs, type, [&](ScalarBuilder &s, ValueRange v) {
        Value factor = s.div(s.mul(v[1], v[2]), v[3]);
        Value rounded = s.add(s.roundEven(s.mul(v[0], factor)), v[4]);
        return s.convert(rounded, b.elementType(type), false, isU8);
      });
  return n.setOutput(0, result);
}

//===----------------------------------------------------------------------===//
// MatMulNBits
//===----------------------------------------------------------------------===//

/// A constant uint8 input read as packed 4-bit codes of another shape; rows of
/// the file may have padding nibbles at their end.
static FailureOr<Tensor> readPackedNibbles(NodeContext &n, size_t i,
                                           ArrayRef<int64_t> shape) {
  ElementsAttr data = n.constant(i);
  SmallVector<char> scratch;
  FailureOr<ArrayRef<char>> bytes = failure();
  if (data && n.input(i).type == ElemType::UInt8)
    bytes = nq::getRawBytes(data, scratch);
  int64_t rowBytes = (shape[1] + 1) / 2;
  if (failed(bytes) || int64_t(bytes->size()) != shape[0] * rowBytes)
    return n.fail("input " + Twine(i) + " must be a constant of " +
                  Twine(shape[0] * rowBytes) +
                  " bytes of packed 4-bit numbers");
  if (shape[1] % 2 == 0 && isa<DenseResourceElementsAttr>(data))
    return n.build.constant(retype(data, ElemType::UInt4, shape),
                            ElemType::UInt4);
  SmallVector<int64_t> codes;
  for (int64_t row = 0; row < shape[0]; ++row)
    for (int64_t k = 0; k < shape[1]; ++k)
      codes.push_back(
          uint8_t((*bytes)[row * rowBytes + k / 2]) >> (4 * (k % 2)) & 15);
  return n.build.constantInts(ElemType::UInt4, shape, codes);
}

/// onnxruntime: y = x W^T, W [N, K] in unsigned 4-bit blocks along K, zero
/// point 8 unless given.
static LogicalResult importMatMulNBits(NodeContext &n) {
  Tensor x = n.input(0), scales = n.input(2), bias = n.input(5);
  auto rows = n.requireIntAttr("N"), columns = n.requireIntAttr("K"),
       block = n.requireIntAttr("block_size");
  if (failed(rows) || failed(columns) || failed(block))
    return failure();
  if (n.intAttr("bits", 4) != 4 || n.hasInput(4))
    return n.fail("only 4 bits without g_idx are supported");
  if (n.intAttr("weight_prepacked", 0))
    return n.fail("weight_prepacked: weights in the layout of one device are "
                  "not supported; save the model before it is prepacked");
  bool valid = *rows > 0 && *rows < (1 << 30) && *columns > 0 &&
               *columns < (1 << 30) && *block > 0 && *columns % *block == 0 &&
               x.rank() > 0 && x.shape().back() == *columns;
  if (!valid)
    return n.fail("N, K and block_size do not fit the input " +
                  toString(x.shape()) + " (K must be a multiple of the block)");
  Shape shape = {*rows, *columns}, grid = {*rows, *columns / *block};
  if (scales.numElements() != grid[0] * grid[1])
    return n.fail("there must be " + Twine(grid[0] * grid[1]) + " scales");
  auto codes = readPackedNibbles(n, 1, shape);
  FailureOr<Tensor> zero = n.build.splat(ElemType::UInt4, grid, 8);
  if (n.hasInput(3))
    zero = readPackedNibbles(n, 3, grid);
  if (failed(codes) || failed(zero))
    return failure();
  auto w = emitDequantize(n, *codes, n.build.reshape(scales, grid), *zero,
                          LayoutAttrs{1, *block}, x.type);
  if (failed(w))
    return failure();
  Tensor y = n.build.matmul(x, *w, x.type, /*transposeB=*/true);
  if (!bias)
    return n.setOutput(0, y);
  if (bias.type != x.type || bias.shape() != ArrayRef<int64_t>(*rows))
    return n.fail("bias does not fit");
  return n.setOutput(
      0, n.build.binary(y, bias, [](ScalarBuilder &s, Value v, Value w) {
        return s.add(v, w);
      }));
}

void nibble::onnx::registerMatmulOps(OpRegistry &r) {
  r.add("", "MatMul", importMatMul, 2);
  r.add("", "Gemm", importGemm, 2);
  r.add("", "MatMulInteger", importMatMulInteger, 2);
  r.add("", "QLinearMatMul", importQLinearMatMul, 8);
  r.add("com.microsoft", "MatMulNBits", importMatMulNBits, 3);
}
