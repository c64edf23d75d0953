// The verb run: one execution, outputs to files, comparison with references.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Execution.h"

#include "nibble/rt/compare.h"
#include "nibble/rt/json_writer.h"
#include "nibble/rt/options.h"

#include <algorithm>
#include <cmath>
#include <iomanip>
#include <map>

using namespace nibble::rt;
using namespace nibble::rt::cli;

namespace {

/// One output: its bytes, where they go, what they should be.
struct OutputResult {
  PortInfo port;
  Array array;
  std::string file;
  std::string expected;
  Tolerance tolerance;
  bool compared = false;
  Metrics metrics;
  Status verdict;
  /// Of the finite elements; absent for scaled types.
  bool hasRange = false;
  double min = 0, max = 0, mean = 0;
};

class RunVerb {
public:
  RunVerb(const cli::RunOptions &options, Streams streams)
      : options(options), streams(streams) {}
  int execute();

private:
  Status parseArguments();
  Status parseTolerances();
  Status collect(OutputResult &result, uint32_t index);
  Status compare(OutputResult &result);
  void summarize(OutputResult &result);
  void printText() const;
  void printJson() const;

  const cli::RunOptions &options;
  Streams streams;
  Execution execution;
  std::vector<OutputResult> results;
  double runSeconds = 0;
};

} // namespace

/// Fills in files, references and tolerances before anything runs, so that a
/// mistyped name does not cost a run.
Status RunVerb::parseArguments() {
  for (const PortInfo &port : execution.info().outputs) {
    OutputResult result;
    result.port = port;
    result.tolerance = defaultTolerance(std::string(port.dtype));
    results.push_back(std::move(result));
  }
  for (const std::vector<std::string> *list :
       {&options.outputs, &options.expects})
    for (const std::string &text : *list) {
      auto argument = parseFileArgument(text);
      if (!argument.ok())
        return argument.status();
      auto index =
          findPort(execution.info().outputs, "output", argument->first);
      if (!index.ok())
        return index.status();
      (list == &options.outputs ? results[*index].file
                                : results[*index].expected) = argument->second;
    }
  return parseTolerances();
}

Status RunVerb::parseTolerances() {
  for (const std::string &text : options.tolerances) {
    size_t colon = text.find(':');
    std::string spec =
        colon == std::string::npos ? text : text.substr(colon + 1);
    Result<Tolerance> tolerance = parseTolerance(spec);
    if (!tolerance.ok())
      return tolerance.status();
    if (colon == std::string::npos) {
      for (OutputResult &result : results)
        result.tolerance = *tolerance;
      continue;
    }
    auto index =
        findPort(execution.info().outputs, "output", text.substr(0, colon));
    if (!index.ok())
      return index.status();
    results[*index].tolerance = *tolerance;
  }
  return Status();
}

void RunVerb::summarize(OutputResult &result) {
  auto values = toDoubles(result.array.dtype, result.port.shape,
                          result.array.data.data(), result.array.data.size());
  if (!values.ok())
    return;
  double sum = 0;
  uint64_t finite = 0;
  for (double v : *values) {
    if (!std::isfinite(v))
      continue;
    result.min = finite ? std::min(result.min, v) : v;
    result.max = finite ? std::max(result.max, v) : v;
    sum += v;
    ++finite;
  }
  result.hasRange = finite > 0;
  result.mean = finite ? sum / finite : 0;
}

/// The reference may have any float type: both sides are compared as doubles.
Status RunVerb::compare(OutputResult &result) {
  Result<Array> reference = readNpy(result.expected);
  if (!reference.ok())
    return reference.status();
  Span<const int64_t> shape = result.port.shape;
  if (!std::equal(reference->shape.begin(), reference->shape.end(),
                  shape.begin(), shape.end()))
    return error(Code::InvalidArgument, "'%s' has %s, the output is %s",
                 result.expected.c_str(),
                 describe(reference->dtype, reference->shape.data(),
                          reference->shape.size())
                     .c_str(),
                 describePort(result.port).c_str());
  // Codes of a type that numpy lacks, unless the reference holds floats.
  if (!isFloatFormat(parseElem(reference->dtype))) {
    std::string note;
    Result<Array> adapted =
        adaptArray(*reference, result.array.dtype, shape, note);
    if (adapted.ok())
      reference = adapted;
  }
  auto actual = toDoubles(result.array.dtype, shape, result.array.data.data(),
                          result.array.data.size());
  auto expected = toDoubles(reference->dtype, shape, reference->data.data(),
                            reference->data.size());
  if (!actual.ok())
    return actual.status();
  if (!expected.ok())
    return expected.status();
  Comparison comparison(result.tolerance);
  comparison.add(actual->data(), expected->data(), actual->size());
  result.compared = true;
  result.metrics = comparison.metrics();
  result.verdict = comparison.verdict();
  return Status();
}

