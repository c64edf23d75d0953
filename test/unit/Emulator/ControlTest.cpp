// Branches, collectives of a warp, barriers, calls.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

using U = uint32_t;

template <typename F> void expectAll(const std::vector<U> &got, F f) {
  for (U i = 0; i < got.size(); ++i)
    EXPECT_EQ(got[i], U(f(i))) << "thread " << i;
}
const std::string kStore = "st.global.u32 [%out], %r0;";

//===--- Branches ---------------------------------------------------------===//

/// Lanes leave the inner loop after different numbers of rounds.
TEST(Branch, NestedDivergentLoops) {
  auto got = resultsOf(R"(
mov.u32 %r0, 0; mov.u32 %r1, 0;
OUTER: mov.u32 %r2, 0;
INNER: add.u32 %r0, %r0, 1; add.u32 %r2, %r2, 1;
setp.le.u32 %p1, %r2, %lane; @%p1 bra INNER;
add.u32 %r1, %r1, 1; and.b32 %r3, %lane, 3; setp.le.u32 %p2, %r1, %r3; @%p2 bra OUTER;
)" + kStore,
                       64);
  expectAll(got, [](U i) { return (i % 32 + 1) * (i % 4 + 1); });
}

TEST(Branch, LanesMeetAgain) {
  auto got = resultsOf(R"(
mov.u32 %r0, 1; setp.lt.u32 %p1, %lane, 11; @!%p1 bra ELSE;
mov.u32 %r0, 2; bra.uni END;
ELSE: setp.gt.u32 %p2, %lane, 20; @%p2 mov.u32 %r0, 3;
END: activemask.b32 %r1; and.b32 %r1, %r1, 0xF0000000; or.b32 %r0, %r0, %r1;
)" + kStore,
                       32);
  expectAll(got, [](U i) {
    return (i < 11 ? 2u : i > 20 ? 3u : 1u) | 0xF0000000;
  });
}

TEST(Branch, Indexed) {
  auto got = resultsOf(R"(
LIST: .branchtargets A, B, C;
rem.u32 %r1, %lane, 3; brx.idx %r1, LIST;
A: mov.u32 %r0, 10; bra END;
B: mov.u32 %r0, 20; bra END;
C: mov.u32 %r0, 30;
END:)" + kStore,
                       32);
  expectAll(got, [](U i) { return 10 * (i % 32 % 3 + 1); });
  EXPECT_FAULT(
      faultOf(
          "LIST: .branchtargets A; brx.idx %lane, LIST; A: mov.u32 %r0, 0;"),
      "entry 1 of 1");
}

TEST(Branch, EarlyExit) {
  auto got = resultsOf(
      "mov.u32 %r0, 7;" + kStore +
          "setp.lt.u32 %p1, %lane, 5; @%p1 exit; mov.u32 %r0, 9;" + kStore,
      32);
  expectAll(got, [](U i) { return i < 5 ? 7 : 9; });
}

/// One lane waits for what another one of its warp does later.
TEST(Branch, LanesOfAWarpCanLock) {
  auto got = resultsOf(R"(
ld.param.u64 %d0, [out]; mov.u32 %r0, 0;
LOCK: atom.global.cas.b32 %r1, [lock], 0, 1; setp.ne.u32 %p1, %r1, 0; @%p1 bra LOCK;
ld.global.u32 %r0, [count]; add.u32 %r0, %r0, 1; st.global.u32 [count], %r0;
atom.global.exch.b32 %r1, [lock], 0;
)" + kStore,
                       64, "", ".global .u32 lock; .global .u32 count;");
  std::sort(got.begin(), got.end());
  expectAll(got, [](U i) { return i + 1; });
}

//===--- Collectives ------------------------------------------------------===//

