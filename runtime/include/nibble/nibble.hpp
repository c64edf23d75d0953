// Thin C++17 wrapper of the C interface: owning handles, no exceptions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   nbl::Engine engine;
//   if (nbl::Status s = nbl::Engine::load("policy.nbl", engine))
//     return report(s.message());
//
// Header-only; link libnibble_rt. Every function returns a Status, which is
// true if there is an *error* (so that `if (auto s = f())` handles it).
#ifndef NIBBLE_NIBBLE_HPP
#define NIBBLE_NIBBLE_HPP

#include "nibble/nibble.h"

#include <memory>
#include <string>

namespace nbl {

/// Owns a nbl_status; true if it is an error.
class [[nodiscard]] Status {
public:
  Status() = default;
  Status(nbl_status *status) : handle(status) {}
  explicit operator bool() const { return handle != nullptr; }
  nbl_code code() const { return nbl_status_code(handle.get()); }
  std::string message() const { return nbl_status_message(handle.get()); }

private:
  struct Free {
    void operator()(nbl_status *s) const { nbl_status_free(s); }
  };
  std::unique_ptr<nbl_status, Free> handle;
};

namespace detail {
/// Takes over what a nbl_*_create function makes.
template <typename T, void (*Release)(T *)> class Handle {
public:
  T *get() const { return handle.get(); }
  explicit operator bool() const { return handle != nullptr; }

protected:
  template <typename Make> Status make(Make create) {
    T *made = nullptr;
    nbl_status *status = create(&made);
    if (!status)
      handle.reset(made);
    return Status(status);
  }

private:
  struct Free {
    void operator()(T *h) const { Release(h); }
  };
  std::unique_ptr<T, Free> handle;
};
} // namespace detail

class Engine : public detail::Handle<nbl_engine, nbl_engine_free> {
public:
  static Status load(const std::string &path, Engine &engine,
                     uint32_t flags = 0) {
    return engine.make([&](nbl_engine **made) {
      return nbl_engine_load(path.c_str(), flags, made);
    });
  }
  std::string target() const { return nbl_engine_target(get()); }
  std::string command() const { return nbl_engine_command(get()); }
  uint32_t entryCount() const { return nbl_engine_entry_count(get()); }
  std::string entryName(uint32_t entry) const {
    return nbl_engine_entry_name(get(), entry);
  }
  uint32_t stateCount() const { return nbl_engine_state_count(get()); }
  Status findEntry(const std::string &name, uint32_t &entry) const {
    return nbl_engine_find_entry(get(), name.c_str(), &entry);
  }
  uint32_t inputCount(uint32_t entry) const {
    return nbl_engine_input_count(get(), entry);
  }
  uint32_t outputCount(uint32_t entry) const {
    return nbl_engine_output_count(get(), entry);
  }
  Status input(uint32_t entry, uint32_t index, nbl_port &port) const {
    return nbl_engine_input(get(), entry, index, &port);
  }
  Status output(uint32_t entry, uint32_t index, nbl_port &port) const {
    return nbl_engine_output(get(), entry, index, &port);
  }
};

class Device : public detail::Handle<nbl_device, nbl_device_free> {
public:
  static Status create(const std::string &name, Device &device,
                       uint32_t threads = 0) {
    return device.make([&](nbl_device **made) {
      return nbl_device_create(name.c_str(), threads, made);
    });
  }
  std::string description() const { return nbl_device_description(get()); }
  uint64_t allocations() const { return nbl_device_allocations(get()); }
};

class Session : public detail::Handle<nbl_session, nbl_session_free> {
public:
  static Status create(const Engine &engine, const Device &device,
                       Session &session) {
    return session.make([&](nbl_session **made) {
      return nbl_session_create(engine.get(), device.get(), made);
    });
  }
};

class Context : public detail::Handle<nbl_context, nbl_context_free> {
public:
  static Status create(const Session &session, Context &context) {
    return context.make([&](nbl_context **made) {
      return nbl_context_create(session.get(), made);
    });
  }
  Status setInput(uint32_t entry, uint32_t input, const void *data,
                  uint64_t bytes) {
    return nbl_context_set_input(get(), entry, input, data, bytes);
  }
  Status getOutput(uint32_t entry, uint32_t output, void *data,
                   uint64_t bytes) {
    return nbl_context_get_output(get(), entry, output, data, bytes);
  }
  Status bindInput(uint32_t entry, uint32_t input, const void *data,
                   uint64_t bytes) {
    return nbl_context_bind_input(get(), entry, input, data, bytes);
  }
  Status bindOutput(uint32_t entry, uint32_t output, void *data,
                    uint64_t bytes) {
    return nbl_context_bind_output(get(), entry, output, data, bytes);
  }
  Status setState(uint32_t state, const void *data, uint64_t bytes) {
    return nbl_context_set_state(get(), state, data, bytes);
  }
  Status getState(uint32_t state, void *data, uint64_t bytes) {
    return nbl_context_get_state(get(), state, data, bytes);
  }
  Status resetStates() { return nbl_context_reset_states(get()); }
  Status run(uint32_t entry) { return nbl_context_run(get(), entry); }

  Status prepare(uint32_t entry) { return nbl_context_prepare(get(), entry); }
  Status stageInput(uint32_t entry, uint32_t input, void *&memory) {
    return nbl_context_stage_input(get(), entry, input, &memory);
  }
  Status stageOutput(uint32_t entry, uint32_t output, const void *&memory) {
    return nbl_context_stage_output(get(), entry, output, &memory);
  }
  Status submit(uint32_t entry) { return nbl_context_submit(get(), entry); }
  Status wait() { return nbl_context_wait(get()); }
  Status isDone(bool &done) {
    int found = 0;
    Status status = nbl_context_is_done(get(), &found);
    done = found != 0;
    return status;
  }
};

} // namespace nbl

#endif // NIBBLE_NIBBLE_HPP
