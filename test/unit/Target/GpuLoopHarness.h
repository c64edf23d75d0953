// The same kernels as loops on the GPU: compared with the reference and with
// the CPU kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GPULOOPHARNESS_H
#define NIBBLE_TEST_UNIT_TARGET_GPULOOPHARNESS_H

#include "GpuCompiled.h"
#include "LoopKernelHarness.h"
#include "nibble/Analysis/InPlace.h"
#include "nibble/Conversion/NqToGpu/Loops.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

namespace nibble {
namespace test {

class GpuLoopRun : public LoopKernelRun, public GpuCompiled {
public:
  explicit GpuLoopRun(const std::string &text, int inPlace = -1)
      : LoopKernelRun(text, inPlace) {
    if (!graph)
      return;
    kernel.walk([&](nq::UpdateOp) { updates = true; });
    if (cpu::isFusedKernel(kernel) || (!ok() && !updates))
      return;
    compileForGpu(kernel, [&](auto function, auto module) {
      auto lowered = gpu::lowerLoopsToGpu(function, module, getTestTarget());
      allowInPlace(module);
      return lowered;
    });
    if (device)
      checkAssemblyIfAsked();
  }

  void call(void *const *args, int64_t low, int64_t high) {
    LoopKernelRun::call(args, low, high);
    Buffers inputs, outputs = makeGpuOutputs();
    unsigned next = 0;
    for (mlir::Type type : kernel.getArgumentTypes()) {
      const char *data = static_cast<const char *>(args[next++]);
      inputs.emplace_back(data, data + sizeOf(type));
    }
    ASSERT_TRUE(device) << gpuError;
    EXPECT_EQ(device->run(inputs, outputs), "");
    for (const std::vector<char> &output : outputs)
      EXPECT_EQ(std::memcmp(output.data(), args[next++], output.size()), 0);
  }

  void check(const Checks &checks, unsigned seed = 1) {
    if (!updates)
      LoopKernelRun::check(checks, seed);
    if ((!ok() && !updates) || cpu::isFusedKernel(kernel))
      return;
    ASSERT_TRUE(device) << gpuError;
    random.seed(seed);
    Buffers inputs = makeInputs(checks);
    auto expected = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(expected));
    Buffers onCpu, outputs = makeGpuOutputs();
    if (ok())
      onCpu = runKernel(inputs, {0, info.extent});
    std::string failed = device->run(inputs, outputs, pairs());
    ASSERT_EQ(failed, "") << gpuCode;
    for (unsigned i = 0; i < outputs.size(); ++i) {
      SCOPED_TRACE("on the GPU");
      compare(i, outputs[i], (*expected)[i], checks);
      if (ok())
        compareWithCpu(i, outputs[i], onCpu[i], checks);
    }
    if (testing::Test::HasFailure() && getenv("NIBBLE_SHOW_LOOPS"))
      fprintf(stderr, "%s\n", gpuCode.c_str());
  }

  /// What the GPU makes of the operands.
  Buffers runOnGpu(const Buffers &inputs) {
    Buffers outputs = makeGpuOutputs();
    if (!device)
      ADD_FAILURE() << gpuError;
    else
      EXPECT_EQ(device->run(inputs, outputs, pairs()), "") << gpuCode;
    return outputs;
  }

private:
  /// Results that have the buffer of an operand.
  std::vector<GpuRun::Pair> pairs() {
    std::vector<GpuRun::Pair> result;
    if (inPlace >= 0)
      result.push_back({unsigned(inPlace), 0});
    for (auto [operand, number] : getUpdatedOperands(kernel))
      result.push_back({operand, number});
    return result;
  }

  static int64_t sizeOf(mlir::Type type) {
    return nq::getStorageRegions(tensorOf(type)).total;
  }

  Buffers makeGpuOutputs() { return GpuCompiled::makeGpuOutputs(kernel); }

  void allowInPlace(mlir::gpu::GPUModuleOp module) {
    if (inPlace < 0)
      return;
    auto name = mlir::LLVM::LLVMDialect::getNoAliasAttrName();
    for (auto function : module.getOps<mlir::gpu::GPUFuncOp>()) {
      function.removeArgAttr(inPlace, name);
      function.removeArgAttr(kernel.getNumArguments(), name);
    }
  }

  /// The same bits where no order of sums is in between.
  void compareWithCpu(unsigned number, const std::vector<char> &got,
                      const std::vector<char> &cpu, const Checks &checks) {
    auto type = tensorOf(kernel.getResultTypes()[number]);
    auto want = ref::RefTensor::fromStorage(type, cpu,
                                            [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(want));
    SCOPED_TRACE("against the CPU");
    compare(number, got, *want, checks);
  }

  bool updates = false; ///< has nq.update, which loops on the CPU have not
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GPULOOPHARNESS_H
