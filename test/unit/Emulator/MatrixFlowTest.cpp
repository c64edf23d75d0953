// From shared memory through ldmatrix, mma and stmatrix back: the fragments of
// the three fit together. SPDX-License-Identifier: Apache-2.0 WITH
// LLVM-exception
#include "MatrixHarness.h"

#include "nibble/rt/float_codec.h"

#include <random>

using namespace nibble;
using namespace nibble::emu;

namespace {

using F = rt::StorageFormat;

/// A (16 x K) and B as rows of 32 bytes in shared memory; the result, FP16, at
/// kOut.
constexpr unsigned kA = 0, kB = 512, kOut = 1024;

class MatrixFlow : public ::testing::Test {
protected:
  MatrixFlow() {
    kernel.image.resize(2048);
    kernel.outputs = 4;
  }

  template <F Format, typename Code>
  void put(unsigned at, const std::vector<float> &values) {
    for (size_t i = 0; i < values.size(); ++i) {
      Code code = Code(rt::encodeAs<Format>(values[i]));
      std::memcpy(&kernel.image.at(at + i * sizeof code), &code, sizeof code);
    }
  }
  std::vector<float> draw(size_t count) {
    std::vector<float> values(count);
    for (float &x : values)
      x = float(int(random() % 17) - 8);
    return values;
  }
  /// Element (m, n) of the result, rows of 16 bytes.
  float result(unsigned m, unsigned n) const {
    uint16_t code;
    std::memcpy(&code, &kernel.image[kOut + m * 16 + n * 2], 2);
    return rt::decodeF16(code);
  }
  /// Rows of 16 bytes: half `lane / 16` of row `lane % 16` of A, as
  /// ldmatrix.x4 takes it for mma.
  static std::string loadA() {
    return "and.b32 %r0, %tid_, 15;\nshl.b32 %r0, %r0, 5;\n"
           "shr.u32 %r1, %tid_, 4;\nshl.b32 %r1, %r1, 4;\n"
           "add.u32 %a, %s, %r0;\nadd.u32 %a, %a, %r1;\n"
           "ldmatrix.sync.aligned.m8n8.x4.shared.b16 "
           "{%o0, %o1, %o2, %o3}, [%a];\n";
  }
  static std::string store() {
    return "and.b32 %r0, %tid_, 15;\nshl.b32 %r0, %r0, 4;\n"
           "add.u32 %a, %s, %r0;\n"
           "stmatrix.sync.aligned.m8n8.x2.shared.b16 [%a+1024], {%o0, %o1};\n";
  }

  MatrixKernel kernel;
  std::mt19937 random{5};
};

/// B row-major (K x N), transposed on its way: what attention does with V.
TEST_F(MatrixFlow, MultipliesHalf) {
  std::vector<float> a = draw(16 * 16), b = draw(16 * 8);
  put<F::F16, uint16_t>(kA, a);
  put<F::F16, uint16_t>(kB, b);
  kernel.body = loadA() +
                "and.b32 %r0, %tid_, 15;\nshl.b32 %r0, %r0, 4;\n"
                "add.u32 %a, %s, %r0;\n"
                "ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%r2, %r3}, "
                "[%a+512];\nmov.b32 %r4, 0;\n"
                "mma.sync.aligned.m16n8k16.row.col.f16.f16.f16.f16 {%o0, %o1}, "
                "{%o0, %o1, %o2, %o3}, {%r2, %r3}, {%r4, %r4};\n" +
                store();
  ASSERT_EQ(kernel.run(), "");
  for (unsigned m = 0; m < 16; ++m)
    for (unsigned n = 0; n < 8; ++n) {
      float sum = 0;
      for (unsigned k = 0; k < 16; ++k)
        sum += a[m * 16 + k] * b[k * 8 + n];
      EXPECT_EQ(result(m, n), sum) << m << ", " << n;
    }
}

/// Bytes go through ldmatrix in pairs; B column-major (N x K).
TEST_F(MatrixFlow, MultipliesBytes) {
  std::vector<float> a = draw(16 * 32), b = draw(8 * 32);
  put<F::E4M3FN, uint8_t>(kA, a);
  put<F::E4M3FN, uint8_t>(kB, b);
  kernel.body = loadA() +
                "and.b32 %r0, %tid_, 7;\nshl.b32 %r0, %r0, 5;\n"
                "shr.u32 %r1, %tid_, 3;\nand.b32 %r1, %r1, 1;\n"
                "shl.b32 %r1, %r1, 4;\n"
                "add.u32 %a, %s, %r0;\nadd.u32 %a, %a, %r1;\n"
                "ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%r2, %r3}, "
                "[%a+512];\nmov.b32 %r4, 0;\n"
                "mma.sync.aligned.m16n8k32.row.col.f16.e4m3.e4m3.f16 "
                "{%o0, %o1}, {%o0, %o1, %o2, %o3}, {%r2, %r3}, {%r4, %r4};\n" +
                store();
  ASSERT_EQ(kernel.run(), "");
  for (unsigned m = 0; m < 16; ++m)
    for (unsigned n = 0; n < 8; ++n) {
      float sum = 0;
      for (unsigned k = 0; k < 32; ++k)
        sum += a[m * 32 + k] * b[n * 32 + k];
      EXPECT_EQ(result(m, n), sum) << m << ", " << n;
    }
}

} // namespace
