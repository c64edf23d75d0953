// Fat binaries: what nvcc embeds in programs; the PTX texts in them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A header (magic, version 1, size of itself in 16 bits, size of what follows
// in 64), then entries: a header each (kind, its size, payload size, compressed
// size, PTX version, number of the architecture, flags, size when unpacked),
// then the payload. Payloads are plain, LZ4 blocks, or Zstandard frames.
#ifndef NIBBLE_RT_EMULATOR_CUDART_FATBINARY_H
#define NIBBLE_RT_EMULATOR_CUDART_FATBINARY_H

#include <cstdint>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

/// An entry of a fat binary. Payloads point into it.
struct FatEntry {
  enum Kind : uint16_t { Ptx = 1, Elf = 2 };
  enum Packing : uint8_t { Plain, Lz4, Zstd };
  uint16_t kind = 0;
  Packing packing = Plain;
  unsigned arch = 0; ///< 90: sm_90, sm_90a or sm_90f
  const char *payload = nullptr;
  uint64_t bytes = 0;    ///< of the payload
  uint64_t unpacked = 0; ///< bytes of the text or image
};

/// Magic number of a fat binary and of the struct that points to one, which
/// programs register.
constexpr uint32_t kFatMagic = 0xBA55ED50, kFatWrapperMagic = 0x466243B1;
/// What an entry may unpack to; nvcc's largest are a few MiB.
constexpr uint64_t kMaxFatEntry = uint64_t(1) << 30;

/// The entries in order, or false with what is wrong in `error`. Reads at most
/// `limit` bytes.
bool readFatBinary(const void *data, uint64_t limit,
                   std::vector<FatEntry> &entries, std::string &error);

/// The text of a PTX entry.
bool unpackEntry(const FatEntry &entry, std::string &text, std::string &error);

/// The value of the .target directive ("sm_90a"), or "".
std::string targetOf(const std::string &ptx);

/// The PTX that runs best on `device` ("sm_90a"): of exactly that target, else
/// of the highest one whose code runs on later machines, too. The error lists
/// what there is.
bool choosePtx(const std::vector<FatEntry> &entries, const std::string &device,
               std::string &text, std::string &error);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_CUDART_FATBINARY_H
