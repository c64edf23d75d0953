// Counters of a launch, and times from them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

#include "exec/Banks.h"
#include "exec/Estimate.h"

using namespace nibble;
using namespace nibble::emu;

namespace {

//===----------------------------------------------------------------------===//
// Banks
//===----------------------------------------------------------------------===//

/// Lane l accesses `bytes` at l * stride.
Wavefronts strided(uint32_t stride, unsigned bytes, Lanes lanes = kAllLanes) {
  uint32_t offsets[kWarpSize];
  for (unsigned l = 0; l < kWarpSize; ++l)
    offsets[l] = l * stride;
  return countWavefronts(offsets, lanes, bytes);
}

TEST(Banks, ConflictsOfStrides) {
  struct {
    uint32_t stride;
    unsigned bytes, all, ideal;
  } cases[] = {{4, 4, 1, 1},    {8, 4, 2, 1},   {12, 4, 1, 1}, // odd: none
               {128, 4, 32, 1}, {132, 4, 1, 1},                // padded
               {0, 4, 1, 1}, // one word for all
               {1, 1, 1, 1},    {2, 2, 1, 1},   {8, 8, 2, 2},
               {16, 8, 4, 2},   {16, 16, 4, 4}, {128, 16, 32, 4},
               {144, 16, 4, 4}, {32, 32, 8, 8}};
  for (auto &c : cases) {
    Wavefronts waves = strided(c.stride, c.bytes);
    EXPECT_EQ(waves.all, c.all) << c.stride << " " << c.bytes;
    EXPECT_EQ(waves.ideal, c.ideal) << c.stride << " " << c.bytes;
  }
}

TEST(Banks, OnlyLanesThatRun) {
  EXPECT_EQ(strided(128, 4, 0xF).all, 4u);
  EXPECT_EQ(strided(16, 16, 0xFF).ideal, 1u);
  EXPECT_EQ(strided(16, 16, 0x101).ideal, 2u);
}

//===----------------------------------------------------------------------===//
// Kernels
//===----------------------------------------------------------------------===//

Counters countersOf(const std::string &body, uint32_t threads = 32,
                    const std::string &inside = "") {
  Device device(kernelOf(body, "", inside));
  uint32_t *out = device.upload(std::vector<uint32_t>(threads, 0));
  EXPECT_EQ(device.run(threads, {uint64_t(out), uint64_t(out)}), "");
  return device.counters;
}

uint64_t countOf(const std::string &body, InstClass kind,
                 const std::string &inside = "") {
  auto count = [&](const std::string &text) {
    return countersOf(text, 32, inside).byClass[unsigned(kind)];
  };
  return count(body) - count("");
}

TEST(Counters, InstructionsByClass) {
  struct {
    const char *body;
    InstClass kind;
  } cases[] = {
      {"add.u32 %r0, %i, 1;", InstClass::Integer},
      {"lop3.b32 %r0, %i, %i, %i, 1;", InstClass::Integer},
      {"mov.f32 %f0, 0f00000000; add.f32 %f0, %f0, %f0;", InstClass::Float},
      {"cvt.rn.f32.u32 %f0, %i;", InstClass::Conversion},
      {"mov.u32 %r0, 1;", InstClass::Move},
      {"ld.u32 %r0, [%out];", InstClass::Generic},
      {"red.global.add.u32 [%out], 1;", InstClass::Global},
      {"st.shared.u32 [s], 1;", InstClass::Shared},
      {"st.local.u32 [l], 1;", InstClass::Local},
      {"ld.param.u64 %d0, [in];", InstClass::Param},
      {"cp.async.commit_group;", InstClass::Copy},
      {"bra L; L:", InstClass::Control},
      {"bar.sync 0;", InstClass::Barrier},
      {"membar.cta;", InstClass::Barrier},
      {"vote.sync.any.pred %p1, 1, -1;", InstClass::Warp},
      {"movmatrix.sync.aligned.m8n8.trans.b16 %r0, %i;", InstClass::Tensor},
      {"nanosleep.u32 1;", InstClass::Other}};
  std::string inside = ".shared .b32 s; .local .b32 l;";
  for (auto &c : cases) {
    std::string body = c.body;
    if (body.find("vote") == 0)
      body = "setp.eq.u32 %p1, %i, 0; vote.sync.any.pred %p2, %p1, -1;";
    EXPECT_EQ(countOf(body, c.kind, inside), 1u) << body;
  }
  EXPECT_EQ(
      countersOf("bar.sync 0;", 128).byClass[unsigned(InstClass::Barrier)], 4u)
      << "once each, however long it waits";
}

TEST(Counters, BytesAndConflicts) {
  Counters c = countersOf("shl.b32 %r0, %lane, 7; mov.u32 %r1, s; add.u32 %r0, "
                          "%r0, %r1; st.shared.u32 [%r0], 1; ld.shared.u32 "
                          "%r2, [%r0]; st.global.u32 [%out], %r2;",
                          32, ".shared .b32 s[1024];");
  EXPECT_EQ(c.sharedWritten, 128u);
  EXPECT_EQ(c.sharedRead, 128u);
  EXPECT_EQ(c.globalWritten, 128u);
  EXPECT_EQ(c.sharedAccesses, 2u);
  EXPECT_EQ(c.wavefronts, 64u);
  EXPECT_EQ(c.conflicts, 62u);
  EXPECT_EQ(c.sharedBytes, 4096u);
  EXPECT_EQ(c.sharedPeak, 31u * 128 + 4);
  EXPECT_EQ(c.ctas, 1u);
}

TEST(Counters, CopiesAndProducts) {
  Counters c = countersOf(
      "setp.eq.u32 %p1, %i, 0; @%p1 mbarrier.init.shared.b64 [m], 1; bar.sync "
      "0; @%p1 mbarrier.arrive.expect_tx.shared.b64 _, [m], 64; "
      "@%p1 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[s], [%in], 64, [m]; L: mbarrier.try_wait.parity.shared.b64 %p2, [m], 0;"
      "@!%p2 bra L;",
      32, ".shared .align 16 .b32 s[64]; .shared .align 8 .b64 m;");
  EXPECT_EQ(c.copyRead, 64u);
  EXPECT_EQ(c.globalRead, 64u);
  EXPECT_EQ(c.sharedAsyncWritten, 64u);
  c = countersOf("mov.u32 %r0, 0; mov.f32 %f0, 0f00000000; "
                 "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%f1, %f2, "
                 "%f3, %f4}, {%r0, %r0, %r0, %r0}, {%r0, %r0}, {%f0, %f0, %f0, "
                 "%f0};");
  EXPECT_EQ(c.multiplies[unsigned(TensorKind::F16)], 16u * 8 * 16);
  EXPECT_EQ(c.multiplies[unsigned(TensorKind::F8)], 0u);
}

//===----------------------------------------------------------------------===//
// Times
//===----------------------------------------------------------------------===//

Limits machine() {
  Limits limits;
  limits.sms = 10;
  limits.clockGHz = 2;
  limits.issuePerClock = 4;
  limits.sharedBytesPerClock = 128;
  limits.dramGBs = 100;
  limits.multiplies[unsigned(TensorKind::F16)] = 1000;
  return limits;
}

TEST(Estimate, EachPartByItself) {
  Counters c;
  c.ctas = 10;
  c.instructions = 80000;
  c.multiplies[unsigned(TensorKind::F16)] = 200'000'000;
  c.wavefronts = 10000;
  c.sharedAsyncRead = 1'280'000;
  c.globalRead = 900'000;
  c.globalWritten = 100'000;
  Estimate e = estimate(c, machine());
  EXPECT_DOUBLE_EQ(e.issue, 1);   // 8000 / 4 cycles at 2 GHz
  EXPECT_DOUBLE_EQ(e.tensor, 10); // 20000 cycles
  EXPECT_DOUBLE_EQ(e.tensorCycles, 20000);
  EXPECT_DOUBLE_EQ(e.shared, 1); // 256000 bytes / 128
  EXPECT_DOUBLE_EQ(e.dram, 10);
  EXPECT_STREQ(e.bound(), "dram");
  c.globalRead = 0;
  EXPECT_STREQ(estimate(c, machine()).bound(), "tensor");
}

/// Eleven CTAs on ten SMs take as long as twenty.
TEST(Estimate, TheBusiestProcessorCounts) {
  Counters c;
  c.ctas = 11;
  c.instructions = 11 * 8000;
  EXPECT_DOUBLE_EQ(estimate(c, machine()).issue, 2);
  c.ctas = 5;
  c.instructions = 5 * 8000;
  EXPECT_DOUBLE_EQ(estimate(c, machine()).issue, 1);
}

TEST(Estimate, SaysWhatItDoesNotKnow) {
  Counters c;
  c.ctas = 1;
  EXPECT_TRUE(estimate(c, machine()).tensorKnown);
  c.multiplies[unsigned(TensorKind::F4)] = 1;
  EXPECT_FALSE(estimate(c, machine()).tensorKnown);
}

} // namespace
