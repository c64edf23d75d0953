// What the matrix instructions of warps share: collectives, registers, and
// where the elements of a matrix lie in them. SPDX-License-Identifier:
// Apache-2.0 WITH LLVM-exception
//
// In all fragments lane l has g = l / 4 (PTX ISA: groupID) and t = l % 4
// (threadID_in_group). A register holds E = 4 / (bytes of an element) elements.
//   A, register r, element e: row g + 8 (r & 1), k = 4E (r >> 1) + tE + e
//   B, register r, element e: column g, k = 4E r + tE + e
//   C and D, FP32 or S32, register r: row g + 8 (r >> 1 & 1),
//     column 8 (r >> 2) + 2t + (r & 1)
//   C and D, FP16, register r, half h: row g + 8 (r & 1),
//     column 8 (r >> 1) + 2t + h
// These are Figures 71 to 92 for mma.m16n8k* and 148 to 153 for wgmma, whose
// warp w of four has rows 16 w to 16 w + 15.
#ifndef NIBBLE_RT_EMULATOR_ISA_WARPMATRIX_H
#define NIBBLE_RT_EMULATOR_ISA_WARPMATRIX_H

#include "exec/Cta.h"
#include "isa/Decoder.h"
#include "tensor/Dot.h"

namespace nibble {
namespace emu {

/// Types of C and D.
enum class Accumulator : uint8_t { F16, F32, S32 };
inline unsigned accumulatorRegisters(Accumulator type, unsigned n) {
  return type == Accumulator::F16 ? n / 4 : n / 2;
}

//===--- Decoding ---------------------------------------------------------===

/// Takes .sync and .aligned, which these instructions must have.
void takeSyncAligned(Decoder &d);
/// The word that is next, taken: types come in order. `what` it should be.
std::string_view takeNext(Decoder &d, const char *what);
Accumulator takeAccumulator(Decoder &d);
tensor::Element takeElement(Decoder &d);
/// The registers of {r, ...}, of 4 bytes each; there must be `count`. `what`
/// names the operand in errors. Written ones must be registers or _.
std::vector<Ref> registerList(Decoder &d, size_t index, size_t count,
                              const char *what, bool written);
/// Ends: all lanes of the warp run it together.
void setWarpWide(Decoder &d, Handler run);

//===--- Execution --------------------------------------------------------===

/// True if all 32 lanes are here; false: others come first. Faults if a guard
/// excludes lanes, or one has exited.
bool wholeWarp(Warp &w, Lanes lanes);

/// Counts multiply-adds of tensor cores by the type of A.
void countMultiplies(Warp &w, tensor::Element a, uint64_t count);

/// The 16 rows of A that the registers of a warp hold, times `sign`.
void readFragmentA(Warp &w, const Ref *refs, tensor::Factor &a,
                   double sign = 1);
/// The 8 columns of B.
void readFragmentB(Warp &w, const Ref *refs, tensor::Factor &b);

/// 16 x n accumulators, row by row: Value is float, int32_t or uint16_t (FP16).
template <typename Value>
void readAccumulators(Warp &w, const Ref *refs, unsigned n, Value *tile);
template <typename Value>
void writeAccumulators(Warp &w, const Ref *refs, unsigned n, const Value *tile);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_WARPMATRIX_H
