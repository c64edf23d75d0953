// Time by the clock of the device.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CudaDevice.h"

using namespace nibble::cuda;
using namespace nibble::rt;

namespace {

/// A point of the stream.
class Event {
public:
  explicit Event(CudaContext &context) : context(context) {}
  ~Event() {
    if (event)
      (void)context.driver().cuEventDestroy_v2(event);
  }
  Event(const Event &) = delete;

  Status record() {
    if (!event)
      NIBBLE_RETURN_IF_ERROR(context.check(
          context.driver().cuEventCreate(&event, CU_EVENT_DEFAULT),
          "making an event"));
    return context.check(
        context.driver().cuEventRecord(event, context.stream()),
        "recording an event");
  }
  Status wait() {
    return context.check(context.driver().cuEventSynchronize(event),
                         "waiting for an event");
  }
  Result<double> secondsSince(const Event &start) {
    float milliseconds = 0;
    NIBBLE_RETURN_IF_ERROR(context.check(
        context.driver().cuEventElapsedTime(&milliseconds, start.event, event),
        "reading events"));
    return double(milliseconds) * 1e-3;
  }

private:
  CudaContext &context;
  CUevent event = nullptr;
};

} // namespace

Result<double> CudaDevice::time(const std::function<Status()> &issue) {
  CudaContext::Use use(*context);
  Event start(*context), end(*context);
  NIBBLE_RETURN_IF_ERROR(start.record());
  NIBBLE_RETURN_IF_ERROR(issue());
  NIBBLE_RETURN_IF_ERROR(end.record());
  NIBBLE_RETURN_IF_ERROR(end.wait());
  return end.secondsSince(start);
}
