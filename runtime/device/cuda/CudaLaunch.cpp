// Launches of the device behind a CUDA driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CudaDevice.h"

using namespace nibble::cuda;
using namespace nibble::rt;

namespace {

/// The parameters of one launch, where the driver reads them from.
class Params {
public:
  Params(CudaContext &context, const LaunchParams &launch)
      : context(context), launch(launch), gpu(*launch.info->gpu),
        addresses(gpu.args.size()), maps(gpu.args.size()) {}

  Status fill(const CudaKernel &kernel);
  void **data() { return pointers.data(); }

private:
  Status checkSizes(const CudaKernel &kernel) const;
  Status encode(const GpuArgInfo &arg, CUtensorMap &map) const;
  CUdeviceptr addressOf(const GpuArgInfo &arg) const {
    return CUdeviceptr(launch.args[arg.arg]) + arg.offset;
  }

  CudaContext &context;
  const LaunchParams &launch;
  const GpuLaunchInfo &gpu;
  std::vector<CUdeviceptr> addresses;
  std::vector<CUtensorMap> maps;
  std::vector<void *> pointers;
};

} // namespace

/// The driver reads as many bytes as the kernel declares.
Status Params::checkSizes(const CudaKernel &kernel) const {
  size_t wanted = kernel.paramBytes.size(), found = gpu.args.size();
  if (wanted != found)
    return error(Code::Malformed,
                 "kernel '%s' has %zu parameters, the engine passes %zu",
                 kernel.symbol.c_str(), wanted, found);
  for (size_t i = 0; i < found; ++i)
    if (kernel.paramBytes[i] != gpu.args[i].size())
      return error(Code::Malformed,
                   "parameter %zu of kernel '%s' has %llu bytes, the engine "
                   "passes %llu",
                   i, kernel.symbol.c_str(),
                   (unsigned long long)kernel.paramBytes[i],
                   (unsigned long long)gpu.args[i].size());
  return Status();
}

Status Params::encode(const GpuArgInfo &arg, CUtensorMap &map) const {
  const TensorMapInfo &info = *arg.map;
  return context.check(
      context.driver().cuTensorMapEncodeTiled(
          &map, CUtensorMapDataType(info.type), uint32_t(info.sizes.size()),
          reinterpret_cast<void *>(addressOf(arg)), info.sizes.data(),
          info.strides.data(), info.box.data(), info.elementStrides.data(),
          CUtensorMapInterleave(info.interleave),
          CUtensorMapSwizzle(info.swizzle),
          CUtensorMapL2promotion(info.l2Promotion),
          CUtensorMapFloatOOBfill(info.fill)),
      "encoding the tensor map of argument " + std::to_string(arg.arg));
}

Status Params::fill(const CudaKernel &kernel) {
  NIBBLE_RETURN_IF_ERROR(checkSizes(kernel));
  for (size_t i = 0; i < gpu.args.size(); ++i) {
    const GpuArgInfo &arg = gpu.args[i];
    if (arg.kind == GpuArgKind::Bytes) {
      pointers.push_back(const_cast<uint8_t *>(arg.bytes.data()));
    } else if (arg.kind == GpuArgKind::Pointer) {
      addresses[i] = addressOf(arg);
      pointers.push_back(&addresses[i]);
    } else {
      NIBBLE_RETURN_IF_ERROR(encode(arg, maps[i]));
      pointers.push_back(&maps[i]);
    }
  }
  return Status();
}

/// More than the default must be allowed before a launch.
static Status allow(CudaContext &context, CudaKernel &kernel,
                    const GpuLaunchInfo &gpu) {
  const DriverTable &driver = context.driver();
  if (gpu.sharedBytes > kernel.shared) {
    NIBBLE_RETURN_IF_ERROR(context.check(
        driver.cuFuncSetAttribute(
            kernel.function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
            int(gpu.sharedBytes)),
        "allowing kernel '" + kernel.symbol + "' " +
            std::to_string(gpu.sharedBytes) + " bytes of shared memory"));
    kernel.shared = gpu.sharedBytes;
  }
  if (gpu.cluster.count() > 8 && !kernel.nonPortableCluster) {
    NIBBLE_RETURN_IF_ERROR(context.check(
        driver.cuFuncSetAttribute(
            kernel.function,
            CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED, 1),
        "allowing kernel '" + kernel.symbol + "' clusters of more than 8"));
    kernel.nonPortableCluster = true;
  }
  return Status();
}

static unsigned addAttributes(const GpuLaunchInfo &gpu,
                              CUlaunchAttribute *attributes) {
  unsigned count = 0;
  if (gpu.cluster.count() > 1) {
    CUlaunchAttribute &attribute = attributes[count++];
    attribute.id = CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION;
    attribute.value.clusterDim = {gpu.cluster.x, gpu.cluster.y, gpu.cluster.z};
  }
  if (gpu.overlap) {
    CUlaunchAttribute &attribute = attributes[count++];
    attribute.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
    attribute.value.programmaticStreamSerializationAllowed = 1;
  }
  return count;
}

Status nibble::cuda::launchCuda(CudaContext &context,
                                const LaunchParams &launch) {
  auto &kernel = *static_cast<CudaKernel *>(launch.kernel);
  const GpuLaunchInfo &gpu = *launch.info->gpu;
  NIBBLE_RETURN_IF_ERROR(allow(context, kernel, gpu));
  Params params(context, launch);
  NIBBLE_RETURN_IF_ERROR(params.fill(kernel));
  CUlaunchAttribute attributes[2] = {};
  CUlaunchConfig config = {};
  config.gridDimX = gpu.grid.x;
  config.gridDimY = gpu.grid.y;
  config.gridDimZ = gpu.grid.z;
  config.blockDimX = gpu.block.x;
  config.blockDimY = gpu.block.y;
  config.blockDimZ = gpu.block.z;
  config.sharedMemBytes = gpu.sharedBytes;
  config.hStream = context.stream();
  config.attrs = attributes;
  config.numAttrs = addAttributes(gpu, attributes);
  return context.check(context.driver().cuLaunchKernelEx(
                           &config, kernel.function, params.data(), nullptr),
                       "launching kernel '" + kernel.symbol + "'");
}
