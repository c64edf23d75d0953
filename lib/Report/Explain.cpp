// Decisions -> the JSON document of `explain`.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "nibble/KernelSelect/Machine.h"

#include "llvm/ADT/StringSet.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/GlobPattern.h"

using namespace nibble;
namespace json = llvm::json;

/// An argument that holds JSON itself.
static json::Value parse(llvm::StringRef text) {
  auto value = json::parse(text);
  if (value)
    return std::move(*value);
  llvm::consumeError(value.takeError());
  return json::Array();
}

namespace {

/// One region as `select-kernels` told it.
json::Object getLayer(const Decision &d) {
  json::Object layer{
      {"name", d.layer},
      {"op", d.get("op").str()},
      {"region", d.getInt("index")},
      {"layers", parse(d.get("layers"))},
      {"fused", d.get("fused").str()},
      {"requested", d.get("requested").str()},
      {"chosen", d.get("chosen").str()},
      {"as_requested", d.get("as_requested") == "true"},
      {"kernel", d.get("kernel").str()},
      {"schedule", d.get("schedule").str()},
      {"layout_in", parse(d.get("inputs"))},
      {"layout_out", parse(d.get("results"))},
      {"bytes", d.getInt("bytes_read") + d.getInt("bytes_written")},
      {"bytes_read", d.getInt("bytes_read")},
      {"bytes_written", d.getInt("bytes_written")},
      {"flops", d.getInt("flops")},
      {"datasheet_us", d.getDouble("datasheet_us")},
      {"reached_us", d.getDouble("reached_us")},
      {"bound", d.get("bound").str()},
      {"reason", d.get("reason").str()},
      {"rejected", parse(d.get("rejected"))},
      {"suggestion", d.get("suggestion").str()}};
  return layer;
}

class Builder {
public:
  Builder(const Decisions &decisions, const ExplainedCompile &compile)
      : decisions(decisions), compile(compile) {}

  json::Value build() {
    addLayers();
    nameKernels();
    addDecisions();
    json::Object report{
        {"schema", "nibble.explain/1"},  {"model", compile.model},
        {"target", compile.target},      {"command", compile.command},
        {"machine", getMachineObject()}, {"totals", getTotals()},
        {"layers", std::move(layers)},   {"decisions", std::move(others)}};
    if (!memory.empty())
      report["memory"] = std::move(memory);
    return report;
  }

private:
  void addLayers() {
    for (const Decision *d : decisions.of("select-kernels"))
      layers.push_back(getLayer(*d));
  }

  /// Equal regions share one kernel: `outline-kernels` tells which.
  void nameKernels() {
    for (const Decision *d : decisions.of("outline-kernels")) {
      kernelNames.insert(d->get("kernel"));
      size_t index = d->getInt("index");
      if (index < layers.size())
        (*layers[index].getAsObject())["function"] = d->get("kernel").str();
    }
  }

  void addDecisions() {
    for (const Decision &d : decisions.all()) {
      if (d.pass == "select-kernels" || d.pass == "outline-kernels")
        continue;
      if (d.pass == "plan-memory" && d.kind == Decision::Kind::Analysis) {
        addMemory(d);
        continue;
      }
      json::Object other{{"pass", d.pass}, {"kind", getKindName(d.kind)}};
      for (const auto &[key, value] : d.args)
        other[key] = value;
      absorbed += d.pass == "assign-layouts" && d.kind == Decision::Kind::Done;
      others.push_back(std::move(other));
    }
  }

  void addMemory(const Decision &d) {
    for (const auto &[key, value] : d.args) {
      int64_t number;
      if (key == "buffers" || key == "launches")
        memory[key] = parse(value);
      else if (!llvm::StringRef(value).getAsInteger(10, number))
        memory[key] = number;
    }
  }

  json::Object getMachineObject() {
    std::optional<Machine> machine = getMachine(compile.target);
    if (!machine)
      return json::Object();
    return json::Object{{"device", machine->device},
                        {"bandwidth", machine->datasheet.bandwidth},
                        {"reached_bandwidth", machine->reached.bandwidth},
                        {"reached_source", machine->source}};
  }

  json::Object getTotals() {
    int64_t bytes = 0, flops = 0, reformats = 0, sources = 0, kept = 0;
    double datasheet = 0, reached = 0;
    llvm::StringSet<> names, refused;
    for (const json::Value &value : layers) {
      const json::Object &layer = *value.getAsObject();
      bytes += *layer.getInteger("bytes");
      flops += *layer.getInteger("flops");
      datasheet += *layer.getNumber("datasheet_us");
      reached += *layer.getNumber("reached_us");
      reformats += *layer.getString("op") == "reformat";
      for (const json::Value &name : *layer.getArray("layers")) {
        names.insert(*name.getAsString());
        if (!*layer.getBoolean("as_requested"))
          refused.insert(*name.getAsString());
      }
    }
    sources = names.size();
    kept = sources - refused.size();
    return json::Object{
        {"source_layers", sources},
        {"as_requested", kept},
        {"kernels", int64_t(layers.size())},
        {"distinct_kernels", int64_t(kernelNames.size())},
        {"runtime_reformats", reformats},
        {"reformats_removed", absorbed},
        {"predicted_bytes", bytes},
        {"flops", flops},
        {"datasheet_us", datasheet},
        {"reached_us", reached},
        {"peak_memory", memory.getInteger("arena").value_or(0)}};
  }

  const Decisions &decisions;
  const ExplainedCompile &compile;
  json::Array layers, others;
  json::Object memory;
  llvm::StringSet<> kernelNames;
  int64_t absorbed = 0;
};

} // namespace

json::Value nibble::explain(const Decisions &decisions,
                            const ExplainedCompile &compile) {
  return Builder(decisions, compile).build();
}

std::string nibble::summarize(const json::Value &report) {
  const json::Object &totals = *report.getAsObject()->getObject("totals");
  auto get = [&](llvm::StringRef key) {
    return totals.getInteger(key).value_or(0);
  };
  return llvm::formatv(
      "{0} layers: {1} as requested, {2} not; {3} kernels ({4} distinct), {5} "
      "reformats at run time, {6:f1} MiB moved, at least {7:f1} us",
      get("source_layers"), get("as_requested"),
      get("source_layers") - get("as_requested"), get("kernels"),
      get("distinct_kernels"), get("runtime_reformats"),
      double(get("predicted_bytes")) / (1 << 20),
      totals.getNumber("datasheet_us").value_or(0));
}

static bool matches(const llvm::GlobPattern &glob, const json::Object &layer) {
  if (glob.match(layer.getString("name").value_or("")))
    return true;
  const json::Array *names = layer.getArray("layers");
  return names && llvm::any_of(*names, [&](const json::Value &name) {
           return glob.match(name.getAsString().value_or(""));
         });
}

json::Value nibble::filterExplanation(const json::Value &report,
                                      llvm::StringRef pattern) {
  auto glob = llvm::GlobPattern::create(pattern);
  json::Object filtered = *report.getAsObject();
  if (!glob) {
    llvm::consumeError(glob.takeError());
    return filtered;
  }
  json::Array layers;
  if (const json::Array *all = filtered.getArray("layers"))
    for (const json::Value &layer : *all)
      if (matches(*glob, *layer.getAsObject()))
        layers.push_back(layer);
  filtered["layers"] = std::move(layers);
  return filtered;
}
