// Quantization in every spelling: rules R1-R22 of the formats that exporters
// write. The expected text is the graph in Q/DQ notation.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ModelWriter.h"

#include <gtest/gtest.h>

using namespace nibble;
using namespace nibble::test;
using Attrs = std::vector<Message>;

static const float notANumber = __builtin_nanf("");

/// A graph that dequantizes one constant [N, K] and returns it.
struct Weight {
  Graph graph = Graph().input("unused", ElemType::Float, {1});
  Dims dims;

  Weight(ElemType type, Dims d, std::string raw) : dims(std::move(d)) {
    graph.init("w", type, dims, raw);
  }
  Imported dequantize(std::vector<std::string> inputs, Attrs attrs = {},
                      ElemType result = ElemType::Float,
                      llvm::StringRef op = "DequantizeLinear",
                      llvm::StringRef domain = "") {
    graph.node(op, inputs, {"y"}, attrs, domain, "dq");
    return importModel(graph.output("y", result, dims));
  }
};

static std::string bytes(size_t count, char value = 0x38) {
  return std::string(count, value);
}

//===----------------------------------------------------------------------===//
// NVFP4
//===----------------------------------------------------------------------===//

static Graph nvfp4Graph(float global, Dims globalDims, char blockScale = 0x38,
                        Attrs attrs = {intAttr("axis", -1),
                                       intAttr("block_size", 16)}) {
  Graph g = Graph().input("unused", ElemType::Float, {1});
  g.init("w", ElemType::Float4E2M1, {8, 32}, bytes(128, 0x21));
  g.init("s", ElemType::Float8E4M3FN, {8, 2}, bytes(16, blockScale));
  g.floats("g", globalDims, {global});
  g.node("DequantizeLinear", {"s", "g"}, {"s32"}, Attrs(), "", "dq_s");
  g.node("DequantizeLinear", {"w", "s32"}, {"y"}, attrs, "", "dq");
  return g.output("y", ElemType::Float, {8, 32});
}

static Imported nvfp4(float global, Dims globalDims, char blockScale = 0x38) {
  return importModel(nvfp4Graph(global, globalDims, blockScale));
}

TEST(Nvfp4, NestedDequantize) {
  for (Dims dims : {Dims{}, Dims{1}}) { // R4
    Imported m = nvfp4(0.5f, dims);
    EXPECT_TRUE(m.has("tensor<8x2xf8E4M3FN> -> tensor<8x2x!nq.fp8>"))
        << m.errors;
    EXPECT_TRUE(m.has("tensor<8x32x!nq.scaled<f4E2M1FN, f32 per 1x16>>"));
    EXPECT_TRUE(m.has("dense<5.000000e-01> : tensor<f32>"));
  }
}

TEST(Nvfp4, NoOpsetIsTooOld) { // R2: FLOAT4E2M1 is of opset 23 and IR 11
  Graph g = nvfp4Graph(0.5f, {});
  for (int64_t opset : {13, 17, 19, 20, 21, 23})
    EXPECT_TRUE(importModel(g, opset).has("f32 per 1x16")) << opset;
}

TEST(Nvfp4, GlobalScaleMayComeFromACastConstant) { // R7
  for (float global : {0.5f, notANumber}) {
    Graph g = Graph().input("unused", ElemType::Float, {1});
    g.init("s", ElemType::Float8E4M3FN, {8, 2}, bytes(16));
    Message value =
        tensor("", ElemType::Float, {}, bytesOf(std::vector<float>{global}));
    g.node("Constant", {}, {"g32"},
           Attrs{Message().data(1, "value").message(5, value).varint(20, 4)});
    g.node("Cast", {"g32"}, {"g"}, Attrs{intAttr("to", 10)});
    g.node("DequantizeLinear", {"s", "g"}, {"y"}, Attrs(), "", "dq_s");
    Imported m = importModel(g.output("y", ElemType::Float16, {8, 2}));
    if (global == 0.5f)
      EXPECT_TRUE(m.has("!nq.scaled<f8E4M3FN, f16 per tensor>")) << m.errors;
    else
      EXPECT_TRUE(m.complains("node 'dq_s' (DequantizeLinear): scale at [] is "
                              "NaN"))
          << m.errors;
  }
}

