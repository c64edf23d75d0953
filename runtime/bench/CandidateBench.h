// Compares results and times of the candidates of a group.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_CANDIDATEBENCH_H
#define NIBBLE_RT_BENCH_CANDIDATEBENCH_H

#include "CandidateBuffers.h"
#include "StepLimit.h"

namespace nibble {
namespace rt {
namespace cli {

/// Results: all candidates get the same inputs, two different sets of them, and
/// outputs that were filled with NaN. They must be equal bit for bit, every
/// element of them written, and still so when all was measured; who is not with
/// the majority is marked wrong. Where K is cut into other numbers of slices,
/// sums are rounded otherwise: bits are compared among those of one number, and
/// these with the most frequent ones within a tolerance (CandidateCompare.h).
/// Times, by events around replays of recorded launches (where a device records
/// none, around launches), the candidates of each round in a random order:
///   cool   3 to 8 launches after idling for `pause`, behind as many that are
///          not timed
///   hot    launches back to back for at least `hot`, after as long untimed, so
///          that the power control of a card has settled
/// After two rounds candidates that are more than a quarter behind the best are
/// dropped, but three always stay.
class CandidateBench {
public:
  CandidateBench(Context &context, const CandidateOptions &options,
                 Streams streams);
  Status run(CandidateGroup &group);

private:
  struct Recorded;
  /// Hashes of the outputs of a candidate for a copy of the inputs.
  Result<uint64_t> runOnce(const Candidate &candidate, uint64_t copy,
                           uint8_t poison);
  Status compare(CandidateGroup &group, uint64_t copy, const char *when);
  Result<std::vector<std::vector<uint8_t>>>
  readOutputs(const Candidate &candidate, uint64_t copy);
  /// Marks `members` wrong if results of `found`, one of them, are not close to
  /// those of `wanted`.
  Status compareNumbers(CandidateGroup &group,
                        const std::vector<size_t> &members, size_t found,
                        size_t wanted, uint64_t copy, const char *when);
  Status describeDifference(Candidate &wrong, const Candidate &right,
                            uint64_t copy, const char *when);
  Status checkWritten(CandidateGroup &group);
  Status record(const Candidate &candidate, uint64_t launches,
                std::unique_ptr<Recording> &recording);
  Status issue(const Candidate &candidate, uint64_t launches);
  Status prepare(CandidateGroup &group, std::vector<Recorded> &recorded);
  Status measureCool(Candidate &candidate, Recorded &recorded);
  Status measureHot(Candidate &candidate, Recorded &recorded);
  Status measure(CandidateGroup &group, std::vector<Recorded> &recorded);
  void drop(CandidateGroup &group) const;

  Context &context;
  Device &device;
  const CandidateOptions &options;
  StepLimit limit;
  uint64_t randomWords = 0;
  CandidateBuffers *buffers = nullptr;
};

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_CANDIDATEBENCH_H
