// How nibble-emu is told what to launch.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TOOLS_NIBBLE_EMU_LAUNCHES_H
#define NIBBLE_TOOLS_NIBBLE_EMU_LAUNCHES_H

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

struct Options {
  std::string file, kernel, grid = "1", block = "1", cluster = "1",
                            sums = "exact";
  std::vector<std::string> arguments;
  uint32_t shared = 0;
  unsigned threads = 0;
  uint64_t seed = 1, maxInstructions = 0;
  std::string seeds; ///< "A..B", or empty: only `seed`
  std::vector<std::string> withChecks, withoutChecks;
  std::string launch; ///< a file that says all of the above
  std::string target; ///< a file with the limits of a machine, or empty
  bool json = false, list = false;
};

/// "3..100" or "7". False if it is neither.
bool parseSeeds(const std::string &text, uint64_t &first, uint64_t &last);

/// Options from a file (docs/emulator.md, schema nibble.emu-launch/1); paths in
/// it are relative to it. "" or what is wrong.
std::string readLaunch(const std::string &path, Options &options);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_TOOLS_NIBBLE_EMU_LAUNCHES_H
