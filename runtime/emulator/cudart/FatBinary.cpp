// Fat binaries: entries, unpacking, choice.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/FatBinary.h"

#include <cstdlib>
#include <cstring>

#include <lz4.h>
#include <zstd.h>

using namespace nibble::emu;

namespace {
struct FatHeader {
  uint32_t magic;
  uint16_t version, headerBytes;
  uint64_t bytes; ///< of the entries
};
struct EntryHeader {
  uint16_t kind, version;
  uint32_t headerBytes;
  uint64_t payloadBytes;
  uint32_t compressedBytes, optionsOffset;
  uint16_t minor, major; ///< of PTX
  uint32_t arch;
  uint32_t nameOffset, nameBytes;
  uint64_t flags;
  uint64_t reserved;
  uint64_t unpackedBytes;
};
static_assert(sizeof(FatHeader) == 16 && sizeof(EntryHeader) == 64,
              "layouts of the file");
constexpr uint64_t kFlagLz4 = 0x2000, kFlagZstd = 0x8000;

template <typename T> T read(const char *from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

bool fail(std::string &error, const std::string &text) {
  error = text;
  return false;
}
} // namespace

static FatEntry::Packing packingOf(uint64_t flags) {
  if (flags & kFlagZstd)
    return FatEntry::Zstd;
  return flags & kFlagLz4 ? FatEntry::Lz4 : FatEntry::Plain;
}

/// Reads the entry at `at` and moves it behind.
static bool readEntry(const char *&at, const char *end, FatEntry &entry,
                      std::string &error) {
  uint64_t left = end - at;
  if (left < sizeof(EntryHeader))
    return fail(error,
                "an entry is cut off after " + std::to_string(left) + " bytes");
  auto header = read<EntryHeader>(at);
  if (header.headerBytes < sizeof(EntryHeader) || header.headerBytes > left ||
      header.payloadBytes > left - header.headerBytes)
    return fail(error, "an entry of " + std::to_string(header.payloadBytes) +
                           " bytes lies beyond the end");
  entry.kind = header.kind;
  entry.arch = header.arch;
  entry.packing = packingOf(header.flags);
  entry.payload = at + header.headerBytes;
  bool packed = entry.packing != FatEntry::Plain;
  entry.bytes = packed ? header.compressedBytes : header.payloadBytes;
  entry.unpacked = packed ? header.unpackedBytes : header.payloadBytes;
  if (entry.bytes > header.payloadBytes || entry.unpacked > kMaxFatEntry)
    return fail(error, "the sizes of an entry contradict each other");
  at = entry.payload + header.payloadBytes;
  return true;
}

bool nibble::emu::readFatBinary(const void *data, uint64_t limit,
                                std::vector<FatEntry> &entries,
                                std::string &error) {
  const char *at = static_cast<const char *>(data);
  if (limit < sizeof(FatHeader))
    return fail(error, "it has no header");
  auto header = read<FatHeader>(at);
  if (header.magic != kFatMagic || header.version != 1 ||
      header.headerBytes < sizeof(FatHeader))
    return fail(error, "it is not a fat binary of version 1");
  if (header.headerBytes > limit || header.bytes > limit - header.headerBytes)
    return fail(error, "it is longer than its file");
  at += header.headerBytes;
  for (const char *end = at + header.bytes; at != end;) {
    FatEntry entry;
    if (!readEntry(at, end, entry, error))
      return false;
    entries.push_back(entry);
  }
  return true;
}

static bool unpack(const FatEntry &entry, std::string &text) {
  if (entry.packing == FatEntry::Zstd)
    return ZSTD_decompress(&text[0], text.size(), entry.payload, entry.bytes) ==
           text.size();
  int got = LZ4_decompress_safe(entry.payload, &text[0], int(entry.bytes),
                                int(text.size()));
  return got >= 0 && size_t(got) == text.size();
}

bool nibble::emu::unpackEntry(const FatEntry &entry, std::string &text,
                              std::string &error) {
  if (entry.packing == FatEntry::Plain) {
    text.assign(entry.payload, entry.bytes);
  } else {
    text.assign(entry.unpacked, '\0');
    if (!unpack(entry, text))
      return fail(error, "its compressed entry for sm_" +
                             std::to_string(entry.arch) + " is damaged");
  }
  text.resize(std::strlen(text.c_str())); // padding of the entry
  return true;
}

std::string nibble::emu::targetOf(const std::string &ptx) {
  size_t at = ptx.find(".target");
  if (at == std::string::npos)
    return "";
  at = ptx.find("sm_", at);
  size_t end =
      ptx.find_first_not_of("abcdefghijklmnopqrstuvwxyz_0123456789", at);
  return at == std::string::npos ? "" : ptx.substr(at, end - at);
}

/// 0: does not run on `device`; else more for what fits better.
static unsigned rank(const std::string &target, const std::string &device) {
  if (target == device)
    return ~0u;
  bool portable =
      !target.empty() && target.back() >= '0' && target.back() <= '9';
  unsigned arch = target.size() > 3 ? std::atoi(target.c_str() + 3) : 0;
  unsigned own = std::atoi(device.c_str() + 3);
  return portable && arch <= own ? arch : 0;
}

bool nibble::emu::choosePtx(const std::vector<FatEntry> &entries,
                            const std::string &device, std::string &text,
                            std::string &error) {
  unsigned best = 0;
  std::string have;
  for (const FatEntry &entry : entries) {
    std::string candidate;
    if (entry.kind != FatEntry::Ptx) {
      have += " machine code of sm_" + std::to_string(entry.arch) + ",";
      continue;
    }
    if (!unpackEntry(entry, candidate, error))
      return false;
    std::string target = targetOf(candidate);
    have += " PTX of " + target + ",";
    unsigned fits = rank(target, device);
    if (fits > best) {
      best = fits;
      text = std::move(candidate);
    }
  }
  if (best)
    return true;
  if (!have.empty())
    have.back() = '.';
  return fail(error, "it holds no PTX for " + device + ":" +
                         (have.empty() ? " nothing at all." : have) +
                         " Compile with -gencode arch=compute_" +
                         device.substr(3) + ",code=compute_" +
                         device.substr(3));
}
