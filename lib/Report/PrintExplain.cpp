// The document of `explain` as text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "llvm/ADT/StringMap.h"
#include "llvm/Support/FormatVariadic.h"

using namespace nibble;
namespace json = llvm::json;

/// Columns that every line fits in.
static constexpr size_t kWidth = 120;

static llvm::StringRef text(const json::Object &object, llvm::StringRef key) {
  return object.getString(key).value_or("");
}
static double number(const json::Object &object, llvm::StringRef key) {
  return object.getNumber(key).value_or(0);
}

static std::string bytes(double count) {
  if (count < 1024)
    return llvm::formatv("{0} B", int64_t(count));
  if (count < (1 << 20))
    return llvm::formatv("{0:f1} KiB", count / 1024);
  if (count < (1 << 30))
    return llvm::formatv("{0:f1} MiB", count / (1 << 20));
  return llvm::formatv("{0:f1} GiB", count / (1 << 30));
}

/// Three significant digits or more, as far as a column has room for.
static std::string brief(double value) {
  if (value == 0)
    return "0";
  if (value < 10)
    return llvm::formatv("{0:f3}", value);
  return llvm::formatv("{0:f1}", value);
}

static bool isContinuation(char c) { return (c & 0xc0) == 0x80; }

/// At most `width` bytes: the end is cut off.
static std::string cut(llvm::StringRef text, size_t width) {
  if (text.size() <= width)
    return text.str();
  size_t end = width - 2;
  while (end && isContinuation(text[end]))
    --end;
  return (text.take_front(end) + "..").str();
}

/// At most `width` bytes: names differ at their ends, so the front is cut off.
static std::string cutFront(llvm::StringRef text, size_t width) {
  if (text.size() <= width)
    return text.str();
  size_t begin = text.size() - width + 2;
  while (begin < text.size() && isContinuation(text[begin]))
    ++begin;
  return (".." + text.drop_front(begin)).str();
}

/// "    what: words words", broken at blanks, further lines indented more.
static void printNote(llvm::StringRef what, llvm::StringRef value,
                      llvm::raw_ostream &os) {
  if (value.empty())
    return;
  std::string line = ("     " + what + ":").str();
  while (!value.empty()) {
    auto [word, rest] = value.split(' ');
    if (line.size() + 1 + word.size() > kWidth &&
        line.find_first_not_of(' ') != std::string::npos) {
      os << line << "\n";
      line = "      ";
    }
    line += " " + word.str();
    value = rest;
  }
  os << line << "\n";
}

static std::string join(const json::Array &names, llvm::StringRef separator) {
  std::string all;
  for (const json::Value &name : names)
    all += (all.empty() ? "" : separator.str()) + name.getAsString()->str();
  return all;
}

static constexpr const char *kRow =
    "{0,3} {1,-11} {2,-24} {3,-12} {4,-4} {5,9} {6,7} {7,8} {8,-4} {9}\n";
/// Of everything in front of the last column.
static constexpr size_t kRowPrefix = 91;

static void printHeader(llvm::raw_ostream &os) {
  os << llvm::formatv(kRow, "#", "op", "kernel", "requested", "math", "bytes",
                      "GFLOP", "us", "by", "layer");
}

/// Predicted, or where there is no model by rates.
static double getTime(const json::Object &layer) {
  return number(layer,
                layer.get("predicted_us") ? "predicted_us" : "reached_us");
}

static void printRow(const json::Object &layer, llvm::raw_ostream &os) {
  llvm::StringRef bound = text(layer, "bound");
  os << llvm::formatv(
      kRow, *layer.getInteger("region"), cut(text(layer, "op"), 11),
      cut(text(layer, "kernel"), 24), cut(text(layer, "requested"), 12),
      cut(text(layer, "chosen"), 4), bytes(number(layer, "bytes")),
      brief(number(layer, "flops") / 1e9), brief(getTime(layer)),
      bound == "memory" ? "mem" : "math",
      cutFront(text(layer, "name"), kWidth - kRowPrefix));
}

