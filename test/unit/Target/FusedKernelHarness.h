// Runs kernels of matrix products and what follows them against the reference.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_FUSEDKERNELHARNESS_H
#define NIBBLE_TEST_UNIT_TARGET_FUSEDKERNELHARNESS_H

#include "LoopKernelHarness.h"

namespace nibble {
namespace test {

/// "tensor<2x3xf16>".
inline std::string tensor(std::initializer_list<int64_t> shape,
                          const std::string &element) {
  std::string text = "tensor<";
  for (int64_t extent : shape)
    text += std::to_string(extent) + "x";
  return text + element + ">";
}

/// Results in f16 and codes follow f32 sums of any order: a sum near a border
/// may fall on its other side.
class FusedKernelRun : public LoopKernelRun {
public:
  using LoopKernelRun::LoopKernelRun;

  /// Against the reference: relative Frobenius error of each result of at most
  /// `limit`, codes and scales that differ by one step, few of them.
  void checkNear(double limit, unsigned seed = 1) {
    ASSERT_TRUE(ok()) << error;
    makeRandomInputs(seed);
    auto expected = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(expected));
    outputs = runKernel(inputs, {0, info.extent});
    for (unsigned i = 0; i < outputs.size(); ++i)
      compareNear(i, (*expected)[i], limit);
    checkParts();
  }

  Checks checks; ///< how the inputs look
  Buffers inputs, outputs;
  /// Result `to` is `text` (a function of one op) on result `from` and the last
  /// argument, bit by bit.
  void checkExact(const std::string &text, unsigned from, unsigned to) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
    ASSERT_TRUE(module);
    auto function = *module->getOps<mlir::func::FuncOp>().begin();
    llvm::SmallVector<ref::RefTensor> args;
    for (auto [i, type] : llvm::enumerate(function.getArgumentTypes())) {
      auto tensor = ref::RefTensor::fromStorage(
          tensorOf(type), i ? inputs.back() : outputs[from],
          [&] { return kernel.emitError(); });
      ASSERT_TRUE(mlir::succeeded(tensor));
      args.push_back(*tensor);
    }
    auto want = ref::Interpreter().run(function, args);
    ASSERT_TRUE(mlir::succeeded(want));
    compare(to, outputs[to], (*want)[0], Checks());
  }

  /// Results from 1 on are what `text`, nq.statistics of a function's one
  /// argument, makes of result 0 as it is stored: f32 sums of rows of `width`.
  void checkSums(const std::string &text, int64_t width) {
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
    ASSERT_TRUE(module);
    auto function = *module->getOps<mlir::func::FuncOp>().begin();
    auto x = ref::RefTensor::fromStorage(
        tensorOf(function.getArgumentTypes()[0]), outputs[0],
        [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(x));
    auto want = ref::Interpreter().run(function, {*x});
    ASSERT_TRUE(mlir::succeeded(want));
    std::vector<double> squares = want->back().toFloats();
    for (size_t i = 0; i < want->size(); ++i) {
      auto got =
          ref::RefTensor::fromStorage((*want)[i].getType(), outputs[1 + i],
                                      [&] { return kernel.emitError(); });
      ASSERT_TRUE(mlir::succeeded(got));
      std::vector<double> a = got->toFloats(), b = (*want)[i].toFloats();
      // Rounding errors of a sum are relative to what is summed.
      bool isSum = i + 1 < want->size();
      for (size_t j = 0; j < a.size(); ++j) {
        double size =
            isSum ? std::abs(b[j]) + std::sqrt(width * squares[j]) : b[j];
        EXPECT_LE(std::abs(a[j] - b[j]), 2e-6 * size)
            << "sum " << j << " of result " << 1 + i << ": " << a[j] << ", not "
            << b[j];
      }
    }
  }

protected:
  void makeRandomInputs(unsigned seed) {
    random.seed(seed);
    inputs = makeInputs(checks);
    setScalars();
  }

private:
  /// Scales of quantizers: positive, outliers saturate.
  void setScalars() {
    for (auto [type, bytes] : llvm::zip(kernel.getArgumentTypes(), inputs))
      if (tensorOf(type).getRank() == 0 && !nq::getScaledElement(type))
        bytes = ref::RefTensor::floats(tensorOf(type), {0.01}).toStorage();
  }

  /// Any borders between tasks give the same bytes.
  void checkParts() {
    for (int round = 0; round < 3; ++round) {
      std::vector<int64_t> borders{0, info.extent};
      for (int i = 0; i < 3; ++i)
        borders.push_back(random() % (info.extent + 1));
      std::sort(borders.begin(), borders.end());
      EXPECT_TRUE(runKernel(inputs, borders) == outputs) << "in parts";
    }
  }

protected:
  void compareNear(unsigned number, const ref::RefTensor &want, double limit) {
    auto got = ref::RefTensor::fromStorage(want.getType(), outputs[number],
                                           [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(got));
    if (want.isScaled())
      compareScales(number, *got, want);
    std::vector<double> x = got->toFloats(), y = want.toFloats();
    double error = 0, norm = 0;
    bool finite = true;
    for (size_t i = 0; i < x.size(); ++i) {
      finite &= std::isfinite(x[i]) && std::isfinite(y[i]);
      error += (x[i] - y[i]) * (x[i] - y[i]);
      norm += y[i] * y[i];
    }
    EXPECT_TRUE(finite) << "result " << number;
    EXPECT_TRUE(norm > 0 || x.size() < 32) << "result " << number << " is zero";
    EXPECT_LE(std::sqrt(error), limit * std::sqrt(norm)) << "result " << number;
  }

  void compareScales(unsigned number, const ref::RefTensor &got,
                     const ref::RefTensor &want) {
    std::vector<double> x = got.getBlockScales(), y = want.getBlockScales();
    size_t flips = 0;
    for (size_t i = 0; i < x.size(); ++i)
      flips += x[i] != y[i];
    EXPECT_LE(flips, x.size() / 50) << "scales of result " << number;
  }
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_FUSEDKERNELHARNESS_H
