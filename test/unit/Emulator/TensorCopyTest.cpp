// Tensor copies where the documentation is silent: what an H200 did. Shapes
// and swizzles: test/emulator/suite.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RunHarness.h"

#include "exec/TensorMap.h"

using namespace nibble::emu;

namespace {

using Sizes = std::vector<uint64_t>;

/// A map over nothing yet; rows as long as they are, up to 16 bytes.
TensorMap mapOf(TensorType type, Sizes sizes, Sizes box,
                TensorSwizzle swizzle = TensorSwizzle::None) {
  TensorMap map;
  map.mark = TensorMap::kMark;
  map.type = type;
  map.rank = uint32_t(sizes.size());
  map.swizzle = uint8_t(swizzle);
  uint64_t stride = (sizes[0] * map.bits() / 8 + 15) / 16 * 16;
  for (unsigned d = 0; d < map.rank; ++d) {
    map.sizes[d] = sizes[d];
    map.box[d] = uint16_t(box[d]);
    map.elementStrides[d] = 1;
    if (d > 0)
      map.strides[d - 1] = stride;
    stride *= d > 0 ? sizes[d] : 1;
  }
  return map;
}

constexpr uint32_t kPoison = 0xA5A5A5A5;

/// One thread that copies a box; `shared` bytes of it.
class Copy {
public:
  Copy(TensorMap map, std::string coordinates, uint32_t shared)
      : map(map), coordinates(std::move(coordinates)), shared(shared) {}
  bool poisoned = true; ///< shared memory is written before
  uint32_t pattern = 0; ///< byte i of it is 0xA5 ^ (i / 4 & pattern)
  uint64_t tensorBytes = 8192;

  /// Loads from a tensor whose byte i is `content(i)`; shared memory behind.
  /// Words `first` and later are looked at.
  template <typename F> std::string load(F content, uint32_t first = 0) {
    std::string dump;
    for (uint32_t w = first; w < shared / 4; ++w)
      dump += "ld.shared.u32 %r3, [%r1+" + std::to_string(4 * w) +
              "]; st.global.u32 [%out+" + std::to_string(4 * w) + "], %r3;\n";
    return run(
        content,
        "mbarrier.init.shared.b64 [%r2], 1; fence.mbarrier_init.release."
        "cluster; mbarrier.arrive.expect_tx.shared.b64 _, [%r2], " +
            std::to_string(map.transactionBytes()) +
            ";\ncp.async.bulk.tensor." + std::to_string(map.rank) +
            "d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
            "[%r1], [%in, {" +
            coordinates +
            "}], [%r2];\nL: mbarrier.try_wait.parity.shared.b64 %p1, [%r2], "
            "0; @!%p1 bra L;\n" +
            dump);
  }
  /// Stores, or reduces; `tensor` behind.
  template <typename F>
  std::string store(F content, const std::string &reduction = "") {
    return run(content, (reduction.empty() ? "cp.async" : "cp.reduce.async") +
                            std::string(".bulk.tensor.") +
                            std::to_string(map.rank) + "d.global.shared::cta" +
                            reduction + ".tile.bulk_group [%in, {" +
                            coordinates +
                            "}], [%r1]; cp.async.bulk.commit_group; "
                            "cp.async.bulk.wait_group 0;");
  }

  std::vector<uint8_t> result, tensor;

private:
  template <typename F> std::string run(F content, const std::string &body) {
    std::string fill;
    for (uint32_t w = 0; poisoned && w < shared / 4; ++w)
      fill += "st.shared.u32 [%r1+" + std::to_string(4 * w) + "], " +
              std::to_string(kPoison ^ (w & pattern) * 0x01010101) + ";\n";
    Device device(kernelOf("mov.u32 %r1, s; mov.u32 %r2, b;\n" + fill +
                               "fence.proxy.async;\n" + body,
                           "",
                           ".shared .align 128 .b8 s[" +
                               std::to_string(shared) +
                               "]; .shared .align 8 .b64 b;\n"));
    std::vector<uint8_t> bytes(tensorBytes);
    for (size_t i = 0; i < bytes.size(); ++i)
      bytes[i] = uint8_t(content(i));
    uint8_t *at = device.upload(bytes, "the tensor");
    map.address = uint64_t(at);
    EXPECT_EQ(checkTensorMap(map), "");
    uint8_t *out = device.upload(std::vector<uint8_t>(shared));
    std::vector<TensorMap> maps(2, map); // 64-byte steps
    std::string fault = device.run(
        1, {uint64_t(out), uint64_t(device.upload(maps, "the map"))});
    result.assign(out, out + shared);
    tensor.assign(at, at + tensorBytes);
    return fault;
  }

