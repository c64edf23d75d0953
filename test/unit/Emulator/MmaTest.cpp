// mma.sync: fragments as the PTX ISA draws them, element by element.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MatrixHarness.h"

#include "nibble/rt/float_codec.h"

#include <functional>
#include <random>

using namespace nibble;
using namespace nibble::emu;

namespace {

struct Position {
  unsigned row, column;
};
/// Element i of a fragment of a lane: its row and column. Written out for each
/// shape as in 9.7.14.5.7 to 9.7.14.5.10.
using Layout = std::function<Position(unsigned lane, unsigned i)>;

Layout layoutA(const std::string &shape, unsigned bits) {
  return [=](unsigned lane, unsigned i) -> Position {
    unsigned g = lane >> 2, t = lane % 4;
    if (shape == "m16n8k8" && bits == 16)
      return {i < 2 ? g : g + 8, t * 2 + (i & 1)};
    if (shape == "m16n8k8")
      return {i == 0 || i == 2 ? g : g + 8, i < 2 ? t : t + 4};
    if (shape == "m16n8k4")
      return {i == 0 ? g : g + 8, t};
    if (shape == "m16n8k16" && bits == 16)
      return {i < 2 || (4 <= i && i < 6) ? g : g + 8,
              t * 2 + (i & 1) + (i >= 4 ? 8 : 0)};
    if (shape == "m16n8k16")
      return {i < 4 ? g : g + 8, t * 4 + (i & 3)};
    return {i < 4 || (8 <= i && i < 12) ? g : g + 8,
            t * 4 + (i & 3) + (i >= 8 ? 16 : 0)};
  };
}

/// Rows are k, columns n.
Layout layoutB(const std::string &shape, unsigned bits) {
  return [=](unsigned lane, unsigned i) -> Position {
    unsigned g = lane >> 2, t = lane % 4;
    if (shape == "m16n8k8" && bits == 16)
      return {t * 2 + i, g};
    if (shape == "m16n8k8")
      return {i == 0 ? t : t + 4, g};
    if (shape == "m16n8k4")
      return {t, g};
    if (shape == "m16n8k16" && bits == 16)
      return {t * 2 + (i & 1) + (i >= 2 ? 8 : 0), g};
    if (shape == "m16n8k16")
      return {t * 4 + i, g};
    return {t * 4 + (i & 3) + (i >= 4 ? 16 : 0), g};
  };
}

Position layoutC(unsigned lane, unsigned i) {
  unsigned g = lane >> 2, t = lane % 4;
  return {i < 2 ? g : g + 8, t * 2 + (i & 1)};
}

struct Type {
  const char *name;
  unsigned bits;
  std::function<uint32_t(double)> encode;
};

uint32_t encodeF32(double x) { return bitCast<uint32_t>(float(x)); }
template <rt::StorageFormat F> uint32_t encodeTo(double x) {
  return uint32_t(rt::encodeAs<F>(x));
}
uint32_t encodeByte(double x) { return uint8_t(int(x)); }

using F = rt::StorageFormat;
const Type kTypes[] = {
    {"f16", 16, encodeTo<F::F16>},  {"bf16", 16, encodeTo<F::BF16>},
    {"tf32", 32, encodeF32},        {"e4m3", 8, encodeTo<F::E4M3FN>},
    {"e5m2", 8, encodeTo<F::E5M2>}, {"s8", 8, encodeByte},
    {"u8", 8, encodeByte}};

const Type &typeOf(const std::string &name) {
  for (const Type &type : kTypes)
    if (name == type.name)
      return type;
  return kTypes[0];
}

/// One mma with known matrices.
struct Multiplication {
  std::string shape, a, b, d;
  unsigned k;
  std::vector<double> matrixA, matrixB, matrixC, result;

  Multiplication(std::string shape, std::string a, std::string b, std::string d,
                 unsigned k)
      : shape(shape), a(a), b(b), d(d), k(k), matrixA(16 * k), matrixB(k * 8),
        matrixC(16 * 8), result(16 * 8) {}

