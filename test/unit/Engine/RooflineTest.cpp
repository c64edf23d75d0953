// Bounds of layers, the units that kernels use, and advice.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Roofline.h"
#include "KernelMath.h"
#include "TestEngine.h"

#include <gtest/gtest.h>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

constexpr const char *kPtx = R"(
.visible .entry product(.param .u64 a)
{
  wgmma.mma_async.sync.aligned.m64n256k32.f32.e4m3.e4m3 {%f1}, %rd1, %rd2, p, 1, 1;
}
.visible .entry product2(
  .param .u64 a)
{
  mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%f1}, {%r1}, {%r2}, {%f1};
}
.visible .entry halves(.param .u64 a) { wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%f1}, %rd1, %rd2; }
.visible .entry both() {
  wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {%f1}, %rd1, %rd2;
  wgmma.mma_async.sync.aligned.m64n64k32.f32.e5m2.e4m3 {%f1}, %rd1, %rd2;
}
.visible .entry fourbit() { tcgen05.mma.cta_group::1.kind::mxf4nvf4.block_scale.block16 [%r1], %rd1; }
.visible .entry eightbit() { tcgen05.mma.cta_group::2.kind::f8f6f4 [%r1], %rd1; }
.visible .entry plain() { fma.rn.f32 %f1, %f2, %f3, %f4; }
)";

TEST(KernelMath, IsThatOfTheMatrixInstructions) {
  EXPECT_EQ(mathOfKernel(kPtx, "product"), "f8");
  EXPECT_EQ(mathOfKernel(kPtx, "product2"), "f16");
  EXPECT_EQ(mathOfKernel(kPtx, "halves"), "f16");
  EXPECT_EQ(mathOfKernel(kPtx, "both"), "f16") << "the slower one";
  EXPECT_EQ(mathOfKernel(kPtx, "fourbit"), "f4");
  EXPECT_EQ(mathOfKernel(kPtx, "eightbit"), "f8");
  EXPECT_EQ(mathOfKernel(kPtx, "plain"), "f32");
  EXPECT_EQ(mathOfKernel(kPtx, "prod"), "");
  EXPECT_EQ(mathOfKernel("", "plain"), "");
}

DeviceLimits device(const std::string &name, double memory = 0) {
  DeviceLimits limits;
  limits.name = name;
  limits.multiprocessors = 132;
  limits.memoryBytesPerSecond = memory;
  return limits;
}

TEST(Peaks, AreThoseOfKnownDevicesOnly) {
  Peaks h200 = peaksOf(device("NVIDIA H200", 4.917e12));
  EXPECT_EQ(h200.bytesPerSecond, 4.917e12) << "what the driver tells";
  EXPECT_EQ(h200.flopsOf("f16"), 989.4e12);
  EXPECT_EQ(h200.flopsOf("f4"), 0) << "not in this device";
  EXPECT_EQ(h200.flopsOf("f64"), 0);
  EXPECT_NE(h200.source.find("H200"), std::string::npos);
  Peaks pcie = peaksOf(device("NVIDIA H100 PCIe"));
  EXPECT_EQ(pcie.bytesPerSecond, 2039e9);
  EXPECT_EQ(peaksOf(device("NVIDIA Thor", 1e12)).bytesPerSecond, 273e9)
      << "a clock that is not the memory's";
  EXPECT_FALSE(peaksOf(device("NVIDIA H300")).known());
  EXPECT_FALSE(peaksOf(device("")).known());
  DeviceLimits emulated = device("NVIDIA H200");
  emulated.emulated = true;
  EXPECT_FALSE(peaksOf(emulated).known());
}

TEST(Peaks, CanBeGiven) {
  Result<Peaks> peaks = parsePeaks("memory=3350,f8=1979,f32=67");
  ASSERT_TRUE(peaks.ok()) << peaks.status().str();
  EXPECT_EQ(peaks->bytesPerSecond, 3350e9);
  EXPECT_EQ(peaks->flopsOf("f8"), 1979e12);
  EXPECT_EQ(peaks->flopsOf("f16"), 0);
  for (const char *bad :
       {"", "f8=1979", "memory", "memory=", "memory=x", "memory=1,f9=2",
        "memory=-1", "memory=1x", "memory=1,"})
    EXPECT_FALSE(parsePeaks(bad).ok()) << bad;
}

