// Time by the clock of the device.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CudaDevice.h"

#include <chrono>

using namespace nibble::cuda;
using namespace nibble::rt;

namespace {

using Clock = std::chrono::steady_clock;

/// Keeps a stream busy with a function of the host until it is let go. Shared
/// with the stream, which may run the function later than the owner lives.
class Gate {
public:
  void close() {
    open.store(false);
    deadline = Clock::now() + std::chrono::milliseconds(50);
  }
  void letGo() { open.store(true); }
  /// CUhostFn; takes over the shared pointer behind `data`.
  static void pass(void *data) {
    std::unique_ptr<std::shared_ptr<Gate>> gate(
        static_cast<std::shared_ptr<Gate> *>(data));
    while (!(*gate)->open.load() && Clock::now() < (*gate)->deadline) {
    }
  }

private:
  std::atomic<bool> open{true};
  Clock::time_point deadline;
};

/// Events of the context's stream.
class CudaTimeline final : public Timeline {
public:
  explicit CudaTimeline(std::shared_ptr<CudaContext> context)
      : context(std::move(context)) {}
  ~CudaTimeline() override;

  Status create(size_t points);
  Status mark(size_t i) override;
  Status wait(size_t i) override;
  Result<bool> reached(size_t i) override;
  Status read(std::vector<double> &seconds) override;
  Status hold() override;
  void release() override { gate->letGo(); }

private:
  std::shared_ptr<CudaContext> context;
  std::vector<CUevent> events;
  std::shared_ptr<Gate> gate = std::make_shared<Gate>();
};

} // namespace

CudaTimeline::~CudaTimeline() {
  release();
  CudaContext::Use use(*context);
  for (CUevent event : events)
    (void)context->driver().cuEventDestroy_v2(event);
}

Status CudaTimeline::create(size_t points) {
  CudaContext::Use use(*context);
  for (size_t i = 0; i < points; ++i) {
    CUevent event = nullptr;
    NIBBLE_RETURN_IF_ERROR(context->check(
        context->driver().cuEventCreate(&event, CU_EVENT_DEFAULT),
        "making an event"));
    events.push_back(event);
  }
  return Status();
}

Status CudaTimeline::mark(size_t i) {
  CudaContext::Use use(*context);
  return context->check(
      context->driver().cuEventRecord(events[i], context->stream()),
      "recording an event");
}

// Waiting must not keep other threads from the stream.
Status CudaTimeline::wait(size_t i) {
  CudaContext::Current current(*context);
  return context->check(context->driver().cuEventSynchronize(events[i]),
                        "waiting for the device");
}

Result<bool> CudaTimeline::reached(size_t i) {
  CudaContext::Current current(*context);
  CUresult result = context->driver().cuEventQuery(events[i]);
  if (result == CUDA_ERROR_NOT_READY)
    return false;
  NIBBLE_RETURN_IF_ERROR(context->check(result, "asking the device"));
  return true;
}

Status CudaTimeline::read(std::vector<double> &seconds) {
  CudaContext::Use use(*context);
  for (size_t i = 0; i < seconds.size(); ++i) {
    NIBBLE_RETURN_IF_ERROR(wait(i));
    float milliseconds = 0;
    NIBBLE_RETURN_IF_ERROR(
        context->check(context->driver().cuEventElapsedTime(
                           &milliseconds, events[0], events[i]),
                       "reading events"));
    seconds[i] = double(milliseconds) * 1e-3;
  }
  return Status();
}

/// The emulated driver does work where it is issued: there is nothing to hold,
/// and a function that waits would wait for ever.
Status CudaTimeline::hold() {
  if (context->driver().isEmulated())
    return Status();
  CudaContext::Use use(*context);
  gate->close();
  auto *shared = new std::shared_ptr<Gate>(gate);
  Status held = context->check(
      context->driver().cuLaunchHostFunc(context->stream(), Gate::pass, shared),
      "holding the stream");
  if (!held.ok())
    delete shared;
  return held;
}

Result<std::unique_ptr<Timeline>> CudaDevice::createTimeline(size_t points) {
  auto timeline = std::make_unique<CudaTimeline>(context);
  NIBBLE_RETURN_IF_ERROR(timeline->create(points));
  return std::unique_ptr<Timeline>(std::move(timeline));
}

Result<double> CudaDevice::time(const std::function<Status()> &issue) {
  CudaContext::Use use(*context);
  CudaTimeline timeline(context);
  std::vector<double> seconds(2);
  NIBBLE_RETURN_IF_ERROR(timeline.create(2));
  NIBBLE_RETURN_IF_ERROR(timeline.mark(0));
  NIBBLE_RETURN_IF_ERROR(issue());
  NIBBLE_RETURN_IF_ERROR(timeline.mark(1));
  NIBBLE_RETURN_IF_ERROR(timeline.read(seconds));
  return seconds[1];
}
