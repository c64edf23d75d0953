// tcgen05.ld, .st and .cp: which lane and column of tensor memory a register or
// a row is. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Tensor memory is written with one shape and read with another. Shape 32x32b
// is the plain one: thread i, register r is lane i, column r.
#include "MatrixHarness.h"

#include <cmath>

using namespace nibble::emu;

namespace {

constexpr unsigned kColumns = 32;

class TensorMemory : public ::testing::Test {
protected:
  TensorMemory() {
    kernel.target = "sm_110a";
    kernel.threads = 128;
    kernel.image.resize(8192 + 16);
  }

  /// Allocates 32 columns; %r7 is the address of lane 32 w, column 0.
  static std::string allocate() {
    return ".reg .b32 %lane, %wide;\nsetp.lt.u32 %p1, %tid_, 32;\n"
           "@!%p1 bra HAVE;\n"
           "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%s+8192], "
           "32;\nHAVE:\nbar.sync 0;\nld.shared.b32 %r7, [%s+8192];\n"
           "shr.u32 %lane, %tid_, 5;\nshl.b32 %lane, %lane, 21;\n"
           "add.u32 %r7, %r7, %lane;\n";
  }
  static std::string release() {
    return "bar.sync 0;\n@!%p1 bra FREED;\nld.shared.b32 %r7, [%s+8192];\n"
           "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %r7, 32;\nFREED:\n";
  }
  /// Writes value(lane, column) everywhere.
  static std::string fillPlain() {
    return "tcgen05.st.sync.aligned.32x32b.x32.b32 [%r7], " +
           registerNames("i", 0, kColumns) +
           ";\ntcgen05.wait::st.sync.aligned;\n";
  }
  static std::string wait() { return "tcgen05.wait::ld.sync.aligned;\n"; }
  static uint32_t value(unsigned lane, unsigned column) {
    return lane << 16 | column;
  }
  void setInputs() {
    kernel.inputs = kColumns;
    for (unsigned t = 0; t < 128; ++t)
      for (unsigned c = 0; c < kColumns; ++c)
        kernel.input(c, t) = value(t, c);
  }

  /// Loads with a shape and compares each register. `suffix`: .xN and so on;
  /// `offset`: added to the address.
  template <typename F>
  void expectLoad(const std::string &shape, unsigned registers, F expected,
                  unsigned offset = 0, const std::string &more = "") {
    setInputs();
    kernel.outputs = registers;
    kernel.body = allocate() + fillPlain() + "tcgen05.ld.sync.aligned." +
                  shape + ".b32 " + registerNames("o", 0, registers) +
                  ", [%r7+" + std::to_string(offset) + "]" + more + ";\n" +
                  wait() + release();
    ASSERT_EQ(kernel.run(), "") << shape;
    for (unsigned t = 0; t < 128; ++t)
      for (unsigned r = 0; r < registers; ++r)
        ASSERT_EQ(kernel.output(r, t), expected(t / 32 * 32, t % 32, r))
            << shape << " thread " << t << " register " << r;
  }

