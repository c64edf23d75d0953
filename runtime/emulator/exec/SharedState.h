// What is known of each byte of shared memory: written or not, in the hands of
// asynchronous work, fenced. SPDX-License-Identifier: Apache-2.0 WITH
// LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_SHAREDSTATE_H
#define NIBBLE_RT_EMULATOR_EXEC_SHAREDSTATE_H

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

namespace nibble {
namespace emu {

class SharedState {
public:
  enum Flags : uint8_t {
    Written = 1,      ///< has a value
    PendingWrite = 2, ///< an asynchronous copy will write it
    PendingRead = 4   ///< an asynchronous copy has not read it yet
  };

  void resize(size_t bytes) {
    flags.assign(bytes, 0);
    epochs.assign((bytes + kGranule - 1) / kGranule, 0);
    readers.assign(epochs.size(), 0);
  }
  /// Flags that any, or all, of the bytes have.
  uint8_t any(uint32_t offset, uint32_t bytes) const {
    uint64_t words = 0;
    forWords(offset, bytes, [&](uint64_t word) { words |= word; });
    uint8_t found = fold(words, [](uint64_t a, uint64_t b) { return a | b; });
    for (uint32_t g = offset / kGranule; g <= (offset + bytes - 1) / kGranule;
         ++g)
      if (readers[g])
        found |= PendingRead;
    return found;
  }
  /// Asynchronous operations that still read bytes, by 16 of them.
  void addReader(uint32_t offset, uint32_t bytes, int count) {
    for (uint32_t g = offset / kGranule; g <= (offset + bytes - 1) / kGranule;
         ++g)
      readers[g] = uint16_t(readers[g] + count);
  }
  /// End of the bytes that have ever been written.
  size_t endOfWritten() const {
    size_t end = flags.size();
    while (end && !(flags[end - 1] & Written))
      --end;
    return end;
  }
  bool allWritten(uint32_t offset, uint32_t bytes) const {
    uint64_t found = ~uint64_t(0);
    forWords(offset, bytes, [&](uint64_t word) { found &= word; });
    return fold(found, [](uint64_t a, uint64_t b) { return a & b; }) & Written;
  }
  void set(uint32_t offset, uint32_t bytes, uint8_t what) {
    for (uint32_t i = 0; i < bytes; ++i)
      flags[offset + i] |= what;
  }
  void clear(uint32_t offset, uint32_t bytes, uint8_t what) {
    for (uint32_t i = 0; i < bytes; ++i)
      flags[offset + i] &= uint8_t(~what);
  }

  /// A write through the generic proxy; the asynchronous proxy sees it after
  /// the next fence.
  void noteGenericWrite(uint32_t offset, uint32_t bytes) {
    ++epoch;
    for (uint32_t g = offset / kGranule; g <= (offset + bytes - 1) / kGranule;
         ++g)
      epochs[g] = epoch;
  }
  void fence() { fenced = epoch; }
  bool isFenced(uint32_t offset, uint32_t bytes) const {
    for (uint32_t g = offset / kGranule; g <= (offset + bytes - 1) / kGranule;
         ++g)
      if (epochs[g] > fenced)
        return false;
    return true;
  }

private:
  static constexpr uint32_t kGranule = 16;

  /// Eight flags at a time; a byte that is alone comes eight times.
  template <typename F>
  void forWords(uint32_t offset, uint32_t bytes, F f) const {
    uint32_t i = 0;
    for (uint64_t word; i + sizeof word <= bytes; i += sizeof word) {
      std::memcpy(&word, &flags[offset + i], sizeof word);
      f(word);
    }
    for (; i < bytes; ++i)
      f(flags[offset + i] * 0x0101010101010101u);
  }
  template <typename F> static uint8_t fold(uint64_t word, F f) {
    for (unsigned shift : {32u, 16u, 8u})
      word = f(word, word >> shift);
    return uint8_t(word);
  }

  std::vector<uint8_t> flags;
  std::vector<uint16_t> readers; ///< per granule
  std::vector<uint64_t> epochs;  ///< of the last generic write
  uint64_t epoch = 0, fenced = 0;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_SHAREDSTATE_H
