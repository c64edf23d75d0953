// Launches of GPU kernels in engine files: every inconsistent field is refused.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ReaderHarness.h"

#include <random>

namespace {

const std::string &tiles() {
  static const std::string bytes = [] {
    TempFile file("tiles.nbl");
    EXPECT_TRUE(writeTileSample(file.path(), "sm_90a").ok());
    return readFile(file.path());
  }();
  return bytes;
}

fb::LaunchT &launch(fb::EngineT &e) { return *e.entries[0]->launches[0]; }
fb::GpuLaunchT &gpu(fb::EngineT &e) { return *launch(e).gpu; }
fb::GpuArgT &arg(fb::EngineT &e, size_t i) { return *gpu(e).args[i]; }
fb::TensorMapT &map(fb::EngineT &e) { return *arg(e, 0).map; }
void setDim(std::unique_ptr<fb::Dim3> &dim, uint32_t x, uint32_t y = 1,
            uint32_t z = 1) {
  dim = std::make_unique<fb::Dim3>(x, y, z);
}

TEST(GpuReader, ReadsWhatWasWritten) {
  Loaded loaded(tiles());
  ASSERT_TRUE(loaded.engine) << loaded.status.str();
  const LaunchInfo &launch = loaded.engine->info().entries[0].launches[0];
  ASSERT_TRUE(launch.gpu);
  EXPECT_EQ(launch.gpu->grid.x, 4u);
  EXPECT_EQ(launch.gpu->grid.y, 5u);
  EXPECT_EQ(launch.gpu->block.x, 128u);
  EXPECT_EQ(launch.gpu->cluster.count(), 1u);
  ASSERT_EQ(launch.gpu->args.size(), 3u);
  EXPECT_EQ(launch.gpu->args[0].kind, GpuArgKind::TensorMap);
  EXPECT_EQ(launch.gpu->args[0].map->sizes[1], 37u);
  EXPECT_EQ(launch.gpu->args[1].arg, 1u);
  EXPECT_EQ(launch.gpu->args[2].bytes.size(), 4u);
}

struct GpuCase {
  const char *name;
  std::function<void(fb::EngineT &)> change;
  const char *message;
};

const GpuCase kShapes[] = {
    {"no-gpu", [](auto &e) { launch(e).gpu.reset(); }, "there is no grid"},
    {"cpu-code", [](auto &e) { e.code[0]->kind = fb::CodeKind::CpuObject; },
     "cpu-object code, but there is a grid"},
    {"no-grid", [](auto &e) { gpu(e).grid.reset(); }, "without grid"},
    {"no-block", [](auto &e) { gpu(e).block.reset(); },
     "without grid or block"},
    {"empty-grid", [](auto &e) { setDim(gpu(e).grid, 0); }, "grid (0, 1, 1)"},
    {"grid-y", [](auto &e) { setDim(gpu(e).grid, 1, 65536); },
     "grid (1, 65536, 1)"},
    {"grid-x", [](auto &e) { setDim(gpu(e).grid, ~0u); }, "grid (4294967295"},
    {"block-threads", [](auto &e) { setDim(gpu(e).block, 64, 32); },
     "at most 1024 threads"},
    {"block-z", [](auto &e) { setDim(gpu(e).block, 1, 1, 65); }, "block (1, 1"},
    {"block-wraps",
     [](auto &e) { setDim(gpu(e).block, 1u << 22, 1u << 21, 1u << 21); },
     "block ("},
    {"cluster-17", [](auto &e) { setDim(gpu(e).cluster, 17); },
     "wanted 1 to 16 CTAs"},
    {"cluster-wraps",
     [](auto &e) { setDim(gpu(e).cluster, 1u << 31, 1u << 31, 4); },
     "wanted 1 to 16 CTAs"},
    {"cluster-uneven", [](auto &e) { setDim(gpu(e).cluster, 3); },
     "is no multiple of the cluster (3, 1, 1)"},
    {"shared", [](auto &e) { gpu(e).shared_bytes = 232449; }, "232449 bytes"},
};

const GpuCase kArgs[] = {
    {"kind", [](auto &e) { arg(e, 1).kind = static_cast<fb::GpuArgKind>(3); },
     "parameter 1: unknown kind 3"},
    {"arg", [](auto &e) { arg(e, 1).arg = 2; }, "argument 2 of the launch"},
    {"offset", [](auto &e) { arg(e, 1).offset = ~0ull; },
     "parameter 1: offset 18446744073709551615"},
    {"no-bytes", [](auto &e) { arg(e, 2).bytes.clear(); }, "it has no bytes"},
    {"many-bytes", [](auto &e) { arg(e, 2).bytes.resize(40000); },
     "bytes of parameters, more than 32764"},
    {"not-passed", [](auto &e) { arg(e, 1).arg = 0; },
     "argument 1 is passed by no parameter"},
    {"many",
     [](auto &e) {
       for (int i = 0; i < 600; ++i)
         gpu(e).args.emplace_back(new fb::GpuArgT(arg(e, 1)));
     },
     "603 parameters"},
};

const GpuCase kMaps[] = {
    {"no-map", [](auto &e) { arg(e, 0).map.reset(); },
     "there is no tensor map"},
    {"rank-0", [](auto &e) { map(e).sizes.clear(); }, "with 0 sizes"},
    {"rank-6", [](auto &e) { map(e).sizes.resize(6); }, "with 6 sizes"},
    {"strides", [](auto &e) { map(e).strides.clear(); }, "0 strides"},
    {"box", [](auto &e) { map(e).box.push_back(1); }, "3 extents of the box"},
    {"element-strides", [](auto &e) { map(e).element_strides.pop_back(); },
     "1 element strides"},
    {"type", [](auto &e) { map(e).type = 16; }, "unknown type"},
    {"swizzle", [](auto &e) { map(e).swizzle = 7; },
     "unknown type, interleave"},
    {"fill", [](auto &e) { map(e).fill = 2; }, "unknown type, interleave"},
    {"box-257", [](auto &e) { map(e).box[1] = 257; }, "boxDim[1] is 257"},
    {"box-wraps", [](auto &e) { map(e).box[1] = 65544; }, "too large"},
    {"size-0", [](auto &e) { map(e).sizes[1] = 0; }, "globalDim[1] is 0"},
    {"stride-15", [](auto &e) { map(e).strides[0] = 200; }, "globalStrides[0]"},
    {"one-row-more", [](auto &e) { map(e).sizes[1] = 38; },
     "a tensor map over 7896 bytes at offset 0 of a value of 7696 bytes"},
    {"offset", [](auto &e) { arg(e, 0).offset = 16; },
     "7688 bytes at offset 16"},
    {"misaligned", [](auto &e) { arg(e, 0).offset = 8; }, "no multiple of 16"},
    {"huge",
     [](auto &e) {
       map(e).sizes[1] = 1ull << 32;
       map(e).strides[0] = (1ull << 40) - 16;
     },
     "a tensor map over"},
};

template <size_t N> void expectRefused(const GpuCase (&cases)[N]) {
  for (const GpuCase &c : cases) {
    Loaded loaded(withMetadata(tiles(), c.change));
    ASSERT_FALSE(loaded.status.ok()) << c.name;
    EXPECT_EQ(loaded.status.code(), Code::Malformed) << c.name;
    EXPECT_NE(loaded.status.str().find(c.message), std::string::npos)
        << c.name << ": " << loaded.status.str();
  }
}

TEST(GpuReader, RefusesSenselessShapes) { expectRefused(kShapes); }
TEST(GpuReader, RefusesSenselessParameters) { expectRefused(kArgs); }
TEST(GpuReader, RefusesSenselessTensorMaps) { expectRefused(kMaps); }

TEST(GpuReader, SurvivesFlippedBits) {
  std::mt19937 random(7);
  std::string metadata = metadataOf(tiles());
  for (int i = 0; i < 5000; ++i) {
    std::string changed = metadata;
    for (int flips = 1 + int(random() % 3); flips > 0; --flips)
      changed[random() % changed.size()] ^= char(1 << random() % 8);
    Loaded loaded(reseal(tiles(), changed));
    if (!loaded.engine)
      continue;
    // What is accepted keeps its promises.
    for (const EntryInfo &entry : loaded.engine->info().entries)
      for (const LaunchInfo &launch : entry.launches)
        for (const GpuArgInfo &arg : launch.gpu->args)
          if (arg.kind != GpuArgKind::Bytes) {
            ASSERT_LT(arg.arg, launch.args.size());
            ASSERT_LE(arg.offset, entry.values[launch.args[arg.arg]].byteSize);
          }
  }
}

} // namespace
