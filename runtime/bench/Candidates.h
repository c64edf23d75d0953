// Candidates: entry points that compute the same by different schedules.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// `nibble compile --candidates N` writes, for every distinct kernel of a
// matrix product, entry points "KERNEL/0", "KERNEL/1", ... with the same ports
// and one launch each. The launch's `layer` is the schedule ("128x256 s4 c1x1
// m4 w2 p2"), its `op` the key of tuning rows:
//   {"kernel":"gemm.wgmma.e4m3","m":976,"n":32768,"k":2048,"products":1,
//    "result_bytes":2}
#ifndef NIBBLE_RT_BENCH_CANDIDATES_H
#define NIBBLE_RT_BENCH_CANDIDATES_H

#include "nibble/rt/cli.h"
#include "nibble/rt/engine.h"

#include <string>
#include <vector>

namespace nibble {
namespace rt {
namespace cli {

/// What schedules are chosen by; `n` are the columns of one product.
struct ScheduleKey {
  std::string kernel;
  uint64_t m = 0, n = 0, k = 0, products = 1, resultBytes = 0;

  double flops() const {
    return 2.0 * double(m) * double(n) * double(k) * double(products);
  }
  /// As in the engine, so that equal keys are equal texts.
  std::string json() const;
  static Result<ScheduleKey> parse(std::string_view json);
};

struct Candidate {
  uint32_t entry = 0;
  std::string name, schedule;
  std::vector<double> cool, hot; ///< seconds of a launch, one per round
  bool dropped = false;          ///< far behind: measured in fewer rounds
  std::string wrong;             ///< what is wrong with its results; empty: ok

  double medianCool() const;
  double medianHot() const;
  /// Geometric mean of both: what candidates are ranked by.
  double score() const;
};

/// Times of another implementation.
struct Peer {
  std::string name;
  double cool = 0, hot = 0; ///< seconds
};

struct CandidateGroup {
  std::string name;
  ScheduleKey key;
  std::vector<Candidate> candidates;
  std::vector<Peer> peers;
  // How it was measured.
  uint64_t copies = 1, rotatedBytes = 0;
  uint64_t coolLaunches = 0, hotLaunches = 0;
};

/// The groups of an engine in its order: all, or the one called `only`.
/// Refuses an engine whose entry points are no candidates.
Result<std::vector<CandidateGroup>>
findCandidates(const EngineInfo &info, const std::string &only,
               const std::vector<std::string> &except);

/// Adds the peers of a file to the groups of their key.
Status readPeers(const std::string &path, std::vector<CandidateGroup> &groups);

/// A row of tuning/<target>.jsonl, with its newline.
std::string tuningRow(const ScheduleKey &key, const Candidate &candidate,
                      const std::string &device);

/// What is reported.
struct CandidateResults {
  std::string engine, device, description;
  std::vector<CandidateGroup> groups; ///< candidates best first
  std::vector<std::string> warnings;

  bool allRight() const;
  std::string text() const;
  std::string json() const; ///< schema nibble.candidates/1
};

/// The verb.
int benchCandidates(const BenchOptions &options, Streams streams);

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_CANDIDATES_H
