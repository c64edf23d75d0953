// Session and Context: an engine on a device, and one independent execution of
// it. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   auto engine = *Engine::load("mlp.nbl");
//   auto device = *createDevice("cpu");
//   auto session = *Session::create(engine, device);
//   auto context = *Context::create(session);
//   context->setInput(0, 0, x, xBytes);
//   context->run(0);
//   context->getOutput(0, 0, y, yBytes);
#ifndef NIBBLE_RT_SESSION_H
#define NIBBLE_RT_SESSION_H

#include "nibble/rt/device.h"

#include <functional>
#include <memory>

namespace nibble {
namespace rt {

/// Code and constants of an engine, loaded on a device. Thread-safe; shared by
/// any number of contexts.
class Session {
public:
  static Result<std::shared_ptr<Session>>
  create(std::shared_ptr<const Engine> engine, std::shared_ptr<Device> device);
  ~Session();

  const Engine &engine() const;
  const EngineInfo &info() const;
  Device &device() const;

private:
  friend class Context;
  Session();
  struct Impl;
  std::unique_ptr<Impl> impl;
};

/// What a probe sees after a launch (the device is synchronized by then).
struct ProbeEvent {
  uint32_t entry = 0;
  uint32_t launch = 0;
  const LaunchInfo *info = nullptr;
  const EntryInfo *entryInfo = nullptr;
  /// Device addresses of the args, as the kernel got them; on cpu and null they
  /// can be read directly.
  void *const *args = nullptr;
  /// Wall time of the launch.
  double seconds = 0;
};

struct RunOptions {
  /// Called after each launch; a failure stops the run and is returned.
  std::function<Status(const ProbeEvent &)> probe;
};

/// Buffers of one execution: inputs, outputs, arena, states. One thread at a
/// time; different contexts of a session may run at the same time.
class Context {
public:
  static Result<std::unique_ptr<Context>>
  create(std::shared_ptr<Session> session);
  ~Context();

  Session &session() const;

  /// Copies an input in. `bytes` must equal the port's byteSize.
  Status setInput(uint32_t entry, uint32_t input, const void *data,
                  uint64_t bytes);
  /// Uses the caller's device memory (on cpu: host memory) in place, until
  /// another call for the same port. Must be 64-byte aligned. Null restores the
  /// context's own buffer.
  Status bindInput(uint32_t entry, uint32_t input, const void *data,
                   uint64_t bytes);
  Status bindOutput(uint32_t entry, uint32_t output, void *data,
                    uint64_t bytes);
  /// Copies an output of the last run out.
  Status getOutput(uint32_t entry, uint32_t output, void *data, uint64_t bytes);
  /// The buffer in use for a port; device address.
  Result<void *> inputBuffer(uint32_t entry, uint32_t input);
  Result<void *> outputBuffer(uint32_t entry, uint32_t output);

  Status setState(uint32_t state, const void *data, uint64_t bytes);
  Status getState(uint32_t state, void *data, uint64_t bytes);
  /// Zeroes all states, as at creation.
  Status resetStates();

  /// Runs all launches of an entry point. An input that was never set or bound
  /// is an error that names it.
  Status run(uint32_t entry, const RunOptions &options = {});
  /// Enqueues the launches of an entry point with the buffers bound now and
  /// returns: what Device::record and Device::time are given. Ports that are
  /// not bound get memory, which a recording refuses: bind all, or run()
  /// before.
  Status issue(uint32_t entry);

  /// Does now what first calls would do: allocates the memory of an entry
  /// point (buffers and page-locked staging of ports that are not bound),
  /// and records it. After it setInput, run, submit, wait and getOutput
  /// allocate nothing until a port is bound to other memory. (On cpu, scratch
  /// of threads is allocated at the first run.)
  Status prepare(uint32_t entry);
  /// Memory of the host that stands for a port of the context's own: submit()
  /// copies inputs from it and outputs to it until the port is set or bound
  /// otherwise. On cpu and null it is the port's buffer itself. Not to be
  /// touched from submit() to wait().
  Result<void *> stageInput(uint32_t entry, uint32_t input);
  Result<const void *> stageOutput(uint32_t entry, uint32_t output);
  /// Enqueues the copies of staged inputs, a run and the copies of staged
  /// outputs, as one recording where the device records, and returns. Several
  /// may be under way; they run one after the other. cpu, null and emu do the
  /// work before they return.
  Status submit(uint32_t entry);
  /// Waits for what was submitted. A failure of it is returned here.
  Status wait();
  /// Whether wait() would not wait.
  Result<bool> isDone();
  /// submit() in parts, for measuring: point 0, copies in, 1, launches, 2,
  /// copies out, 3.
  Status submitInParts(uint32_t entry, Timeline &timeline);
  /// issue() with point i before launch i and one behind the last.
  Status issueInParts(uint32_t entry, Timeline &timeline);
  /// Runs one launch with the buffers as they are; for verify and benchmarks.
  Status runLaunch(uint32_t entry, uint32_t launch);

  /// Copies any value of an entry point out or in; for verify.
  Status readValue(uint32_t entry, uint32_t value, void *data, uint64_t bytes);
  Status writeValue(uint32_t entry, uint32_t value, const void *data,
                    uint64_t bytes);

private:
  Context();
  struct Impl;
  std::unique_ptr<Impl> impl;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_SESSION_H
