// Directed rounding by the processor.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_ROUNDING_H
#define NIBBLE_RT_EMULATOR_ISA_ROUNDING_H

#include "isa/Half.h"

#include <immintrin.h>

namespace nibble {
namespace emu {

/// While it lives, arithmetic of this thread rounds so. Compilers know nothing
/// of that: operands and results go through keep().
class Direction {
public:
  explicit Direction(Round mode) : before(_mm_getcsr()) {
    // Round control of MXCSR: nearest, down, up, zero.
    static constexpr unsigned kControl[] = {0, 3, 1, 2};
    _mm_setcsr((before & ~0x6000u) | kControl[unsigned(mode)] << 13);
  }
  ~Direction() { _mm_setcsr(before); }
  Direction(const Direction &) = delete;

private:
  unsigned before;
};

/// x, at this place of the program.
template <typename T> inline T keep(T x) {
  asm volatile("" : "+x"(x));
  return x;
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_ROUNDING_H
