// diff: two reports, aligned by source layer.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "llvm/ADT/IntEqClasses.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <map>

using namespace nibble;
namespace json = llvm::json;

namespace {

using Regions = std::vector<const json::Object *>;

/// Regions of both reports that share source layers, directly or through
/// others: the smallest sets that compute the same on both sides.
struct Group {
  Regions sides[2];
  const Regions &a() const { return sides[0]; }
  const Regions &b() const { return sides[1]; }
};

/// Source layers of a region; its own name if it has none (copies).
std::vector<std::string> getSources(const json::Object &region) {
  std::vector<std::string> names;
  for (const json::Value &name : *region.getArray("layers"))
    names.push_back(name.getAsString()->str());
  if (names.empty())
    names.push_back("#" + region.getString("name")->str());
  return names;
}

std::vector<Group> align(const json::Object &a, const json::Object &b) {
  const json::Object *reports[] = {&a, &b};
  std::map<std::string, unsigned> numbers;
  std::vector<std::vector<unsigned>> sources[2]; // of each region
  for (int side : {0, 1})
    for (const json::Value &value : *reports[side]->getArray("layers")) {
      sources[side].emplace_back();
      for (const std::string &name : getSources(*value.getAsObject()))
        sources[side].back().push_back(
            numbers.try_emplace(name, numbers.size()).first->second);
    }
  llvm::IntEqClasses classes(numbers.size());
  for (const auto &list : sources)
    for (const std::vector<unsigned> &layers : list)
      for (unsigned layer : layers)
        classes.join(layers.front(), layer);
  classes.compress(); // numbered by their first layers
  std::vector<Group> groups(classes.getNumClasses());
  for (int side : {0, 1})
    for (auto [i, value] : llvm::enumerate(*reports[side]->getArray("layers")))
      groups[classes[sources[side][i].front()]].sides[side].push_back(
          value.getAsObject());
  return groups;
}

double sum(const Regions &regions, llvm::StringRef key) {
  double total = 0;
  for (const json::Object *region : regions)
    total += *region->getNumber(key);
  return total;
}

unsigned countReformats(const Regions &regions) {
  unsigned count = 0;
  for (const json::Object *region : regions)
    count += region->getArray("reformats_remaining")->size();
  return count;
}

const json::Object *findRefused(const Regions &regions) {
  for (const json::Object *region : regions)
    if (!*region->getBoolean("as_requested"))
      return region;
  return nullptr;
}

/// "x + y": what the regions of a side have in a text field.
std::string list(const Regions &regions, llvm::StringRef key) {
  std::string all;
  for (const json::Object *region : regions) {
    std::string text = region->getString(key).value_or("").str();
    if (const json::Array *names = region->getArray(key))
      for (const json::Value &name : *names)
        text += (text.empty() ? "" : ", ") + name.getAsString()->str();
    if (!text.empty())
      all += (all.empty() ? "" : " + ") + text;
  }
  return all;
}

class Comparison {
public:
  Comparison(const json::Value &a, const json::Value &b,
             const DiffOptions &options)
      : a(*a.getAsObject()), b(*b.getAsObject()), options(options) {}

  json::Value run() {
    for (const Group &group : align(a, b))
      compare(group);
    compareTotals();
    return json::Object{{"schema", "nibble.diff/1"},
                        {"a", describe(a)},
                        {"b", describe(b)},
                        {"max_slowdown", options.maxSlowdown},
                        {"totals", std::move(totals)},
                        {"layers", std::move(layers)},
                        {"regressions", std::move(regressions)}};
  }

private:
  static json::Object describe(const json::Object &report) {
    return json::Object{{"model", report.getString("model")->str()},
                        {"target", report.getString("target")->str()}};
  }

