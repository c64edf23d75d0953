// Schedules of products into tensor memory (Blackwell): limits and estimate.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmTensorSchedule.h"

#include "GemmTiles.h"

#include <numeric>

using namespace nibble;
using llvm::divideCeil;

/// Columns of tensor memory, and tiles of 128 rows and 4 scales, in bytes.
static constexpr int64_t kTensorColumns = 512;
static constexpr int64_t kScaleTileBytes = 512;

int64_t nibble::getScaleTiles(int64_t rows) {
  int64_t step = std::gcd<int64_t>(rows, 128);
  return divideCeil(128 - step + rows, 128);
}

static std::string text(int64_t value) { return std::to_string(value); }

/// Scales of a stage along k, in tiles of 4.
static int64_t getScalesAlongK(const GemmShape &shape) {
  return shape.scaleBlock ? shape.getTileK() / shape.scaleBlock / 4 : 0;
}

/// Of both operands, in a stage.
static int64_t countScaleTiles(const GemmSchedule &s, const GemmShape &shape) {
  int64_t onM = 1, onN = getScaleTiles(s.tileN);
  s.swapped ? onM *= shape.products : onN *= shape.products;
  return (onM + onN) * getScalesAlongK(shape);
}

int64_t GemmSchedule::getAccStages(const GemmShape &shape) const {
  int64_t left = kTensorColumns - 4 * countScaleTiles(*this, shape);
  if (shape.expandedBytes)
    left -= kOperandStages * shape.products * shape.getTileK() / 2;
  // Sums of a block of K are short: more of them for the same time.
  int64_t most = shape.promotedK ? 4 : 2;
  return std::min<int64_t>(most, left / (tileN * shape.products));
}

/// 64 columns where each is at most 2 bytes and the registers suffice, else
/// 32; fewer where the tile has no more.
int64_t GemmSchedule::getSpan(const GemmShape &shape) const {
  int64_t most = 1;
  for (int64_t bytes : shape.results)
    most = std::max(most, bytes);
  int64_t span = most <= 2 && tileN % 64 == 0 ? 64 : 32;
  while (tileN % span)
    span /= 2;
  return span;
}

/// Codes of an operand, swizzled, and its scales behind them.
static int64_t getOperandBytes(int64_t rows, int64_t rowBytes, int64_t tiles) {
  return llvm::alignTo(rows * rowBytes + tiles * kScaleTileBytes, 1024);
}

static int64_t getStageBytes(const GemmSchedule &s, const GemmShape &shape) {
  int64_t along = getScalesAlongK(shape), onM = along,
          onN = getScaleTiles(s.tileN) * along;
  int64_t loadedN = s.getLoadedN();
  return getOperandBytes(s.swapped ? loadedN : s.tileM, shape.getRowBytes(),
                         s.swapped ? onN : onM) +
         shape.products * getOperandBytes(s.swapped ? s.tileM : loadedN,
                                          shape.getWeightBytes(),
                                          s.swapped ? onM : onN);
}

int64_t nibble::getTensorSharedBytes(const GemmSchedule &s,
                                     const GemmShape &shape) {
  int64_t bytes = s.stages * (getStageBytes(s, shape) + 16);
  bytes = llvm::alignTo(bytes, 1024) + 16 * s.getAccStages(shape);
  if (shape.expandedBytes)
    bytes = llvm::alignTo(bytes, 1024) + 16 * s.kOperandStages;
  if (shape.promotedBytes)
    bytes =
        llvm::alignTo(bytes, 1024) +
        s.kScaleStages * (s.tileM * shape.products * shape.promotedBytes + 16);
  for (int64_t result : shape.results)
    bytes = llvm::alignTo(bytes, 1024) +
            s.tileM * s.getSpan(shape) * result * s.buffers;
  for (int64_t i = 0; i < shape.packedResults; ++i)
    bytes =
        llvm::alignTo(bytes, 1024) + s.tileM * s.getSpan(shape) / 2 * s.buffers;
  return llvm::alignTo(bytes, 16) + 16;
}

/// Rows of panels are 16 bytes or more; blocks with scales are those of a
/// thread.
static std::string whyNotResults(const GemmSchedule &s,
                                 const GemmShape &shape) {
  int64_t span = s.getSpan(shape), leastBits = shape.packedResults ? 4 : 64;
  for (int64_t bytes : shape.results)
    leastBits = std::min(leastBits, 8 * bytes);
  if (!s.swapped && span * leastBits < 128)
    return "rows of a panel of " + text(span * leastBits / 8) +
           " bytes; 16 are the least";
  if (!shape.blockColumns)
    return "";
  if (s.swapped)
    return "blocks of columns with scales are rows of several threads";
  if (span % shape.blockColumns)
    return "blocks of " + text(shape.blockColumns) +
           " columns with scales do not make up " + text(span) +
           " columns of a panel";
  return "";
}

