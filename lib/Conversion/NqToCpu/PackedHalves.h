// Arithmetic of GPUs on numbers of 16 bits, two in a register.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_PACKEDHALVES_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_PACKEDHALVES_H

#include "LaneMath.h"

namespace nibble {
namespace cpu {

/// Numbers of f16 or bf16 as words of 32 bits: word j of group g has elements
/// 8 g + j in the low and 8 g + j + 4 in the high half, so that codes of 4 bits
/// come to lie in order by shifting all words of a group and no half.
struct PackedHalves {
  mlir::ImplicitLocOpBuilder *b;
  llvm::SmallVector<mlir::Value> words;
  bool isBf16;
};

/// Where f32 was widened: its 16-bit elements, and the f32 that they were
/// rounded from, if they were.
struct Widened {
  mlir::Value halves, rounded;
  bool isBf16 = false;
};
std::optional<Widened> findWidened(mlir::Value x);

/// The pairs of a vector of f32 that was widened from 16 bits, in code for
/// GPUs. Nothing otherwise, or if it is not a whole number of groups.
std::optional<PackedHalves> findPackedHalves(Lanes x);

/// Words of eight codes of 4 bits, which are the low ones of 8 or 32.
mlir::Value packNibbles(mlir::ImplicitLocOpBuilder &b, mlir::Value codes);
/// Such words as a vector of i8; packNibbles gives back the words.
mlir::Value unpackNibbles(mlir::ImplicitLocOpBuilder &b, mlir::Value words);

/// The codes that unpackNibbles made of words, as i32: without vectors of 4
/// bits, which would be taken apart in memory. Nothing for other codes.
std::optional<Lanes> widenNibbles(Lanes codes);

/// The largest magnitude as bits of an f32; a NaN wins.
mlir::Value largestMagnitude(const PackedHalves &pairs);

/// The E2M1 codes of what the quotients x / s round to in f32, eight in a word.
/// No NaN; s is 0, where all codes are 0, or finite and above 2^-80 (f16: 0).
llvm::SmallVector<mlir::Value> e2m1Words(const PackedHalves &pairs, Lanes s);

/// The E2M1 codes (i8) of x / s for two numbers that were widened from f16,
/// with scales of their own: positive ones, others make codes of 0; any code of
/// NaN. Nothing if they are no such numbers.
std::optional<Lanes> e2m1PairCodes(Lanes x, Lanes s);

/// What such codes stand for, as f32, without taking codes apart. Nothing for
/// other codes.
std::optional<Lanes> decodePairCodes(Lanes codes);

/// x y of two numbers, all of which f16 has, as f32. Nothing but in epilogues
/// of products on tensor cores.
std::optional<Lanes> multiplyAsF16(Lanes x, Lanes y);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_PACKEDHALVES_H
