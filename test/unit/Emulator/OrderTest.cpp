// What asynchronous instructions of tensor cores must be ordered by: wgmma's
// fence, groups and waits; the waits of tcgen05.ld and .st.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "MatrixHarness.h"

#include <set>

using namespace nibble;
using namespace nibble::emu;

namespace {

const std::string kFence = "wgmma.fence.sync.aligned;\n";
const std::string kCommit = "wgmma.commit_group.sync.aligned;\n";
const std::string kWait = "wgmma.wait_group.sync.aligned 0;\n";

/// D of m64n8k16 in registers %o<first> to %o<first + 3>, A and B all ones.
std::string product(unsigned first = 0, const char *scale = "1") {
  return "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 " +
         registerNames("o", first, 4) + ", %x, %y, " + scale +
         ", 1, 1, 0, 0;\n";
}
/// The same with A in %i0 to %i3.
const std::string kWithFragments =
    "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%o0, %o1, %o2, %o3}, "
    "{%i0, %i1, %i2, %i3}, %y, 1, 1, 1, 0;\n";
const std::string kWider =
    "wgmma.mma_async.sync.aligned.m64n16k16.f32.f16.f16 {%o0, %o1, %o2, %o3, "
    "%o4, %o5, %o6, %o7}, %x, %y, 1, 1, 1, 0, 0;\n";

struct Ordered {
  MatrixKernel kernel;