  MatrixKernel kernel;
};

TEST_F(TensorMemory, Loads32x32b) {
  expectLoad(
      "32x32b.x8", 8,
      [](unsigned warp, unsigned t, unsigned r) {
        return value(warp + t, r + 3);
      },
      3);
}

/// A row of 64 bits lies in threads 4g and 4g + 2, one of 8 lanes below in 4g +
/// 1 and 4g + 3.
TEST_F(TensorMemory, Loads16x64b) {
  expectLoad("16x64b.x4", 4, [](unsigned warp, unsigned t, unsigned r) {
    return value(warp + t / 4 + 8 * (t % 2), 2 * r + t / 2 % 2);
  });
  expectLoad(
      "16x64b.x2", 2,
      [](unsigned warp, unsigned t, unsigned r) {
        return value(warp + 16 + t / 4 + 8 * (t % 2), 2 * r + t / 2 % 2 + 5);
      },
      16u << 16 | 5);
}

TEST_F(TensorMemory, Loads16x128b) {
  expectLoad("16x128b.x2", 4, [](unsigned warp, unsigned t, unsigned r) {
    return value(warp + t / 4 + 8 * (r % 2), r / 2 * 4 + t % 4);
  });
}

TEST_F(TensorMemory, Loads16x256b) {
  expectLoad("16x256b.x2", 8, [](unsigned warp, unsigned t, unsigned r) {
    return value(warp + t / 4 + 8 * (r / 2 % 2), r / 4 * 8 + t % 4 * 2 + r % 2);
  });
}

TEST_F(TensorMemory, Loads16x32bx2) {
  expectLoad(
      "16x32bx2.x4", 4,
      [](unsigned warp, unsigned t, unsigned r) {
        return value(warp + t % 16, r + (t >= 16 ? 9 : 0));
      },
      0, ", 9");
}

/// Two columns to a register, 16 bits of each; lanes are those of the shape.
TEST_F(TensorMemory, Packs) {
  auto pair = [](unsigned lane, unsigned column) {
    return (value(lane, column) & 0xFFFF) | (value(lane, column + 1) & 0xFFFF)
                                                << 16;
  };
  expectLoad("32x32b.x4.pack::16b", 4,
             [&](unsigned warp, unsigned t, unsigned r) {
               return pair(warp + t, 2 * r);
             });
  expectLoad("16x64b.x2.pack::16b", 2,
             [&](unsigned warp, unsigned t, unsigned r) {
               return pair(warp + t / 4 + 8 * (t % 2), 2 * (2 * r + t / 2 % 2));
             });
  expectLoad("16x128b.x2.pack::16b", 4,
             [&](unsigned warp, unsigned t, unsigned r) {
               return pair(warp + t / 4 + 8 * (r % 2), 2 * (r / 2 * 4 + t % 4));
             });
  expectLoad(
      "16x256b.x1.pack::16b", 4, [&](unsigned warp, unsigned t, unsigned r) {
        return pair(warp + t / 4 + 8 * (r / 2 % 2), 2 * (t % 4 * 2 + r % 2));
      });
}

/// What 16x64b stores, 32x32b finds at the lanes and columns of 16x64b.
TEST_F(TensorMemory, Stores16x64b) {
  setInputs();
  kernel.outputs = 4;
  kernel.body =
      allocate() + fillPlain() + "bar.sync 0;\n" +
      "tcgen05.st.sync.aligned.16x64b.x2.b32 [%r7], {%i4, %i5};\n"
      "tcgen05.wait::st.sync.aligned;\n"
      "tcgen05.ld.sync.aligned.32x32b.x4.b32 {%o0, %o1, %o2, %o3}, [%r7];\n" +
      wait() + release();
  ASSERT_EQ(kernel.run(), "");
  for (unsigned t = 0; t < 128; ++t)
    for (unsigned c = 0; c < 4; ++c) {
      unsigned row = t % 32;
      unsigned thread = row % 8 * 4 + row / 8 + 2 * (c % 2);
      uint32_t want =
          row < 16 ? value(t / 32 * 32 + thread, 4 + c / 2) : value(t, c);
      EXPECT_EQ(kernel.output(c, t), want) << t << ", " << c;
    }
}

//===--- tcgen05.ld.red ---------------------------------------------------===

class TensorReduction : public TensorMemory {
protected:
  /// Reduces 8 columns that begin with the four values.
  uint32_t reduced(const std::string &how, std::vector<uint32_t> values) {
    kernel.inputs = kColumns;
    kernel.in.clear();
    for (unsigned t = 0; t < 128; ++t)
      for (unsigned c = 0; c < kColumns; ++c)
        kernel.input(c, t) = values[c % values.size()];
    kernel.outputs = 9;
    kernel.body = allocate() + fillPlain() +
                  "tcgen05.ld.red.sync.aligned.32x32b.x8." + how + " " +
                  registerNames("o", 0, 8) + ", %o8, [%r7];\n" + wait() +
                  release();
    EXPECT_EQ(kernel.run(), "") << how;
    for (unsigned c = 0; c < 8; ++c)
      EXPECT_EQ(kernel.output(c, 77), values[c % values.size()]);
    return kernel.output(8, 77);
  }
  static std::vector<uint32_t> floats(std::vector<float> values) {
    std::vector<uint32_t> bits;
    for (float x : values)
      bits.push_back(bitCast<uint32_t>(x));
    return bits;
  }
};

TEST_F(TensorReduction, OfIntegers) {
  EXPECT_EQ(reduced("min.s32", {5, ~0u, 7, 0}), ~0u);
  EXPECT_EQ(reduced("min.u32", {5, ~0u, 7, 1}), 1u);
  EXPECT_EQ(reduced("max.s32", {5, ~0u, 7, 0}), 7u);
  EXPECT_EQ(reduced("max.u32", {5, ~0u, 7, 0}), ~0u);
}

TEST_F(TensorReduction, OfFloats) {
  auto same = [](float x) { return bitCast<uint32_t>(x); };
  EXPECT_EQ(reduced("max.f32", floats({1, -3, 2, -0.0f})), same(2));
  EXPECT_EQ(reduced("min.f32", floats({1, -3, 2, -0.0f})), same(-3));
  EXPECT_EQ(reduced("max.abs.f32", floats({1, -3, 2, 0})), same(3));
  EXPECT_EQ(reduced("min.abs.f32", floats({1, -3, 2, -0.0f})), same(0));
  EXPECT_EQ(reduced("max.f32", floats({-0.0f, 0.0f, -1, -2})), same(0));
  EXPECT_EQ(reduced("max.f32", floats({1, NAN, 2, 0})), same(2));
  EXPECT_EQ(reduced("max.NaN.f32", floats({1, NAN, 2, 0})), 0x7FFFFFFFu);
  EXPECT_EQ(reduced("min.f32", floats({NAN, NAN, NAN, NAN})), 0x7FFFFFFFu);
}

TEST_F(TensorReduction, IsRefusedWhereItIsNotDefined) {
  kernel.outputs = 4;
  for (const char *text :
       {"tcgen05.ld.red.sync.aligned.16x128b.x1.max.f32 {%o0, %o1}, %o2, [%r7]",
        "tcgen05.ld.red.sync.aligned.32x32b.x1.max.f32 {%o0}, %o2, [%r7]",
        "tcgen05.ld.red.sync.aligned.32x32b.x2.max.abs.s32 {%o0, %o1}, %o2, "
        "[%r7]",
        "tcgen05.ld.red.sync.aligned.32x32b.x2.f32 {%o0, %o1}, %o2, [%r7]"}) {
    kernel.body = std::string(text) + ";\n";
    EXPECT_NE(kernel.run(), "") << text;
  }
}

//===--- tcgen05.cp -------------------------------------------------------===

/// Rows of 16 bytes, 8 of them to a core matrix of 128 bytes: no swizzle.
class TensorCopy : public TensorMemory {
protected:
  TensorCopy() {
    for (unsigned i = 0; i < 2048; ++i) {
      uint32_t word = i * 7 + 1;
      std::memcpy(&kernel.image[4 * i], &word, 4);
    }
  }
  uint32_t word(unsigned row, unsigned column) const {
    return (row * 4 + column) * 7 + 1;
  }
  /// Copies, and reads 4 columns of all lanes.
  std::string run(const std::string &shape) {
    kernel.outputs = 4;
    kernel.y = uint64_t(1) << 46 | uint64_t(128 >> 4) << 32 | 1ull << 16;
    setInputs();
    kernel.body =
        allocate() + fillPlain() + "tcgen05.fence::before_thread_sync;\n" +
        "bar.sync 0;\ntcgen05.fence::after_thread_sync;\n"
        "setp.eq.u32 %p2, %tid_, 0;\nadd.u32 %r6, %s, 8200;\n"
        "@%p2 mbarrier.init.shared.b64 [%r6], 1;\n"
        "shr.u32 %r5, %s, 4;\ncvt.u64.u32 %rd5, %r5;\nadd.s64 %y, %y, %rd5;\n"
        "bar.sync 0;\n@%p2 tcgen05.cp.cta_group::1." +
        shape +
        " [%r7], %y;\n@%p2 tcgen05.commit.cta_group::1.mbarrier::arrive::one."
        "shared::cluster.b64 [%r6];\n"
        "WAIT: mbarrier.try_wait.parity.shared.b64 %p3, [%r6], 0;\n"
        "@!%p3 bra WAIT;\ntcgen05.fence::after_thread_sync;\n"
        "tcgen05.ld.sync.aligned.32x32b.x4.b32 {%o0, %o1, %o2, %o3}, [%r7];\n" +
        wait() + release();
    return kernel.run();
  }
  template <typename F> void expectRows(const std::string &shape, F rowOf) {
    ASSERT_EQ(run(shape), "") << shape;
    for (unsigned t = 0; t < 128; ++t)
      for (unsigned c = 0; c < 4; ++c)
        ASSERT_EQ(kernel.output(c, t), word(rowOf(t), c))
            << shape << " lane " << t << " column " << c;
  }
};

TEST_F(TensorCopy, AllRows) {
  expectRows("128x128b", [](unsigned lane) { return lane; });
}
TEST_F(TensorCopy, ToFourWarps) {
  expectRows("32x128b.warpx4", [](unsigned lane) { return lane % 32; });
}
/// Warps 0 and 2 form a pair, 1 and 3 another: both halves go to each pair.
TEST_F(TensorCopy, ToPairsOfWarps) {
  expectRows("64x128b.warpx2::02_13", [](unsigned lane) { return lane % 64; });
  expectRows("64x128b.warpx2::01_23",
             [](unsigned lane) { return lane % 32 + lane / 64 * 32; });
}
/// 16 elements of 4 or 6 bits at the begin of 16 bytes become a byte each, in
/// its lowest bits.
TEST_F(TensorCopy, Unpacks) {
  for (unsigned bits : {4, 6}) {
    ASSERT_EQ(run(bits == 4 ? "128x128b.b8x16.b4x16_p64"
                            : "128x128b.b8x16.b6x16_p32"),
              "");
    for (unsigned t = 0; t < 128; ++t)
      for (unsigned e = 0; e < 16; ++e) {
        unsigned at = e * bits;
        uint64_t two = word(t, at / 32) |
                       uint64_t(at / 32 < 3 ? word(t, at / 32 + 1) : 0) << 32;
        ASSERT_EQ(kernel.output(e / 4, t) >> (8 * (e % 4)) & 0xFF,
                  two >> (at % 32) & ((1u << bits) - 1))
            << bits << " bits, lane " << t << " element " << e;
      }
  }
}
TEST_F(TensorCopy, RefusesOtherMulticasts) {
  EXPECT_NE(run("64x128b"), "");
  EXPECT_NE(run("64x128b.warpx4"), "");
  EXPECT_NE(run("32x128b.warpx2::02_13"), "");
  EXPECT_NE(run("128x128b.b8x16"), "");
}

} // namespace
