// Structure of models: order, names, shapes, constants, functions, errors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ModelWriter.h"

#include <gtest/gtest.h>

using namespace nibble;
using namespace nibble::test;

static Graph start() { return Graph().input("x", ElemType::Float, {2, 4}); }
static Graph &finish(Graph &graph) {
  return graph.output("y", ElemType::Float, {2, 4});
}

TEST(ImportGraph, EntryFunctionDescribesItsArguments) {
  Graph g = Graph().input("pixels", ElemType::UInt8, {2, 4});
  g.node("Cast", {"pixels"}, {"y"}, std::vector{intAttr("to", 10)});
  g.output("y", ElemType::Float16, {2, 4});
  Imported m = importModel(g);
  EXPECT_TRUE(m.has("nibble.name = \"pixels\""));
  EXPECT_TRUE(m.has("nibble.dtype = \"uint8\""));
  EXPECT_TRUE(m.has("nibble.dtype = \"float16\""));
  EXPECT_TRUE(m.has("arith.uitofp"));
  EXPECT_TRUE(m.has("nibble.entry"));
}

TEST(ImportGraph, LayerNameIsNodeNameOrFirstOutput) {
  Graph g = start();
  g.node("Relu", {"x"}, {"a"}, std::vector<Message>(), "", "/mlp/act");
  g.node("Neg", {"a"}, {"y"});
  Imported m = importModel(finish(g));
  EXPECT_TRUE(m.has("\"/mlp/act\""));
  EXPECT_TRUE(m.has("\"y\""));
}

TEST(ImportGraph, InitializersInInputsAreNoArguments) {
  Graph g =
      start().input("w", ElemType::Float, {4}).floats("w", {4}, {1, 2, 3, 4});
  g.node("Add", {"x", "w"}, {"y"});
  Imported m = importModel(finish(g));
  EXPECT_TRUE(m.ok) << m.errors;
  EXPECT_FALSE(m.has("nibble.name = \"w\""));
}

TEST(ImportGraph, UnsortedNodesAreSorted) {
  Graph g = start();
  g.node("Neg", {"a"}, {"y"}).node("Relu", {"x"}, {"a"});
  EXPECT_TRUE(importModel(finish(g)).ok);
}

TEST(ImportGraph, CyclesNameTheirNodes) {
  Graph g = start();
  g.node("Add", {"x", "b"}, {"a"}, std::vector<Message>(), "", "first");
  g.node("Neg", {"a"}, {"b"}, std::vector<Message>(), "", "second");
  g.node("Relu", {"a"}, {"y"});
  Imported m = importModel(finish(g));
  EXPECT_TRUE(m.complains("'first' reads 'second' reads 'first'")) << m.errors;
}

TEST(ImportGraph, AllUnsupportedNodesAreReportedAtOnce) {
  Graph g = start();
  g.node("Frob", {"x"}, {"a"}, std::vector<Message>(), "", "one");
  g.node("Relu", {"a"}, {"b"});
  g.node("AttentionPlugin", {"b"}, {"y"}, std::vector<Message>(), "trt_edgellm",
         "two");
  Imported m = importModel(finish(g));
  EXPECT_TRUE(m.complains("node 'one' (Frob)"));
  EXPECT_TRUE(m.complains("node 'two' (trt_edgellm::AttentionPlugin)"));
  EXPECT_TRUE(m.complains("export with ONNX operators instead"));
}

TEST(ImportGraph, SuperfluousInputsAndOutputsAreRefused) {
  Graph g = start();
  g.node("Relu", {"x", "x"}, {"y"});
  EXPECT_TRUE(importModel(finish(g)).complains("input 1 ('x')"));
  Graph h = start();
  h.node("Relu", {"x"}, {"y", "z"});
  EXPECT_TRUE(importModel(finish(h)).complains("output 'z'"));
}

/// A node that nobody needs to compute, on inputs "x" and "c" (constant).
static Imported importNode(llvm::StringRef op, std::vector<std::string> inputs,
                           std::vector<Message> attributes,
                           int64_t opset = 20) {
  Graph g = start().floats("c", {1}, {2});
  g.node(op, inputs, {"y"}, attributes, "", "culprit");
  return importModel(g.output("y", ElemType::Float, {2, 4}), opset);
}

TEST(ImportGraph, AttributesThatNobodyReadsAreRefused) {
  const char *said = "node 'culprit' (Neg): attribute 'slope' would be ignored";
  auto slope = std::vector{floatAttr("slope", 2)};
  EXPECT_TRUE(importNode("Neg", {"x"}, slope).complains(said));
  // Folding does not read less than the importer.
  EXPECT_TRUE(importNode("Neg", {"c"}, slope).complains(said));
  EXPECT_TRUE(importNode("Neg", {"c", "c"}, {}).complains("input 1 ('c')"));
  EXPECT_TRUE(importNode("Neg", {"c", "x"}, {}).complains("input 1 ('x')"));
}

TEST(ImportGraph, TheSameAttributeTwiceIsRefused) {
  auto twice = std::vector{floatAttr("alpha", 2), floatAttr("alpha", 3)};
  EXPECT_TRUE(importNode("Elu", {"x"}, twice).complains("attribute 'alpha'"));
}

