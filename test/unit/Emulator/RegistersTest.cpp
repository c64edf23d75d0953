// Registers without a value: reported where it matters, and only there.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

using namespace nibble;
using namespace nibble::emu;

namespace {

const std::string kStore = "st.global.u32 [%out], %r0;";

TEST(Registers, WithoutValueWhereItMatters) {
  for (const char *body :
       {"st.global.u32 [%out], %r0;", "st.shared.u32 [s], %r0;",
        "ld.global.u32 %r1, [%d0];", "@%p0 mov.u32 %r1, 0;",
        "@%p0 bra END; END:", "red.global.add.u32 [%out], %r0;",
        "atom.global.add.u32 %r1, [%out], %r0;", "bar.sync %r0;",
        "vote.sync.ballot.b32 %r1, %p0, -1;",
        "redux.sync.add.u32 %r1, %r0, -1;", "nanosleep.u32 %r0;",
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%f0, %f1, %f2, "
        "%f3}, {%r0, %r0, %r0, %r0}, {%r0, %r0}, {%f0, %f1, %f2, %f3};"})
    EXPECT_FAULT(faultOf(body, 32, ".shared .b32 s;"), ", which has no value");
  EXPECT_FAULT(faultOf(kStore), "thread (0, 0, 0), PTX line 13: uses register "
                                "%r0, which has no value");
}

TEST(Registers, WithoutValueWhereItDoesNot) {
  for (const char *body :
       {"mov.u32 %r1, %r0;", "add.u32 %r1, %r0, 1;", "setp.eq.u32 %p0, %r0, 1;",
        "mov.b64 %d0, {%r0, %r1};", "cvt.u64.u32 %d0, %r0;",
        "st.local.u32 [l], %r0;", "ld.global.u32 %r0, [%out];" /* result */})
    EXPECT_EQ(faultOf(body, 32, ".local .b32 l;"), "") << body;
}

TEST(Registers, DataHandsItOn) {
  EXPECT_FAULT(faultOf("add.u32 %r1, %r2, 1; mov.b32 %r0, %r1;" + kStore),
               "uses register %r0");
  EXPECT_FAULT(faultOf("setp.eq.u32 %p1, %r2, 1; @%p1 mov.u32 %r1, 1;"),
               "uses register %p1");
  // Bits from several registers: some have a value.
  EXPECT_EQ(faultOf("mov.u32 %r1, 3; prmt.b32 %r0, %r1, %r2, 0x3210;" + kStore),
            "");
  EXPECT_FAULT(faultOf("and.b32 %r0, %r2, 255;" + kStore), "register %r0");
}

TEST(Registers, ASelectionIsWhatIsChosen) {
  std::string lanes = "mov.u32 %r1, 1; setp.lt.u32 %p1, %lane, 16;";
  EXPECT_EQ(faultOf(lanes +
                    "setp.lt.u32 %p2, %lane, 99;"
                    "selp.b32 %r0, %r1, %r2, %p2;" +
                    kStore),
            "");
  EXPECT_EQ(faultOf(lanes +
                    "setp.lt.u32 %p2, %lane, 99;"
                    "selp.b32 %r0, 5, %r2, %p2;" +
                    kStore),
            "");
  EXPECT_FAULT(faultOf(lanes + "selp.b32 %r0, %r1, %r2, %p1;" + kStore),
               "thread (16, 0, 0)");
  EXPECT_FAULT(faultOf(lanes + "selp.b32 %r0, %r1, %r1, %p3;" + kStore),
               "register %r0");
}

/// Where one way has a value and another has none, the lanes decide.
TEST(Registers, EachLaneHasItsOwn) {
  std::string some = "setp.lt.u32 %p1, %lane, 16; @%p1 mov.u32 %r0, 1;";
  EXPECT_FAULT(faultOf(some + kStore), "thread (16, 0, 0)");
  EXPECT_EQ(faultOf(some + "@%p1 st.global.u32 [%out], %r0;"), "");
  EXPECT_EQ(faultOf(some + "@!%p1 mov.u32 %r0, 2;" + kStore), "");
  EXPECT_FAULT(faultOf("setp.lt.u32 %p1, %lane, 16; @%p1 bra A; mov.u32 %r0, "
                       "1; A:" +
                       kStore),
               "thread (0, 0, 0)");
  EXPECT_EQ(faultOf("setp.lt.u32 %p1, %lane, 16; @%p1 bra A; mov.u32 %r0, 1; "
                    "bra B; A: mov.u32 %r0, 2; B:" +
                    kStore),
            "");
}

TEST(Registers, LoopsSetThemFirst) {
  std::string loop =
      "mov.u32 %r1, 0; L: setp.gt.u32 %p1, %r1, 0; "
      "@%p1 st.global.u32 [%out], %r0; mov.u32 %r0, %r1; "
      "add.u32 %r1, %r1, 1; setp.lt.u32 %p2, %r1, 5; @%p2 bra L;";
  EXPECT_EQ(faultOf(loop), "");
  EXPECT_FAULT(faultOf("mov.u32 %r1, 0; L: st.global.u32 [%out], %r0; mov.u32 "
                       "%r0, %r1; bra END; END:"),
               "register %r0");
}

/// What can be decided from the text costs nothing at run time.
TEST(Registers, AreDecidedWhenDecoded) {
  auto tracked = [](const std::string &body) {
    Device device(kernelOf(body));
    unsigned count = 0;
    for (const Inst &inst : device.module.find("k")->code.insts)
      count += (inst.flags & Inst::Tracked) != 0;
    return count;
  };
  EXPECT_EQ(tracked("mov.u32 %r0, 1; setp.eq.u32 %p1, %r0, 1; @%p1 bra A; "
                    "mov.u32 %r1, 1; bra B; A: mov.u32 %r1, 2; B: "
                    "st.global.u32 [%out], %r1;"),
            0u);
  EXPECT_EQ(tracked("setp.eq.u32 %p1, %lane, 1; @%p1 mov.u32 %r1, 2; "
                    "st.global.u32 [%out], %r1;"),
            2u);
}

/// Code that is too large to decide is watched as a whole, and means the same.
TEST(Registers, LargeCodeIsWatchedAsAWhole) {
  std::string body = "mov.u32 %r0, 1;", inside = ".reg .b32 %x<50000>;";
  for (unsigned i = 0; i < 50000; ++i) {
    std::string n = std::to_string(i);
    body += "L" + n + ": mov.u32 %x" + n + ", %r0;\n";
  }
  EXPECT_EQ(faultOf(body + kStore, 32, inside), "");
  EXPECT_FAULT(faultOf(body + "st.global.u32 [%out], %r1;", 32, inside),
               "register %r1, which has no value");
}

TEST(Registers, AFunctionHasItsParameters) {
  std::string function = ".func (.reg .b32 %res) twice(.reg .b32 %x) { add.u32 "
                         "%res, %x, %x; ret; }";
  EXPECT_EQ(faultOf("mov.u32 %r1, 4; call (%r0), twice, (%r1);" + kStore, 32,
                    "", function),
            "");
  EXPECT_FAULT(faultOf("mov.u32 %r1, 4; call (%r0), twice, (%r1);" + kStore, 32,
                       "",
                       ".func (.reg .b32 %res) twice(.reg .b32 %x) { .reg .b32 "
                       "%y; .reg .b64 %a; ld.global.u32 %res, [%a]; ret; }"),
               "register %a");
}

//===----------------------------------------------------------------------===//
// Switches
//===----------------------------------------------------------------------===//

std::string faultWithout(const std::string &body, const char *checks) {
  Device device(kernelOf(body));
  uint32_t *out = device.upload(std::vector<uint32_t>(32, 0));
  Module::LaunchConfig config;
  config.block.x = 32;
  EXPECT_EQ(config.checks.disable(checks), "");
  return device.run(config, {uint64_t(out), 0});
}

TEST(Checks, AreSwitchedOffByName) {
  EXPECT_EQ(faultWithout(kStore, "registers"), "");
  EXPECT_EQ(faultWithout(kStore, "races,registers"), "");
  EXPECT_EQ(faultWithout(kStore, "all"), "");
  EXPECT_FAULT(faultWithout(kStore, "races"), "has no value");
  Checks checks;
  EXPECT_FAULT(checks.disable("registers,nonsense"),
               "'nonsense' is no check; there are uninitialized, registers");
}

TEST(Checks, AreSwitchedOffByTheEnvironment) {
  setenv("NIBBLE_EMU_NO_CHECK", "registers", 1);
  EXPECT_EQ(faultOf(kStore), "");
  setenv("NIBBLE_EMU_NO_CHECK", "everything", 1);
  EXPECT_FAULT(faultOf(kStore), "NIBBLE_EMU_NO_CHECK: 'everything'");
  unsetenv("NIBBLE_EMU_NO_CHECK");
}

} // namespace
