// Runs a tensor-level kernel compiled to loops against the reference
// interpreter, on random data.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_LOOPKERNELHARNESS_H
#define NIBBLE_TEST_UNIT_TARGET_LOOPKERNELHARNESS_H

#include "KernelHarness.h"
#include "nibble/Conversion/NqToCpu/FusedKernel.h"
#include "nibble/Conversion/NqToCpu/KernelToLoops.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Reference/Interpreter.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Verifier.h"

#include "gtest/gtest.h"

#include <chrono>
#include <cmath>
#include <random>

namespace nibble {
namespace test {

/// How random data looks and how results are compared.
struct Checks {
  /// Allowed error: relative * |want| + absolute. Integers and scaled results
  /// are compared bit by bit.
  double relative = 2e-6, absolute = 2e-6;
  /// Integer arguments are uniform in [low, high].
  int64_t low = -5, high = 20;
  double scale = 1; ///< of normally distributed floats
  /// Scales of scaled arguments are 2^x, x uniform in between.
  double lowScale = -2, highScale = 2;
  bool special = false; ///< some infinities and NaNs
};

class LoopKernelRun {
public:
  /// `inPlace` >= 0: the result takes over the buffer of that operand.
  /// Not `onCpu`: only the graph is there.
  explicit LoopKernelRun(const std::string &text, int inPlace = -1,
                         bool onCpu = true)
      : context(makeContext()), inPlace(inPlace) {
    mlir::DialectRegistry registry;
    registry.insert<nq::NqDialect, mlir::linalg::LinalgDialect,
                    mlir::tensor::TensorDialect>();
    context->appendDialectRegistry(registry);
    context->loadAllAvailableDialects();
    graph = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
    if (!graph) {
      error = "parse error";
      return;
    }
    kernel = *graph->getOps<mlir::func::FuncOp>().begin();
    if (onCpu)
      compile();
  }

  bool ok() const { return entry != nullptr; }
  mlir::func::FuncOp getKernel() { return kernel; }

  /// One call without scratch.
  void call(void *const *args, int64_t low, int64_t high) {
    entry(args, low, high, nullptr);
  }

  /// Random arguments, the reference, the kernel in one piece and in pieces.
  void check(const Checks &checks, unsigned seed = 1) {
    ASSERT_TRUE(ok()) << error;
    random.seed(seed);
    std::vector<std::vector<char>> inputs = makeInputs(checks);
    auto expected = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(expected));
    auto whole = runKernel(inputs, {0, info.extent});
    for (unsigned i = 0; i < whole.size(); ++i)
      compare(i, whole[i], (*expected)[i], checks);
    for (int round = 0; round < 3; ++round) {
      std::vector<int64_t> borders{0, info.extent};
      for (int i = 0; i < 3; ++i)
        borders.push_back(random() % (info.extent + 1));
      std::sort(borders.begin(), borders.end());
      auto parts = runKernel(inputs, borders);
      for (unsigned i = 0; i < parts.size(); ++i)
        EXPECT_TRUE(parts[i] == whole[i]) << "result " << i << " in parts";
    }
  }

  /// Milliseconds of the fastest of `runs` on one thread.
  double time(int runs = 5) {
    auto inputs = makeInputs(Checks());
    double best = 1e30;
    for (int i = 0; i < runs; ++i) {
      auto outputs = makeOutputs();
      runKernelOn(inputs, outputs, {0, info.extent});
      auto begin = std::chrono::steady_clock::now();
      runKernelOn(inputs, outputs, {0, info.extent});
      std::chrono::duration<double, std::milli> spent =
          std::chrono::steady_clock::now() - begin;
      best = std::min(best, spent.count());
    }
    return best;
  }

  cpu::KernelInfo info;
  std::string error, loops, assembly;

protected:
  using Buffers = std::vector<std::vector<char>>;
  static constexpr size_t kGuard = 256;

  void compile() {
    mlir::OwningOpRef<mlir::ModuleOp> code =
        mlir::ModuleOp::create(graph->getLoc());
    mlir::ScopedDiagnosticHandler handler(context.get(),
                                          [&](mlir::Diagnostic &diagnostic) {
                                            error += diagnostic.str() + "\n";
                                            return mlir::success();
                                          });
    if (mlir::failed(lower(*code)))
      return;
    if (inPlace >= 0) {
      auto function = *code->getOps<mlir::func::FuncOp>().begin();
      auto unit = mlir::UnitAttr::get(context.get());
      function.setArgAttr(inPlace, cpu::kMayAliasAttr, unit);
      function.setArgAttr(kernel.getNumArguments(), cpu::kMayAliasAttr, unit);
    }
    llvm::raw_string_ostream(loops) << *code;
    if (mlir::failed(mlir::verify(*code)))
      return;
    cpu::CpuTargetOptions options;
    options.asmText = &assembly;
    auto bytes = cpu::compileToSharedObject(*code, options);
    if (!bytes) {
      error += llvm::toString(bytes.takeError());
      return;
    }
    object = std::make_unique<LoadedCode>(*bytes);
    entry = object->kernel(kernel.getName().str().c_str());
    if (!entry)
      error += "no such symbol";
  }

