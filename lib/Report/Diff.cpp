// diff: two reports, aligned by source layer.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "llvm/ADT/MapVector.h"
#include "llvm/Support/FormatVariadic.h"

#include <map>

using namespace nibble;
namespace json = llvm::json;

namespace {

/// The region that a source layer is part of.
using ByLayer = std::map<std::string, const json::Object *>;

ByLayer getByLayer(const json::Value &report) {
  ByLayer found;
  if (const json::Array *layers = report.getAsObject()->getArray("layers"))
    for (const json::Value &value : *layers)
      for (const json::Value &name : *value.getAsObject()->getArray("layers"))
        found[name.getAsString()->str()] = value.getAsObject();
  return found;
}

class Comparison {
public:
  Comparison(const json::Value &a, const json::Value &b,
             const DiffOptions &options)
      : a(*a.getAsObject()), b(*b.getAsObject()), before(getByLayer(a)),
        after(getByLayer(b)), options(options) {}

  json::Value run() {
    compareLayers();
    compareTotals();
    return json::Object{{"schema", "nibble.diff/1"},
                        {"a", describe(a)},
                        {"b", describe(b)},
                        {"totals", std::move(totals)},
                        {"layers", std::move(layers)},
                        {"regressions", std::move(regressions)}};
  }

private:
  static json::Object describe(const json::Object &report) {
    return json::Object{
        {"model", report.getString("model").value_or("").str()},
        {"target", report.getString("target").value_or("").str()}};
  }

  static std::string text(const json::Object *layer, llvm::StringRef key) {
    return layer ? layer->getString(key).value_or("").str() : "";
  }

  void compareLayers() {
    ByLayer all = before;
    all.insert(after.begin(), after.end());
    for (const auto &[name, region] : all) {
      auto x = before.find(name), y = after.find(name);
      compareLayer(name, x == before.end() ? nullptr : x->second,
                   y == after.end() ? nullptr : y->second);
    }
  }

  void compareLayer(const std::string &name, const json::Object *x,
                    const json::Object *y) {
    json::Object changes;
    for (llvm::StringRef key : {"kernel", "chosen", "requested", "fused", "op"})
      if (text(x, key) != text(y, key))
        changes[key] = json::Array{text(x, key), text(y, key)};
    if (changes.empty() && bool(x) == bool(y))
      return;
    json::Object layer{{"name", name}, {"changes", std::move(changes)}};
    if (!x || !y)
      layer["only"] = x ? "a" : "b";
    bool wasGood = !x || x->getBoolean("as_requested").value_or(true);
    if (y && wasGood && !y->getBoolean("as_requested").value_or(true))
      regress(name, "is no longer as requested: " + text(y, "reason"));
    layers.push_back(std::move(layer));
  }

  void regress(llvm::StringRef what, const std::string &why) {
    regressions.push_back(json::Object{{"what", what.str()}, {"why", why}});
  }

  void compareTotals() {
    const json::Object *x = a.getObject("totals"), *y = b.getObject("totals");
    for (llvm::StringRef key :
         {"kernels", "distinct_kernels", "runtime_reformats", "predicted_bytes",
          "flops", "datasheet_us", "reached_us", "peak_memory",
          "as_requested"}) {
      double from = x->getNumber(key).value_or(0),
             to = y->getNumber(key).value_or(0);
      totals[key] = json::Array{from, to};
      bool mayGrow = key != "runtime_reformats";
      bool counts = key == "reached_us" || key == "runtime_reformats";
      if (counts && to > from * (mayGrow ? 1 + options.maxSlowdown : 1))
        regress(key, llvm::formatv("grew from {0:f1} to {1:f1}", from, to));
    }
  }

  const json::Object &a, &b;
  ByLayer before, after;
  const DiffOptions &options;
  json::Object totals;
  json::Array layers, regressions;
};

} // namespace

json::Value nibble::diffReports(const json::Value &a, const json::Value &b,
                                const DiffOptions &options) {
  return Comparison(a, b, options).run();
}

void nibble::printDiff(const json::Value &diff, llvm::raw_ostream &os) {
  const json::Object &d = *diff.getAsObject();
  os << llvm::formatv("{0,-20} {1,16} {2,16}\n", "", "a", "b");
  for (const auto &[key, value] : *d.getObject("totals")) {
    const json::Array &pair = *value.getAsArray();
    os << llvm::formatv("{0,-20} {1,16:f1} {2,16:f1}\n", key.str(),
                        *pair[0].getAsNumber(), *pair[1].getAsNumber());
  }
  for (const json::Value &value : *d.getArray("layers")) {
    const json::Object &layer = *value.getAsObject();
    os << *layer.getString("name");
    if (auto only = layer.getString("only"))
      os << " (only in " << *only << ")";
    for (const auto &[key, change] : *layer.getObject("changes")) {
      const json::Array &pair = *change.getAsArray();
      os << "\n    " << key.str() << ": " << *pair[0].getAsString() << " -> "
         << *pair[1].getAsString();
    }
    os << "\n";
  }
  for (const json::Value &value : *d.getArray("regressions")) {
    const json::Object &r = *value.getAsObject();
    os << "regression: " << *r.getString("what") << " " << *r.getString("why")
       << "\n";
  }
}
