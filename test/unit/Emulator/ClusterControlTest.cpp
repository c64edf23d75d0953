// clusterlaunchcontrol: every cluster of a grid is worked on exactly once.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

constexpr const char *kShared =
    ".shared .align 16 .b8 response[16];\n.shared .align 8 .b64 bar;\n";

/// One thread per CTA works on cluster after cluster: adds 1 to
/// out[y * 8 + x] of its CTA there. %r1, %r2: first CTA of the cluster.
std::string persistent(bool multicast) {
  std::string ask =
      multicast
          ? "mov.u32 %r9, %cluster_ctarank; setp.eq.u32 %p2, %r9, 0;\n"
            "@%p2 clusterlaunchcontrol.try_cancel.async.mbarrier::complete_tx::"
            "bytes.multicast::cluster::all.b128 [%d3], [%d4];\n"
          : "clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::"
            "complete_tx::bytes.b128 [response], [bar];\n";
  return R"(
mov.u32 %r10, response; mov.u32 %r11, bar;
cvt.u64.u32 %d3, %r10; cvta.shared.u64 %d3, %d3;
cvt.u64.u32 %d4, %r11; cvta.shared.u64 %d4, %d4;
ld.param.u64 %out, [out];
mov.u32 %r1, %ctaid.x; mov.u32 %r2, %ctaid.y;
mov.u32 %r3, %cluster_ctaid.x; sub.u32 %r1, %r1, %r3;
mbarrier.init.shared::cta.b64 [bar], 1;
fence.mbarrier_init.release.cluster;
barrier.cluster.arrive; barrier.cluster.wait;
mov.u32 %r4, 0;
LOOP:
mbarrier.arrive.expect_tx.relaxed.cluster.shared::cta.b64 %d5, [bar], 16;
)" + ask +
         R"(
add.u32 %r5, %r1, %r3; mad.lo.u32 %r5, %r2, 8, %r5;
mad.wide.u32 %d6, %r5, 4, %out; atom.global.add.u32 %r6, [%d6], 1;
WAIT:
mbarrier.try_wait.parity.shared::cta.b64 %p1, [bar], %r4;
@!%p1 bra WAIT;
xor.b32 %r4, %r4, 1;
ld.shared.b128 %q1, [response];
clusterlaunchcontrol.query_cancel.is_canceled.pred.b128 %p3, %q1;
@!%p3 bra DONE;
clusterlaunchcontrol.query_cancel.get_first_ctaid.v4.b32.b128 {%r1, %r7, _, _}, %q1;
clusterlaunchcontrol.query_cancel.get_first_ctaid::y.b32.b128 %r2, %q1;
setp.ne.u32 %p4, %r2, %r7; @%p4 trap;
fence.proxy.async;
barrier.cluster.arrive; barrier.cluster.wait;
bra LOOP;
DONE:
barrier.cluster.arrive; barrier.cluster.wait;
)";
}

std::vector<uint32_t> visits(bool multicast, uint64_t seed) {
  Device device(kernelOf(persistent(multicast), "", kShared), "sm_110a");
  uint32_t *out = device.upload(std::vector<uint32_t>(24, 0));
  Module::LaunchConfig config;
  config.grid = {8, 3, 1};
  config.cluster.x = multicast ? 2 : 1;
  config.seed = seed;
  EXPECT_EQ(device.run(config, {uint64_t(out), 0}), "");
  return std::vector<uint32_t>(out, out + 24);
}

/// The fault of one CTA of a grid of one, whose request has failed when `body`
/// runs; the response is in %q1.
std::string faultAfter(const std::string &body) {
  Device device(kernelOf(R"(
mbarrier.init.shared::cta.b64 [bar], 1;
mbarrier.arrive.expect_tx.shared::cta.b64 %d5, [bar], 16;
clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::complete_tx::bytes.b128 [response], [bar];
WAIT:
mbarrier.try_wait.shared::cta.b64 %p1, [bar], %d5;
@!%p1 bra WAIT;
ld.shared.b128 %q1, [response];
)" + body,
                         "", kShared),
                "sm_110a");
  uint32_t *out = device.upload(std::vector<uint32_t>(32, 0));
  return device.run(1, {uint64_t(out), 0});
}

TEST(ClusterControl, EachClusterIsVisitedOnce) {
  for (uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_EQ(visits(false, seed), std::vector<uint32_t>(24, 1)) << seed;
}

TEST(ClusterControl, TheResponseGoesToAllCtasOfTheCluster) {
  for (uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_EQ(visits(true, seed), std::vector<uint32_t>(24, 1)) << seed;
}

TEST(ClusterControl, AFailedRequestHasNoCta) {
  EXPECT_NE(faultAfter("clusterlaunchcontrol.query_cancel.get_first_ctaid::x."
                       "b32.b128 %r1, %q1;")
                .find("reads the CTA of a request that has failed"),
            std::string::npos);
}

TEST(ClusterControl, NobodyAsksAgainAfterAFailure) {
  std::string again =
      "clusterlaunchcontrol.query_cancel.is_canceled.pred.b128 %p2, %q1;\n"
      "mbarrier.arrive.expect_tx.shared::cta.b64 %d5, [bar], 16;\n"
      "clusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::complete_tx:"
      ":bytes.b128 [response], [bar];";
  EXPECT_NE(faultAfter(again).find("after it saw that there is none"),
            std::string::npos);
}

TEST(ClusterControl, OnlyResponsesAreQueried) {
  EXPECT_NE(faultAfter("mov.u64 %d1, 5;\nmov.b128 %q2, {%d1, "
                       "%d1};\nclusterlaunchcontrol.query_"
                       "cancel.is_canceled.pred.b128 %p2, %q2;")
                .find("is not the response"),
            std::string::npos);
}

TEST(ClusterControl, TheResponseIsNotReadBeforeItIsThere) {
  std::string fault = faultAfter(
      "mov.u32 %r1, 0; mbarrier.arrive.expect_tx.shared::cta.b64 %d5, [bar], "
      "16;\nclusterlaunchcontrol.try_cancel.async.shared::cta.mbarrier::"
      "complete_tx::bytes.b128 [response], [bar];\nld.shared.b128 %q1, "
      "[response];\nWAIT2:\nmbarrier.try_wait.shared::cta.b64 %p1, [bar], "
      "%d5;\n@!%p1 bra WAIT2;");
  EXPECT_NE(fault.find("not been waited for"), std::string::npos) << fault;
}

} // namespace