TEST(ImportGraph, AnInputInPlaceOfAnAttributeIsTold) {
  auto min = std::vector{floatAttr("min", 0)};
  EXPECT_TRUE(importNode("Clip", {"x", "c"}, min).complains("attribute 'min'"));
  EXPECT_TRUE(importNode("Clip", {"x"}, min, 6).ok);
}

TEST(ImportGraph, AttributesWithoutEffectPass) {
  Imported m = importNode("Relu", {"x"}, {intsAttr("consumed_inputs", {0})});
  EXPECT_TRUE(m.ok && m.warnings.empty()) << m.errors << m.warnings;
  m = importNode("Relu", {"x"}, {intAttr("__note", 0)});
  EXPECT_TRUE(m.ok) << m.errors;
  EXPECT_NE(m.warnings.find("attribute '__note' is a private note"),
            std::string::npos);
}

TEST(ImportGraph, AxesOfLegacyBroadcastsAreObeyed) {
  Graph g = start().floats("b", {2}, {1, 2});
  g.node("Add", {"x", "b"}, {"y"},
         std::vector{intAttr("broadcast", 1), intAttr("axis", 0)}, "", "sum");
  finish(g);
  EXPECT_TRUE(importModel(g, 6).ok);
  EXPECT_TRUE(importModel(g, 20).ok); // it is what the file says
  auto axis = std::vector{intAttr("axis", 1)};
  EXPECT_TRUE(importNode("Add", {"x", "c"}, axis).complains("'axis'"));
}

TEST(ImportGraph, TheOpsetMustBeNamed) {
  Graph g = start();
  g.node("Relu", {"x"}, {"y"}, std::vector<Message>(), "", "act")
      .node("Frob", {"x"}, {"z"}, std::vector<Message>(), "", "other");
  finish(g);
  Imported m = importModel(Message().varint(1, 10).message(7, g).bytes);
  EXPECT_TRUE(m.complains("opset_import names no version"));
  EXPECT_TRUE(m.complains("node 'other' (Frob)")); // the rest as well
}

TEST(ImportGraph, PartsThatAreNotUsedAreToldOf) {
  Graph g = start();
  g.node("Relu", {"x"}, {"y"});
  g.message(14, Message().data(1, "x"));
  std::string bytes =
      finish(g).model() + Message().data(20, "").data(26, "").bytes;
  Imported m = importModel(llvm::StringRef(bytes));
  EXPECT_TRUE(m.ok) << m.errors;
  for (const char *part : {"quantization_annotation of 1 tensors ('x'",
                           "training_info", "distribution over devices"})
    EXPECT_NE(m.warnings.find(part), std::string::npos) << m.warnings;
}

TEST(ImportGraph, DuplicateNamesAreRefused) {
  Graph g = start();
  g.node("Relu", {"x"}, {"y"}).node("Neg", {"x"}, {"y"});
  EXPECT_TRUE(importModel(finish(g)).complains("names must be unique"));
}

