// Operators: the form they take in the graph, by opset, and their refusals.
// Values are checked by the ONNX node tests.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ModelWriter.h"

#include <gtest/gtest.h>

using namespace nibble;
using namespace nibble::test;
using Attrs = std::vector<Message>;

static Imported binary(llvm::StringRef op, ElemType type, Dims a, Dims b,
                       ElemType result, Attrs attrs = {}) {
  Graph g = Graph().input("a", type, a).input("b", type, b);
  g.node(op, {"a", "b"}, {"y"}, attrs, "", "op");
  return importModel(g.output("y", result, {}));
}

TEST(Ops, IntegersKeepTheirSign) {
  EXPECT_TRUE(binary("Less", ElemType::UInt8, {4}, {4}, ElemType::Bool)
                  .has("cmpi ult"));
  EXPECT_TRUE(
      binary("Less", ElemType::Int8, {4}, {4}, ElemType::Bool).has("cmpi slt"));
  EXPECT_TRUE(binary("Max", ElemType::UInt32, {4}, {4}, ElemType::UInt32)
                  .has("arith.maxui"));
}

TEST(Ops, IntegerDivisionIsDefinedForEveryDivisor) {
  Imported m = binary("Div", ElemType::Int32, {4}, {4}, ElemType::Int32);
  EXPECT_TRUE(m.has("arith.select"));
  EXPECT_TRUE(m.has("arith.divsi"));
}

TEST(Ops, HalvesComputeInFloatAndRoundOnce) {
  Imported m = binary("Add", ElemType::Float16, {2, 4}, {4}, ElemType::Float16);
  EXPECT_TRUE(m.has("arith.extf"));
  EXPECT_TRUE(m.has("arith.addf %")) << m.errors;
  EXPECT_TRUE(m.has("arith.truncf"));
}

TEST(Ops, BroadcastingIsInTheMaps) {
  EXPECT_TRUE(binary("Mul", ElemType::Float, {2, 1, 4}, {3, 1}, ElemType::Float)
                  .has("tensor<2x3x4xf32>"));
  EXPECT_TRUE(binary("Mul", ElemType::Float, {2, 3}, {4}, ElemType::Float)
                  .complains("shapes [2, 3], [4] do not broadcast"));
}