/// All modes and segments, as the pseudo code of shfl states them.
TEST(Collective, Shuffle) {
  const char *modes[] = {"up", "down", "bfly", "idx"};
  for (int mode = 0; mode < 4; ++mode)
    for (U b : {0u, 1u, 3u, 16u, 31u, 37u})
      for (U c : {0x1Fu, 0x0u, 0x181Fu, 0x1800u, 0x1C07u, 0x1003u}) {
        auto got = resultsOf(
            "add.u32 %r1, %lane, 100; shfl.sync." + std::string(modes[mode]) +
                ".b32 %r0|%p1, %r1, " + std::to_string(b) + ", " +
                std::to_string(c) +
                ", -1; selp.u32 %r2, 1000, 0, %p1; add.u32 %r0, %r0, %r2;" +
                kStore,
            32);
        expectAll(got, [&](U lane) {
          int bval = b & 31, cval = c & 31, seg = c >> 8 & 31, l = int(lane);
          int maxLane = (l & seg) | (cval & ~seg & 31), minLane = l & seg;
          int j = mode == 0   ? l - bval
                  : mode == 1 ? l + bval
                  : mode == 2 ? l ^ bval
                              : minLane | (bval & ~seg & 31);
          bool p = mode == 0 ? j >= maxLane : j <= maxLane;
          return U(100 + (p ? j : l)) + (p ? 1000 : 0);
        });
      }
}

TEST(Collective, Votes) {
  auto got = resultsOf(R"(
setp.lt.u32 %p1, %lane, 7; setp.ge.u32 %p2, %lane, 0; setp.gt.u32 %p3, %lane, 99;
vote.sync.ballot.b32 %r0, %p1, -1;
vote.sync.all.pred %p4, %p1, -1; @%p4 or.b32 %r0, %r0, 0x10000;
vote.sync.all.pred %p4, %p2, -1; @%p4 or.b32 %r0, %r0, 0x20000;
vote.sync.any.pred %p4, %p1, -1; @%p4 or.b32 %r0, %r0, 0x40000;
vote.sync.any.pred %p4, !%p2, -1; @%p4 or.b32 %r0, %r0, 0x80000;
vote.sync.uni.pred %p4, %p1, -1; @%p4 or.b32 %r0, %r0, 0x100000;
vote.sync.uni.pred %p4, %p3, -1; @%p4 or.b32 %r0, %r0, 0x200000;
)" + kStore,
                       32);
  expectAll(got, [](U) { return 0x7F | 0x20000 | 0x40000 | 0x200000; });
}

/// Lanes that arrive apart, in two halves with their own masks.
TEST(Collective, DivergedMasks) {
  auto got = resultsOf(R"(
setp.lt.u32 %p1, %lane, 16; setp.ne.u32 %p2, %lane, 3; @%p1 bra LOW;
vote.sync.ballot.b32 %r0, %p2, 0xFFFF0000; bra END;
LOW: vote.sync.ballot.b32 %r0, %p2, 0xFFFF;
END:)" + kStore,
                       32);
  expectAll(got, [](U i) { return i < 16 ? 0xFFF7 : 0xFFFF0000; });
}

TEST(Collective, MatchReduxElect) {
  auto got = resultsOf(
      "shr.u32 %r1, %lane, 3; match.any.sync.b32 %r0, %r1, -1;" + kStore, 32);
  expectAll(got, [](U i) { return 0xFFu << (i / 8 * 8); });
  got = resultsOf("mov.b64 %d0, 5; match.all.sync.b64 %r0|%p1, %d0, -1; @!%p1 "
                  "mov.u32 %r0, 1;" +
                      kStore,
                  32);
  expectAll(got, [](U) { return ~0u; });
  got = resultsOf(
      "match.all.sync.b32 %r0|%p1, %lane, -1; @%p1 mov.u32 %r0, 1;" + kStore,
      32);
  expectAll(got, [](U) { return 0; });
  struct {
    const char *op;
    U value;
  } ops[] = {{"add.u32", 496 - 64}, {"min.s32", U(-2)}, {"max.u32", U(-1)},
             {"min.u32", 0},        {"max.s32", 29},    {"and.b32", 0},
             {"or.b32", ~0u},       {"xor.b32", 0}};
  for (auto &o : ops) {
    got = resultsOf("sub.s32 %r1, %lane, 2; redux.sync." + std::string(o.op) +
                        " %r0, %r1, -1;" + kStore,
                    32);
    U x = 0;
    for (U i = 0; i < 32; ++i)
      x ^= i - 2;
    expectAll(got,
              [&](U) { return std::string(o.op) == "xor.b32" ? x : o.value; });
  }
}

TEST(Collective, ElectsOneLane) {
  auto got = resultsOf("elect.sync %r0|%p1, -1; selp.u32 %r1, 100, 0, %p1; "
                       "add.u32 %r0, %r0, %r1;" +
                           kStore,
                       32);
  U leaders = 0;
  for (U x : got) {
    EXPECT_EQ(x % 100, got[0] % 100);
    leaders += x >= 100;
  }
  EXPECT_EQ(leaders, 1u);
}