TEST(ImportGraph, DeadNodesLeaveNothing) {
  Graph g = start();
  g.node("Exp", {"x"}, {"unused"}).node("Relu", {"x"}, {"y"});
  EXPECT_FALSE(importModel(finish(g)).has("math.exp"));
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static Graph symbolic() {
  Graph g = Graph().input("x", ElemType::Float, {-1, 4});
  g.input("z", ElemType::Float, {-1, 1});
  g.node("Add", {"x", "z"}, {"y"});
  return g.output("y", ElemType::Float, {-1, 4});
}

static onnx::ImportOptions bind(std::vector<std::string> texts) {
  onnx::ImportOptions options;
  for (const std::string &text : texts)
    options.shapes.push_back(*onnx::parseShapeBinding(text));
  return options;
}

TEST(ImportShapes, OneBindingFixesTheSymbolEverywhere) {
  Imported m = importModel(symbolic(), 20, bind({"x=970x4"}));
  EXPECT_TRUE(m.has("tensor<970x1xf32>")) << m.errors;
  EXPECT_TRUE(importModel(symbolic(), 20, bind({"batch=3"})).has("3x4xf32"));
}

TEST(ImportShapes, UnboundAndContradictingShapesAreRefused) {
  EXPECT_TRUE(importModel(symbolic()).complains("--shape x=?x4"));
  EXPECT_TRUE(importModel(symbolic(), 20, bind({"x=3x5"}))
                  .complains("dimension 1 is 4 in the model but 5"));
  EXPECT_TRUE(importModel(symbolic(), 20, bind({"x=3x4", "z=2x1"}))
                  .complains("dimension 'batch' is 3 in 'x' but 2 in 'z'"));
  EXPECT_TRUE(importModel(symbolic(), 20, bind({"q=3"})).complains("'q'"));
}

TEST(ImportShapes, BindingSyntax) {
  auto binding = onnx::parseShapeBinding("a=b=1x2x3");
  ASSERT_TRUE(succeeded(binding));
  EXPECT_EQ(binding->name, "a=b");
  EXPECT_EQ(binding->shape, (std::vector<int64_t>{1, 2, 3}));
  for (const char *bad : {"x", "x=", "=1", "x=1x", "x=-1", "x=1xa"})
    EXPECT_TRUE(failed(onnx::parseShapeBinding(bad))) << bad;
}

/// Reshape(x, Concat(Gather(Shape(x), 0), [-1])), as exporters write views.
TEST(ImportShapes, ShapeArithmeticFolds) {
  Graph g = start().ints("zero", {0}).ints("minus", {-1}).ints("two", {2});
  g.node("Shape", {"x"}, {"shape"})
      .node("Gather", {"shape", "zero"}, {"rows"})
      .node("Mul", {"rows", "two"}, {"double"})
      .node("Concat", {"double", "minus"}, {"target"},
            std::vector{intAttr("axis", 0)})
      .node("Reshape", {"x", "target"}, {"y"});
  g.output("y", ElemType::Float, {4, 2});
  Imported m = importModel(g);
  EXPECT_TRUE(m.has("into tensor<4x2xf32>")) << m.errors;
  EXPECT_FALSE(m.has("i64"));
}

TEST(ImportShapes, RuntimeShapesAreRefused) {
  Graph g = start().input("s", ElemType::Int64, {2});
  g.node("Reshape", {"x", "s"}, {"y"}, std::vector<Message>(), "", "view");
  EXPECT_TRUE(importModel(finish(g)).complains(
      "node 'view' (Reshape): input 1 (shape) must be known at compile time"));
}

//===----------------------------------------------------------------------===//
// Subgraphs, functions
//===----------------------------------------------------------------------===//

TEST(ImportScopes, IfWithAConstantConditionIsInlined) {
  Graph yes = Graph(), no = Graph();
  yes.node("Exp", {"x"}, {"r"}).output("r", ElemType::Float, {2, 4});
  no.node("Neg", {"x"}, {"r"}).output("r", ElemType::Float, {2, 4});
  Graph g = start().init("c", ElemType::Bool, {}, std::string(1, '\1'));
  g.node(
      "If", {"c"}, {"y"},
      std::vector{graphAttr("then_branch", yes), graphAttr("else_branch", no)});
  Imported m = importModel(finish(g));
  EXPECT_TRUE(m.has("math.exp")) << m.errors;
  EXPECT_FALSE(m.has("arith.negf"));
}

/// A function with an attribute that its body passes on.
TEST(ImportScopes, LocalFunctionsAreInlined) {
  Message reference =
      Message().data(1, "alpha").varint(20, 1).data(21, "slope");
  Message body = test::node("LeakyRelu", {"a"}, {"b"}, {reference}, "", "act");
  Message function = Message()
                         .data(1, "MyAct")
                         .data(4, "a")
                         .data(5, "b")
                         .data(6, "slope")
                         .message(7, body)
                         .data(10, "mine");
  Graph g = start();
  g.node("MyAct", {"x"}, {"y"}, std::vector{floatAttr("slope", 0.25f)}, "mine",
         "block");
  finish(g);
  Message import = Message().data(1, "").varint(2, 20);
  Imported m = importModel(
      Message().message(8, import).message(7, g).message(25, function).bytes);
  EXPECT_TRUE(m.has("2.500000e-01")) << m.errors;
  EXPECT_TRUE(m.has("\"block/act\""));
}

TEST(ImportScopes, AttributesThatAFunctionDoesNotListAreRefused) {
  Message body = test::node("Neg", {"a"}, {"b"}, {}, "", "neg");
  Message function = Message()
                         .data(1, "MyAct")
                         .data(4, "a")
                         .data(5, "b")
                         .data(6, "listed")
                         .message(7, body)
                         .data(10, "mine");
  for (const char *name : {"listed", "slope"}) {
    Graph g = start();
    g.node("MyAct", {"x"}, {"y"}, std::vector{floatAttr(name, 1)}, "mine",
           "call");
    finish(g);
    Message import = Message().data(1, "").varint(2, 20);
    Imported m = importModel(
        Message().message(8, import).message(7, g).message(25, function).bytes);
    EXPECT_EQ(m.ok, llvm::StringRef(name) == "listed") << m.errors;
    EXPECT_TRUE(m.ok || m.complains("node 'call' (mine::MyAct): attribute "
                                    "'slope' would be ignored"));
  }
}

//===----------------------------------------------------------------------===//
// Files
//===----------------------------------------------------------------------===//

TEST(ImportFile, EveryTruncationIsRefused) {
  Graph g = start().floats("w", {4}, {1, 2, 3, 4});
  g.node("Add", {"x", "w"}, {"y"});
  std::string bytes = finish(g).model();
  for (size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(importModel(llvm::StringRef(bytes).take_front(size)).ok);
  EXPECT_TRUE(importModel(llvm::StringRef(bytes)).ok);
}

TEST(ImportFile, MalformedBytesNameTheirOffset) {
  Imported m = importModel(llvm::StringRef("\x3a\xff\xff\xff\xff\x0f", 6));
  EXPECT_TRUE(m.complains("at byte 6 of 6")) << m.errors;
}
