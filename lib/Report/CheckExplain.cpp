// Reports that come from files: what they must have, and their layers by name.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/GlobPattern.h"

using namespace nibble;
namespace json = llvm::json;

namespace {

enum class Kind { Text, Integer, Number, Boolean, Texts, Objects, Object };

/// A field that every object of its kind has.
struct Field {
  llvm::StringLiteral name;
  Kind kind;
};

constexpr Field kReport[] = {
    {"schema", Kind::Text},      {"tool", Kind::Text},
    {"model", Kind::Text},       {"model_hash", Kind::Text},
    {"target", Kind::Text},      {"command", Kind::Text},
    {"machine", Kind::Object},   {"stage", Kind::Text},
    {"problems", Kind::Objects}, {"totals", Kind::Object},
    {"layers", Kind::Objects},   {"hazards", Kind::Objects},
    {"decisions", Kind::Objects}};
constexpr Field kTotals[] = {
    {"source_layers", Kind::Integer},     {"as_requested", Kind::Integer},
    {"kernels", Kind::Integer},           {"distinct_kernels", Kind::Integer},
    {"runtime_reformats", Kind::Integer}, {"reformats_removed", Kind::Integer},
    {"predicted_bytes", Kind::Integer},   {"flops", Kind::Integer},
    {"datasheet_us", Kind::Number},       {"reached_us", Kind::Number},
    {"peak_memory", Kind::Integer}};
constexpr Field kLayer[] = {{"name", Kind::Text},
                            {"entry", Kind::Text},
                            {"region", Kind::Integer},
                            {"op", Kind::Text},
                            {"layers", Kind::Texts},
                            {"decides", Kind::Texts},
                            {"fused", Kind::Texts},
                            {"requested", Kind::Text},
                            {"chosen", Kind::Text},
                            {"as_requested", Kind::Boolean},
                            {"kernel", Kind::Text},
                            {"function", Kind::Text},
                            {"schedule", Kind::Text},
                            {"layout_in", Kind::Texts},
                            {"layout_out", Kind::Texts},
                            {"reformats_removed", Kind::Objects},
                            {"reformats_remaining", Kind::Objects},
                            {"bytes", Kind::Integer},
                            {"bytes_read", Kind::Integer},
                            {"bytes_written", Kind::Integer},
                            {"flops", Kind::Integer},
                            {"datasheet_us", Kind::Number},
                            {"reached_us", Kind::Number},
                            {"bound", Kind::Text},
                            {"reason", Kind::Text},
                            {"rejected", Kind::Objects},
                            {"suggestion", Kind::Text}};
/// Of both: reports of targets with a time model have it.
constexpr Field kPredicted[] = {{"predicted_us", Kind::Number}};
constexpr Field kModel[] = {
    {"machine", Kind::Text},          {"source", Kind::Text},
    {"measured", Kind::Boolean},      {"error_device", Kind::Text},
    {"error_kernels", Kind::Integer}, {"error_median", Kind::Number},
    {"error_90", Kind::Number}};
constexpr Field kReformat[] = {{"how", Kind::Text},
                               {"from", Kind::Text},
                               {"to", Kind::Text},
                               {"bytes", Kind::Integer}};
constexpr Field kRejected[] = {{"kernel", Kind::Text}, {"reason", Kind::Text}};
constexpr Field kProblem[] = {
    {"layer", Kind::Text}, {"message", Kind::Text}, {"notes", Kind::Texts}};
constexpr Field kHazard[] = {{"id", Kind::Text},
                             {"layer", Kind::Text},
                             {"op", Kind::Text},
                             {"why", Kind::Text},
                             {"fix", Kind::Text}};
constexpr Field kMemory[] = {{"arena", Kind::Integer},
                             {"bound", Kind::Integer},
                             {"buffers", Kind::Objects},
                             {"launches", Kind::Objects}};
constexpr Field kBuffer[] = {{"layer", Kind::Text},
                             {"offset", Kind::Integer},
                             {"size", Kind::Integer},
                             {"first", Kind::Integer},
                             {"last", Kind::Integer}};
constexpr Field kLaunch[] = {{"layer", Kind::Text}, {"live", Kind::Integer}};

bool isKind(const json::Value &value, Kind kind) {
  const json::Array *array = value.getAsArray();
  switch (kind) {
  case Kind::Text:
    return value.getAsString().has_value();
  case Kind::Integer:
    return value.getAsInteger().has_value();
  case Kind::Number:
    return value.getAsNumber().has_value();
  case Kind::Boolean:
    return value.getAsBoolean().has_value();
  case Kind::Object:
    return value.getAsObject();
  case Kind::Texts:
    return array && llvm::all_of(*array, [](const json::Value &element) {
             return element.getAsString().has_value();
           });
  case Kind::Objects:
    return array && llvm::all_of(*array, [](const json::Value &element) {
             return element.getAsObject() != nullptr;
           });
  }
  return false;
}

llvm::Error check(const json::Object &object, llvm::ArrayRef<Field> fields,
                  const std::string &where) {
  for (const Field &field : fields) {
    const json::Value *value = object.get(field.name);
    if (!value || !isKind(*value, field.kind))
      return llvm::createStringError(
          "field '" + where + field.name.str() + "' is " +
          (value ? "of another type than the schema says" : "missing"));
  }
  return llvm::Error::success();
}

/// The same of fields that may be missing.
llvm::Error checkOptional(const json::Object &object,
                          llvm::ArrayRef<Field> fields,
                          const std::string &where) {
  for (const Field &field : fields)
    if (object.get(field.name))
      if (llvm::Error error = check(object, field, where))
        return error;
  return llvm::Error::success();
}

/// The objects of an array that has been checked to hold objects.
llvm::Error checkAll(const json::Object &object, llvm::StringRef key,
                     llvm::ArrayRef<Field> fields, const std::string &where) {
  for (const json::Value &element : *object.getArray(key))
    if (llvm::Error error =
            check(*element.getAsObject(), fields, where + key.str() + "[]."))
      return error;
  return llvm::Error::success();
}

llvm::Error checkLayers(const json::Object &report) {
  if (llvm::Error error = checkAll(report, "layers", kLayer, ""))
    return error;
  for (const json::Value &value : *report.getArray("layers")) {
    const json::Object &layer = *value.getAsObject();
    if (llvm::Error error = checkAll(layer, "rejected", kRejected, "layers[]."))
      return error;
    if (llvm::Error error = checkOptional(layer, kPredicted, "layers[]."))
      return error;
    for (llvm::StringRef key : {"reformats_removed", "reformats_remaining"})
      if (llvm::Error error = checkAll(layer, key, kReformat, "layers[]."))
        return error;
  }
  return llvm::Error::success();
}

llvm::Error checkModel(const json::Object &report) {
  static constexpr Field kField[] = {{"model", Kind::Object}};
  const json::Object &machine = *report.getObject("machine");
  if (llvm::Error error = checkOptional(machine, kField, "machine."))
    return error;
  if (const json::Object *model = machine.getObject("model"))
    if (llvm::Error error = check(*model, kModel, "machine.model."))
      return error;
  return checkOptional(*report.getObject("totals"), kPredicted, "totals.");
}

llvm::Error checkMemory(const json::Object &report) {
  const json::Value *value = report.get("memory");
  if (!value)
    return llvm::Error::success();
  static constexpr Field kReportField[] = {{"memory", Kind::Object}};
  if (llvm::Error error = check(report, kReportField, ""))
    return error;
  const json::Object &memory = *value->getAsObject();
  if (llvm::Error error = check(memory, kMemory, "memory."))
    return error;
  if (llvm::Error error = checkAll(memory, "buffers", kBuffer, "memory."))
    return error;
  return checkAll(memory, "launches", kLaunch, "memory.");
}

} // namespace

