// Handlers by type: instantiations of a shape for the types that PTX has.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_ISA_SELECT_H
#define NIBBLE_RT_EMULATOR_ISA_SELECT_H

#include "exec/Lanes.h"
#include "isa/Decoder.h"

namespace nibble {
namespace emu {

/// Calls `f` with a value of the C++ type of an integer or bit type.
template <typename F> Handler byInteger(ptx::Type type, F f) {
  using T = ptx::Type;
  switch (type) {
  case T::B16:
  case T::U16:
    return f(uint16_t());
  case T::S16:
    return f(int16_t());
  case T::B32:
  case T::U32:
    return f(uint32_t());
  case T::S32:
    return f(int32_t());
  case T::B64:
  case T::U64:
    return f(uint64_t());
  case T::S64:
    return f(int64_t());
  default:
    return nullptr;
  }
}

template <typename Op> Handler integerUnary(ptx::Type type) {
  return byInteger(type, [](auto t) -> Handler {
    using T = decltype(t);
    return unary<Op, T, T>;
  });
}
template <typename Op> Handler integerBinary(ptx::Type type) {
  return byInteger(type, [](auto t) -> Handler {
    using T = decltype(t);
    return binary<Op, T, T, T>;
  });
}
template <typename Op> Handler integerTernary(ptx::Type type) {
  return byInteger(type, [](auto t) -> Handler {
    using T = decltype(t);
    return ternary<Op, T, T, T, T>;
  });
}
/// Shift amounts have 32 bits.
template <typename Op> Handler integerShift(ptx::Type type) {
  return byInteger(type, [](auto t) -> Handler {
    using T = decltype(t);
    return binary<Op, T, T, uint32_t>;
  });
}

/// d, a, b of one type.
inline void setBinary(Decoder &d, ptx::Type type, Handler run) {
  d.expectOperands(3, 3);
  if (!run)
    d.error("has no such type");
  d.inst().run = run;
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  d.inst().d = d.destination(0, Decoder::bytesOf(type));
}
inline void setUnary(Decoder &d, ptx::Type type, Handler run) {
  d.expectOperands(2, 2);
  if (!run)
    d.error("has no such type");
  d.inst().run = run;
  d.inst().a = d.value(1, type);
  d.inst().d = d.destination(0, Decoder::bytesOf(type));
}
inline void setTernary(Decoder &d, ptx::Type type, Handler run) {
  d.expectOperands(4, 4);
  if (!run)
    d.error("has no such type");
  d.inst().run = run;
  d.inst().a = d.value(1, type);
  d.inst().b = d.value(2, type);
  d.inst().c = d.value(3, type);
  d.inst().d = d.destination(0, Decoder::bytesOf(type));
}
inline ptx::Type takeType(Decoder &d) {
  ptx::Type type;
  if (!d.words().takeType(type))
    d.error("has no type");
  return type;
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_SELECT_H
