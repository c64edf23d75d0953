// Context: page-locked staging, and runs that nobody waits for.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ContextImpl.h"
#include "Ranges.h"

#include <cstring>

using namespace nibble::rt;

/// A device that reads the host's memory needs none.
Status Context::Impl::ensureStaging(uint32_t entry, bool input,
                                    uint32_t index) {
  PortBuffer &buffer = port(entry, input, index);
  if (buffer.staging.memory || device().hostAccessible())
    return Status();
  const EntryInfo &e = info().entries[entry];
  const PortInfo &described = (input ? e.inputs : e.outputs)[index];
  Result<void *> memory = device().allocateHost(described.byteSize);
  if (!memory.ok())
    return Status(memory.status())
        .withContext("staging of '" + std::string(described.name) + "'");
  buffer.staging = {*memory, described.byteSize};
  return Status();
}

/// After everything was waited for.
void Context::Impl::setLanded() {
  for (EntryState &entry : entries)
    for (std::vector<PortBuffer> *ports : {&entry.inputs, &entry.outputs})
      for (PortBuffer &port : *ports)
        port.inFlight = false;
  submitted = false;
}

Status Context::Impl::synchronize() {
  NIBBLE_RETURN_IF_ERROR(device().synchronize());
  setLanded();
  return Status();
}

/// Waits until nothing reads or writes the staging of a port.
Status Context::Impl::landed(PortBuffer &port) {
  return port.inFlight ? synchronize() : Status();
}

/// The caller's memory is free on return, the device may still copy.
Status Context::Impl::copyIn(uint32_t entry, uint32_t index, const void *data) {
  NIBBLE_RETURN_IF_ERROR(ensureStaging(entry, true, index));
  PortBuffer &buffer = port(entry, true, index);
  if (!buffer.staging.memory)
    return device().copyIn(buffer.own.memory, data, buffer.own.bytes);
  NIBBLE_RETURN_IF_ERROR(landed(buffer));
  if (buffer.own.bytes)
    std::memcpy(buffer.staging.memory, data, buffer.own.bytes);
  buffer.inFlight = true;
  return device().enqueueCopyIn(buffer.own.memory, buffer.staging.memory,
                                buffer.own.bytes);
}

Status Context::Impl::copyOut(PortBuffer &port, void *data, uint64_t bytes) {
  if (port.bound || !port.staging.memory) {
    NIBBLE_RETURN_IF_ERROR(synchronize());
    return device().copyOut(data, port.address(), bytes);
  }
  NIBBLE_RETURN_IF_ERROR(
      device().enqueueCopyOut(port.staging.memory, port.own.memory, bytes));
  NIBBLE_RETURN_IF_ERROR(synchronize());
  if (bytes)
    std::memcpy(data, port.staging.memory, bytes);
  return Status();
}

Result<void *> Context::Impl::stage(uint32_t entry, bool input,
                                    uint32_t index) {
  NIBBLE_RETURN_IF_ERROR(
      checkPort(input ? "input" : "output", entry, input, index, nullptr));
  PortBuffer &buffer = port(entry, input, index);
  NIBBLE_RETURN_IF_ERROR(ensureOwn(entry, input, index));
  NIBBLE_RETURN_IF_ERROR(ensureStaging(entry, input, index));
  NIBBLE_RETURN_IF_ERROR(landed(buffer));
  if (buffer.bound || !buffer.staged)
    entries[entry].submission = nullptr;
  if (buffer.bound)
    entries[entry].resolved = false;
  buffer.bound = nullptr;
  buffer.staged = true;
  buffer.filled = true;
  return buffer.staging.memory ? buffer.staging.memory : buffer.own.memory;
}

Result<void *> Context::stageInput(uint32_t entry, uint32_t input) {
  return impl->stage(entry, true, input);
}

Result<const void *> Context::stageOutput(uint32_t entry, uint32_t output) {
  Result<void *> memory = impl->stage(entry, false, output);
  if (!memory.ok())
    return memory.status();
  return static_cast<const void *>(*memory);
}

/// Enqueues the copies of the staged ports of one direction.
Status Context::Impl::copyStaged(uint32_t entry, bool inputs) {
  EntryState &state = entries[entry];
  for (PortBuffer &port : inputs ? state.inputs : state.outputs) {
    if (!port.staged || !port.staging.memory)
      continue;
    port.inFlight = true;
    NIBBLE_RETURN_IF_ERROR(
        inputs ? device().enqueueCopyIn(port.own.memory, port.staging.memory,
                                        port.own.bytes)
               : device().enqueueCopyOut(port.staging.memory, port.own.memory,
                                         port.own.bytes));
  }
  return Status();
}

Status Context::Impl::recordLaunches(uint32_t entry) {
  std::unique_ptr<Recording> &recording = entries[entry].recording;
  if (recording)
    return Status();
  auto made = device().record([&] { return launchAll(entry); });
  if (made.ok())
    recording = std::move(*made);
  return made.status();
}