  TensorMap map;
  std::string coordinates;
  uint32_t shared;
};

uint8_t number(size_t i) { return uint8_t(i * 7 + i / 256); }

//===--- Coordinates ------------------------------------------------------===//

std::string loadAt(TensorType type, const std::string &x) {
  return Copy(mapOf(type, {72, 4}, {16, 2}), x + ", 0", 256).load(number);
}

TEST(TensorCopy, TheFirstCoordinateIsAMultipleOf16Bytes) {
  for (const char *x : {"0", "16", "-16", "64", "32", "-48"})
    EXPECT_EQ(loadAt(TensorType::U8, x), "") << x;
  for (const char *x : {"24", "8", "1", "-8", "-40"})
    EXPECT_FAULT(loadAt(TensorType::U8, x), "multiple of 16 bytes");
  for (const char *x : {"0", "24", "-8", "56", "64", "40", "-40"})
    EXPECT_EQ(loadAt(TensorType::F16, x), "") << x;
  for (const char *x : {"1", "-1", "3", "4"})
    EXPECT_FAULT(loadAt(TensorType::F16, x), "illegal instruction");
  EXPECT_EQ(loadAt(TensorType::F32, "4"), "");
  EXPECT_FAULT(loadAt(TensorType::F32, "2"), "here 4 elements");
  EXPECT_EQ(loadAt(TensorType::U64, "-2"), "");
  EXPECT_FAULT(loadAt(TensorType::U64, "3"), "here 2 elements");
  auto store = [](const char *x, const char *op) {
    return Copy(mapOf(TensorType::F16, {72, 4}, {16, 2}),
                std::string(x) + ", 0", 64)
        .store(number, op);
  };
  for (const char *op : {"", ".min"}) {
    EXPECT_EQ(store("8", op), "");
    EXPECT_FAULT(store("1", op), "illegal instruction");
    EXPECT_FAULT(store("4", op), "illegal instruction");
  }
}

TEST(TensorCopy, OnlyLoadsBeginBeforeTheTensor) {
  TensorMap map = mapOf(TensorType::U32, {24, 6, 5}, {8, 2, 2});
  for (const char *at : {"-4, 0, 0", "0, -1, 0", "0, 0, -1", "-8, -3, -2"}) {
    EXPECT_EQ(Copy(map, at, 128).load(number), "") << at;
    for (const char *op : {"", ".add", ".xor"})
      EXPECT_FAULT(Copy(map, at, 128).store(number, op), "is negative");
  }
  for (const char *at : {"20, 5, 4", "24, 0, 0", "0, 6, 0", "0, 0, 9"})
    EXPECT_EQ(Copy(map, at, 128).store(number), "") << at;
}

//===--- Granules of 16 bytes ---------------------------------------------===//

/// Rows of 2 * 65 bytes, 144 apart: bytes 130 to 143 of each are written too,
/// but not by loads into shared memory.
TEST(TensorCopy, StoresWriteWholeGranules) {
  Copy copy(mapOf(TensorType::F16, {65, 4}, {16, 2}), "56, 1", 64);
  ASSERT_EQ(copy.store(number), "");
  for (size_t i = 0; i < copy.tensor.size(); ++i) {
    size_t row = i / 144, byte = i % 144;
    bool written = (row == 1 || row == 2) && byte >= 112;
    EXPECT_EQ(copy.tensor[i], written ? 0xA5 : number(i)) << i;
  }
  Copy loaded(mapOf(TensorType::F16, {65, 4}, {16, 2}), "56, 1", 64);
  ASSERT_EQ(loaded.load(number), "");
  for (size_t i = 0; i < 64; ++i) {
    size_t byte = 112 + i % 32;
    EXPECT_EQ(loaded.result[i],
              byte < 130 ? number(144 * (1 + i / 32) + byte) : 0)
        << i;
  }
}

TEST(TensorCopy, GranulesBelongToTheMemory) {
  Copy fits(mapOf(TensorType::U8, {1000}, {64}), "960", 64);
  fits.tensorBytes = 1008;
  EXPECT_EQ(fits.store(number), "");
  EXPECT_EQ(fits.tensor[959], number(959));
  EXPECT_EQ(fits.tensor[1007], 0xA5);
  Copy tight(mapOf(TensorType::U8, {1000}, {64}), "960", 64);
  tight.tensorBytes = 1000;
  EXPECT_FAULT(tight.store(number), "whole granules of 16 bytes");
  Copy load(mapOf(TensorType::U8, {1000}, {64}), "960", 64);
  load.tensorBytes = 1000;
  EXPECT_EQ(load.load(number), "");
}

//===--- Rows narrower than a swizzle -------------------------------------===//

struct Narrow {
  TensorSwizzle swizzle;
  uint32_t span, mask, atom; ///< chunk c of row i lies at c ^ (...)
};
const Narrow kNarrow[] = {{TensorSwizzle::B32, 32, 1, 1},
                          {TensorSwizzle::B64, 64, 3, 1},
                          {TensorSwizzle::B128, 128, 7, 1},
                          {TensorSwizzle::B128Atom32, 128, 3, 2},
                          {TensorSwizzle::B128Atom64, 128, 1, 4}};

/// Where chunk c of 16 bytes of row i lies: the pattern counts rows of 128.
uint32_t placeOf(const Narrow &n, uint32_t row, uint32_t chunk) {
  uint32_t at = row * n.span + chunk * 16;
  return at ^ ((at / 128 & n.mask) * n.atom * 16);
}

TEST(TensorCopy, NarrowRowsLieAtThePitchOfTheSwizzle) {
  for (const Narrow &n : kNarrow) {
    uint32_t chunks = n.span / 32, rows = 12, bytes = rows * n.span;
    TensorMap map = mapOf(TensorType::BF16, {72, 20}, {8 * chunks, rows},
                          n.swizzle); // rows of 144 bytes
    EXPECT_EQ(map.boxBytes(), bytes);
    EXPECT_EQ(map.transactionBytes(), rows * chunks * 16);
    std::vector<uint8_t> want(bytes, 0xA5);
    for (uint32_t r = 0; r < rows; ++r)
      for (uint32_t i = 0; i < chunks * 16; ++i)
        want[placeOf(n, r, i / 16) + i % 16] = number(144 * (3 + r) + 16 + i);
    Copy copy(map, "8, 3", bytes);
    ASSERT_EQ(copy.load(number), "") << n.span;
    EXPECT_EQ(copy.result, want) << n.span << " " << n.mask;
    Copy small(map, "8, 3", bytes - n.span);
    EXPECT_FAULT(small.load(number), "because of the swizzle");
  }
}

/// What lies between the rows is not read; what is written comes from there.
TEST(TensorCopy, NarrowRowsAreStoredFromThePitch) {
  for (const Narrow &n : kNarrow) {
    uint32_t chunks = n.span / 32, rows = 5, bytes = 16 * chunks;
    TensorMap map =
        mapOf(TensorType::BF16, {72, 20}, {8 * chunks, rows}, n.swizzle);
    Copy copy(map, "8, 3", rows * n.span);
    copy.pattern = 255;
    ASSERT_EQ(copy.store(number), "");
    for (size_t i = 0; i < copy.tensor.size(); ++i) {
      size_t row = i / 144, byte = i % 144;
      bool written = row >= 3 && row < 8 && byte >= 16 && byte < 16 + bytes;
      uint32_t from = written ? placeOf(n, row - 3, (byte - 16) / 16) : 0;
      uint8_t stored = uint8_t(0xA5 ^ (from + byte % 16) / 4);
      EXPECT_EQ(copy.tensor[i], written ? stored : number(i)) << i;
    }
  }
}

TEST(TensorCopy, GapsStayUnwritten) {
  TensorMap map =
      mapOf(TensorType::BF16, {72, 20}, {16, 2}, TensorSwizzle::B128);
  Copy rows(map, "8, 3", 176); // row 1: chunks 1 and 0 at 144 and 128... 159
  rows.poisoned = false;
  EXPECT_FAULT(rows.load(number, 8), "nobody has written"); // 32 to 127
  Copy last(map, "8, 3", 160);
  last.poisoned = false;
  EXPECT_EQ(last.load(number, 32), ""); // 128 to 159: row 1
}

//===--- Values -----------------------------------------------------------===//

TEST(TensorCopy, FillsWithSevenFfSeven) {
  TensorMap map = mapOf(TensorType::F32, {6, 2}, {8, 2});
  map.fill = 1;
  Copy copy(map, "0, 1", 64);
  ASSERT_EQ(copy.load(number), "");
  for (size_t i = 0; i < 64; ++i)
    EXPECT_EQ(copy.result[i], i < 24 ? number(32 + i) : i % 2 ? 0x7F : 0xF7);
  map.type = TensorType::U32;
  map.address = 16;
  EXPECT_FAULT(checkTensorMap(map), "NaN");
}

TEST(TensorCopy, RoundsToTf32ButFlushesNothing) {
  const uint32_t in[] = {0x000b1456, 0x00533613, 0x3011f87f, 0x7f91aaec,
                         0xffc2f2d0, 0x80000001, 0x7f7fffff, 0xff800000};
  const uint32_t out[] = {0x000b2000, 0x00534000, 0x30120000, 0x7fffe000,
                          0x7fffe000, 0x80000000, 0x7f800000, 0xff800000};
  auto content = [&](size_t i) {
    return i < sizeof in ? reinterpret_cast<const uint8_t *>(in)[i] : 0;
  };
  for (TensorType type :
       {TensorType::TF32, TensorType::TF32Ftz, TensorType::F32Ftz}) {
    Copy copy(mapOf(type, {8}, {8}), "0", 32);
    ASSERT_EQ(copy.load(content), "");
    EXPECT_EQ(std::memcmp(copy.result.data(),
                          type == TensorType::F32Ftz ? in : out, sizeof out),
              0);
  }
}

//===--- Maps -------------------------------------------------------------===//

/// cuTensorMapEncodeTiled refuses the second with CUDA_ERROR_INVALID_VALUE.
TEST(TensorCopy, ElementStridesDoNotMakeRowsNarrower) {
  TensorMap map = mapOf(TensorType::U32, {64, 8}, {32, 2});
  map.address = 256;
  map.elementStrides[0] = 2;
  EXPECT_EQ(checkTensorMap(map), "");
  EXPECT_EQ(map.rowBytes(), 128u);
  map.swizzle = uint8_t(TensorSwizzle::B64);
  EXPECT_FAULT(checkTensorMap(map), "more than the 64 of its swizzle");
  map.swizzle = uint8_t(TensorSwizzle::B128);
  EXPECT_EQ(checkTensorMap(map), "");
}

TEST(TensorCopy, PaddedTypesBeginAtMultiplesOf128Elements) {
  TensorMap map = mapOf(TensorType::U4Align16, {256, 4}, {128, 2});
  EXPECT_EQ(map.transactionBytes(), 128u);
  EXPECT_EQ(map.boxBytes(), 256u);
  for (const char *at : {"0, 0", "128, 1", "-128, 0"})
    EXPECT_EQ(Copy(map, at, 256).load(number), "") << at;
  EXPECT_FAULT(Copy(map, "64, 0", 256).load(number), "128 elements");
}

//===--- Sums of an H100 --------------------------------------------------===//

/// D of one mma: products 448^2 and 1.5 * 2^-7, and C. ulp(448^2) = 2^-6.
float productOfFp8(uint32_t c, bool hopper) {
  Device device(kernelOf(
      "and.b32 %r1, %lane, 3; setp.eq.u32 %p1, %r1, 0;"
      "selp.b32 %r2, 0x247e, 0, %p1; selp.b32 %r3, 0x187e, 0, %p1;"
      "mov.b32 %r4, 0; mov.b32 %f5, " +
      std::to_string(c) +
      ";"
      "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 "
      "{%f1,%f2,%f3,%f4},{%r2,%r2,%r4,%r4},{%r3,%r4},{%f5,%f5,%f5,%f5};"
      "st.global.f32 [%out], %f4;"));
  float *out = device.upload(std::vector<float>(32));
  Module::LaunchConfig config;
  config.block.x = 32;
  config.hopperSums = hopper;
  EXPECT_EQ(device.run(config, {uint64_t(out), 0}), "");
  return out[31];
}

TEST(HopperSums, MmaOfFp8CutsProductsOffAndRoundsCToNearest) {
  const uint32_t small = 0x3C400000; // 1.5 * 2^-7
  EXPECT_EQ(productOfFp8(0, false), 200704 + 0x1p-6f);
  EXPECT_EQ(productOfFp8(0, true), 200704);
  EXPECT_EQ(productOfFp8(small, true), 200704 + 0x1p-6f);
}

TEST(HopperSums, AreThoseOfHopper) {
  Device device(kernelOf(""), "sm_100a");
  Module::LaunchConfig config;
  config.hopperSums = true;
  EXPECT_FAULT(device.run(config, {0, 0}), "sm_90a");
}

} // namespace
