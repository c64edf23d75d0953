// 4-bit floats times 4-bit floats: exact integer sums within a block of 16.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A doubled E2M1 value is an integer of at most 12. Bytes 2b + 12 of B, which
// are not negative, times bytes 2a of A have the exact 16-bit sum
//
//   f = sum_k (2b + 12) 2a = 4 sum_k a b + c,   c = 12 sum_k 2a
//
// over a block of 16 k. With the scales s of A and t of B, two FMAs add it:
//
//   total += (f s - c s) t       c s is known when A is packed
//
// f - c needs 12 bits. s is an E4M3, E8M0 or a scale rounded to f16 or bf16
// (11 bits), so that c s and the inner FMA are exact. An f32 global scale of A
// goes into t instead, where it costs at most 2^-24 relative. Powers of two in
// s and t, which undo the doubling, keep f s finite for any E8M0.
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMINTEGER_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMINTEGER_H

#include "GemmEmitter.h"

namespace nibble {
namespace cpu {

/// k of one exact sum. Scale blocks are one or two of these.
constexpr int64_t kIntegerBlock = 16;

/// Sizes of the kernel, and the scratch:
///   codes of A [block][row][16] as i8 (2a), in the order of k that the panels
///   of B have; scales s and corrections -c s [block][row] as f32; sums
///   [panel][row][16] as f32.
struct IntegerPlan {
  explicit IntegerPlan(const GemmSpec &spec);

  int64_t rows, rowBlocks; ///< rows of a block; the last may have fewer
  int64_t blocks, chunks; ///< blocks of 16 k per chunk; the last may have fewer
  int64_t panelGroup;     ///< panels that share one packing of A
  int64_t offsetScales, offsetCorrections, offsetSums;
  uint64_t scratchBytes;
};

/// Any number of rows: A packed per chunk, B decoded in registers for all rows
/// of a block, the f32 sums in the L1 cache.
/// `spec` must live as long as the emitter.
std::unique_ptr<GemmEmitter>
makeIntegerGemm(mlir::OpBuilder &builder, mlir::Location loc,
                const GemmSpec &spec, const IntegerPlan &plan,
                const GemmArgs &args, GemmEpilogue epilogue);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMINTEGER_H
