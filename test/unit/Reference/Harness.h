// Runs MLIR text through the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_REFERENCE_HARNESS_H
#define NIBBLE_TEST_UNIT_REFERENCE_HARNESS_H

#include "nibble/Dialect/Check/CheckOps.h"
#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Reference/Interpreter.h"

#include "mlir/AsmParser/AsmParser.h"
#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Parser/Parser.h"

#include <gtest/gtest.h>

#include <random>

namespace nibble::ref {

/// A module, its context, and the errors reported since it was made.
class Harness {
public:
  explicit Harness(const std::string &text)
      : handler(&context, [this](mlir::Diagnostic &diag) {
          errors += diag.str() + "\n";
          return mlir::success();
        }) {
    context.loadDialect<nq::NqDialect, exec::ExecDialect, check::CheckDialect,
                        mlir::arith::ArithDialect, mlir::math::MathDialect,
                        mlir::tensor::TensorDialect,
                        mlir::linalg::LinalgDialect, mlir::func::FuncDialect>();
    module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    EXPECT_TRUE(module) << errors << text;
  }

  mlir::func::FuncOp function(llvm::StringRef name = "main") {
    return module->lookupSymbol<mlir::func::FuncOp>(name);
  }
  /// Type of an argument of @main.
  mlir::RankedTensorType argType(unsigned i) {
    return llvm::cast<mlir::RankedTensorType>(function().getArgumentTypes()[i]);
  }
  RefTensor arg(unsigned i, llvm::ArrayRef<double> values) {
    return RefTensor::floats(argType(i), values);
  }
  RefTensor argInts(unsigned i, llvm::ArrayRef<int64_t> values) {
    return RefTensor::ints(argType(i), values);
  }

  mlir::FailureOr<Interpreter::Results> run(llvm::ArrayRef<RefTensor> args = {},
                                            InterpreterOptions options = {}) {
    if (!module)
      return mlir::failure();
    return Interpreter(options).run(function(), args);
  }
  /// First result as numbers; empty after an error.
  std::vector<double> floats(llvm::ArrayRef<RefTensor> args = {}) {
    auto results = run(args);
    EXPECT_TRUE(mlir::succeeded(results)) << errors;
    return mlir::succeeded(results) ? (*results)[0].toFloats()
                                    : std::vector<double>();
  }
  std::vector<int64_t> ints(llvm::ArrayRef<RefTensor> args = {}) {
    auto results = run(args);
    EXPECT_TRUE(mlir::succeeded(results)) << errors;
    return mlir::succeeded(results) ? (*results)[0].toInts()
                                    : std::vector<int64_t>();
  }

  std::string errors;
  mlir::MLIRContext context;
  mlir::ScopedDiagnosticHandler handler;
  mlir::OwningOpRef<mlir::ModuleOp> module;
};

inline std::vector<double> randoms(size_t count, unsigned seed,
                                   double scale = 1) {
  std::mt19937 engine(seed);
  std::normal_distribution<double> normal(0, scale);
  std::vector<double> values(count);
  for (double &x : values)
    x = static_cast<float>(normal(engine));
  return values;
}

inline void expectNear(llvm::ArrayRef<double> actual,
                       llvm::ArrayRef<double> expected, double tolerance) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < actual.size(); ++i)
    EXPECT_NEAR(actual[i], expected[i], tolerance) << "element " << i;
}

} // namespace nibble::ref

#endif // NIBBLE_TEST_UNIT_REFERENCE_HARNESS_H
