// st.async, red.async, cp.reduce.async.bulk, bulk prefetches: which forms there
// are, and what is reported. What they compute: test/emulator/suite.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

//===--- Which reductions exist -------------------------------------------===

std::string globalForm(const std::string &op) {
  return "cp.reduce.async.bulk.global.shared::cta.bulk_group." + op +
         " [%out], [%r1], 16;";
}
std::string sharedForm(const std::string &op) {
  return "cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_"
         "tx::bytes." +
         op + " [%r1], [%r2], 16, [%r3];";
}
std::string remoteForm(const std::string &op, const std::string &reg) {
  return "red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::"
         "bytes." +
         op + " [%r1], " + reg + ", [%r3];";
}

/// PTX ISA, cp.reduce.async.bulk: the table of .redOp and types.
TEST(BulkReduce, HasTheDocumentedForms) {
  const char *ops[] = {"add", "min", "max", "inc", "dec", "and", "or", "xor"};
  const char *types[] = {"u32", "s32", "u64",  "s64", "b32",
                         "b64", "f16", "bf16", "f32", "f64"};
  for (const char *op : ops)
    for (const char *type : types) {
      std::string o = op, t = type;
      bool half = t == "f16" || t == "bf16";
      bool order = o == "min" || o == "max",
           logic = o == "and" || o == "or" || o == "xor";
      bool shared = o == "add" ? t == "u32" || t == "s32" || t == "u64"
                    : order    ? t == "u32" || t == "s32"
                    : logic    ? t == "b32"
                               : t == "u32";
      bool global = shared ||
                    (o == "add" && (t == "f32" || t == "f64" || half)) ||
                    (order && (t == "u64" || t == "s64" || half)) ||
                    (logic && t == "b64");
      std::string name = o + (half && o == "add" ? ".noftz." : ".") + t;
      EXPECT_EQ(refusalOf(globalForm(name)).empty(), global) << name;
      EXPECT_EQ(refusalOf(sharedForm(name)).empty(), shared) << name;
      std::string reg = t.substr(1) == "64" ? "%d1" : "%r2";
      EXPECT_EQ(refusalOf(remoteForm(name, reg)).empty(), shared) << name;
    }
}

TEST(BulkReduce, RefusesMixedForms) {
  EXPECT_NE(refusalOf(globalForm("add.f16")), "");       // .noftz is missing
  EXPECT_NE(refusalOf(globalForm("min.noftz.f16")), ""); // .noftz of .min
  EXPECT_NE(refusalOf(globalForm("add.noftz.u32")), ""); // .noftz of integers
  EXPECT_NE(refusalOf(globalForm("exch.b32")), "");      // no such operation
  EXPECT_NE(refusalOf("cp.reduce.async.bulk.global.shared::cta.mbarrier::"
                      "complete_tx::bytes.add.u32 [%out], [%r1], 16, [%r2];"),
            "");
  EXPECT_NE(refusalOf("cp.reduce.async.shared.global [%r1], [%out], 16;"), "");
  EXPECT_EQ(refusalOf("cp.reduce.async.bulk.global.shared::cta.bulk_group."
                      "L2::cache_hint.add.u32 [%out], [%r1], 16, %d1;"),
            "");
}

TEST(BulkReduce, IsNotACopy) {
  EXPECT_NE(refusalOf("cp.async.bulk.global.shared::cta.bulk_group.add.u32 "
                      "[%out], [%r1], 16;"),
            "");
  EXPECT_NE(refusalOf("cp.async.bulk.tensor.1d.global.shared::cta.add.tile."
                      "bulk_group [%out, {%r1}], [%r2];"),
            "");
  EXPECT_NE(refusalOf("cp.reduce.async.bulk.tensor.1d.global.shared::cta.tile."
                      "bulk_group [%out, {%r1}], [%r2];"),
            "");
}

TEST(BulkReduce, ReportsMisalignedAndUnfenced) {
  const std::string memory = ".shared .align 16 .b8 s[64];\n";
  auto reduce = [&](const std::string &prepare, const std::string &size) {
    return faultOf(
        "mov.u32 %r1, s; " + prepare +
            " setp.eq.u32 %p1, %i, 0; bar.sync 0;"
            "@%p1 cp.reduce.async.bulk.global.shared::cta.bulk_group."
            "add.u32 [%in], [%r1], " +
            size +
            ";\ncp.async.bulk.commit_group; "
            "cp.async.bulk.wait_group 0;",
        32, memory);
  };
  const std::string write =
      "shl.b32 %r2, %i, 1; add.u32 %r2, %r1, %r2; st.shared.u16 [%r2], 1;";
  const std::string fence = write + "fence.proxy.async;";
  EXPECT_EQ(reduce(fence, "64"), "");
  EXPECT_FAULT(reduce(fence, "24"), "multiples of 16");
  EXPECT_FAULT(reduce(write, "64"), "fence.proxy.async");
  EXPECT_FAULT(reduce("", "64"), "nobody has written");
}

