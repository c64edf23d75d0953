// Devices by name, and what a device does unless it knows better.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/device.h"

#include <chrono>
#include <cstring>
#include <vector>

using namespace nibble::rt;

Result<std::shared_ptr<Device>>
nibble::rt::createDevice(const std::string &name,
                         const DeviceOptions &options) {
  if (name == "cpu")
    return createCpuDevice(options);
  if (name == "null")
    return createNullDevice();
  if (name == "cuda" || name == "emu")
    return createCudaDevice(options, name == "emu");
  return error(Code::InvalidArgument,
               "unknown device '%s': wanted cpu, null, cuda or emu",
               name.c_str());
}

Result<std::unique_ptr<Recording>>
Device::record(const std::function<Status()> &) {
  return error(Code::Unsupported, "the %s device records nothing", name());
}

Status Device::fill(void *to, uint8_t byte, uint64_t bytes) {
  if (hostAccessible()) {
    if (bytes)
      std::memset(to, byte, bytes);
    return Status();
  }
  std::vector<uint8_t> source(bytes, byte);
  return copyIn(to, source.data(), bytes);
}

Result<double> Device::time(const std::function<Status()> &issue) {
  NIBBLE_RETURN_IF_ERROR(synchronize());
  auto start = std::chrono::steady_clock::now();
  NIBBLE_RETURN_IF_ERROR(issue());
  NIBBLE_RETURN_IF_ERROR(synchronize());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start)
      .count();
}

namespace {

/// By the clock of the host; every point waits.
class HostTimeline final : public Timeline {
public:
  HostTimeline(Device &device, size_t points) : device(device), times(points) {}
  Status mark(size_t i) override {
    NIBBLE_RETURN_IF_ERROR(device.synchronize());
    times[i] = std::chrono::steady_clock::now();
    return Status();
  }
  Status wait(size_t) override { return Status(); }
  Result<bool> reached(size_t) override { return true; }
  Status read(std::vector<double> &seconds) override {
    for (size_t i = 0; i < seconds.size(); ++i)
      seconds[i] = std::chrono::duration<double>(times[i] - times[0]).count();
    return Status();
  }

private:
  Device &device;
  std::vector<std::chrono::steady_clock::time_point> times;
};

} // namespace

Result<std::unique_ptr<Timeline>> Device::createTimeline(size_t points) {
  return std::unique_ptr<Timeline>(new HostTimeline(*this, points));
}
