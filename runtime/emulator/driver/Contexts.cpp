// Contexts.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult nullPointer(const char *function) {
  return refuse(CUDA_ERROR_INVALID_VALUE,
                std::string(function) + ": a null pointer");
}

static CUcontext handleOf(const std::shared_ptr<Context> &context) {
  return reinterpret_cast<CUcontext>(context.get());
}

CUresult nibble::cuda::cuCtxCreate_v2(CUcontext *out, unsigned flags,
                                      CUdevice device) {
  return withDriver([&](Driver &driver) {
    if (!out)
      return nullPointer("cuCtxCreate");
    if (device != 0)
      return refuse(CUDA_ERROR_INVALID_DEVICE, "there is only device 0");
    if (flags & ~unsigned(CU_CTX_FLAGS_MASK))
      return refuse(CUDA_ERROR_INVALID_VALUE, "cuCtxCreate: unknown flags");
    if (CUresult lost = checkLost(driver))
      return lost;
    auto context = std::make_shared<Context>();
    context->id = driver.ids++;
    context->flags = flags;
    thread().stack.push_back(context);
    driver.contexts.put(std::move(context), out);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuCtxCreate_v3(CUcontext *out,
                                      CUexecAffinityParam *params, int count,
                                      unsigned flags, CUdevice device) {
  if (params || count)
    return refuse(CUDA_ERROR_UNSUPPORTED_EXEC_AFFINITY,
                  "cuCtxCreate: affinity is not emulated; pass null for "
                  "paramsArray");
  return cuCtxCreate_v2(out, flags, device);
}

CUresult nibble::cuda::cuCtxCreate_v4(CUcontext *out, CUctxCreateParams *params,
                                      unsigned flags, CUdevice device) {
  if (params)
    return refuse(CUDA_ERROR_NOT_SUPPORTED,
                  "cuCtxCreate: affinity and graphics interoperation are not "
                  "emulated; pass null for ctxCreateParams");
  return cuCtxCreate_v2(out, flags, device);
}

CUresult nibble::cuda::cuCtxDestroy_v2(CUcontext handle) {
  Driver &driver = Driver::get();
  std::lock_guard work(driver.work);
  return withDriver([&](Driver &) {
    auto context = driver.contexts.find(handle);
    if (!context || context->primary)
      return refuse(CUDA_ERROR_INVALID_CONTEXT,
                    "cuCtxDestroy: no context of cuCtxCreate");
    driver.clear(*context);
    context->alive = false;
    auto &stack = thread().stack;
    if (!stack.empty() && stack.back() == context)
      stack.pop_back();
    driver.contexts.erase(handle);
    return CUDA_SUCCESS;
  });
}

/// Finds a context for a stack; null is one that is not there.
static CUresult findContext(Driver &driver, CUcontext handle,
                            std::shared_ptr<Context> &context) {
  context = driver.contexts.find(handle);
  if (handle && !context)
    return refuse(CUDA_ERROR_INVALID_CONTEXT, "there is no such context");
  return CUDA_SUCCESS;
}

CUresult nibble::cuda::cuCtxSetCurrent(CUcontext handle) {
  return withDriver([&](Driver &driver) {
    std::shared_ptr<Context> context;
    if (CUresult wrong = findContext(driver, handle, context))
      return wrong;
    auto &stack = thread().stack;
    if (!stack.empty())
      stack.pop_back();
    if (context)
      stack.push_back(context);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuCtxGetCurrent(CUcontext *out) {
  return withDriver([&](Driver &) {
    if (!out)
      return nullPointer("cuCtxGetCurrent");
    auto &stack = thread().stack;
    *out = stack.empty() ? nullptr : handleOf(stack.back());
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuCtxPushCurrent_v2(CUcontext handle) {
  return withDriver([&](Driver &driver) {
    std::shared_ptr<Context> context;
    if (CUresult wrong = findContext(driver, handle, context))
      return wrong;
    if (!context)
      return refuse(CUDA_ERROR_INVALID_CONTEXT, "cuCtxPushCurrent: null");
    thread().stack.push_back(context);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuCtxPopCurrent_v2(CUcontext *out) {
  return withDriver([&](Driver &) {
    auto &stack = thread().stack;
    if (stack.empty())
      return refuse(CUDA_ERROR_INVALID_CONTEXT,
                    "cuCtxPopCurrent: no context is current");
    if (out)
      *out = handleOf(stack.back());
    stack.pop_back();
    return CUDA_SUCCESS;
  });
}

/// The body of a function that reads something of the current context.
template <typename Body>
static CUresult ask(const char *function, const void *out, Body body) {
  return withContext([&](Driver &, std::shared_ptr<Context> &context) {
    if (!out)
      return nullPointer(function);
    body(*context);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuCtxGetDevice(CUdevice *device) {
  return ask("cuCtxGetDevice", device, [&](Context &) { *device = 0; });
}
CUresult nibble::cuda::cuCtxGetFlags(unsigned *flags) {
  return ask("cuCtxGetFlags", flags,
             [&](Context &context) { *flags = context.flags; });
}
CUresult nibble::cuda::cuCtxGetStreamPriorityRange(int *least, int *greatest) {
  return ask("cuCtxGetStreamPriorityRange", "", [&](Context &) {
    if (least)
      *least = 0;
    if (greatest)
      *greatest = -5;
  });
}
CUresult nibble::cuda::cuCtxGetCacheConfig(CUfunc_cache *config) {
  return ask("cuCtxGetCacheConfig", config, [&](Context &context) {
    *config = CUfunc_cache(context.cacheConfig);
  });
}
CUresult nibble::cuda::cuCtxSetCacheConfig(CUfunc_cache config) {
  if (unsigned(config) > CU_FUNC_CACHE_PREFER_EQUAL)
    return refuse(CUDA_ERROR_INVALID_VALUE, "cuCtxSetCacheConfig: unknown");
  return ask("cuCtxSetCacheConfig", "",
             [&](Context &context) { context.cacheConfig = config; });
}

CUresult nibble::cuda::cuCtxGetId(CUcontext handle, unsigned long long *id) {
  return withDriver([&](Driver &driver) {
    if (!id)
      return nullPointer("cuCtxGetId");
    auto context = driver.contexts.find(handle);
    if (!context && (handle || thread().stack.empty()))
      return refuse(CUDA_ERROR_INVALID_CONTEXT, "there is no such context");
    *id = (context ? context : thread().stack.back())->id;
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuCtxGetApiVersion(CUcontext handle, unsigned *version) {
  return withDriver([&](Driver &driver) {
    if (!version)
      return nullPointer("cuCtxGetApiVersion");
    if (handle && !driver.contexts.find(handle))
      return refuse(CUDA_ERROR_INVALID_CONTEXT, "there is no such context");
    *version = 3020;
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuCtxSynchronize() {
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    {
      std::lock_guard lock(driver.state);
      if (driver.breaksCapture())
        return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                      "cuCtxSynchronize: a stream captures");
    }
    std::lock_guard work(driver.work); // another thread may be at work
    return context->sticky.load();
  });
}
