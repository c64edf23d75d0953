// The blocked f64 matrix product against three loops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../../../lib/Reference/Gemm.h"
#include "Harness.h"

using namespace nibble::ref;

static void check(int64_t m, int64_t n, int64_t k, bool transposeB) {
  SCOPED_TRACE(testing::Message()
               << m << "x" << n << "x" << k << " " << transposeB);
  std::vector<double> a = randoms(m * k, 1), b = randoms(n * k, 2),
                      c(m * n, 1e9);
  auto reader = [](const std::vector<double> &v) {
    return [&v](int64_t begin, int64_t count, double *out) {
      std::copy_n(v.data() + begin, count, out);
    };
  };
  Gemm gemm{{reader(a), 0, k},
            {reader(b), 0, transposeB ? k : n},
            c.data(),
            n,
            m,
            n,
            k,
            transposeB};
  runGemms(1, [&](int64_t) { return gemm; }, 2);
  for (int64_t i = 0; i < m; ++i)
    for (int64_t j = 0; j < n; ++j) {
      double sum = 0;
      for (int64_t l = 0; l < k; ++l)
        sum += a[i * k + l] * (transposeB ? b[j * k + l] : b[l * n + j]);
      ASSERT_NEAR(c[i * n + j], sum, 1e-11) << i << ", " << j;
    }
}

TEST(ReferenceGemm, OddSizesMatchThreeLoops) {
  for (bool transposeB : {false, true}) {
    check(1, 1, 1, transposeB);
    check(3, 2, 0, transposeB);
    check(7, 13, 5, transposeB);
    check(97, 385, 257, transposeB);
    check(400, 5, 300, transposeB);
  }
}

TEST(ReferenceGemm, KernelsAgreeWithThePortableOne) {
  for (const MicroKernel *kernel :
       {&getMicroKernel(), &getPortableMicroKernel()}) {
    int64_t mr = kernel->mr, nr = kernel->nr, depth = 5;
    std::vector<double> a = randoms(mr * depth, 3), b = randoms(nr * depth, 4),
                        c(mr * nr, 1);
    kernel->run(depth, a.data(), b.data(), c.data(), nr);
    for (int64_t i = 0; i < mr; ++i)
      for (int64_t j = 0; j < nr; ++j) {
        double sum = 1;
        for (int64_t k = 0; k < depth; ++k)
          sum += a[k * mr + i] * b[k * nr + j];
        EXPECT_NEAR(c[i * nr + j], sum, 1e-13);
      }
  }
}
