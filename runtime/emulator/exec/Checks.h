// What the emulator looks for beyond bounds and alignment; each can be
// switched off. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_CHECKS_H
#define NIBBLE_RT_EMULATOR_EXEC_CHECKS_H

#include <string>

namespace nibble {
namespace emu {

struct Checks {
  bool uninitialized = true; ///< shared and tensor memory that nobody wrote
  bool registers = true;     ///< registers without a value, where it matters
  bool pending = true; ///< use of memory that asynchronous work has in hand
  bool proxies = true; ///< missing fence.proxy.async
  bool waits = true;   ///< fences, groups and waits of wgmma
  bool races = true;   ///< between warps, on shared memory

  /// Registers that tcgen05.ld writes, and columns that it reads or tcgen05.st
  /// writes, before their tcgen05.wait. Not on by itself: CUTLASS counts on the
  /// order of registers and of its arrivals instead.
  bool tensorWaits = false;

  /// Switches off the checks of a list "races,registers" by the names above;
  /// "all" of them. "" or what is wrong with the list.
  std::string disable(const std::string &names);
  /// Switches them on.
  std::string enable(const std::string &names);
  /// The same for the lists in the variables NIBBLE_EMU_CHECK (on) and then
  /// NIBBLE_EMU_NO_CHECK (off), if they are there.
  std::string readEnvironment();
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_CHECKS_H
