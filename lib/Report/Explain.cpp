// Decisions -> the JSON document of `explain`.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "nibble/KernelSelect/CheckModel.h"
#include "nibble/KernelSelect/Machine.h"
#include "nibble/Support/StableSort.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/ADT/StringSet.h"

#include <algorithm>

using namespace nibble;
namespace json = llvm::json;

/// An argument that holds JSON itself: written by a pass, so well-formed.
static json::Value parse(llvm::StringRef text) {
  auto value = json::parse(text);
  if (value)
    return std::move(*value);
  llvm::consumeError(value.takeError());
  return json::Array();
}

static json::Array toStrings(const std::vector<std::string> &texts) {
  json::Array array;
  for (const std::string &text : texts)
    array.push_back(json::fixUTF8(text));
  return array;
}

/// One region as `select-kernels` told it.
static json::Object getLayer(const Decision &d) {
  auto text = [&](llvm::StringRef key) { return d.get(key).str(); };
  int64_t read = d.getInt("bytes_read"), written = d.getInt("bytes_written");
  return json::Object{
      {"name", d.layer},
      {"entry", text("entry")},
      {"region", d.getInt("index")},
      {"op", text("op")},
      {"layers", parse(d.get("layers"))},
      {"decides", parse(d.get("decides"))},
      {"fused", parse(d.get("fused"))},
      {"requested", text("requested")},
      {"chosen", text("chosen")},
      {"as_requested", d.get("as_requested") == "true"},
      {"kernel", text("kernel")},
      {"function", ""},
      {"schedule", text("schedule")},
      {"layout_in", parse(d.get("inputs"))},
      {"layout_out", parse(d.get("results"))},
      {"reformats_removed", parse(d.get("reformats_removed"))},
      {"reformats_remaining", parse(d.get("reformats_remaining"))},
      {"bytes", read + written},
      {"bytes_read", read},
      {"bytes_written", written},
      {"flops", d.getInt("flops")},
      {"datasheet_us", d.getDouble("datasheet_us")},
      {"reached_us", d.getDouble("reached_us")},
      {"bound", text("bound")},
      {"reason", text("reason")},
      {"rejected", parse(d.get("rejected"))},
      {"suggestion", text("suggestion")}};
}

/// A copy to an output buffer that `outline-kernels` added.
static json::Object getCopy(const Decision &d, int64_t index,
                            const std::optional<Machine> &machine) {
  int64_t bytes = d.getInt("bytes");
  auto time = [&](const Rates &rates) {
    return rates.getSeconds(2 * bytes, 0, MathFormat::F32) * 1e6;
  };
  json::Object layer = getLayer(d);
  layer["region"] = index;
  for (llvm::StringRef key :
       {"layers", "decides", "fused", "layout_in", "layout_out",
        "reformats_removed", "reformats_remaining", "rejected"})
    layer[key] = json::Array();
  layer["as_requested"] = true;
  layer["kernel"] = "copy";
  layer["function"] = d.get("kernel").str();
  layer["bytes"] = 2 * bytes;
  layer["bytes_read"] = layer["bytes_written"] = bytes;
  layer["datasheet_us"] = machine ? time(machine->datasheet) : 0;
  layer["reached_us"] = machine ? time(machine->reached) : 0;
  if (const TimeMachine *model =
          machine ? getTimeMachine(machine->target) : nullptr)
    layer["predicted_us"] = predictBytes(2 * bytes, *model) * 1e6;
  layer["bound"] = "memory";
  return layer;
}

/// What `predicted_us` comes from, and how far it was off where it could be
/// checked.
static json::Object describeModel(const TimeMachine &model) {
  const ModelError &error = getModelError();
  return json::Object{{"machine", model.name},
                      {"source", model.source},
                      {"measured", model.measured},
                      {"error_device", error.device},
                      {"error_kernels", int64_t(error.rows)},
                      {"error_median", error.median},
                      {"error_90", error.most}};
}

static json::Object describeRates(const Rates &rates) {
  return json::Object{{"bytes_per_s", rates.bandwidth},
                      {"f32", rates.f32},
                      {"f16", rates.f16},
                      {"fp8", rates.fp8},
                      {"fp4", rates.fp4}};
}

namespace {

class Builder {
public:
  Builder(const Decisions &decisions, const ExplainedCompile &compile)
      : decisions(decisions), compile(compile),
        machine(getMachine(compile.target)) {}

