// Loops over the lanes of a warp: one function per shape of instruction, the
// operation as a type. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_LANES_H
#define NIBBLE_RT_EMULATOR_EXEC_LANES_H

#include "exec/Warp.h"

namespace nibble {
namespace emu {

/// Calls `f` for each lane of `lanes`; all of them in one loop that the
/// compiler can vectorize.
template <typename F> inline void forLanes(Lanes lanes, F f) {
  if (lanes == kAllLanes) {
    for (unsigned l = 0; l < kWarpSize; ++l)
      f(l);
    return;
  }
  for (Lanes rest = lanes; rest; rest &= rest - 1)
    f(unsigned(__builtin_ctz(rest)));
}

/// d = Op(a): `D` and `A` are the types of the values.
template <typename Op, typename D, typename A>
void unary(Warp &w, const Inst &i, Lanes lanes) {
  D *d = w.lanes<D>(i.d);
  const A *a = w.lanes<A>(i.a);
  forLanes(lanes, [=](unsigned l) { d[l] = Op::template apply<D>(a[l]); });
}

/// d = Op(a, b).
template <typename Op, typename D, typename A, typename B>
void binary(Warp &w, const Inst &i, Lanes lanes) {
  D *d = w.lanes<D>(i.d);
  const A *a = w.lanes<A>(i.a);
  const B *b = w.lanes<B>(i.b);
  forLanes(lanes,
           [=](unsigned l) { d[l] = Op::template apply<D>(a[l], b[l]); });
}

/// d = Op(a, b, c).
template <typename Op, typename D, typename A, typename B, typename C>
void ternary(Warp &w, const Inst &i, Lanes lanes) {
  D *d = w.lanes<D>(i.d);
  const A *a = w.lanes<A>(i.a);
  const B *b = w.lanes<B>(i.b);
  const C *c = w.lanes<C>(i.c);
  forLanes(lanes,
           [=](unsigned l) { d[l] = Op::template apply<D>(a[l], b[l], c[l]); });
}

/// Writes the lanes of a predicate that an instruction computes.
inline void setPred(Warp &w, int32_t index, Lanes lanes, Lanes value) {
  if (index >= 0)
    w.pred(index) = (w.pred(index) & ~lanes) | (value & lanes);
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_LANES_H
