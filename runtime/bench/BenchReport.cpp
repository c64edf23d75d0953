// The verb bench: its text and its JSON.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BenchVerb.h"

#include <iomanip>
#include <sstream>

using namespace nibble::rt;
using namespace nibble::rt::cli;

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

static std::string nameOf(double percentile) {
  std::ostringstream name;
  name << percentile;
  return name.str();
}

static void printRow(std::ostream &out, const char *name, const Statistics &s) {
  out << std::left << std::setw(12) << name << std::right;
  for (double seconds : {s.min, s.mean})
    out << " " << std::setw(9) << ms(seconds);
  for (const auto &p : s.percentiles)
    out << " " << std::setw(9) << ms(p.second);
  out << " " << std::setw(9) << ms(s.max) << "\n";
}

static void printHead(std::ostream &out, const Statistics &s) {
  out << std::left << std::setw(12) << "ms" << std::right;
  for (const char *name : {"min", "mean"})
    out << " " << std::setw(9) << name;
  for (const auto &p : s.percentiles)
    out << " " << std::setw(9) << "p" + nameOf(p.first);
  out << " " << std::setw(9) << "max"
      << "\n";
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
      << "runs        " << whole.count << "\n";
  printHead(out, whole);
  printRow(out, "latency", whole);
  printRow(out, "end to end", split.endToEnd);
  printRow(out, "  enqueue", split.enqueue);
  printRow(out, "  copy in", split.copyIn);
  printRow(out, "  compute", split.compute);
  printRow(out, "  copy out", split.copyOut);
  out << "CoV         " << std::setprecision(3) << whole.cov * 100 << " %\n"
      << "throughput  " << (whole.mean > 0 ? 1 / whole.mean : 0) << " runs/s\n";
  if (options.layers)
    printLayers();
}

static std::string bound(const LayerTime &layer) {
  char text[64] = "      -        ";
  if (layer.bound > 0)
    std::snprintf(text, sizeof text, "%5.1f %-8s ", 100 * layer.fraction(),
                  layer.limit.c_str());
  return text;
}

void BenchVerb::printLayers() const {
  std::ostream &out = streams.data;
  double sum = medianOfLayers();
  out << "\n";
  if (peaks.known())
    out << "bounds: " << peaks.source << ", memory "
        << uint64_t(peaks.bytesPerSecond * 1e-9) << " GB/s\n";
  out << "  #  ms (median)     %     GB/s  TFLOP/s % of bound    math  layer "
         "(op)\n";
  for (const LayerTime &layer : table) {
    double t = layer.seconds;
    char row[160];
    std::snprintf(row, sizeof(row), "%3u %11.4f %6.1f %8.1f %8.3f ",
                  layer.first, t * 1e3, sum > 0 ? 100 * t / sum : 0,
                  t > 0 ? double(layer.bytes) / t * 1e-9 : 0,
                  t > 0 ? double(layer.flops) / t * 1e-12 : 0);
    out << row << bound(layer) << std::setw(4) << layer.math << "  "
        << printable(layer.layer) << " (" << printable(layer.op) << ")";
    if (layer.count > 1)
      out << ", " << layer.count << " kernels";
    out << "\n";
  }
  out << "sum " << ms(sum) << " ms, whole " << ms(whole.median)
      << " ms (medians)\n";
  for (const std::string &line : advise(table, execution.device->limits()))
    out << "advice: " << printable(line) << "\n";
}

static void writeStatistics(JsonWriter &json, const Statistics &s) {
  json.beginObject().field("count", uint64_t(s.count));
  json.field("min", s.min * 1e3).field("mean", s.mean * 1e3);
  json.field("median", s.median * 1e3).field("max", s.max * 1e3);
  json.field("cov", s.cov);
  json.key("percentiles").beginObject();
  for (const auto &p : s.percentiles)
    json.field(nameOf(p.first), p.second * 1e3);
  json.endObject().endObject();
}

/// What a layer reaches; its launches follow in `layers`.
static void writeBound(JsonWriter &json, const LayerTime &layer, double sum) {
  double t = layer.seconds;
  json.field("launches", layer.count).field("math", layer.math);
  json.field("layer_ms", t * 1e3).field("share", sum > 0 ? t / sum : 0);
  json.field("gb_per_s", t > 0 ? double(layer.bytes) / t * 1e-9 : 0);
  json.field("tflop_per_s", t > 0 ? double(layer.flops) / t * 1e-12 : 0);
  if (!(layer.bound > 0))
    return;
  json.field("bound_ms", layer.bound * 1e3).field("limit", layer.limit);
  json.field("of_bound", layer.fraction());
}

void BenchVerb::writePeaks(JsonWriter &json) const {
  json.key("peaks");
  if (!peaks.known()) {
    json.null();
    return;
  }
  json.beginObject().field("source", peaks.source);
  json.field("memory_gb_per_s", peaks.bytesPerSecond * 1e-9);
  json.key("tflop_per_s").beginObject();
  for (const auto &peak : peaks.flops)
    json.field(peak.first, peak.second * 1e-12);
  json.endObject().endObject();
}

void BenchVerb::writeLayers(JsonWriter &json) const {
  double sum = medianOfLayers();
  writePeaks(json);
  json.field("layers_sum_ms", sum * 1e3);
  json.key("layers").beginArray();
  size_t row = 0;
  for (size_t i = 0; i < layers.size(); ++i) {
    const LaunchInfo &launch = execution.info().launches[i];
    json.beginObject().field("launch", uint64_t(i));
    json.field("name", launch.layer).field("op", launch.op);
    json.field("bytes", launch.bytes).field("flops", launch.flops);
    writeStatistics(json.key("time_ms"), layers[i]);
    if (row < table.size() && table[row].first == i)
      writeBound(json, table[row++], sum);
    json.endObject();
  }
  json.endArray();
  json.key("advice").beginArray();
  for (const std::string &line : advise(table, execution.device->limits()))
    json.value(line);
  json.endArray();
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
  writeStatistics(json.key("end_to_end_ms"), split.endToEnd);
  writeStatistics(json.key("enqueue_ms"), split.enqueue);
  writeStatistics(json.key("copy_in_ms"), split.copyIn);
  writeStatistics(json.key("compute_ms"), split.compute);
  writeStatistics(json.key("copy_out_ms"), split.copyOut);
  json.field("throughput_per_s", whole.mean > 0 ? 1 / whole.mean : 0);
  json.field("allocations", allocations);
  if (options.layers)
    writeLayers(json);
  json.key("warnings").beginArray();
  for (const std::string &warning : warnings)
    json.value(warning);
  json.endArray().endObject();
  streams.data << json.str();
}
