// Schedules of matrix products: text, limits, estimates, candidates.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToTile/GemmSchedule.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"
#include "llvm/Support/Regex.h"

using namespace nibble;
using llvm::divideCeil;

//===----------------------------------------------------------------------===//
// Text
//===----------------------------------------------------------------------===//

std::string GemmSchedule::str() const {
  auto text = [](int64_t value) { return std::to_string(value); };
  return text(tileM) + "x" + text(tileN) + " s" + text(stages) + " c" +
         text(clusterM) + "x" + text(clusterN) + " " + (fastestM ? "m" : "n") +
         text(group) + " w" + text(warpgroups) + " p" + text(buffers);
}

std::optional<GemmSchedule> GemmSchedule::parse(llvm::StringRef text) {
  static const llvm::Regex kForm(
      "^([0-9]+)x([0-9]+) s([0-9]+) c([0-9]+)x([0-9]+) "
      "([mn])([0-9]+) w([0-9]+) p([0-9]+)$");
  llvm::SmallVector<llvm::StringRef> groups;
  if (!kForm.match(text, &groups))
    return std::nullopt;
  GemmSchedule s;
  s.fastestM = groups[6] == "m";
  std::pair<int, int64_t *> fields[] = {
      {1, &s.tileM},    {2, &s.tileN}, {3, &s.stages},     {4, &s.clusterM},
      {5, &s.clusterN}, {7, &s.group}, {8, &s.warpgroups}, {9, &s.buffers}};
  for (auto [group, field] : fields)
    if (groups[group].getAsInteger(10, *field))
      return std::nullopt;
  return s;
}

//===----------------------------------------------------------------------===//
// Limits
//===----------------------------------------------------------------------===//

/// Columns of a panel of the store: rows of 128 bytes.
static int64_t getPanelBytes(const GemmSchedule &s, const GemmShape &shape) {
  return std::min<int64_t>(128, s.tileN * shape.resultBytes);
}

int64_t nibble::getSharedBytes(const GemmSchedule &s, const GemmShape &shape) {
  int64_t rows = s.tileM + s.tileN * shape.products;
  int64_t stage = rows * 128;
  int64_t ring = s.stages * (stage + 16);
  return llvm::alignTo(ring, 1024) +
         s.tileM * getPanelBytes(s, shape) * s.buffers;
}

std::string nibble::whyNotSchedule(const GemmSchedule &s,
                                   const GemmShape &shape,
                                   int64_t sharedBytes) {
  auto text = [](int64_t value) { return std::to_string(value); };
  if (s.tileM != 64 * s.warpgroups * (s.tileM / (64 * s.warpgroups)) ||
      s.tileM > 256)
    return "tile M = " + text(s.tileM) + " is not a multiple of 64 rows for " +
           text(s.warpgroups) + " warpgroups, up to 256";
  if (s.tileN % 8 || s.tileN < 16 || s.tileN * shape.products > 256)
    return "tile N = " + text(s.tileN) + " of " + text(shape.products) +
           " products; multiples of 8, up to 256 in all";
  if (s.tileN * shape.leastBytes % 32)
    return "rows of " + text(s.tileN * shape.leastBytes) +
           " bytes of a result; the store writes panels of 32, 64 or 128";
  int64_t accumulators =
      s.tileM * s.tileN * shape.products / (128 * s.warpgroups);
  // 64 Ki registers, of which a loading warpgroup takes 128 x 40.
  int64_t have = s.warpgroups == 1 ? 232 : s.warpgroups == 2 ? 232 : 152;
  if (accumulators + 48 > have)
    return text(accumulators) + " accumulators of " + text(have) +
           " registers per thread";
  if (s.stages < 2)
    return "fewer than 2 stages";
  if ((s.tileN * shape.products) % (8 * s.clusterM) ||
      s.tileM % (8 * s.clusterN))
    return "a cluster shares rows of tiles in eights";
  if (int64_t bytes = getSharedBytes(s, shape); bytes > sharedBytes)
    return text(bytes) + " bytes of shared memory of " + text(sharedBytes);
  return "";
}

//===----------------------------------------------------------------------===//
// Estimate
//===----------------------------------------------------------------------===//

double nibble::estimateSeconds(const GemmSchedule &s, const GemmShape &shape,
                               int64_t multiprocessors) {
  // Per multiprocessor and second: multiply-adds of FP8 (H100: 1979 TFLOP/s
  // over 132, at the clocks that it holds), bytes from L2.
  constexpr double kClock = 1.6e9, kFp8PerClock = 4096, kL2PerClock = 40;
  int64_t tiles = divideCeil(shape.m, s.tileM) * divideCeil(shape.n, s.tileN);
  int64_t waves = divideCeil(tiles, multiprocessors);
  int64_t blocks = divideCeil(shape.k, shape.getTileK());
  double products =
      double(s.tileM) * s.tileN * shape.products * shape.getTileK();
  double macs = products / (kFp8PerClock * 8 / shape.operandBits);
  double loads = (double(s.tileM) / s.clusterN +
                  double(s.tileN) * shape.products / s.clusterM) *
                 128 / kL2PerClock;
  // Stores, and the pipeline that runs empty between tiles.
  double epilogue = 800 + double(s.tileM) * s.tileN * shape.resultBytes / 64;
  return waves * (blocks * std::max(macs, loads) + epilogue) / kClock;
}

//===----------------------------------------------------------------------===//
// Candidates
//===----------------------------------------------------------------------===//

/// As many stages as fit.
static void fillStages(GemmSchedule &s, const GemmShape &shape,
                       int64_t sharedBytes) {
  s.stages = 2;
  for (int64_t stages = 3; stages <= 8; ++stages) {
    GemmSchedule more = s;
    more.stages = stages;
    if (getSharedBytes(more, shape) <= sharedBytes)
      s.stages = stages;
  }
}

/// Groups of tiles along the faster axis: about as many rows of A as of B stay
/// in the L2 cache.
static void addRasters(const GemmSchedule &s, const GemmShape &shape,
                       llvm::SmallVectorImpl<GemmSchedule> &list) {
  int64_t tilesM = divideCeil(divideCeil(shape.m, s.tileM), s.clusterM);
  for (int64_t group : {2, 4, 8, 16}) {
    GemmSchedule copy = s;
    copy.group = std::min(group, tilesM) * s.clusterM;
    if (list.empty() || !(list.back() == copy))
      list.push_back(copy);
    if (group >= tilesM)
      break;
  }
}

llvm::SmallVector<GemmSchedule> nibble::getCandidates(const GemmShape &shape,
                                                      int64_t sharedBytes,
                                                      int64_t multiprocessors) {
  llvm::SmallVector<GemmSchedule> list;
  for (int64_t warpgroups : {1, 2})
    for (int64_t tileN : {16, 32, 64, 96, 128, 160, 192, 224, 256})
      for (auto [clusterM, clusterN] :
           {std::pair(1, 1), std::pair(2, 1), std::pair(1, 2)}) {
        GemmSchedule s;
        s.warpgroups = warpgroups;
        s.tileM = 64 * warpgroups;
        s.tileN = tileN / shape.products;
        s.clusterM = clusterM;
        s.clusterN = clusterN;
        fillStages(s, shape, sharedBytes);
        if (whyNotSchedule(s, shape, sharedBytes).empty())
          addRasters(s, shape, list);
      }
  llvm::stable_sort(list, [&](const GemmSchedule &a, const GemmSchedule &b) {
    return estimateSeconds(a, shape, multiprocessors) <
           estimateSeconds(b, shape, multiprocessors);
  });
  return list;
}
