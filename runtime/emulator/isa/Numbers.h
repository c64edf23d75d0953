// Bits as numbers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_NUMBERS_H
#define NIBBLE_RT_EMULATOR_ISA_NUMBERS_H

#include <cstdint>
#include <cstring>

namespace nibble {
namespace emu {

template <typename To, typename From> inline To bitCast(From from) {
  static_assert(sizeof(To) == sizeof(From), "sizes differ");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_NUMBERS_H