TEST(Collective, ReduxOfFloats) {
  Device device(
      kernelOf("mov.b32 %f0, %lane; cvt.rn.f32.u32 %f0, %lane; setp.eq.u32 "
               "%p1, %lane, 5; @%p1 mov.f32 %f0, 0f7FC00000; neg.f32 %f0, %f0;"
               "redux.sync.min.abs.f32 %f1, %f0, -1; redux.sync.max.NaN.f32 "
               "%f2, %f0, -1; redux.sync.min.f32 %f3, %f0, -1; add.f32 %f1, "
               "%f1, %f3; testp.notanumber.f32 %p2, %f2; @!%p2 mov.f32 %f1, "
               "0f00000000; st.global.f32 [%out], %f1;"),
      "sm_100a");
  auto *out = device.upload(std::vector<float>(32));
  ASSERT_EQ(device.run(32, {uint64_t(out)}), "");
  EXPECT_EQ(out[9], -31.0f);
}

TEST(Collective, Misuse) {
  EXPECT_FAULT(faultOf("setp.lt.u32 %p1, %lane, 16; "
                       "vote.sync.ballot.b32 %r0, %p1, 0xF;"),
               "mask does not name");
  EXPECT_FAULT(
      faultOf(
          "setp.lt.u32 %p1, %lane, 16; @%p1 bra A; bar.warp.sync -1; bra B; A: "
          "shfl.sync.idx.b32 %r0, %r1, 0, 31, -1; B: mov.u32 %r0, 1;"),
      "wait for each other");
  EXPECT_FAULT(faultOf("setp.lt.u32 %p1, %lane, 16; @%p1 shfl.sync.idx.b32 "
                       "%r0, %r1, 20, 31, 0xFFFF;"),
               "not active");
}

/// The mask may name lanes that have exited.
TEST(Collective, ExitedLanesAreNotWaitedFor) {
  auto got = resultsOf("mov.u32 %r0, 0;" + kStore +
                           "setp.gt.u32 %p1, %lane, 20; @%p1 exit; setp.ge.u32 "
                           "%p2, %lane, 0; vote.sync.ballot.b32 %r0, %p2, -1;" +
                           kStore,
                       32);
  expectAll(got, [](U i) { return i > 20 ? 0 : 0x1FFFFF; });
}

//===--- Barriers ---------------------------------------------------------===//

const std::string kShared = ".shared .align 16 .b8 buffer[4096];";

/// Values go to the thread at the other end of the CTA.
TEST(Barrier, OrdersTheWholeCta) {
  auto got =
      resultsOf("mov.u32 %r1, buffer; mad.lo.u32 %r2, %i, 4, %r1; "
                "st.shared.u32 [%r2], %i; bar.sync 0; sub.u32 %r3, 199, %i; "
                "mad.lo.u32 %r2, %r3, 4, %r1; ld.shared.u32 %r0, [%r2];" +
                    kStore,
                200, kShared);
  expectAll(got, [](U i) { return 199 - i; });
}

TEST(Barrier, ProducersArriveConsumersWait) {
  auto got = resultsOf(R"(
mov.u32 %r0, 0; setp.ge.u32 %p1, %i, 64; @%p1 bra CONSUMER;
st.shared.u32 [buffer], 42; barrier.cta.arrive 3, 128; bra END;
CONSUMER: barrier.cta.sync 3, 128; ld.shared.u32 %r0, [buffer];
END:)" + kStore,
                       128, kShared);
  expectAll(got, [](U i) { return i < 64 ? 0 : 42; });
}

TEST(Barrier, Reductions) {
  auto got = resultsOf(R"(
setp.lt.u32 %p1, %i, 37; setp.ge.u32 %p2, %i, 0; setp.gt.u32 %p3, %i, 1000;
bar.red.popc.u32 %r0, 0, %p1; bar.red.and.pred %p4, 1, %p2; @%p4 add.u32 %r0, %r0, 1000;
bar.red.and.pred %p4, 2, %p1; @%p4 add.u32 %r0, %r0, 2000; bar.red.or.pred %p4, 3, %p1; @%p4 add.u32 %r0, %r0, 4000;
bar.red.or.pred %p4, 4, !%p2; @%p4 add.u32 %r0, %r0, 8000;
)" + kStore,
                       100);
  expectAll(got, [](U) { return 5037; });
}