TEST(BulkPrefetch, ChecksItsArguments) {
  EXPECT_EQ(faultOf("cp.async.bulk.prefetch.L2.global [%in], 32;"), "");
  EXPECT_FAULT(faultOf("cp.async.bulk.prefetch.L2.global [%in], 24;"),
               "multiples of 16");
  EXPECT_FAULT(faultOf("cp.async.bulk.prefetch.L2.global [%in+8], 32;"),
               "multiples of 16");
  EXPECT_NE(refusalOf("cp.async.bulk.prefetch.global [%in], 32;"), "");
  EXPECT_NE(refusalOf("cp.async.bulk.prefetch.L2.global [%in];"), "");
}

//===--- st.async and red.async -------------------------------------------===

/// Two CTAs of one warp. %r5: the peer; %r1: shared address of 128 bytes, %r2:
/// the same of the peer; %r3, %r4: the mbarriers, for one arrival.
std::string pair(const std::string &body, unsigned ctas = 2) {
  Device device(kernelOf(
      "mov.u32 %r1, s; mov.u32 %r3, b; mov.u32 %r5, %cluster_ctarank;"
      "xor.b32 %r5, %r5, 1; mapa.shared::cluster.u32 %r2, %r1, %r5;"
      "mapa.shared::cluster.u32 %r4, %r3, %r5; setp.eq.u32 %p1, %lane, 0;"
      "@%p1 mbarrier.init.shared.b64 [%r3], 1;"
      "@%p1 mbarrier.arrive.expect_tx.shared.b64 _, [%r3], 128;"
      "shl.b32 %r6, %lane, 2; add.u32 %r1, %r1, %r6; add.u32 %r2, %r2, %r6;"
      "barrier.cluster.arrive; barrier.cluster.wait;" +
          body + "barrier.cluster.arrive; barrier.cluster.wait;",
      "", ".shared .align 16 .b8 s[128]; .shared .align 8 .b64 b;\n"));
  uint32_t *out = device.upload(std::vector<uint32_t>(64, 0));
  Module::LaunchConfig config;
  config.grid.x = 2;
  config.cluster.x = ctas;
  config.block.x = 32;
  std::string fault = device.run(config, {uint64_t(out), uint64_t(out)});
  for (unsigned i = 0; fault.empty() && i < 64; ++i) {
    EXPECT_EQ(out[i], (i ^ 32) * 5 + 1) << i;
  }
  return fault;
}
const char *const kSend =
    "mad.lo.u32 %r7, %i, 5, 1; st.async.shared::cluster.mbarrier::complete_tx::"
    "bytes.u32 [%r2], %r7, [%r4];";
const char *const kWait =
    "W: mbarrier.try_wait.parity.shared.b64 %p2, [%r3], 0;"
    "@!%p2 bra W;";
const char *const kRead =
    "ld.shared.u32 %r7, [%r1]; st.global.u32 [%out], %r7;";

TEST(StoreAsync, Arrives) {
  EXPECT_EQ(pair(std::string(kSend) + kWait + kRead), "");
}
TEST(StoreAsync, ReportsReadsBeforeTheWait) {
  EXPECT_NE(pair(std::string(kSend) + kRead + kWait), "");
}
TEST(StoreAsync, NeedsAnMbarrierBesideItsDestination) {
  EXPECT_FAULT(pair("mov.u32 %r7, 1; "
                    "st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 "
                    "[%r2], %r7, [%r3];"),
               "different CTAs");
}
TEST(StoreAsync, NeedsAlignment) {
  EXPECT_FAULT(pair("mov.u32 %r7, 1; "
                    "st.async.shared::cluster.mbarrier::complete_tx::bytes.u32 "
                    "[%r2+2], %r7, [%r4];"),
               "misaligned");
}
TEST(ReduceAsync, CountsFromOtherCtas) {
  EXPECT_EQ(pair("mad.lo.u32 %r7, %i, 5, 1; st.shared.u32 [%r1], 7;"
                 "sub.u32 %r7, %r7, 7; barrier.cluster.arrive;"
                 "barrier.cluster.wait; red.async.relaxed.cluster.shared::"
                 "cluster.mbarrier::complete_tx::bytes.add.u32 [%r2], %r7, "
                 "[%r4];" +
                 std::string(kWait) + kRead),
            "");
}
TEST(ReduceAsync, ReportsItsOwnCta) {
  EXPECT_FAULT(pair("st.shared.u32 [%r1], 7; red.async.relaxed.cluster.shared::"
                    "cluster.mbarrier::complete_tx::bytes.add.u32 [%r1], 1, "
                    "[%r3];"),
               "thread itself");
}
TEST(ReduceAsync, ReportsMemoryThatNobodyHasWritten) {
  EXPECT_FAULT(pair("red.async.relaxed.cluster.shared::cluster.mbarrier::"
                    "complete_tx::bytes.add.u32 [%r2], 1, [%r4];"),
               "nobody has written");
}
TEST(StoreAsync, RefusesOtherForms) {
  EXPECT_NE(refusalOf("st.async.release.gpu.global.u32 [%out], %r1;"), "");
  EXPECT_NE(refusalOf("st.async.shared::cluster.mbarrier::complete_tx::bytes."
                      "u16 [%r1], %h1, [%r2];"),
            "");
  EXPECT_NE(refusalOf("st.async.shared::cluster.mbarrier::complete_tx::bytes."
                      "v2.u32 [%r1], {%r3, %r4, %r5, %r6}, [%r2];"),
            "");
}

