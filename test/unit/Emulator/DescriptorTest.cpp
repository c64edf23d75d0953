// Matrix descriptors against the layouts that the PTX ISA gives as examples.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tensor/Descriptor.h"

#include <gtest/gtest.h>

using namespace nibble::emu::tensor;

namespace {

/// An exact layout of 9.7.15.5.1.2.1.3 in elements, before its swizzle:
/// coordinates (mn0, mn1, mn2), (k0, k1) of the given extents and strides.
struct Example {
  const char *name;
  bool mnMajor;
  unsigned bytes, swizzleBits;
  unsigned mnExtent[3], mnStride[3], kExtent[2], kStride[2];
  unsigned leading, stride; ///< encoded: bytes >> 4
  unsigned mode;            ///< bits 62 and 63

  unsigned offset(unsigned mn, unsigned k) const {
    unsigned m0 = mn % mnExtent[0], m1 = mn / mnExtent[0] % mnExtent[1],
             m2 = mn / mnExtent[0] / mnExtent[1];
    unsigned at = m0 * mnStride[0] + m1 * mnStride[1] + m2 * mnStride[2] +
                  k % kExtent[0] * kStride[0] + k / kExtent[0] * kStride[1];
    unsigned address = at * bytes; // Swizzle<bits, 4, 3> of byte addresses
    return address ^ (address >> 3 & ((1u << swizzleBits) - 1) << 4);
  }
  unsigned rows() const { return mnExtent[0] * mnExtent[1] * mnExtent[2]; }
  unsigned depth() const { return kExtent[0] * kExtent[1]; }
  uint64_t descriptor() const {
    return uint64_t(leading) << 16 | uint64_t(stride) << 32 |
           uint64_t(mode) << 62;
  }
};

/// The example of 32 bytes for K-major has four chunks of K in a row of two;
/// the first two of them are what one instruction reads.
const Example kExamples[] = {{"K none tf32",
                              false,
                              4,
                              0,
                              {8, 2, 1},
                              {4, 32, 0},
                              {4, 2},
                              {1, 64},
                              16,
                              8,
                              0},
                             {"K 32B tf32",
                              false,
                              4,
                              1,
                              {8, 2, 1},
                              {8, 64, 0},
                              {4, 2},
                              {1, 4},
                              1,
                              16,
                              3},
                             {"MN none bf16",
                              true,
                              2,
                              0,
                              {8, 1, 2},
                              {1, 8, 64},
                              {8, 2},
                              {8, 128},
                              16,
                              8,
                              0},
                             {"MN 32B bf16",
                              true,
                              2,
                              1,
                              {8, 2, 2},
                              {1, 8, 128},
                              {8, 2},
                              {16, 256},
                              16,
                              32,
                              3},
                             {"MN 64B bf16",
                              true,
                              2,
                              2,
                              {8, 4, 2},
                              {1, 8, 256},
                              {8, 2},
                              {32, 512},
                              32,
                              64,
                              2}};

TEST(MatrixDescriptor, FollowsTheExamplesOfTheIsa) {
  for (const Example &example : kExamples) {
    MatrixDescriptor d;
    ASSERT_EQ(MatrixDescriptor::parse(example.descriptor(), d), "");
    unsigned per = 16 / example.bytes;
    for (unsigned mn = 0; mn < example.rows(); ++mn)
      for (unsigned k = 0; k < example.depth(); ++k) {
        unsigned at = example.mnMajor
                          ? d.chunkMnMajor(mn / per, k) + mn % per * 2
                          : d.chunkKMajor(mn, k / per) + k % per * 4;
        EXPECT_EQ(at, example.offset(mn, k))
            << example.name << ", " << mn << ", " << k;
      }
  }
}

/// Chunk c of row r of 128 bytes is at c ^ r; of 64 bytes, two rows to a line
/// of 128 bytes, at c ^ r / 2.
TEST(MatrixDescriptor, SwizzlesLinesOf128Bytes) {
  for (unsigned span : {64u, 128u}) {
    MatrixDescriptor d;
    uint64_t mode = span == 128 ? 1 : 2;
    ASSERT_EQ(MatrixDescriptor::parse(mode << 62 | 0x100, d), "");
    EXPECT_EQ(d.start, 4096u);
    for (unsigned row = 0; row < 8; ++row)
      for (unsigned chunk = 0; chunk < span / 16; ++chunk) {
        unsigned phase = span == 128 ? row : row / 2;
        EXPECT_EQ(d.chunkKMajor(row, chunk),
                  4096 + row * span + (chunk ^ phase) * 16);
      }
  }
}

TEST(MatrixDescriptor, TakesItsFieldsApart) {
  MatrixDescriptor d;
  uint64_t bits = 0x3FFF | uint64_t(0x2A5A) << 16 | uint64_t(0x15A5) << 32 |
                  uint64_t(5) << 49 | uint64_t(1) << 62;
  EXPECT_EQ(MatrixDescriptor::parse(bits, d), "");
  EXPECT_EQ(d.start, 0x3FFFu * 16);
  EXPECT_EQ(d.leading, 0x2A5Au * 16);
  EXPECT_EQ(d.stride, 0x15A5u * 16);
  EXPECT_EQ(d.base, 5u);
  EXPECT_EQ(d.span, 128u);
}

} // namespace