  std::string name(const std::string &modifier = "") const {
    return "mma.sync.aligned." + shape + ".row.col" + modifier + "." + d + "." +
           a + "." + b + "." + d;
  }

  std::string run(const std::string &modifier = "") {
    const Type &typeA = typeOf(a), &typeB = typeOf(b);
    unsigned nA = 16 * k * typeA.bits / 1024, nB = 8 * k * typeB.bits / 1024;
    unsigned nC = d == "f16" ? 2 : 4;
    MatrixKernel kernel;
    kernel.inputs = nA + nB + nC;
    kernel.outputs = nC;
    kernel.body = name(modifier) + " " + registerNames("o", 0, nC) + ", " +
                  registerNames("i", 0, nA) + ", " +
                  registerNames("i", nA, nB) + ", " +
                  registerNames("i", nA + nB, nC) + ";\n";
    fill(kernel, 0, nA, typeA, layoutA(shape, typeA.bits), matrixA, k);
    fill(kernel, nA, nB, typeB, layoutB(shape, typeB.bits), matrixB, 8);
    Type typeC =
        d == "f16" ? typeOf("f16")
        : d == "f32"
            ? Type{"f32", 32, encodeF32}
            : Type{"s32", 32, [](double x) { return uint32_t(int32_t(x)); }};
    fill(kernel, nA + nB, nC, typeC, layoutC, matrixC, 8);
    std::string error = kernel.run();
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < 4; ++i) {
        Position p = layoutC(lane, i);
        result[p.row * 8 + p.column] = value(kernel, lane, i);
      }
    return error;
  }

  double value(const MatrixKernel &kernel, unsigned lane, unsigned i) const {
    if (d == "f16")
      return rt::decodeF16(
          uint16_t(kernel.output(i / 2, lane) >> (16 * (i % 2))));
    uint32_t word = kernel.output(i, lane);
    return d == "f32" ? double(bitCast<float>(word)) : double(int32_t(word));
  }

  static void fill(MatrixKernel &kernel, unsigned first, unsigned count,
                   const Type &type, const Layout &layout,
                   const std::vector<double> &matrix, unsigned width) {
    unsigned per = 32 / type.bits;
    for (unsigned lane = 0; lane < 32; ++lane)
      for (unsigned i = 0; i < count * per; ++i) {
        Position p = layout(lane, i);
        kernel.input(first + i / per, lane) |=
            type.encode(matrix[p.row * width + p.column])
            << (type.bits * (i % per));
      }
  }

  double expected(unsigned m, unsigned n) const {
    double sum = matrixC[m * 8 + n];
    for (unsigned i = 0; i < k; ++i)
      sum += matrixA[m * k + i] * matrixB[i * 8 + n];
    return sum;
  }
};

struct Case {
  const char *shape, *a, *b, *d;
  unsigned k;
};

class MmaCases : public ::testing::TestWithParam<Case> {};

/// Small integers, negative ones where the type has them: sums are exact in
/// every type, and a transposed or shifted fragment changes them.
TEST_P(MmaCases, MultipliesMatricesOfTheDocumentedFragments) {
  Case c = GetParam();
  Multiplication mma(c.shape, c.a, c.b, c.d, c.k);
  std::mt19937 random(7);
  auto draw = [&](const std::string &type) {
    int low = type == "u8" ? 0 : -8, high = 8;
    return double(std::uniform_int_distribution<int>(low, high)(random));
  };
  for (double &x : mma.matrixA)
    x = draw(c.a);
  for (double &x : mma.matrixB)
    x = draw(c.b);
  for (double &x : mma.matrixC)
    x = std::uniform_int_distribution<int>(-99, 99)(random);
  ASSERT_EQ(mma.run(), "");
  for (unsigned m = 0; m < 16; ++m)
    for (unsigned n = 0; n < 8; ++n) {
      double expected = mma.expected(m, n);
      if (std::string(c.d) == "f16")
        expected = rt::decodeF16(uint16_t(encodeTo<F::F16>(expected)));
      ASSERT_EQ(mma.result[m * 8 + n], expected) << m << ", " << n;
    }
}

