// tensor ops, functions, kernels, states, probes, folding, errors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Harness.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

TEST(ReferenceTensor, SlicesWithSteps) {
  Harness h(R"(
    func.func @main(%x: tensor<4x5xi32>, %y: tensor<2xi32>) -> (tensor<2x2xi32>, tensor<4x5xi32>, tensor<2xi32>) {
      %a = tensor.extract_slice %x[1, 0] [2, 2] [2, 3] : tensor<4x5xi32> to tensor<2x2xi32>
      %b = tensor.insert_slice %y into %x[3, 1] [1, 2] [1, 2] : tensor<2xi32> into tensor<4x5xi32>
      %c = tensor.extract_slice %x[0, 4] [2, 1] [1, 1] : tensor<4x5xi32> to tensor<2xi32>
      return %a, %b, %c : tensor<2x2xi32>, tensor<4x5xi32>, tensor<2xi32>
    })");
  std::vector<int64_t> x(20);
  for (int i = 0; i < 20; ++i)
    x[i] = i;
  auto results = h.run({h.argInts(0, x), h.argInts(1, {-1, -2})});
  ASSERT_TRUE(succeeded(results)) << h.errors;
  EXPECT_EQ((*results)[0].toInts(), (std::vector<int64_t>{5, 8, 15, 18}));
  x[16] = -1, x[18] = -2;
  EXPECT_EQ((*results)[1].toInts(), x);
  EXPECT_EQ((*results)[2].toInts(), (std::vector<int64_t>{4, 9}));
}

TEST(ReferenceTensor, PadConcatReshape) {
  Harness h(R"(
    func.func @main(%x: tensor<1x2xf32>, %y: tensor<2x2xf32>) -> (tensor<2x4xf32>, tensor<3x2xf32>, tensor<2x2x1xf32>) {
      %p = tensor.pad %x low[1, 0] high[0, 2] {
      ^bb0(%i: index, %j: index):
        %c = arith.constant 9.0 : f32
        tensor.yield %c : f32
      } : tensor<1x2xf32> to tensor<2x4xf32>
      %c = tensor.concat dim(0) %x, %y : (tensor<1x2xf32>, tensor<2x2xf32>) -> tensor<3x2xf32>
      %f = tensor.collapse_shape %y [[0, 1]] : tensor<2x2xf32> into tensor<4xf32>
      %e = tensor.expand_shape %f [[0, 1, 2]] output_shape [2, 2, 1] : tensor<4xf32> into tensor<2x2x1xf32>
      return %p, %c, %e : tensor<2x4xf32>, tensor<3x2xf32>, tensor<2x2x1xf32>
    })");
  auto results = h.run({h.arg(0, {1, 2}), h.arg(1, {3, 4, 5, 6})});
  ASSERT_TRUE(succeeded(results)) << h.errors;
  EXPECT_EQ((*results)[0].toFloats(),
            (std::vector<double>{9, 9, 9, 9, 1, 2, 9, 9}));
  EXPECT_EQ((*results)[1].toFloats(), (std::vector<double>{1, 2, 3, 4, 5, 6}));
  EXPECT_EQ((*results)[2].toFloats(), (std::vector<double>{3, 4, 5, 6}));
}

TEST(ReferenceInterpreter, LaunchesRunTheirKernels) {
  Harness h(R"(
    func.func @double(%x: tensor<4xf32>) -> tensor<4xf32> {
      %y = arith.addf %x, %x : tensor<4xf32>
      return %y : tensor<4xf32>
    }
    func.func @main(%x: tensor<2x2xf32>) -> tensor<4xf32> {
      %f = exec.alias %x : tensor<2x2xf32> -> tensor<4xf32>
      %y = exec.launch @double(%f) layer "a" kind "add" : (tensor<4xf32>) -> tensor<4xf32>
      %z = exec.launch @double(%y) layer "b" kind "add" : (tensor<4xf32>) -> tensor<4xf32>
      return %z : tensor<4xf32>
    })");
  std::vector<std::string> seen;
  InterpreterOptions options;
  options.probe = [&](Operation *op, ArrayRef<RefTensor> results) {
    seen.push_back(op->getName().getStringRef().str() + " " +
                   std::to_string(int(results[0].floatAt(3))));
  };
  auto results = h.run({h.arg(0, {1, 2, 3, 4})}, options);
  ASSERT_TRUE(succeeded(results)) << h.errors;
  EXPECT_EQ((*results)[0].toFloats(), (std::vector<double>{4, 8, 12, 16}));
  EXPECT_EQ(seen, (std::vector<std::string>{"exec.alias 4", "exec.launch 8",
                                            "exec.launch 16"}));
}

TEST(ReferenceInterpreter, StatesOutliveACall) {
  Harness h(R"(
    nq.state @count : tensor<1xi32>
    func.func @main(%x: tensor<1xi32>) -> tensor<1xi32> {
      %s = nq.state_read @count : tensor<1xi32>
      %t = arith.addi %s, %x : tensor<1xi32>
      nq.state_write @count, %t : tensor<1xi32>
      return %t : tensor<1xi32>
    })");
  Interpreter interpreter;
  for (int64_t want : {5, 10, 15}) {
    auto results = interpreter.run(h.function(), h.argInts(0, {5}));
    ASSERT_TRUE(succeeded(results)) << h.errors;
    EXPECT_EQ((*results)[0].intAt(0), want);
  }
  EXPECT_EQ(interpreter.getState("count").intAt(0), 15);
}

