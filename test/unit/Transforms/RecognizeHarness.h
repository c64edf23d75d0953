// Graphs written as the importer does, evaluated before and after recognition.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TRANSFORMS_RECOGNIZEHARNESS_H
#define NIBBLE_TEST_UNIT_TRANSFORMS_RECOGNIZEHARNESS_H

#include "nibble/Import/GraphBuilder.h"
#include "nibble/Pipelines/RegisterAll.h"
#include "nibble/Pipelines/Stages.h"
#include "nibble/Reference/Interpreter.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Pass/PassManager.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace nibble::onnx {

/// A function under construction; importer-like nodes on top of GraphBuilder.
class Net {
public:
  explicit Net(unsigned seed)
      : engine(seed), registry(makeRegistry()), context(registry),
        builder(&context), build(builder, builder.getUnknownLoc()) {
    context.loadAllAvailableDialects();
    module = mlir::ModuleOp::create(build.loc);
    builder.setInsertionPointToStart(module->getBody());
    function = mlir::func::FuncOp::create(builder, build.loc, "main",
                                          builder.getFunctionType({}, {}));
    builder.setInsertionPointToStart(function.addEntryBlock());
  }

  int64_t pick(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine);
  }
  bool flip() { return pick(0, 1); }
  std::vector<double> numbers(int64_t count, double scale = 1) {
    std::normal_distribution<double> normal(0, scale);
    std::vector<double> values(count);
    for (double &x : values)
      x = float(normal(engine));
    return values;
  }

  /// An argument with normal random numbers.
  Tensor arg(llvm::ArrayRef<int64_t> shape, ElemType type, double scale = 1) {
    auto tensor = build.tensorType(shape, type);
    args.push_back(ref::RefTensor::floats(
        tensor, numbers(tensor.getNumElements(), scale)));
    unsigned at = args.size() - 1;
    (void)function.insertArgument(at, tensor, {}, build.loc);
    return {function.getArgument(at), type};
  }
  Tensor boolArg(llvm::ArrayRef<int64_t> shape,
                 llvm::ArrayRef<int64_t> values) {
    auto tensor = build.tensorType(shape, ElemType::Bool);
    args.push_back(ref::RefTensor::ints(tensor, values));
    (void)function.insertArgument(args.size() - 1, tensor, {}, build.loc);
    return {function.getArgument(args.size() - 1), ElemType::Bool};
  }
  Tensor intArg(llvm::ArrayRef<int64_t> shape, ElemType type,
                llvm::ArrayRef<int64_t> values) {
    auto tensor = build.tensorType(shape, type);
    args.push_back(ref::RefTensor::ints(tensor, values));
    (void)function.insertArgument(args.size() - 1, tensor, {}, build.loc);
    return {function.getArgument(args.size() - 1), type};
  }
  Tensor constant(llvm::ArrayRef<int64_t> shape, ElemType type,
                  llvm::ArrayRef<double> values) {
    return build.constantFloats(type, shape, values);
  }
  Tensor scalar(double value, ElemType type) {
    return build.splat(type, {}, value);
  }

  //===--- Nodes ----------------------------------------------------------===//

  using S = ScalarBuilder;
  Tensor add(Tensor a, Tensor b) {
    return build.binary(a, b, [](S &s, auto x, auto y) { return s.add(x, y); });
  }
  Tensor sub(Tensor a, Tensor b) {
    return build.binary(a, b, [](S &s, auto x, auto y) { return s.sub(x, y); });
  }
  Tensor mul(Tensor a, Tensor b) {
    return build.binary(a, b, [](S &s, auto x, auto y) { return s.mul(x, y); });
  }
  Tensor div(Tensor a, Tensor b) {
    return build.binary(a, b, [](S &s, auto x, auto y) { return s.div(x, y); });
  }
  Tensor neg(Tensor a) {
    return build.unary(a, [](S &s, auto x) { return s.neg(x); });
  }
  Tensor sqrt(Tensor a) {
    return build.unary(a, [](S &s, auto x) { return s.sqrt(x); });
  }
  Tensor tanh(Tensor a) {
    return build.unary(a, [](S &s, auto x) { return s.tanh(x); });
  }
  Tensor where(Tensor condition, Tensor a, Tensor b) {
    return build.elementwiseRaw(
        {condition, a, b}, a.type,
        [](S &s, mlir::ValueRange v) { return s.select(v[0], v[1], v[2]); });
  }
  Tensor isNan(Tensor a) {
    return build.elementwise(a, ElemType::Bool, [](S &s, mlir::ValueRange v) {
      return s.isNan(v[0]);
    });
  }
  Tensor mean(Tensor x, llvm::ArrayRef<int64_t> dims) {
    double count = 1;
    for (int64_t d : dims)
      count *= x.dim(d);
    Tensor sum =
        build.reduce(x, dims, true, ElemType::Float, 0,
                     [](S &s, auto acc, auto v) { return s.add(acc, v); });
    return build.cast(
        build.unary(
            sum, [&](S &s, auto v) { return s.div(v, s.constant(count, v)); }),
        x.type);
  }
  Tensor softmax(Tensor x) {
    auto op = mlir::linalg::SoftmaxOp::create(
        builder, build.loc, x.getType(), x.value,
        build.empty(x.shape(), x.type), x.rank() - 1);
    return {op->getResult(0), x.type};
  }

  /// QuantizeLinear to E4M3 and DequantizeLinear.
  Tensor coded(Tensor x, double scale) {
    auto element = nq::ScaledType::get(
        &context, mlir::Float8E4M3FNType::get(&context),
        build.elementType(x.type), {}, mlir::Type(), /*zeroPoint=*/false);
    auto type = mlir::RankedTensorType::get(x.shape(), element);
    mlir::Value code = nq::QuantizeOp::create(
        builder, build.loc, type, x.value, scalar(scale, x.type).value,
        mlir::Value(), mlir::Value(), mlir::StringAttr(),
        builder.getBoolAttr(true));
    return {nq::DequantizeOp::create(builder, build.loc, x.getType(), code),
            x.type};
  }

  //===--- Evaluation -----------------------------------------------------===//

  void finish(Tensor result) {
    mlir::func::ReturnOp::create(builder, build.loc, result.value);
    function.setType(builder.getFunctionType(
        function.getBody().getArgumentTypes(), result.getType()));
    EXPECT_TRUE(mlir::succeeded(mlir::verify(*module)));
  }

  /// Value in the canonical form that lacks what is in `disabled` and has what
  /// is in `allowed`. Runs the pipeline on the module: call with the names
  /// first, then without.
  std::vector<double> evaluate(llvm::ArrayRef<llvm::StringRef> disabled,
                               llvm::ArrayRef<llvm::StringRef> allowed = {}) {
    CanonicalOptions options;
    for (llvm::StringRef name : allowed)
      options.allowed.push_back(name.str());
    for (llvm::StringRef name : disabled)
      options.disabled.push_back(name.str());
    mlir::PassManager pm(&context);
    buildCanonicalPipeline(pm, options);
    EXPECT_TRUE(mlir::succeeded(pm.run(*module)));
    ref::Interpreter interpreter;
    auto results = interpreter.run(function, args);
    EXPECT_TRUE(mlir::succeeded(results));
    return mlir::succeeded(results) ? (*results)[0].toFloats()
                                    : std::vector<double>();
  }

  int64_t count(llvm::StringRef op) {
    int64_t result = 0;
    module->walk([&](mlir::Operation *o) {
      result += o->getName().getStringRef() == op;
    });
    return result;
  }

  /// Gains, in norms or products behind them.
  int64_t countGains() {
    int64_t result = count("linalg.generic");
    module->walk([&](nq::NormOp op) { result += bool(op.getScale()); });
    return result;
  }

  int64_t countLengths() {
    int64_t result = 0;
    module->walk([&](nq::AttentionOp op) { result += bool(op.getLengths()); });
    return result;
  }

  int64_t countWeightCodes() {
    int64_t result = 0;
    module->walk(
        [&](nq::AttentionOp op) { result += op.getWeightCodes().has_value(); });
    return result;
  }

  std::vector<double> argFloats(int64_t i) { return args[i].toFloats(); }

private:
  static mlir::DialectRegistry makeRegistry() {
    mlir::DialectRegistry registry;
    registerAllDialects(registry);
    return registry;
  }

  std::mt19937 engine;
  mlir::DialectRegistry registry;
  mlir::MLIRContext context;
  mlir::OpBuilder builder;

public:
  GraphBuilder build;

private:
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::func::FuncOp function;
  std::vector<ref::RefTensor> args;
};

/// max |a - b| / max |b|.
inline double relativeDifference(llvm::ArrayRef<double> a,
                                 llvm::ArrayRef<double> b) {
  EXPECT_EQ(a.size(), b.size());
  double difference = 0, largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    EXPECT_FALSE(std::isnan(a[i]) || std::isnan(b[i])) << "element " << i;
    difference = std::fmax(difference, std::abs(a[i] - b[i]));
    largest = std::fmax(largest, std::abs(b[i]));
  }
  return largest ? difference / largest : difference;
}

} // namespace nibble::onnx

#endif // NIBBLE_TEST_UNIT_TRANSFORMS_RECOGNIZEHARNESS_H