Status RunVerb::collect(OutputResult &result, uint32_t index) {
  result.array.dtype = std::string(result.port.dtype);
  result.array.shape.assign(result.port.shape.begin(), result.port.shape.end());
  result.array.data.resize(result.port.byteSize);
  NIBBLE_RETURN_IF_ERROR(execution.context->getOutput(
      execution.entry, index, result.array.data.data(), result.port.byteSize));
  summarize(result);
  if (!result.file.empty())
    NIBBLE_RETURN_IF_ERROR(writeNpy(result.file, result.array));
  if (!result.expected.empty())
    NIBBLE_RETURN_IF_ERROR(compare(result).withContext(
        "output '" + printable(result.port.name) + "'"));
  return Status();
}

static void printMetrics(std::ostream &out, const OutputResult &r) {
  out << "  cos " << std::setprecision(9) << r.metrics.cosine
      << std::setprecision(4) << "  max-abs " << r.metrics.maxAbs
      << "  max-rel " << r.metrics.maxRel << "  fro " << r.metrics.frobenius
      << "  sqnr " << r.metrics.sqnr << " dB\n  "
      << (r.verdict.ok() ? "ok within " + r.tolerance.str()
                         : "MISMATCH: " + r.verdict.message())
      << "\n";
}

void RunVerb::printText() const {
  std::ostream &out = streams.data;
  for (const OutputResult &r : results) {
    out << printable(r.port.name) << " " << describePort(r.port);
    if (r.hasRange)
      out << std::setprecision(6) << "  min " << r.min << "  max " << r.max
          << "  mean " << r.mean;
    out << (r.file.empty() ? "" : "  -> " + r.file) << "\n";
    if (r.compared)
      printMetrics(out, r);
  }
}

static void writeMetrics(JsonWriter &json, const OutputResult &r) {
  const Metrics &m = r.metrics;
  json.key("comparison").beginObject();
  json.field("reference", r.expected).field("ok", r.verdict.ok());
  json.field("tolerance", r.tolerance.str());
  json.field("cosine", m.cosine).field("max_abs", m.maxAbs);
  json.field("max_rel", m.maxRel).field("frobenius", m.frobenius);
  json.field("sqnr_db", m.sqnr).field("elements", m.count);
  json.field("beyond", m.beyond).field("non_finite", m.nonFinite);
  json.field("message", r.verdict.message());
  json.endObject();
}

void RunVerb::printJson() const {
  JsonWriter json;
  json.beginObject().field("schema", "nibble.run/1");
  json.field("engine", options.engine).field("device", options.device);
  json.field("target", execution.engine->info().target);
  json.field("entry", execution.info().name);
  json.field("load_ms", execution.loadSeconds * 1e3);
  json.field("run_ms", runSeconds * 1e3);
  json.key("outputs").beginArray();
  for (const OutputResult &r : results) {
    json.beginObject().field("name", r.port.name).field("dtype", r.port.dtype);
    json.key("shape").beginArray();
    for (int64_t extent : r.port.shape)
      json.value(extent);
    json.endArray().field("file", r.file);
    if (r.hasRange)
      json.field("min", r.min).field("max", r.max).field("mean", r.mean);
    if (r.compared)
      writeMetrics(json, r);
    json.endObject();
  }
  json.endArray().endObject();
  streams.data << json.str();
}

int RunVerb::execute() {
  Status status = prepare(options, Missing::Refuse, streams, execution);
  if (status.ok())
    status = parseArguments();
  if (!status.ok())
    return fail(status, streams);
  double start = now();
  status = execution.context->run(execution.entry);
  runSeconds = secondsSince(start);
  for (uint32_t i = 0; i < results.size() && status.ok(); ++i)
    status = collect(results[i], i);
  if (!status.ok())
    return fail(status, streams);
  options.json ? printJson() : printText();
  bool mismatch = false;
  for (const OutputResult &r : results)
    mismatch |= r.compared && !r.verdict.ok();
  if (mismatch)
    streams.talk << "error: an output differs from its reference\n";
  return mismatch ? exitCode(Code::Mismatch) : 0;
}

int cli::run(const cli::RunOptions &options, Streams streams) {
  return RunVerb(options, streams).execute();
}
