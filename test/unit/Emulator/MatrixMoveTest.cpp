// ldmatrix, stmatrix, movmatrix: every byte of every form.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MatrixHarness.h"

#include <random>

using namespace nibble::emu;

namespace {

/// A shared memory of 64 rows of 16 bytes, all 1024 bytes told apart by two
/// neighbours; input register 0 is the row that a lane addresses.
class MatrixMove : public ::testing::Test {
protected:
  MatrixMove() {
    kernel.inputs = 1;
    kernel.image.resize(64 * 16);
    std::mt19937 random(3);
    for (uint8_t &byte : kernel.image)
      byte = uint8_t(random());
    for (unsigned lane = 0; lane < 32; ++lane)
      address(lane, lane * 37 % 64);
  }

  /// Lane's row; lanes beyond those that count get an address that faults.
  void address(unsigned lane, unsigned row) {
    rows[lane] = row;
    kernel.input(0, lane) = row * 16;
  }
  void poisonFrom(unsigned first) {
    for (unsigned lane = first; lane < 32; ++lane)
      kernel.input(0, lane) = 0x00FFFFF1;
  }

  std::string load(const std::string &form, unsigned registers) {
    kernel.outputs = registers;
    kernel.body = "add.u32 %a, %s, %i0;\nldmatrix.sync.aligned." + form + " " +
                  registerNames("o", 0, registers) + ", [%a];\n";
    return kernel.run();
  }
  /// Byte of the row that `lane` addresses.
  unsigned byteOf(unsigned lane, unsigned byte) const {
    return kernel.image[rows[lane] * 16 + byte];
  }
  unsigned halfOf(unsigned lane, unsigned half) const {
    return byteOf(lane, 2 * half) | byteOf(lane, 2 * half + 1) << 8;
  }
  /// 4 or 6 bits of a row.
  unsigned bitsOf(unsigned lane, unsigned element, unsigned bits) const {
    unsigned value = 0;
    for (unsigned b = 0; b < bits; ++b) {
      unsigned at = element * bits + b;
      value |= (byteOf(lane, at / 8) >> (at % 8) & 1) << b;
    }
    return value;
  }

  MatrixKernel kernel;
  unsigned rows[32];
};

TEST_F(MatrixMove, Loads8x8) {
  for (unsigned count : {1u, 2u, 4u}) {
    poisonFrom(8 * count); // the others need no address
    ASSERT_EQ(load("m8n8.x" + std::to_string(count) + ".shared.b16", count),
              "");
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned r = 0; r < count; ++r) {
        unsigned from = 8 * r + lane / 4, column = lane % 4 * 2;
        EXPECT_EQ(kernel.output(r, lane),
                  halfOf(from, column) | halfOf(from, column + 1) << 16);
      }
    for (unsigned lane = 0; lane < 32; ++lane)
      address(lane, rows[lane]);
  }
}

TEST_F(MatrixMove, Loads8x8Transposed) {
  ASSERT_EQ(load("m8n8.x4.trans.shared::cta.b16", 4), "");
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned r = 0; r < 4; ++r) {
      unsigned from = 8 * r + lane % 4 * 2, column = lane / 4;
      EXPECT_EQ(kernel.output(r, lane),
                halfOf(from, column) | halfOf(from + 1, column) << 16);
    }
}

TEST_F(MatrixMove, LoadsThroughGenericAddresses) {
  kernel.outputs = 1;
  kernel.body = "add.u32 %a, %s, %i0;\ncvt.u64.u32 %g, %a;\n"
                "cvta.shared.u64 %g, %g;\n"
                "ldmatrix.sync.aligned.m8n8.x1.b16 {%o0}, [%g+16];\n";
  for (unsigned lane = 0; lane < 32; ++lane)
    address(lane, lane);
  ASSERT_EQ(kernel.run(), "");
  rows[0] = 1;
  EXPECT_EQ(kernel.output(0, 0), halfOf(0, 0) | halfOf(0, 1) << 16);
  kernel.body = "ldmatrix.sync.aligned.m8n8.x1.b16 {%o0}, [%rd0];\n";
  EXPECT_NE(kernel.run().find("not in shared memory"), std::string::npos);
}

