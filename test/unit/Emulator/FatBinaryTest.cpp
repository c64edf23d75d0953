// Fat binaries: plain, LZ4, Zstandard; damaged ones; the choice of PTX.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/FatBinary.h"

#include <cstring>
#include <gtest/gtest.h>
#include <lz4.h>
#include <zstd.h>

using namespace nibble::emu;

namespace {

std::string ptxFor(const std::string &target) {
  std::string text = "// text of a kernel\n.version 9.0\n.target " + target +
                     ", debug\n.address_size 64\n";
  for (int i = 0; i < 50; ++i)
    text += "// line " + std::to_string(i * i) + "\n";
  return text;
}

std::string packed(const std::string &text, FatEntry::Packing packing) {
  std::string out(text.size() + 1000, '\0');
  if (packing == FatEntry::Zstd)
    out.resize(ZSTD_compress(&out[0], out.size(), text.data(), text.size(), 3));
  else if (packing == FatEntry::Lz4)
    out.resize(LZ4_compress_default(text.data(), &out[0], int(text.size()),
                                    int(out.size())));
  else
    out = text;
  return out;
}

template <typename T> void put(std::string &out, T value) {
  out.append(reinterpret_cast<const char *>(&value), sizeof(value));
}

/// As nvcc 13.0 writes them: an option of 16 bytes behind the header.
std::string entryOf(uint16_t kind, const std::string &text,
                    FatEntry::Packing packing, uint32_t arch) {
  std::string payload = packed(text, packing);
  uint64_t size = payload.size();
  payload.resize((size + 7) / 8 * 8);
  std::string out;
  put<uint16_t>(out, kind);
  put<uint16_t>(out, 0x101);
  put<uint32_t>(out, 80);
  put<uint64_t>(out, payload.size());
  put<uint32_t>(out, packing == FatEntry::Plain ? 0 : uint32_t(size));
  put<uint32_t>(out, 64);
  put<uint32_t>(out, 9u << 16);
  put<uint32_t>(out, arch);
  put<uint64_t>(out, 0);
  uint64_t flags[] = {0x11, 0x2011, 0x8011};
  put<uint64_t>(out, flags[packing]);
  put<uint64_t>(out, 0);
  put<uint64_t>(out, packing == FatEntry::Plain ? 0 : text.size());
  out.resize(80);
  return out + payload;
}

std::string fatOf(const std::string &entries) {
  std::string out;
  put<uint32_t>(out, kFatMagic);
  put<uint16_t>(out, 1);
  put<uint16_t>(out, 16);
  put<uint64_t>(out, entries.size());
  return out + entries;
}

/// The text that is chosen, or the error.
std::string chosen(const std::string &fat, const std::string &device) {
  std::vector<FatEntry> entries;
  std::string text, error;
  if (!readFatBinary(fat.data(), fat.size(), entries, error) ||
      !choosePtx(entries, device, text, error))
    return "error: " + error;
  return text;
}

TEST(FatBinary, UnpacksEveryKind) {
  for (auto packing : {FatEntry::Plain, FatEntry::Lz4, FatEntry::Zstd})
    EXPECT_EQ(
        chosen(fatOf(entryOf(1, ptxFor("sm_90a"), packing, 90)), "sm_90a"),
        ptxFor("sm_90a"))
        << packing;
}

TEST(FatBinary, TakesTheBestTarget) {
  std::string fat;
  for (const char *target : {"sm_80", "sm_90", "sm_90a", "sm_110a"})
    fat += entryOf(1, ptxFor(target), FatEntry::Lz4, 80);
  fat = fatOf(entryOf(2, "machine code", FatEntry::Plain, 90) + fat);
  EXPECT_EQ(chosen(fat, "sm_90a"), ptxFor("sm_90a"));
  EXPECT_EQ(chosen(fat, "sm_110a"), ptxFor("sm_110a"));
  EXPECT_EQ(chosen(fat, "sm_100a"), ptxFor("sm_90"));
  EXPECT_EQ(chosen(fat, "sm_86"), ptxFor("sm_80"));
}

TEST(FatBinary, SaysWhatItHasIfNothingFits) {
  std::string fat = fatOf(entryOf(2, "code", FatEntry::Plain, 90) +
                          entryOf(1, ptxFor("sm_110a"), FatEntry::Zstd, 110));
  EXPECT_EQ(chosen(fat, "sm_90a"),
            "error: it holds no PTX for sm_90a: machine code of sm_90, PTX of "
            "sm_110a. Compile with -gencode arch=compute_90a,code=compute_90a");
}

TEST(FatBinary, EveryTruncationIsAnError) {
  std::string fat = fatOf(entryOf(1, ptxFor("sm_90a"), FatEntry::Zstd, 90));
  for (size_t size = 0; size < fat.size(); ++size) {
    // A copy of exactly that size, so that reads beyond it are seen.
    std::vector<char> copy(fat.begin(), fat.begin() + long(size));
    std::vector<FatEntry> entries;
    std::string error;
    EXPECT_FALSE(readFatBinary(copy.data(), size, entries, error)) << size;
    EXPECT_NE(error, "") << size;
  }
}

TEST(FatBinary, DamagedBytesAreErrorsOrOtherText) {
  for (auto packing : {FatEntry::Lz4, FatEntry::Zstd}) {
    std::string fat = fatOf(entryOf(1, ptxFor("sm_90a"), packing, 90));
    for (size_t at = 0; at < fat.size(); ++at)
      for (int bit : {0, 3, 7}) {
        std::string damaged = fat;
        damaged[at] = char(damaged[at] ^ 1 << bit);
        std::string text = chosen(damaged, "sm_90a");
        EXPECT_NE(text, "");
      }
  }
}

TEST(FatBinary, SizesThatLieAreRefused) {
  std::string fat = fatOf(entryOf(1, ptxFor("sm_90a"), FatEntry::Zstd, 90));
  uint64_t huge = uint64_t(1) << 40;
  std::memcpy(&fat[16 + 56], &huge, 8); // unpacked size
  EXPECT_EQ(chosen(fat, "sm_90a"),
            "error: the sizes of an entry contradict each other");
}

} // namespace
