// The packer against an independent checker, on random and on known plans.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Analysis/PackBuffers.h"

#include "gtest/gtest.h"

#include <chrono>
#include <map>
#include <random>

using namespace nibble;

namespace {

/// Walks through all steps with a map of the bytes in use; says what overlaps.
/// Shares no code with the packer.
std::string findOverlap(const std::vector<Lifetime> &buffers, int64_t arena) {
  std::map<int64_t, std::vector<const Lifetime *>> begins, ends;
  for (const Lifetime &buffer : buffers) {
    if (buffer.offset < 0 || buffer.offset + buffer.size > arena)
      return "outside of the arena";
    begins[buffer.first].push_back(&buffer);
    ends[buffer.last + 1].push_back(&buffer);
  }
  std::map<int64_t, const Lifetime *> used; // by offset
  for (const auto &[step, starting] : begins) {
    for (auto it = ends.begin(); it != ends.end() && it->first <= step;
         it = ends.erase(it))
      for (const Lifetime *gone : it->second)
        used.erase(gone->offset);
    for (const Lifetime *buffer : starting) {
      auto after = used.lower_bound(buffer->offset);
      if (after != used.end() && after->first < buffer->offset + buffer->size)
        return "overlap at step " + std::to_string(step);
      if (after != used.begin()) {
        const Lifetime *before = std::prev(after)->second;
        if (before->offset + before->size > buffer->offset)
          return "overlap at step " + std::to_string(step);
      }
      used[buffer->offset] = buffer;
    }
  }
  return "";
}

int64_t countLive(const std::vector<Lifetime> &buffers, int64_t step) {
  int64_t live = 0;
  for (const Lifetime &buffer : buffers)
    if (buffer.first <= step && step <= buffer.last)
      live += buffer.size;
  return live;
}

using Random = std::mt19937;

/// Short lives mostly, some long ones, sizes over three orders of magnitude: as
/// in networks.
std::vector<Lifetime> makeNetwork(Random &random, int steps, int buffers) {
  std::vector<Lifetime> result;
  for (int i = 0; i < buffers; ++i) {
    int64_t first = random() % steps;
    int64_t length = random() % 8 ? random() % 4 : random() % steps;
    int64_t size = 64 * (1 + (random() % 16 << (random() % 8)));
    result.push_back(
        {size, first, std::min<int64_t>(first + length, steps - 1)});
  }
  return result;
}

/// Any lives at all: far harder to pack than networks.
std::vector<Lifetime> makeChaos(Random &random, int steps, int buffers) {
  std::vector<Lifetime> result;
  for (int i = 0; i < buffers; ++i) {
    int64_t a = random() % steps, b = random() % steps;
    result.push_back(
        {64 * int64_t(1 + random() % 1000), std::min(a, b), std::max(a, b)});
  }
  return result;
}

/// Cuts a full rectangle of bytes and steps into buffers: a packing without any
/// waste exists.
void cut(Random &random, std::vector<Lifetime> &result, int64_t size,
         int64_t first, int64_t last, int depth) {
  if (depth == 0 || (size <= 64 && first == last)) {
    result.push_back({size, first, last});
    return;
  }
  bool splitsSize = size > 64 && (first == last || random() % 2);
  if (splitsSize) {
    int64_t part = 64 * (1 + random() % (size / 64 - 1 ? size / 64 - 1 : 1));
    if (part >= size)
      part = size - 64;
    cut(random, result, part, first, last, depth - 1);
    cut(random, result, size - part, first, last, depth - 1);
    return;
  }
  int64_t middle = first + random() % (last - first);
  cut(random, result, size, first, middle, depth - 1);
  cut(random, result, size, middle + 1, last, depth - 1);
}

struct Tally {
  double sum = 0, worst = 0;
  int count = 0, optimal = 0;

