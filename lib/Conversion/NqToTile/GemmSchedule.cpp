// Schedules of matrix products: text, limits, estimates.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmTensorSchedule.h"
#include "GemmTiles.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/Regex.h"

#include <numeric>

using namespace nibble;
using llvm::divideCeil;

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

std::string GemmSchedule::str() const {
  auto text = [](int64_t value) { return std::to_string(value); };
  return (swapped ? "t " : "") + text(tileM) + "x" + text(tileN) + " s" +
         text(stages) + " c" + text(clusterM) + "x" + text(clusterN) + " " +
         (fastestM ? "m" : "n") + text(group) + " w" + text(warpgroups) + " p" +
         text(buffers) + (pingPong ? " pp" : "") + (late ? " late" : "") +
         (splits > 1 ? " k" + text(splits) : "") + (pair ? " pair" : "");
}

std::optional<GemmSchedule> GemmSchedule::parse(llvm::StringRef text) {
  static const llvm::Regex kForm(
      "^(t )?([0-9]+)x([0-9]+) s([0-9]+) c([0-9]+)x([0-9]+) "
      "([mn])([0-9]+) w([0-9]+) p([0-9]+)( pp)?( late)?( k([0-9]+))?( "
      "pair)?$");
  llvm::SmallVector<llvm::StringRef> groups;
  if (!kForm.match(text, &groups))
    return std::nullopt;
  GemmSchedule s;
  s.swapped = !groups[1].empty();
  s.fastestM = groups[7] == "m";
  s.pingPong = !groups[11].empty();
  s.late = !groups[12].empty();
  std::pair<int, int64_t *> fields[] = {
      {2, &s.tileM},    {3, &s.tileN}, {4, &s.stages},     {5, &s.clusterM},
      {6, &s.clusterN}, {8, &s.group}, {9, &s.warpgroups}, {10, &s.buffers}};
  for (auto [group, field] : fields)
    if (groups[group].getAsInteger(10, *field))
      return std::nullopt;
  if (!groups[13].empty() && (groups[14].getAsInteger(10, s.splits) ||
                              s.splits < 2)) // "k1" is written as nothing
    return std::nullopt;
  s.pair = !groups[15].empty();
  return s;
}

//===----------------------------------------------------------------------===//
// Limits
//===----------------------------------------------------------------------===//

/// Rows of a stage on either side: the weights of all products.
static int64_t rowsM(const GemmSchedule &s, const GemmShape &shape) {
  return s.tileM * (s.swapped ? shape.products : 1);
}
static int64_t rowsN(const GemmSchedule &s, const GemmShape &shape) {
  return s.tileN * (s.swapped ? 1 : shape.products);
}

/// Bytes of a stage.
static int64_t getStageBytes(const GemmSchedule &s, const GemmShape &shape) {
  int64_t weights = (s.swapped ? rowsM(s, shape) : rowsN(s, shape));
  int64_t rows = s.swapped ? s.tileN : s.tileM;
  return llvm::alignTo(rows * shape.getRowBytes() +
                           weights * shape.getWeightBytes(),
                       8 * shape.getRowBytes());
}

int64_t GemmShape::getResultBytes() const {
  return std::accumulate(results.begin(), results.end(), packedResults);
}

int64_t GemmSchedule::getPartN() const {
  return splits == 1 ? tileN : 8 * divideCeil(divideCeil(tileN, 8), splits);
}

int64_t nibble::getPanel(const GemmSchedule &s, int64_t bits) {
  if (s.swapped)
    return std::min<int64_t>(64, s.getPartN());
  int64_t row = 128;
  while (row > 32 && row > s.getPartN() * bits / 8)
    row /= 2;
  return row / divideCeil(bits, 8);
}

/// Bytes of panels of a result.
static int64_t getPanelBytes(const GemmSchedule &s, int64_t bits) {
  return s.tileM * getPanel(s, bits) * divideCeil(bits, 8) * s.buffers *
         (s.warpgroups / s.getTeam());
}

