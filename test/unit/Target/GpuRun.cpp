// Kernels of a gpu.module compiled to PTX and run on the emulated driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuRun.h"

#include <algorithm>

using namespace nibble;
using namespace nibble::test;
using namespace nibble::cuda;

/// The driver, with a context that is current.
static std::shared_ptr<const DriverTable> openDriver(std::string &error) {
  static std::shared_ptr<const DriverTable> driver;
  static std::string failure = [] {
    auto opened = DriverTable::openEmulated();
    if (!opened.ok())
      return opened.status().str();
    driver = *opened;
    static CUcontext context;
    if (driver->cuInit(0) != CUDA_SUCCESS ||
        driver->cuDevicePrimaryCtxRetain(&context, 0) != CUDA_SUCCESS ||
        driver->cuCtxSetCurrent(context) != CUDA_SUCCESS)
      return std::string("the emulated driver gives no context");
    return std::string();
  }();
  error = failure;
  return driver;
}

GpuRun::GpuRun(const std::string &ptx, const gpu::GpuKernel &kernel)
    : kernel(kernel) {
  driver = openDriver(error);
  if (!error.empty())
    return;
  error =
      driver
          ->check(driver->cuModuleLoadData(&module, ptx.c_str()), "loading PTX")
          .str();
  if (module)
    error.clear();
}

GpuRun::~GpuRun() {
  if (module)
    driver->cuModuleUnload(module);
}

static std::string textOf(const rt::Status &status) {
  return status.ok() ? "" : status.str();
}

std::string GpuRun::allocate(Memory &memory, const void *data, size_t size) {
  memory.size = size;
  std::string failed = textOf(driver->check(
      driver->cuMemAlloc_v2(&memory.address, size + kGuard), "allocation"));
  if (failed.empty())
    failed = textOf(driver->check(
        driver->cuMemsetD8_v2(memory.address, uint8_t(kPoison), size + kGuard),
        "poison"));
  if (failed.empty() && data && size)
    failed = textOf(driver->check(
        driver->cuMemcpyHtoD_v2(memory.address, data, size), "copy in"));
  return failed;
}

bool GpuRun::isPoison(const Buffer &bytes, size_t from) {
  return std::all_of(bytes.begin() + from, bytes.end(),
                     [](char byte) { return byte == kPoison; });
}

std::string GpuRun::launchAll(const std::vector<Memory> &buffers) {
  for (const gpu::KernelLaunch &launch : kernel.launches) {
    CUfunction function = nullptr;
    if (driver->cuModuleGetFunction(&function, module, launch.symbol.c_str()))
      return "no kernel " + launch.symbol;
    std::vector<CUdeviceptr> values;
    std::vector<void *> params;
    for (const gpu::KernelArg &arg : launch.args)
      values.push_back(buffers[arg.value].address + arg.offset);
    for (CUdeviceptr &value : values)
      params.push_back(&value);
    std::string failed = textOf(driver->check(
        driver->cuLaunchKernel(
            function, unsigned(launch.grid[0]), unsigned(launch.grid[1]),
            unsigned(launch.grid[2]), unsigned(launch.block[0]),
            unsigned(launch.block[1]), unsigned(launch.block[2]),
            unsigned(launch.sharedBytes), nullptr, params.data(), nullptr),
        launch.symbol));
    if (failed.empty())
      failed = textOf(driver->check(driver->cuCtxSynchronize(), launch.symbol));
    if (!failed.empty())
      return failed;
  }
  return "";
}

std::string GpuRun::run(const std::vector<Buffer> &inputs,
                        std::vector<Buffer> &outputs, int inPlace) {
  std::vector<Memory> buffers(inputs.size() + outputs.size() + 1);
  std::string failed;
  for (size_t i = 0; i < inputs.size() && failed.empty(); ++i)
    failed = allocate(buffers[i], inputs[i].data(), inputs[i].size());
  for (size_t i = 0; i < outputs.size() && failed.empty(); ++i)
    if (i > 0 || inPlace < 0)
      failed = allocate(buffers[inputs.size() + i], nullptr, outputs[i].size());
  if (inPlace >= 0)
    buffers[inputs.size()] = buffers[size_t(inPlace)];
  if (failed.empty())
    failed = allocate(buffers.back(), nullptr, size_t(kernel.workspaceBytes));
  if (failed.empty())
    failed = launchAll(buffers);
  for (size_t i = 0; i < buffers.size() && failed.empty(); ++i) {
    Buffer bytes(buffers[i].size + kGuard);
    failed = textOf(driver->check(
        driver->cuMemcpyDtoH_v2(bytes.data(), buffers[i].address, bytes.size()),
        "copy out"));
    if (!isPoison(bytes, buffers[i].size))
      failed = "buffer " + std::to_string(i) + " was written behind its end";
    bytes.resize(buffers[i].size);
    if (i >= inputs.size() && i + 1 < buffers.size())
      outputs[i - inputs.size()] = bytes;
    else if (i < inputs.size() && int(i) != inPlace && bytes != inputs[i])
      failed = "operand " + std::to_string(i) + " was written";
  }
  for (size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].address && (i != inputs.size() || inPlace < 0))
      driver->cuMemFree_v2(buffers[i].address);
  return failed;
}
