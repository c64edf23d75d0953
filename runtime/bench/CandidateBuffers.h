// Memory of a group of candidates: the same for all of them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_CANDIDATEBUFFERS_H
#define NIBBLE_RT_BENCH_CANDIDATEBUFFERS_H

#include "Candidates.h"

#include "nibble/rt/dtype.h"
#include "nibble/rt/session.h"

namespace nibble {
namespace rt {
namespace cli {

/// Inputs with random data, outputs. Large inputs but the activations exist
/// several times, to be used in turn: as many copies, 2 to 8, as it takes to
/// have twice the bytes of the device's cache between two uses of one.
/// Data (random_codes.h): activations have a standard deviation of 1, weights
/// of 1/sqrt(k), so that results are about 1; one in 512 is an outlier, 8 times
/// as large. Scales of blocks vary by a factor of 3; single numbers (scales of
/// results) are 1/128 to 1/64; integers are zeros.
class CandidateBuffers {
public:
  CandidateBuffers(Device &device, const EntryInfo &entry,
                   const ScheduleKey &key)
      : device(device), entry(entry), key(key) {}
  ~CandidateBuffers();
  CandidateBuffers(const CandidateBuffers &) = delete;

  Status create(uint64_t seed);
  uint64_t copies() const { return count; }
  /// Bytes of the inputs that exist several times, once.
  uint64_t rotatedBytes() const { return rotated; }

  /// Binds all ports of an entry point, inputs of copy `copy` mod copies().
  Status bind(Context &context, uint32_t entryIndex, uint64_t copy) const;
  Status poison(uint8_t byte) const;
  /// What kernels write of an output: its sections without the gaps. All of it
  /// if it has another layout than the linear one, whose gaps are not known.
  Result<std::vector<uint8_t>> read(uint32_t output) const;
  bool hasUnknownGaps() const; ///< of any output

private:
  bool isActivation(const PortInfo &port) const;
  void chooseCopies();
  Status fill(uint32_t input, uint64_t seed, void *memory) const;
  Result<StorageLayout> getSections(uint32_t input, const DType &type) const;
  Result<std::vector<uint8_t>> makeData(uint32_t input, uint64_t seed) const;
  Result<void *> allocate(uint64_t bytes);

  Device &device;
  const EntryInfo &entry;
  const ScheduleKey &key;
  uint64_t count = 1, rotated = 0;
  std::vector<bool> rotates;               ///< by input
  std::vector<std::vector<void *>> inputs; ///< by input, copy
  std::vector<void *> outputs;
  std::vector<std::pair<void *, uint64_t>> owned;
};

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_CANDIDATEBUFFERS_H
