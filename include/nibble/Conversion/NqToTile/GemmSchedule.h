// How a matrix product is cut into tiles: what `select` decides per shape.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOTILE_GEMMSCHEDULE_H
#define NIBBLE_CONVERSION_NQTOTILE_GEMMSCHEDULE_H

#include "mlir/Support/LLVM.h"
#include "llvm/ADT/SmallVector.h"

#include <cstdint>
#include <optional>
#include <string>

namespace nibble {

/// What a schedule is for. `n` are the columns of one product; `products` of
/// them share A (gate and up).
struct GemmShape {
  int64_t m = 0, n = 0, k = 0;
  int64_t operandBits = 8; ///< of A and B
  /// Bytes of an element of each result, but for codes of 4 bits, two in a
  /// byte, and scales.
  llvm::SmallVector<int64_t, 2> results = {2};
  int64_t packedResults = 0; ///< of codes of 4 bits
  int64_t products = 1;
  /// Something that lies as the result does is read behind the product.
  bool readsElements = false;
  /// Columns of the result that are quantized with a scale of their own, which
  /// is found behind the product. 0: there are none.
  int64_t blockColumns = 0;
  /// Weights of few bits that are expanded in registers: bytes of codes and
  /// scales of one row in a stage. 0: weights are multiplied as they are.
  int64_t expandedBytes = 0;
  int64_t expandedBits = 4; ///< of their codes
  /// Sums of each stage are scaled and added to others: accumulators twice.
  bool promotes = false;
  /// Blackwell: elements along K whose sums are scaled and added together, if
  /// they are, and bytes of a row's scale of them that lie with a weight.
  int64_t promotedK = 0, promotedBytes = 0;
  /// Columns that share the scale of a block of K, if sums are scaled by such:
  /// 1, or what a tile must divide. 0: there is none.
  int64_t scaledColumns = 0;
  /// Blackwell: accumulators are in tensor memory (GemmTensorSchedule.cpp).
  bool tensorMemory = false;
  /// Elements along K that share a scale of the matrix instruction, or 0.
  int64_t scaleBlock = 0;
  /// Elements of K in a stage: 128 bytes of A, or less.
  int64_t tileK = 0;
  /// Bytes that an element of the product becomes, in all results.
  int64_t getResultBytes() const;
  int64_t getTileK() const { return tileK ? tileK : 128 * 8 / operandBits; }
  /// Bytes of a row of A, and of a weight, in a stage.
  int64_t getRowBytes() const { return getTileK() * operandBits / 8; }
  /// Stages whose products are summed up before they are scaled.
  int64_t getPromotedStages() const { return promotedK / getTileK(); }
  int64_t getWeightBytes() const {
    return expandedBytes ? expandedBytes : getRowBytes();
  }
};

/// Shared memory that a block may have on sm_90a, in bytes: 227 KiB.
constexpr int64_t kSm90SharedBytes = 232448;

/// Written as "128x256 s4 c1x1 m4 w2 p2": tile M x N (of one product), stages,
/// cluster along m and n, raster (fastest axis and group), warpgroups that
/// multiply, buffers of the store. A stage is 128 bytes of K, a swizzled row.
/// With " pp" behind it (ping-pong) the warpgroups take turns on tiles, each by
/// itself, so that one stores while the other multiplies.
///
/// With " late" behind that, scaled sums of a stage are added while products of
/// the next one are under way.
/// With " k4" behind it, clusters have 4 blocks along K, which do a tile
/// together: each a slice of K, and then the epilogue of some of the columns.
/// With " pair" behind it (Blackwell), the two blocks of a cluster along m
/// multiply together: each loads one half of the rows of B (cta_group::2).
///
/// With a "t" in front, operands are swapped: M are the columns of the result
/// (the weights) and N its rows, which may be few or odd; stores transpose.
struct GemmSchedule {
  bool swapped = false;
  int64_t tileM = 128, tileN = 128;
  int64_t stages = 4;
  int64_t clusterM = 1, clusterN = 1;
  bool fastestM = true;
  int64_t group = 4;
  int64_t warpgroups = 2;
  int64_t buffers = 2;
  bool pingPong = false;
  bool late = false;
  int64_t splits = 1; ///< of K
  bool pair = false;

  /// On Blackwell: stages of the ring of operands that are expanded.
  static constexpr int64_t kOperandStages = 3;
  /// On Blackwell: those of the ring of scales of sums.
  static constexpr int64_t kScaleStages = 8;
  /// On Blackwell: stages of the ring of accumulators, as many as fit.
  int64_t getAccStages(const GemmShape &shape) const;
  /// On Blackwell: columns of the product that a panel of the store has.
  int64_t getSpan(const GemmShape &shape) const;
  /// Warpgroups that do one tile.
  int64_t getTeam() const { return pingPong ? 1 : warpgroups; }
  /// Rows of the N side that a block loads.
  int64_t getLoadedN() const { return pair ? tileN / 2 : tileN; }
  int64_t getClusterSize() const { return clusterM * clusterN * splits; }
  /// Columns of a tile that one block finishes.
  int64_t getPartN() const;
  std::string str() const;
  static std::optional<GemmSchedule> parse(llvm::StringRef text);
  friend bool operator==(const GemmSchedule &a, const GemmSchedule &b) {
    return a.str() == b.str();
  }
};

/// "" if the schedule can run `shape` on a chip with `sharedBytes` of shared
/// memory per block (227 KiB on sm_90a), or the limit that it breaks.
std::string whyNotSchedule(const GemmSchedule &schedule, const GemmShape &shape,
                           int64_t sharedBytes);

/// Bytes of shared memory: stages with their barriers, sums of other slices of
/// K, panels of the store.
int64_t getSharedBytes(const GemmSchedule &schedule, const GemmShape &shape);

/// On Blackwell: tiles of 128 rows of scales that a tile of `rows` of an
/// operand may touch, if tiles of 128 rows are aligned (`rows` divides 128, or
/// is a multiple) or not.
int64_t getScaleTiles(int64_t rows);

/// Columns of a panel of a store of elements of `bits`: rows of 128 bytes (two
/// elements of 4 bits are one column); swapped, rows of the result.
int64_t getPanel(const GemmSchedule &schedule, int64_t bits);

/// Seconds on `multiprocessors` of an H200, or with `tensorMemory` of a Thor or
/// (64 and more) a B200, by counting (GemmTime.h). Orders candidates; a
/// measurement replaces it.
double estimateSeconds(const GemmSchedule &schedule, const GemmShape &shape,
                       int64_t multiprocessors);

/// All schedules worth measuring, best estimate first.
llvm::SmallVector<GemmSchedule> getCandidates(const GemmShape &shape,
                                              int64_t sharedBytes,
                                              int64_t multiprocessors);

} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOTILE_GEMMSCHEDULE_H
