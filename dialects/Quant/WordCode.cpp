// Bits of packed 4-bit codes where few instructions find them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/WordCode.h"

#include "llvm/Support/Endian.h"

using namespace nibble;
using namespace nibble::nq;
using llvm::MutableArrayRef;

WordCode nq::getWordCode(LayoutAttr layout) {
  if (!layout || layout.getSwizzle().size() < 4)
    return WordCode::Plain;
  return WordCode(layout.getSwizzle()[3]);
}

llvm::SmallVector<int64_t> nq::getSwizzleOf(WordCode code) {
  if (code == WordCode::Plain)
    return {};
  // No elements change places; storage is whole words of 2^3.
  return {0, 3, 0, int64_t(code)};
}

//===----------------------------------------------------------------------===//
// Pairs
//===----------------------------------------------------------------------===//

const WordRecipe &nq::getWordRecipe(WordCode code) {
  constexpr auto kNone = std::nullopt;
  static const WordRecipe f16{
      0x8E008E00, 9, {{{6, kNone}, {9, kNone}, {0, -3}, {0, 2}}}};
  static const WordRecipe bf16{
      0x81C081C0, 6, {{{0, kNone}, {3, kNone}, {1, 6}, {2, -3}}}};
  return code == WordCode::E2M1ToBF16 ? bf16 : f16;
}

static uint32_t shifted(uint32_t word, int left) {
  return left < 0 ? word >> -left : word << left;
}

uint32_t nq::unmixWord(WordCode code, uint32_t stored) {
  if (code == WordCode::Plain)
    return stored;
  const WordRecipe &recipe = getWordRecipe(code);
  uint32_t elements = 0;
  for (int i = 0; i < 4; ++i) {
    uint32_t pair = 0;
    for (std::optional<int> shift : recipe.shifts[i])
      if (shift)
        pair ^= shifted(stored, *shift);
    pair &= recipe.mask;
    uint32_t codes =
        ((pair >> 12) & 0x00080008) | ((pair >> recipe.magnitude) & 0x00070007);
    elements |= codes << 4 * i;
  }
  return elements;
}

//===----------------------------------------------------------------------===//
// Words
//===----------------------------------------------------------------------===//

namespace {

/// The inverse of unmixWord, which is linear over bits: of each byte of the
/// elements.
class Mixer {
public:
  explicit Mixer(WordCode code) {
    std::array<uint32_t, 32> from, to;
    for (int i = 0; i < 32; ++i) {
      to[i] = uint32_t(1) << i;
      from[i] = unmixWord(code, to[i]);
    }
    // Until `from` are single bits.
    for (int bit = 0; bit < 32; ++bit) {
      int pivot = bit;
      while (!(from[pivot] >> bit & 1))
        ++pivot;
      std::swap(from[bit], from[pivot]);
      std::swap(to[bit], to[pivot]);
      for (int i = 0; i < 32; ++i)
        if (i != bit && from[i] >> bit & 1) {
          from[i] ^= from[bit];
          to[i] ^= to[bit];
        }
    }
    for (int byte = 0; byte < 4; ++byte)
      for (int value = 0; value < 256; ++value)
        for (int bit = 0; bit < 8; ++bit)
          if (value >> bit & 1)
            table[byte][value] ^= to[8 * byte + bit];
  }

  uint32_t mix(uint32_t elements) const {
    return table[0][elements & 255] ^ table[1][elements >> 8 & 255] ^
           table[2][elements >> 16 & 255] ^ table[3][elements >> 24];
  }

private:
  std::array<std::array<uint32_t, 256>, 4> table = {};
};

} // namespace

uint32_t nq::mixWord(WordCode code, uint32_t elements) {
  static const Mixer f16(WordCode::E2M1ToF16), bf16(WordCode::E2M1ToBF16);
  if (code == WordCode::Plain)
    return elements;
  return (code == WordCode::E2M1ToBF16 ? bf16 : f16).mix(elements);
}

template <typename Fn>
static void forEachWord(MutableArrayRef<char> bytes, Fn change) {
  for (size_t at = 0; at + 4 <= bytes.size(); at += 4) {
    uint32_t word = llvm::support::endian::read32le(bytes.data() + at);
    llvm::support::endian::write32le(bytes.data() + at, change(word));
  }
}

void nq::mixWords(WordCode code, MutableArrayRef<char> bytes) {
  if (code != WordCode::Plain)
    forEachWord(bytes, [&](uint32_t word) { return mixWord(code, word); });
}

void nq::unmixWords(WordCode code, MutableArrayRef<char> bytes) {
  if (code != WordCode::Plain)
    forEachWord(bytes, [&](uint32_t word) { return unmixWord(code, word); });
}
