// Numbers of tiles: in the result, and at once on the GPU.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMTILES_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMTILES_H

#include "nibble/Conversion/NqToTile/GemmSchedule.h"

#include "llvm/Support/MathExtras.h"

namespace nibble {

/// M and N of the tiles: rows and columns of the result, or exchanged.
inline int64_t extentM(const GemmSchedule &s, const GemmShape &shape) {
  return s.swapped ? shape.n : shape.m;
}
inline int64_t extentN(const GemmSchedule &s, const GemmShape &shape) {
  return s.swapped ? shape.m : shape.n;
}
/// Tiles; where K is split or blocks are pairs, with those that whole clusters
/// take.
inline int64_t countTiles(const GemmSchedule &s, const GemmShape &shape) {
  int64_t m = llvm::divideCeil(extentM(s, shape), s.tileM),
          n = llvm::divideCeil(extentN(s, shape), s.tileN);
  if (s.splits == 1 && !s.pair)
    return m * n;
  return llvm::alignTo(m, s.clusterM) * llvm::alignTo(n, s.clusterN);
}

/// Tiles that are done at once. Blocks of a cluster are of one GPC, and which
/// GPC has how many multiprocessors differs from chip to chip: these make the
/// 132, and the 30 clusters of four, of an H200.
inline int64_t getWave(const GemmSchedule &s, int64_t multiprocessors) {
  if (s.splits == 1)
    return s.pair ? multiprocessors / 2 * 2 : multiprocessors;
  int64_t clusters = 0;
  for (int64_t gpc : {18, 18, 18, 18, 16, 16, 14, 14})
    clusters += gpc / s.getClusterSize();
  clusters = clusters * multiprocessors / 132;
  return std::max<int64_t>(1, clusters) * s.clusterM * s.clusterN;
}

/// Scales of sums are those of columns of a tile, one each.
inline bool hasColumnScales(const GemmSchedule &s, const GemmShape &shape) {
  return shape.scaledColumns == 1 || (s.swapped && shape.scaledColumns);
}

/// Why a shape has no candidates: what small tiles of either orientation lack.
std::string whyNoCandidates(const GemmShape &shape, int64_t sharedBytes);

/// As many stages as fit, up to 8.
void fillStages(GemmSchedule &s, const GemmShape &shape, int64_t sharedBytes);

} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMTILES_H
