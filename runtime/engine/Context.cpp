// Context: buffers of one execution, and the loop over launches.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ContextImpl.h"
#include "Ranges.h"

#include <algorithm>
#include <chrono>

using namespace nibble::rt;

static Status wrongSize(const std::string &what, uint64_t wanted,
                        uint64_t found) {
  return error(Code::InvalidArgument, "%s has %llu bytes, got %llu",
               what.c_str(), static_cast<unsigned long long>(wanted),
               static_cast<unsigned long long>(found));
}

Context::Context() : impl(std::make_unique<Impl>()) {}

Context::~Context() {
  if (!impl->session)
    return;
  (void)impl->device().synchronize();
  impl->done = nullptr;
  for (EntryState &entry : impl->entries)
    entry.recording.reset(), entry.submission.reset();
  impl->release(impl->arena);
  for (Buffer &state : impl->states)
    impl->release(state);
  for (EntryState &entry : impl->entries)
    for (std::vector<PortBuffer> *ports : {&entry.inputs, &entry.outputs})
      for (PortBuffer &port : *ports) {
        impl->release(port.own);
        if (port.staging.memory)
          impl->device().releaseHost(port.staging.memory, port.staging.bytes);
      }
}

Status Context::Impl::allocate(Buffer &buffer, uint64_t bytes) {
  Result<void *> memory = device().allocate(bytes);
  if (!memory.ok())
    return memory.status();
  buffer = {*memory, bytes};
  return Status();
}

void Context::Impl::release(Buffer &buffer) {
  if (buffer.memory)
    device().release(buffer.memory, buffer.bytes);
  buffer = {};
}

/// Zeros that every arena begins with; what compilers may reserve for counters.
static constexpr uint64_t kCounterBytes = 4096;

Status Context::Impl::create() {
  uint64_t arenaSize = 0;
  // Entry points never run at the same time in a context, so they share one
  // arena.
  for (const EntryInfo &entry : info().entries) {
    arenaSize = std::max(arenaSize, entry.arenaSize);
    EntryState state;
    state.inputs.resize(entry.inputs.size());
    state.outputs.resize(entry.outputs.size());
    entries.push_back(std::move(state));
  }
  NIBBLE_RETURN_IF_ERROR(allocate(arena, arenaSize).withContext("arena"));
  // Kernels of GPUs count in its beginning, from zero to zero.
  if (arena.memory)
    NIBBLE_RETURN_IF_ERROR(device().fill(
        arena.memory, 0, std::min<uint64_t>(arenaSize, kCounterBytes)));
  states.resize(info().states.size());
  for (size_t i = 0; i < states.size(); ++i)
    NIBBLE_RETURN_IF_ERROR(
        allocate(states[i], info().states[i].byteSize)
            .withContext("state " + quoted(info().states[i].name)));
  return Status();
}

Result<std::unique_ptr<Context>>
Context::create(std::shared_ptr<Session> session) {
  std::unique_ptr<Context> context(new Context());
  context->impl->session = std::move(session);
  NIBBLE_RETURN_IF_ERROR(
      context->impl->create().withContext("creating a context"));
  return context;
}

Session &Context::session() const { return *impl->session; }

Status Context::Impl::checkEntry(uint32_t entry) const {
  if (entry < entries.size())
    return Status();
  return error(Code::InvalidArgument, "entry point %u of %zu", entry,
               entries.size());
}

Status Context::Impl::checkPort(const char *what, uint32_t entry, bool input,
                                uint32_t port, const uint64_t *bytes) const {
  NIBBLE_RETURN_IF_ERROR(checkEntry(entry));
  const EntryInfo &e = info().entries[entry];
  const std::vector<PortInfo> &ports = input ? e.inputs : e.outputs;
  if (port >= ports.size())
    return error(Code::InvalidArgument, "%s %u of %zu in entry point '%s'",
                 what, port, ports.size(), std::string(e.name).c_str());
  if (bytes && *bytes != ports[port].byteSize)
    return wrongSize(what + (" " + quoted(ports[port].name)),
                     ports[port].byteSize, *bytes);
  return Status();
}