TEST(Nvfp4, OddCountsArePadded) { // R18
  Weight w(ElemType::Float4E2M1, {3, 5}, bytes(8, 0x22));
  w.graph.floats("s", {}, {1});
  EXPECT_TRUE(w.dequantize({"w", "s"}).has("tensor<3x5xf4E2M1FN>"));
}

TEST(Nvfp4, BlockSizeMayBeMissing) { // R11
  EXPECT_TRUE(importModel(nvfp4Graph(1, {}, 0x38, {})).has("f32 per 1x16"));
}

TEST(Nvfp4, BadScalesNameTheNode) { // R19
  EXPECT_TRUE(nvfp4(notANumber, {}).complains("node 'dq_s'"));
  EXPECT_TRUE(nvfp4(0, {}).complains("is zero"));
  EXPECT_TRUE(nvfp4(-1, {}).complains("is negative"));
  EXPECT_TRUE(
      nvfp4(1, {}, 0x7f)
          .complains("node 'dq' (DequantizeLinear): scale at [0, 0] is NaN"));
  EXPECT_TRUE(nvfp4(1, {}, char(0xb8)).complains("is negative"));
  EXPECT_TRUE(nvfp4(1, {}, 0).complains("is zero but its block has codes"));
}

TEST(Nvfp4, ZeroScaleOfAZeroBlockPasses) { // R13, R19
  Weight w(ElemType::Float4E2M1, {1, 32},
           bytes(8, char(0x80)) + bytes(8, 0x11));
  w.graph.floats("s", {1, 2}, {0, 1});
  Imported m = w.dequantize({"w", "s"}, {intAttr("block_size", 16)});
  EXPECT_TRUE(m.ok) << m.errors;
  EXPECT_NE(m.warnings.find("1 scales are zero"), std::string::npos);
}

TEST(Nvfp4, DynamicActivation) {
  Graph g = Graph().input("x", ElemType::Float16, {2, 3, 32});
  g.floats("g", {1}, {0.25f});
  g.node("TRT_FP4DynamicQuantize", {"x", "g"}, {"q", "s"},
         Attrs{intAttr("axis", -1), intAttr("block_size", 16),
               intAttr("scale_type", 17)},
         "trt");
  g.output("q", ElemType::Float4E2M1, {2, 3, 32});
  g.output("s", ElemType::Float8E4M3FN, {2, 3, 2});
  Imported m = importModel(g);
  EXPECT_TRUE(m.has("recipe(\"trt-dynamic\")")) << m.errors;
  EXPECT_TRUE(m.has("tensor<2x3x32x!nq.nvfp4>"));
  EXPECT_TRUE(m.has("tensor<2x3x2xf8E4M3FN>"));
}

//===----------------------------------------------------------------------===//
// TRT_FP4QDQ
//===----------------------------------------------------------------------===//

/// x (FP8 or plain) times a weight of amax 448 that is only marked.
static Imported rawFp4(bool fp8Activations, int64_t block) {
  Graph g = Graph().input("x", ElemType::Float, {4, 64});
  g.floats("w", {8, 64}, std::vector<float>(512, -448)).floats("s", {}, {1});
  g.node("TRT_FP4QDQ", {"w"}, {"wq"}, Attrs{intAttr("block_size", block)},
         "trt");
  g.node("Transpose", {"wq"}, {"wt"}, Attrs{intsAttr("perm", {1, 0})});
  if (fp8Activations)
    g.node("TRT_FP8QuantizeLinear", {"x", "s"}, {"q"}, Attrs(), "trt")
        .node("TRT_FP8DequantizeLinear", {"q", "s"}, {"xd"}, Attrs(), "trt");
  g.node("MatMul", {fp8Activations ? "xd" : "x", "wt"}, {"y"});
  return importModel(g.output("y", ElemType::Float, {4, 8}));
}