TEST(ReferenceInterpreter, FoldsConstantSlicesOnly) {
  Harness h(R"(
    func.func @main(%x: tensor<2xf32>) -> (tensor<2xf16>, tensor<2xf32>, tensor<2x16x!nq.nvfp4>) {
      %c = arith.constant dense<[1.0, 3.0]> : tensor<2xf32>
      %d = arith.addf %c, %c : tensor<2xf32>
      %h = nq.cast %d : tensor<2xf32> -> tensor<2xf16>
      %v = arith.addf %x, %c : tensor<2xf32>
      %w = arith.constant dense<3.0> : tensor<2x16xf32>
      %g = arith.constant dense<0.5> : tensor<f32>
      %q = nq.quantize %w recipe("trt-dynamic") global(%g : tensor<f32>) : tensor<2x16xf32> -> tensor<2x16x!nq.nvfp4>
      return %h, %v, %q : tensor<2xf16>, tensor<2xf32>, tensor<2x16x!nq.nvfp4>
    })");
  Operation *ret = h.function().getBody().front().getTerminator();
  auto folded = evaluateToAttr(ret->getOperand(0));
  ASSERT_TRUE(folded.has_value()) << h.errors;
  EXPECT_EQ(*folded,
            parseAttribute("dense<[2.0, 6.0]> : tensor<2xf16>", &h.context));
  EXPECT_FALSE(evaluateToAttr(ret->getOperand(0), 3).has_value());
  EXPECT_FALSE(evaluateToAttr(ret->getOperand(1)).has_value());
  EXPECT_EQ(h.errors, "");
  OpBuilder builder(ret);
  Value constant = materializeConstant(ret->getOperand(2), builder);
  ASSERT_TRUE(constant);
  auto want = Interpreter().evaluate(ret->getOperand(2)),
       got = Interpreter().evaluate(constant);
  ASSERT_TRUE(succeeded(want) && succeeded(got)) << h.errors;
  EXPECT_EQ(got->toStorage(), want->toStorage());
  EXPECT_EQ(got->toFloats(), std::vector<double>(32, 3.0));
}

TEST(ReferenceInterpreter, HandlersReplaceOps) {
  Harness h(R"(
    func.func @main(%x: tensor<1xf32>) -> tensor<1xf32> {
      %y = math.exp %x : tensor<1xf32>
      return %y : tensor<1xf32>
    })");
  Interpreter interpreter;
  interpreter.setHandler(
      "math.exp", [](Operation *, ArrayRef<RefTensor> in, Interpreter &) {
        return FailureOr<Interpreter::Results>({in[0]});
      });
  auto results = interpreter.run(h.function(), h.arg(0, {3}));
  ASSERT_TRUE(succeeded(results)) << h.errors;
  EXPECT_EQ((*results)[0].floatAt(0), 3);
}

TEST(ReferenceInterpreter, ErrorsNameOpAndLayer) {
  Harness h(R"(
    func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
      %y = tensor.generate {
      ^bb0(%i: index):
        %c = arith.constant 0.0 : f32
        tensor.yield %c : f32
      } : tensor<2xf32> loc("layer3/act")
      return %y : tensor<2xf32>
    })");
  EXPECT_TRUE(failed(h.run({h.arg(0, {1, 2})})));
  EXPECT_NE(h.errors.find("'tensor.generate' op (layer 'layer3/act') is not "
                          "known to the reference interpreter"),
            std::string::npos)
      << h.errors;
}

TEST(ReferenceInterpreter, WrongArgumentsAreErrors) {
  Harness h(R"(
    func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
      return %x : tensor<2xf32>
    })");
  EXPECT_TRUE(failed(h.run({})));
  EXPECT_NE(h.errors.find("takes 1 arguments"), std::string::npos) << h.errors;
  auto type = RankedTensorType::get({3}, Float32Type::get(&h.context));
  EXPECT_TRUE(failed(h.run({RefTensor::splat(type, 1.0)})));
  EXPECT_NE(h.errors.find("tensor<3xf32>"), std::string::npos) << h.errors;
}

TEST(ReferenceInterpreter, RecursionIsAnError) {
  Harness h(R"(
    func.func @main(%x: tensor<2xf32>) -> tensor<2xf32> {
      %y = func.call @main(%x) : (tensor<2xf32>) -> tensor<2xf32>
      return %y : tensor<2xf32>
    })");
  EXPECT_TRUE(failed(h.run({h.arg(0, {1, 2})})));
  EXPECT_NE(h.errors.find("call itself"), std::string::npos);
}

TEST(ReferenceCheck, AssertionsFailWithTheElement) {
  Harness h(R"(
    func.func @main(%x: tensor<2xf32>) {
      %c = arith.constant dense<[1.0, 2.0]> : tensor<2xf32>
      check.expect_close %x, %c rtol 1.0e-3 atol 0.0 : tensor<2xf32>, tensor<2xf32>
      return
    })");
  EXPECT_TRUE(succeeded(h.run({h.arg(0, {1, 2.001})}))) << h.errors;
  EXPECT_TRUE(failed(h.run({h.arg(0, {1, 2.01})})));
  EXPECT_NE(h.errors.find("element 1"), std::string::npos) << h.errors;
}