/// Two registers to a matrix of 16 rows; the columns of the memory are the rows
/// of the fragment: g and g + 8.
TEST_F(MatrixMove, Loads16x16BytesTransposed) {
  kernel.target = "sm_110a";
  for (unsigned count : {1u, 2u}) {
    ASSERT_EQ(load("m16n16.x" + std::to_string(count) + ".trans.shared.b8",
                   2 * count),
              "");
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned r = 0; r < 2 * count; ++r) {
        unsigned g = lane / 4, k = 16 * (r / 2) + lane % 4 * 4 + 2 * (r % 2);
        EXPECT_EQ(kernel.output(r, lane), byteOf(k, g) | byteOf(k + 1, g) << 8 |
                                              byteOf(k, g + 8) << 16 |
                                              byteOf(k + 1, g + 8) << 24);
      }
  }
}

TEST_F(MatrixMove, UnpacksFourAndSixBits) {
  kernel.target = "sm_100a";
  for (unsigned bits : {4u, 6u}) {
    std::string format =
        bits == 4 ? ".shared.b8x16.b4x16_p64" : ".shared.b8x16.b6x16_p32";
    ASSERT_EQ(load("m8n16.x4" + format, 4), "");
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned r = 0; r < 4; ++r)
        for (unsigned b = 0; b < 4; ++b)
          EXPECT_EQ(kernel.output(r, lane) >> (8 * b) & 255,
                    bitsOf(8 * r + lane / 4, lane % 4 * 4 + b, bits));
    ASSERT_EQ(load("m16n16.x1.trans" + format, 2), "");
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned r = 0; r < 2; ++r)
        for (unsigned b = 0; b < 4; ++b)
          EXPECT_EQ(kernel.output(r, lane) >> (8 * b) & 255,
                    bitsOf(lane % 4 * 4 + 2 * r + b % 2, lane / 4 + 8 * (b / 2),
                           bits));
  }
}

/// What is loaded in one form and stored in the same form is the same.
TEST_F(MatrixMove, StoresWhatLoadsLoad) {
  for (const char *trans : {"", ".trans"})
    for (unsigned count : {1u, 2u, 4u}) {
      std::string n = std::to_string(count), t = trans;
      std::vector<uint8_t> before = kernel.image;
      kernel.outputs = count;
      kernel.body = "add.u32 %a, %s, %i0;\n"
                    "ldmatrix.sync.aligned.m8n8.x" +
                    n + t + ".shared.b16 " + registerNames("o", 0, count) +
                    ", [%a];\nxor.b32 %i0, %i0, 16;\n"
                    "add.u32 %a, %s, %i0;\n"
                    "stmatrix.sync.aligned.m8n8.x" +
                    n + t + ".shared.b16 [%a], " +
                    registerNames("o", 0, count) + ";\n";
      for (unsigned lane = 0; lane < 32; ++lane)
        address(lane, 2 * lane);
      ASSERT_EQ(kernel.run(), "");
      for (unsigned row = 0; row < 64; ++row)
        for (unsigned b = 0; b < 16; ++b) {
          bool stored = row % 2 && row / 2 < 8 * count;
          EXPECT_EQ(kernel.image[row * 16 + b],
                    before[(stored ? row - 1 : row) * 16 + b]);
        }
    }
}

