// The verbs run, bench and inspect, as nibble-run and nibble offer them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Each function returns the exit code: 0 ok, 1 mismatch, 2 usage, 4 malformed
// or unsupported input, 5 device. Data goes to `data` (stdout), everything said
// to people to `talk` (stderr). With `json` the data is one JSON document, the
// schema of which is named by its first field ("nibble.run/1", ...); fields are
// only ever added to a schema of the same number.
#ifndef NIBBLE_RT_CLI_H
#define NIBBLE_RT_CLI_H

#include "nibble/rt/status.h"

#include <ostream>
#include <string>
#include <vector>

namespace nibble {
namespace rt {
namespace cli {

struct Streams {
  std::ostream &data;
  std::ostream &talk;
};

/// What the verbs that execute have in common.
struct ExecuteOptions {
  std::string engine;              ///< path
  std::string device = "cpu";      ///< cpu, null, cuda, emu
  unsigned threads = 0;            ///< 0 = 2
  std::string entry;               ///< empty = the only one
  std::vector<std::string> inputs; ///< "x=@x.npy", "x=normal:seed=1"
  bool check = false;              ///< verify the hashes of all constants
  bool json = false;
  /// cuda, emu: record and replay. Without, profilers see each layer's range.
  bool graphs = true;
};

struct RunOptions : ExecuteOptions {
  std::vector<std::string> outputs; ///< "y=@y.npy"
  std::vector<std::string> expects; ///< "y=@ref.npy"
  /// "rtol=1e-4,atol=1e-5", or "NAME:..." for one output; later ones win.
  std::vector<std::string> tolerances;
};

/// How `bench --candidates` measures an engine made by `compile --candidates`.
struct CandidateOptions {
  bool enabled = false;
  std::string rows;  ///< file that the best schedules are appended to
  std::string peers; ///< file with times of others, one JSON object per line
  std::vector<std::string> except; ///< entry points to leave out
  uint64_t rounds = 7;
  double pause = 0.02; ///< seconds of idling before a cool measurement
  double hot = 0.05;   ///< seconds of a hot one, at least
  double limit = 30;   ///< seconds after which a kernel on cuda is given up
  uint64_t seed = 1;   ///< of data and order
};

struct BenchOptions : ExecuteOptions {
  CandidateOptions candidates;
  double warmup = 0.2; ///< seconds
  double duration = 3; ///< seconds, unless iterations are given
  uint64_t iterations = 0;
  std::vector<double> percentiles = {50, 90, 95, 99};
  bool layers = false; ///< table of launches, from a separate timed pass
  /// "memory=3350,f16=989": what the device can do, for the table (GB/s,
  /// TFLOP/s); "": what its name tells.
  std::string peaks;
  std::string trace; ///< file for a trace of some runs; "": none
};

struct InspectOptions {
  std::string file;
  bool check = false;    ///< verify the hashes of code and constants
  bool launches = false; ///< list the launches
  bool json = false;
};

struct StripCommand {
  std::string engine, recipe;
  std::string seeded; ///< also write the engine that the recipe makes
  uint64_t seed = 1, least = 1 << 20;
};

/// Writes an engine without the codes of its large constants (recipe.h).
int strip(const StripCommand &options, Streams streams);
/// Makes the engine again.
int refill(const std::string &recipe, const std::string &engine,
           Streams streams);

/// Runs an entry point once. Every input must be given.
int run(const RunOptions &options, Streams streams);
/// Measures an entry point, or with `candidates` all of them against each other
/// (docs/runtime.md; exit code 1 if results differ). Inputs not given are
/// generated: floats normal:seed=1, integers and bool zeros; it says so.
int bench(const BenchOptions &options, Streams streams);
/// Prints header and metadata of an engine file.
int inspect(const InspectOptions &options, Streams streams);

/// Prints "error: ..." and returns the exit code.
int fail(const Status &status, Streams streams);

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_CLI_H