  explicit Ordered(const std::string &body) {
    kernel.threads = 128;
    kernel.inputs = 4;
    kernel.outputs = 8;
    kernel.in.assign(4 * 128, 0x3C003C00);
    // 2048 bytes of A, 512 of B; halves of 1.0.
    kernel.image.resize(8192);
    for (size_t i = 0; i < kernel.image.size(); i += 2)
      kernel.image[i] = 0, kernel.image[i + 1] = 0x3C;
    kernel.x = 8ull << 16 | 16ull << 32;
    kernel.y = kernel.x | 4096 >> 4;
    kernel.body = zero() + body;
  }
  static std::string zero() {
    std::string text;
    for (unsigned r = 0; r < 8; ++r)
      text += "mov.b32 %o" + std::to_string(r) + ", 0;\n";
    return text;
  }
  std::string run() { return kernel.run(); }
  float result(unsigned r) const {
    return bitCast<float>(kernel.output(r, 37));
  }
};

#define EXPECT_ORDER(body, part)                                               \
  do {                                                                         \
    std::string fault = Ordered(body).run();                                   \
    EXPECT_NE(fault.find(part), std::string::npos) << fault;                   \
  } while (0)

TEST(WgmmaOrder, RunsWithAllThatIsNeeded) {
  Ordered once(kFence + product() + kCommit + kWait);
  ASSERT_EQ(once.run(), "");
  EXPECT_EQ(once.result(0), 16);
  Ordered twice(kFence + product() + product() + kCommit + kWait);
  ASSERT_EQ(twice.run(), "");
  EXPECT_EQ(twice.result(3), 32);
}

/// Without checks, a register that is read too early has the old or the new
/// value, as the seed wills.
TEST(WgmmaOrder, RunsAtATimeThatTheSeedChooses) {
  std::set<float> seen;
  for (uint64_t seed = 1; seed <= 40; ++seed) {
    Ordered early(kFence + product() + kCommit +
                  "mov.b32 %r0, 0;\nL:\nadd.u32 %r0, %r0, 1;\n"
                  "setp.lt.u32 %p0, %r0, 400;\n@%p0 bra L;\n"
                  "mov.b32 %o7, %o0;\n" +
                  kWait);
    early.kernel.seed = seed;
    early.kernel.checks.disable("all");
    ASSERT_EQ(early.run(), "");
    EXPECT_EQ(early.result(0), 16);
    seen.insert(early.result(7));
  }
  EXPECT_EQ(seen, (std::set<float>{0, 16}));
}

TEST(WgmmaOrder, NeedsAFenceBeforeAndAfterUse) {
  EXPECT_ORDER(product() + kCommit + kWait, "before any wgmma.fence");
  EXPECT_ORDER(kFence + "mov.b32 %o2, 0;\n" + product() + kCommit + kWait,
               "register %o2, which another instruction has used since");
  EXPECT_ORDER(kFence + "add.u32 %i1, %i1, 0;\n" + kWithFragments + kCommit +
                   kWait,
               "register %i1, which another instruction has used since");
  EXPECT_EQ(
      Ordered(kFence + "mov.b32 %o4, 0;\n" + product() + kCommit + kWait).run(),
      "")
      << "another register";
}

TEST(WgmmaOrder, AccumulatorsOfOneShapeFollowEachOther) {
  EXPECT_ORDER(kFence + product() + kWider + kCommit + kWait,
               "uses register %o0, which the wgmma.mma_async of PTX line");
  EXPECT_EQ(
      Ordered(kFence + product() + kFence + kWider + kCommit + kWait).run(),
      "");
}

TEST(WgmmaOrder, RegistersWaitForTheGroup) {
  std::string issued = kFence + product() + kCommit;
  EXPECT_ORDER(issued + "mov.b32 %r0, %o1;\n" + kWait,
               "uses register %o1, which the wgmma.mma_async of PTX line");
  EXPECT_ORDER(issued + "mov.b32 %o1, 0;\n" + kWait,
               "before a wgmma.wait_group");
  EXPECT_ORDER(kFence + kWithFragments + kCommit + "mov.b32 %i2, 0;\n" + kWait,
               "register %i2");
  EXPECT_ORDER(kFence + product() + kWait + "mov.b32 %r0, %o1;\n",
               "no wgmma.commit_group has followed");
  EXPECT_ORDER(issued, "before a wgmma.wait_group");
}

TEST(WgmmaOrder, WaitsLeaveTheNewestGroups) {
  std::string two = kFence + product(0) + kCommit + product(4) + kCommit +
                    "wgmma.wait_group.sync.aligned 1;\n";
  EXPECT_EQ(Ordered(two + "mov.b32 %r0, %o1;\n" + kWait).run(), "");
  EXPECT_ORDER(two + "mov.b32 %r0, %o5;\n" + kWait, "register %o5");
}

TEST(WgmmaOrder, EndsAfterItsOperations) {
  Ordered leaves(kFence + product() + kCommit + "exit;\n");
  std::string fault = leaves.run();
  EXPECT_NE(fault.find("ends before its wgmma.mma_async"), std::string::npos)
      << fault;
}

TEST(WgmmaOrder, HoldsItsMatrices) {
  std::string store = "mov.b32 %r0, 0;\nst.shared.b32 [%s+4096], %r0;\n";
  EXPECT_ORDER(kFence + product() + kCommit + store + kWait,
               "which an asynchronous operation still reads");
  EXPECT_ORDER(kFence + product() + kCommit +
                   "cp.async.ca.shared.global [%s+4096], [%rd0], 4;\n"
                   "cp.async.wait_all;\n" +
                   kWait,
               "overwrites shared memory that another operation still reads");
  EXPECT_EQ(
      Ordered(kFence + product() + kCommit + kWait + "bar.sync 0;\n" + store)
          .run(),
      "");
  EXPECT_ORDER(store + "bar.sync 0;\n" + kFence + product() + kCommit + kWait,
               "without a fence.proxy.async");
  EXPECT_EQ(Ordered(store + "fence.proxy.async;\nbar.sync 0;\n" + kFence +
                    product() + kCommit + kWait)
                .run(),
            "");
}

/// What one warp writes after its wait, another one that has not waited may
/// still read.
TEST(WgmmaOrder, OtherWarpgroupsAreOrderedByBarriers) {
  EXPECT_ORDER(kFence + product() + kCommit + kWait +
                   "mov.b32 %r0, 1;\nshr.u32 %r1, %tid_, 5;\n"
                   "st.shared.b32 [%s+4096], %r1;\n",
               "a race: writes");
}

TEST(WgmmaOrder, AllWarpsOfTheGroupIssue) {
  EXPECT_ORDER(kFence + "setp.lt.u32 %p0, %tid_, 96;\n@%p0 bra A;\n" + kWait +
                   "bra B;\nA:\n" + product() + kCommit + kWait + "B:\n",
               "all four warps of the warpgroup");
  EXPECT_ORDER(kFence + "setp.lt.u32 %p0, %tid_, 96;\n@%p0 bra A;\n" +
                   product() + "bra B;\nA:\n" + product() + "B:\n" + kCommit +
                   kWait,
               "issue different wgmma.mma_async");
  EXPECT_ORDER("setp.lt.u32 %p0, %tid_, 96;\n@!%p0 add.s64 %y, %y, 8;\n" +
                   kFence + product() + kCommit + kWait,
               "different descriptors");
}

TEST(WgmmaOrder, ReadsAccumulatorsOnlyWhereScaled) {
  // %z begins without a value.
  std::string undefined =
      ".reg .f32 %z<4>;\n" + kFence +
      "wgmma.mma_async.sync.aligned.m64n8k16.f32.f16.f16 {%z0, %z1, %z2, %z3}, "
      "%x, %y, SCALE, 1, 1, 0, 0;\n" +
      kCommit + kWait + "mov.b32 %o0, %z0;\n";
  auto with = [&](const char *scale) {
    std::string text = undefined;
    return text.replace(text.find("SCALE"), 5, scale);
  };
  EXPECT_EQ(Ordered(with("0")).run(), "");
  EXPECT_ORDER(with("1"), "uses register %z0, which has no value");
  EXPECT_EQ(Ordered("setp.gt.u32 %p1, %tid_, 999;\n" + with("%p1")).run(), "");
}

TEST(WgmmaOrder, IsSwitchedOff) {
  Ordered careless(product() + kCommit + kWait);
  careless.kernel.checks.waits = false;
  EXPECT_EQ(careless.run(), "");
}

/// FP8 sums of an H100 keep 13 bits.
TEST(WgmmaOrder, HopperSumsAreAnOption) {
  Ordered wide(kFence + product() + kCommit + kWait);
  wide.kernel.body = "mov.b32 %o0, 0x47000001;\nmov.b32 %o1, 0;\n"
                     "mov.b32 %o2, 0;\nmov.b32 %o3, 0;\n" +
                     kFence +
                     "wgmma.mma_async.sync.aligned.m64n8k32.f32.e4m3.e4m3 "
                     "{%o0, %o1, %o2, %o3}, %x, %y, 1, 1, 1;\n" +
                     kCommit + kWait;
  std::fill(wide.kernel.image.begin(), wide.kernel.image.end(), 0x38); // 1.0
  ASSERT_EQ(wide.run(), "");
  EXPECT_EQ(wide.kernel.output(0, 0), 0x47002001u); // 2^15 + 2^-8 + 32
  wide.kernel.hopperSums = true;
  std::fill(wide.kernel.image.begin(), wide.kernel.image.end(), 0x38);
  ASSERT_EQ(wide.run(), "");
  EXPECT_EQ(wide.kernel.output(0, 0), 0x47000000u); // all below 2^(15 - 13)
}

//===----------------------------------------------------------------------===//
// tcgen05
//===----------------------------------------------------------------------===//

const std::string kStore =
    "tcgen05.st.sync.aligned.32x32b.x1.b32 [%a], {%i0};\n";
const std::string kLoad =
    "tcgen05.ld.sync.aligned.32x32b.x1.b32 {%o0}, [%a];\n";
const std::string kWaitStore = "tcgen05.wait::st.sync.aligned;\n";
const std::string kWaitLoad = "tcgen05.wait::ld.sync.aligned;\n";

std::string runTensor(const std::string &body, bool waits = true) {
  MatrixKernel kernel;
  kernel.target = "sm_110a";
  kernel.inputs = 1;
  kernel.outputs = 2;
  kernel.in.assign(32, 7);
  kernel.image.resize(16);
  kernel.checks.tensorWaits = waits;
  kernel.body =
      "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%s], 32;\n"
      "ld.shared.b32 %a, [%s];\n" +
      body + "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %a, 32;\n";
  std::string fault = kernel.run();
  if (fault.empty()) {
    EXPECT_EQ(kernel.output(0, 5), 7u);
  }
  return fault;
}

TEST(TensorWaits, LoadsAndStores) {
  EXPECT_EQ(runTensor(kStore + kWaitStore + kLoad + kWaitLoad), "");
  auto expect = [](const std::string &body, const char *part) {
    std::string fault = runTensor(body);
    EXPECT_NE(fault.find(part), std::string::npos) << fault;
  };
  expect(kStore + kLoad + kWaitLoad, "before its tcgen05.wait::st");
  expect(kStore + kWaitStore + kLoad + "add.u32 %o0, %o0, 0;\n" + kWaitLoad,
         "uses register %o0, which the tcgen05.ld of PTX line");
  expect(kStore + kWaitStore + kLoad, "before a tcgen05.wait::ld");
  expect(kStore + kWaitStore + kLoad + kStore + kWaitLoad + kWaitStore,
         "before its tcgen05.wait::ld");
  EXPECT_EQ(runTensor(kStore + kLoad, false), "");
}

/// CUTLASS does without, so these waits are checked on demand.
TEST(TensorWaits, RegistersOfLoadsOnDemand) {
  Checks checks;
  EXPECT_FALSE(checks.tensorWaits);
  EXPECT_EQ(checks.enable("tensor-waits"), "");
  EXPECT_TRUE(checks.tensorWaits);
}

/// Warps 0 and 4 reach the same lanes.
std::string shareTensor(const std::string &between, const std::string &last) {
  MatrixKernel kernel;
  kernel.target = "sm_110a";
  kernel.threads = 160;
  kernel.inputs = kernel.outputs = 1;
  kernel.in.assign(160, 7);
  kernel.image.resize(16);
  kernel.body =
      "setp.ge.u32 %p1, %tid_, 32;\nsetp.lt.u32 %p2, %tid_, 128;\n"
      "@%p1 bra A;\n"
      "tcgen05.alloc.cta_group::1.sync.aligned.shared::cta.b32 [%s], 32;\n"
      "A:\nbar.sync 0;\nld.shared.b32 %a, [%s];\n@%p1 bra B;\n" +
      kStore + kWaitStore + "B:\n" + between + "@%p2 bra C;\n" + last +
      "C:\nbar.sync 0;\n@%p1 bra D;\n"
      "tcgen05.dealloc.cta_group::1.sync.aligned.b32 %a, 32;\nD:\n";
  return kernel.run();
}

TEST(TensorWaits, WarpsAreOrderedByBarriers) {
  EXPECT_EQ(shareTensor("bar.sync 0;\n", kLoad + kWaitLoad), "");
  EXPECT_EQ(shareTensor("bar.sync 0;\n", kStore + kWaitStore), "");
  for (const std::string &last : {kLoad + kWaitLoad, kStore + kWaitStore}) {
    std::string fault = shareTensor("", last);
    EXPECT_TRUE(fault.find("a race: uses column 0") != std::string::npos ||
                fault.find("nobody has written") != std::string::npos)
        << fault;
  }
}

/// Compilers move registers before the wait; what comes of that waits, too.
TEST(TensorWaits, MovesNameLoadedRegistersAnew) {
  std::string moved = kStore + kWaitStore + kLoad + "mov.b64 %g, {%o0, %o0};\n";
  EXPECT_EQ(runTensor(moved + kWaitLoad + "add.s64 %g, %g, 1;\n"), "");
  std::string fault = runTensor(moved + "add.s64 %g, %g, 1;\n" + kWaitLoad);
  EXPECT_NE(fault.find("uses register %g"), std::string::npos) << fault;
}

} // namespace
