// Bytes between the L2 cache and memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Traffic.h"

#include <gtest/gtest.h>

using namespace nibble::emu;

namespace {

constexpr uint64_t kMiB = 1 << 20;

TrafficTrace reading(uint64_t from, uint64_t bytes, unsigned times = 1) {
  TrafficTrace trace;
  for (unsigned t = 0; t < times; ++t)
    for (uint64_t at = 0; at < bytes; at += 1024)
      trace.note(from + at, 1024, false);
  return trace;
}

TEST(Traffic, NeighbouringBytesAreOneRun) {
  TrafficTrace trace;
  for (uint64_t lane = 0; lane < 32; ++lane)
    trace.note(4096 + 16 * lane, 16, false);
  trace.note(4096 + 512, 16, true);
  ASSERT_EQ(trace.runs.size(), 2u);
  EXPECT_EQ(trace.runs[0].bytes, 512u);
}

TEST(Traffic, CountsSectors) {
  Traffic traffic;
  TrafficTrace trace;
  trace.note(30, 4, false); // two sectors of 32
  trace.note(64, 1, true);
  traffic.add(0, trace);
  DramBytes dram = traffic.replay(1, kMiB);
  EXPECT_EQ(dram.read, 64u);
  EXPECT_EQ(dram.written, 32u);
}

/// What fits is read once; what does not, each time.
TEST(Traffic, ForgetsWhatWasNotUsedForTheLongestTime) {
  for (auto [bytes, reads] : {std::make_pair(kMiB, 1), {2 * kMiB, 3}}) {
    Traffic traffic;
    traffic.add(0, reading(0, bytes, 3));
    DramBytes dram = traffic.replay(1, kMiB);
    EXPECT_EQ(dram.read, reads * bytes);
    EXPECT_EQ(dram.readOnce, bytes);
  }
}

/// Clusters that read the same at the same time share it, though it does not
/// fit; one behind the other they do not.
TEST(Traffic, ClustersAtOnceShare) {
  Traffic traffic;
  for (uint64_t cluster = 0; cluster < 4; ++cluster)
    traffic.add(cluster, reading(0, 4 * kMiB));
  EXPECT_EQ(traffic.replay(4, kMiB).read, 4 * kMiB);
  EXPECT_EQ(traffic.replay(1, kMiB).read, 16 * kMiB);
}

TEST(Traffic, WritesBackOnceAndReadsWhatItWrote) {
  Traffic traffic;
  TrafficTrace trace;
  trace.note(0, 4096, true);
  trace.note(0, 4096, false);
  trace.note(0, 4096, true);
  traffic.add(0, trace);
  DramBytes dram = traffic.replay(1, kMiB);
  EXPECT_EQ(dram.written, 4096u);
  EXPECT_EQ(dram.read, 0u);
  // Without room for it, both times.
  EXPECT_EQ(traffic.replay(1, 1024).written, 8192u);
}

} // namespace