/// Lanes and warps that have exited are not waited for.
TEST(Barrier, AfterExits) {
  auto got = resultsOf(
      "mov.u32 %r0, 1;" + kStore +
          "setp.ge.u32 %p1, %i, 40; @%p1 exit; bar.sync 0; mov.u32 %r0, 2;" +
          kStore,
      128);
  expectAll(got, [](U i) { return i < 40 ? 2 : 1; });
  got = resultsOf("mov.u32 %r0, 1;" + kStore +
                      "setp.lt.u32 %p1, %i, 64; @%p1 bra SYNC; mov.u32 %r1, 0; "
                      "LOOP: add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 5000; "
                      "@%p2 bra LOOP; exit; SYNC: bar.sync 0; mov.u32 %r0, 2;" +
                      kStore,
                  128);
  expectAll(got, [](U i) { return i < 64 ? 2 : 1; });
}

/// Lanes of a warp may come to barrier.sync at different instructions.
TEST(Barrier, UnalignedLanes) {
  auto got =
      resultsOf("st.shared.u32 [buffer], 0; bar.sync 1; setp.lt.u32 %p1, "
                "%lane, 9; @%p1 bra A; barrier.sync 0; bra B; A: st.shared.u32 "
                "[buffer], 5; barrier.sync 0; B: ld.shared.u32 %r0, [buffer];" +
                    kStore,
                64, kShared);
  expectAll(got, [](U) { return 5; });
}

TEST(Barrier, Faults) {
  EXPECT_FAULT(faultOf("setp.lt.u32 %p1, %lane, 16; @%p1 bra A; bar.sync 0; "
                       "bra B; A: bar.sync 0; B: mov.u32 %r0, 0;"),
               "wait for each other");
  EXPECT_FAULT(faultOf("setp.lt.u32 %p1, %lane, 16; @%p1 bar.sync 0;"),
               "not all lanes of the warp");
  EXPECT_FAULT(
      faultOf("setp.lt.u32 %p1, %i, 32; @%p1 bar.sync 0; bar.sync 1;", 64),
      "deadlock");
  EXPECT_FAULT(faultOf("bar.sync 0, 64;", 32), "multiple of 32, at most 32");
  EXPECT_FAULT(
      faultOf(
          "setp.lt.u32 %p1, %i, 32; @%p1 bar.sync 0, 64; @!%p1 bar.sync 0, 96;",
          96),
      "threads at once");
  EXPECT_FAULT(faultOf("bar.sync 0, 40;", 64), "multiple of 32");
  EXPECT_FAULT(faultOf("mov.u32 %r0, 16; bar.sync %r0;"), "0 to 15");
}

TEST(Barrier, ClusterSharedMemory) {
  Device device(kernelOf(R"(
mov.u32 %r1, %cluster_ctarank; mov.u32 %r2, %cluster_nctarank;
mov.u32 %r3, buffer; mad.lo.u32 %r4, %lane, 4, %r3; mad.lo.u32 %r5, %r1, 100, %lane; st.shared.u32 [%r4], %r5;
barrier.cluster.arrive.aligned; barrier.cluster.wait.aligned;
add.u32 %r6, %r1, 1; rem.u32 %r6, %r6, %r2; mapa.shared::cluster.u32 %r7, %r4, %r6; ld.shared::cluster.u32 %r0, [%r7];
cvt.u64.u32 %d0, %r4; cvta.shared.u64 %d0, %d0; mapa.u64 %d1, %d0, %r6; ld.u32 %r8, [%d1]; setp.ne.u32 %p1, %r8, %r0; @%p1 trap;
getctarank.shared::cluster.u32 %r9, %r7; setp.ne.u32 %p1, %r9, %r6; @%p1 trap;
cvt.u64.u32 %d2, %r4; mapa.shared::cluster.u64 %d2, %d2, %r6; ld.shared::cluster.u32 %r8, [%d2]; setp.ne.u32 %p1, %r8, %r0; @%p1 trap;
barrier.cluster.arrive.release; barrier.cluster.wait.acquire;
)" + kStore,
                         "", kShared));
  auto *out = device.upload(std::vector<U>(256));
  Module::LaunchConfig config;
  config.grid.x = 8, config.block.x = 32, config.cluster.x = 4;
  ASSERT_EQ(device.run(config, {uint64_t(out)}), "");
  expectAll(std::vector<U>(out, out + 256),
            [](U i) { return (i / 32 % 4 + 1) % 4 * 100 + i % 32; });
  config.cluster.x = 1, config.grid.x = 1;
  EXPECT_FAULT(
      Device(
          kernelOf("mov.u32 %r1, buffer; mapa.shared::cluster.u32 %r0, %r1, 1;",
                   "", kShared))
          .run(config, {0}),
      "cluster of 1");
}