Status Context::Impl::ensureOwn(uint32_t entry, bool input, uint32_t port) {
  PortBuffer &buffer = this->port(entry, input, port);
  if (buffer.own.memory)
    return Status();
  const EntryInfo &e = info().entries[entry];
  entries[entry].resolved = false;
  return allocate(buffer.own, (input ? e.inputs : e.outputs)[port].byteSize);
}

Status Context::setInput(uint32_t entry, uint32_t input, const void *data,
                         uint64_t bytes) {
  NIBBLE_RETURN_IF_ERROR(impl->checkPort("input", entry, true, input, &bytes));
  NIBBLE_RETURN_IF_ERROR(impl->ensureOwn(entry, true, input));
  PortBuffer &port = impl->entries[entry].inputs[input];
  if (port.bound) {
    port.bound = nullptr;
    impl->entries[entry].resolved = false;
  }
  port.filled = true;
  // submit() is not to copy what the staging held before.
  if (port.staged && port.staging.memory)
    impl->entries[entry].submission = nullptr;
  port.staged = false;
  return impl->copyIn(entry, input, data);
}

Status Context::Impl::bind(uint32_t entry, bool input, uint32_t port,
                           void *data, uint64_t bytes) {
  const char *what = input ? "input" : "output";
  NIBBLE_RETURN_IF_ERROR(
      checkPort(what, entry, input, port, data ? &bytes : nullptr));
  if (reinterpret_cast<uintptr_t>(data) % kValueAlignment)
    return error(Code::InvalidArgument,
                 "%s %u: memory to bind must be aligned to 64 bytes; use "
                 "setInput/getOutput, which copy",
                 what, port);
  EntryState &state = entries[entry];
  PortBuffer &buffer = this->port(entry, input, port);
  if (buffer.staged) {
    buffer.staged = false;
    state.submission = nullptr;
  }
  state.resolved &= buffer.bound == data;
  buffer.bound = data;
  buffer.filled = data || buffer.own.memory;
  return Status();
}

Status Context::bindInput(uint32_t entry, uint32_t input, const void *data,
                          uint64_t bytes) {
  // Validation made sure that no launch writes to an input.
  return impl->bind(entry, true, input, const_cast<void *>(data), bytes);
}

Status Context::bindOutput(uint32_t entry, uint32_t output, void *data,
                           uint64_t bytes) {
  return impl->bind(entry, false, output, data, bytes);
}

Status Context::getOutput(uint32_t entry, uint32_t output, void *data,
                          uint64_t bytes) {
  NIBBLE_RETURN_IF_ERROR(
      impl->checkPort("output", entry, false, output, &bytes));
  Result<void *> buffer = impl->portBuffer(entry, false, output);
  if (!buffer.ok())
    return buffer.status();
  PortBuffer &port = impl->port(entry, false, output);
  if (!port.bound)
    NIBBLE_RETURN_IF_ERROR(impl->ensureStaging(entry, false, output));
  return impl->copyOut(port, data, bytes);
}

Result<void *> Context::Impl::portBuffer(uint32_t entry, bool input,
                                         uint32_t port) {
  NIBBLE_RETURN_IF_ERROR(
      checkPort(input ? "input" : "output", entry, input, port, nullptr));
  PortBuffer &buffer = this->port(entry, input, port);
  if (!buffer.bound)
    NIBBLE_RETURN_IF_ERROR(ensureOwn(entry, input, port));
  return buffer.address();
}

Result<void *> Context::inputBuffer(uint32_t entry, uint32_t input) {
  return impl->portBuffer(entry, true, input);
}

Result<void *> Context::outputBuffer(uint32_t entry, uint32_t output) {
  return impl->portBuffer(entry, false, output);
}

Result<Buffer *> Context::Impl::checkState(uint32_t state, uint64_t bytes) {
  if (state >= states.size())
    return error(Code::InvalidArgument, "state %u of %zu", state,
                 states.size());
  if (bytes != states[state].bytes)
    return wrongSize("state " + quoted(info().states[state].name),
                     states[state].bytes, bytes);
  return &states[state];
}

Status Context::setState(uint32_t state, const void *data, uint64_t bytes) {
  Result<Buffer *> buffer = impl->checkState(state, bytes);
  if (!buffer.ok())
    return buffer.status();
  return impl->device().copyIn((*buffer)->memory, data, bytes);
}

