// Packed constants against the storage offsets that layouts give, element by
// element. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Engine/PackLayout.h"
#include "nibble/Dialect/Quant/WordCode.h"

#include "gtest/gtest.h"

#include <random>

using namespace mlir;
using namespace nibble;

namespace {

using Bytes = std::vector<char>;

class PackLayoutTest : public testing::Test {
protected:
  PackLayoutTest() { context.loadDialect<nq::NqDialect>(); }

  nq::LayoutAttr layout(ArrayRef<std::vector<int64_t>> tiles,
                        ArrayRef<int64_t> order,
                        ArrayRef<int64_t> swizzle = {}) {
    SmallVector<DenseI64ArrayAttr> attrs;
    for (const std::vector<int64_t> &tile : tiles)
      attrs.push_back(DenseI64ArrayAttr::get(&context, tile));
    return nq::LayoutAttr::get(&context, attrs, order, swizzle,
                               nq::LayoutAttr());
  }

  int64_t upTo(int64_t most) {
    return std::uniform_int_distribution<int64_t>(1, most)(random);
  }

  nq::LayoutAttr randomLayout(size_t rank, bool swizzled) {
    std::vector<std::vector<int64_t>> tiles(rank);
    int64_t digits = rank;
    for (std::vector<int64_t> &tile : tiles)
      for (int64_t n = upTo(3) - 1; n > 0; --n, ++digits)
        tile.push_back(upTo(2) == 1 ? int64_t(1) << upTo(4) : upTo(7));
    std::vector<int64_t> order(digits);
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<int64_t> swizzle;
    if (swizzled) {
      int64_t bits = upTo(3);
      swizzle = {bits, upTo(5) - 1, bits + upTo(2) - 1};
    }
    return layout(tiles, order, swizzle);
  }

  Bytes randomBytes(int64_t size) {
    Bytes bytes(size);
    for (char &byte : bytes)
      byte = char(random());
    return bytes;
  }

  static uint64_t element(const Bytes &bytes, unsigned bits, int64_t i) {
    if (bits == 4)
      return (uint8_t(bytes[i / 2]) >> (i % 2 * 4)) & 15;
    uint64_t value = 0;
    memcpy(&value, &bytes[i * bits / 8], bits / 8);
    return value;
  }

  static Bytes pack(const Bytes &linear, unsigned bits, ArrayRef<int64_t> shape,
                    nq::LayoutAttr layout) {
    Bytes packed;
    rt::Status status = packLayout(
        linear, bits, shape, layout, [&](const void *data, uint64_t size) {
          auto bytes = static_cast<const char *>(data);
          packed.insert(packed.end(), bytes, bytes + size);
          return rt::Status();
        });
    EXPECT_TRUE(status.ok()) << status.message();
    return packed;
  }

  /// Every storage position holds the element that belongs there, or zero.
  void check(unsigned bits, ArrayRef<int64_t> shape, nq::LayoutAttr layout) {
    int64_t count = ShapedType::getNumElements(shape);
    Bytes linear = randomBytes((count * bits + 7) / 8);
    Bytes packed = pack(linear, bits, shape, layout);
    int64_t size = layout.getStorageSize(shape);
    ASSERT_EQ(int64_t(packed.size()), (size * bits + 7) / 8);
    for (int64_t at = 0; at < size; ++at) {
      SmallVector<int64_t> index = layout.getIndex(at, shape);
      int64_t offset = 0;
      bool inside = true;
      for (size_t d = 0; d < shape.size(); ++d) {
        inside &= index[d] < shape[d];
        offset = offset * shape[d] + index[d];
      }
      ASSERT_EQ(element(packed, bits, at),
                inside ? element(linear, bits, offset) : 0)
          << "at " << at;
    }
  }

