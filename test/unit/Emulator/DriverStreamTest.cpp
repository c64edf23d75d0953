// Streams, events and captures, and what they refuse.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverHarness.h"

#include <thread>

using namespace nibble::cuda;

namespace {

class DriverStreamTest : public DriverTest {
protected:
  void SetUp() override {
    DriverTest::SetUp();
    if (HasFatalFailure())
      return;
    p = allocate(64);
    for (CUstream *s : {&stream, &other})
      ASSERT_EQ(d().cuStreamCreate(s, CU_STREAM_NON_BLOCKING), CUDA_SUCCESS);
    ASSERT_EQ(d().cuEventCreate(&event, 0), CUDA_SUCCESS);
  }
  void begin(CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED) {
    ASSERT_EQ(d().cuStreamBeginCapture_v2(stream, mode), CUDA_SUCCESS);
  }
  CUresult end() { return d().cuStreamEndCapture(stream, &graph); }
  CUresult add(CUstream on) { return launch("add", p, 1, 1, 0, on); }
  size_t nodes() {
    size_t count = 0;
    EXPECT_EQ(d().cuGraphGetNodes(graph, nullptr, &count), CUDA_SUCCESS);
    return count;
  }

  CUdeviceptr p = 0;
  CUstream stream = nullptr, other = nullptr;
  CUevent event = nullptr;
  CUgraph graph = nullptr;
};

TEST_F(DriverStreamTest, RefusesUnknownStreamsAndFlags) {
  CUstream made;
  EXPECT_EQ(d().cuStreamCreate(&made, 99), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuStreamCreate(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuEventCreate(&event, 99), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(d().cuEventCreate(nullptr, 0), CUDA_ERROR_INVALID_VALUE);
  if (testsRealDriver())
    return; // a real driver follows stale handles
  EXPECT_EQ(d().cuStreamDestroy_v2(other), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamDestroy_v2(other), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(add(other), CUDA_ERROR_INVALID_HANDLE);
  EXPECT_EQ(d().cuEventDestroy_v2(event), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventRecord(event, stream), CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(DriverStreamTest, BuiltInStreamsWork) {
  for (CUstream s : {CUstream(nullptr), streamLegacy(), streamPerThread()}) {
    EXPECT_EQ(add(s), CUDA_SUCCESS);
    EXPECT_EQ(d().cuStreamSynchronize(s), CUDA_SUCCESS);
  }
  EXPECT_EQ(read(p), 3u);
}

TEST_F(DriverStreamTest, PrioritiesAreClamped) {
  int least, greatest, priority = 99;
  CUstream made;
  EXPECT_EQ(d().cuCtxGetStreamPriorityRange(&least, &greatest), CUDA_SUCCESS);
  EXPECT_LE(greatest, least);
  EXPECT_EQ(d().cuStreamCreateWithPriority(&made, 1, greatest - 10),
            CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamGetPriority(made, &priority), CUDA_SUCCESS);
  EXPECT_EQ(priority, greatest);
}

TEST_F(DriverStreamTest, EventsMeasureWhatWasRecorded) {
  float time = -1;
  CUevent last, silent;
  ASSERT_EQ(d().cuEventCreate(&last, 0), CUDA_SUCCESS);
  ASSERT_EQ(d().cuEventCreate(&silent, CU_EVENT_DISABLE_TIMING), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventQuery(event), CUDA_SUCCESS) << "never recorded";
  EXPECT_EQ(d().cuEventElapsedTime(&time, event, last),
            CUDA_ERROR_INVALID_HANDLE);
  for (CUevent e : {event, last, silent}) {
    EXPECT_EQ(d().cuEventRecord(e, stream), CUDA_SUCCESS);
    EXPECT_EQ(add(stream), CUDA_SUCCESS);
  }
  EXPECT_EQ(d().cuStreamWaitEvent(other, last, 0), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventSynchronize(last), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventElapsedTime(&time, event, last), CUDA_SUCCESS);
  EXPECT_GE(time, 0.0f);
  EXPECT_EQ(d().cuStreamSynchronize(stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventElapsedTime(&time, event, silent),
            CUDA_ERROR_INVALID_HANDLE);
}

TEST_F(DriverStreamTest, CapturesInsteadOfRunning) {
  begin();
  EXPECT_EQ(add(stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemsetD32Async(p + 8, 7, 2, stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemcpyDtoDAsync_v2(p + 16, p + 8, 8, stream), CUDA_SUCCESS);
  CUstreamCaptureStatus status;
  EXPECT_EQ(d().cuStreamIsCapturing(stream, &status), CUDA_SUCCESS);
  EXPECT_EQ(status, CU_STREAM_CAPTURE_STATUS_ACTIVE);
  EXPECT_EQ(end(), CUDA_SUCCESS);
  EXPECT_EQ(nodes(), 3u);
  EXPECT_EQ(read(p), 0u) << "nothing has run";
  CUgraphExec exec;
  ASSERT_EQ(d().cuGraphInstantiateWithFlags(&exec, graph, 0), CUDA_SUCCESS);
  EXPECT_EQ(d().cuGraphDestroy(graph), CUDA_SUCCESS);
  for (uint32_t run = 1; run < 4; ++run) {
    EXPECT_EQ(d().cuGraphLaunch(exec, stream), CUDA_SUCCESS);
    EXPECT_EQ(d().cuStreamSynchronize(stream), CUDA_SUCCESS);
    EXPECT_EQ(read(p), run);
    EXPECT_EQ(read(p + 20), 7u);
  }
  EXPECT_EQ(d().cuGraphExecDestroy(exec), CUDA_SUCCESS);
}

TEST_F(DriverStreamTest, RefusesCapturesInTheWrongState) {
  EXPECT_EQ(end(), CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(
      d().cuStreamBeginCapture_v2(nullptr, CU_STREAM_CAPTURE_MODE_RELAXED),
      CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(d().cuStreamBeginCapture_v2(stream, CUstreamCaptureMode(9)),
            CUDA_ERROR_INVALID_VALUE);
  begin();
  EXPECT_EQ(d().cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED),
            CUDA_ERROR_ILLEGAL_STATE);
  EXPECT_EQ(end(), CUDA_SUCCESS);
  EXPECT_EQ(nodes(), 0u);
}

TEST_F(DriverStreamTest, WaitingForACaptureInvalidatesIt) {
  begin();
  EXPECT_EQ(add(stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamSynchronize(stream),
            CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(add(stream), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  EXPECT_EQ(graph, nullptr);
  EXPECT_EQ(add(stream), CUDA_SUCCESS) << "the stream works again";
}

TEST_F(DriverStreamTest, GlobalCapturesForbidAllocation) {
  CUdeviceptr q;
  begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
  EXPECT_EQ(d().cuMemAlloc_v2(&q, 64), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
  EXPECT_EQ(d().cuCtxSynchronize(), CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
  EXPECT_EQ(end(), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
  begin(CU_STREAM_CAPTURE_MODE_RELAXED);
  EXPECT_EQ(d().cuMemAlloc_v2(&q, 64), CUDA_SUCCESS);
  EXPECT_EQ(end(), CUDA_SUCCESS);
  begin(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
  std::thread([&] {
    EXPECT_EQ(d().cuCtxSetCurrent(context), CUDA_SUCCESS);
    EXPECT_EQ(d().cuMemAlloc_v2(&q, 64), CUDA_SUCCESS) << "another thread";
    EXPECT_EQ(d().cuStreamEndCapture(stream, &graph),
              CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD);
  }).join();
  EXPECT_EQ(d().cuStreamEndCapture(stream, &graph) == CUDA_SUCCESS ||
                testsRealDriver(),
            true);
}

TEST_F(DriverStreamTest, GlobalCapturesAllowCopiesThatWait) {
  uint64_t q = 1;
  begin(CU_STREAM_CAPTURE_MODE_GLOBAL);
  EXPECT_EQ(d().cuMemcpyDtoH_v2(&q, p, 8), CUDA_SUCCESS);
  EXPECT_EQ(q, 0u);
  EXPECT_EQ(d().cuMemcpyHtoD_v2(p, &q, 8), CUDA_SUCCESS);
  EXPECT_EQ(d().cuMemsetD32_v2(p, 7, 1), CUDA_SUCCESS);
  EXPECT_EQ(end(), CUDA_SUCCESS);
  EXPECT_EQ(nodes(), 0u) << "they are done, not captured";
  EXPECT_EQ(read(p), 7u);
}

TEST_F(DriverStreamTest, LegacyWorkDoesNotMixWithCapturesOfBlockingStreams) {
  CUstream blocking;
  ASSERT_EQ(d().cuStreamCreate(&blocking, CU_STREAM_DEFAULT), CUDA_SUCCESS);
  ASSERT_EQ(
      d().cuStreamBeginCapture_v2(blocking, CU_STREAM_CAPTURE_MODE_RELAXED),
      CUDA_SUCCESS);
  EXPECT_EQ(add(nullptr), CUDA_ERROR_STREAM_CAPTURE_IMPLICIT);
  EXPECT_EQ(d().cuStreamEndCapture(blocking, &graph),
            CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
}

TEST_F(DriverStreamTest, EventsJoinStreamsToACapture) {
  begin();
  EXPECT_EQ(add(stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventRecord(event, stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamWaitEvent(other, event, 0), CUDA_SUCCESS);
  EXPECT_EQ(add(other), CUDA_SUCCESS);
  CUevent back;
  ASSERT_EQ(d().cuEventCreate(&back, 0), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventRecord(back, other), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamWaitEvent(stream, back, 0), CUDA_SUCCESS);
  EXPECT_EQ(end(), CUDA_SUCCESS);
  EXPECT_EQ(nodes(), 2u);
}

TEST_F(DriverStreamTest, UnjoinedWorkIsRefused) {
  begin();
  EXPECT_EQ(add(stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventRecord(event, stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamWaitEvent(other, event, 0), CUDA_SUCCESS);
  EXPECT_EQ(add(other), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamEndCapture(other, &graph),
            CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
}

TEST_F(DriverStreamTest, UnjoinedEndIsRefused) {
  begin();
  EXPECT_EQ(add(stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventRecord(event, stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuStreamWaitEvent(other, event, 0), CUDA_SUCCESS);
  EXPECT_EQ(add(other), CUDA_SUCCESS);
  EXPECT_EQ(end(), CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
}

TEST_F(DriverStreamTest, CapturedEventsCannotBeWaitedFor) {
  begin();
  EXPECT_EQ(add(stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventRecord(event, stream), CUDA_SUCCESS);
  EXPECT_EQ(d().cuEventSynchronize(event), CUDA_ERROR_CAPTURED_EVENT);
}

TEST_F(DriverStreamTest, ThreadsMayUseStreamsAtTheSameTime) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      EXPECT_EQ(d().cuCtxSetCurrent(context), CUDA_SUCCESS);
      CUstream mine;
      EXPECT_EQ(d().cuStreamCreate(&mine, CU_STREAM_NON_BLOCKING),
                CUDA_SUCCESS);
      for (int i = 0; i < 50; ++i) {
        CUdeviceptr q = 0;
        EXPECT_EQ(d().cuMemAlloc_v2(&q, 256), CUDA_SUCCESS);
        EXPECT_EQ(launch("store", q, 1, 32, 0, mine), CUDA_SUCCESS);
        EXPECT_EQ(add(mine), CUDA_SUCCESS);
        EXPECT_EQ(d().cuStreamSynchronize(mine), CUDA_SUCCESS);
        EXPECT_EQ(d().cuMemFree_v2(q), CUDA_SUCCESS);
      }
    });
  for (std::thread &thread : threads)
    thread.join();
  EXPECT_EQ(read(p), 200u);
}

} // namespace
