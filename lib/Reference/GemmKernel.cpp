// Register tiles of the f64 matrix product, chosen by processor at run time.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Gemm.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

using namespace nibble::ref;

static void runPortable(int64_t depth, const double *a, const double *b,
                        double *c, int64_t ldc) {
  double sum[4][4] = {};
  for (int64_t k = 0; k < depth; ++k, a += 4, b += 4)
    for (int i = 0; i < 4; ++i)
      for (int j = 0; j < 4; ++j)
        sum[i][j] += a[i] * b[j];
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j)
      c[i * ldc + j] += sum[i][j];
}

#if defined(__x86_64__)

/// 4 x 12: twelve accumulators, three vectors of B and one of A fill the 16
/// registers.
__attribute__((target("avx2,fma"))) static void
runAvx2(int64_t depth, const double *a, const double *b, double *c,
        int64_t ldc) {
  __m256d sum[4][3];
  for (auto &row : sum)
    for (__m256d &x : row)
      x = _mm256_setzero_pd();
  for (int64_t k = 0; k < depth; ++k, a += 4, b += 12) {
    __m256d b0 = _mm256_loadu_pd(b), b1 = _mm256_loadu_pd(b + 4),
            b2 = _mm256_loadu_pd(b + 8);
#pragma clang loop unroll(full)
    for (int i = 0; i < 4; ++i) {
      __m256d x = _mm256_broadcast_sd(a + i);
      sum[i][0] = _mm256_fmadd_pd(x, b0, sum[i][0]);
      sum[i][1] = _mm256_fmadd_pd(x, b1, sum[i][1]);
      sum[i][2] = _mm256_fmadd_pd(x, b2, sum[i][2]);
    }
  }
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 3; ++j) {
      double *at = c + i * ldc + 4 * j;
      _mm256_storeu_pd(at, _mm256_add_pd(_mm256_loadu_pd(at), sum[i][j]));
    }
}

#endif

const MicroKernel &nibble::ref::getPortableMicroKernel() {
  static const MicroKernel kernel{4, 4, runPortable};
  return kernel;
}

const MicroKernel &nibble::ref::getMicroKernel() {
#if defined(__x86_64__)
  static const MicroKernel avx2{4, 12, runAvx2};
  static const bool has =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (has)
    return avx2;
#endif
  return getPortableMicroKernel();
}