  void add(std::vector<Lifetime> buffers) {
    int64_t bound = getLivenessBound(buffers);
    int64_t arena = packBuffers(buffers);
    ASSERT_EQ(findOverlap(buffers, arena), "");
    ASSERT_GE(arena, bound);
    double ratio = bound ? double(arena) / bound : 1;
    sum += ratio;
    worst = std::max(worst, ratio);
    optimal += arena == bound;
    ++count;
  }
  void print(const char *what) const {
    printf(
        "%-24s %5d plans  arena / bound: mean %.4f, worst %.3f, at the bound "
        "%d\n",
        what, count, sum / count, worst, optimal);
  }
};

TEST(PackBuffers, BoundIsTheFullestStep) {
  std::vector<Lifetime> buffers{
      {64, 0, 2}, {128, 1, 1}, {256, 3, 3}, {64, 2, 2}};
  int64_t step = -1;
  EXPECT_EQ(getLivenessBound(buffers, &step), 256);
  EXPECT_EQ(step, 3);
  Random random(3);
  for (int i = 0; i < 50; ++i) {
    auto plan = makeChaos(random, 20, 30);
    int64_t most = 0;
    for (int64_t at = 0; at < 20; ++at)
      most = std::max(most, countLive(plan, at));
    EXPECT_EQ(getLivenessBound(plan, &step), most);
    EXPECT_EQ(countLive(plan, step), most);
  }
}

TEST(PackBuffers, TheCheckerFindsOverlaps) {
  EXPECT_EQ(findOverlap({{64, 0, 1, 0}, {64, 1, 2, 32}}, 128),
            "overlap at step 1");
  EXPECT_EQ(findOverlap({{64, 0, 1, 0}, {64, 2, 2, 32}}, 128), "");
  EXPECT_EQ(findOverlap({{64, 0, 1, 96}}, 128), "outside of the arena");
}

TEST(PackBuffers, EmptyAndSingle) {
  std::vector<Lifetime> none;
  EXPECT_EQ(packBuffers(none), 0);
  std::vector<Lifetime> one{{192, 5, 9}};
  EXPECT_EQ(packBuffers(one), 192);
  EXPECT_EQ(one[0].offset, 0);
}

TEST(PackBuffers, SameInputSameOffsets) {
  Random random(5);
  auto a = makeChaos(random, 40, 80);
  auto b = a;
  EXPECT_EQ(packBuffers(a), packBuffers(b));
  for (size_t i = 0; i < a.size(); ++i)
    EXPECT_EQ(a[i].offset, b[i].offset);
}

TEST(PackBuffers, RandomNetworks) {
  Random random(1);
  Tally tally;
  for (int i = 0; i < 700; ++i)
    tally.add(makeNetwork(random, 20 + random() % 60, 20 + random() % 80));
  tally.print("networks");
  EXPECT_LT(tally.sum / tally.count, 1.02);
  EXPECT_LT(tally.worst, 1.1 * 1.1);
}

TEST(PackBuffers, RandomChaos) {
  Random random(2);
  Tally tally;
  for (int i = 0; i < 200; ++i)
    tally.add(makeChaos(random, 30, 40));
  tally.print("chaos");
  EXPECT_LT(tally.sum / tally.count, 1.06);
}

TEST(PackBuffers, CutRectangles) {
  Random random(4);
  Tally tally;
  for (int i = 0; i < 100; ++i) {
    std::vector<Lifetime> buffers;
    cut(random, buffers, 64 * 1024, 0, 63, 5);
    tally.add(buffers);
  }
  tally.print("perfect packings");
  EXPECT_LT(tally.sum / tally.count, 1.15);
}

TEST(PackBuffers, ThousandsOfBuffers) {
  Random random(6);
  Tally tally;
  auto begin = std::chrono::steady_clock::now();
  tally.add(makeNetwork(random, 4000, 6000));
  tally.add(makeChaos(random, 2000, 2000));
  double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - begin)
          .count();
  tally.print("thousands of buffers");
  printf("  %.2f s for both\n", seconds);
}

} // namespace