llvm::Error nibble::checkExplanation(const json::Value &report) {
  const json::Object *object = report.getAsObject();
  if (!object || object->getString("schema") != "nibble.explain/1")
    return llvm::createStringError("it is not of schema nibble.explain/1");
  if (llvm::Error error = check(*object, kReport, ""))
    return error;
  if (llvm::Error error =
          check(*object->getObject("totals"), kTotals, "totals."))
    return error;
  if (llvm::Error error = checkModel(*object))
    return error;
  if (llvm::Error error = checkLayers(*object))
    return error;
  if (llvm::Error error = checkAll(*object, "problems", kProblem, ""))
    return error;
  if (llvm::Error error = checkAll(*object, "hazards", kHazard, ""))
    return error;
  return checkMemory(*object);
}

static bool matches(const llvm::GlobPattern &glob, const json::Object &layer) {
  return glob.match(*layer.getString("name")) ||
         llvm::any_of(*layer.getArray("layers"), [&](const json::Value &name) {
           return glob.match(*name.getAsString());
         });
}

llvm::Expected<json::Value> nibble::filterExplanation(const json::Value &report,
                                                      llvm::StringRef pattern) {
  auto glob = llvm::GlobPattern::create(pattern);
  if (!glob)
    return llvm::createStringError("'" + pattern + "' is not a pattern: " +
                                   llvm::toString(glob.takeError()));
  json::Object filtered = *report.getAsObject();
  json::Array layers;
  const json::Array &all = *filtered.getArray("layers");
  for (const json::Value &layer : all)
    if (matches(*glob, *layer.getAsObject()))
      layers.push_back(layer);
  if (layers.empty() && !all.empty())
    return llvm::createStringError("no layer matches '" + pattern + "'");
  filtered["layers"] = std::move(layers);
  return json::Value(std::move(filtered));
}
