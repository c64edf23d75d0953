// The bytes of a packed constant on their way to the file.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PackedStream.h"

#include <cstring>

using namespace llvm;
using namespace nibble;
using nibble::rt::Status;

PackedStream::PackedStream(unsigned bits, ArrayRef<int64_t> swizzle,
                           const AppendBytes &append)
    : bits(bits), windowBytes(1), append(append) {
  buffer.reserve(kChunk + kChunk / 4);
  if (swizzle.empty())
    return;
  if (swizzle.size() == 4) {
    words = nq::WordCode(swizzle[3]);
    windowBytes = 4;
    return;
  }
  int64_t width = swizzle[0], base = swizzle[1], shift = swizzle[2];
  permutation.resize(size_t(1) << (width + base + shift));
  uint32_t mask = (uint32_t(1) << width) - 1;
  for (auto [element, place] : enumerate(permutation))
    place = element ^ (((element >> (base + shift)) & mask) << base);
  windowBytes = std::max<size_t>(1, permutation.size() * bits / 8);
}

Status PackedStream::flush(bool everything) {
  size_t size =
      everything ? buffer.size() : buffer.size() - buffer.size() % windowBytes;
  if (!permutation.empty())
    for (size_t at = 0; at < size; at += windowBytes)
      swizzleWindow(buffer.data() + at);
  nq::mixWords(words, {buffer.data(), size});
  Status status = append(buffer.data(), size);
  buffer.erase(buffer.begin(), buffer.begin() + size);
  done += size;
  return status;
}

void PackedStream::swizzleWindow(char *window) {
  scratch.assign(window, window + windowBytes);
  if (bits == 4) {
    std::memset(window, 0, windowBytes);
    for (auto [element, place] : enumerate(permutation)) {
      unsigned code = (uint8_t(scratch[element / 2]) >> (element % 2 * 4)) & 15;
      window[place / 2] |= code << (place % 2 * 4);
    }
    return;
  }
  size_t size = bits / 8;
  for (auto [element, place] : enumerate(permutation))
    std::memcpy(window + place * size, scratch.data() + element * size, size);
}

Status PackedStream::finish(int64_t elements) {
  uint64_t total = (uint64_t(elements) * bits + 7) / 8;
  halfFull = false;
  buffer.resize(total - done);
  return flush(true);
}