/// One launch per (bytes, flops) of layer "a", "b"...; the first two kernels
/// of "a" are one layer.
std::shared_ptr<const Engine> makeEngine(const std::string &path) {
  EngineBuilder b(path, "sm_90a");
  EntryDesc entry;
  entry.name = "main";
  entry.inputs = {port("x", "f32", 64)};
  entry.outputs = {port("y", "f32", 64)};
  entry.values = {value("x", "f32", 64, Storage::Input, 0),
                  value("y", "f32", 64, Storage::Output, 0)};
  struct Work {
    const char *layer;
    uint64_t bytes, flops;
  };
  for (Work work : {Work{"a", 1000000, 0}, Work{"a", 0, 0},
                    Work{"b", 1000, 400000000}, Work{"c", 4000000, 1000}}) {
    LaunchDesc desc = b.launch("add_one", {0, 1}, 64, work.layer);
    desc.bytes = work.bytes;
    desc.flops = work.flops;
    entry.launches.push_back(desc);
  }
  EXPECT_TRUE(b.writer().addEntry(entry).ok());
  EXPECT_TRUE(b.writer().finish().ok());
  return *Engine::load(path);
}

TEST(Roofline, TellsTheBoundOfEachLayer) {
  TempFile file("bounds.nbl");
  auto engine = makeEngine(file.path());
  Peaks peaks = *parsePeaks("memory=1000,f32=10");
  std::vector<double> seconds = {3e-6, 1e-6, 50e-6, 5e-6};
  auto layers = layerTimes(*engine, 0, seconds, peaks);
  ASSERT_EQ(layers.size(), 3u);
  EXPECT_EQ(layers[0].count, 2u);
  EXPECT_DOUBLE_EQ(layers[0].seconds, 4e-6);
  EXPECT_DOUBLE_EQ(layers[0].bound, 1e-6);
  EXPECT_EQ(layers[0].limit, "memory");
  EXPECT_EQ(layers[1].first, 2u);
  EXPECT_DOUBLE_EQ(layers[1].bound, 40e-6);
  EXPECT_EQ(layers[1].limit, "compute");
  EXPECT_DOUBLE_EQ(layers[1].fraction(), 0.8);
  EXPECT_EQ(layers[2].limit, "memory");

  seconds = {30e-6, 10e-6, 80e-6, 5e-6};
  auto advice = advise(layerTimes(*engine, 0, seconds, peaks), device("x"));
  ASSERT_EQ(advice.size(), 2u) << "c is near its bound";
  EXPECT_EQ(advice[0].find("b (test) loses 32 % of the run, at 50 % of its "
                           "compute bound: 1 blocks leave 131 of 132"),
            0u)
      << advice[0];
  EXPECT_NE(advice[1].find("less than 2 us at best"), std::string::npos);
  EXPECT_EQ(
      advise(layerTimes(*engine, 0, seconds, peaks), device("x"), 1).size(),
      1u);
}

TEST(Roofline, GuessesNothing) {
  TempFile file("bounds.nbl");
  auto engine = makeEngine(file.path());
  std::vector<double> seconds = {30e-6, 10e-6, 80e-6, 5e-6};
  for (const LayerTime &layer : layerTimes(*engine, 0, seconds, Peaks()))
    EXPECT_EQ(layer.bound, 0);
  // Memory alone is no bound of a layer with operations.
  auto layers = layerTimes(*engine, 0, seconds, *parsePeaks("memory=1000"));
  EXPECT_GT(layers[0].bound, 0);
  EXPECT_EQ(layers[1].bound, 0);
  EXPECT_TRUE(advise({layers[1]}, device("x")).empty());
  layers = layerTimes(*engine, 0, seconds, *parsePeaks("memory=9,f32=9"));
  DeviceLimits emulated = device("x");
  emulated.emulated = true;
  EXPECT_TRUE(advise(layers, emulated).empty());
}

} // namespace