  mlir::LogicalResult lower(mlir::ModuleOp code) {
    if (cpu::isFusedKernel(kernel)) {
      auto fused = cpu::lowerFusedKernel(kernel, code);
      if (mlir::succeeded(fused))
        info = fused->info;
      return fused;
    }
    auto lowered = cpu::lowerKernelToLoops(kernel, code);
    if (mlir::succeeded(lowered))
      info = *lowered;
    return lowered;
  }

  static mlir::RankedTensorType tensorOf(mlir::Type type) {
    return mlir::cast<mlir::RankedTensorType>(type);
  }

  double normal(const Checks &checks) {
    double x = std::normal_distribution<double>()(random) * checks.scale;
    unsigned kind = random() % 64;
    if (kind == 0)
      return x * 50;
    if (kind == 1)
      return x * 1e-3;
    if (kind == 2)
      return random() % 2 ? 0.0 : -0.0;
    if (checks.special && kind == 3)
      return random() % 2 ? INFINITY : -INFINITY;
    if (checks.special && kind == 4)
      return NAN;
    return x;
  }

  std::vector<char> makePlain(mlir::RankedTensorType type,
                              const Checks &checks) {
    int64_t count = type.getNumElements();
    if (type.getElementType().isIntOrIndex()) {
      std::vector<int64_t> values(count);
      bool isBool = type.getElementType().isInteger(1);
      for (int64_t &value : values)
        value = isBool ? random() % 2
                       : checks.low +
                             int64_t(random() % (checks.high - checks.low + 1));
      return ref::RefTensor::ints(type, values).toStorage();
    }
    std::vector<double> values(count);
    for (double &value : values)
      value = normal(checks);
    return ref::RefTensor::floats(type, values).toStorage();
  }

  /// Finite codes of E4M3 as numbers of a wider format.
  void makeWideCodes(mlir::Type element, char *bytes, int64_t count) {
    auto narrow = rt::StorageFormat::E4M3FN;
    for (int64_t i = 0; i < count; ++i) {
      uint8_t code = random();
      if ((code & 0x7f) == 0x7f)
        code &= 0x3f;
      auto wide = ref::getFormat(element);
      rt::storeCode(wide, bytes, i, rt::encode(wide, rt::decode(narrow, code)));
    }
  }

  /// Random finite codes; scales around 1.
  std::vector<char> makeScaled(mlir::RankedTensorType type,
                               const Checks &checks) {
    nq::StorageRegions regions = nq::getStorageRegions(type);
    nq::ScaledType scaled = nq::getScaledElement(type);
    std::vector<char> bytes(regions.total, 0);
    bool fp8 = scaled.getStorageBits() == 8 &&
               mlir::isa<mlir::FloatType>(scaled.getStorage());
    for (int64_t i = 0; i < regions.codeBytes; ++i) {
      bytes[i] = random();
      if (fp8 && (bytes[i] & 0x7f) >= 0x7c)
        bytes[i] &= 0x3f;
    }
    if (scaled.getStorageBits() == 16)
      makeWideCodes(scaled.getStorage(), bytes.data(), regions.codeBytes / 2);
    auto fill = [&](mlir::Type element, int64_t offset, int64_t count) {
      auto format = ref::getFormat(element);
      for (int64_t i = 0; i < count; ++i) {
        double value = std::exp2(std::uniform_real_distribution<>(
            checks.lowScale, checks.highScale)(random));
        rt::storeCode(format, bytes.data() + offset, i,
                      rt::encode(format, value));
      }
    };
    int64_t bits = scaled.getScale().getIntOrFloatBitWidth();
    fill(scaled.getScale(), regions.scales, regions.scaleBytes * 8 / bits);
    if (scaled.getGlobal())
      fill(scaled.getGlobal(), regions.global, 1);
    if (scaled.getZeroPoint())
      for (int64_t i = regions.zeroPoints; i < regions.total; ++i)
        bytes[i] = random() % 5;
    return bytes;
  }

  Buffers makeInputs(const Checks &checks) {
    Buffers inputs;
    for (mlir::Type type : kernel.getArgumentTypes())
      inputs.push_back(nq::getScaledElement(type)
                           ? makeScaled(tensorOf(type), checks)
                           : makePlain(tensorOf(type), checks));
    return inputs;
  }

