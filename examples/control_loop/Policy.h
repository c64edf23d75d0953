// A policy in an engine of two entry points that share a key/value cache.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_EXAMPLES_CONTROL_LOOP_POLICY_H
#define NIBBLE_EXAMPLES_CONTROL_LOOP_POLICY_H

#include "nibble/nibble.hpp"

#include <string>
#include <vector>

/// encode: x [1,tokens,width] fills the first slots of the cache.
/// act: x [1,1,width] and position [1] (int64) -> y [1,1,width]. Where act has
/// no position, the engine counts it in a state, and the host has nothing to
/// say from step to step.
/// x and y are f32 or f16. All calls return an error if the status is true.
class Policy {
public:
  /// Loads, stages, prepares and runs each entry point once: nothing is
  /// allocated later.
  nbl::Status open(const std::string &engine, const std::string &device,
                   const std::string &encodeName, const std::string &actName);

  int64_t tokens() const { return tokenCount; }
  /// Slots of the cache that a prompt leaves for steps.
  int64_t stepsPerPrompt() const { return slots - tokenCount; }
  int64_t cacheSlots() const { return slots; }
  uint64_t allocations() const { return device.allocations(); }
  std::string description() const { return device.description(); }

  /// Where the sensors write: values of the prompt, and of one step.
  void writePrompt(size_t i, float value) { write(prompt, i, value); }
  void writeObservation(size_t i, float value) { write(observation, i, value); }
  size_t promptSize() const { return prompt.size; }
  size_t observationSize() const { return observation.size; }

  /// Both only enqueue. A step goes to the slot behind the one before it.
  nbl::Status submitEncode();
  nbl::Status submitAct();
  /// Then the action can be read.
  nbl::Status wait() { return context.wait(); }
  float action(size_t i) const { return read(actionPort, i); }
  const void *actionBytes() const { return actionPort.memory; }
  uint64_t actionByteSize() const { return actionPort.bytes; }

private:
  struct Staged {
    void *memory = nullptr;
    uint64_t bytes = 0;
    size_t size = 0; ///< elements
    bool half = false;
  };

  nbl::Status stage(uint32_t entry, bool input, const std::string &name,
                    Staged &staged);
  bool hasInput(uint32_t entry, const std::string &name) const;
  nbl::Status measureCache();
  static void write(Staged &port, size_t i, float value);
  static float read(const Staged &port, size_t i);

  nbl::Engine engine;
  nbl::Device device;
  nbl::Session session;
  nbl::Context context;
  uint32_t encode = 0, act = 0;
  Staged prompt, observation, position, actionPort;
  int64_t tokenCount = 0, slots = 0, nextSlot = 0;
};

#endif // NIBBLE_EXAMPLES_CONTROL_LOOP_POLICY_H
