// The C interface, over the C++ one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/nibble.h"

#include "nibble/rt/session.h"

#include <exception>
#include <mutex>
#include <new>

using namespace nibble::rt;

struct nbl_status {
  nbl_code code;
  std::string message;
};

// Names in the metadata are not always followed by a zero byte as C wants it
// (a view may be cut), so the engine keeps copies.
struct PortStrings {
  std::string name, dtype;
  nbl_port port;
};

struct EntryStrings {
  std::string name;
  std::vector<PortStrings> inputs, outputs;
};

struct nbl_engine {
  std::shared_ptr<const Engine> engine;
  std::string target, command, report;
  std::vector<EntryStrings> entries;
  std::vector<PortStrings> states;
};

struct nbl_device {
  std::shared_ptr<Device> device;
  std::string description;
};

struct nbl_session {
  std::shared_ptr<Session> session;
};

struct nbl_context {
  std::unique_ptr<Context> context;
};

struct nbl_recording {
  Device *device;
  std::unique_ptr<Recording> recording;
};

namespace {
struct Log {
  std::mutex mutex;
  nbl_log_callback callback = nullptr;
  void *user = nullptr;
};
} // namespace

static Log &theLog() {
  static Log log;
  return log;
}

static void log(nbl_severity severity, const char *source,
                const std::string &message) {
  nbl_log_callback callback = nullptr;
  void *user = nullptr;
  {
    std::lock_guard<std::mutex> lock(theLog().mutex);
    callback = theLog().callback;
    user = theLog().user;
  }
  if (callback)
    callback(user, severity, source, message.c_str());
}

/// What is left to say when there is no memory to say it.
static nbl_status *outOfMemory() {
  static nbl_status status{NBL_OUT_OF_MEMORY, "out of memory"};
  return &status;
}

static nbl_status *toC(const char *source, const Status &status) {
  if (status.ok())
    return nullptr;
  auto *result = new (std::nothrow)
      nbl_status{static_cast<nbl_code>(status.code()), status.str()};
  if (!result)
    return outOfMemory();
  log(NBL_LOG_ERROR, source, result->message);
  return result;
}

/// Runs the body of a C function: nothing may be thrown through it.
template <typename Body>
static nbl_status *guarded(const char *source, Body body) {
  try {
    return toC(source, body());
  } catch (const std::bad_alloc &) {
    return outOfMemory();
  } catch (const std::exception &failure) {
    return toC(source, error(Code::Internal, "%s", failure.what()));
  }
}

static Status nullArgument(const char *name) {
  return error(Code::InvalidArgument, "%s is NULL", name);
}

uint32_t nbl_api_version(void) { return NBL_API_VERSION; }

nbl_code nbl_status_code(const nbl_status *status) {
  return status ? status->code : NBL_OK;
}

const char *nbl_status_message(const nbl_status *status) {
  return status ? status->message.c_str() : "ok";
}

void nbl_status_free(nbl_status *status) {
  if (status != outOfMemory())
    delete status;
}

void nbl_set_log_callback(nbl_log_callback callback, void *user) {
  std::lock_guard<std::mutex> lock(theLog().mutex);
  theLog().callback = callback;
  theLog().user = user;
}

static std::vector<PortStrings> copyPorts(const std::vector<PortInfo> &ports) {
  std::vector<PortStrings> out;
  for (const PortInfo &port : ports) {
    PortStrings copy;
    copy.name = std::string(port.name);
    copy.dtype = std::string(port.dtype);
    copy.port = {nullptr, nullptr, port.shape.data(),
                 uint32_t(port.shape.size()), port.byteSize};
    out.push_back(std::move(copy));
  }
  // Only now: strings move when the vector grows.
  for (PortStrings &copy : out) {
    copy.port.name = copy.name.c_str();
    copy.port.dtype = copy.dtype.c_str();
  }
  return out;
}

static std::unique_ptr<nbl_engine>
wrapEngine(std::shared_ptr<const Engine> engine) {
  auto handle = std::make_unique<nbl_engine>();
  const EngineInfo &info = engine->info();
  handle->target = std::string(info.target);
  handle->command = std::string(info.command);
  handle->report = std::string(info.report);
  handle->states = copyPorts(info.states);
  for (const EntryInfo &entry : info.entries) {
    EntryStrings strings;
    strings.name = std::string(entry.name);
    strings.inputs = copyPorts(entry.inputs);
    strings.outputs = copyPorts(entry.outputs);
    handle->entries.push_back(std::move(strings));
  }
  handle->engine = std::move(engine);
  return handle;
}

