// wgmma: matrices in shared memory in every layout, in registers, and what is
// refused. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MatrixHarness.h"

#include "nibble/rt/float_codec.h"

#include <functional>
#include <random>

using namespace nibble;
using namespace nibble::emu;

namespace {

using F = rt::StorageFormat;
struct Type {
  const char *name;
  unsigned bytes;
  std::function<uint32_t(double)> encode;
};
const Type kTypes[] = {
    {"f16", 2, [](double x) { return uint32_t(rt::encodeAs<F::F16>(x)); }},
    {"bf16", 2, [](double x) { return uint32_t(rt::encodeAs<F::BF16>(x)); }},
    {"tf32", 4, [](double x) { return bitCast<uint32_t>(float(x)); }},
    {"e4m3", 1, [](double x) { return uint32_t(rt::encodeAs<F::E4M3FN>(x)); }},
    {"e5m2", 1, [](double x) { return uint32_t(rt::encodeAs<F::E5M2>(x)); }},
    {"s8", 1, [](double x) { return uint32_t(uint8_t(int(x))); }},
    {"u8", 1, [](double x) { return uint32_t(uint8_t(int(x))); }}};
const Type &typeOf(const std::string &name) {
  for (const Type &type : kTypes)
    if (name == type.name)
      return type;
  return kTypes[0];
}

/// How a matrix lies in shared memory, written down as the figures of
/// 9.7.15.5.1.2 show it, in chunks of 16 bytes.
struct Placement {
  unsigned span = 16; ///< swizzle; 16: none
  bool mnMajor = false;
  uint32_t start = 0, leading = 0, stride = 0;

  /// A row of a swizzled pattern is `span` bytes. The chunks of row i of the
  /// pattern trade places by: 128 bytes: i, 64: i / 2, 32: i / 4.
  static uint32_t chunkAt(unsigned span, unsigned row, unsigned chunk) {
    unsigned phase = span == 128  ? row % 8
                     : span == 64 ? row / 2 % 4
                     : span == 32 ? row / 4 % 2
                                  : 0;
    return row * span + (chunk ^ phase) * 16;
  }

  /// Byte address of element (mn, k).
  uint32_t at(unsigned mn, unsigned k, unsigned bytes) const {
    unsigned t = 16 / bytes, s = span / 16;
    if (!mnMajor && span == 16)
      return start + mn % 8 * 16 + mn / 8 * stride + k / t * leading +
             k % t * bytes;
    if (!mnMajor)
      return start + mn / 8 * stride + chunkAt(span, mn % 8, k / t) +
             k % t * bytes;
    if (span == 16)
      return start + mn / t * stride + k % 8 * 16 + k / 8 * leading +
             mn % t * bytes;
    return start + mn / (t * s) * leading + k / 8 * stride +
           chunkAt(span, k % 8, mn / t % s) + mn % t * bytes;
  }

  uint64_t descriptor() const {
    uint64_t mode = span == 128 ? 1 : span == 64 ? 2 : span == 32 ? 3 : 0;
    return uint64_t(start >> 4) | uint64_t(leading >> 4) << 16 |
           uint64_t(stride >> 4) << 32 | mode << 62;
  }
};

/// One wgmma of a warpgroup with known matrices.
struct Wgmma {
  unsigned n;
  std::string a, b, d;
  unsigned k;
  Placement placeA, placeB;
  bool registersA = false;
  std::string scale = "1";
  int signA = 1, signB = 1;
  std::vector<double> matrixA, matrixB, matrixC;
  MatrixKernel kernel;

  Wgmma(unsigned n, std::string a, std::string b, std::string d)
      : n(n), a(a), b(b), d(d), k(32 / typeOf(a).bytes), matrixA(64 * k),
        matrixB(n * k), matrixC(64 * n) {
    std::mt19937 random(n);
    auto draw = [&](int low, int high) {
      return double(std::uniform_int_distribution<int>(low, high)(random));
    };
    for (double &x : matrixA)
      x = draw(a == "u8" ? 0 : -8, 8);
    for (double &x : matrixB)
      x = draw(b == "u8" ? 0 : -8, 8);
    for (double &x : matrixC)
      x = draw(-99, 99);
    kernel.threads = 128;
    kernel.image.assign(96 * 1024, 0x7F); // NaN or large: what is not a matrix
    placeB.start = 48 * 1024;
    // The usual distances, all different from each other.
    placeA.leading = placeB.leading = 4096;
    placeA.stride = placeB.stride = 1024;
  }

