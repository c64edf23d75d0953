// Bits of packed 4-bit codes where few instructions find them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_DIALECT_QUANT_WORDCODE_H
#define NIBBLE_DIALECT_QUANT_WORDCODE_H

#include "nibble/Dialect/Quant/NqOps.h"

#include <array>
#include <optional>

namespace nibble {
namespace nq {

/// How a layout stores words of eight 4-bit elements: W of its swizzle.
enum class WordCode : int64_t {
  Plain = 0,
  E2M1ToF16 = 1,  ///< of E2M1, as pairs of f16 come out
  E2M1ToBF16 = 2, ///< as pairs of bf16
};

/// W of a layout; Plain of a null one.
WordCode getWordCode(LayoutAttr layout);
/// What stands for it in nq.layout.
llvm::SmallVector<int64_t> getSwizzleOf(WordCode code);

/// How pair i of a stored word w, elements i and i + 4, comes out of it:
/// (w << shifts[i][0] ^ w << shifts[i][1]) & mask, or of one shift alone; to
/// the right by negative numbers. Sign, exponent and mantissa of the code are
/// then those of a 16-bit float: 2^-14 of the value as f16, 2^-126 as bf16.
///
/// Sign and magnitude stand three (f16) or six bits (bf16) apart there, and no
/// four shifts of that pattern tile 16 bits. So some bits of w are sums of two:
/// w is what makes all four pairs right.
struct WordRecipe {
  using Shifts = std::array<std::optional<int>, 2>;
  uint32_t mask;
  int magnitude; ///< lowest bit of exponent and mantissa
  std::array<Shifts, 4> shifts;
};
const WordRecipe &getWordRecipe(WordCode code);

/// The stored word of eight codes, element 0 in the low bits, and back.
uint32_t mixWord(WordCode code, uint32_t elements);
uint32_t unmixWord(WordCode code, uint32_t stored);
/// Of all words in `bytes`, little-endian; a rest of less than a word stays.
void mixWords(WordCode code, llvm::MutableArrayRef<char> bytes);
void unmixWords(WordCode code, llvm::MutableArrayRef<char> bytes);

} // namespace nq
} // namespace nibble

#endif // NIBBLE_DIALECT_QUANT_WORDCODE_H
