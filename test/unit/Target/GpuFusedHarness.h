// The same kernels on the emulated GPU: compared with the reference and with
// the CPU kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GPUFUSEDHARNESS_H
#define NIBBLE_TEST_UNIT_TARGET_GPUFUSEDHARNESS_H

#include "FusedKernelHarness.h"
#include "GpuCompiled.h"
#include "nibble/Conversion/NqToGpu/Products.h"

namespace nibble {
namespace test {

/// After checkNear, `outputs` are those of the GPU.
class GpuFusedRun : public FusedKernelRun, public GpuCompiled {
public:
  explicit GpuFusedRun(const std::string &text, bool onCpu = false,
                       const gpu::GpuTarget &target = getTestTarget())
      : GpuFusedRun(text, onCpu, [target](auto kernel, auto module) {
          return gpu::lowerProductsToGpu(kernel, module, target);
        }) {}
  /// With another generator than that of products.
  GpuFusedRun(const std::string &text, bool onCpu, Generator generator)
      : FusedKernelRun(text, /*inPlace=*/-1, onCpu) {
    if (graph)
      compileForGpu(kernel, generator);
  }

  void checkNear(double limit, unsigned seed = 1) {
    if (ok())
      FusedKernelRun::checkNear(limit, seed);
    else
      makeRandomInputs(seed);
    if (testing::Test::HasFatalFailure())
      return;
    ASSERT_TRUE(device) << gpuError;
    SCOPED_TRACE("on the GPU");
    auto expected = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(expected));
    outputs = makeGpuOutputs();
    std::string failed = device->run(inputs, outputs);
    if (!failed.empty() && getenv("NIBBLE_SHOW_PTX"))
      fprintf(stderr, "%s\n", ptx.c_str());
    ASSERT_EQ(failed, "");
    for (unsigned i = 0; i < outputs.size(); ++i)
      compareNear(i, (*expected)[i], limit);
    if (testing::Test::HasFailure() && getenv("NIBBLE_SHOW_LOOPS"))
      fprintf(stderr, "%s\n", gpuCode.c_str());
    if (getenv("NIBBLE_SHOW_ALL_PTX"))
      fprintf(stderr, "%s\n", ptx.c_str());
    checkAssemblyIfAsked();
  }

  /// The first operand is the identity of f16; f32 results are equal, bit by
  /// bit, up to one rounding of the scale.
  void checkIdentity(int64_t size) {
    ASSERT_TRUE(device) << gpuError;
    makeRandomInputs(1);
    std::fill(inputs[0].begin(), inputs[0].end(), 0);
    for (int64_t i = 0; i < size; ++i)
      inputs[0][(i * size + i) * 2 + 1] = 0x3c;
    auto expected = runReference(inputs);
    ASSERT_TRUE(mlir::succeeded(expected));
    outputs = makeGpuOutputs();
    ASSERT_EQ(device->run(inputs, outputs), "");
    auto got = ref::RefTensor::fromStorage((*expected)[0].getType(), outputs[0],
                                           [&] { return kernel.emitError(); });
    ASSERT_TRUE(mlir::succeeded(got));
    std::vector<double> x = got->toFloats(), y = (*expected)[0].toFloats();
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_NEAR(x[i], y[i], std::abs(y[i]) * 0x1p-22) << "element " << i;
  }

protected:
  Buffers makeGpuOutputs() { return GpuCompiled::makeGpuOutputs(kernel); }
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GPUFUSEDHARNESS_H
