// Functions and their attributes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

std::shared_ptr<Function> nibble::emu::findFunction(Driver &driver,
                                                    CUfunction handle) {
  if (auto function = driver.functions.find(handle))
    return function;
  auto kernel = driver.kernels.find(handle);
  return kernel ? kernel->function : nullptr;
}

int nibble::emu::registersOf(const Code &code) {
  if (!code.maxThreads && !code.requiredThreads[0])
    return 32;
  uint32_t threads = code.maxThreads ? code.maxThreads : 1;
  for (int i = 0; i < 3 && code.requiredThreads[0]; ++i)
    threads = (i ? threads : 1) * std::max(code.requiredThreads[i], 1u);
  threads = (std::max(threads, 1u) + 127) / 128 * 128; // warps come in fours
  return std::min(255, int(kRegistersPerSm / threads / 8 * 8));
}

/// The body of a function about a function. Needs no context for kernels of
/// libraries.
template <typename Body>
static CUresult withFunction(const char *name, CUfunction handle, bool valid,
                             Body body) {
  return withDriver([&](Driver &driver) {
    return onFunction(driver, name, handle, valid, "a null pointer", body);
  });
}

static int maxThreadsOf(const Code &code) {
  uint64_t required = code.requiredThreads[0];
  for (int i = 1; i < 3; ++i)
    required *= std::max(code.requiredThreads[i], 1u);
  uint64_t most = required ? required : code.maxThreads;
  return int(most ? std::min<uint64_t>(most, kMaxThreads) : kMaxThreads);
}

static bool read(const Driver &driver, const Function &f,
                 CUfunction_attribute attribute, int &value) {
  const Target &target = *driver.options.target;
  auto owner = f.owner.lock();
  switch (attribute) {
  case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
    value = maxThreadsOf(f.code());
    return true;
  case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES:
    value = int(f.code().sharedEnd);
    return true;
  case CU_FUNC_ATTRIBUTE_CONST_SIZE_BYTES:
  case CU_FUNC_ATTRIBUTE_CACHE_MODE_CA:
    value = 0;
    return true;
  case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
    value = int(f.code().localBytes);
    return true;
  case CU_FUNC_ATTRIBUTE_NUM_REGS:
    value = registersOf(f.code());
    return true;
  case CU_FUNC_ATTRIBUTE_PTX_VERSION: // of the target: 90
  case CU_FUNC_ATTRIBUTE_BINARY_VERSION:
    value = target.major * 10 + target.minor;
    return true;
  case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
    value = int(f.maxDynamicShared);
    return true;
  case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
    value = f.carveout;
    return true;
  case CU_FUNC_ATTRIBUTE_CLUSTER_SIZE_MUST_BE_SET:
    value = 0;
    return true;
  case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH:
  case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_HEIGHT:
  case CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_DEPTH:
    value =
        int(f.code().requiredCluster[attribute -
                                     CU_FUNC_ATTRIBUTE_REQUIRED_CLUSTER_WIDTH]);
    return true;
  case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    value = f.nonPortableCluster;
    return true;
  case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    value = f.schedulingPolicy;
    return true;
  }
  return false;
}

CUresult nibble::cuda::cuFuncGetAttribute(int *value,
                                          CUfunction_attribute attribute,
                                          CUfunction handle) {
  return withFunction("cuFuncGetAttribute", handle, value,
                      [&](Driver &driver, Function &function) {
                        if (read(driver, function, attribute, *value))
                          return CUDA_SUCCESS;
                        return refuse(CUDA_ERROR_INVALID_VALUE,
                                      "unknown function attribute " +
                                          std::to_string(attribute));
                      });
}

static CUresult setShared(Function &function, int value) {
  int most = int(kMaxShared) - int(function.code().sharedEnd);
  if (value < 0 || value > most)
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  "kernel " + function.name + ": " + std::to_string(value) +
                      " bytes of dynamic shared memory; wanted 0 to " +
                      std::to_string(most));
  function.maxDynamicShared = uint32_t(value);
  return CUDA_SUCCESS;
}

static bool writeSimple(Function &function, CUfunction_attribute attribute,
                        int value) {
  switch (attribute) {
  case CU_FUNC_ATTRIBUTE_PREFERRED_SHARED_MEMORY_CARVEOUT:
    function.carveout = value;
    return value >= -1 && value <= 100;
  case CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED:
    function.nonPortableCluster = value;
    return value == 0 || value == 1;
  case CU_FUNC_ATTRIBUTE_CLUSTER_SCHEDULING_POLICY_PREFERENCE:
    function.schedulingPolicy = value;
    return value >= 0 && value <= CU_CLUSTER_SCHEDULING_POLICY_LOAD_BALANCING;
  default:
    return false;
  }
}

CUresult nibble::cuda::cuFuncSetAttribute(CUfunction handle,
                                          CUfunction_attribute attribute,
                                          int value) {
  return withFunction(
      "cuFuncSetAttribute", handle, true, [&](Driver &, Function &function) {
        if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)
          return setShared(function, value);
        Function changed = function;
        if (!writeSimple(changed, attribute, value))
          return refuse(CUDA_ERROR_INVALID_VALUE,
                        "function attribute " + std::to_string(attribute) +
                            " cannot be set to " + std::to_string(value));
        function = changed;
        return CUDA_SUCCESS;
      });
}

CUresult nibble::cuda::cuFuncGetName(const char **name, CUfunction handle) {
  return withFunction("cuFuncGetName", handle, name,
                      [&](Driver &, Function &function) {
                        *name = function.name.c_str();
                        return CUDA_SUCCESS;
                      });
}

CUresult nibble::cuda::cuFuncGetModule(CUmodule *out, CUfunction handle) {
  return withFunction(
      "cuFuncGetModule", handle, out, [&](Driver &, Function &function) {
        *out = reinterpret_cast<CUmodule>(function.owner.lock().get());
        return CUDA_SUCCESS;
      });
}

CUresult nibble::cuda::cuFuncGetParamInfo(CUfunction handle, size_t index,
                                          size_t *offset, size_t *size) {
  return withFunction(
      "cuFuncGetParamInfo", handle, offset, [&](Driver &, Function &function) {
        const auto &params = function.code().params;
        if (index >= params.size())
          return refuse(CUDA_ERROR_INVALID_VALUE,
                        "kernel " + function.name + " has " +
                            std::to_string(params.size()) + " parameters");
        *offset = params[index].offset;
        if (size)
          *size = params[index].size;
        return CUDA_SUCCESS;
      });
}

CUresult nibble::cuda::cuFuncSetCacheConfig(CUfunction handle,
                                            CUfunc_cache config) {
  return withFunction(
      "cuFuncSetCacheConfig", handle, true, [&](Driver &, Function &) {
        if (unsigned(config) > CU_FUNC_CACHE_PREFER_EQUAL)
          return refuse(CUDA_ERROR_INVALID_VALUE, "unknown cache config");
        return CUDA_SUCCESS; // a preference that changes no result
      });
}

CUresult nibble::cuda::cuFuncIsLoaded(CUfunctionLoadingState *loaded,
                                      CUfunction handle) {
  return withFunction("cuFuncIsLoaded", handle, loaded,
                      [&](Driver &, Function &) {
                        *loaded = CU_FUNCTION_LOADING_STATE_LOADED;
                        return CUDA_SUCCESS;
                      });
}

CUresult nibble::cuda::cuFuncLoad(CUfunction handle) {
  return withFunction("cuFuncLoad", handle, true,
                      [&](Driver &, Function &) { return CUDA_SUCCESS; });
}
