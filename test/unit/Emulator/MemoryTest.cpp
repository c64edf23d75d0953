// Loads, stores, atomics, address spaces, and the faults of accesses.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rounded.h"
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

using U = uint32_t;
const std::string kStore = "st.global.u32 [%out], %r0;";

/// out[0..15] after one thread has run `body` with `in` = the given words.
std::vector<U> once(const std::string &body, std::vector<U> in,
                    uint32_t threads = 1, const std::string &outside = "",
                    const std::string &inside = "") {
  Device device(kernelOf(body, outside, inside), "sm_100a");
  in.resize(64);
  U *from = device.upload(in);
  U *out = device.upload(std::vector<U>(64, 0));
  EXPECT_EQ(device.run(threads, {uint64_t(out), uint64_t(from)}), "") << body;
  return std::vector<U>(out, out + 16);
}

TEST(Access, WidthsAndSigns) {
  std::vector<U> in{0x80FF7F81, 0x12345678, 0x9ABCDEF0, 0xFFFFFFFF};
  auto r = once("ld.global.s8 %r0, [%in]; ld.global.u8 %r1, [%in]; "
                "ld.global.s16 %r2, [%in+2]; ld.global.u16 %r3, [%in+2]; "
                "ld.global.s32 %d0, [%in]; mov.b64 {%r4, %r5}, %d0;"
                "ld.global.b64 %d1, [%in+8]; mov.b64 {%r6, %r7}, %d1; "
                "st.global.v4.u32 [%out], {%r0, %r1, %r2, %r3}; "
                "st.global.v4.b32 [%out+16], {%r4, %r5, %r6, %r7};"
                "st.global.u8 [%out+32], %r0; st.global.u16 [%out+34], %r7; "
                "ld.global.b128 %q0, [%in]; st.global.b128 [%out+48], %q0;",
                in);
  EXPECT_EQ(
      r, (std::vector<U>{0xFFFFFF81, 0x81, 0xFFFF80FF, 0x80FF, 0x80FF7F81,
                         0xFFFFFFFF, 0x9ABCDEF0, 0xFFFFFFFF, 0xFFFF0081, 0, 0,
                         0, 0x80FF7F81, 0x12345678, 0x9ABCDEF0, 0xFFFFFFFF}));
}

TEST(Access, Vectors) {
  std::vector<U> in(16);
  for (U i = 0; i < 16; ++i)
    in[i] = i + 1;
  auto r = once("ld.global.v8.b32 {%r0, %r1, %r2, %r3, %r4, %r5, %r6, %r7}, "
                "[%in]; st.global.v8.b32 [%out], {%r7, %r6, %r5, %r4, %r3, "
                "%r2, %r1, %r0}; ld.global.v2.u16 {%h0, %h1}, [%in+4]; "
                "st.global.v2.u16 [%out+32], {%h1, %h0}; ld.global.v2.u64 "
                "{%d0, %d1}, [%in+16]; st.global.v2.u64 [%out+48], {%d1, %d0};",
                in);
  EXPECT_EQ(r, (std::vector<U>{8, 7, 6, 5, 4, 3, 2, 1, 0x20000, 0, 0, 0, 7, 8,
                               5, 6}));
}

TEST(Access, SpacesAndGenericAddresses) {
  auto r = once(R"(
mov.u32 %r1, buffer; st.shared.u32 [%r1+4], 11; mov.u64 %d0, buffer; cvta.shared.u64 %d0, %d0; ld.u32 %r0, [%d0+4];
mov.u64 %d1, mine; st.local.u32 [mine+8], 22; cvta.local.u64 %d2, %d1; ld.u32 %r2, [%d2+8]; st.u32 [%d2], 33; ld.local.u32 %r3, [mine];
ld.const.u32 %r4, [fixed+4]; mov.u64 %d3, fixed; cvta.const.u64 %d3, %d3; ld.u32 %r5, [%d3]; ld.global.u64 %d4, [pointer]; ld.u32 %r6, [%d4];
isspacep.shared %p0, %d0; isspacep.local %p1, %d2; isspacep.global %p2, %out; isspacep.global %p3, %d0; selp.u32 %r7, 1, 0, %p0; @%p1 add.u32 %r7, %r7, 2; @%p2 add.u32 %r7, %r7, 4; @%p3 add.u32 %r7, %r7, 8;
cvta.to.shared.u64 %d5, %d0; cvt.u32.u64 %r8, %d5; sub.u32 %r8, %r8, %r1;
st.global.v4.u32 [%out], {%r0, %r2, %r3, %r4}; st.global.v4.u32 [%out+16], {%r5, %r6, %r7, %r8};
)",
                {}, 1,
                ".const .u32 fixed[2] = {44, 55}; .global .u32 word = 66; "
                ".global .u64 pointer = generic(word);",
                ".shared .b8 buffer[64]; .local .align 8 .b8 mine[16];");
  EXPECT_EQ(std::vector<U>(r.begin(), r.begin() + 8),
            (std::vector<U>{11, 22, 33, 55, 44, 66, 7, 0}));
}