TEST(Nvfp4, RawMarkerIsQuantizedHere) { // R15
  Imported m = rawFp4(false, 16);
  EXPECT_TRUE(m.has("recipe(\"modelopt-torch\")")) << m.errors;
  EXPECT_TRUE(m.has("!nq.nvfp4"));
  EXPECT_TRUE(m.has("dense<0.166666672>")); // 448 / 2688
}

TEST(Nvfp4, RawMarkerBesideFp8ActivationsIsW4a8) {
  Imported m = rawFp4(true, 32);
  EXPECT_TRUE(m.has("f8E4M3FN per 1x32, global f32")) << m.errors;
  EXPECT_TRUE(m.has("dense<1.000000e+00> : tensor<f32>")); // 448 / 448
  EXPECT_FALSE(m.has("dense<0.166666672>"));
}

TEST(Nvfp4, RawMarkerOnAnActivationIsRefused) {
  Graph g = Graph().input("x", ElemType::Float, {4, 64});
  g.node("TRT_FP4QDQ", {"x"}, {"y"}, Attrs{intAttr("block_size", 16)}, "trt");
  EXPECT_TRUE(importModel(g.output("y", ElemType::Float, {4, 64}))
                  .complains("its input is not a constant"));
}

//===----------------------------------------------------------------------===//
// FP8, INT8
//===----------------------------------------------------------------------===//

static Imported quantize(Graph g, std::vector<std::string> inputs, Attrs attrs,
                         ElemType result, llvm::StringRef domain = "") {
  g.input("x", ElemType::Float16, {2, 32});
  g.node("QuantizeLinear", inputs, {"q"}, attrs, domain, "q");
  return importModel(g.output("q", result, {2, 32}));
}

/// Weight scales so small that float16 holds them as subnormals.
TEST(Fp8, SubnormalScalesAreNotZero) { // R19
  Weight w(ElemType::Float8E4M3FN, {2, 2}, bytes(4));
  w.graph.init("s", ElemType::Float16, {}, std::string("\x01\0", 2));
  Imported m = w.dequantize({"w", "s"}, {}, ElemType::Float16);
  EXPECT_TRUE(m.has("5.960460e-08")) << m.errors;
}

static Graph scalarScale(float scale = 0.5f) {
  return Graph().floats("s", {}, {scale});
}

TEST(Fp8, DomainsAreOneNameSpace) { // R1
  for (const char *domain : {"", "ai.onnx", "trt"}) {
    Graph g = scalarScale().init("z", ElemType::Float8E4M3FN, {1}, bytes(1, 0));
    Imported m = quantize(g, {"x", "s", "z"}, {intAttr("saturate", 1)},
                          ElemType::Float8E4M3FN, domain);
    EXPECT_TRUE(m.has("tensor<2x32x!nq.fp8>")) << m.errors;
    EXPECT_FALSE(m.has("zero_point"));
    Weight w(ElemType::Float8E4M3FN, {4, 8}, bytes(32));
    w.graph.floats("s", {1}, {2});
    EXPECT_TRUE(w.dequantize({"w", "s"}, {}, ElemType::Float,
                             "DequantizeLinear", domain)
                    .has("tensor<4x8x!nq.fp8>"));
  }
}

TEST(Fp8, TypeFromOutputDtypeWithoutZeroPoint) { // R5
  Imported m = quantize(scalarScale(), {"x", "s"},
                        {intAttr("output_dtype", 17)}, ElemType::Float8E4M3FN);
  EXPECT_TRUE(m.has("!nq.fp8")) << m.errors;
}

//===----------------------------------------------------------------------===//
// Precision of the division
//===----------------------------------------------------------------------===//

static Imported quantizeIn(ElemType precision, float scale = 0.5f) {
  return quantize(
      scalarScale(scale), {"x", "s"},
      {intAttr("output_dtype", 17), intAttr("precision", int64_t(precision))},
      ElemType::Float8E4M3FN);
}