/// CTAs whose threads have exited are not waited for.
TEST(Barrier, ClusterAfterExits) {
  Device device(kernelOf(
      "mov.u32 %r1, %cluster_ctarank; setp.eq.u32 %p1, %r1, 1; @%p1 exit; "
      "barrier.cluster.arrive; barrier.cluster.wait; mov.u32 %r0, 5;" +
      kStore));
  auto *out = device.upload(std::vector<U>(64));
  Module::LaunchConfig config;
  config.grid.x = 2, config.block.x = 32, config.cluster.x = 2;
  EXPECT_EQ(device.run(config, {uint64_t(out)}), "");
  EXPECT_EQ(out[0], 5u);
}

TEST(Special, Registers) {
  Device device(kernelOf(
      "mov.u32 %r0, %tid.y; mov.u32 %r1, %ntid.x; mov.u32 %r2, %tid.x; "
      "mad.lo.u32 %r0, %r0, %r1, %r2; mov.u32 %r3, %ntid.y; mul.lo.u32 %r4, "
      "%r3, %r1; mov.u32 %r5, %tid.z; mad.lo.u32 %r0, %r5, %r4, %r0;"
      "mov.u64 %d0, %out; ld.param.u64 %d0, [out]; mad.wide.u32 %d0, %r0, 4, "
      "%d0; mov.u32 %r6, %lanemask_lt; mov.u32 %r7, %lanemask_ge; not.b32 %r7, "
      "%r7; setp.ne.u32 %p1, %r6, %r7; @%p1 trap; mov.u32 %r8, %warpid; "
      "st.global.u32 [%d0], %r8;"
      "mov.u64 %d1, %clock64; mov.u64 %d2, %clock64; setp.ge.u64 %p1, %d1, "
      "%d2; @%p1 trap;"));
  auto *out = device.upload(std::vector<U>(96));
  Module::LaunchConfig config;
  config.block = {4, 8, 3};
  ASSERT_EQ(device.run(config, {uint64_t(out)}), "");
  expectAll(std::vector<U>(out, out + 96), [](U i) { return i / 32; });
}

//===--- Calls ------------------------------------------------------------===//

const std::string kFunctions = R"(
.func (.param .u32 r) twice(.param .u32 x) { .reg .u32 %r<3>; ld.param.u32 %r0, [x]; add.u32 %r1, %r0, %r0; st.param.u32 [r], %r1; ret; }
.func (.param .u32 r) square(.param .u32 x) { .reg .u32 %r<3>; ld.param.u32 %r0, [x]; mul.lo.u32 %r1, %r0, %r0; st.param.u32 [r], %r1; ret; }
.func (.reg .u32 %r) sum(.reg .u32 %a, .reg .u32 %b) { add.u32 %r, %a, %b; ret; }
.func (.param .u32 r) fib(.param .u32 n);
.func (.param .u32 r) fib(.param .u32 n) {
  .reg .u32 %r<8>; .reg .pred %p; .local .align 4 .b8 mine[16];
  ld.param.u32 %r0, [n]; mov.u32 %r1, %r0; st.local.u32 [mine+4], %r0; setp.lt.u32 %p, %r0, 2; @%p bra END;
  { .param .u32 a; .param .u32 b; sub.u32 %r2, %r0, 1; st.param.u32 [a], %r2; call (b), fib, (a); ld.param.u32 %r3, [b]; }
  ld.local.u32 %r4, [mine+4]; setp.ne.u32 %p, %r4, %r0; @%p trap;
  { .param .u32 a; .param .u32 b; sub.u32 %r2, %r0, 2; st.param.u32 [a], %r2; call (b), fib, (a); ld.param.u32 %r1, [b]; }
  add.u32 %r1, %r1, %r3;
END: st.param.u32 [r], %r1; ret; }
.global .u64 table[2] = {twice, square};
)";
std::string callOf(const std::string &name) {
  return "{ .param .u32 a; .param .u32 b; st.param.u32 [a], %r1; call.uni "
         "(b), " +
         name + ", (a); ld.param.u32 %r0, [b]; }";
}