/// PTX ISA: N of a pair comes in steps of 32. Operands that are expanded would
/// need a barrier of both blocks.
static std::string whyNotCluster(const GemmSchedule &s,
                                 const GemmShape &shape) {
  if (!s.pair)
    return s.getClusterSize() == 1 ? "" : "clusters other than pairs of blocks";
  if (s.clusterM != 2 || s.clusterN != 1)
    return "a pair of blocks is a cluster of 2 along M";
  if (s.tileN % 32)
    return "tile N = " + text(s.tileN) + " of a pair; multiples of 32";
  if (shape.expandedBytes)
    return "weights that are expanded are not multiplied by pairs of blocks";
  if (shape.promotedK)
    return "sums that are scaled are not those of pairs of blocks";
  return "";
}

/// Sums of all blocks of K are registers of a thread, beside the scales of
/// columns that have their own. With warps that expand a thread has 168.
static std::string whyNotPromoted(const GemmSchedule &s,
                                  const GemmShape &shape) {
  if (!shape.promotedK)
    return "";
  constexpr int64_t kMostRegisters = 160;
  const int64_t mostSums = shape.expandedBytes ? 96 : 128;
  int64_t sums = s.tileN * shape.products;
  int64_t scales = !hasColumnScales(s, shape) ? 0 : s.swapped ? s.tileN : sums;
  if (sums > mostSums || sums + scales > kMostRegisters)
    return text(sums) + " sums and " + text(scales) +
           " scales of columns in registers of a thread; " + text(mostSums) +
           " sums, and " + text(kMostRegisters) + " of both, are the most";
  if (!s.swapped && shape.scaledColumns > 1 && shape.scaledColumns % s.tileN)
    return "tile N = " + text(s.tileN) + " does not divide the " +
           text(shape.scaledColumns) + " columns of a block of scales";
  if (s.getAccStages(shape) < 2)
    return "fewer than 2 stages of accumulators";
  return "";
}

std::string nibble::whyNotTensorSchedule(const GemmSchedule &s,
                                         const GemmShape &shape,
                                         int64_t sharedBytes) {
  if (s.tileM != 128)
    return "tile M = " + text(s.tileM) +
           "; 128 rows are the lanes of tensor "
           "memory";
  // PTX ISA: N is a multiple of 16 at M = 128, of 8 with block scales; scales
  // of 32 rows share a column.
  int64_t unit = shape.scaleBlock ? 32 : 16;
  if (s.tileN % unit || s.tileN < unit || s.tileN > 256)
    return "tile N = " + text(s.tileN) + "; multiples of " + text(unit) +
           ", up to 256";
  if (s.warpgroups != 1 || s.pingPong || s.late || s.splits != 1)
    return "one warpgroup finishes tiles; no turns or slices yet";
  if (std::string why = whyNotCluster(s, shape); !why.empty())
    return why;
  if (shape.expandedBytes && !s.swapped)
    return "weights that are expanded are the M side";
  if (s.swapped && shape.readsElements && !shape.expandedBytes)
    return "an operand that lies as the result does cannot be read transposed";
  if (std::string why = whyNotResults(s, shape); !why.empty())
    return why;
  if (std::string why = whyNotPromoted(s, shape); !why.empty())
    return why;
  if (s.getAccStages(shape) < 1)
    return text(s.tileN * shape.products) +
           " columns of accumulators beside block scales, of " +
           text(kTensorColumns);
  if (s.stages < 2)
    return "fewer than 2 stages";
  if (int64_t bytes = getTensorSharedBytes(s, shape); bytes > sharedBytes)
    return text(bytes) + " bytes of shared memory of " + text(sharedBytes);
  return "";
}

//===----------------------------------------------------------------------===//
// Candidates
//===----------------------------------------------------------------------===//

/// Tiles of N that leave little of the last one empty.
static llvm::SmallVector<int64_t> getTileNs(const GemmShape &shape) {
  int64_t unit = shape.scaleBlock ? 32 : 16;
  llvm::SmallVector<int64_t> list;
  for (int64_t n = unit; n <= 256; n += unit)
    if (n % 32 == 0 || n == 16 || n == 48 || n == 208 || n == 240)
      list.push_back(n);
  return list;
}

llvm::SmallVector<GemmSchedule>
nibble::listTensorSchedules(const GemmShape &shape, int64_t sharedBytes) {
  llvm::SmallVector<GemmSchedule> list;
  for (bool pair : {false, true})
    for (bool swapped : {false, true})
      for (int64_t tileN : getTileNs(shape)) {
        GemmSchedule s;
        s.swapped = swapped;
        s.tileN = tileN;
        s.warpgroups = 1;
        s.pair = pair;
        s.clusterM = pair ? 2 : 1;
        fillStages(s, shape, sharedBytes);
        // Weights are read once: all tiles that need a panel of them, one
        // behind the other.
        s.fastestM = !swapped;
        s.group = divideCeil(shape.m, swapped ? tileN : s.tileM);
        if (whyNotTensorSchedule(s, shape, sharedBytes).empty())
          list.push_back(s);
      }
  return list;
}
