// A policy in an engine of two entry points that share a key/value cache.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Policy.h"

#include <cmath>
#include <cstdio>
#include <cstring>

#define RETURN_IF_ERROR(expr)                                                  \
  if (nbl::Status status_ = (expr))                                            \
  return status_

nbl::Status Policy::open(const std::string &file, const std::string &deviceName,
                         const std::string &encodeName,
                         const std::string &actName) {
  RETURN_IF_ERROR(nbl::Engine::load(file, engine));
  RETURN_IF_ERROR(nbl::Device::create(deviceName, device));
  RETURN_IF_ERROR(nbl::Session::create(engine, device, session));
  RETURN_IF_ERROR(nbl::Context::create(session, context));
  RETURN_IF_ERROR(engine.findEntry(encodeName, encode));
  RETURN_IF_ERROR(engine.findEntry(actName, act));
  RETURN_IF_ERROR(stage(encode, true, "x", prompt));
  RETURN_IF_ERROR(stage(act, true, "x", observation));
  if (hasInput(act, "position"))
    RETURN_IF_ERROR(stage(act, true, "position", position));
  RETURN_IF_ERROR(stage(act, false, "y", actionPort));
  RETURN_IF_ERROR(measureCache());
  for (Staged *port : {&prompt, &observation})
    std::memset(port->memory, 0, port->bytes);
  RETURN_IF_ERROR(context.prepare(encode));
  RETURN_IF_ERROR(context.prepare(act));
  RETURN_IF_ERROR(submitEncode());
  RETURN_IF_ERROR(submitAct());
  RETURN_IF_ERROR(wait());
  return context.resetStates();
}

bool Policy::hasInput(uint32_t entry, const std::string &name) const {
  nbl_port port;
  for (uint32_t i = 0; i < engine.inputCount(entry); ++i)
    if (!engine.input(entry, i, port) && name == port.name)
      return true;
  return false;
}

/// The tokens of the prompt and the slots of the cache are in the shapes.
nbl::Status Policy::measureCache() {
  nbl_port port;
  RETURN_IF_ERROR(engine.input(encode, 0, port));
  tokenCount = port.rank == 3 ? port.shape[1] : 0;
  for (uint32_t i = 0; i < engine.stateCount(); ++i) {
    RETURN_IF_ERROR(nbl_engine_state(engine.get(), i, &port));
    if (port.rank == 4)
      slots = port.shape[2];
  }
  return {};
}

/// A port by name. f16 values are converted where they are read and written.
nbl::Status Policy::stage(uint32_t entry, bool input, const std::string &name,
                          Staged &staged) {
  uint32_t count = input ? engine.inputCount(entry) : engine.outputCount(entry);
  nbl_port port;
  uint32_t index = 0;
  for (; index < count; ++index) {
    RETURN_IF_ERROR(input ? engine.input(entry, index, port)
                          : engine.output(entry, index, port));
    if (name == port.name)
      break;
  }
  // A number that no port has makes the library say what is wrong.
  void *memory = nullptr;
  const void *result = nullptr;
  RETURN_IF_ERROR(input ? context.stageInput(entry, index, memory)
                        : context.stageOutput(entry, index, result));
  staged.memory = input ? memory : const_cast<void *>(result);
  staged.bytes = port.bytes;
  staged.half = std::strcmp(port.dtype, "f16") == 0;
  staged.size = port.bytes / (staged.half ? 2 : 4);
  return {};
}

nbl::Status Policy::submitEncode() {
  nextSlot = tokenCount;
  return context.submit(encode);
}

nbl::Status Policy::submitAct() {
  if (position.memory)
    std::memcpy(position.memory, &nextSlot, sizeof nextSlot);
  ++nextSlot;
  return context.submit(act);
}

/// Rounds to nearest, ties to even; small values of a sensor need no more.
static uint16_t toHalf(float value) {
  int exponent = 0;
  float mantissa = std::frexp(std::fabs(value), &exponent); // [0.5, 1)
  uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  if (value == 0 || exponent < -13)
    return uint16_t(sign |
                    uint16_t(std::nearbyint(std::ldexp(std::fabs(value), 24))));
  auto bits = uint32_t(std::nearbyint(std::ldexp(mantissa, 11))); // 1024..2048
  uint32_t code = (uint32_t(exponent + 14) << 10) + (bits - 1024);
  return uint16_t(sign | (code < 0x7c00 ? code : 0x7c00));
}

static float fromHalf(uint16_t code) {
  int exponent = (code >> 10) & 31, mantissa = code & 1023;
  float value = exponent == 0
                    ? std::ldexp(float(mantissa), -24)
                    : std::ldexp(float(mantissa + 1024), exponent - 25);
  if (exponent == 31)
    value = mantissa ? NAN : INFINITY;
  return code & 0x8000 ? -value : value;
}

void Policy::write(Staged &port, size_t i, float value) {
  if (port.half)
    static_cast<uint16_t *>(port.memory)[i] = toHalf(value);
  else
    static_cast<float *>(port.memory)[i] = value;
}

float Policy::read(const Staged &port, size_t i) {
  return port.half ? fromHalf(static_cast<const uint16_t *>(port.memory)[i])
                   : static_cast<const float *>(port.memory)[i];
}
