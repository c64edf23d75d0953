// Events.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult refuseEvent(const char *name) {
  return refuse(CUDA_ERROR_INVALID_HANDLE,
                std::string(name) + ": there is no such event");
}

CUresult nibble::cuda::cuEventCreate(CUevent *out, unsigned flags) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    if (flags & CU_EVENT_INTERPROCESS)
      return refuse(CUDA_ERROR_NOT_SUPPORTED,
                    "cuEventCreate: events of several processes");
    if (!out || flags & ~3u)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "cuEventCreate: a null pointer or unknown flags");
    auto event = std::make_shared<Event>();
    event->context = context;
    event->flags = flags;
    driver.events.put(std::move(event), out);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuEventDestroy_v2(CUevent handle) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    return driver.events.erase(handle) ? CUDA_SUCCESS
                                       : refuseEvent("cuEventDestroy");
  });
}

CUresult nibble::cuda::cuEventRecordWithFlags(CUevent handle, CUstream on,
                                              unsigned flags) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    auto event = driver.events.find(handle);
    auto stream = driver.findStream(*context, on);
    if (!event || !stream || event->context.lock() != context)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    "cuEventRecord: there is no such event or stream here");
    if (flags)
      return refuse(flags > 1 ? CUDA_ERROR_INVALID_VALUE
                              : CUDA_ERROR_NOT_SUPPORTED,
                    "cuEventRecordWithFlags: external events of graphs");
    event->capture = stream->capture;
    event->last = stream->last;
    if (stream->capture)
      return CUDA_SUCCESS;
    event->recorded = true;
    event->time = std::chrono::steady_clock::now();
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuEventRecord(CUevent handle, CUstream stream) {
  return cuEventRecordWithFlags(handle, stream, 0);
}

static CUresult waitFor(const char *name, CUevent handle) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    auto event = driver.events.find(handle);
    if (!event)
      return refuseEvent(name);
    if (!event->capture)
      return CUDA_SUCCESS; // what it marks was done when it was issued
    return refuse(CUDA_ERROR_CAPTURED_EVENT,
                  std::string(name) + ": the event belongs to a capture");
  });
}

CUresult nibble::cuda::cuEventSynchronize(CUevent handle) {
  return waitFor("cuEventSynchronize", handle);
}

CUresult nibble::cuda::cuEventQuery(CUevent handle) {
  return waitFor("cuEventQuery", handle);
}

CUresult nibble::cuda::cuEventElapsedTime(float *milliseconds, CUevent start,
                                          CUevent end) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    auto first = driver.events.find(start), last = driver.events.find(end);
    if (!milliseconds)
      return refuse(CUDA_ERROR_INVALID_VALUE, "cuEventElapsedTime: null");
    if (!first || !last || !first->recorded || !last->recorded ||
        (first->flags | last->flags) & CU_EVENT_DISABLE_TIMING)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    "cuEventElapsedTime: an event that was not recorded or "
                    "keeps no time");
    // Of the host: a device's time is not emulated.
    *milliseconds =
        std::chrono::duration<float, std::milli>(last->time - first->time)
            .count();
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuEventElapsedTime_v2(float *milliseconds, CUevent start,
                                             CUevent end) {
  return cuEventElapsedTime(milliseconds, start, end);
}

/// A stream that captures, or that joins a capture, comes after an event.
static CUresult joinCapture(Driver &driver, Stream &stream,
                            const Event &event) {
  if (event.capture && event.capture == stream.capture) {
    stream.last.insert(event.last.begin(), event.last.end());
    return CUDA_SUCCESS;
  }
  bool legacy = stream.builtIn && stream.id == 1;
  if (event.capture && !stream.capture && !event.capture->invalid && !legacy) {
    stream.capture = event.capture;
    stream.last = event.last;
    return CUDA_SUCCESS;
  }
  for (Capture *capture : {event.capture.get(), stream.capture.get()})
    if (capture)
      driver.invalidate(*capture);
  return refuse(CUDA_ERROR_STREAM_CAPTURE_ISOLATION,
                "cuStreamWaitEvent: a capture would depend on work outside");
}

CUresult nibble::cuda::cuStreamWaitEvent(CUstream on, CUevent handle,
                                         unsigned flags) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    auto event = driver.events.find(handle);
    auto stream = driver.findStream(*context, on);
    if (!event || !stream)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    "cuStreamWaitEvent: there is no such event or stream");
    if (flags)
      return refuse(flags > 1 ? CUDA_ERROR_INVALID_VALUE
                              : CUDA_ERROR_NOT_SUPPORTED,
                    "cuStreamWaitEvent: external events of graphs");
    if (event->capture || stream->capture)
      return joinCapture(driver, *stream, *event);
    return CUDA_SUCCESS;
  });
}