INSTANTIATE_TEST_SUITE_P(
    All, MmaCases,
    ::testing::Values(Case{"m16n8k8", "f16", "f16", "f32", 8},
                      Case{"m16n8k8", "f16", "f16", "f16", 8},
                      Case{"m16n8k16", "f16", "f16", "f32", 16},
                      Case{"m16n8k16", "f16", "f16", "f16", 16},
                      Case{"m16n8k8", "bf16", "bf16", "f32", 8},
                      Case{"m16n8k16", "bf16", "bf16", "f32", 16},
                      Case{"m16n8k4", "tf32", "tf32", "f32", 4},
                      Case{"m16n8k8", "tf32", "tf32", "f32", 8},
                      Case{"m16n8k16", "e4m3", "e5m2", "f32", 16},
                      Case{"m16n8k16", "e5m2", "e4m3", "f16", 16},
                      Case{"m16n8k32", "e4m3", "e4m3", "f32", 32},
                      Case{"m16n8k32", "e5m2", "e4m3", "f32", 32},
                      Case{"m16n8k32", "e4m3", "e5m2", "f16", 32},
                      Case{"m16n8k16", "s8", "u8", "s32", 16},
                      Case{"m16n8k32", "s8", "s8", "s32", 32},
                      Case{"m16n8k32", "u8", "s8", "s32", 32},
                      Case{"m16n8k32", "u8", "u8", "s32", 32}));

TEST(Mma, TellsSignedFromUnsignedBytes) {
  for (const char *a : {"s8", "u8"})
    for (const char *b : {"s8", "u8"}) {
      Multiplication mma("m16n8k32", a, b, "s32", 32);
      mma.matrixA[3 * 32 + 5] = 200;
      mma.matrixB[5 * 8 + 6] = 130;
      ASSERT_EQ(mma.run(), "");
      double x = a[0] == 's' ? 200 - 256 : 200;
      double y = b[0] == 's' ? 130 - 256 : 130;
      EXPECT_EQ(mma.result[3 * 8 + 6], x * y) << a << " " << b;
    }
}

TEST(Mma, WrapsOrSaturatesIntegers) {
  Multiplication mma("m16n8k16", "s8", "s8", "s32", 16);
  mma.matrixA[0] = mma.matrixA[16] = 127;
  mma.matrixB[0] = 127;
  mma.matrixB[1] = -128;
  mma.matrixC[0] = 2147483647;
  mma.matrixC[1] = -2147483648.0;
  ASSERT_EQ(mma.run(), "");
  EXPECT_EQ(mma.result[0], 2147483647.0 + 127 * 127 - 4294967296.0);
  EXPECT_EQ(mma.result[1], -2147483648.0 - 127 * 128 + 4294967296.0);
  ASSERT_EQ(mma.run(".satfinite"), "");
  EXPECT_EQ(mma.result[0], 2147483647);
  EXPECT_EQ(mma.result[1], -2147483648.0);
}

TEST(Mma, IgnoresTheLowBitsOfTf32) {
  Multiplication mma("m16n8k8", "tf32", "tf32", "f32", 8);
  mma.matrixA[0] = 1 + 0x1p-10 + 0x1p-11; // bit 12 is the first ignored
  mma.matrixB[0] = 1;
  ASSERT_EQ(mma.run(), "");
  EXPECT_EQ(mma.result[0], 1 + 0x1p-10);
}