  json::Value build() {
    addLayers();
    nameKernels();
    addDecisions();
    noteFallbacks();
    json::Object totals = getTotals();
    json::Array list;
    for (json::Object &layer : layers)
      list.push_back(std::move(layer));
    json::Object report{{"schema", "nibble.explain/1"},
                        {"tool", "nibble 0.1.0"},
                        {"model", json::fixUTF8(compile.model)},
                        {"model_hash", compile.modelHash},
                        {"target", json::fixUTF8(compile.target)},
                        {"command", json::fixUTF8(compile.command)},
                        {"machine", getMachineObject()},
                        {"stage", compile.stage},
                        {"problems", getProblems()},
                        {"totals", std::move(totals)},
                        {"layers", std::move(list)},
                        {"hazards", std::move(hazards)},
                        {"decisions", std::move(others)}};
    if (!memory.empty())
      report["memory"] = std::move(memory);
    return report;
  }

private:
  /// In the order of their launches. Entry points are compiled in parallel:
  /// theirs is the order of names.
  void addLayers() {
    for (const Decision *d : decisions.of("select-kernels"))
      if (d->kind == Decision::Kind::Analysis) {
        layers.push_back(getLayer(*d));
        if (getTimeMachine(compile.target))
          layers.back()["predicted_us"] = d->getDouble("predicted_us");
      }
    auto key = [](const json::Object &layer) {
      return std::make_pair(*layer.getString("entry"),
                            *layer.getInteger("region"));
    };
    stableSort(layers,
               [&](const auto &a, const auto &b) { return key(a) < key(b); });
  }

  json::Object *findLayer(llvm::StringRef entry, int64_t region) {
    for (json::Object &layer : layers)
      if (*layer.getString("entry") == entry &&
          *layer.getInteger("region") == region)
        return &layer;
    return nullptr;
  }

  /// Equal regions share one kernel: `outline-kernels` tells which.
  void nameKernels() {
    llvm::StringMap<int64_t> counts;
    for (const json::Object &layer : layers)
      ++counts[*layer.getString("entry")];
    for (const Decision *d : decisions.of("outline-kernels")) {
      kernelNames.insert(d->get("kernel"));
      if (d->get("index").empty()) {
        layers.push_back(getCopy(*d, counts[d->get("entry")]++, machine));
        continue;
      }
      if (json::Object *layer = findLayer(d->get("entry"), d->getInt("index")))
        (*layer)["function"] = d->get("kernel").str();
    }
  }

  void addDecisions() {
    std::vector<const Decision *> told;
    for (const Decision &d : decisions.all())
      if (!isPartOfLayers(d))
        told.push_back(&d);
    if (llvm::any_of(layers, [&](const json::Object &layer) {
          return layer.getString("entry") != layers.front().getString("entry");
        }))
      sortForSeveralEntries(told);
    for (const Decision *d : told)
      addDecision(*d);
  }

  static bool isPartOfLayers(const Decision &d) {
    bool told = d.pass == "select-kernels" || d.pass == "outline-kernels";
    return told && d.kind == Decision::Kind::Analysis;
  }

  /// Their passes run in parallel: the order in which remarks came is chance.
  static void sortForSeveralEntries(std::vector<const Decision *> &list) {
    stableSort(list, [](const Decision *a, const Decision *b) {
      return std::tie(a->layer, a->pass, a->args) <
             std::tie(b->layer, b->pass, b->args);
    });
  }

  void addDecision(const Decision &d) {
    if (d.pass == "plan-memory" && d.kind == Decision::Kind::Analysis)
      return addMemory(d);
    if (d.pass == "lint")
      return addHazard(d);
    json::Object other{{"pass", d.pass}, {"kind", getKindName(d.kind)}};
    for (const auto &[key, value] : d.args)
      other[key == "kind" ? "layer_kind" : key] = value;
    others.push_back(std::move(other));
  }

  /// The plan of the entry point with the largest arena is shown.
  void addMemory(const Decision &d) {
    json::Object plan;
    for (const auto &[key, value] : d.args) {
      int64_t number;
      if (key == "buffers" || key == "launches")
        plan[key] = parse(value);
      else if (!llvm::StringRef(value).getAsInteger(10, number))
        plan[key] = number;
      else
        plan[key] = value;
    }
    auto arena = [](const json::Object &object) {
      return object.getInteger("arena").value_or(-1);
    };
    if (arena(plan) > arena(memory))
      memory = std::move(plan);
  }