  mlir::FailureOr<ref::Interpreter::Results>
  runReference(const Buffers &inputs) {
    llvm::SmallVector<ref::RefTensor> args;
    for (auto [type, bytes] : llvm::zip(kernel.getArgumentTypes(), inputs)) {
      auto tensor = ref::RefTensor::fromStorage(
          tensorOf(type), bytes, [&] { return kernel.emitError(); });
      if (mlir::failed(tensor))
        return mlir::failure();
      args.push_back(*tensor);
    }
    return ref::Interpreter().run(kernel, args);
  }

  Buffers makeOutputs() {
    Buffers outputs;
    for (mlir::Type type : kernel.getResultTypes())
      outputs.emplace_back(nq::getStorageRegions(tensorOf(type)).total + kGuard,
                           char(0xa5));
    return outputs;
  }

  void runKernelOn(const Buffers &inputs, Buffers &outputs,
                   const std::vector<int64_t> &borders) {
    std::vector<void *> args;
    // Exactly sized, aligned copies, guarded by the allocator in a sanitizer
    // build.
    for (const auto &input : inputs)
      args.push_back(const_cast<char *>(input.data()));
    for (auto &output : outputs)
      args.push_back(output.data());
    if (inPlace >= 0) {
      std::copy(inputs[inPlace].begin(), inputs[inPlace].end(),
                outputs[0].begin());
      args[inPlace] = outputs[0].data();
    }
    std::vector<char> scratch(info.scratchBytes + kGuard + 64, char(0x5a));
    char *aligned = scratch.data() + (64 - size_t(scratch.data()) % 64) % 64;
    for (size_t i = borders.size() - 1; i-- > 0;)
      entry(args.data(), borders[i], borders[i + 1], aligned);
    for (size_t i = 0; i < kGuard; ++i)
      ASSERT_EQ(aligned[info.scratchBytes + i], char(0x5a)) << "scratch";
  }

  Buffers runKernel(const Buffers &inputs,
                    const std::vector<int64_t> &borders) {
    Buffers outputs = makeOutputs();
    runKernelOn(inputs, outputs, borders);
    for (auto &output : outputs) {
      for (size_t i = output.size() - kGuard; i < output.size(); ++i)
        EXPECT_EQ(output[i], char(0xa5)) << "behind a result";
      output.resize(output.size() - kGuard);
    }
    return outputs;
  }

  static bool isContent(const nq::StorageRegions &regions,
                        mlir::RankedTensorType type, int64_t byte) {
    nq::ScaledType scaled = nq::getScaledElement(type);
    auto within = [&](int64_t begin, int64_t size) {
      return byte >= begin && byte < begin + size;
    };
    return within(regions.codes, regions.codeBytes) ||
           within(regions.scales, regions.scaleBytes) ||
           (scaled.getGlobal() &&
            within(regions.global,
                   scaled.getGlobal().getIntOrFloatBitWidth() / 8)) ||
           (scaled.getZeroPoint() &&
            within(regions.zeroPoints, regions.total - regions.zeroPoints));
  }

  void compare(unsigned number, const std::vector<char> &got,
               const ref::RefTensor &want, const Checks &checks) {
    mlir::RankedTensorType type = want.getType();
    if (want.isScaled() || want.isInteger()) {
      std::vector<char> bytes = want.toStorage();
      // Gaps between regions have no contents.
      nq::StorageRegions regions = nq::getStorageRegions(type);
      int bad = 0;
      for (size_t i = 0; i < bytes.size() && bad < 5; ++i) {
        bool gap = want.isScaled() && !isContent(regions, type, i);
        if (!gap && bytes[i] != got[i]) {
          ++bad;
          ADD_FAILURE() << "result " << number << " byte " << i << ": got "
                        << int(uint8_t(got[i])) << ", want "
                        << int(uint8_t(bytes[i]));
        }
      }
      return;
    }
    auto decoded = ref::RefTensor::fromStorage(
        type, got, [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(decoded));
    std::vector<double> values = decoded->toFloats(), wanted = want.toFloats();
    int bad = 0;
    for (size_t i = 0; i < values.size() && bad < 5; ++i) {
      double x = values[i], y = wanted[i];
      if (x == y || (std::isnan(x) && std::isnan(y)))
        continue;
      if (std::abs(x - y) <= checks.relative * std::abs(y) + checks.absolute)
        continue;
      ++bad;
      ADD_FAILURE() << "result " << number << " element " << i << ": got " << x
                    << ", want " << y;
    }
  }

  std::unique_ptr<mlir::MLIRContext> context;
  mlir::OwningOpRef<mlir::ModuleOp> graph;
  mlir::func::FuncOp kernel;
  std::unique_ptr<LoadedCode> object;
  Kernel entry = nullptr;
  std::mt19937_64 random;
  int inPlace;
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_LOOPKERNELHARNESS_H