TEST(Ops, OperandTypesMustAgree) {
  Graph g = Graph().input("a", ElemType::Float, {4});
  g.input("b", ElemType::Float16, {4});
  g.node("Add", {"a", "b"}, {"y"}, Attrs(), "", "sum");
  EXPECT_TRUE(
      importModel(g.output("y", ElemType::Float, {4}))
          .complains("node 'sum' (Add): operands are float and float16"));
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

TEST(MatMul, VectorsAndBatches) {
  auto result = [](Dims a, Dims b) {
    return binary("MatMul", ElemType::Float, a, b, ElemType::Float);
  };
  EXPECT_TRUE(result({5}, {5}).has("into tensor<f32>"));
  EXPECT_TRUE(result({2, 3, 5}, {5}).has("into tensor<2x3xf32>"));
  EXPECT_TRUE(result({5}, {2, 5, 7}).has("into tensor<2x7xf32>"));
  EXPECT_TRUE(result({2, 1, 3, 5}, {4, 5, 7}).has("-> tensor<2x4x3x7xf32>"));
  EXPECT_TRUE(result({2, 3}, {4, 5}).complains("do not multiply"));
  EXPECT_TRUE(result({}, {4}).complains("do not multiply"));
}

TEST(MatMul, IntegersAreExact) {
  Imported m =
      binary("MatMulInteger", ElemType::UInt8, {2, 3}, {3, 4}, ElemType::Int32);
  EXPECT_TRUE(m.has("arith.extui")) << m.errors;
  EXPECT_TRUE(m.has("arith.muli"));
  EXPECT_FALSE(m.has("nq.matmul"));
}

TEST(Gemm, TransposedWeightIsAFlag) {
  Graph g = Graph().input("a", ElemType::Float, {2, 3});
  g.input("b", ElemType::Float, {4, 3}).input("c", ElemType::Float, {4});
  g.node("Gemm", {"a", "b", "c"}, {"y"},
         Attrs{intAttr("transB", 1), floatAttr("alpha", 0.5f)});
  Imported m = importModel(g.output("y", ElemType::Float, {2, 4}));
  EXPECT_TRUE(m.has("transpose_b")) << m.errors;
  EXPECT_TRUE(m.has("5.000000e-01"));
  EXPECT_FALSE(m.has("linalg.transpose"));
}

//===----------------------------------------------------------------------===//
// Opsets
//===----------------------------------------------------------------------===//

TEST(Softmax, OldOpsetsReadAMatrix) {
  Graph g = Graph().input("x", ElemType::Float, {2, 3, 4});
  g.node("Softmax", {"x"}, {"y"}, Attrs{intAttr("axis", 1)});
  g.output("y", ElemType::Float, {2, 3, 4});
  EXPECT_TRUE(importModel(g, 11).has("tensor<2x12xf32>"));
  EXPECT_TRUE(importModel(g, 13).has("linalg.softmax dimension(1)"));
}

TEST(Dropout, TrainingIsRefused) {
  Graph g = Graph().input("x", ElemType::Float, {4});
  g.floats("r", {}, {0.5f}).init("t", ElemType::Bool, {}, std::string(1, 1));
  g.node("Dropout", {"x", "r", "t"}, {"y"}, Attrs(), "", "drop");
  EXPECT_TRUE(importModel(g.output("y", ElemType::Float, {4}))
                  .complains("node 'drop' (Dropout): training_mode is set"));
}

TEST(Dropout, TrainingWithoutDropsIsTheIdentity) {
  Graph g = Graph().input("x", ElemType::Float, {4});
  g.floats("r", {}, {0.0f}).init("t", ElemType::Bool, {}, std::string(1, 1));
  g.node("Dropout", {"x", "r", "t"}, {"y", "m"});
  g.output("y", ElemType::Float, {4}).output("m", ElemType::Bool, {4});
  Imported m = importModel(g);
  EXPECT_TRUE(m.has("return %arg0, ")) << m.errors << m.text;
}

TEST(Cast, TypesThatNibbleLacksAreRefused) {
  for (int type : {8, 14, 15, 99}) {
    Graph g = Graph().input("x", ElemType::Float, {4});
    g.node("Cast", {"x"}, {"y"}, Attrs{intAttr("to", type)});
    EXPECT_TRUE(importModel(g.output("y", ElemType::Float, {4}))
                    .complains("cannot cast to"))
        << type;
  }
}

TEST(TwoBits, AreBytesThatNobodyComputesWith) {
  Graph g = Graph().input("x", ElemType::UInt2, {4});
  g.node("Cast", {"x"}, {"y"}, Attrs{intAttr("to", int(ElemType::Int2))});
  Imported cast = importModel(g.output("y", ElemType::Int2, {4}));
  EXPECT_TRUE(cast.has("nibble.dtype = \"uint8\"")) << cast.errors;
  EXPECT_TRUE(cast.has("arith.andi") && cast.has("arith.shrsi")) << cast.text;
  Graph sum = Graph().input("x", ElemType::UInt2, {4});
  sum.node("Add", {"x", "x"}, {"y"}, Attrs(), "", "sum");
  EXPECT_TRUE(importModel(sum.output("y", ElemType::UInt2, {4}))
                  .complains("node 'sum' (Add): cannot compute with uint2"));
}

//===----------------------------------------------------------------------===//
// Norms, attention
//===----------------------------------------------------------------------===//

TEST(Norm, RmsAndLayer) {
  Graph g = Graph().input("x", ElemType::Float16, {2, 8});
  g.init("s", ElemType::Float16, {8}, std::string(16, '\1'));
  g.node("RMSNormalization", {"x", "s"}, {"r"},
         Attrs{floatAttr("epsilon", 1e-6f)});
  g.node("LayerNormalization", {"r", "s"}, {"y"});
  Imported m = importModel(g.output("y", ElemType::Float16, {2, 8}), 23);
  EXPECT_TRUE(m.has(" rms %")) << m.errors;
  EXPECT_TRUE(m.has(" layer %"));
  EXPECT_TRUE(m.has("axis = 1"));
}

static Imported attention(Attrs attrs, std::vector<std::string> inputs) {
  Graph g = Graph().input("q", ElemType::Float16, {1, 4, 3, 8});
  g.input("k", ElemType::Float16, {1, 2, 3, 8});
  g.input("v", ElemType::Float16, {1, 2, 3, 8});
  g.input("p", ElemType::Float16, {1, 2, 5, 8});
  g.input("m", ElemType::Bool, {3, 2}).input("n", ElemType::Int64, {1});
  g.node("Attention", inputs, {"y"}, attrs, "", "attn");
  return importModel(g.output("y", ElemType::Float16, {1, 4, 3, 8}), 24);
}

TEST(Attention, GroupedHeadsAndCausalPast) {
  Imported m =
      attention({intAttr("is_causal", 1)}, {"q", "k", "v", "", "p", "p"});
  EXPECT_TRUE(m.has("tensor.concat dim(2)")) << m.errors;
  EXPECT_TRUE(m.has("bottom_right, causal"));
  EXPECT_FALSE(m.has("mask("));
}

TEST(Attention, ShortMasksArePaddedWithFalse) {
  Imported m = attention({}, {"q", "k", "v", "m"});
  EXPECT_TRUE(m.has("tensor.pad")) << m.errors;
  EXPECT_TRUE(m.has("mask("));
}

TEST(Attention, WindowsBecomeAMask) {
  Imported m = attention({intAttr("left_window_size", 1)}, {"q", "k", "v"});
  EXPECT_TRUE(m.has("tensor<1x1x3x3xi1>")) << m.errors;
}

TEST(Attention, ValidKeysAreLengths) {
  std::vector<std::string> inputs = {"q", "k", "v", "", "", "", "n"};
  Imported m = attention({}, inputs);
  EXPECT_TRUE(m.has("lengths(%")) << m.errors;
  EXPECT_FALSE(m.has("mask("));
  EXPECT_FALSE(m.has("causal"));
  m = attention({intAttr("is_causal", 1)}, inputs);
  EXPECT_TRUE(m.has("lengths(%")) << m.errors;
  EXPECT_TRUE(m.has("bottom_right, causal"));
  EXPECT_FALSE(m.has("mask("));
  m = attention({intAttr("left_window_size", 1)}, inputs);
  EXPECT_TRUE(m.has("lengths(%")) << m.errors;
  EXPECT_TRUE(m.has("mask("));
}

TEST(Attention, OperandsMustFit) {
  EXPECT_TRUE(attention({}, {"k", "q", "v"}).complains("do not fit together"));
}

TEST(RotaryEmbedding, PositionsGatherTheCaches) {
  Graph g = Graph().input("x", ElemType::Float, {2, 3, 32});
  g.input("c", ElemType::Float, {50, 4}).input("s", ElemType::Float, {50, 4});
  g.input("p", ElemType::Int64, {2, 3});
  g.node("RotaryEmbedding", {"x", "c", "s", "p"}, {"y"},
         Attrs{intAttr("num_heads", 4)});
  Imported m = importModel(g.output("y", ElemType::Float, {2, 3, 32}), 23);
  EXPECT_TRUE(m.has("nq.rope")) << m.errors;
  EXPECT_TRUE(m.has("tensor<2x4x3x8xf32>"));
}