/// Without a decoder, but with its name.
TEST(Multimem, IsRefusedByName) {
  EXPECT_FAULT(refusalOf("multimem.red.add.u32 [%out], %r1;"), "multimem");
}

//===--- mma of f64 -------------------------------------------------------===

/// One warp: A, B and C from in[], D to out[] as doubles.
std::vector<double> multiply(const std::string &shape, unsigned m, unsigned k,
                             const std::vector<double> &in) {
  unsigned counts[] = {m / 4, m / 8 * k / 4, k / 4, m / 4};
  std::string load, lists[4], store;
  const char *names[] = {"e", "a", "b", "c"};
  unsigned at = 0;
  for (unsigned n = 0; n < 4; ++n)
    for (unsigned r = 0; r < counts[n]; ++r) {
      std::string reg = std::string("%") + names[n] + std::to_string(r);
      lists[n] += (r ? ", " : "") + reg;
      if (n)
        load += "ld.global.f64 " + reg + ", [%d2+" +
                std::to_string(256 * at++) + "];\n";
      else
        store += "st.global.f64 [%d1+" + std::to_string(256 * r) + "], " + reg +
                 ";\n";
    }
  Device device(
      kernelOf(".reg .f64 %e<4>, %a<8>, %b<4>, %c<4>;\nmul.wide.u32 %d1, %i, 4;"
               "add.u64 %d1, %d1, %out; mul.wide.u32 %d2, %i, 8; add.u64 %d2, "
               "%d2, %in;" +
               load + "mma.sync.aligned." + shape +
               ".row.col.f64.f64.f64.f64 {" + lists[0] + "}, {" + lists[1] +
               "}, {" + lists[2] + "}, {" + lists[3] + "};\n" + store));
  double *out = device.upload(std::vector<double>(32 * counts[0]));
  EXPECT_EQ(device.run(32, {uint64_t(out), uint64_t(device.upload(in))}), "");
  return std::vector<double>(out, out + 32 * counts[0]);
}

/// Whole numbers, so that every order gives one sum (PTX ISA, fragments of f64:
/// A row g + 8 (i % 2), column t + 4 (i / 2); B row t + 4 i, column g).
void expectProduct(const std::string &shape, unsigned m, unsigned k) {
  std::mt19937 random(m + k);
  auto draw = [&](size_t n) {
    std::vector<double> v(n);
    for (double &x : v)
      x = double(int(random() % 2001) - 1000);
    return v;
  };
  std::vector<double> a = draw(m * k), b = draw(k * 8), c = draw(m * 8), in;
  for (unsigned i = 0; i < m / 8 * k / 4; ++i)
    for (unsigned l = 0; l < 32; ++l) {
      unsigned row = l / 4 + (m == 16 ? 8 * (i % 2) : 0);
      in.push_back(a[row * k + l % 4 + 4 * (m == 16 ? i / 2 : i)]);
    }
  for (unsigned i = 0; i < k / 4; ++i)
    for (unsigned l = 0; l < 32; ++l)
      in.push_back(b[(l % 4 + 4 * i) * 8 + l / 4]);
  auto place = [](unsigned i, unsigned l) {
    return (l / 4 + 8 * (i / 2)) * 8 + l % 4 * 2 + i % 2;
  };
  for (unsigned i = 0; i < m / 4; ++i)
    for (unsigned l = 0; l < 32; ++l)
      in.push_back(c[place(i, l)]);
  std::vector<double> got = multiply(shape, m, k, in);
  for (unsigned i = 0; i < m / 4; ++i)
    for (unsigned l = 0; l < 32; ++l) {
      unsigned row = place(i, l) / 8, column = place(i, l) % 8;
      double sum = c[place(i, l)];
      for (unsigned n = 0; n < k; ++n)
        sum += a[row * k + n] * b[n * 8 + column];
      EXPECT_EQ(got[32 * i + l], sum) << shape << " " << row << ", " << column;
    }
}

TEST(MmaDouble, OfAllShapes) {
  expectProduct("m8n8k4", 8, 4);
  expectProduct("m16n8k4", 16, 4);
  expectProduct("m16n8k8", 16, 8);
  expectProduct("m16n8k16", 16, 16);
}

} // namespace