  MLIRContext context;
  std::mt19937_64 random{20};
};

TEST_F(PackLayoutTest, RandomLayouts) {
  for (int trial = 0; trial < 600; ++trial) {
    SCOPED_TRACE(trial);
    std::vector<int64_t> shape(upTo(3));
    for (int64_t &extent : shape)
      extent = upTo(shape.size() == 1 ? 3000 : 40);
    nq::LayoutAttr chosen = randomLayout(shape.size(), trial % 3 == 0);
    if (chosen.getStorageSize(shape) > 1 << 20)
      continue;
    check(std::array{4u, 8u, 16u, 32u, 64u}[trial % 5], shape, chosen);
    if (HasFailure())
      return;
  }
}

TEST_F(PackLayoutTest, MoreThanOneChunk) {
  check(4, {1030, 2500}, layout({{32}, {16}}, {0, 2, 1, 3}));
  check(4, {1030, 2500}, layout({{32}, {2}}, {0, 2, 1, 3}));
  check(8, {1030, 1250}, layout({{}, {128}}, {1, 0, 2}, {3, 4, 3}));
  check(16, {1030, 1250}, layout({{}, {}}, {1, 0}));
}

/// A digit longer than a block, of odd length in 4-bit codes.
TEST_F(PackLayoutTest, LongDigits) {
  check(4, {5001, 3}, layout({{}, {}}, {1, 0}));
  check(8, {5001, 3}, layout({{}, {}}, {1, 0}));
}

/// Every pair of codes comes out of a mixed word as the recipe says: sign,
/// exponent and mantissa of a 16-bit float, the same one of all words.
TEST_F(PackLayoutTest, MixedWords) {
  for (nq::WordCode code :
       {nq::WordCode::E2M1ToF16, nq::WordCode::E2M1ToBF16}) {
    const nq::WordRecipe &recipe = nq::getWordRecipe(code);
    for (int trial = 0; trial < 2000; ++trial) {
      uint32_t codes = trial < 32 ? uint32_t(1) << trial : uint32_t(random());
      uint32_t word = nq::mixWord(code, codes);
      ASSERT_EQ(nq::unmixWord(code, word), codes);
      for (int i = 0; i < 4; ++i) {
        uint32_t pair = 0, want = 0;
        for (std::optional<int> shift : recipe.shifts[i])
          if (shift)
            pair ^= *shift < 0 ? word >> -*shift : word << *shift;
        for (int half : {0, 16}) {
          uint32_t e2m1 = codes >> (4 * i + half) & 15;
          want |= ((e2m1 >> 3) << 15 | (e2m1 & 7) << recipe.magnitude) << half;
        }
        ASSERT_EQ(pair & recipe.mask, want);
      }
    }
  }
}

/// Words are mixed behind the order of elements, in every chunk and at the end.
TEST_F(PackLayoutTest, LayoutsOfMixedWords) {
  for (int64_t code : {1, 2}) {
    nq::LayoutAttr plain = layout({{16}, {4, 2}}, {0, 2, 1, 3, 4}),
                   mixed =
                       layout({{16}, {4, 2}}, {0, 2, 1, 3, 4}, {0, 3, 0, code});
    for (std::vector<int64_t> shape :
         {std::vector<int64_t>{16, 8}, {37, 100}, {1030, 2500}}) {
      Bytes linear = randomBytes((shape[0] * shape[1] + 1) / 2);
      Bytes want = pack(linear, 4, shape, plain),
            got = pack(linear, 4, shape, mixed);
      want.resize(llvm::alignTo(want.size(), 4));
      nq::mixWords(nq::WordCode(code), want);
      EXPECT_TRUE(got == want);
      EXPECT_EQ(int64_t(got.size()) * 2, mixed.getStorageSize(shape));
    }
  }
}

TEST_F(PackLayoutTest, NoElements) {
  EXPECT_TRUE(pack({}, 8, {0, 4}, layout({{}, {}}, {1, 0})).empty());
}

TEST_F(PackLayoutTest, HugeSwizzleIsRefused) {
  Bytes linear(64);
  rt::Status status =
      packLayout(linear, 8, {8, 8}, layout({{}, {}}, {0, 1}, {3, 15, 3}),
                 [](const void *, uint64_t) { return rt::Status(); });
  EXPECT_NE(status.message().find("2^20"), std::string::npos);
}

} // namespace
