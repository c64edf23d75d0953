// Machine files of the time model.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/KernelSelect/TimeModel.h"

#include "EmbeddedMachines.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/MemoryBuffer.h"

using namespace nibble;

namespace {
struct Field {
  const char *name;
  double TimeMachine::*into;
};
} // namespace

/// Of the datasheet, beside what the emulator reads.
static constexpr Field kSheet[] = {
    {"sms", &TimeMachine::sms},
    {"shared_bytes_per_clock", &TimeMachine::sharedPerClock}};

static constexpr Field kModel[] = {
    {"clock_ghz", &TimeMachine::clockGHz},
    {"clock_loss", &TimeMachine::clockLoss},
    {"dram_gb_per_s", &TimeMachine::dramGBs},
    {"l2_mib", &TimeMachine::l2MiB},
    {"l2_bytes_per_clock", &TimeMachine::l2PerClock},
    {"launch_us", &TimeMachine::launchUs},
    {"start_clocks", &TimeMachine::startClocks},
    {"latency_clocks", &TimeMachine::latencyClocks},
    {"tile_clocks", &TimeMachine::tileClocks},
    {"stage_clocks", &TimeMachine::stageClocks},
    {"issue_clocks", &TimeMachine::issueClocks},
    {"store_bytes_per_clock", &TimeMachine::storePerClock},
    {"exchange_clocks", &TimeMachine::exchangeClocks},
    {"overlap", &TimeMachine::overlap},
    {"row_latency_us", &TimeMachine::rowLatencyUs},
    {"row_bandwidth", &TimeMachine::rowBandwidth},
    {"attention_latency_us", &TimeMachine::attentionLatencyUs},
    {"attention_rate", &TimeMachine::attentionRate}};

static llvm::Error fail(llvm::StringRef path, const llvm::Twine &what) {
  return llvm::createStringError(llvm::Twine("machine file '") + path + "' " +
                                 what);
}

/// Rates divide: only a loss may be 0.
static llvm::Error read(const llvm::json::Object &object,
                        llvm::ArrayRef<Field> fields, TimeMachine &machine,
                        llvm::StringRef path) {
  for (const Field &field : fields) {
    auto number = object.getNumber(field.name);
    bool mayBeZero = field.into == &TimeMachine::clockLoss;
    if (!number || *number < 0 || (*number == 0 && !mayBeZero))
      return fail(path,
                  llvm::Twine("has no number above 0 in '") + field.name + "'");
    machine.*field.into = *number;
  }
  if (machine.clockLoss >= 1)
    return fail(path, "loses all clocks: 'clock_loss' is a share below 1");
  return llvm::Error::success();
}

llvm::Expected<TimeMachine> nibble::parseTimeMachine(llvm::StringRef text,
                                                     llvm::StringRef path) {
  auto value = llvm::json::parse(text);
  if (!value)
    return fail(path, "is no JSON: " + llvm::toString(value.takeError()));
  const llvm::json::Object *object = value->getAsObject();
  if (!object || object->getString("schema") != "nibble.emu-target/1")
    return fail(path, "is not of schema nibble.emu-target/1");
  const llvm::json::Object *model = object->getObject("model"),
                           *rates =
                               object->getObject("multiply_adds_per_clock");
  if (!model || !rates)
    return fail(path, "has no 'model' or no 'multiply_adds_per_clock'");
  TimeMachine machine;
  machine.name = object->getString("name").value_or(path).str();
  machine.source = model->getString("source").value_or("").str();
  machine.measured = model->getBoolean("measured").value_or(false);
  const Field rate[] = {{"f16", &TimeMachine::f16PerClock}};
  if (llvm::Error error = read(*object, kSheet, machine, path))
    return error;
  if (llvm::Error error = read(*rates, rate, machine, path))
    return error;
  if (llvm::Error error = read(*model, kModel, machine, path))
    return error;
  return machine;
}

llvm::Expected<TimeMachine> nibble::loadTimeMachine(llvm::StringRef path) {
  auto file = llvm::MemoryBuffer::getFile(path);
  if (!file)
    return fail(path, "cannot be read: " + file.getError().message());
  return parseTimeMachine((*file)->getBuffer(), path);
}

namespace {
struct BuiltIn {
  llvm::StringRef target;
  TimeMachine machine;
};
} // namespace

/// A test reads the same files; a broken one never gets this far.
static BuiltIn readBuiltIn(const EmbeddedMachine &embedded) {
  auto machine = parseTimeMachine(embedded.text, embedded.target);
  if (machine)
    return {embedded.target, *machine};
  llvm::consumeError(machine.takeError());
  return {"", {}};
}

const TimeMachine *nibble::getTimeMachine(llvm::StringRef target) {
  static const std::vector<BuiltIn> machines = [] {
    std::vector<BuiltIn> all;
    for (const EmbeddedMachine &embedded : kEmbeddedMachines)
      all.push_back(readBuiltIn(embedded));
    return all;
  }();
  for (const BuiltIn &builtIn : machines)
    if (builtIn.target == target)
      return &builtIn.machine;
  return nullptr;
}