Status Context::Impl::recordSubmission(uint32_t entry) {
  std::unique_ptr<Recording> &submission = entries[entry].submission;
  if (submission)
    return Status();
  auto made = device().record([&]() -> Status {
    NIBBLE_RETURN_IF_ERROR(copyStaged(entry, true));
    NIBBLE_RETURN_IF_ERROR(launchAll(entry));
    return copyStaged(entry, false);
  });
  if (made.ok())
    submission = std::move(*made);
  return made.status();
}

static bool isStaged(const EntryState &state) {
  for (const std::vector<PortBuffer> *ports : {&state.inputs, &state.outputs})
    for (const PortBuffer &port : *ports)
      if (port.staged)
        return true;
  return false;
}

Status Context::prepare(uint32_t entry) {
  NIBBLE_RETURN_IF_ERROR(impl->checkEntry(entry));
  EntryState &state = impl->entries[entry];
  for (bool input : {true, false}) {
    auto &ports = input ? state.inputs : state.outputs;
    for (uint32_t i = 0; i < ports.size(); ++i)
      if (!ports[i].bound)
        NIBBLE_RETURN_IF_ERROR(impl->ensureStaging(entry, input, i));
  }
  NIBBLE_RETURN_IF_ERROR(impl->resolve(entry));
  if (!impl->done) {
    auto done = impl->device().createTimeline(1);
    if (!done.ok())
      return done.status();
    impl->done = std::move(*done);
  }
  if (!impl->device().canRecord())
    return Status();
  NIBBLE_RETURN_IF_ERROR(impl->recordLaunches(entry));
  return isStaged(state) ? impl->recordSubmission(entry) : Status();
}

Status Context::submit(uint32_t entry) {
  NIBBLE_RETURN_IF_ERROR(impl->checkEntry(entry));
  NIBBLE_RETURN_IF_ERROR(impl->checkInputs(entry));
  EntryState &state = impl->entries[entry];
  if (!impl->done || !state.resolved)
    NIBBLE_RETURN_IF_ERROR(prepare(entry));
  Range range(impl->info().entries[entry].name);
  impl->submitted = true;
  if (impl->device().canRecord() && isStaged(state)) {
    NIBBLE_RETURN_IF_ERROR(impl->recordSubmission(entry));
    // Of a replay, too: recording it was not the last time.
    for (std::vector<PortBuffer> *ports : {&state.inputs, &state.outputs})
      for (PortBuffer &port : *ports)
        port.inFlight |= port.staged;
    NIBBLE_RETURN_IF_ERROR(state.submission->replay());
    return impl->done->mark(0);
  }
  NIBBLE_RETURN_IF_ERROR(impl->copyStaged(entry, true));
  NIBBLE_RETURN_IF_ERROR(impl->device().canRecord() ? impl->runRecorded(entry)
                                                    : impl->launchAll(entry));
  NIBBLE_RETURN_IF_ERROR(impl->copyStaged(entry, false));
  return impl->done->mark(0);
}

Status Context::wait() {
  if (!impl->submitted)
    return Status();
  NIBBLE_RETURN_IF_ERROR(impl->done->wait(0));
  impl->setLanded(); // what came before is done, too
  return Status();
}

Result<bool> Context::isDone() {
  if (!impl->submitted)
    return true;
  return impl->done->reached(0);
}

Status Context::submitInParts(uint32_t entry, Timeline &timeline) {
  NIBBLE_RETURN_IF_ERROR(prepare(entry));
  NIBBLE_RETURN_IF_ERROR(impl->checkInputs(entry));
  NIBBLE_RETURN_IF_ERROR(timeline.mark(0));
  NIBBLE_RETURN_IF_ERROR(impl->copyStaged(entry, true));
  NIBBLE_RETURN_IF_ERROR(timeline.mark(1));
  NIBBLE_RETURN_IF_ERROR(impl->device().canRecord() ? impl->runRecorded(entry)
                                                    : impl->launchAll(entry));
  NIBBLE_RETURN_IF_ERROR(timeline.mark(2));
  NIBBLE_RETURN_IF_ERROR(impl->copyStaged(entry, false));
  return timeline.mark(3);
}

Status Context::issueInParts(uint32_t entry, Timeline &timeline) {
  NIBBLE_RETURN_IF_ERROR(impl->checkEntry(entry));
  NIBBLE_RETURN_IF_ERROR(impl->checkInputs(entry));
  NIBBLE_RETURN_IF_ERROR(impl->resolve(entry));
  uint32_t count = impl->info().entries[entry].launches.size();
  for (uint32_t i = 0; i < count; ++i) {
    NIBBLE_RETURN_IF_ERROR(timeline.mark(i));
    NIBBLE_RETURN_IF_ERROR(impl->launch(entry, i));
  }
  return timeline.mark(count);
}
