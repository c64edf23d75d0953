// Blocking, packing and threading of the f64 matrix product.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A task is a strip of columns of one product (and of its rows, if there are
// few strips): it decodes each block of B once, in panels that stay in the L2
// cache, and runs all its rows of A over it.
#include "Gemm.h"

#include "Threads.h"

#include <algorithm>
#include <vector>

using namespace nibble::ref;

namespace {

constexpr int64_t depthBlock = 256; // of k: A and B panels fit in the caches
constexpr int64_t rowBlock = 96;    // of m: 192 KiB of A
constexpr int64_t stripWidth = 384; // of n: 768 KiB of B

int64_t roundUp(int64_t x, int64_t to) { return (x + to - 1) / to * to; }

struct Task {
  int64_t product, row, rows, column, columns;
};

/// Copies rows [first, first + count) x columns [k, k + depth) of a matrix
/// whose depth is contiguous into panels of `width` rows, zero-padded.
void packRows(const Matrix &from, int64_t first, int64_t count, int64_t k,
              int64_t depth, int64_t width, double *run, double *to) {
  for (int64_t i = 0; i < roundUp(count, width); ++i) {
    double *panel = to + i / width * width * depth + i % width;
    if (i >= count) {
      for (int64_t j = 0; j < depth; ++j)
        panel[j * width] = 0;
      continue;
    }
    from.read(from.offset + (first + i) * from.stride + k, depth, run);
    for (int64_t j = 0; j < depth; ++j)
      panel[j * width] = run[j];
  }
}

/// The same where each row of the matrix is one k.
void packColumns(const Matrix &from, int64_t first, int64_t count, int64_t k,
                 int64_t depth, int64_t width, double *run, double *to) {
  int64_t padded = roundUp(count, width);
  std::fill(run + count, run + padded, 0.0);
  for (int64_t j = 0; j < depth; ++j) {
    from.read(from.offset + (k + j) * from.stride + first, count, run);
    for (int64_t i = 0; i < padded; i += width)
      std::copy_n(run + i, width, to + i * depth + j * width);
  }
}

/// Buffers of one thread.
struct Workspace {
  std::vector<double> a = std::vector<double>(rowBlock * depthBlock);
  std::vector<double> b;
  std::vector<double> run = std::vector<double>(1024);
  std::vector<double> edge = std::vector<double>(256);
};

/// C[rows x columns] += A panels * B panels.
void multiplyPanels(const MicroKernel &kernel, const Workspace &w,
                    int64_t depth, double *c, int64_t ldc, int64_t rows,
                    int64_t columns, double *edge) {
  int64_t mr = kernel.mr, nr = kernel.nr;
  for (int64_t j = 0; j < columns; j += nr)
    for (int64_t i = 0; i < rows; i += mr) {
      const double *a = w.a.data() + i * depth, *b = w.b.data() + j * depth;
      double *at = c + i * ldc + j;
      if (i + mr <= rows && j + nr <= columns) {
        kernel.run(depth, a, b, at, ldc);
        continue;
      }
      std::fill_n(edge, mr * nr, 0.0);
      kernel.run(depth, a, b, edge, nr);
      for (int64_t y = 0; y < std::min(mr, rows - i); ++y)
        for (int64_t x = 0; x < std::min(nr, columns - j); ++x)
          at[y * ldc + x] += edge[y * nr + x];
    }
}

void runTask(const Gemm &gemm, const Task &task, const MicroKernel &kernel,
             Workspace &w) {
  double *c = gemm.c + task.row * gemm.ldc + task.column;
  for (int64_t i = 0; i < task.rows; ++i)
    std::fill_n(c + i * gemm.ldc, task.columns, 0.0);
  w.b.resize(roundUp(task.columns, kernel.nr) * depthBlock);
  for (int64_t k = 0; k < gemm.k; k += depthBlock) {
    int64_t depth = std::min(depthBlock, gemm.k - k);
    (gemm.transposeB ? packRows
                     : packColumns)(gemm.b, task.column, task.columns, k, depth,
                                    kernel.nr, w.run.data(), w.b.data());
    for (int64_t i = 0; i < task.rows; i += rowBlock) {
      int64_t rows = std::min(rowBlock, task.rows - i);
      packRows(gemm.a, task.row + i, rows, k, depth, kernel.mr, w.run.data(),
               w.a.data());
      multiplyPanels(kernel, w, depth, c + i * gemm.ldc, gemm.ldc, rows,
                     task.columns, w.edge.data());
    }
  }
}

/// Strips of columns; also of rows while there are fewer than four tasks per
/// thread and rows to share.
std::vector<Task> makeTasks(int64_t count, const Gemm &shape,
                            unsigned threads) {
  int64_t strips = (shape.n + stripWidth - 1) / stripWidth;
  int64_t parts = 1;
  if (threads > 1)
    while (count * strips * parts < 4 * int64_t(threads) &&
           shape.m / parts >= 2 * rowBlock)
      parts *= 2;
  int64_t rows = roundUp((shape.m + parts - 1) / parts, rowBlock);
  std::vector<Task> tasks;
  for (int64_t product = 0; product < count; ++product)
    for (int64_t n = 0; n < shape.n; n += stripWidth)
      for (int64_t m = 0; m < shape.m; m += rows)
        tasks.push_back({product, m, std::min(rows, shape.m - m), n,
                         std::min(stripWidth, shape.n - n)});
  return tasks;
}

} // namespace

void nibble::ref::runGemms(int64_t count,
                           const std::function<Gemm(int64_t)> &make,
                           unsigned threads) {
  if (count == 0)
    return;
  const MicroKernel &kernel = getMicroKernel();
  Gemm shape = make(0);
  std::vector<Task> tasks = makeTasks(count, shape, threads);
  double work = double(count) * shape.m * shape.n * shape.k;
  if (work < 1e6) // less than the start of a thread
    threads = 1;
  parallelFor(threads, tasks.size(), 1, [&](int64_t begin, int64_t end) {
    thread_local Workspace workspace;
    for (int64_t i = begin; i < end; ++i)
      runTask(make(tasks[i].product), tasks[i], kernel, workspace);
  });
}