  bool is16Bit() const { return typeOf(a).bytes == 2; }

  std::string instruction() const {
    unsigned count = d == "f16" ? n / 4 : n / 2;
    std::string s = "wgmma.mma_async.sync.aligned.m64n" + std::to_string(n) +
                    "k" + std::to_string(k) + "." + d + "." + a + "." + b +
                    " " + registerNames("o", 0, count) + ", " +
                    (registersA ? registerNames("i", count, 4) : "%x") +
                    ", %y, " + scale;
    if (d != "s32")
      s += ", " + std::to_string(signA) + ", " + std::to_string(signB);
    if (is16Bit() && !registersA)
      s += placeA.mnMajor ? ", 1" : ", 0";
    if (is16Bit())
      s += placeB.mnMajor ? ", 1" : ", 0";
    return s + ";\n";
  }

  /// The instruction with what must stand around it.
  std::string ordered() const {
    return "wgmma.fence.sync.aligned;\n" + instruction() +
           "wgmma.commit_group.sync.aligned;\n"
           "wgmma.wait_group.sync.aligned 0;\n";
  }

  void put(const Placement &place, const Type &type,
           const std::vector<double> &matrix) {
    for (size_t i = 0; i < matrix.size(); ++i) {
      uint32_t code = type.encode(matrix[i]);
      std::memcpy(&kernel.image.at(place.at(i / k, i % k, type.bytes)), &code,
                  type.bytes);
    }
  }

  uint32_t codeOfC(double x) const {
    return d == "f16"   ? typeOf("f16").encode(x)
           : d == "f32" ? bitCast<uint32_t>(float(x))
                        : uint32_t(int32_t(x));
  }

  /// Figures 149, 151, 153: warp w has rows 16 w ..; element i of a thread.
  static unsigned rowOf(unsigned thread, unsigned i) {
    return thread / 32 * 16 + thread % 32 / 4 + (i / 2 % 2 ? 8 : 0);
  }
  static unsigned columnOf(unsigned thread, unsigned i) {
    return i / 4 * 8 + thread % 4 * 2 + i % 2;
  }

  void fillRegisters() {
    unsigned count = d == "f16" ? n / 4 : n / 2, per = d == "f16" ? 2 : 1;
    kernel.outputs = count;
    kernel.inputs = count + 4;
    for (unsigned thread = 0; thread < 128; ++thread) {
      for (unsigned i = 0; i < n / 2; ++i)
        kernel.input(i / per, thread) |=
            codeOfC(matrixC[rowOf(thread, i) * n + columnOf(thread, i)])
            << (16 * (i % per));
      fillA(count, thread);
    }
  }
  /// Figures 148, 150, 152.
  void fillA(unsigned first, unsigned thread) {
    const Type &type = typeOf(a);
    unsigned per = 4 / type.bytes, t = thread % 4;
    for (unsigned r = 0; r < 4; ++r)
      for (unsigned e = 0; e < per; ++e) {
        unsigned row = rowOf(thread, 0) + (r % 2 ? 8 : 0);
        unsigned column = per * t + e + (r >= 2 ? k / 2 : 0);
        kernel.input(first + r, thread) |=
            type.encode(matrixA[row * k + column]) << (8 * type.bytes * e);
      }
  }

  std::string run(const std::string &before = "") {
    fillRegisters();
    if (!registersA)
      put(placeA, typeOf(a), matrixA);
    put(placeB, typeOf(b), matrixB);
    kernel.x = placeA.descriptor();
    kernel.y = placeB.descriptor();
    kernel.body = before;
    for (unsigned r = 0; r < kernel.outputs; ++r)
      kernel.body +=
          "mov.b32 %o" + std::to_string(r) + ", %i" + std::to_string(r) + ";\n";
    kernel.body += ordered();
    return kernel.run();
  }

  double result(unsigned thread, unsigned i) const {
    if (d == "f16")
      return rt::decodeF16(
          uint16_t(kernel.output(i / 2, thread) >> (16 * (i % 2))));
    uint32_t word = kernel.output(i, thread);
    return d == "f32" ? double(bitCast<float>(word)) : double(int32_t(word));
  }

