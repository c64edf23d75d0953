// From options to an engine that is ready to run.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Execution.h"

#include "nibble/rt/generator.h"
#include "nibble/rt/options.h"

#include <chrono>

using namespace nibble::rt;
using namespace nibble::rt::cli;

double cli::now() {
  return std::chrono::duration<double>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

double cli::secondsSince(double start) { return now() - start; }

std::string cli::printable(std::string_view text) {
  std::string out;
  for (char c : text.substr(0, 4096))
    out += static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c;
  return out;
}

std::string cli::describePort(const PortInfo &port) {
  return describe(printable(port.dtype), port.shape.data(), port.shape.size());
}

int cli::fail(const Status &status, Streams streams) {
  streams.talk << "error: " << printable(status.str()) << "\n";
  return exitCode(status.code());
}

Result<uint32_t> cli::findPort(const std::vector<PortInfo> &ports,
                               const char *what, const std::string &name) {
  std::string known;
  for (uint32_t i = 0; i < ports.size(); ++i) {
    if (ports[i].name == name)
      return i;
    known += (i ? ", " : "") + printable(ports[i].name);
  }
  return error(Code::NotFound, "no %s '%s'; the entry point has: %s", what,
               name.c_str(), known.empty() ? "none" : known.c_str());
}

Result<std::pair<std::string, std::string>>
cli::parseFileArgument(const std::string &text) {
  Result<KeyValue> pair = parseKeyValue(text);
  if (!pair.ok() || pair->value[0] != '@' || pair->value.size() < 2)
    return error(Code::InvalidArgument,
                 "'%s' is not of the form NAME=@FILE.npy", text.c_str());
  return std::make_pair(pair->key, pair->value.substr(1));
}

/// An input from a file or a generator, brought to what the port wants.
static Result<Array> makeInput(const PortInfo &port, const std::string &source,
                               Streams streams) {
  std::string dtype(port.dtype);
  if (source[0] != '@') {
    Result<Generator> generator = parseGenerator(source);
    if (!generator.ok())
      return generator.status();
    return generate(*generator, dtype, port.shape);
  }
  Result<Array> array = readNpy(source.substr(1));
  if (!array.ok())
    return array.status();
  std::string note;
  Result<Array> adapted =
      adaptArray(std::move(*array), dtype, port.shape, note);
  if (adapted.ok() && !note.empty())
    streams.talk << "note: input '" << printable(port.name) << "': " << note
                 << "\n";
  return adapted;
}

static Status setInput(Execution &e, uint32_t input, const std::string &source,
                       Streams streams) {
  const PortInfo &port = e.info().inputs[input];
  std::string where = "input '" + printable(port.name) + "'";
  Result<Array> array = makeInput(port, source, streams);
  if (!array.ok())
    return Status(array.status()).withContext(where);
  // Scaled buffers may be longer than their linear size.
  array->data.resize(port.byteSize);
  return e.context->setInput(e.entry, input, array->data.data(), port.byteSize)
      .withContext(where);
}

static std::string defaultSource(const PortInfo &port) {
  return isFloatFormat(parseElem(port.dtype)) ? "normal:seed=1" : "zeros";
}

static Status setInputs(Execution &e, const std::vector<std::string> &inputs,
                        Missing missing, Streams streams) {
  std::vector<bool> given(e.info().inputs.size());
  for (const std::string &text : inputs) {
    Result<KeyValue> pair = parseKeyValue(text);
    if (!pair.ok())
      return Status(pair.status()).withContext("--input");
    Result<uint32_t> input = findPort(e.info().inputs, "input", pair->key);
    if (!input.ok())
      return input.status();
    if (given[*input])
      return error(Code::InvalidArgument, "--input '%s' is given twice",
                   pair->key.c_str());
    given[*input] = true;
    NIBBLE_RETURN_IF_ERROR(setInput(e, *input, pair->value, streams));
  }
  for (uint32_t i = 0; i < given.size(); ++i) {
    if (given[i])
      continue;
    const PortInfo &port = e.info().inputs[i];
    std::string source = defaultSource(port);
    if (missing == Missing::Refuse)
      return error(Code::InvalidArgument,
                   "input '%s' (%s) is not given: add --input %s=@FILE.npy or "
                   "--input %s=%s",
                   printable(port.name).c_str(), describePort(port).c_str(),
                   printable(port.name).c_str(), printable(port.name).c_str(),
                   source.c_str());
    streams.talk << "note: input '" << printable(port.name)
                 << "' is not given, using " << source << "\n";
    NIBBLE_RETURN_IF_ERROR(setInput(e, i, source, streams));
  }
  return Status();
}

static Status load(const ExecuteOptions &options, Execution &e) {
  LoadOptions load;
  load.checkBlobs = options.check;
  auto engine = Engine::load(options.engine, load);
  if (engine.ok())
    e.engine = *engine;
  return engine.status();
}

static Status openDevice(const ExecuteOptions &options, Execution &e) {
  DeviceOptions deviceOptions;
  deviceOptions.threads = options.threads;
  deviceOptions.graphs = options.graphs;
  deviceOptions.target = std::string(e.engine->info().target);
  auto device = createDevice(options.device, deviceOptions);
  if (!device.ok())
    return device.status();
  e.device = *device;
  auto session = Session::create(e.engine, e.device);
  if (!session.ok())
    return session.status();
  e.session = *session;
  auto context = Context::create(e.session);
  if (!context.ok())
    return context.status();
  e.context = std::move(*context);
  return Status();
}

Status cli::open(const ExecuteOptions &options, Execution &e) {
  double start = now();
  NIBBLE_RETURN_IF_ERROR(load(options, e));
  NIBBLE_RETURN_IF_ERROR(openDevice(options, e));
  e.loadSeconds = secondsSince(start);
  return Status();
}

Status cli::prepare(const ExecuteOptions &options, Missing missing,
                    Streams streams, Execution &execution) {
  double start = now();
  NIBBLE_RETURN_IF_ERROR(load(options, execution));
  Result<uint32_t> entry = execution.engine->findEntry(options.entry);
  if (!entry.ok())
    return entry.status();
  execution.entry = *entry;
  NIBBLE_RETURN_IF_ERROR(openDevice(options, execution));
  execution.loadSeconds = secondsSince(start);
  return setInputs(execution, options.inputs, missing, streams);
}