/// Maxima of blocks that several warps have parts of: two words of 64 columns
/// of each of 16 rows, of every thread.
static int64_t getMaximaBytes(const GemmSchedule &s, const GemmShape &shape) {
  if (!s.swapped || shape.blockColumns <= 16)
    return 0;
  return 256 * divideCeil(s.getPartN(), 64) * (s.tileM / 16) *
         (s.warpgroups / s.getTeam());
}

/// Sums of a block's part of the columns, of all slices of K.
static int64_t getReceivedBytes(const GemmSchedule &s, const GemmShape &shape) {
  return s.tileM * s.getPartN() * s.splits * shape.products * 4;
}

int64_t nibble::getSharedBytes(const GemmSchedule &s, const GemmShape &shape) {
  if (shape.tensorMemory)
    return getTensorSharedBytes(s, shape);
  int64_t ring = s.stages * (getStageBytes(s, shape) + 16);
  int64_t bytes = llvm::alignTo(ring, 1024);
  if (s.splits > 1)
    bytes += getReceivedBytes(s, shape) + 16;
  bytes = llvm::alignTo(bytes, 1024) + getMaximaBytes(s, shape);
  // Each result has panels of its own, and so has each team.
  for (int64_t result : shape.results)
    bytes = llvm::alignTo(bytes, 1024) + getPanelBytes(s, 8 * result);
  for (int64_t i = 0; i < shape.packedResults; ++i)
    bytes = llvm::alignTo(bytes, 1024) + getPanelBytes(s, 4);
  return bytes;
}

/// Slices of K: as many blocks in a cluster, which do one tile.
static std::string whyNotSplit(const GemmSchedule &s, const GemmShape &shape) {
  constexpr int64_t kMostBlocks = 8;
  auto text = [](int64_t value) { return std::to_string(value); };
  if (s.splits < 1 || s.getClusterSize() > kMostBlocks)
    return text(s.getClusterSize()) + " blocks in a cluster; " +
           text(kMostBlocks) + " is the most";
  if (s.splits > 1 && s.pingPong)
    return "warpgroups that take turns have no tile together to split K of";
  int64_t blocks = divideCeil(shape.k, shape.getTileK());
  if (blocks < s.splits)
    return text(blocks) + " blocks of K for " + text(s.splits) + " slices";
  return "";
}

/// Sums that are added a stage later: in loops of groups of stages, of which
/// there are two or more (TileToNVVM/Sm90/RoleLate.cpp).
static std::string whyNotLate(const GemmSchedule &s, const GemmShape &shape) {
  if (!s.late)
    return "";
  if (shape.scaledColumns <= 1)
    return "late sums are those of blocks with one scale for all columns of a "
           "tile";
  int64_t stages = divideCeil(divideCeil(shape.k, shape.getTileK()), s.splits);
  for (int64_t group : {4, 3, 2})
    if (stages % group == 0 && stages > group)
      return "";
  return "late sums of " + std::to_string(stages) +
         " stages; multiples of 2 or 3 work";
}

/// Blocks of columns that have scales of their own: whole ones in a tile;
/// swapped, columns are rows, of which a warpgroup has 64 side by side.
static std::string whyNotBlocks(const GemmSchedule &s, const GemmShape &shape) {
  auto text = [](int64_t value) { return std::to_string(value); };
  int64_t block = shape.blockColumns;
  if (s.swapped && shape.packedResults)
    return "two codes of 4 bits of a byte are columns, not rows, of one thread";
  if (s.swapped && block && (block < 16 || block > 64))
    return "blocks of " + text(block) +
           " columns with scales are rows of several warpgroups; 16 to 64 work";
  if (!s.swapped && block && (s.tileN % block || s.getPartN() % block))
    return "blocks of " + text(block) + " columns with scales do not make up " +
           text(s.getPartN()) + " of " + text(s.tileN) + " columns of a tile";
  return "";
}

