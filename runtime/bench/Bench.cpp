// The verb bench: latencies of an entry point and of its launches.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Candidates.h"
#include "Execution.h"

#include "nibble/rt/bench.h"
#include "nibble/rt/json_writer.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

using namespace nibble::rt;
using namespace nibble::rt::cli;

namespace {

class BenchVerb {
public:
  BenchVerb(const BenchOptions &options, Streams streams)
      : options(options), streams(streams) {}
  int execute();

private:
  Status measure();
  Status measureLayers();
  Status runOnce(double &seconds);
  void warn();
  void printText() const;
  void printLayers() const;
  void printJson() const;
  double medianOfLayers() const;

  const BenchOptions &options;
  Streams streams;
  Execution execution;
  double firstSeconds = 0;
  Statistics whole;
  std::vector<Statistics> layers; ///< by launch
  std::vector<std::string> warnings;
};

} // namespace

Status BenchVerb::runOnce(double &seconds) {
  double start = now();
  NIBBLE_RETURN_IF_ERROR(execution.context->run(execution.entry));
  seconds = secondsSince(start);
  return Status();
}

Status BenchVerb::measure() {
  NIBBLE_RETURN_IF_ERROR(runOnce(firstSeconds));
  double seconds = 0;
  for (double start = now(); secondsSince(start) < options.warmup;)
    NIBBLE_RETURN_IF_ERROR(runOnce(seconds));
  std::vector<double> times;
  double start = now();
  do {
    NIBBLE_RETURN_IF_ERROR(runOnce(seconds));
    times.push_back(seconds);
  } while (options.iterations ? times.size() < options.iterations
                              : secondsSince(start) < options.duration);
  whole = statistics(std::move(times), options.percentiles);
  return Status();
}

/// A pass of its own: the clock between launches must not disturb the whole.
Status BenchVerb::measureLayers() {
  std::vector<std::vector<double>> times(execution.info().launches.size());
  nibble::rt::RunOptions probed;
  probed.probe = [&](const ProbeEvent &event) {
    times[event.launch].push_back(event.seconds);
    return Status();
  };
  size_t runs = std::min<size_t>(std::max<size_t>(whole.count / 3, 3), 1000);
  for (size_t i = 0; i < runs; ++i)
    NIBBLE_RETURN_IF_ERROR(execution.context->run(execution.entry, probed));
  for (std::vector<double> &launch : times)
    layers.push_back(statistics(std::move(launch), {}));
  return Status();
}

void BenchVerb::warn() {
  std::ostringstream text;
  text << std::setprecision(2);
  if (whole.count < 10)
    warnings.push_back("only " + std::to_string(whole.count) +
                       " measurements: use a longer --duration");
  if (whole.cov > 0.05) {
    text << "times vary by " << whole.cov * 100
         << " % (coefficient of variation): other load or a changing clock; "
            "trust min and median";
    warnings.push_back(text.str());
  }
  if (options.device == "null")
    warnings.push_back("the null device computes nothing: these are the costs "
                       "of the runtime alone");
}

double BenchVerb::medianOfLayers() const {
  double sum = 0;
  for (const Statistics &launch : layers)
    sum += launch.median;
  return sum;
}

static std::string ms(double seconds) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.4f", seconds * 1e3);
  return text;
}

void BenchVerb::printText() const {
  std::ostream &out = streams.data;
  const EngineInfo &info = execution.engine->info();
  out << "engine      " << options.engine << " (" << printable(info.target)
      << ", entry point " << printable(execution.info().name) << ")\n"
      << "device      " << execution.device->name() << ", "
      << execution.device->description() << "\n"
      << "load        " << ms(execution.loadSeconds) << " ms\n"
      << "first run   " << ms(firstSeconds) << " ms\n"
      << "runs        " << whole.count << "\n"
      << "latency ms  min " << ms(whole.min) << "  mean " << ms(whole.mean)
      << "  median " << ms(whole.median) << "  max " << ms(whole.max) << "\n";
  for (const auto &p : whole.percentiles)
    out << "  p" << std::left << std::setw(9) << p.first << std::right
        << ms(p.second) << "\n";
  out << "CoV         " << std::setprecision(3) << whole.cov * 100 << " %\n"
      << "throughput  " << (whole.mean > 0 ? 1 / whole.mean : 0) << " runs/s\n";
  if (options.layers)
    printLayers();
}

