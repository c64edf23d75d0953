// What atomics and reductions do to a number in memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_COMBINE_H
#define NIBBLE_RT_EMULATOR_ISA_COMBINE_H

#include <cstdint>
#include <type_traits>

namespace nibble {
namespace emu {

enum AtomicOp : uint8_t {
  kAdd,
  kMin,
  kMax,
  kInc,
  kDec,
  kAnd,
  kOr,
  kXor,
  kExch,
  kCas
};

/// Integers and bits.
template <typename T> struct OfIntegers {
  using Bits = std::make_unsigned_t<T>;
  static Bits combine(AtomicOp op, Bits oldBits, Bits bBits, Bits c = 0,
                      bool = false) {
    T old = T(oldBits), b = T(bBits);
    switch (op) {
    case kAdd:
      return Bits(oldBits + bBits);
    case kMin:
      return Bits(b < old ? b : old);
    case kMax:
      return Bits(old < b ? b : old);
    case kInc:
      return oldBits >= bBits ? 0 : Bits(oldBits + 1);
    case kDec:
      return oldBits == 0 || oldBits > bBits ? bBits : Bits(oldBits - 1);
    case kAnd:
      return oldBits & bBits;
    case kOr:
      return oldBits | bBits;
    case kXor:
      return oldBits ^ bBits;
    case kExch:
      return bBits;
    case kCas:
      return oldBits == bBits ? c : oldBits;
    }
    return oldBits;
  }
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_COMBINE_H
