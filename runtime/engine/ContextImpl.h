// What a context is made of; Context.cpp has its synchronous functions,
// ContextAsync.cpp the others.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_ENGINE_CONTEXTIMPL_H
#define NIBBLE_RT_ENGINE_CONTEXTIMPL_H

#include "SessionImpl.h"

namespace nibble {
namespace rt {

/// Memory of the device that a context owns.
struct Buffer {
  void *memory = nullptr;
  uint64_t bytes = 0;
};

/// A port of an entry point: the context's own buffer, or the caller's.
struct PortBuffer {
  Buffer own;
  Buffer staging; ///< page-locked host memory, where the device needs it
  void *bound = nullptr;
  bool filled = false; ///< inputs: set or bound
  /// submit() copies between it and the buffer.
  bool staged = false;
  bool inFlight = false; ///< a copy from or to the staging may be under way

  void *address() const { return bound ? bound : own.memory; }
};

struct EntryState {
  std::vector<PortBuffer> inputs, outputs;
  /// Arguments of all launches, one after the other; those of launch i start
  /// at argsBegin[i].
  std::vector<void *> args;
  std::vector<size_t> argsBegin;
  bool resolved = false;
  /// Of the launches with these arguments; null if there is none yet.
  std::unique_ptr<Recording> recording;
  /// The same with the copies of staged ports; null if there is none yet.
  std::unique_ptr<Recording> submission;
};

struct Context::Impl {
  std::shared_ptr<Session> session;
  Buffer arena;
  std::vector<Buffer> states;
  std::unique_ptr<Timeline> done; ///< one point: the end of what was submitted
  bool submitted = false;
  std::vector<EntryState> entries;

  Device &device() const { return session->device(); }
  const EngineInfo &info() const { return session->info(); }
  const std::vector<void *> &constants() const {
    return session->impl->constants;
  }

  Status create();
  Status allocate(Buffer &buffer, uint64_t bytes);
  void release(Buffer &buffer);
  void *valueAddress(const EntryInfo &entry, const EntryState &state,
                     const ValueInfo &value) const;
  Status checkEntry(uint32_t entry) const;
  Status checkPort(const char *what, uint32_t entry, bool input, uint32_t port,
                   const uint64_t *bytes) const;
  Status bind(uint32_t entry, bool input, uint32_t port, void *data,
              uint64_t bytes);
  Result<void *> portBuffer(uint32_t entry, bool input, uint32_t port);
  Status ensureOwn(uint32_t entry, bool input, uint32_t port);
  PortBuffer &port(uint32_t entry, bool input, uint32_t port) {
    return (input ? entries[entry].inputs : entries[entry].outputs)[port];
  }

  // ContextAsync.cpp
  Status ensureStaging(uint32_t entry, bool input, uint32_t port);
  Result<void *> stage(uint32_t entry, bool input, uint32_t port);
  Status landed(PortBuffer &port);
  Status copyIn(uint32_t entry, uint32_t port, const void *data);
  Status copyOut(PortBuffer &port, void *data, uint64_t bytes);
  Status copyStaged(uint32_t entry, bool inputs);
  Status recordLaunches(uint32_t entry);
  Status recordSubmission(uint32_t entry);
  Status synchronize();
  void setLanded();
  Status resolve(uint32_t entry);
  Status checkInputs(uint32_t entry) const;
  Status launch(uint32_t entry, uint32_t index);
  Status launchAll(uint32_t entry);
  Status runRecorded(uint32_t entry);
  Result<void *> checkValue(uint32_t entry, uint32_t value, uint64_t bytes);
  Result<Buffer *> checkState(uint32_t state, uint64_t bytes);
};

inline std::string quoted(std::string_view name) {
  return "'" + std::string(name) + "'";
}

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_CONTEXTIMPL_H