Status Context::getState(uint32_t state, void *data, uint64_t bytes) {
  Result<Buffer *> buffer = impl->checkState(state, bytes);
  if (!buffer.ok())
    return buffer.status();
  NIBBLE_RETURN_IF_ERROR(impl->device().synchronize());
  return impl->device().copyOut(data, (*buffer)->memory, bytes);
}

Status Context::resetStates() {
  for (Buffer &state : impl->states)
    NIBBLE_RETURN_IF_ERROR(impl->device().fill(state.memory, 0, state.bytes));
  return Status();
}

void *Context::Impl::valueAddress(const EntryInfo &entry,
                                  const EntryState &state,
                                  const ValueInfo &value) const {
  void *base = nullptr;
  switch (value.storage) {
  case Storage::Input:
    base = state.inputs[value.index].address();
    break;
  case Storage::Output:
    base = state.outputs[value.index].address();
    break;
  case Storage::Arena:
    base = arena.memory;
    break;
  case Storage::Constant:
    base = constants()[value.index];
    break;
  case Storage::State:
    base = states[value.index].memory;
    break;
  }
  return static_cast<char *>(base) + value.offset;
}

/// Turns value numbers into addresses; again only after a port moved.
Status Context::Impl::resolve(uint32_t index) {
  EntryState &state = entries[index];
  const EntryInfo &entry = info().entries[index];
  for (uint32_t i = 0; i < state.inputs.size(); ++i)
    if (!state.inputs[i].bound)
      NIBBLE_RETURN_IF_ERROR(ensureOwn(index, true, i));
  for (uint32_t i = 0; i < state.outputs.size(); ++i)
    if (!state.outputs[i].bound)
      NIBBLE_RETURN_IF_ERROR(ensureOwn(index, false, i));
  if (state.resolved)
    return Status();
  std::vector<void *> before = std::move(state.args);
  state.args.clear();
  state.argsBegin.clear();
  for (const LaunchInfo &launch : entry.launches) {
    state.argsBegin.push_back(state.args.size());
    for (uint32_t arg : launch.args)
      state.args.push_back(valueAddress(entry, state, entry.values[arg]));
  }
  state.resolved = true;
  if (state.args != before)
    state.recording.reset(), state.submission.reset();
  return Status();
}

Status Context::Impl::checkInputs(uint32_t index) const {
  const EntryInfo &entry = info().entries[index];
  for (size_t i = 0; i < entry.inputs.size(); ++i)
    if (!entries[index].inputs[i].filled)
      return error(Code::InvalidArgument,
                   "input '%s' of entry point '%s' was never set",
                   std::string(entry.inputs[i].name).c_str(),
                   std::string(entry.name).c_str());
  return Status();
}

Status Context::Impl::launch(uint32_t entryIndex, uint32_t index) {
  const EntryInfo &entry = info().entries[entryIndex];
  const EntryState &state = entries[entryIndex];
  const LaunchInfo &info = entry.launches[index];
  void *const *args = state.args.data() + state.argsBegin[index];
  Range range(info.layer, info.op);
  if (info.kind == LaunchKind::Copy)
    return device().copy(args[1], args[0], entry.values[info.args[0]].byteSize);
  LaunchParams params;
  params.kernel = session->impl->kernels[info.kernel];
  params.args = args;
  params.argCount = info.args.size();
  params.extent = info.extent;
  params.grain = info.grain;
  params.split = info.split;
  params.scratchBytes = info.scratchBytes;
  params.info = &info;
  params.entry = &entry;
  Status status = device().launch(params);
  if (status.ok())
    return status;
  return std::move(status).withContext("layer " + quoted(info.layer));
}

Status Context::Impl::launchAll(uint32_t entry) {
  for (uint32_t i = 0; i < info().entries[entry].launches.size(); ++i)
    NIBBLE_RETURN_IF_ERROR(launch(entry, i));
  return Status();
}

/// Records the entry point at the first run with these addresses.
Status Context::Impl::runRecorded(uint32_t entry) {
  NIBBLE_RETURN_IF_ERROR(recordLaunches(entry));
  return entries[entry].recording->replay();
}

