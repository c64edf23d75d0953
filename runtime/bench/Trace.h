// A trace of runs for chrome://tracing and ui.perfetto.dev.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_TRACE_H
#define NIBBLE_RT_BENCH_TRACE_H

#include "nibble/rt/engine.h"

#include <string>
#include <vector>

namespace nibble {
namespace rt {

/// Spans of time on three tracks: what the host does, the parts of a run on the
/// device, its launches. Times are in seconds by the host's clock; the device's
/// are placed where the host began to enqueue them, as their clocks differ.
class Trace {
public:
  enum Track { Host = 1, Run = 2, Launches = 3 };

  /// Runs after this many are not kept.
  static constexpr size_t kRuns = 20;

  void add(Track track, std::string name, double begin, double seconds);
  void add(const LaunchInfo &launch, uint32_t index, double begin,
           double seconds);
  /// Trace Event Format, one JSON object. `process` is its title.
  Status write(const std::string &file, const std::string &process) const;

private:
  struct Span {
    Track track;
    std::string name, op;
    double begin, seconds;
    int64_t launch = -1;
    uint64_t bytes = 0, flops = 0;
  };
  std::vector<Span> spans;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_TRACE_H
