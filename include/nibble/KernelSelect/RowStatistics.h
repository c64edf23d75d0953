// When statistics of rows, made by the product in front of a norm, pay.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Without them, a block of threads normalizes a row: it loads the row, reduces
// over all its threads (shuffles, a barrier, shuffles), and writes. With them,
// a thread adds the sums of all tiles of its row while its elements are on
// their way, and waits for nobody:
//
//   saved = reduction of a block, and reading a row twice that no block holds
//   cost  = tiles * parts * threads / (multiprocessors * sums per second)
//         + sums written and read / bandwidth + sums made / rate of f32
//
// with one thread for 8 elements. Measured on an H100 for RMS norms of bf16,
// one launch of a graph in microseconds (tiles of 128 columns, sums ready;
// scripts/bench-norm-statistics.cu):
//
//   columns   rows 1       rows 32      rows 132     rows 970
//      1024   1.43 1.01    1.50 1.08    1.63 1.19    2.18 1.69
//      2048   1.47 1.01    1.55 1.16    1.72 1.31    2.70 2.26
//      4096   1.58 1.16    1.69 1.39    1.93 1.62    4.45 4.49
//      8192   1.87 1.38    2.11 1.65    2.44 2.52    9.10 11.0
//     16384   2.25 1.94    2.71 2.44    3.41 6.30    20.2 43.2
//
// so the reduction takes 0.4 us, and a multiprocessor reads 1e11 sums a second.
// A CPU core has its row in the cache when it normalizes it: it never pays
// there.
#ifndef NIBBLE_KERNELSELECT_ROWSTATISTICS_H
#define NIBBLE_KERNELSELECT_ROWSTATISTICS_H

#include "nibble/KernelSelect/Machine.h"

namespace nibble {

/// Columns of a tile: what one tile of a product on tensor cores has at least.
/// Wider ones write several sums.
constexpr int64_t kStatisticsTile = 128;

struct NormedRows {
  int64_t rows, columns;
  int64_t elementBytes; ///< of the values as they are stored
  int64_t tile;         ///< columns of a sum
  int64_t parts;        ///< sums per tile: 1 (rms) or 2 (layer)
};

struct StatisticsVerdict {
  bool pays = false;
  double saved = 0, cost = 0; ///< seconds; 0 where nothing was estimated
  std::string reason;         ///< for or against, with the numbers
};

/// Whether a norm behind a product is faster with statistics from its epilogue
/// on `machine`, by a tenth of a microsecond at least.
StatisticsVerdict judgeStatistics(const Machine &machine,
                                  const NormedRows &norm);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_ROWSTATISTICS_H