static void printRejected(const json::Object &layer, llvm::raw_ostream &os) {
  for (const json::Value &value : *layer.getArray("rejected")) {
    const json::Object &rejected = *value.getAsObject();
    printNote(("not " + text(rejected, "kernel")).str(),
              text(rejected, "reason"), os);
  }
}

static void printReformats(llvm::StringRef what, const json::Array &list,
                           llvm::raw_ostream &os) {
  for (const json::Value &value : list) {
    const json::Object &r = *value.getAsObject();
    printNote(what,
              (text(r, "how") + ", " + bytes(number(r, "bytes")) + ": " +
               text(r, "from") + " -> " + text(r, "to"))
                  .str(),
              os);
  }
}

static void printDetails(const json::Object &layer, llvm::raw_ostream &os) {
  printNote("layer", text(layer, "name"), os);
  printNote("of", join(*layer.getArray("layers"), ", "), os);
  for (const json::Value &type : *layer.getArray("layout_in"))
    printNote("in", *type.getAsString(), os);
  for (const json::Value &type : *layer.getArray("layout_out"))
    printNote("out", *type.getAsString(), os);
  printReformats("reformat removed", *layer.getArray("reformats_removed"), os);
  if (layer.get("predicted_us"))
    printNote("by rates", brief(number(layer, "reached_us")) + " us", os);
  printNote("least",
            brief(number(layer, "datasheet_us")) + " us by the datasheet", os);
  printRejected(layer, os);
}

/// Why ops that no fusion took are kernels of their own, by layer.
static llvm::StringMap<llvm::StringRef> getAlone(const json::Object &document) {
  llvm::StringMap<llvm::StringRef> reasons;
  for (const json::Value &value : *document.getArray("decisions"))
    if (const json::Object *decision = value.getAsObject();
        decision && text(*decision, "pass") == "form-regions" &&
        text(*decision, "kind") == "missed")
      reasons[text(*decision, "layer")] = text(*decision, "reason");
  return reasons;
}

static void printLayer(const json::Object &layer, bool details,
                       llvm::StringRef alone, llvm::raw_ostream &os) {
  bool good = *layer.getBoolean("as_requested");
  printRow(layer, os);
  printNote("fused", join(*layer.getArray("fused"), ", "), os);
  // That loops loop is no news; every other reason is.
  if (details || !good || text(layer, "reason") != "loops over its elements")
    printNote("why", text(layer, "reason"), os);
  printNote("alone", alone, os);
  printReformats("reformat left", *layer.getArray("reformats_remaining"), os);
  if (details)
    printDetails(layer, os);
  else if (!good)
    printRejected(layer, os);
  if (!good || details)
    printNote("fix", text(layer, "suggestion"), os);
}

static void printProblems(const json::Object &report, llvm::raw_ostream &os) {
  for (const json::Value &value : *report.getArray("problems")) {
    const json::Object &problem = *value.getAsObject();
    os << "refused: ";
    llvm::StringRef layer = text(problem, "layer");
    if (!layer.empty() && !text(problem, "message").contains(layer))
      os << "layer '" << layer << "': ";
    os << text(problem, "message") << "\n";
    for (const json::Value &note : *problem.getArray("notes"))
      printNote("note", *note.getAsString(), os);
  }
}

/// The time model, with what it was off by where it could be checked.
static std::string summarizeModel(const json::Object &report) {
  const json::Object &totals = *report.getObject("totals");
  const json::Object *model = report.getObject("machine")->getObject("model");
  if (!model || !totals.get("predicted_us"))
    return "";
  bool measured = model->getBoolean("measured").value_or(false);
  return llvm::formatv(
      "\npredicted {0} us ({1}{2}; model error on {3}, {4} "
      "kernels: median {5:f0} %, 90 % within {6:f0} %)",
      brief(number(totals, "predicted_us")), text(*model, "machine"),
      measured ? "" : ", not measured", text(*model, "error_device"),
      int64_t(number(*model, "error_kernels")),
      100 * number(*model, "error_median"), 100 * number(*model, "error_90"));
}