TEST(Precision, FloatIsWhatQuantizeDoes) {
  Imported m = quantizeIn(ElemType::Float);
  EXPECT_TRUE(m.has("nq.quantize %arg0 scale(")) << m.errors;
  EXPECT_FALSE(m.has("arith.divf"));
}

TEST(Precision, NarrowQuotientsAreRoundedFirst) {
  for (auto [type, name] : {std::pair(ElemType::Float16, "f16"),
                            std::pair(ElemType::BFloat16, "bf16")}) {
    Imported m = quantizeIn(type);
    EXPECT_TRUE(m.has("arith.divf")) << m.errors;
    EXPECT_TRUE(m.has("nq.quantize %") && m.has("dense<1.000000e+00>"));
    EXPECT_TRUE(m.has(std::string("tensor<2x32x") + name +
                      "> -> tensor<2x32x!nq.fp8>"));
  }
}

TEST(Precision, WhatCannotBeObeyedIsRefused) {
  EXPECT_TRUE(quantizeIn(ElemType::Double)
                  .complains("node 'q' (QuantizeLinear): precision double is "
                             "not supported"));
  EXPECT_TRUE(quantizeIn(ElemType::Float16, 1e-9f)
                  .complains("scale at [] becomes zero in float16"));
  EXPECT_TRUE(quantizeIn(ElemType::Float16, 1e9f).complains("infinite"));
}

//===----------------------------------------------------------------------===//
// FP8, INT8: zero points and axes
//===----------------------------------------------------------------------===//

TEST(Fp8, ZeroPointMustBeZero) {
  Graph g = scalarScale().init("z", ElemType::Float8E4M3FN, {}, bytes(1, 0x38));
  EXPECT_TRUE(quantize(g, {"x", "s", "z"}, {}, ElemType::Float8E4M3FN)
                  .complains("must be zero"));
}

TEST(Fp8, PerChannelWeight) {
  Weight w(ElemType::Float8E4M3FN, {4, 8}, bytes(32));
  w.graph.floats("s", {8}, std::vector<float>(8, 2));
  w.graph.init("z", ElemType::Float8E4M3FN, {8}, bytes(8, 0));
  EXPECT_TRUE(w.dequantize({"w", "s", "z"}, {intAttr("axis", 1)})
                  .has("!nq.scaled<f8E4M3FN, f32 per ?x1>"));
}

TEST(Int8, DefaultTypeDependsOnTheDomain) { // R5
  EXPECT_TRUE(
      quantize(scalarScale(), {"x", "s"}, {}, ElemType::Undefined).has("ui8"));
  EXPECT_TRUE(
      quantize(scalarScale(), {"x", "s"}, {}, ElemType::Undefined, "trt")
          .has("<si8, f32 per tensor>"));
}

TEST(Int8, ZeroPointsAreKeptUnlessZero) {
  Graph g = scalarScale().init("z", ElemType::UInt8, {}, bytes(1, char(128)));
  EXPECT_TRUE(quantize(g, {"x", "s", "z"}, {}, ElemType::UInt8)
                  .has("<ui8, f32 per tensor, zero_point>"));
  Graph h = scalarScale().init("z", ElemType::Int8, {1}, bytes(1, 0));
  EXPECT_TRUE(quantize(h, {"x", "s", "z"}, {}, ElemType::Int8)
                  .has("<si8, f32 per tensor>"));
}

TEST(Int8, FloatZeroPointCastToInt8Folds) { // R7
  Graph g = scalarScale().floats("zf", {}, {0});
  g.node("Cast", {"zf"}, {"z"}, Attrs{intAttr("to", 3)});
  EXPECT_TRUE(quantize(g, {"x", "s", "z"}, {}, ElemType::Int8)
                  .has("<si8, f32 per tensor>"));
}