TEST(Mma, MayUseOneRegisterAsAccumulatorAndResult) {
  MatrixKernel kernel;
  kernel.inputs = kernel.outputs = 4;
  for (unsigned lane = 0; lane < 32; ++lane)
    for (unsigned r = 0; r < 4; ++r)
      kernel.input(r, lane) = 0x3C003C00; // 1.0, 1.0
  kernel.body = "mov.b32 %o0, 0f3F800000;\nmov.b32 %o1, 0f40000000;\n"
                "mov.b32 %o2, 0f40400000;\nmov.b32 %o3, 0f40800000;\n"
                "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                "{%o0, %o1, %o2, %o3}, {%i0, %i1, %i2, %i3}, {%i0, %i1}, "
                "{%o0, %o1, %o2, %o3};\n";
  ASSERT_EQ(kernel.run(), "");
  for (unsigned r = 0; r < 4; ++r)
    EXPECT_EQ(bitCast<float>(kernel.output(r, 31)), float(17 + r));
}

//===----------------------------------------------------------------------===//
// Refusals
//===----------------------------------------------------------------------===//

std::string errorOf(const std::string &instruction,
                    const std::string &target = "sm_90a") {
  MatrixKernel kernel;
  kernel.target = target;
  kernel.inputs = kernel.outputs = 8;
  kernel.body = instruction;
  return kernel.run();
}

const char *const kOperands = " {%o0, %o1, %o2, %o3}, {%i0, %i1, %i2, %i3}, "
                              "{%i0, %i1}, {%i0, %i1, %i2, %i3};\n";

/// ptxas reads it; the emulator would lose the sum.
TEST(Mma, RefusesSumsWhereValuesStand) {
  EXPECT_NE(errorOf("add.u32 %o0, %i0+4, %i1;\n")
                .find("adds 4 to register %i0 where a value stands"),
            std::string::npos);
  EXPECT_NE(
      errorOf("mov.u32 %o0, %laneid+4;\n").find("adds 4 to register %laneid"),
      std::string::npos);
}

TEST(Mma, RefusesByNameWhatItDoesNotHave) {
  struct {
    const char *modifiers, *message;
  } cases[] = {
      {"m8n8k4.row.col.f32.f16.f16.f32", "m8n8k4"},
      {"m16n8k64.row.col.s32.s4.s4.s32", "m16n8k64"},
      {"m16n8k32.row.col.s32.s4.s4.s32", ".s4"},
      {"m16n8k8.row.col.f64.f64.f64.f64", ".f64"},
      {"m16n8k32.row.col.f32.e2m1.e2m1.f32", ".e2m1"},
      {"m16n8k32.row.col.kind::f8f6f4.f32.e2m3.e4m3.f32", "sm_120a"},
      {"m16n8k8.row.col.f32.e4m3.e4m3.f32", "k = 8"},
      {"m16n8k16.row.col.f32.f16.bf16.f32", "cannot multiply"},
      {"m16n8k16.row.col.f16.bf16.bf16.f16", "accumulators"},
      {"m16n8k32.row.col.f32.s8.s8.f32", "accumulators"},
      {"m16n8k16.row.col.f32.f16.f16.f16", "one type"},
      {"m16n8k16.row.col.satfinite.f32.f16.f16.f32", ".satfinite"},
      {"m16n8k16.row.row.f32.f16.f16.f32", ".row.col"},
  };
  for (auto &c : cases) {
    std::string error =
        errorOf("mma.sync.aligned." + std::string(c.modifiers) + kOperands);
    EXPECT_NE(error.find(c.message), std::string::npos)
        << c.modifiers << ": " << error;
  }
  EXPECT_NE(errorOf("mma.sp.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32" +
                    std::string(kOperands))
                .find("sparse"),
            std::string::npos);
}

TEST(Mma, ChecksTheNumberOfRegisters) {
  std::string name = "mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32";
  EXPECT_NE(errorOf(name + kOperands).find("A has 4 registers, not 2"),
            std::string::npos);
}

TEST(Mma, NeedsAllLanes) {
  std::string name = "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32";
  std::string some = "setp.lt.u32 %p1, %tid_, 16;\n";
  EXPECT_NE(errorOf(some + "@%p1 " + name + kOperands).find("guard"),
            std::string::npos);
  EXPECT_NE(
      errorOf(some + "@%p1 exit;\n" + name + kOperands).find("has exited"),
      std::string::npos);
}

} // namespace