nbl_status *nbl_engine_load(const char *path, uint32_t flags,
                            nbl_engine **engine) {
  return guarded("engine", [&]() -> Status {
    if (!path || !engine)
      return nullArgument(path ? "engine" : "path");
    if (flags & ~NBL_LOAD_CHECK_BLOBS)
      return error(Code::InvalidArgument, "unknown load flags 0x%x", flags);
    LoadOptions options;
    options.checkBlobs = flags & NBL_LOAD_CHECK_BLOBS;
    auto loaded = Engine::load(path, options);
    if (!loaded.ok())
      return loaded.status();
    *engine = wrapEngine(*loaded).release();
    return Status();
  });
}

void nbl_engine_free(nbl_engine *engine) { delete engine; }

const char *nbl_engine_target(const nbl_engine *engine) {
  return engine ? engine->target.c_str() : "";
}

const char *nbl_engine_command(const nbl_engine *engine) {
  return engine ? engine->command.c_str() : "";
}

const char *nbl_engine_report(const nbl_engine *engine) {
  return engine ? engine->report.c_str() : "";
}

uint32_t nbl_engine_entry_count(const nbl_engine *engine) {
  return engine ? uint32_t(engine->entries.size()) : 0;
}

const char *nbl_engine_entry_name(const nbl_engine *engine, uint32_t entry) {
  if (!engine || entry >= engine->entries.size())
    return "";
  return engine->entries[entry].name.c_str();
}

nbl_status *nbl_engine_find_entry(const nbl_engine *engine, const char *name,
                                  uint32_t *entry) {
  return guarded("engine", [&]() -> Status {
    if (!engine || !name || !entry)
      return nullArgument("engine, name or entry");
    Result<uint32_t> found = engine->engine->findEntry(name);
    if (found.ok())
      *entry = *found;
    return found.status();
  });
}

uint32_t nbl_engine_input_count(const nbl_engine *engine, uint32_t entry) {
  bool valid = engine && entry < engine->entries.size();
  return valid ? uint32_t(engine->entries[entry].inputs.size()) : 0;
}

uint32_t nbl_engine_output_count(const nbl_engine *engine, uint32_t entry) {
  bool valid = engine && entry < engine->entries.size();
  return valid ? uint32_t(engine->entries[entry].outputs.size()) : 0;
}

uint32_t nbl_engine_state_count(const nbl_engine *engine) {
  return engine ? uint32_t(engine->states.size()) : 0;
}

static Status getPort(const std::vector<PortStrings> &ports, const char *what,
                      uint32_t index, nbl_port *port) {
  if (!port)
    return nullArgument("port");
  if (index >= ports.size())
    return error(Code::InvalidArgument, "%s %u of %zu", what, index,
                 ports.size());
  *port = ports[index].port;
  return Status();
}

static Status checkEntry(const nbl_engine *engine, uint32_t entry) {
  if (!engine)
    return nullArgument("engine");
  if (entry >= engine->entries.size())
    return error(Code::InvalidArgument, "entry point %u of %zu", entry,
                 engine->entries.size());
  return Status();
}

nbl_status *nbl_engine_input(const nbl_engine *engine, uint32_t entry,
                             uint32_t index, nbl_port *port) {
  return guarded("engine", [&]() -> Status {
    NIBBLE_RETURN_IF_ERROR(checkEntry(engine, entry));
    return getPort(engine->entries[entry].inputs, "input", index, port);
  });
}

nbl_status *nbl_engine_output(const nbl_engine *engine, uint32_t entry,
                              uint32_t index, nbl_port *port) {
  return guarded("engine", [&]() -> Status {
    NIBBLE_RETURN_IF_ERROR(checkEntry(engine, entry));
    return getPort(engine->entries[entry].outputs, "output", index, port);
  });
}

nbl_status *nbl_engine_state(const nbl_engine *engine, uint32_t index,
                             nbl_port *port) {
  return guarded("engine", [&]() -> Status {
    if (!engine)
      return nullArgument("engine");
    return getPort(engine->states, "state", index, port);
  });
}