/// The fragment of D of mma (rows g, g + 8; columns 2t, 2t + 1), stored with a
/// column of it to a row of memory.
TEST_F(MatrixMove, Stores16x8BytesTransposed) {
  kernel.target = "sm_110a";
  kernel.inputs = 5;
  for (unsigned lane = 0; lane < 32; ++lane) {
    address(lane, lane * 5 % 64);
    for (unsigned r = 0; r < 4; ++r) // row and column of each element
      for (unsigned e = 0; e < 4; ++e) {
        unsigned row = lane / 4 + 8 * (e / 2), column = lane % 4 * 2 + e % 2;
        kernel.input(1 + r, lane) |= ((row << 4 | column) ^ (r << 3))
                                     << (8 * e);
      }
  }
  kernel.body = "add.u32 %a, %s, %i0;\n"
                "stmatrix.sync.aligned.m16n8.x4.trans.shared.b8 [%a], "
                "{%i1, %i2, %i3, %i4};\n";
  ASSERT_EQ(kernel.run(), "");
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned b = 0; b < 16; ++b)
      EXPECT_EQ(byteOf(lane, b), ((b << 4 | lane % 8) ^ (lane / 8 << 3)));
}

TEST_F(MatrixMove, TransposesInRegisters) {
  kernel.outputs = 1;
  auto element = [](unsigned row, unsigned column) {
    return 0x100 * row + column;
  };
  for (unsigned lane = 0; lane < 32; ++lane)
    kernel.input(0, lane) = element(lane / 4, lane % 4 * 2) |
                            element(lane / 4, lane % 4 * 2 + 1) << 16;
  kernel.body = "movmatrix.sync.aligned.m8n8.trans.b16 %o0, %i0;\n";
  ASSERT_EQ(kernel.run(), "");
  for (unsigned lane = 0; lane < 32; ++lane)
    EXPECT_EQ(kernel.output(0, lane), element(lane % 4 * 2, lane / 4) |
                                          element(lane % 4 * 2 + 1, lane / 4)
                                              << 16);
}

//===----------------------------------------------------------------------===//
// Refusals and faults
//===----------------------------------------------------------------------===//

TEST_F(MatrixMove, FaultsAtBadAddresses) {
  kernel.input(0, 5) = 24;
  std::string error = load("m8n8.x1.shared.b16", 1);
  EXPECT_NE(error.find("thread (5, 0, 0)"), std::string::npos) << error;
  EXPECT_NE(error.find("multiple of 16"), std::string::npos) << error;
  kernel.input(0, 5) = 64 * 16;
  error = load("m8n8.x1.shared.b16", 1);
  EXPECT_NE(error.find("bytes of shared memory"), std::string::npos) << error;
}

TEST_F(MatrixMove, RefusesFormsThatAreNotThere) {
  struct {
    const char *form;
    unsigned registers;
    const char *message;
  } cases[] = {{"m8n8.x3.shared.b16", 3, ".x1, .x2 or .x4"},
               {"m8n8.x1.shared.b8", 1, "no such elements"},
               {"m16n16.x1.trans.shared.b16", 2, "no such elements"},
               {"m16n16.x1.shared.b8", 2, "needs .trans"},
               {"m16n16.x4.trans.shared.b8", 8, "not four times"},
               {"m8n16.x1.trans.shared.b8x16.b4x16_p64", 1, "transposed"},
               {"m8n16.x1.shared.b8", 1, "6 or 4 bits"},
               {"m8n8.x2.shared.b16", 4, "4 registers, not 2"},
               {"m16n16.x1.trans.shared.b8", 1, "1 registers, not 2"}};
  kernel.target = "sm_110a";
  for (auto &c : cases) {
    std::string error = load(c.form, c.registers);
    EXPECT_NE(error.find(c.message), std::string::npos)
        << c.form << ": " << error;
  }
}

/// What came with sm_100 is on its variants only.
TEST_F(MatrixMove, RefusesByteFormsOnOtherTargets) {
  for (const char *target : {"sm_90a", "sm_110", "sm_100"}) {
    kernel.target = target;
    for (const char *form : {"m16n16.x1.trans.shared.b8",
                             "m16n16.x1.trans.shared.b8x16.b4x16_p64"})
      EXPECT_NE(load(form, 2).find(target), std::string::npos) << target;
    kernel.outputs = 1;
    kernel.body = "stmatrix.sync.aligned.m16n8.x1.trans.shared.b8 [%s], "
                  "{%i0};\n";
    EXPECT_NE(kernel.run().find(target), std::string::npos) << target;
  }
}

} // namespace