TEST(Call, Direct) {
  expectAll(resultsOf("add.u32 %r1, %i, 3;" + callOf("square") + kStore, 64, "",
                      kFunctions),
            [](U i) { return (i + 3) * (i + 3); });
  expectAll(resultsOf("call (%r0), sum, (%i, 5);" + kStore, 64, "", kFunctions),
            [](U i) { return i + 5; });
}

TEST(Call, Divergent) {
  auto got = resultsOf(
      "mov.u32 %r1, %i; setp.lt.u32 %p1, %lane, 9; @%p1 bra A;" +
          callOf("square") + "bra B; A:" + callOf("twice") +
          "B: activemask.b32 %r2; setp.ne.u32 %p1, %r2, -1; @%p1 trap;" +
          kStore,
      64, "", kFunctions);
  expectAll(got, [](U i) { return i % 32 < 9 ? 2 * i : i * i; });
}

TEST(Call, Recursive) {
  const U fib[] = {0, 1, 1, 2, 3, 5, 8, 13, 21, 34, 55};
  expectAll(resultsOf("rem.u32 %r1, %i, 11;" + callOf("fib") + kStore, 44, "",
                      kFunctions),
            [&](U i) { return fib[i % 11]; });
  EXPECT_FAULT(
      faultOf("mov.u32 %r1, 100000;" + callOf("fib"), 1, "", kFunctions),
      "nest too deep");
}

TEST(Call, ByAddress) {
  std::string proto = "P: .callprototype (.param .u32 _) _ (.param .u32 _);\n";
  auto got = resultsOf(
      proto +
          "mov.u32 %r1, %i; and.b32 %r2, %i, 1; mul.wide.u32 %d0, %r2, 8; "
          "mov.u64 %d1, table; add.u64 %d1, %d1, %d0; ld.global.u64 %d2, [%d1];"
          "{ .param .u32 a; .param .u32 b; st.param.u32 [a], %r1; call (b), "
          "%d2, (a), P; ld.param.u32 %r0, [b]; }" +
          kStore,
      64, "", kFunctions);
  expectAll(got, [](U i) { return i & 1 ? i * i : 2 * i; });
  EXPECT_FAULT(faultOf(proto +
                           "mov.u64 %d2, 64; { .param .u32 a; .param .u32 b; "
                           "st.param.u32 [a], 1; call (b), %d2, (a), P; }",
                       32, "", kFunctions),
               "no function's");
  EXPECT_FAULT(
      faultOf(proto + "mov.u64 %d2, table; mov.u64 %d2, sum; { .param .u64 a; "
                      "st.param.u64 [a], 1; call %d2, (a), P; }",
              32, "", kFunctions),
      "other parameters");
}

TEST(Call, WithoutBody) {
  std::string assertion =
      ".extern .func __assertfail(.param .b64 a, .param .b64 b, .param .b32 c, "
      ".param .b64 d, .param .b64 e);\n"
      ".global .b8 text[8] = {105, 62, 48, 0}; .global .b8 file[8] = {97, 46, "
      "99, 117, 0};";
  std::string call =
      "{ .param .b64 a; .param .b64 b; .param .b32 c; .param .b64 d; .param "
      ".b64 e; mov.u64 %d0, text; mov.u64 %d1, file; cvta.global.u64 %d0, %d0; "
      "st.param.b64 [a], %d0; st.param.b64 [b], %d1; st.param.b32 [c], 12; "
      "st.param.b64 [d], %d1; st.param.b64 [e], 1; call.uni __assertfail, (a, "
      "b, c, d, e); }";
  EXPECT_FAULT(faultOf("setp.eq.u32 %p1, %i, 5; @!%p1 bra OK;" + call +
                           "OK: mov.u32 %r0, 0;",
                       32, "", assertion),
               "thread (5, 0, 0), PTX line");
  EXPECT_FAULT(faultOf(call, 32, "", assertion),
               "assertion failed: i>0 (a.cu:12)");
}

} // namespace