static nbl_status *createNamed(const char *name, const DeviceOptions &options,
                               nbl_device **device) {
  return guarded("device", [&]() -> Status {
    if (!name || !device)
      return nullArgument(name ? "device" : "name");
    auto created = createDevice(name, options);
    if (!created.ok())
      return created.status();
    std::string description = (*created)->description();
    log(NBL_LOG_INFO, "device", std::string(name) + ": " + description);
    *device = new nbl_device{*created, std::move(description)};
    return Status();
  });
}

nbl_status *nbl_device_create(const char *name, uint32_t threads,
                              nbl_device **device) {
  DeviceOptions options;
  options.threads = threads;
  return createNamed(name, options, device);
}

nbl_status *nbl_device_create_on_stream(const char *name, void *stream,
                                        nbl_device **device) {
  DeviceOptions options;
  options.stream = stream;
  return createNamed(name, options, device);
}

void nbl_device_free(nbl_device *device) { delete device; }

const char *nbl_device_description(const nbl_device *device) {
  return device ? device->description.c_str() : "";
}

nbl_status *nbl_session_create(nbl_engine *engine, nbl_device *device,
                               nbl_session **session) {
  return guarded("session", [&]() -> Status {
    if (!engine || !device || !session)
      return nullArgument("engine, device or session");
    auto created = Session::create(engine->engine, device->device);
    if (!created.ok())
      return created.status();
    *session = new nbl_session{*created};
    return Status();
  });
}

void nbl_session_free(nbl_session *session) { delete session; }

nbl_status *nbl_context_create(nbl_session *session, nbl_context **context) {
  return guarded("context", [&]() -> Status {
    if (!session || !context)
      return nullArgument("session or context");
    auto created = Context::create(session->session);
    if (!created.ok())
      return created.status();
    *context = new nbl_context{std::move(*created)};
    return Status();
  });
}

void nbl_context_free(nbl_context *context) { delete context; }

/// A call on a context; `data` may be null only for zero bytes or to unbind.
template <typename Body>
static nbl_status *onContext(nbl_context *context, const void *data,
                             uint64_t bytes, bool mayBeNull, Body body) {
  return guarded("context", [&]() -> Status {
    if (!context)
      return nullArgument("context");
    if (!data && bytes && !mayBeNull)
      return nullArgument("data");
    return body(*context->context);
  });
}

nbl_status *nbl_context_set_input(nbl_context *context, uint32_t entry,
                                  uint32_t input, const void *data,
                                  uint64_t bytes) {
  return onContext(context, data, bytes, false, [&](Context &c) {
    return c.setInput(entry, input, data, bytes);
  });
}

nbl_status *nbl_context_get_output(nbl_context *context, uint32_t entry,
                                   uint32_t output, void *data,
                                   uint64_t bytes) {
  return onContext(context, data, bytes, false, [&](Context &c) {
    return c.getOutput(entry, output, data, bytes);
  });
}

nbl_status *nbl_context_bind_input(nbl_context *context, uint32_t entry,
                                   uint32_t input, const void *data,
                                   uint64_t bytes) {
  return onContext(context, data, bytes, true, [&](Context &c) {
    return c.bindInput(entry, input, data, bytes);
  });
}

nbl_status *nbl_context_bind_output(nbl_context *context, uint32_t entry,
                                    uint32_t output, void *data,
                                    uint64_t bytes) {
  return onContext(context, data, bytes, true, [&](Context &c) {
    return c.bindOutput(entry, output, data, bytes);
  });
}

nbl_status *nbl_context_set_state(nbl_context *context, uint32_t state,
                                  const void *data, uint64_t bytes) {
  return onContext(context, data, bytes, false,
                   [&](Context &c) { return c.setState(state, data, bytes); });
}

nbl_status *nbl_context_get_state(nbl_context *context, uint32_t state,
                                  void *data, uint64_t bytes) {
  return onContext(context, data, bytes, false,
                   [&](Context &c) { return c.getState(state, data, bytes); });
}

nbl_status *nbl_context_reset_states(nbl_context *context) {
  return onContext(context, nullptr, 0, true,
                   [&](Context &c) { return c.resetStates(); });
}

nbl_status *nbl_context_enqueue(nbl_context *context, uint32_t entry) {
  return onContext(context, nullptr, 0, true,
                   [&](Context &c) { return c.issue(entry); });
}

