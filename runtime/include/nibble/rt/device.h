// Device: the small interface behind which cpu, null, cuda and emu live.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DEVICE_H
#define NIBBLE_RT_DEVICE_H

#include "nibble/rt/engine.h"

#include <functional>
#include <memory>
#include <string>

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

/// Launches that were recorded once and can be issued again as a whole, with
/// the same addresses. Ends before its device.
class Recording {
public:
  virtual ~Recording() = default;
  /// Enqueues them.
  virtual Status replay() = 0;
};

/// Memory, code and launches. All functions may be called from several threads.
/// Addresses are device addresses; on cpu and null they are host pointers.
class Device {
public:
  virtual ~Device() = default;

  virtual const char *name() const = 0;
  /// "2 threads, avx2", for reports.
  virtual std::string description() const = 0;
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
  /// Bytes of the last cache before memory; 0: not known.
  virtual uint64_t cacheBytes() const { return 0; }
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