  void compare(const Group &group) {
    const Regions &either = group.b().empty() ? group.a() : group.b();
    std::string name = either.front()->getString("name")->str();
    json::Object changes;
    for (llvm::StringRef key :
         {"op", "requested", "chosen", "kernel", "schedule", "fused"}) {
      std::string from = list(group.a(), key), to = list(group.b(), key);
      if (from != to)
        changes[key] = json::Array{from, to};
    }
    judge(group, name);
    json::Object layer{
        {"name", name},
        {"regions",
         json::Array{int64_t(group.a().size()), int64_t(group.b().size())}},
        {"bytes",
         json::Array{sum(group.a(), "bytes"), sum(group.b(), "bytes")}},
        {"reached_us", json::Array{sum(group.a(), "reached_us"),
                                   sum(group.b(), "reached_us")}}};
    if (changes.empty() && isEqualPair(*layer.getArray("bytes")) &&
        isEqualPair(*layer.getArray("reached_us")))
      return;
    if (group.a().empty() || group.b().empty())
      layer["only"] = group.a().empty() ? "b" : "a";
    layer["changes"] = std::move(changes);
    layers.push_back(std::move(layer));
  }

  static bool isEqualPair(const json::Array &pair) {
    return *pair[0].getAsNumber() == *pair[1].getAsNumber();
  }

  void judge(const Group &group, const std::string &name) {
    if (const json::Object *refused = findRefused(group.b());
        refused && !findRefused(group.a()))
      regress(name, "is no longer as requested: " +
                        refused->getString("reason")->str());
    unsigned from = countReformats(group.a()), to = countReformats(group.b());
    if (to > from)
      regress(name, llvm::formatv("has {0} reformats at run time, not {1}", to,
                                  from));
  }

  void regress(llvm::StringRef what, const std::string &why) {
    regressions.push_back(json::Object{{"what", what.str()}, {"why", why}});
  }

  void compareTotals() {
    const json::Object *x = a.getObject("totals"), *y = b.getObject("totals");
    for (const auto &[key, value] : *x) {
      double from = value.getAsNumber().value_or(0),
             to = y->getNumber(key).value_or(0);
      totals[key] = json::Array{from, to};
    }
    double from = *x->getNumber("reached_us"), to = *y->getNumber("reached_us");
    if (to > from * (1 + options.maxSlowdown))
      regress("reached_us",
              llvm::formatv("grew from {0:f3} to {1:f3}, by more than {2:P1}",
                            from, to, options.maxSlowdown));
  }

  const json::Object &a, &b;
  const DiffOptions &options;
  json::Object totals;
  json::Array layers, regressions;
};

} // namespace

json::Value nibble::diffReports(const json::Value &a, const json::Value &b,
                                const DiffOptions &options) {
  return Comparison(a, b, options).run();
}

static std::string print(const json::Value &value) {
  if (auto whole = value.getAsInteger())
    return std::to_string(*whole);
  return llvm::formatv("{0:f3}", value.getAsNumber().value_or(0));
}

static void printLayer(const json::Object &layer, llvm::raw_ostream &os) {
  os << *layer.getString("name");
  if (auto only = layer.getString("only"))
    os << " (only in " << *only << ")";
  os << "\n";
  for (const auto &[key, change] : *layer.getObject("changes")) {
    const json::Array &pair = *change.getAsArray();
    os << "    " << key.str() << ": " << *pair[0].getAsString() << " -> "
       << *pair[1].getAsString() << "\n";
  }
  for (llvm::StringRef key : {"bytes", "reached_us"}) {
    const json::Array &pair = *layer.getArray(key);
    std::string from = print(pair[0]), to = print(pair[1]);
    if (from != to)
      os << "    " << key << ": " << from << " -> " << to << "\n";
  }
}

void nibble::printDiff(const json::Value &diff, llvm::raw_ostream &os) {
  const json::Object &d = *diff.getAsObject();
  os << llvm::formatv("{0,-20} {1,16} {2,16}\n", "", "a", "b");
  for (const auto &[key, value] : *d.getObject("totals")) {
    const json::Array &pair = *value.getAsArray();
    os << llvm::formatv("{0,-20} {1,16} {2,16}\n", key.str(), print(pair[0]),
                        print(pair[1]));
  }
  for (const json::Value &value : *d.getArray("layers"))
    printLayer(*value.getAsObject(), os);
  for (const json::Value &value : *d.getArray("regressions")) {
    const json::Object &r = *value.getAsObject();
    os << "regression: " << *r.getString("what") << " " << *r.getString("why")
       << "\n";
  }
}