TEST(Access, StructuresAsParameters) {
  Device device(".entry k(.param .u64 out, .param .align 8 .b8 s[24]) { .reg "
                ".u64 %o, %a; .reg .u32 %x, %y; .reg .u16 %h; ld.param.u64 %o, "
                "[out]; ld.param.v2.u32 {%x, %y}, [s+8]; ld.param.u8 %h, "
                "[s+3]; st.global.u32 [%o], %x; st.global.u32 [%o+4], %y; "
                "st.global.u16 [%o+8], %h; mov.b64 %a, s; cvta.param.u64 %a, "
                "%a; ld.u32 %x, [%a+16]; st.global.u32 [%o+12], %x; ret; }");
  U *out = device.upload(std::vector<U>(4, 0));
  ASSERT_EQ(device.run(1, {uint64_t(out), 0x55000000, 0x0000000200000001, 77}),
            "");
  EXPECT_EQ(std::vector<U>(out, out + 4), (std::vector<U>{1, 2, 0x55, 77}));
  EXPECT_FAULT(Device(".entry k(.param .u32 a) { .reg .u32 %x; ld.param.u32 "
                      "%x, [a+4]; ret; }")
                   .problem(),
               "4 bytes of parameters");
}

TEST(Access, Faults) {
  EXPECT_FAULT(
      faultOf("setp.eq.u32 %p0, %i, 5; @%p0 ld.global.u32 %r0, [%out+128];"),
      "thread (5, 0, 0)");
  EXPECT_FAULT(faultOf("ld.global.u32 %r0, [%in+128];"),
               "0 bytes behind the end of the output (128 bytes)");
  EXPECT_FAULT(faultOf("ld.global.u32 %r0, [%in+126];"), "no multiple of 4");
  EXPECT_FAULT(faultOf("ld.global.v4.u32 {%r0, %r1, %r2, %r3}, [%in+8];"),
               "no multiple of 16");
  EXPECT_FAULT(
      faultOf("st.shared.u32 [buffer+64], 0;", 32, ".shared .b8 buffer[64];"),
      "shared memory");
  EXPECT_FAULT(
      faultOf("ld.local.u32 %r0, [mine+8];", 32, ".local .b8 mine[8];"),
      "8 bytes of local memory");
  EXPECT_FAULT(faultOf("mov.u64 %d0, fixed; st.u32 [%d0], 1;", 32, "",
                       ".const .u32 fixed = 1;"),
               "constant 'fixed', which is read-only");
  EXPECT_FAULT(faultOf("mov.u64 %d0, 64; st.global.u32 [%d0], 1;"),
               "near no allocation");
  EXPECT_FAULT(faultOf("atom.global.add.u32 %r0, [%in+130], 1;"), "PTX line");
}

/// Old value and new one of an atomic on `word`.
void expectAtomic(const std::string &text, U word, U b, U want, U c = 0) {
  auto r = once(
      "ld.global.u32 %r1, [%in]; ld.global.u32 %r2, [%in+4]; ld.global.u32 "
      "%r3, [%in+8]; st.global.u32 [%out+4], %r1; atom.global." +
          text + "; st.global.u32 [%out], %r0;",
      {word, b, c});
  EXPECT_EQ(r[0], word) << text;
  EXPECT_EQ(r[1], want) << text;
}

TEST(Atomic, Integers) {
  std::string to = " %r0, [%out+4], %r2";
  for (U w : {0u, 5u, 7u, 0x80000000u, ~0u})
    for (U b : {0u, 6u, 7u, 0x80000001u, ~0u}) {
      expectAtomic("add.u32" + to, w, b, w + b);
      expectAtomic("min.u32" + to, w, b, std::min(w, b));
      expectAtomic("max.s32" + to, w, b, U(std::max(int(w), int(b))));
      expectAtomic("inc.u32" + to, w, b, w >= b ? 0 : w + 1);
      expectAtomic("dec.u32" + to, w, b, w == 0 || w > b ? b : w - 1);
      expectAtomic("and.b32" + to, w, b, w & b);
      expectAtomic("xor.b32" + to, w, b, w ^ b);
      expectAtomic("exch.b32" + to, w, b, b);
      expectAtomic("cas.b32" + to + ", %r3", w, b, w == b ? 99 : w, 99);
    }
}

