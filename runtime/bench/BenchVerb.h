// The verb bench: what it measures, in Bench.cpp, and how it tells it, in
// BenchReport.cpp. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_BENCHVERB_H
#define NIBBLE_RT_BENCH_BENCHVERB_H

#include "Execution.h"
#include "Roofline.h"
#include "Trace.h"

#include "nibble/rt/bench.h"
#include "nibble/rt/json_writer.h"

namespace nibble {
namespace rt {
namespace cli {

/// Times of a run from the host's memory to the host's memory, in seconds:
/// by the host, and of its parts by the device.
struct SplitTimes {
  Statistics endToEnd; ///< from submit() to the end of wait()
  Statistics enqueue;  ///< of submit()
  Statistics copyIn, compute, copyOut;
};

class BenchVerb {
public:
  BenchVerb(const BenchOptions &options, Streams streams)
      : options(options), streams(streams) {}
  int execute();

private:
  Status measure();
  Status measureSplit();
  Status measureLayers();
  Status stageAll();
  Status runOnce(double &seconds);
  Status readPeaks();
  size_t fewerRuns() const;
  void warn();

  void printText() const;
  void printLayers() const;
  void printJson() const;
  void writeLayers(JsonWriter &json) const;
  void writePeaks(JsonWriter &json) const;
  double medianOfLayers() const;

  const BenchOptions &options;
  Streams streams;
  Execution execution;
  double firstSeconds = 0;
  Statistics whole;
  SplitTimes split;
  uint64_t allocations = 0;       ///< after the first runs
  std::vector<Statistics> layers; ///< by launch
  std::vector<LayerTime> table;
  Peaks peaks;
  Trace trace;
  std::vector<std::string> warnings;
};

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_BENCHVERB_H
