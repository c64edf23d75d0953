// Elements of tensor cores, and sums in fixed point.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tensor/Dot.h"
#include "tensor/WideSum.h"

#include "nibble/rt/float_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>

using namespace nibble;
using namespace nibble::emu::tensor;

namespace {

TEST(TensorElement, DecodesSixBits) {
  // Largest, smallest normal, largest subnormal, smallest, by the OCP MX
  // specification.
  EXPECT_EQ(decode(Element::E2M3, 0x1F), 7.5);
  EXPECT_EQ(decode(Element::E2M3, 0x08), 1);
  EXPECT_EQ(decode(Element::E2M3, 0x07), 0.875);
  EXPECT_EQ(decode(Element::E2M3, 0x21), -0.125);
  EXPECT_EQ(decode(Element::E3M2, 0x1F), 28);
  EXPECT_EQ(decode(Element::E3M2, 0x04), 0.25);
  EXPECT_EQ(decode(Element::E3M2, 0x03), 0.1875);
  EXPECT_EQ(decode(Element::E3M2, 0x21), -0.0625);
  EXPECT_EQ(decode(Element::E3M2, 0xC0 | 0x1F), 28); // padding is ignored
}

TEST(TensorElement, DecodesChunksAsElements) {
  std::mt19937 random(2);
  uint8_t bytes[16];
  for (uint8_t &byte : bytes)
    byte = uint8_t(random());
  for (unsigned i = 0; i < 10; ++i) {
    Element element = Element(i);
    double values[16];
    decodeChunk(element, bytes, values);
    for (unsigned k = 0; k < 16 / bytesOf(element); ++k) {
      uint32_t code = 0;
      std::memcpy(&code, bytes + k * bytesOf(element), bytesOf(element));
      double expected = decode(element, code);
      EXPECT_TRUE(values[k] == expected ||
                  (std::isnan(values[k]) && std::isnan(expected)));
    }
  }
}

TEST(Factor, FillsRowsOfBlocks) {
  Factor bytes(Element::E4M3, 2, 32), packed(Element::E2M1, 2, 32);
  uint8_t codes[16];
  for (unsigned i = 0; i < 16; ++i)
    codes[i] = uint8_t(i * 23 + 5);
  bytes.setChunk(1, 16, codes, 0.5);
  packed.setPacked(1, 16, codes, 16, -3);
  for (unsigned i = 0; i < 16; ++i) {
    EXPECT_EQ(bytes.row(1)[16 + i], decode(Element::E4M3, codes[i]) / 2);
    unsigned code = codes[i / 2] >> (4 * (i % 2)) & 15;
    EXPECT_EQ(packed.row(1)[16 + i], decode(Element::E2M1, code) * -3);
    EXPECT_EQ(packed.row(1)[i], 0);
  }
}

TEST(WideSum, RoundsToOdd) {
  auto sum = [](std::initializer_list<double> terms) {
    WideSum wide;
    for (double term : terms)
      wide.add(term);
    return wide.toOdd();
  };
  EXPECT_EQ(sum({1, 0x1p-52}), 1 + 0x1p-52);     // exact
  EXPECT_EQ(sum({1, 0x1p-53}), 1 + 0x1p-52);     // up to the odd one
  EXPECT_EQ(sum({1, -0x1p-60}), 1 - 0x1p-53);    // down to the odd one
  EXPECT_EQ(sum({-1, -0x1p-300}), -1 - 0x1p-52); // far away
  EXPECT_EQ(sum({0x1p300, -0x1p300, 0x1p-300}), 0x1p-300);
  EXPECT_EQ(sum({0x1p-300, -0x1p-300}), 0);
  EXPECT_EQ(sum({-0x1p64, 0x1p64, -3}), -3);
}

} // namespace
