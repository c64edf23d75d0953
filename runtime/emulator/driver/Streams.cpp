// Streams.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Streams.h"
#include "device/cuda/DriverAbi.h"

#include <algorithm>

using namespace nibble::cuda;
using namespace nibble::emu;

static constexpr int kGreatestPriority = -5;

CUresult nibble::cuda::cuStreamCreateWithPriority(CUstream *out, unsigned flags,
                                                  int priority) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    if (!out || flags & ~unsigned(CU_STREAM_NON_BLOCKING))
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "cuStreamCreate: a null pointer or unknown flags");
    auto stream = std::make_shared<Stream>();
    stream->context = context;
    stream->id = 2 + driver.ids++; // behind the built-in ones
    stream->flags = flags;
    stream->priority = std::min(std::max(priority, kGreatestPriority), 0);
    driver.streams.put(std::move(stream), out);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuStreamCreate(CUstream *out, unsigned flags) {
  return cuStreamCreateWithPriority(out, flags, 0);
}

CUresult nibble::cuda::cuStreamDestroy_v2(CUstream handle) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    auto stream = driver.streams.find(handle);
    if (!stream)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    "cuStreamDestroy: there is no such stream");
    if (stream->capture)
      driver.invalidate(*stream->capture);
    driver.streams.erase(handle);
    return CUDA_SUCCESS;
  });
}

/// What waits for a stream, which a capture forbids.
static CUresult waitFor(const char *name, CUstream handle) {
  CUresult wrong =
      withStream(name, handle, true, [&](Driver &driver, Stream &stream) {
        if (!stream.capture)
          return CUDA_SUCCESS;
        driver.invalidate(*stream.capture);
        return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                      std::string(name) + ": the stream captures");
      });
  if (wrong)
    return wrong;
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    std::lock_guard work(driver.work); // another thread may be at work
    return context->sticky.load();
  });
}

CUresult nibble::cuda::cuStreamSynchronize(CUstream handle) {
  return waitFor("cuStreamSynchronize", handle);
}

CUresult nibble::cuda::cuStreamQuery(CUstream handle) {
  return waitFor("cuStreamQuery", handle);
}

CUresult nibble::cuda::cuStreamGetCtx(CUstream handle, CUcontext *out) {
  return withStream(
      "cuStreamGetCtx", handle, out, [&](Driver &, Stream &stream) {
        *out = reinterpret_cast<CUcontext>(stream.context.lock().get());
        return CUDA_SUCCESS;
      });
}

template <typename T>
static CUresult store(const char *name, CUstream handle, T *out,
                      T (*get)(const Stream &)) {
  return withStream(name, handle, out, [&](Driver &, Stream &stream) {
    *out = get(stream);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuStreamGetFlags(CUstream handle, unsigned *flags) {
  return store<unsigned>("cuStreamGetFlags", handle, flags,
                         [](const Stream &s) { return s.flags; });
}
CUresult nibble::cuda::cuStreamGetPriority(CUstream handle, int *priority) {
  return store<int>("cuStreamGetPriority", handle, priority,
                    [](const Stream &s) { return s.priority; });
}
CUresult nibble::cuda::cuStreamGetDevice(CUstream handle, CUdevice *device) {
  return store<CUdevice>("cuStreamGetDevice", handle, device,
                         [](const Stream &) { return 0; });
}
CUresult nibble::cuda::cuStreamGetId(CUstream handle, unsigned long long *id) {
  return store<unsigned long long>(
      "cuStreamGetId", handle, id,
      [](const Stream &s) { return (unsigned long long)s.id; });
}
CUresult nibble::cuda::cuStreamIsCapturing(CUstream handle,
                                           CUstreamCaptureStatus *status) {
  return store<CUstreamCaptureStatus>(
      "cuStreamIsCapturing", handle, status, [](const Stream &s) {
        return !s.capture           ? CU_STREAM_CAPTURE_STATUS_NONE
               : s.capture->invalid ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                    : CU_STREAM_CAPTURE_STATUS_ACTIVE;
      });
}
