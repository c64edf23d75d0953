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
  bool waits = true; ///< fences, groups and waits of wgmma, tcgen05.ld and .st
  bool races = true; ///< between warps, on shared memory

  /// Switches off the checks of a list "races,registers" by the names above;
  /// "all" of them. "" or what is wrong with the list.
  std::string disable(const std::string &names);
  /// The same for the list in the variable NIBBLE_EMU_NO_CHECK, if it is there.
  std::string disableFromEnvironment();
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_CHECKS_H
