// Any text given to the PTX parser: a module or an error, never a crash.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "emulator/ptx/Ast.h"

#include <cstdlib>

using namespace nibble::emu::ptx;

static void touch(const Operand &operand, size_t &sum) {
  for (char c : operand.text)
    sum += static_cast<unsigned char>(c);
  for (const Operand &part : operand.parts)
    touch(part, sum);
}

/// Reads all that a module points to, so that a dangling view is found.
static size_t touch(const Module &module) {
  size_t sum = 0;
  for (const Variable &variable : module.variables)
    sum += variable.name.size() + variable.byteSize() + variable.bytes.size();
  for (const Function &function : module.functions) {
    for (const Variable &variable : function.variables)
      sum += variable.name.empty() ? 0 : variable.name[0];
    for (const auto &label : function.labels)
      if (label.index > function.body.size() || label.name.empty())
        std::abort();
    for (const Instruction &instruction : function.body)
      for (const Operand &operand : instruction.operands)
        touch(operand, sum);
  }
  return sum;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  std::string text(reinterpret_cast<const char *>(data), size);
  Module module;
  Error error = parse(std::move(text), module);
  if (error && error.message.empty())
    std::abort();
  if (!error)
    (void)touch(module);
  return 0;
}