void BenchVerb::printLayers() const {
  std::ostream &out = streams.data;
  double sum = medianOfLayers();
  out << "\n  #   median ms      %     GB/s  GFLOP/s  layer (op)\n";
  for (size_t i = 0; i < layers.size(); ++i) {
    const LaunchInfo &launch = execution.info().launches[i];
    double t = layers[i].median;
    char row[160];
    std::snprintf(row, sizeof(row), "%3zu %11.4f %6.1f %8.1f %8.1f  ", i,
                  t * 1e3, sum > 0 ? 100 * t / sum : 0,
                  t > 0 ? double(launch.bytes) / t * 1e-9 : 0,
                  t > 0 ? double(launch.flops) / t * 1e-9 : 0);
    out << row << printable(launch.layer) << " (" << printable(launch.op)
        << ")\n";
  }
  out << "sum " << ms(sum) << " ms, whole " << ms(whole.median)
      << " ms (medians)\n";
}

static void writeStatistics(JsonWriter &json, const Statistics &s) {
  json.beginObject().field("count", uint64_t(s.count));
  json.field("min", s.min * 1e3).field("mean", s.mean * 1e3);
  json.field("median", s.median * 1e3).field("max", s.max * 1e3);
  json.field("cov", s.cov);
  json.key("percentiles").beginObject();
  for (const auto &p : s.percentiles) {
    std::ostringstream name;
    name << p.first;
    json.field(name.str(), p.second * 1e3);
  }
  json.endObject().endObject();
}

void BenchVerb::printJson() const {
  JsonWriter json;
  json.beginObject().field("schema", "nibble.bench/1");
  json.field("engine", options.engine);
  json.field("target", execution.engine->info().target);
  json.field("entry", execution.info().name);
  json.field("device", execution.device->name());
  json.field("device_description", execution.device->description());
  json.field("load_ms", execution.loadSeconds * 1e3);
  json.field("first_run_ms", firstSeconds * 1e3);
  writeStatistics(json.key("latency_ms"), whole);
  json.field("throughput_per_s", whole.mean > 0 ? 1 / whole.mean : 0);
  if (options.layers) {
    json.field("layers_sum_ms", medianOfLayers() * 1e3);
    json.key("layers").beginArray();
    for (size_t i = 0; i < layers.size(); ++i) {
      const LaunchInfo &launch = execution.info().launches[i];
      json.beginObject().field("launch", uint64_t(i));
      json.field("name", launch.layer).field("op", launch.op);
      json.field("bytes", launch.bytes).field("flops", launch.flops);
      writeStatistics(json.key("time_ms"), layers[i]);
      json.endObject();
    }
    json.endArray();
  }
  json.key("warnings").beginArray();
  for (const std::string &warning : warnings)
    json.value(warning);
  json.endArray().endObject();
  streams.data << json.str();
}

int BenchVerb::execute() {
  Status status = prepare(options, Missing::Generate, streams, execution);
  if (status.ok())
    status = measure();
  if (status.ok() && options.layers)
    status = measureLayers();
  if (!status.ok())
    return fail(status, streams);
  warn();
  options.json ? printJson() : printText();
  for (const std::string &warning : warnings)
    streams.talk << "warning: " << warning << "\n";
  return 0;
}

int cli::bench(const BenchOptions &options, Streams streams) {
  if (options.candidates.enabled)
    return benchCandidates(options, streams);
  return BenchVerb(options, streams).execute();
}