nbl_status *nbl_context_run(nbl_context *context, uint32_t entry) {
  return onContext(context, nullptr, 0, true,
                   [&](Context &c) { return c.run(entry); });
}

nbl_status *nbl_context_prepare(nbl_context *context, uint32_t entry) {
  return onContext(context, nullptr, 0, true,
                   [&](Context &c) { return c.prepare(entry); });
}

/// Hands out memory that a context has, or says why it has none.
template <typename Memory>
static Status handOut(const Result<Memory> &found, Memory *memory) {
  if (!found.ok())
    return found.status();
  *memory = *found;
  return Status();
}

nbl_status *nbl_context_stage_input(nbl_context *context, uint32_t entry,
                                    uint32_t input, void **memory) {
  return onContext(context, memory, 1, false, [&](Context &c) {
    return handOut(c.stageInput(entry, input), memory);
  });
}

nbl_status *nbl_context_stage_output(nbl_context *context, uint32_t entry,
                                     uint32_t output, const void **memory) {
  return onContext(context, memory, 1, false, [&](Context &c) {
    return handOut(c.stageOutput(entry, output), memory);
  });
}

nbl_status *nbl_context_submit(nbl_context *context, uint32_t entry) {
  return onContext(context, nullptr, 0, true,
                   [&](Context &c) { return c.submit(entry); });
}

nbl_status *nbl_context_wait(nbl_context *context) {
  return onContext(context, nullptr, 0, true,
                   [&](Context &c) { return c.wait(); });
}

nbl_status *nbl_context_is_done(nbl_context *context, int *done) {
  return onContext(context, done, 1, false, [&](Context &c) -> Status {
    Result<bool> found = c.isDone();
    if (found.ok())
      *done = *found;
    return found.status();
  });
}

uint64_t nbl_device_allocations(const nbl_device *device) {
  return device ? device->device->allocations() : 0;
}

nbl_status *nbl_context_run_probed(nbl_context *context, uint32_t entry,
                                   nbl_probe probe, void *user) {
  return onContext(context, nullptr, 0, true, [&](Context &c) -> Status {
    if (!probe)
      return nullArgument("probe");
    RunOptions options;
    options.probe = [&](const ProbeEvent &event) {
      std::string layer(event.info->layer), op(event.info->op);
      if (probe(user, event.launch, layer.c_str(), op.c_str(), event.seconds))
        return error(Code::InvalidArgument, "stopped by the probe");
      return Status();
    };
    return c.run(entry, options);
  });
}

static Status checkContexts(nbl_context *const *contexts, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    if (!contexts[i])
      return nullArgument("a context");
    if (&contexts[i]->context->session().device() !=
        &contexts[0]->context->session().device())
      return error(Code::InvalidArgument,
                   "contexts 0 and %u are of different devices", i);
  }
  return Status();
}

nbl_status *nbl_recording_create(nbl_context *const *contexts,
                                 const uint32_t *entries, uint32_t count,
                                 nbl_recording **recording) {
  return guarded("recording", [&]() -> Status {
    if (!contexts || !entries || !recording)
      return nullArgument("contexts, entries or recording");
    if (!count)
      return error(Code::InvalidArgument, "a recording of no runs");
    NIBBLE_RETURN_IF_ERROR(checkContexts(contexts, count));
    Device &device = contexts[0]->context->session().device();
    auto made = device.record([&]() -> Status {
      for (uint32_t i = 0; i < count; ++i)
        NIBBLE_RETURN_IF_ERROR(contexts[i]->context->issue(entries[i]));
      return Status();
    });
    if (!made.ok())
      return made.status();
    *recording = new nbl_recording{&device, std::move(*made)};
    return Status();
  });
}

void nbl_recording_free(nbl_recording *recording) { delete recording; }

nbl_status *nbl_recording_replay(nbl_recording *recording, uint32_t replays,
                                 double *seconds) {
  return guarded("recording", [&]() -> Status {
    if (!recording)
      return nullArgument("recording");
    Result<double> time = recording->device->time([&]() -> Status {
      for (uint32_t i = 0; i < replays; ++i)
        NIBBLE_RETURN_IF_ERROR(recording->recording->replay());
      return Status();
    });
    if (time.ok() && seconds)
      *seconds = *time;
    return time.status();
  });
}