TEST(Int8, ZeroPointOfAnotherTypeIsRefused) {
  Weight w(ElemType::Int8, {4}, bytes(4));
  w.graph.floats("s", {}, {1}).init("z", ElemType::UInt8, {}, bytes(1, 3));
  EXPECT_TRUE(w.dequantize({"w", "s", "z"}).complains("zero point is uint8"));
}

TEST(Int2, CodesAreScaledBytes) {
  Weight w(ElemType::Int2, {8}, bytes(2, '\x39'));
  w.graph.floats("s", {}, {0.5f});
  Imported m = w.dequantize({"w", "s"});
  EXPECT_TRUE(m.has("dense<[1, -2, -1, 0, 1, -2, -1, 0]> : tensor<8xi8>"))
      << m.errors << m.text;
  EXPECT_TRUE(m.has("!nq.scaled<si8, f32 per tensor>"));
}

TEST(Int2, QuantizeSaturatesToTwoBits) {
  Graph g = Graph().input("x", ElemType::Float, {4}).floats("s", {}, {1});
  g.node("QuantizeLinear", {"x", "s"}, {"q"},
         Attrs{intAttr("output_dtype", int(ElemType::Int2))});
  Imported m = importModel(g.output("q", ElemType::Int2, {4}));
  EXPECT_TRUE(m.has("-2.000000e+00") && m.has("arith.minimumf")) << m.errors;
}

TEST(Int8, Int32BiasIsPlainArithmetic) {
  Weight w(ElemType::Int32, {4}, bytes(16));
  w.graph.floats("s", {}, {0.5f});
  Imported m = w.dequantize({"w", "s"});
  EXPECT_TRUE(m.has("arith.mulf")) << m.errors;
  EXPECT_FALSE(m.has("nq.assemble"));
}

//===----------------------------------------------------------------------===//
// INT4
//===----------------------------------------------------------------------===//

static Weight int4(Dims dims, Dims scaleDims) {
  int64_t count = 1, scales = 1;
  for (int64_t d : dims)
    count *= d;
  for (int64_t d : scaleDims)
    scales *= d;
  Weight w(ElemType::Int4, dims, bytes(count / 2, 0x1f));
  w.graph.floats("s", scaleDims, std::vector<float>(scales, 1));
  return w;
}

TEST(Int4, BlocksAlongKOfTransposedWeights) {
  EXPECT_TRUE(int4({256, 8}, {2, 8})
                  .dequantize({"w", "s"},
                              {intAttr("axis", 0), intAttr("block_size", 128)})
                  .has("!nq.scaled<si4, f32 per 128x1>"));
}

TEST(Int4, ShapesWinOverAContradictingAxis) { // R11
  Imported m = int4({8, 256}, {8, 2})
                   .dequantize({"w", "s"}, {intAttr("axis", 0),
                                            intAttr("block_size", 128)});
  EXPECT_TRUE(m.has("!nq.scaled<si4, f32 per 1x128>")) << m.errors;
  EXPECT_NE(m.warnings.find("axis 0 contradicts"), std::string::npos);
}

TEST(Int4, ShapesWinOverABlockSizeWithoutBlocks) { // R11
  for (Dims scales : {Dims{1}, Dims{256}}) {
    Imported m = int4({8, 256}, scales)
                     .dequantize({"w", "s"}, {intAttr("axis", 1),
                                              intAttr("block_size", 128)});
    EXPECT_TRUE(m.ok) << m.errors;
    EXPECT_NE(m.warnings.find("block_size 128 contradicts"), std::string::npos);
  }
}

TEST(Int4, ContradictingBlockSizeIsRefused) {
  EXPECT_TRUE(int4({8, 256}, {8, 2})
                  .dequantize({"w", "s"}, {intAttr("block_size", 64)})
                  .complains("in blocks of 64"));
  EXPECT_TRUE(int4({8, 256}, {8, 3})
                  .dequantize({"w", "s"}, {})
                  .complains("do not fit"));
  EXPECT_TRUE(int4({8, 256}, {8, 2})
                  .dequantize({"w", "s"}, {intAttr("axis", 5)})
                  .complains("axis 5"));
}

