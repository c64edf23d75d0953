// Kernels of `tile` for Hopper, on the emulated driver: formats, tiles,
// clusters, rasters, epilogues and stores, at sizes off the tile.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TileKernel.h"
#include "GpuAssembly.h"

#include <gtest/gtest.h>

#include <random>

using namespace nibble;
using namespace nibble::test;

namespace {

void expectRight(const TileConfig &config, unsigned seed = 1) {
  SCOPED_TRACE(config.str());
  TileKernel kernel(config);
  ASSERT_EQ(kernel.error, "");
  expectAssembles(kernel.ptx);
  if (getenv("NIBBLE_SHOW_PTX"))
    fprintf(stderr, "%s\n", kernel.ptx.c_str());
  EXPECT_EQ(runTileKernel(kernel, seed), "");
}

TileConfig make(int64_t m, int64_t n, int64_t k) {
  TileConfig config;
  config.m = m;
  config.n = n;
  config.k = k;
  return config;
}

TEST(TileKernel, RowsOffTheTile) {
  for (int64_t m : {1, 7, 50, 129}) {
    TileConfig config = make(m, 200, 336);
    expectRight(config, unsigned(m));
  }
}

TEST(TileKernel, ManyRows) {
  TileConfig config = make(970, 144, 272);
  config.clusters = 3;
  expectRight(config);
}

TEST(TileKernel, OneBlockOfK) { expectRight(make(130, 136, 128)); }

TEST(TileKernel, Operands) {
  for (const char *type : {"f16", "bf16", "f8E5M2"}) {
    TileConfig config = make(100, 152, 200);
    config.a = config.b = type;
    if (config.a == "f8E5M2") {
      config.b = "f8E4M3FN";
      config.k = 208;
    }
    expectRight(config);
  }
}

TEST(TileKernel, Results) {
  for (const char *type : {"bf16", "f32", "f8E4M3FN", "f8E5M2"}) {
    TileConfig config = make(75, 144, 256);
    config.out = type;
    expectRight(config);
  }
}

TEST(TileKernel, Tiles) {
  for (auto [tileM, tileN, warpgroups] : {std::make_tuple(64, 64, 1),
                                          {64, 256, 1},
                                          {128, 256, 2},
                                          {128, 192, 2},
                                          {256, 128, 2},
                                          {192, 64, 3}}) {
    TileConfig config = make(300, 264, 272);
    config.tileM = tileM;
    config.tileN = tileN;
    config.warpgroups = warpgroups;
    config.registers = warpgroups == 2;
    expectRight(config);
  }
}

TEST(TileKernel, ColumnsThatPanelsDoNotDivide) {
  TileConfig config = make(70, 496, 160);
  config.tileN = 248;
  config.tileM = 64;
  config.warpgroups = 1;
  config.registers = false;
  config.panel = 16;
  expectRight(config);
}

TEST(TileKernel, Swizzles) {
  for (int64_t swizzle : {64, 32})
    for (const char *out : {"f16", "f8E4M3FN"}) {
      TileConfig config = make(70, 80, 208);
      config.swizzle = config.panel = swizzle;
      config.out = out;
      if (config.out == "f16")
        config.panel /= 2;
      expectRight(config);
    }
}

TEST(TileKernel, Clusters) {
  for (auto [m, n] : {std::make_pair(2, 1), {1, 2}, {2, 2}, {4, 1}}) {
    TileConfig config = make(400, 300, 400);
    config.n = 304;
    config.tileM = 64;
    config.warpgroups = 1;
    config.tileN = 64;
    config.clusterM = m;
    config.clusterN = n;
    config.registers = false;
    expectRight(config);
  }
}

TEST(TileKernel, Rasters) {
  for (const char *raster :
       {"m, group 1", "m, group 3", "n, group 2", "n, group 16"}) {
    TileConfig config = make(330, 328, 128);
    config.tileM = config.tileN = 64;
    config.warpgroups = 1;
    config.registers = false;
    config.raster = raster;
    config.clusters = 5;
    expectRight(config);
  }
}

/// Teams that take turns: tiles that do not come out even, fewer than teams,
/// stages that go around within a tile, epilogues of all sorts.
TEST(TileKernel, Turns) {
  for (auto [m, tileM, tileN, turns, k] :
       {std::make_tuple(970, 64, 128, 2, 400),
        {300, 128, 64, 2, 128},
        {60, 64, 64, 2, 528},
        {400, 64, 64, 3, 656}}) {
    TileConfig config = make(m, 224, k);
    config.tileM = tileM;
    config.tileN = tileN;
    config.turns = config.warpgroups = turns;
    config.registers = turns == 2;
    config.kind = tileN == 128 ? TileConfig::Gated : TileConfig::Full;
    config.out = tileN == 128 ? "f8E4M3FN" : "f16";
    config.clusters = 3;
    expectRight(config);
  }
}

TEST(TileKernel, TurnsOfClusters) {
  TileConfig config = make(700, 200, 400);
  config.tileM = config.tileN = 64;
  config.turns = 2;
  config.warpgroups = 4;
  config.tileM = 128;
  config.clusterM = 2;
  config.registers = false;
  config.transposed = true;
  config.m = 704;
  expectRight(config);
  config.transposed = false;
  config.clusterN = 2;
  config.kind = TileConfig::Both;
  expectRight(config);
}

/// A cluster for each tile, each block with a slice of K: K blocks and columns
/// that do not come out even, other blocks beside them, epilogues of all sorts.
TEST(TileKernel, Splits) {
  for (auto [m, n, splits, tileN, k] : {std::make_tuple(1, 144, 2, 64, 512),
                                        {50, 144, 4, 128, 1040},
                                        {129, 80, 8, 64, 1024},
                                        {7, 80, 3, 40, 560},
                                        {50, 144, 7, 128, 1200},
                                        {50, 32, 5, 16, 640}}) {
    TileConfig config = make(m, n, k);
    config.splits = splits;
    config.tileN = tileN;
    config.tileM = 64;
    config.warpgroups = 1;
    config.registers = false;
    config.panel = tileN / splits < 16 ? 8 : 16;
    config.out = config.panel == 8 ? "f32" : "f16";
    expectRight(config, unsigned(m));
  }
}

TEST(TileKernel, SplitsOfEpilogues) {
  for (auto kind : {TileConfig::Full, TileConfig::Gated, TileConfig::Both,
                    TileConfig::Tanh})
    for (const char *out : {"f32", "f16", "f8E4M3FN"}) {
      TileConfig config = make(100, 160, 400);
      config.kind = kind;
      config.out = out;
      config.splits = 2;
      config.tileM = 64;
      config.warpgroups = 1;
      config.registers = false;
      expectRight(config);
    }
}

TEST(TileKernel, SplitsInClustersThatShareOperands) {
  for (auto [m, n, splits] : {std::make_tuple(2, 1, 3), {1, 2, 4}, {2, 2, 2}}) {
    TileConfig config = make(260, 208, 912);
    config.tileM = config.tileN = 64;
    config.warpgroups = 1;
    config.registers = false;
    config.clusterM = m;
    config.clusterN = n;
    config.splits = splits;
    config.panel = 16;
    config.kind = TileConfig::Full;
    expectRight(config);
  }
}

TEST(TileKernel, SplitsTransposed) {
  for (auto [out, tileN, splits] :
       {std::make_tuple("f16", 120, 2), {"f8E4M3FN", 56, 3}, {"f32", 24, 8}}) {
    TileConfig config = make(80, 90, 1040);
    config.transposed = true;
    config.out = out;
    config.tileN = tileN;
    config.splits = splits;
    config.panel = 8;
    expectRight(config);
  }
}

TEST(TileKernel, MoreBlocksThanTiles) {
  TileConfig config = make(60, 64, 256);
  config.clusters = 7;
  expectRight(config);
}

TEST(TileKernel, Epilogues) {
  for (auto kind : {TileConfig::Full, TileConfig::Gated, TileConfig::Both,
                    TileConfig::Tanh})
    for (const char *out : {"f16", "f8E4M3FN"}) {
      TileConfig config = make(139, 288, 272);
      config.kind = kind;
      config.out = out;
      expectRight(config);
    }
}

TEST(TileKernel, Widths) {
  for (int64_t width : {1, 4, 8})
    for (const char *out : {"f16", "f32", "f8E4M3FN"}) {
      TileConfig config = make(77, 208, 256);
      config.kind = TileConfig::Full;
      config.width = width;
      config.out = out;
      expectRight(config);
    }
}

/// Operands that vectors do not divide.
TEST(TileKernel, OddOperands) {
  TileConfig config = make(65, 72, 256);
  config.kind = TileConfig::Full;
  config.transposed = true;
  config.n = 71;
  config.m = 72;
  expectRight(config);
}

TEST(TileKernel, Transposed) {
  for (const char *out : {"f16", "bf16", "f8E4M3FN", "f32"})
    for (int64_t tile : {248, 64}) {
      TileConfig config = make(208, 270, 272);
      config.transposed = true;
      config.out = out;
      config.tileN = tile;
      config.registers = true;
      expectRight(config);
    }
}

/// Any combination; NIBBLE_TILE_KERNELS more of them.
TEST(TileKernel, RandomConfigurations) {
  const char *count = getenv("NIBBLE_TILE_KERNELS");
  for (unsigned seed = 1; seed <= unsigned(count ? atoi(count) : 12); ++seed) {
    std::mt19937 random(seed);
    auto pick = [&](std::vector<int64_t> list) {
      return list[random() % list.size()];
    };
    TileConfig config = make(pick({1, 7, 50, 129, 230}), 32 * pick({3, 5, 7}),
                             16 * pick({8, 13, 33}));
    const char *const types[] = {"f8E4M3FN", "f16", "bf16", "f32", "f8E5M2"};
    config.a = config.b = types[random() % 3];
    config.out = types[random() % 5];
    config.warpgroups = pick({1, 2});
    config.tileM = 64 * config.warpgroups;
    config.tileN = pick({64, 128, 192});
    if (config.warpgroups == 2 && random() % 3 == 0) {
      config.turns = 2;
      config.tileM = 64;
    }
    config.stages = pick({2, 3});
    config.clusterM = pick({1, 1, 2});
    config.clusterN = pick({1, 1, 2});
    config.clusters = pick({1, 3});
    config.buffers = pick({1, 2, 3});
    config.kind = TileConfig::Kind(random() % 5);
    if (config.kind == TileConfig::Both)
      config.tileN = 64;
    config.transposed = random() % 3 == 0 && config.kind != TileConfig::Gated;
    if (config.transposed)
      config.m = (config.m + 15) / 16 * 16;
    else if (config.kind != TileConfig::Gated)
      config.width = pick({1, 2, 4, 8});
    config.raster = random() % 2 ? "m, group 2" : "n, group 3";
    int64_t blocksK = config.k * (config.a[1] == '8' ? 1 : 2) / 128;
    if (config.turns == 1 && random() % 2)
      config.splits = std::min<int64_t>(
          pick({2, 3, 8}) / (config.clusterM * config.clusterN), blocksK);
    config.splits = std::max<int64_t>(config.splits, 1);
    if (config.splits > 1 && config.kind == TileConfig::Gated)
      config.out = "f32";
    if (config.splits > 1 && config.width > 2)
      config.width = 2;
    if (config.splits > 1 && !config.transposed &&
        config.tileN / config.splits < 64)
      config.out = "f32";
    expectRight(config, seed);
  }
}

/// `kernel` without the instructions that begin with `text`, in a process of
/// its own: a fault ends all contexts.
void expectFault(const TileKernel &kernel, const std::string &text) {
  TileKernel broken = kernel;
  size_t removed = 0;
  for (size_t at; (at = broken.ptx.find(text)) != std::string::npos; ++removed)
    broken.ptx.replace(at, broken.ptx.find(';', at) + 1 - at, "");
  EXPECT_GT(removed, 0u) << text;
  EXPECT_EXIT(
      {
        fprintf(stderr, "%s\n", runTileKernel(broken, 1, 8).c_str());
        exit(0);
      },
      testing::ExitedWithCode(0), "kernel k, CTA|results are wrong")
      << text;
}

/// What is written to keep order is needed, and looked for.
TEST(TileKernel, PlantedFaultsAreFound) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  TileConfig config = make(200, 208, 1040);
  config.clusterM = 2;
  config.tileM = 64;
  config.warpgroups = 1;
  config.registers = false;
  TileKernel kernel(config);
  ASSERT_EQ(kernel.error, "");
  expectFault(kernel, "wgmma.wait_group.sync.aligned \t1");
  expectFault(kernel, "wgmma.wait_group.sync.aligned 0");
  expectFault(kernel, "wgmma.fence.sync.aligned");
  expectFault(kernel, "fence.proxy.async.shared::cta");
  expectFault(kernel, "cp.async.bulk.wait_group.read");
}

/// Blocks send when all others have their barriers, and read what has come.
TEST(TileKernel, PlantedFaultsOfSplitsAreFound) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  TileConfig config = make(100, 112, 1040);
  config.splits = 3;
  config.tileM = 64;
  config.tileN = 48;
  config.panel = 16;
  config.warpgroups = 1;
  config.registers = false;
  TileKernel kernel(config);
  ASSERT_EQ(kernel.error, "");
  expectFault(kernel, "barrier.cluster.wait.aligned");
  expectFault(kernel, "wgmma.wait_group.sync.aligned 0");
  TileKernel early = kernel;
  size_t sends = early.ptx.find("st.async"),
         asks = early.ptx.find("mbarrier.try_wait", sends);
  ASSERT_NE(asks, std::string::npos);
  early.ptx.replace(asks, early.ptx.find(';', asks) - asks,
                    "setp.eq.u32 " +
                        early.ptx.substr(early.ptx.find('%', asks),
                                         early.ptx.find(',', asks) -
                                             early.ptx.find('%', asks)) +
                        ", 0, 0");
  expectFault(early, "prefetch.tensormap");
}

} // namespace