  void addHazard(const Decision &d) {
    json::Object hazard;
    for (llvm::StringRef key : {"id", "layer", "op", "why", "fix"})
      hazard[key] = d.get(key).str();
    hazards.push_back(std::move(hazard));
  }

  /// Layers that stage `quantize` let fall to another format: select only sees
  /// that its kernel multiplies what they have now.
  void noteFallbacks() {
    for (const Decision *d : decisions.of("assign-precision")) {
      llvm::StringRef chosen = d->get("chosen").split(' ').first;
      if (d->kind != Decision::Kind::Done || chosen == d->get("requested") ||
          !d->get("reason").contains("--allow-fallback"))
        continue;
      for (json::Object &layer : layers)
        if (llvm::is_contained(*layer.getArray("decides"),
                               json::Value(d->layer)))
          noteFallback(layer, *d);
    }
  }

  static void noteFallback(json::Object &layer, const Decision &d) {
    layer["as_requested"] = false;
    layer["requested"] = d.get("requested").str();
    layer["reason"] = d.get("reason").str();
    if (layer.getString("suggestion")->empty())
      layer["suggestion"] = "remove the reason, or ask for " +
                            d.get("chosen").str() + " in the policy";
  }

  json::Value getMachineObject() {
    if (!machine)
      return json::Object();
    json::Object object{{"device", machine->device},
                        {"source", machine->source},
                        {"datasheet", describeRates(machine->datasheet)},
                        {"reached", describeRates(machine->reached)}};
    if (const TimeMachine *model = getTimeMachine(compile.target))
      object["model"] = describeModel(*model);
    return object;
  }

  json::Array getProblems() {
    json::Array array;
    for (const Problem &problem : compile.problems)
      array.push_back(json::Object{{"layer", json::fixUTF8(problem.layer)},
                                   {"message", json::fixUTF8(problem.message)},
                                   {"notes", toStrings(problem.notes)}});
    return array;
  }

  int64_t sum(llvm::StringRef key) {
    int64_t total = 0;
    for (const json::Object &layer : layers)
      total += layer.getInteger(key).value_or(0);
    return total;
  }
  double sumTimes(llvm::StringRef key) {
    double total = 0;
    for (const json::Object &layer : layers)
      total += layer.getNumber(key).value_or(0);
    return total;
  }
  int64_t sumLengths(llvm::StringRef key) {
    int64_t total = 0;
    for (const json::Object &layer : layers)
      if (const json::Array *list = layer.getArray(key))
        total += list->size();
    return total;
  }

  /// ONNX nodes that a kernel computes, and those not as requested.
  std::pair<int64_t, int64_t> countSources() {
    llvm::StringSet<> names, refused;
    for (const json::Object &layer : layers)
      for (const json::Value &name : *layer.getArray("layers"))
        names.insert(*name.getAsString());
    for (const json::Object &layer : layers)
      if (!*layer.getBoolean("as_requested"))
        for (const json::Value &name : *layer.getArray("decides"))
          refused.insert(*name.getAsString());
    for (const auto &name : refused)
      names.insert(name.first());
    return {names.size(), refused.size()};
  }

  json::Object getTotals() {
    auto [sources, refused] = countSources();
    json::Object totals{
        {"source_layers", sources},
        {"as_requested", sources - refused},
        {"kernels", int64_t(layers.size())},
        {"distinct_kernels", int64_t(kernelNames.size())},
        {"runtime_reformats", sumLengths("reformats_remaining")},
        {"reformats_removed", sumLengths("reformats_removed")},
        {"predicted_bytes", sum("bytes")},
        {"flops", sum("flops")},
        {"datasheet_us", sumTimes("datasheet_us")},
        {"reached_us", sumTimes("reached_us")},
        {"peak_memory", memory.getInteger("arena").value_or(0)}};
    if (getTimeMachine(compile.target))
      totals["predicted_us"] = sumTimes("predicted_us");
    return totals;
  }

  const Decisions &decisions;
  const ExplainedCompile &compile;
  std::optional<Machine> machine;
  std::vector<json::Object> layers;
  json::Array others, hazards;
  json::Object memory;
  llvm::StringSet<> kernelNames;
};

} // namespace

json::Value nibble::explain(const Decisions &decisions,
                            const ExplainedCompile &compile) {
  return Builder(decisions, compile).build();
}