TEST(Int4, RawQuantizeAndDequantize) { // R15
  Graph g = Graph().input("x", ElemType::Float, {4, 32});
  g.floats("s", {4, 2}, std::vector<float>(8, 1));
  Attrs attrs{intAttr("axis", -1), intAttr("block_size", 16)};
  g.node("TRT_INT4QuantizeLinear", {"x", "s"}, {"q"}, attrs, "trt");
  g.node("TRT_INT4DequantizeLinear", {"q", "s"}, {"y"}, attrs, "trt");
  Imported m = importModel(g.output("y", ElemType::Float, {4, 32}));
  EXPECT_TRUE(m.has("-> tensor<4x32x!nq.scaled<si4, f32 per 1x16>>"))
      << m.errors;
}

TEST(Int4, UnsignedWithZeroPoints) {
  Weight w(ElemType::UInt4, {4, 8}, bytes(16, 0x1f));
  w.graph.floats("s", {2, 8}, std::vector<float>(16, 1));
  w.graph.init("z", ElemType::UInt4, {2, 8}, bytes(8, 0x33));
  EXPECT_TRUE(w.dequantize({"w", "s", "z"},
                           {intAttr("axis", 0), intAttr("block_size", 2)})
                  .has("!nq.scaled<ui4, f32 per 2x1, zero_point>"));
}

//===----------------------------------------------------------------------===//
// MX
//===----------------------------------------------------------------------===//

TEST(Mx, ScalesAreBytesOrE8m0) { // R17
  for (ElemType type : {ElemType::UInt8, ElemType::Float8E8M0}) {
    Weight w(ElemType::Float8E4M3FN, {4, 64}, bytes(256));
    w.graph.init("s", type, {4, 2}, bytes(8, 127));
    bool standard = type == ElemType::Float8E8M0;
    Imported m = w.dequantize(
        {"w", "s"}, {intAttr("block_size", 32), intAttr("output_dtype", 10)},
        ElemType::Float16,
        standard ? "DequantizeLinear" : "TRT_MXFP8DequantizeLinear",
        standard ? "" : "trt");
    EXPECT_TRUE(m.has("tensor<4x64x!nq.mxfp8>")) << m.errors;
    EXPECT_TRUE(m.has("-> tensor<4x64xf16>"));
  }
}

TEST(Mx, AttributesDefaultToTransformerEngines) {
  Graph g = Graph().input("x", ElemType::Float, {2, 64});
  g.node("TRT_MXFP8DynamicQuantize", {"x"}, {"q", "s"}, Attrs(), "trt");
  g.node("TRT_MXFP8DequantizeLinear", {"q", "s"}, {"y"}, Attrs(), "trt");
  Imported m = importModel(g.output("y", ElemType::Float, {2, 64}));
  EXPECT_TRUE(m.has("tensor<2x64xf32> -> tensor<2x64x!nq.mxfp8>")) << m.errors;
  EXPECT_TRUE(m.has("scales(%")); // nq.scales feeds nq.assemble directly
  EXPECT_FALSE(m.has("arith.bitcast"));
}

TEST(Mx, QuantizeUnderGivenScales) { // R15
  Graph g = Graph().input("x", ElemType::Float, {2, 64});
  g.init("s", ElemType::UInt8, {2, 2}, bytes(4, 127));
  g.node("TRT_MXFP8QuantizeLinear", {"x", "s"}, {"q"}, Attrs(), "trt");
  Imported m = importModel(g.output("q", ElemType::Float8E4M3FN, {2, 64}));
  EXPECT_TRUE(m.has("tensor<2x64xf32> -> tensor<2x64x!nq.mxfp8>")) << m.errors;
  EXPECT_FALSE(m.has("recipe"));
}