Status Context::run(uint32_t entry, const RunOptions &options) {
  NIBBLE_RETURN_IF_ERROR(impl->checkEntry(entry));
  NIBBLE_RETURN_IF_ERROR(impl->checkInputs(entry));
  NIBBLE_RETURN_IF_ERROR(impl->resolve(entry));
  Range range(impl->info().entries[entry].name);
  if (!options.probe) {
    NIBBLE_RETURN_IF_ERROR(impl->device().canRecord() ? impl->runRecorded(entry)
                                                      : impl->launchAll(entry));
    return impl->synchronize();
  }
  const EntryInfo &info = impl->info().entries[entry];
  for (uint32_t i = 0; i < info.launches.size(); ++i) {
    auto start = std::chrono::steady_clock::now();
    NIBBLE_RETURN_IF_ERROR(impl->launch(entry, i));
    NIBBLE_RETURN_IF_ERROR(impl->device().synchronize());
    auto end = std::chrono::steady_clock::now();
    ProbeEvent event;
    event.entry = entry;
    event.launch = i;
    event.info = &info.launches[i];
    event.entryInfo = &info;
    event.args =
        impl->entries[entry].args.data() + impl->entries[entry].argsBegin[i];
    event.seconds = std::chrono::duration<double>(end - start).count();
    NIBBLE_RETURN_IF_ERROR(options.probe(event));
  }
  return impl->device().synchronize();
}

Status Context::issue(uint32_t entry) {
  NIBBLE_RETURN_IF_ERROR(impl->checkEntry(entry));
  NIBBLE_RETURN_IF_ERROR(impl->checkInputs(entry));
  NIBBLE_RETURN_IF_ERROR(impl->resolve(entry));
  return impl->launchAll(entry);
}

Status Context::runLaunch(uint32_t entry, uint32_t launch) {
  NIBBLE_RETURN_IF_ERROR(impl->checkEntry(entry));
  if (launch >= impl->info().entries[entry].launches.size())
    return error(Code::InvalidArgument, "launch %u of %zu", launch,
                 impl->info().entries[entry].launches.size());
  NIBBLE_RETURN_IF_ERROR(impl->resolve(entry));
  NIBBLE_RETURN_IF_ERROR(impl->launch(entry, launch));
  return impl->device().synchronize();
}

Result<void *> Context::Impl::checkValue(uint32_t entry, uint32_t value,
                                         uint64_t bytes) {
  NIBBLE_RETURN_IF_ERROR(checkEntry(entry));
  const EntryInfo &e = info().entries[entry];
  if (value >= e.values.size())
    return error(Code::InvalidArgument, "value %u of %zu", value,
                 e.values.size());
  if (bytes != e.values[value].byteSize)
    return wrongSize("value " + quoted(e.values[value].name),
                     e.values[value].byteSize, bytes);
  NIBBLE_RETURN_IF_ERROR(resolve(entry));
  return valueAddress(e, entries[entry], e.values[value]);
}

Status Context::readValue(uint32_t entry, uint32_t value, void *data,
                          uint64_t bytes) {
  Result<void *> address = impl->checkValue(entry, value, bytes);
  if (!address.ok())
    return address.status();
  NIBBLE_RETURN_IF_ERROR(impl->device().synchronize());
  return impl->device().copyOut(data, *address, bytes);
}

Status Context::writeValue(uint32_t entry, uint32_t value, const void *data,
                           uint64_t bytes) {
  Result<void *> address = impl->checkValue(entry, value, bytes);
  if (!address.ok())
    return address.status();
  const ValueInfo &info = impl->info().entries[entry].values[value];
  if (info.storage == Storage::Constant)
    return error(Code::InvalidArgument, "value '%s' is a constant",
                 std::string(info.name).c_str());
  if (info.storage == Storage::Input) {
    if (impl->entries[entry].inputs[info.index].bound)
      return error(Code::InvalidArgument,
                   "value '%s' is memory of the caller, bound read-only",
                   std::string(info.name).c_str());
    impl->entries[entry].inputs[info.index].filled = true;
  }
  return impl->device().copyIn(*address, data, bytes);
}