TEST(Atomic, Floats) {
  std::string to = " %r0, [%out+4], %r2";
  expectAtomic("add.f32" + to, 0x3F800000, 0x40000000, 0x40400000);
  expectAtomic("add.f32" + to, 0x00400000, 0x00000001,
               0); // flushed in global memory
  expectAtomic("add.noftz.f16x2" + to, 0x3C000001, 0x40000001, 0x42000002);
  expectAtomic("add.noftz.bf16x2" + to, 0x3F803F80, 0x40003F80, 0x40404000);
  auto r = once(
      "st.shared.u32 [buffer], 0x00400000; mov.f32 %f0, 0f00000001; "
      "atom.shared.add.f32 %f1, [buffer], %f0; ld.shared.u32 %r0, [buffer];" +
          kStore,
      {}, 1, "", ".shared .align 4 .b8 buffer[16];");
  EXPECT_EQ(r[0], 0x00400001u);
  EXPECT_NE(refusalOf("atom.global.add.f16x2 %r0, [%out], %r1;"), "");
  EXPECT_NE(refusalOf("atom.global.min.f32 %f0, [%out], %f1;"), "");
}

TEST(Atomic, VectorsAnd128Bits) {
  auto r =
      once("mov.f32 %f0, 0f3F800000; mov.f32 %f1, 0f40000000; "
           "red.global.add.v2.f32 [%out], {%f0, %f1}; red.global.add.v2.f32 "
           "[%out], {%f0, %f1}; mov.b16 %h0, 0x3C00; mov.b16 %h1, 0xBC00;"
           "red.global.add.noftz.v8.f16 [%out+16], {%h0, %h1, %h0, %h0, %h0, "
           "%h0, %h0, %h1}; red.global.min.noftz.v4.bf16 [%out+32], {%h0, %h1, "
           "%h0, %h1};",
           {});
  EXPECT_EQ(r[0], 0x40000000u);
  EXPECT_EQ(r[1], 0x40800000u);
  EXPECT_EQ(r[4], 0xBC003C00u);
  EXPECT_EQ(r[7], 0xBC003C00u);
  EXPECT_EQ(r[8], 0xBC000000u);
  r = once("ld.global.b128 %q0, [%in]; atom.global.exch.b128 %q1, [%out], %q0; "
           "mov.b128 %q2, {%out, %out}; atom.global.cas.b128 %q3, [%out], %q0, "
           "%q1; atom.global.cas.b128 %q3, [%out], %q0, %q2; st.global.b128 "
           "[%out+16], %q3;",
           {1, 2, 3, 4});
  EXPECT_EQ(std::vector<U>(r.begin(), r.begin() + 8), std::vector<U>(8, 0));
}

TEST(Atomic, LanesAndCtasAddUp) {
  Device device(kernelOf("ld.param.u64 %d0, [out]; red.global.add.u32 [%d0], "
                         "1; atom.global.add.u32 %r0, [%d0+4], 2;"));
  U *out = device.upload(std::vector<U>(4, 0));
  Module::LaunchConfig config;
  config.grid.x = 9, config.block.x = 100;
  ASSERT_EQ(device.run(config, {uint64_t(out)}), "");
  EXPECT_EQ(out[0], 900u);
  EXPECT_EQ(out[1], 1800u);
}

/// A variable's name is an address, also of cp.async and bulk copies.
TEST(Access, CopiesFromAndToVariables) {
  auto got = resultsOf(
      "setp.eq.u32 %p1, %i, 0; @%p1 mbarrier.init.shared.b64 [m], 1; bar.sync "
      "0; cp.async.ca.shared.global [s], [g+4], 4; cp.async.wait_all; "
      "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [m], 16; @%p1 "
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[t], [g], 16, [m]; L: mbarrier.try_wait.parity.shared.b64 %p2, [m], 0; "
      "@!%p2 bra L; ld.shared.u32 %r0, [s]; ld.shared.u32 %r1, [t+8]; "
      "add.u32 %r0, %r0, %r1; st.global.u32 [%out], %r0;",
      1,
      ".shared .align 16 .b32 s[4]; .shared .align 16 .b32 t[4]; .shared "
      ".align 8 .b64 m;",
      ".global .align 16 .b32 g[4] = {1, 20, 300, 4000};");
  EXPECT_EQ(got[0], 320u);
}

} // namespace
