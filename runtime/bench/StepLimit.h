// StepLimit: ends the process when a kernel does not.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_STEPLIMIT_H
#define NIBBLE_RT_BENCH_STEPLIMIT_H

#include "nibble/rt/cli.h"

#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace nibble {
namespace rt {
namespace cli {

/// A driver waits forever for a kernel that hangs, and nothing but the end of
/// the process stops it. Steps that last longer than `seconds` end it with the
/// exit code of a device error, after saying which one. 0: no limit.
class StepLimit {
public:
  StepLimit(double seconds, Streams streams);
  ~StepLimit();
  StepLimit(const StepLimit &) = delete;

  /// Lasts as long as the step.
  class Step {
  public:
    explicit Step(StepLimit &limit) : limit(&limit) {}
    Step(Step &&other) : limit(other.limit) { other.limit = nullptr; }
    ~Step() {
      if (limit)
        limit->end();
    }

  private:
    StepLimit *limit;
  };
  Step begin(const std::string &what);

private:
  void end();
  void watch();

  double seconds;
  Streams streams;
  std::mutex mutex;
  std::condition_variable changed;
  std::string step; ///< empty: none
  uint64_t number = 0;
  bool over = false;
  std::thread watcher;
};

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_STEPLIMIT_H
