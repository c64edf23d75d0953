// Races on shared memory, and what orders accesses.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

using namespace nibble;
using namespace nibble::emu;

namespace {

const std::string kShared = ".shared .align 128 .b32 s[64]; .shared .align 8 "
                            ".b64 m; .shared .b32 flag;";
/// All has been written, %p1: warp 0, %p2: thread 0, %r9: number of the warp.
const std::string kReady =
    "mov.u32 %r0, 0; st.shared.u32 [flag], 0; shl.b32 %r1, %i, 2; "
    "setp.lt.u32 %p3, %i, 64; mov.u32 %r2, s; add.u32 %r2, %r2, %r1; "
    "@%p3 st.shared.u32 [%r2], 0; setp.lt.u32 %p1, %i, 32; "
    "setp.eq.u32 %p2, %i, 0; shr.u32 %r9, %i, 5; "
    "@%p2 mbarrier.init.shared.b64 [m], 32; bar.sync 0;\n";

std::string raceOf(const std::string &body, uint64_t seed = 1,
                   const char *without = "") {
  Device device(kernelOf(kReady + body, "", kShared));
  uint32_t *out = device.upload(std::vector<uint32_t>(64, 7));
  Module::LaunchConfig config;
  config.block.x = 64;
  config.seed = seed;
  if (*without)
    config.checks.disable(without);
  return device.run(config, {uint64_t(out), uint64_t(out)});
}

/// Warp 0 does `first`, warp 1 does `second`.
std::string split(const std::string &first, const std::string &second) {
  return "@!%p1 bra B;\n" + first + "\nbra END; B:\n" + second + "\nEND:\n";
}
const std::string kWrite = "st.shared.u32 [s+4], %r9;";
const std::string kWriteOne = "mov.u32 %r7, 1; st.shared.u32 [s+4], %r7;";
const std::string kRead = "ld.shared.u32 %r8, [s+4];";

/// In every order of the warps.
void expectRace(const std::string &body, const char *what = "a race: ") {
  for (uint64_t seed = 1; seed <= 8; ++seed)
    EXPECT_FAULT(raceOf(body, seed), what);
}
void expectNone(const std::string &body) {
  for (uint64_t seed = 1; seed <= 8; ++seed)
    EXPECT_EQ(raceOf(body, seed), "") << body;
}

TEST(Race, WritesAndReads) {
  expectRace(split(kWriteOne, kRead));
  expectRace(kWrite);
  expectNone(kRead);
  expectNone(split(kWriteOne + "bar.sync 0;", "bar.sync 0;" + kRead));
  expectNone(split(kRead + "bar.sync 0;", "bar.sync 0;" + kWriteOne));
  expectRace(split(kRead + "bar.sync 0;", kWriteOne + "bar.sync 0;"));
  expectRace(split(kWriteOne + "bar.warp.sync -1;", kRead));
}

TEST(Race, NamesBothAccesses) {
  std::string text = raceOf(split(kWriteOne, kRead));
  EXPECT_TRUE(has(text, "thread 0, PTX line") ||
              has(text, "thread 32, PTX line"))
      << text;
  EXPECT_FAULT(text, "shared address 0x4, which CTA (0, 0, 0)");
  EXPECT_FAULT(text, "nothing orders the two");
}

TEST(Race, BytesSideBySideAreApart) {
  expectNone("mov.u32 %r2, s; add.u32 %r2, %r2, %r9; mov.u16 %h0, 1; "
             "st.shared.u8 [%r2], %h0;");
  expectNone("mov.u32 %r7, 3;" + std::string("st.shared.u32 [s+4], %r7;")
             /* the same value */);
}

TEST(Race, Atomics) {
  std::string add = "red.shared.add.u32 [s+4], 1;";
  expectNone(add);
  expectRace(split(add, kRead));
  expectRace(split(add, kWriteOne));
  expectNone(split(add, "ld.volatile.shared.u32 %r8, [s+4];"));
  expectNone(add + "bar.sync 0;" + kRead);
}

TEST(Race, NamedBarriers) {
  expectNone(split(kWriteOne + "bar.arrive 3, 64;", "bar.sync 3, 64;" + kRead));
  expectRace(split("bar.arrive 3, 64;" + kWriteOne, "bar.sync 3, 64;" + kRead));
}

std::string flag(const char *store, const char *load, bool fences = false) {
  std::string fence = fences ? "fence.acq_rel.cta;" : "";
  return split(kWriteOne + fence + "mov.u32 %r6, 1; " + store + " [flag], %r6;",
               std::string("L: ") + load +
                   " %r5, [flag]; setp.eq.u32 %p4, %r5, 0; @%p4 bra L;" +
                   fence + kRead);
}

TEST(Race, ReleaseAndAcquire) {
  expectNone(flag("st.release.cta.shared.u32", "ld.acquire.cta.shared.u32"));
  expectNone(
      flag("st.relaxed.cta.shared.u32", "ld.relaxed.cta.shared.u32", true));
  expectRace(flag("st.relaxed.cta.shared.u32", "ld.acquire.cta.shared.u32"));
  expectRace(flag("st.release.cta.shared.u32", "ld.relaxed.cta.shared.u32"));
}

std::string phase(const char *arrive, const char *wait) {
  return split(kWriteOne + arrive + " _, [m];",
               std::string("L: ") + wait + " %p4, [m], 0; @!%p4 bra L;" +
                   kRead);
}

TEST(Race, MBarriers) {
  expectNone(phase("mbarrier.arrive.shared.b64",
                   "mbarrier.try_wait.parity.shared.b64"));
  expectRace(phase("mbarrier.arrive.relaxed.cta.shared.b64",
                   "mbarrier.try_wait.parity.shared.b64"));
  expectRace(phase("mbarrier.arrive.shared.b64",
                   "mbarrier.test_wait.parity.relaxed.cta.shared.b64"));
  expectRace(split(kWriteOne + "mbarrier.arrive.shared.b64 _, [m];", kRead));
  // Initialized without a barrier behind it.
  expectRace("bar.sync 0; @%p2 mbarrier.inval.shared.b64 [m]; @!%p1 "
             "mbarrier.arrive.shared.b64 _, [m];",
             "PTX line");
}

/// Bulk copies write when they are issued, as far as others are concerned, and
/// are there after the wait.
TEST(Race, AsynchronousCopies) {
  std::string copy =
      "@%p2 mbarrier.arrive.expect_tx.shared.b64 _, [m], 16; "
      "@%p2 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[s], [%in], 16, [m]; @!%p2 mbarrier.arrive.shared.b64 _, [m];";
  std::string wait =
      "L: mbarrier.try_wait.parity.shared.b64 %p4, [m], 0; @!%p4 bra L;";
  expectNone(split(copy, wait + kRead));
  for (uint64_t seed = 1; seed <= 8; ++seed) { // whether it is done or not
    std::string fault = raceOf(split(copy, kRead), seed);
    EXPECT_TRUE(has(fault, "a race: ") || has(fault, "has not been waited for"))
        << fault;
  }
  expectRace(split(copy, kRead + "bar.sync 1, 32;" + wait), "PTX line");
}

/// Whether a copy is done or not when it should be waited for.
TEST(Race, CopiesInGroups) {
  std::string copy = "@%p2 cp.async.ca.shared.global [s+4], [%in], 4;"
                     "cp.async.commit_group;";
  std::string delay = "mov.u32 %r5, 0; D: add.u32 %r5, %r5, 1; setp.lt.u32 "
                      "%p4, %r5, 2000; @%p4 bra D;";
  auto expectEither = [](const std::string &body) {
    for (uint64_t seed = 1; seed <= 8; ++seed) {
      std::string text = raceOf(body, seed);
      EXPECT_TRUE(has(text, "a race: ") ||
                  has(text, "has not been waited for") ||
                  has(text, "asynchronous operation still reads"))
          << text;
    }
  };
  expectNone("@!%p1 bra END;" + copy + delay + "cp.async.wait_group 0;" +
             kRead + "END:");
  expectEither("@!%p1 bra END;" + copy + delay + kRead + "END:");
  expectEither("@!%p1 bra END; @%p2 cp.async.ca.shared.global [s+8], [%in], "
               "4; cp.async.commit_group;" +
               copy + "cp.async.wait_group 1;" + delay + kRead + "END:");
  std::string store =
      "fence.proxy.async; @%p2 cp.async.bulk.global.shared::cta.bulk_group "
      "[%out], [s], 16; @%p2 cp.async.bulk.commit_group;" +
      delay;
  std::string wait = "@%p2 cp.async.bulk.wait_group.read 0;";
  std::string all = "@%p2 cp.async.bulk.wait_group 0; END:";
  expectNone("@!%p1 bra END;" + store + wait + kWriteOne + all);
  expectEither("@!%p1 bra END;" + store + kWriteOne + all);
}

TEST(Race, AreSwitchedOff) {
  EXPECT_EQ(raceOf(kWrite, 1, "races"), "");
  EXPECT_FAULT(raceOf(kWrite, 1, "registers"), "a race: ");
}

//===----------------------------------------------------------------------===//
// Clusters
//===----------------------------------------------------------------------===//

/// CTA 0 reads what CTA 1 writes into its memory.
std::string remote(const std::string &arrive, uint64_t seed) {
  Device device(kernelOf(
      "st.shared.u32 [s], 0; barrier.cluster.arrive.aligned; "
      "barrier.cluster.wait.aligned; mov.u32 %r1, %cluster_ctarank; "
      "setp.eq.u32 %p1, %r1, 0; mov.u32 %r2, s; mapa.shared::cluster.u32 %r2, "
      "%r2, 0; @!%p1 st.shared::cluster.u32 [%r2], 5;" +
          arrive +
          "@%p1 ld.shared.u32 %r3, [s]; barrier.cluster.arrive.aligned;"
          "barrier.cluster.wait.aligned;",
      "", kShared));
  Module::LaunchConfig config;
  config.block.x = 32;
  config.grid.x = config.cluster.x = 2;
  config.seed = seed;
  return device.run(config, {0, 0});
}

/// mbarriers made before a relaxed barrier of the cluster are known behind it.
TEST(Race, MBarriersOfTheCluster) {
  auto run = [](const std::string &barrier, uint64_t seed) {
    Device device(kernelOf(
        "setp.eq.u32 %p2, %lane, 0; mov.u32 %r1, %cluster_ctarank; mov.u32 "
        "%r2, m; mapa.shared::cluster.u32 %r2, %r2, 0; setp.eq.u32 %p1, %r1, "
        "0; @%p2 mbarrier.init.shared.b64 [m], 33;" +
            barrier +
            "@!%p1 mbarrier.arrive.shared::cluster.b64 _, [%r2];"
            "barrier.cluster.arrive; barrier.cluster.wait;",
        "", kShared));
    Module::LaunchConfig config;
    config.block.x = 32;
    config.grid.x = config.cluster.x = 2;
    config.seed = seed;
    return device.run(config, {0, 0});
  };
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    EXPECT_EQ(
        run("barrier.cluster.arrive.relaxed; barrier.cluster.wait;", seed), "");
    EXPECT_NE(run("", seed), "");
  }
}

TEST(Race, AcrossACluster) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    EXPECT_FAULT(remote("", seed), "a race: ");
    EXPECT_FAULT(remote("barrier.cluster.arrive.relaxed.aligned;"
                        "barrier.cluster.wait.aligned;",
                        seed),
                 "a race: ");
    EXPECT_EQ(remote("barrier.cluster.arrive.release.aligned;"
                     "barrier.cluster.wait.acquire.aligned;",
                     seed),
              "");
  }
}

} // namespace
