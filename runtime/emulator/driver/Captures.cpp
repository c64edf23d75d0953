// Captures of streams.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Streams.h"

#include <algorithm>

using namespace nibble::cuda;
using namespace nibble::emu;

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
