// Schedules of matrix products that are worth measuring.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmTensorSchedule.h"
#include "GemmTiles.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"

using namespace nibble;
using llvm::divideCeil;

void nibble::fillStages(GemmSchedule &s, const GemmShape &shape,
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
  for (bool fastestM : {true, false}) {
    int64_t tiles = fastestM ? divideCeil(extentM(s, shape), s.tileM)
                             : divideCeil(extentN(s, shape), s.tileN);
    int64_t cluster = fastestM ? s.clusterM : s.clusterN;
    tiles = divideCeil(tiles, cluster);
    for (int64_t group : {2, 4, 8, 16}) {
      GemmSchedule copy = s;
      copy.fastestM = fastestM;
      copy.group = std::min(group, tiles) * cluster;
      if (list.empty() || !(list.back() == copy))
        list.push_back(copy);
      if (group >= tiles)
        break;
    }
  }
}

/// Tiles of N that leave little of the last one empty.
static llvm::SmallVector<int64_t> getTileNs(const GemmShape &shape,
                                            bool swapped) {
  llvm::SmallVector<int64_t> list{16, 32, 64, 96, 128, 160, 192, 224, 256};
  if (!swapped)
    return list;
  list.insert(list.begin(), 8);
  for (int64_t parts = divideCeil(shape.m, 256); parts <= shape.m; ++parts) {
    int64_t even = llvm::alignTo(divideCeil(shape.m, parts), 8);
    if (even < 64)
      break;
    if (!llvm::is_contained(list, even))
      list.push_back(even);
  }
  if (int64_t all = llvm::alignTo(shape.m, 8);
      all <= 256 && !llvm::is_contained(list, all))
    list.push_back(all);
  return list;
}

/// By the estimate; equals stay in order.
static void sortByTime(llvm::SmallVectorImpl<GemmSchedule> &list,
                       const GemmShape &shape, int64_t multiprocessors) {
  llvm::SmallVector<std::pair<double, size_t>> order;
  for (auto [i, schedule] : llvm::enumerate(list))
    order.push_back({estimateSeconds(schedule, shape, multiprocessors), i});
  llvm::sort(order);
  llvm::SmallVector<GemmSchedule> sorted;
  for (auto [seconds, i] : order)
    sorted.push_back(list[i]);
  list.assign(sorted);
}

/// The estimate does not know the raster: two of them of each kind of tile come
/// first, so that the first candidates are of many kinds.
static void spreadRasters(llvm::SmallVectorImpl<GemmSchedule> &list) {
  llvm::StringMap<int> seen;
  llvm::SmallVector<GemmSchedule> first, rest;
  for (const GemmSchedule &schedule : list) {
    GemmSchedule kind = schedule;
    kind.fastestM = true;
    kind.group = 1;
    (seen[kind.str()]++ < 2 ? first : rest).push_back(schedule);
  }
  first.append(rest);
  list.assign(first);
}

/// Where tiles leave multiprocessors idle: slices of K for as many of them as
/// run at once, each of some stages. The raster says nothing about one wave.
static void addSplits(const GemmSchedule &s, const GemmShape &shape,
                      int64_t sharedBytes, int64_t multiprocessors,
                      llvm::SmallVectorImpl<GemmSchedule> &list) {
  constexpr int64_t kLeastStages = 4;
  int64_t blocks = divideCeil(shape.k, shape.getTileK());
  for (GemmSchedule split = s; split.splits < 8;) {
    ++split.splits;
    if (countTiles(split, shape) > getWave(split, multiprocessors) ||
        blocks < split.splits * kLeastStages)
      break;
    fillStages(split, shape, sharedBytes);
    if (whyNotSchedule(split, shape, sharedBytes).empty())
      list.push_back(split);
  }
}

llvm::SmallVector<GemmSchedule> nibble::getCandidates(const GemmShape &shape,
                                                      int64_t sharedBytes,
                                                      int64_t multiprocessors) {
  llvm::SmallVector<GemmSchedule> list;
  if (shape.tensorMemory) {
    list = listTensorSchedules(shape, sharedBytes);
    sortByTime(list, shape, multiprocessors);
    return list;
  }
  auto add = [&](GemmSchedule s) {
    // 256 rows pay where few tiles are left, which K is split for.
    if (s.tileM <= 128) {
      fillStages(s, shape, sharedBytes);
      if (whyNotSchedule(s, shape, sharedBytes).empty())
        addRasters(s, shape, list);
    }
    if (!s.pingPong)
      addSplits(s, shape, sharedBytes, multiprocessors, list);
  };
  struct Team {
    int64_t warpgroups, tileM;
    bool pingPong;
  };
  constexpr Team kTeams[] = {{1, 64, false},
                             {2, 128, false},
                             {2, 256, false},
                             {2, 64, true},
                             {2, 128, true}};
  for (bool swapped : {false, true})
    for (const Team &team : kTeams)
      for (int64_t tileN : getTileNs(shape, swapped))
        for (auto [clusterM, clusterN] :
             {std::pair(1, 1), std::pair(2, 1), std::pair(1, 2)}) {
          GemmSchedule s;
          s.swapped = swapped;
          s.warpgroups = team.warpgroups;
          s.tileM = team.tileM;
          s.pingPong = team.pingPong;
          s.tileN = tileN;
          s.clusterM = clusterM;
          s.clusterN = clusterN;
          add(s);
          s.late = true;
          if (shape.scaledColumns > 1)
            add(s);
        }
  sortByTime(list, shape, multiprocessors);
  spreadRasters(list);
  return list;
}

std::string nibble::whyNoCandidates(const GemmShape &shape,
                                    int64_t sharedBytes) {
  GemmSchedule s;
  s.tileM = 64;
  s.tileN = std::max<int64_t>(64, shape.blockColumns);
  s.warpgroups = 1;
  s.stages = 2;
  std::string why =
      "no schedule fits the shape: " + whyNotSchedule(s, shape, sharedBytes);
  s.swapped = true;
  s.tileN = 64;
  return why +
         "; with operands swapped: " + whyNotSchedule(s, shape, sharedBytes);
}
