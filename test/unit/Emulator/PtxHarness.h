// Small PTX texts for tests.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_EMULATOR_PTXHARNESS_H
#define NIBBLE_TEST_EMULATOR_PTXHARNESS_H

#include "emulator/ptx/Ast.h"

#include <gtest/gtest.h>

namespace nibble {
namespace emu {
namespace ptx {

/// Lines 1 to 3 of every text, so that what follows begins at line 4.
inline const char *const kHeader =
    ".version 9.0\n.target sm_90a\n.address_size 64\n";

inline Module parsed(const std::string &text) {
  Module module;
  Error error = parse(kHeader + text, module);
  EXPECT_FALSE(error) << error.line << ": " << error.message << "\n" << text;
  return module;
}

/// A module whose kernel `k` has the statements, from line 5 on.
inline Module parsedBody(const std::string &statements) {
  return parsed(".entry k() {\n" + statements + "\n}\n");
}

/// "line: message" of what is wrong.
inline std::string errorOf(const std::string &text) {
  Module module;
  Error error = parse(kHeader + text, module);
  return error ? std::to_string(error.line) + ": " + error.message : "";
}

inline std::string errorOfBody(const std::string &statements) {
  return errorOf(".entry k() {\n" + statements + "\n}\n");
}

} // namespace ptx
} // namespace emu
} // namespace nibble

#endif // NIBBLE_TEST_EMULATOR_PTXHARNESS_H
