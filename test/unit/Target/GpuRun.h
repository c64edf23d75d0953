// Kernels of a gpu.module compiled to PTX and run on the emulated driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_GPURUN_H
#define NIBBLE_TEST_UNIT_TARGET_GPURUN_H

#include "nibble/Conversion/NqToGpu/GpuKernel.h"

#include "device/cuda/DriverTable.h"

#include <string>
#include <vector>

namespace nibble {
namespace test {

/// PTX that is loaded, and buffers of its launches. One device per process.
class GpuRun {
public:
  using Buffer = std::vector<char>;
  /// What stands in memory that nobody has written, and behind every buffer.
  static constexpr char kPoison = char(0xa5);
  static constexpr size_t kGuard = 256;

  GpuRun(const std::string &ptx, const gpu::GpuKernel &kernel);
  GpuRun(const GpuRun &) = delete;
  ~GpuRun();

  /// A result in the buffer of an operand.
  using Pair = std::pair<unsigned, unsigned>; ///< operand, result
  /// Runs all launches on operands and results of these sizes. "" or what
  /// failed: the driver, bytes behind a buffer that were written, or operands.
  std::string run(const std::vector<Buffer> &inputs,
                  std::vector<Buffer> &outputs,
                  const std::vector<Pair> &inPlace = {});

  std::string error; ///< of loading

private:
  struct Memory {
    cuda::CUdeviceptr address = 0;
    size_t size = 0;
  };
  std::string allocate(Memory &memory, const void *data, size_t size);
  std::string encode(const gpu::TensorMap &map, cuda::CUdeviceptr address,
                     cuda::CUtensorMap &encoded);
  std::string launch(const gpu::KernelLaunch &launch,
                     const std::vector<Memory> &buffers);
  std::string launchAll(const std::vector<Memory> &buffers);
  std::string readBack(const Memory &memory, Buffer &bytes);

  gpu::GpuKernel kernel;
  std::shared_ptr<const cuda::DriverTable> driver;
  cuda::CUmodule module = nullptr;
};

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_GPURUN_H