  void expectResult(bool accumulated = true) const {
    for (unsigned thread = 0; thread < 128; ++thread)
      for (unsigned i = 0; i < n / 2; ++i) {
        unsigned row = rowOf(thread, i), column = columnOf(thread, i);
        double sum = accumulated ? matrixC[row * n + column] : 0;
        for (unsigned j = 0; j < k; ++j)
          sum += signA * signB * matrixA[row * k + j] * matrixB[column * k + j];
        if (d == "f16")
          sum = rt::decodeF16(uint16_t(rt::encodeAs<F::F16>(sum)));
        ASSERT_EQ(result(thread, i), sum) << row << ", " << column;
      }
  }
};

//===----------------------------------------------------------------------===//
// Layouts
//===----------------------------------------------------------------------===//

TEST(Wgmma, ReadsKMajorMatricesOfEverySwizzle) {
  for (const char *type : {"f16", "tf32", "e4m3"})
    for (unsigned span : {16u, 32u, 64u, 128u}) {
      Wgmma wgmma(24, type, type, "f32");
      wgmma.placeA.span = wgmma.placeB.span = span;
      if (span == 16) { // both distances count
        wgmma.placeA.leading = 128;
        wgmma.placeA.stride = 256;
        wgmma.placeB.leading = 2048;
        wgmma.placeB.stride = 128;
      } else { // atoms side by side; the leading one is ignored
        wgmma.placeA.stride = 8 * span;
        wgmma.placeB.leading = 16;
      }
      ASSERT_EQ(wgmma.run(), "") << type << " " << span;
      wgmma.expectResult();
    }
}

TEST(Wgmma, ReadsMnMajorMatricesOfEverySwizzle) {
  for (const char *type : {"f16", "bf16"})
    for (unsigned span : {16u, 32u, 64u, 128u})
      for (int which : {1, 2, 3}) {
        Wgmma wgmma(136, type, type, "f32");
        wgmma.placeA.span = wgmma.placeB.span = span;
        wgmma.placeA.mnMajor = which & 1;
        wgmma.placeB.mnMajor = which & 2;
        if (span == 16) { // k / 8 by `leading`, mn by `stride`
          wgmma.placeA.leading = 2048;
          wgmma.placeA.stride = 128;
          wgmma.placeB.leading = 128;
          wgmma.placeB.stride = 256;
        } else { // mn by `leading`, k / 8 by `stride`
          wgmma.placeA.leading = 16 * span;
          wgmma.placeA.stride = 8 * span;
        }
        if (span == 16 && !wgmma.placeB.mnMajor)
          wgmma.placeB.stride = 256;
        ASSERT_EQ(wgmma.run(), "") << type << " " << span << " " << which;
        wgmma.expectResult();
      }
}

/// The second 32 bytes of rows of 128: the pattern goes on, as it belongs to
/// addresses, not to the start.
TEST(Wgmma, AdvancesWithinASwizzledRow) {
  Wgmma wgmma(16, "f16", "f16", "f32");
  wgmma.placeA.span = wgmma.placeB.span = 128;
  std::vector<double> a = wgmma.matrixA, b = wgmma.matrixB;
  wgmma.fillRegisters();
  for (unsigned row = 0; row < 64; ++row)
    for (unsigned k = 0; k < 16; ++k)
      for (bool isA : {true, false}) {
        if (!isA && row >= 16)
          continue;
        const Placement &place = isA ? wgmma.placeA : wgmma.placeB;
        uint16_t code =
            uint16_t(typeOf("f16").encode((isA ? a : b)[row * 16 + k]));
        std::memcpy(&wgmma.kernel.image[place.at(row, k + 16, 2)], &code, 2);
      }
  wgmma.kernel.x = wgmma.placeA.descriptor() + 2;
  wgmma.kernel.y = wgmma.placeB.descriptor() + 2;
  for (unsigned r = 0; r < wgmma.kernel.outputs; ++r)
    wgmma.kernel.body +=
        "mov.b32 %o" + std::to_string(r) + ", %i" + std::to_string(r) + ";\n";
  wgmma.kernel.body += wgmma.ordered();
  ASSERT_EQ(wgmma.kernel.run(), "");
  wgmma.expectResult();
}

/// A pattern that starts 384 bytes behind a boundary has base offset 3.
TEST(Wgmma, FollowsTheBaseOffset) {
  Wgmma wgmma(8, "f16", "f16", "f32");
  wgmma.placeA.span = wgmma.placeB.span = 128;
  wgmma.placeB.start += 384;
  wgmma.fillRegisters();
  wgmma.put(wgmma.placeA, typeOf("f16"), wgmma.matrixA);
  wgmma.put(wgmma.placeB, typeOf("f16"), wgmma.matrixB);
  wgmma.kernel.x = wgmma.placeA.descriptor();
  wgmma.kernel.y = wgmma.placeB.descriptor() | uint64_t(3) << 49;
  for (unsigned r = 0; r < wgmma.kernel.outputs; ++r)
    wgmma.kernel.body +=
        "mov.b32 %o" + std::to_string(r) + ", %i" + std::to_string(r) + ";\n";
  wgmma.kernel.body += wgmma.ordered();
  ASSERT_EQ(wgmma.kernel.run(), "");
  wgmma.expectResult();
}

//===----------------------------------------------------------------------===//
// Types and operands
//===----------------------------------------------------------------------===//

TEST(Wgmma, HasAllTypes) {
  struct {
    const char *a, *b, *d;
  } cases[] = {
      {"f16", "f16", "f16"},   {"bf16", "bf16", "f32"}, {"tf32", "tf32", "f32"},
      {"e4m3", "e5m2", "f32"}, {"e5m2", "e4m3", "f16"}, {"s8", "u8", "s32"},
      {"u8", "s8", "s32"},     {"s8", "s8", "s32"},     {"u8", "u8", "s32"}};
  for (auto &c : cases)
    for (bool registersA : {false, true})
      for (unsigned n : {8u, 256u}) {
        Wgmma wgmma(n, c.a, c.b, c.d);
        wgmma.registersA = registersA;
        wgmma.placeA.span = wgmma.placeB.span = 128;
        ASSERT_EQ(wgmma.run(), "") << c.a << " " << c.b << " " << c.d;
        wgmma.expectResult();
      }
}

TEST(Wgmma, NegatesEitherMatrix) {
  for (int signs : {1, 2, 3}) {
    Wgmma wgmma(16, "bf16", "bf16", "f32");
    wgmma.placeA.span = wgmma.placeB.span = 64;
    wgmma.registersA = signs == 3;
    wgmma.signA = signs & 1 ? -1 : 1;
    wgmma.signB = signs & 2 ? -1 : 1;
    ASSERT_EQ(wgmma.run(), "");
    wgmma.expectResult();
  }
}

TEST(Wgmma, ReplacesDWhereScaleDIsFalse) {
  struct {
    const char *scale;
    bool accumulated;
  } cases[] = {{"0", false},   {"1", true},     {"%p1", true},
               {"%p2", false}, {"!%p1", false}, {"!%p2", true}};
  for (auto &c : cases) {
    Wgmma wgmma(8, "f16", "f16", "f32");
    wgmma.placeA.span = wgmma.placeB.span = 128;
    wgmma.scale = c.scale;
    ASSERT_EQ(wgmma.run("setp.ge.u32 %p1, %tid_, 0;\n"
                        "setp.lt.u32 %p2, %tid_, 0;\n"),
              "");
    wgmma.expectResult(c.accumulated);
  }
}

//===----------------------------------------------------------------------===//
// Refusals and faults
//===----------------------------------------------------------------------===//

void expectError(const std::string &error, const char *part) {
  EXPECT_NE(error.find(part), std::string::npos) << part << " in: " << error;
}

TEST(Wgmma, ChecksDescriptors) {
  auto errorWith = [](uint64_t bits) {
    Wgmma wgmma(8, "f16", "f16", "f32");
    wgmma.placeA.span = wgmma.placeB.span = 128;
    wgmma.run();
    wgmma.kernel.y ^= bits;
    return wgmma.kernel.run();
  };
  EXPECT_EQ(errorWith(0), "");
  expectError(errorWith(uint64_t(1) << 46), "descriptor of B");
  expectError(errorWith(uint64_t(1) << 46), "tcgen05");
  for (unsigned bit : {14, 15, 30, 31, 52, 61})
    expectError(errorWith(uint64_t(1) << bit), "mean nothing");
  expectError(errorWith(uint64_t(1) << 49 | uint64_t(1) << 62),
              "base offset without a swizzle");
  expectError(errorWith(0x3FF8 ^ (48 * 1024 >> 4)), "bytes of shared memory");
}

TEST(Wgmma, FaultsWhereLanesDisagree) {
  Wgmma wgmma(8, "f16", "f16", "f32");
  wgmma.placeA.span = wgmma.placeB.span = 128;
  expectError(wgmma.run("cvt.u64.u32 %g, %tid_;\nadd.s64 %x, %x, %g;\n"),
              "different descriptors of A");
  wgmma.scale = "%p1";
  expectError(wgmma.run("setp.lt.u32 %p1, %tid_, 3;\n"),
              "different values of scale-d");
}

/// It reads through the asynchronous proxy.
TEST(Wgmma, FaultsAtMemoryThatIsNotReady) {
  Wgmma wgmma(8, "f16", "f16", "f32");
  wgmma.placeA.span = wgmma.placeB.span = 128;
  expectError(wgmma.run("mov.b32 %r0, 0;\nst.shared.b32 [%s+1024], %r0;\n"),
              "fence.proxy.async");
  EXPECT_EQ(wgmma.run("mov.b32 %r0, 0;\nst.shared.b32 [%s+32], %r0;\n"), "")
      << "bytes that are no part of the matrix";
}

TEST(Wgmma, NeedsAWholeWarpgroup) {
  Wgmma wgmma(8, "f16", "f16", "f32");
  wgmma.fillRegisters();
  wgmma.kernel.threads = 96;
  wgmma.kernel.in.clear();
  wgmma.kernel.body = wgmma.instruction();
  expectError(wgmma.kernel.run(), "warpgroup of 4 warps");
}

TEST(Wgmma, IsThereOnSm90aOnly) {
  for (const char *target : {"sm_90", "sm_100a", "sm_110a"}) {
    MatrixKernel kernel;
    kernel.target = target;
    kernel.body = "wgmma.fence.sync.aligned;\n";
    expectError(kernel.run(), target);
  }
}

TEST(Wgmma, RefusesWhatTheIsaDoesNotHave) {
  struct {
    const char *text, *message;
  } cases[] = {
      {"m64n12k16.f32.f16.f16 {%o0,%o1,%o2,%o3}, %x, %y, 1, 1, 1, 0, 0",
       "m64n12k16"},
      {"m64n8k8.f32.f16.f16 {%o0,%o1,%o2,%o3}, %x, %y, 1, 1, 1, 0, 0", "k = 8"},
      {"m64n8k16.f32.f16.bf16 {%o0,%o1,%o2,%o3}, %x, %y, 1, 1, 1, 0, 0",
       "cannot multiply"},
      {"m64n8k16.f16.bf16.bf16 {%o0,%o1}, %x, %y, 1, 1, 1, 0, 0",
       "accumulators"},
      {"m64n8k32.f32.e2m1.e2m1 {%o0,%o1,%o2,%o3}, %x, %y, 1, 1, 1",
       "cannot multiply"},
      {"m64n8k256.s32.b1.b1.and.popc {%o0,%o1,%o2,%o3}, %x, %y, 1",
       "m64n8k256"},
      {"m64n40k32.s32.s8.s8 {%o0,%o1,%o2,%o3}, %x, %y, 1", "n = 40"},
      {"m64n8k16.f32.f16.f16 {%o0,%o1,%o2}, %x, %y, 1, 1, 1, 0, 0",
       "3 registers, not 4"},
      {"m64n8k16.f32.f16.f16 {%o0,%o1,%o2,%o3}, {%i0,%i1}, %y, 1, 1, 1, 0",
       "2 registers, not 4"},
      {"m64n8k16.f32.f16.f16 {%o0,%o1,%o2,%o3}, %x, %y, 1, 1, 2, 0, 0",
       "imm-scale-b must be 1 or -1"},
      {"m64n8k16.f32.f16.f16 {%o0,%o1,%o2,%o3}, %x, %y, 1, 1, 1, 0, 2",
       "imm-trans-b must be 0 or 1"},
      {"m64n8k16.f32.f16.f16 {%o0,%o1,%o2,%o3}, %x, %y, 2, 1, 1, 0, 0",
       "scale-d must be 0 or 1"},
      {"m64n8k32.f32.e4m3.e4m3 {%o0,%o1,%o2,%o3}, %x, %y, 1, 1, 1, 0, 0",
       "operands"},
      {"sp.m64n8k32.f32.f16.f16 {%o0,%o1,%o2,%o3}, %x, %y, %i0, 0, 1, 1, 1",
       "sparse"}};
  for (auto &c : cases) {
    MatrixKernel kernel;
    kernel.inputs = kernel.outputs = 4;
    std::string text = c.text;
    bool sparse = text.substr(0, 3) == "sp.";
    kernel.body = std::string("wgmma.mma_async.") + (sparse ? "sp." : "") +
                  "sync.aligned." + text.substr(sparse ? 3 : 0) + ";\n";
    expectError(kernel.run(), c.message);
  }
}

} // namespace
