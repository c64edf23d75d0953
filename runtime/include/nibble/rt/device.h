// Device: the small interface behind which cpu, null, cuda and emu live.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DEVICE_H
#define NIBBLE_RT_DEVICE_H

#include "nibble/rt/engine.h"

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace nibble {
namespace rt {

/// Code on a device. Unloaded when destroyed.
class Module {
public:
  virtual ~Module() = default;
  /// The kernel called `symbol`, in a form that only the device understands.
  virtual Result<void *> kernel(const std::string &symbol) = 0;
};

/// One launch, resolved: kernel handle and device addresses.
struct LaunchParams {
  void *kernel = nullptr;
  void *const *args = nullptr; ///< device addresses, 64-byte aligned
  uint32_t argCount = 0;
  int64_t extent = 0, grain = 1;
  Split split = Split::Dynamic;
  uint64_t scratchBytes = 0;
  /// For errors and for devices that do not really launch.
  const LaunchInfo *info = nullptr;
  const EntryInfo *entry = nullptr;
};

/// What a device says of itself that bounds times.
struct DeviceLimits {
  std::string name; ///< as the driver gives it; "": not a GPU
  bool emulated = false;
  unsigned multiprocessors = 0;    ///< 0: not known
  double memoryBytesPerSecond = 0; ///< clock times width; 0: not told
};

/// Launches that were recorded once and can be issued again as a whole, with
/// the same addresses. Ends before its device.
class Recording {
public:
  virtual ~Recording() = default;
  /// Enqueues them.
  virtual Status replay() = 0;
};

/// Points in the order of a device's work, and the times between them. One
/// thread at a time; ends before its device. Marking and waiting allocate
/// nothing.
class Timeline {
public:
  virtual ~Timeline() = default;
  /// Enqueues point `i`: it is reached when all is done that was enqueued
  /// before. A point may be used again.
  virtual Status mark(size_t i) = 0;
  /// Waits for a point. A failure of the work before it is returned.
  virtual Status wait(size_t i) = 0;
  /// The same without waiting.
  virtual Result<bool> reached(size_t i) = 0;
  /// Waits for points 0 to `seconds.size()` - 1 and fills in the time of each
  /// since point 0, by the clock of the device (else the host's).
  virtual Status read(std::vector<double> &seconds) = 0;
  /// Between the two the device begins nothing that is enqueued, so that it
  /// will not wait for the host from launch to launch and times are its own. A
  /// device that cannot does nothing; none is held for more than 50 ms.
  virtual Status hold() { return Status(); }
  virtual void release() {}
};

/// Memory, code and launches. All functions may be called from several threads.
/// Addresses are device addresses; on cpu and null they are host pointers.
class Device {
public:
  virtual ~Device() = default;

  virtual const char *name() const = 0;
  /// "2 threads, avx2", for reports.
  virtual std::string description() const = 0;
  virtual DeviceLimits limits() const { return {}; }
  /// Whether an engine runs here: its target and CPU features. The error says
  /// what is missing.
  virtual Status supports(const EngineInfo &engine) const = 0;
  /// True if device addresses can be read and written by the host.
  virtual bool hostAccessible() const = 0;

  /// Zero-filled memory, aligned to at least 64 bytes. Size 0 is allowed.
  virtual Result<void *> allocate(uint64_t bytes) = 0;
  virtual void release(void *memory, uint64_t bytes) = 0;
  virtual Status copyIn(void *to, const void *from, uint64_t bytes) = 0;
  virtual Status copyOut(void *to, const void *from, uint64_t bytes) = 0;
  virtual Status copy(void *to, const void *from, uint64_t bytes) = 0;

  /// Memory of the host, aligned to at least 64 bytes, that a device copies
  /// from and to without the host's help (page-locked). Not zeroed.
  virtual Result<void *> allocateHost(uint64_t bytes) {
    return allocate(bytes); // of devices whose memory is the host's
  }
  virtual void releaseHost(void *memory, uint64_t bytes) {
    release(memory, bytes);
  }
  /// Enqueues a copy from or to memory of allocateHost, which is not to be
  /// touched before the copy is done. Can be recorded.
  virtual Status enqueueCopyIn(void *to, const void *from, uint64_t bytes) {
    return copyIn(to, from, bytes);
  }
  virtual Status enqueueCopyOut(void *to, const void *from, uint64_t bytes) {
    return copyOut(to, from, bytes);
  }
  /// How often memory was allocated, of the device or of the host.
  uint64_t allocations() const { return allocationCount; }

  /// Makes a constant usable by kernels. On a host device this is the mapped
  /// address itself: nothing is copied.
  virtual Result<void *> importConstant(const void *mapped, uint64_t bytes) = 0;
  virtual void releaseConstant(void *address, uint64_t bytes) = 0;

  virtual Result<std::unique_ptr<Module>> loadModule(CodeKind kind,
                                                     const std::string &name,
                                                     const void *data,
                                                     uint64_t size) = 0;

  /// Runs or enqueues a launch.
  virtual Status launch(const LaunchParams &params) = 0;
  /// Waits for all launches and copies.
  virtual Status synchronize() = 0;

  /// Whether record() works. It pays where launches cost more than replays.
  virtual bool canRecord() const { return false; }
  /// Records what `issue` launches and copies, without running it.
  virtual Result<std::unique_ptr<Recording>>
  record(const std::function<Status()> &issue);

  /// Sets memory to a byte, in order with launches and copies.
  virtual Status fill(void *to, uint8_t byte, uint64_t bytes);
  /// Seconds from before the first to after the last of what `issue` enqueues:
  /// by the clock of the device (events) where it has one, else the host's.
  /// Waits for all of it.
  virtual Result<double> time(const std::function<Status()> &issue);
  virtual Result<std::unique_ptr<Timeline>> createTimeline(size_t points);
  /// Bytes of the last cache before memory; 0: not known.
  virtual uint64_t cacheBytes() const { return 0; }

protected:
  std::atomic<uint64_t> allocationCount{0};
};

struct DeviceOptions {
  unsigned threads = 0; ///< cpu: threads including the caller; 0 = 2
  /// emu: the machine to emulate, "sm_90a"; empty: sm_90a. NIBBLE_EMU_TARGET
  /// has the last word.
  std::string target;
  bool graphs = true; ///< cuda, emu: record entry points and replay them
  /// cuda, emu: a CUstream of the primary context that all work is enqueued to,
  /// as the caller's own work is; it must outlive the device. Null: a stream
  /// of the device's own.
  void *stream = nullptr;
};

/// "cpu", "null", "cuda" (the driver of the system), "emu" (the same device on
/// the emulated driver). A Device error says what is missing and what to do.
Result<std::shared_ptr<Device>> createDevice(const std::string &name,
                                             const DeviceOptions &options = {});

/// Threads of a pool: `threads` - 1 workers beside the caller.
Result<std::shared_ptr<Device>> createCpuDevice(const DeviceOptions &options);
/// The device behind a CUDA driver: the real one, or the emulated one.
Result<std::shared_ptr<Device>> createCudaDevice(const DeviceOptions &options,
                                                 bool emulated);
/// Validates like a device and computes nothing: every result of a launch is
/// filled with the poison byte 0xCB, so that nobody mistakes it for data.
Result<std::shared_ptr<Device>> createNullDevice();
constexpr uint8_t kNullPoison = 0xCB;

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_H