std::string nibble::summarize(const json::Value &report) {
  const json::Object &totals = *report.getAsObject()->getObject("totals");
  auto get = [&](llvm::StringRef key) {
    return totals.getInteger(key).value_or(0);
  };
  return llvm::formatv("{0} layers: {1} as requested, {2} not; {3} kernels "
                       "({4} distinct), {5} "
                       "reformats at run time, {6} moved, at least {7} us",
                       get("source_layers"), get("as_requested"),
                       get("source_layers") - get("as_requested"),
                       get("kernels"), get("distinct_kernels"),
                       get("runtime_reformats"), bytes(get("predicted_bytes")),
                       brief(number(totals, "datasheet_us")))
             .str() +
         summarizeModel(*report.getAsObject());
}

void nibble::printShortfalls(const json::Value &report, unsigned limit,
                             llvm::raw_ostream &os) {
  unsigned count = 0;
  for (const json::Value &value : *report.getAsObject()->getArray("layers")) {
    const json::Object &layer = *value.getAsObject();
    if (*layer.getBoolean("as_requested") || count++ >= limit)
      continue;
    llvm::StringRef chosen = text(layer, "chosen");
    os << "  " << join(*layer.getArray("decides"), ", ") << ": requested "
       << text(layer, "requested") << ", "
       << (chosen.empty() ? "nothing" : chosen) << " chosen\n";
    printNote("why", text(layer, "reason"), os);
    printNote("fix", text(layer, "suggestion"), os);
  }
  if (count > limit)
    os << "  and " << count - limit << " more: see nibble explain\n";
}

void nibble::printExplanation(const json::Value &report, bool details,
                              llvm::raw_ostream &os) {
  const json::Object &document = *report.getAsObject();
  os << text(document, "model") << " for " << text(document, "target");
  const json::Object &machine = *document.getObject("machine");
  if (!text(machine, "device").empty())
    os << " (" << text(machine, "device") << "; us by "
       << (machine.get("model") ? "the time model"
                                : ("rates " + text(machine, "source")).str())
       << ")";
  os << "\n";
  if (!document.getArray("layers")->empty())
    printHeader(os);
  const llvm::StringMap<llvm::StringRef> alone = getAlone(document);
  for (const json::Value &value : *document.getArray("layers")) {
    const json::Object &layer = *value.getAsObject();
    // Several kernels may have one name; products are kernels by right.
    bool product = !layer.getArray("fused")->empty() ||
                   text(layer, "op") == "gemm" ||
                   text(layer, "op") == "attention";
    printLayer(layer, details, product ? "" : alone.lookup(text(layer, "name")),
               os);
  }
  printProblems(document, os);
  os << summarize(report) << "\n";
  if (size_t hazards = document.getArray("hazards")->size())
    os << hazards << " hazards: see nibble inspect --lint\n";
}

void nibble::printMemory(const json::Value &report, llvm::raw_ostream &os) {
  const json::Object *memory = report.getAsObject()->getObject("memory");
  if (!memory) {
    os << "no memory plan: the compile did not come to plan-memory\n";
    return;
  }
  os << "arena " << bytes(number(*memory, "arena")) << ", at least "
     << bytes(number(*memory, "bound")) << " are alive at once";
  if (!text(*memory, "layer").empty())
    os << ", in " << text(*memory, "layer");
  os << "\n";
  os << llvm::formatv("{0,12} {1,12} {2,6} {3,6}  {4}\n", "offset", "bytes",
                      "first", "last", "layer");
  for (const json::Value &value : *memory->getArray("buffers")) {
    const json::Object &b = *value.getAsObject();
    os << llvm::formatv("{0,12} {1,12} {2,6} {3,6}  {4}\n",
                        *b.getInteger("offset"), *b.getInteger("size"),
                        *b.getInteger("first"), *b.getInteger("last"),
                        cutFront(text(b, "layer"), kWidth - 41));
  }
}