std::string nibble::whyNotSchedule(const GemmSchedule &s,
                                   const GemmShape &shape,
                                   int64_t sharedBytes) {
  if (shape.tensorMemory)
    return whyNotTensorSchedule(s, shape, sharedBytes);
  auto text = [](int64_t value) { return std::to_string(value); };
  if (s.pair)
    return "pairs of blocks multiply into tensor memory, which sm_90a has not";
  if (s.pingPong && s.warpgroups < 2)
    return "one warpgroup has nobody to take turns with";
  if (s.tileM % (64 * s.getTeam()) || s.tileM > 256)
    return "tile M = " + text(s.tileM) + " is not a multiple of 64 rows for " +
           text(s.getTeam()) + " warpgroups, up to 256";
  if (s.tileN % 8 || s.tileN < 8 || s.tileN > 256)
    return "tile N = " + text(s.tileN) + "; multiples of 8, up to 256";
  if (std::string why = whyNotSplit(s, shape); !why.empty())
    return why;
  // Elements one by one: still better than a launch of its own.
  if (s.swapped && shape.readsElements && !shape.expandedBytes)
    return "an operand that lies as the result does cannot be read transposed";
  if (std::string why = whyNotBlocks(s, shape); !why.empty())
    return why;
  int64_t leastBits = shape.packedResults ? 4 : 64;
  for (int64_t bytes : shape.results)
    leastBits = std::min(leastBits, 8 * bytes);
  if (!s.swapped && s.getPartN() * leastBits < 256)
    return "rows of " + text(s.getPartN() * leastBits / 8) +
           " bytes of a result; the store writes panels of 32 bytes or more";
  if (shape.expandedBytes && (!s.swapped || s.clusterN > 1))
    return "weights that are expanded are the M side, and are not shared";
  int64_t scaleBytes =
      shape.expandedBytes
          ? shape.expandedBytes - shape.getTileK() * shape.expandedBits / 8
          : 0;
  if (s.tileM * scaleBytes % 128)
    return text(s.tileM * scaleBytes) +
           " bytes of scales in a stage; a slot is a multiple of 128";
  if (shape.scaledColumns && s.swapped)
    return "scales of blocks of the weight are those of columns";
  if (shape.scaledColumns > 1 && shape.scaledColumns % s.tileN)
    return "tile N = " + text(s.tileN) + " does not divide the " +
           text(shape.scaledColumns) + " columns of a block of scales";
  if (std::string why = whyNotLate(s, shape); !why.empty())
    return why;
  int64_t accumulators = s.tileM * s.tileN * shape.products *
                         (!shape.promotes ? 1
                          : s.late        ? 3
                                          : 2) /
                         (128 * s.getTeam());
  // Codes, fragments of two steps, scales; scales of columns.
  int64_t others = shape.expandedBytes ? 48 + (12 + shape.expandedBits) *
                                                  s.tileM / (64 * s.getTeam())
                                       : 48;
  // Found by ptxas, which spills where more are asked for.
  int64_t parts = s.tileM / (64 * s.getTeam());
  if (shape.expandedBytes && shape.promotes)
    others += s.splits > 1 && parts > 1 ? 40 : 24;
  if (shape.scaledColumns == 1)
    others += s.tileN / 4;
  if (shape.blockColumns)
    others += 8;
  if (s.late)
    others += 16 * (parts - 1) + (s.splits > 1 ? 16 : -16);
  // 64 Ki registers, of which a loading warpgroup takes 128 x 40.
  int64_t have = s.warpgroups <= 2 ? 232 : 152;
  if (accumulators + others > have)
    return text(accumulators) + " accumulators of " + text(have) +
           " registers per thread";
  if (s.stages < 2)
    return "fewer than 2 stages";
  if (rowsN(s, shape) / (s.swapped ? 1 : shape.products) % (8 * s.clusterM) ||
      s.tileM % (8 * s.clusterN))
    return "a cluster shares rows of tiles in eights";
  if (int64_t bytes = getSharedBytes(s, shape); bytes > sharedBytes)
    return text(bytes) + " bytes of shared memory of " + text(sharedBytes);
  return "";
}
