// Matrix product in f64 over operands that are decoded block by block.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_REFERENCE_GEMM_H
#define NIBBLE_LIB_REFERENCE_GEMM_H

#include <cstdint>
#include <functional>

namespace nibble::ref {

/// Writes `count` elements from `begin` of a flat array to `out`; called from
/// several threads.
using ReadRun = std::function<void(int64_t begin, int64_t count, double *out)>;

/// Element (row, column) is at offset + row * stride + column.
struct Matrix {
  ReadRun read;
  int64_t offset = 0;
  int64_t stride = 0;
};

/// C[m, n] = A[m, k] B, with B stored [n, k] if `transposeB`, else [k, n].
/// C is row-major with `ldc`, written once.
struct Gemm {
  Matrix a, b;
  double *c = nullptr;
  int64_t ldc = 0;
  int64_t m = 0, n = 0, k = 0;
  bool transposeB = false;
};

/// Runs `count` independent products; make(i) describes the i-th one. The work
/// is split in tiles over all of them.
void runGemms(int64_t count, const std::function<Gemm(int64_t)> &make,
              unsigned threads);

/// One register tile: C[mr x nr] += A panel [depth x mr] * B panel [depth x
/// nr].
struct MicroKernel {
  int64_t mr, nr;
  void (*run)(int64_t depth, const double *a, const double *b, double *c,
              int64_t ldc);
};
/// The fastest one for this processor.
const MicroKernel &getMicroKernel();
/// The one that runs everywhere; for tests.
const MicroKernel &getPortableMicroKernel();

} // namespace nibble::ref

#endif // NIBBLE_LIB_REFERENCE_GEMM_H
