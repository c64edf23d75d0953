// Directed rounding by the processor.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_ROUNDING_H
#define NIBBLE_RT_EMULATOR_ISA_ROUNDING_H

#include "isa/Half.h"

#if defined(__x86_64__)
#include <immintrin.h>
#elif !defined(__aarch64__)
#error "the emulator rounds by registers of x86-64 and of 64-bit Arm only"
#endif

namespace nibble {
namespace emu {

#if defined(__x86_64__)
/// MXCSR. Its field: nearest, down, up, zero.
struct RoundControl {
  using Register = unsigned;
  static constexpr unsigned kShift = 13, kFields[] = {0, 3, 1, 2};
  static Register read() { return _mm_getcsr(); }
  static void write(Register value) { _mm_setcsr(value); }
};
#define NIBBLE_EMU_FLOAT_REGISTER "x"
#else
/// FPCR. Its field: nearest, up, down, zero.
struct RoundControl {
  using Register = uint64_t;
  static constexpr unsigned kShift = 22, kFields[] = {0, 3, 2, 1};
  static Register read() {
    Register value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
  static void write(Register value) {
    asm volatile("msr fpcr, %0" : : "r"(value));
  }
};
#define NIBBLE_EMU_FLOAT_REGISTER "w"
#endif

/// While it lives, arithmetic of this thread rounds so. Compilers know nothing
/// of that: operands and results go through keep().
class Direction {
public:
  explicit Direction(Round mode) : before(RoundControl::read()) {
    using Register = RoundControl::Register;
    const Register field = RoundControl::kFields[unsigned(mode)];
    RoundControl::write((before & ~(Register(3) << RoundControl::kShift)) |
                        field << RoundControl::kShift);
  }
  ~Direction() { RoundControl::write(before); }
  Direction(const Direction &) = delete;

private:
  const RoundControl::Register before;
};

/// x, at this place of the program.
template <typename T> inline T keep(T x) {
  asm volatile("" : "+" NIBBLE_EMU_FLOAT_REGISTER(x));
  return x;
}
#undef NIBBLE_EMU_FLOAT_REGISTER

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_ROUNDING_H
