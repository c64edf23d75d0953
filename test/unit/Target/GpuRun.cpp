// Kernels of a gpu.module compiled to PTX and run on the emulated driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuRun.h"

#include <algorithm>

using namespace nibble;
using namespace nibble::test;
using namespace nibble::cuda;

/// The driver, with a context that is current. A fault ends a context.
static std::shared_ptr<const DriverTable> openDriver(std::string &error) {
  static std::shared_ptr<const DriverTable> driver;
  static CUcontext context;
  if (!driver) {
    auto opened = DriverTable::openEmulated();
    if (!opened.ok()) {
      error = opened.status().str();
      return nullptr;
    }
    driver = *opened;
#ifdef NIBBLE_TEST_CHIP
    if (auto status = driver->selectMachine(NIBBLE_TEST_CHIP); !status.ok())
      error = status.str();
#endif
  }
  if (context && driver->cuCtxSynchronize() != CUDA_SUCCESS) {
    driver->cuDevicePrimaryCtxReset_v2(0);
    driver->cuDevicePrimaryCtxRelease_v2(0);
    driver->cuCtxSetCurrent(nullptr);
    context = nullptr;
  }
  if (!context && (driver->cuInit(0) != CUDA_SUCCESS ||
                   driver->cuDevicePrimaryCtxRetain(&context, 0) ||
                   driver->cuCtxSetCurrent(context)))
    error = "the emulated driver gives no context";
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

std::string GpuRun::readBack(const Memory &memory, Buffer &bytes) {
  bytes.resize(memory.size + kGuard);
  std::string failed = textOf(driver->check(
      driver->cuMemcpyDtoH_v2(bytes.data(), memory.address, bytes.size()),
      "copy out"));
  bool whole = std::all_of(bytes.begin() + ptrdiff_t(memory.size), bytes.end(),
                           [](char byte) { return byte == kPoison; });
  bytes.resize(memory.size);
  return failed.empty() && !whole ? "a buffer was written behind its end"
                                  : failed;
}

/// What the runtime passes for a map.
std::string GpuRun::encode(const gpu::TensorMap &map, CUdeviceptr address,
                           CUtensorMap &encoded) {
  std::vector<uint64_t> sizes(map.sizes.begin(), map.sizes.end()),
      strides(map.strides.begin(), map.strides.end());
  std::vector<uint32_t> box(map.box.begin(), map.box.end()),
      ones(box.size(), 1);
  return textOf(driver->check(
      driver->cuTensorMapEncodeTiled(
          &encoded, CUtensorMapDataType(map.type), uint32_t(sizes.size()),
          reinterpret_cast<void *>(address), sizes.data(), strides.data(),
          box.data(), ones.data(), CUtensorMapInterleave(0),
          CUtensorMapSwizzle(map.swizzle),
          CUtensorMapL2promotion(map.l2Promotion), CUtensorMapFloatOOBfill(0)),
      "tensor map"));
}

std::string GpuRun::launch(const gpu::KernelLaunch &launch,
                           const std::vector<Memory> &buffers) {
  CUfunction function = nullptr;
  if (driver->cuModuleGetFunction(&function, module, launch.symbol.c_str()))
    return "no kernel " + launch.symbol;
  std::vector<CUdeviceptr> values(launch.args.size());
  std::vector<CUtensorMap> maps(launch.args.size());
  std::vector<void *> params;
  std::string failed;
  for (size_t i = 0; i < launch.args.size() && failed.empty(); ++i) {
    const gpu::KernelArg &arg = launch.args[i];
    values[i] = buffers[arg.value].address + CUdeviceptr(arg.offset);
    bool isMap = arg.kind == gpu::KernelArg::Map;
    if (isMap)
      failed = encode(arg.map, values[i], maps[i]);
    params.push_back(isMap ? static_cast<void *>(&maps[i]) : &values[i]);
  }
  if (!failed.empty())
    return failed;
  if (launch.sharedBytes)
    driver->cuFuncSetAttribute(function,
                               CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                               int(launch.sharedBytes));
  CUlaunchAttribute attribute = {};
  attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
  attribute.value.clusterDim = {unsigned(launch.cluster[0]), 1, 1};
  CUlaunchConfig config = {};
  config.gridDimX = unsigned(launch.grid[0]);
  config.gridDimY = unsigned(launch.grid[1]);
  config.gridDimZ = unsigned(launch.grid[2]);
  config.blockDimX = unsigned(launch.block[0]);
  config.blockDimY = unsigned(launch.block[1]);
  config.blockDimZ = unsigned(launch.block[2]);
  config.sharedMemBytes = unsigned(launch.sharedBytes);
  config.attrs = &attribute;
  config.numAttrs = launch.cluster[0] > 1;
  failed = textOf(driver->check(
      driver->cuLaunchKernelEx(&config, function, params.data(), nullptr),
      launch.symbol));
  return failed.empty()
             ? textOf(driver->check(driver->cuCtxSynchronize(), launch.symbol))
             : failed;
}

std::string GpuRun::launchAll(const std::vector<Memory> &buffers) {
  for (const gpu::KernelLaunch &one : kernel.launches)
    if (std::string failed = launch(one, buffers); !failed.empty())
      return failed;
  return "";
}

std::string GpuRun::run(const std::vector<Buffer> &inputs,
                        std::vector<Buffer> &outputs,
                        const std::vector<Pair> &inPlace) {
  size_t count = inputs.size();
  std::vector<Memory> buffers(count + outputs.size() + 2);
  size_t workspace = buffers.size() - 2;
  const Buffer zeros(size_t(kernel.counterBytes), 0);
  std::vector<bool> owned(buffers.size(), true), written(count, false);
  for (auto [operand, result] : inPlace) {
    owned[count + result] = false;
    written[operand] = true;
  }
  std::string failed;
  for (size_t i = 0; i < buffers.size() && failed.empty(); ++i) {
    if (i < count)
      failed = allocate(buffers[i], inputs[i].data(), inputs[i].size());
    else if (i > workspace)
      failed = allocate(buffers[i], zeros.data(), zeros.size());
    else if (i == workspace)
      failed = allocate(buffers[i], nullptr, size_t(kernel.workspaceBytes));
    else if (owned[i])
      failed = allocate(buffers[i], nullptr, outputs[i - count].size());
  }
  for (auto [operand, result] : inPlace)
    buffers[count + result] = buffers[operand];
  if (failed.empty())
    failed = launchAll(buffers);
  for (size_t i = 0; i < buffers.size() && failed.empty(); ++i) {
    Buffer bytes;
    failed = readBack(buffers[i], bytes);
    if (i >= count && i < workspace)
      outputs[i - count] = bytes;
    else if (i > workspace && bytes != zeros)
      failed = "counters are no zeros";
    else if (i < count && !written[i] && bytes != inputs[i])
      failed = "operand " + std::to_string(i) + " was written";
  }
  for (size_t i = 0; i < buffers.size(); ++i)
    if (buffers[i].address && owned[i])
      driver->cuMemFree_v2(buffers[i].address);
  return failed;
}