TEST(Mx, NanScaleIsRefused) {
  Weight w(ElemType::Float8E4M3FN, {4, 64}, bytes(256));
  w.graph.init("s", ElemType::UInt8, {4, 2}, bytes(8, char(255)));
  EXPECT_TRUE(w.dequantize({"w", "s"}, {}, ElemType::Float,
                           "TRT_MXFP8DequantizeLinear", "trt")
                  .complains("is NaN"));
}

TEST(Mx, StandardFormNeedsItsResultType) {
  Weight w(ElemType::Float8E4M3FN, {4, 64}, bytes(256));
  w.graph.init("s", ElemType::Float8E8M0, {4, 2}, bytes(8, 127));
  EXPECT_TRUE(w.dequantize({"w", "s"}).complains("output_dtype is required"));
}

//===----------------------------------------------------------------------===//
// Blocks of any shape, dynamic INT8
//===----------------------------------------------------------------------===//

TEST(Blocks, TwoDimensions) {
  Weight w(ElemType::Float8E4M3FN, {256, 256}, bytes(65536));
  w.graph.floats("s", {2, 2}, {1, 2, 3, 4});
  EXPECT_TRUE(w.dequantize({"w", "s"}, {intsAttr("block_shape", {128, 128})},
                           ElemType::Float, "TRT_BlockDequantize", "trt")
                  .has("!nq.scaled<f8E4M3FN, f32 per 128x128>"));
}

TEST(Blocks, QuantizeUnderGivenScales) { // R15
  Graph g = Graph().input("x", ElemType::Float, {256, 256});
  g.floats("s", {2, 2}, {1, 2, 3, 4});
  g.node("TRT_BlockQuantize", {"x", "s"}, {"q"},
         Attrs{intsAttr("block_shape", {128, 128})}, "trt");
  Imported m = importModel(g.output("q", ElemType::Float8E4M3FN, {256, 256}));
  EXPECT_TRUE(m.has("!nq.scaled<f8E4M3FN, f32 per 128x128>")) << m.errors;
}

/// TRT_DynamicQuantize to blocks of 1x16 or 1x32.
static Imported dynamicBlocks(int64_t block, ElemType scale, ElemType code) {
  bool isNvfp4 = scale == ElemType::Float8E4M3FN;
  Graph g = Graph().input("x", ElemType::Float, {4, 64}).floats("g", {}, {1});
  std::vector<std::string> inputs = {"x"};
  if (isNvfp4)
    inputs.push_back("g");
  g.node("TRT_DynamicQuantize", inputs, {"q", "s"},
         Attrs{intsAttr("block_shape", {1, block}),
               intAttr("scale_type", int64_t(scale)),
               intAttr("output_type", int64_t(code))},
         "trt");
  g.output("q", code, {4, 64});
  return importModel(g.output("s", scale, {4, 64 / block}));
}

TEST(Blocks, DynamicScales) { // R15
  Imported fp4 =
      dynamicBlocks(16, ElemType::Float8E4M3FN, ElemType::Float4E2M1);
  EXPECT_TRUE(fp4.has("-> tensor<4x64x!nq.nvfp4>")) << fp4.errors;
  Imported mx = dynamicBlocks(32, ElemType::Float8E8M0, ElemType::Float8E4M3FN);
  EXPECT_TRUE(mx.has("-> tensor<4x64x!nq.mxfp8>")) << mx.errors;
  EXPECT_TRUE(dynamicBlocks(32, ElemType::Float, ElemType::Float8E4M3FN)
                  .complains("scale_type float with output_type"));
}

TEST(Int8, DynamicQuantizeLinearIsPlainArithmetic) {
  Graph g = Graph().input("x", ElemType::Float, {2, 3});
  g.node("DynamicQuantizeLinear", {"x"}, {"q", "s", "z"});
  g.output("q", ElemType::UInt8, {2, 3}).output("s", ElemType::Float, {});
  Imported m = importModel(g.output("z", ElemType::UInt8, {}));
  EXPECT_TRUE(m.has("math.roundeven")) << m.errors;
  EXPECT_TRUE(m.has("tensor<2x3xi8>"));
}
