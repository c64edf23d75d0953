// Streams.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

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

/// The body of a function about a stream.
template <typename Body>
static CUresult withStream(const char *name, CUstream handle, bool valid,
                           Body body) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    auto stream = driver.findStream(*context, handle);
    if (!stream)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    std::string(name) + ": there is no such stream");
    if (!valid)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    std::string(name) + ": a null pointer or unknown flags");
    return body(driver, *stream);
  });
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

CUresult nibble::cuda::cuStreamBeginCapture_v2(CUstream handle,
                                               CUstreamCaptureMode mode) {
  bool known = mode >= 0 && mode <= CU_STREAM_CAPTURE_MODE_RELAXED;
  return withStream(
      "cuStreamBeginCapture", handle, known, [&](Driver &, Stream &stream) {
        if (stream.builtIn && stream.id == 1)
          return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                        "the legacy stream cannot capture");
        if (stream.capture)
          return refuse(CUDA_ERROR_ILLEGAL_STATE, "the stream captures");
        stream.capture = std::make_shared<Capture>();
        stream.capture->mode = mode;
        stream.capture->thread = &thread();
        stream.capture->origin = &stream;
        stream.last.clear();
        return CUDA_SUCCESS;
      });
}

/// True if every node that nothing comes after is what `last` comes after.
static bool isJoined(const Graph &graph, const std::set<Node *> &last) {
  std::set<Node *> leaves;
  for (auto &node : graph.nodes)
    leaves.insert(node.get());
  for (auto &node : graph.nodes)
    for (Node *before : node->after)
      leaves.erase(before);
  return std::includes(last.begin(), last.end(), leaves.begin(), leaves.end());
}

static CUresult checkEnd(const Capture &capture, const Stream &stream) {
  if (capture.origin != &stream)
    return refuse(CUDA_ERROR_STREAM_CAPTURE_UNMATCHED,
                  "the capture began on another stream");
  if (capture.mode != CU_STREAM_CAPTURE_MODE_RELAXED &&
      capture.thread != &thread())
    return refuse(CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
                  "the capture began on another thread");
  return CUDA_SUCCESS;
}

static CUresult endCapture(Driver &driver, Stream &stream, CUgraph *out) {
  auto capture = stream.capture;
  if (!capture)
    return refuse(CUDA_ERROR_ILLEGAL_STATE, "the stream does not capture");
  if (CUresult wrong = checkEnd(*capture, stream))
    return wrong;
  bool joined = isJoined(*capture->graph, stream.last);
  stream.capture = nullptr;
  driver.streams.each([&](Stream &other) {
    if (other.capture == capture)
      other.capture = nullptr;
  });
  if (capture->invalid)
    return refuse(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
                  "the capture failed before");
  if (!joined)
    return refuse(CUDA_ERROR_STREAM_CAPTURE_UNJOINED,
                  "work of another stream was not waited for");
  for (auto &node : capture->graph->nodes) {
    CUgraphNode handle;
    driver.nodes.put(node, &handle);
  }
  driver.graphs.put(capture->graph, out);
  return CUDA_SUCCESS;
}

CUresult nibble::cuda::cuStreamEndCapture(CUstream handle, CUgraph *out) {
  if (out)
    *out = nullptr;
  return withStream("cuStreamEndCapture", handle, out,
                    [&](Driver &driver, Stream &stream) {
                      return endCapture(driver, stream, out);
                    });
}

CUresult
nibble::cuda::cuThreadExchangeStreamCaptureMode(CUstreamCaptureMode *mode) {
  if (!mode || *mode < 0 || *mode > CU_STREAM_CAPTURE_MODE_RELAXED)
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  "cuThreadExchangeStreamCaptureMode: null or unknown");
  std::swap(*mode, thread().mode);
  return CUDA_SUCCESS;
}
