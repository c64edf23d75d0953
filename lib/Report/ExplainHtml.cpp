// The document of `explain` as a page without any dependency, or any script.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/FormatVariadic.h"

#include <algorithm>

using namespace nibble;
namespace json = llvm::json;

namespace {

const char *const kStyle = R"(
*{box-sizing:border-box} body{font:14px/1.45 system-ui,sans-serif;margin:2em auto;padding:0 1.5em;color:#1d2430;max-width:1400px}
h1{font-size:1.4em;margin-bottom:.2em} h2{font-size:1.1em;margin-top:2em}
table{border-collapse:collapse;width:100%} th,td{padding:3px 8px;text-align:left;border-bottom:1px solid #e3e6ea;vertical-align:top}
th{background:#f4f6f8;position:sticky;top:0} .n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
tr.bad td,.problem{background:#fff1ee} code{font:12px ui-monospace,monospace;overflow-wrap:anywhere}
td.layer,td.why{overflow-wrap:anywhere} td.kernel,td.word{white-space:nowrap} td.why{min-width:18em} .problem{padding:.5em 1em;border-left:4px solid #c2413b}
details{color:#556} summary{cursor:pointer} p.sub{color:#556;margin-top:0}
.bar{fill:#3b78c2} .bar.m{fill:#c2803b} .key{display:inline-block;width:.8em;height:.8em;margin-right:.3em}
svg{display:block;width:100%;height:auto} svg text{font:11px system-ui,sans-serif;fill:#1d2430} svg .axis{stroke:#c9ced6;fill:none} svg .live{stroke:#1d2430;fill:none}
.totals{display:flex;flex-wrap:wrap;gap:.8em 2em;margin:1.2em 0} .totals b{font-size:1.3em;display:block}
)";

llvm::StringRef text(const json::Object &o, llvm::StringRef key) {
  return o.getString(key).value_or("");
}
double number(const json::Object &o, llvm::StringRef key) {
  return o.getNumber(key).value_or(0);
}

std::string escape(llvm::StringRef value) {
  std::string out;
  for (char c : value) {
    switch (c) {
    case '<':
      out += "&lt;";
      break;
    case '>':
      out += "&gt;";
      break;
    case '&':
      out += "&amp;";
      break;
    case '"':
      out += "&quot;";
      break;
    case '\'':
      out += "&#39;";
      break;
    default:
      // Control characters are not allowed in HTML, escaped or not.
      out += (unsigned char)c < 0x20 && c != '\n' && c != '\t' ? ' ' : c;
    }
  }
  return out;
}

std::string bytes(double count) {
  if (count < 1024)
    return llvm::formatv("{0} B", int64_t(count));
  if (count < (1 << 20))
    return llvm::formatv("{0:f1} KiB", count / 1024);
  return llvm::formatv("{0:f1} MiB", count / (1 << 20));
}

std::string time(double us) {
  return us < 10 ? llvm::formatv("{0:f3} us", us).str()
                 : llvm::formatv("{0:f1} us", us).str();
}

/// The end of a name, which is where names differ; at most `count` characters.
std::string getEnd(llvm::StringRef name, size_t count) {
  if (name.size() <= count)
    return name.str();
  name = name.take_back(count - 1);
  while (!name.empty() && (name.front() & 0xc0) == 0x80)
    name = name.drop_front();
  return "\xe2\x80\xa6" + name.str();
}

class Page {
public:
  Page(const json::Object &report, llvm::raw_ostream &os)
      : report(report), layers(*report.getArray("layers")), os(os) {}

  void print() {
    os << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
       << "<title>" << escape(text(report, "model")) << "</title><style>"
       << kStyle << "</style></head><body>\n<h1>"
       << escape(text(report, "model")) << " for "
       << escape(text(report, "target")) << "</h1>\n";
    printMachine();
    printProblems();
    printTotals();
    printTimes();
    printMemory();
    printTable();
    printHazards();
    printDecisions();
    os << "</body></html>\n";
  }

private:
  void printMachine() {
    const json::Object &machine = *report.getObject("machine");
    os << "<p class=\"sub\">" << escape(text(machine, "device"))
       << "; rates for predicted times " << escape(text(machine, "source"))
       << ". Stage reached: " << escape(text(report, "stage")) << ".</p>\n";
  }

  void printProblems() {
    for (const json::Value &value : *report.getArray("problems")) {
      const json::Object &problem = *value.getAsObject();
      os << "<p class=\"problem\"><b>Refused</b>";
      if (!text(problem, "message").contains(text(problem, "layer")))
        os << " layer <code>" << escape(text(problem, "layer")) << "</code>";
      os << ": " << escape(text(problem, "message"));
      for (const json::Value &note : *problem.getArray("notes"))
        os << "<br>" << escape(*note.getAsString());
      os << "</p>\n";
    }
  }

  void printTotals() {
    os << "<div class=\"totals\" id=\"totals\">";
    auto total = [&](llvm::StringRef name, const std::string &value) {
      os << "<span><b>" << value << "</b>" << name << "</span>";
    };
    const json::Object &t = *report.getObject("totals");
    auto count = [&](llvm::StringRef key) {
      return std::to_string(t.getInteger(key).value_or(0));
    };
    total("layers as requested",
          count("as_requested") + " of " + count("source_layers"));
    total("kernels", count("kernels"));
    total("distinct kernels", count("distinct_kernels"));
    total("reformats at run time", count("runtime_reformats"));
    total("reformats removed", count("reformats_removed"));
    total("moved", bytes(number(t, "predicted_bytes")));
    total("predicted", time(number(t, "reached_us")));
    total("least, by the datasheet", time(number(t, "datasheet_us")));
    if (number(t, "peak_memory") > 0)
      total("arena", bytes(number(t, "peak_memory")));
    os << "</div>\n";
  }

  static constexpr int kNameWidth = 330, kBarWidth = 760, kBarStep = 17;

  /// Bars of predicted time, one per region.
  void printTimes() {
    double longest = 0;
    for (const json::Value &value : layers)
      longest = std::max(longest, number(*value.getAsObject(), "reached_us"));
    if (longest <= 0)
      return;
    os << "<h2>Predicted time by kernel</h2>\n<p class=\"sub\"><span "
          "class=\"key\" style=\"background:#3b78c2\"></span>arithmetic "
          "decides "
          "&nbsp; <span class=\"key\" "
          "style=\"background:#c2803b\"></span>memory "
          "decides</p>\n<svg id=\"times\" viewBox=\"0 0 1200 "
       << layers.size() * kBarStep + 4 << "\" role=\"img\">";
    int y = 0;
    for (const json::Value &value : layers) {
      printBar(*value.getAsObject(), y, longest);
      y += kBarStep;
    }
    os << "</svg>\n";
  }

  void printBar(const json::Object &layer, int y, double longest) {
    double us = number(layer, "reached_us"), width = us / longest * kBarWidth;
    std::string name = escape(text(layer, "name"));
    os << llvm::formatv(
        "<g><title>{0}: {1}, {2}</title><text x=\"{3}\" y=\"{4}\" "
        "text-anchor=\"end\">{5}</text><rect class=\"bar{6}\" x=\"{7}\" "
        "y=\"{8}\" width=\"{9:f1}\" height=\"13\"/><text x=\"{10:f1}\" "
        "y=\"{4}\">{11}</text></g>\n",
        name, escape(text(layer, "kernel")), time(us), kNameWidth - 6, y + 11,
        escape(getEnd(text(layer, "name"), 52)),
        text(layer, "bound") == "memory" ? " m" : "", kNameWidth, y,
        std::max(width, 1.0), kNameWidth + 6 + width, time(us));
  }

  /// Buffers as rectangles: launches to the right, addresses up.
  void printMemory() {
    const json::Object *memory = report.getObject("memory");
    const json::Array *buffers = memory ? memory->getArray("buffers") : nullptr;
    double arena = memory ? number(*memory, "arena") : 0;
    if (!buffers || arena <= 0)
      return;
    double end = 1;
    for (const json::Value &b : *buffers)
      end = std::max(end, number(*b.getAsObject(), "last") + 1);
    os << "<h2>Memory</h2>\n<p class=\"sub\">Arena " << bytes(arena);
    if (memory->get("bound"))
      os << "; at least " << bytes(number(*memory, "bound"))
         << " are alive at once";
    os << ". Launches from left to right, addresses upwards; the line is what "
          "is alive.</p>\n"
          "<svg id=\"memory\" viewBox=\"0 0 1200 322\" role=\"img\">";
    for (const json::Value &value : *buffers)
      printBuffer(*value.getAsObject(), arena, end);
    printLive(*memory, arena, end);
    os << llvm::formatv(
        "<path class=\"axis\" d=\"M0.5 0V300.5H1200\"/><text "
        "x=\"4\" y=\"316\">launch 0</text><text x=\"1196\" "
        "y=\"316\" text-anchor=\"end\">launch {0}</text></svg>\n",
        int64_t(end) - 1);
  }

  /// A line over the bytes alive during each launch.
  void printLive(const json::Object &memory, double arena, double end) {
    const json::Array *launches = memory.getArray("launches");
    if (!launches || launches->empty())
      return;
    os << "<polyline class=\"live\" points=\"";
    for (auto [i, value] : llvm::enumerate(*launches)) {
      double y = 300 - number(*value.getAsObject(), "live") / arena * 300;
      os << llvm::formatv("{0:f1},{1:f1} {2:f1},{1:f1} ", i / end * 1200, y,
                          (i + 1) / end * 1200);
    }
    os << "\"/>";
  }

  void printBuffer(const json::Object &b, double arena, double end) {
    double first = number(b, "first"), last = number(b, "last");
    double x = first / end * 1200, width = (last + 1 - first) / end * 1200;
    double height = number(b, "size") / arena * 300;
    double top = 300 - number(b, "offset") / arena * 300 - height;
    os << llvm::formatv("<rect class=\"bar\" stroke=\"white\" x=\"{0:f1}\" "
                        "y=\"{1:f1}\" width=\"{2:f1}\" height=\"{3:f1}\">"
                        "<title>{4}: {5}, launches {6} to {7}</title></rect>\n",
                        x, top, width, height, escape(text(b, "layer")),
                        bytes(number(b, "size")), int64_t(first),
                        int64_t(last));
  }

  void printTable() {
    os << "<h2>Kernels</h2>\n<table id=\"layers\"><thead><tr>"
          "<th class=\"n\">#</th><th>layer</th><th>op</th><th>kernel</th>"
          "<th>requested</th><th>math</th><th class=\"n\">bytes</th>"
          "<th class=\"n\">MFLOP</th><th class=\"n\">us</th><th>why</th></tr>"
          "</thead><tbody>\n";
    for (const json::Value &value : layers)
      printRow(*value.getAsObject());
    os << "</tbody></table>\n";
  }

  void printRow(const json::Object &layer) {
    bool good = *layer.getBoolean("as_requested");
    os << "<tr" << (good ? "" : " class=\"bad\"") << "><td class=\"n\">"
       << *layer.getInteger("region") << "</td><td class=\"layer\">"
       << escape(text(layer, "name"));
    printNodes(*layer.getArray("layers"));
    os << "</td><td>" << escape(text(layer, "op"))
       << "</td><td class=\"kernel\"><code>" << escape(text(layer, "kernel"))
       << "</code></td><td>" << escape(text(layer, "requested")) << "</td><td>"
       << escape(text(layer, "chosen")) << "</td>"
       << llvm::formatv("<td class=\"n\">{0}</td><td class=\"n\">{1:f1}</td>"
                        "<td class=\"n\">{2:f3}</td><td class=\"why\">",
                        *layer.getInteger("bytes"),
                        number(layer, "flops") / 1e6,
                        number(layer, "reached_us"))
       << escape(text(layer, "reason"));
    if (!good && !text(layer, "suggestion").empty())
      os << "<br><b>fix:</b> " << escape(text(layer, "suggestion"));
    printDetails(layer);
    os << "</td></tr>\n";
  }

  void printNodes(const json::Array &names) {
    if (names.size() < 2)
      return;
    os << "<details><summary>" << names.size() << " nodes</summary>";
    for (const json::Value &name : names)
      os << escape(*name.getAsString()) << "<br>";
    os << "</details>";
  }

  void printTypes(const json::Object &layer, llvm::StringRef key,
                  llvm::StringRef what) {
    for (const json::Value &type : *layer.getArray(key))
      os << what << " <code>" << escape(*type.getAsString()) << "</code><br>";
  }

  void printReformats(const json::Object &layer, llvm::StringRef key,
                      llvm::StringRef what) {
    for (const json::Value &value : *layer.getArray(key)) {
      const json::Object &r = *value.getAsObject();
      os << what << ": " << escape(text(r, "how")) << ", "
         << bytes(number(r, "bytes")) << "<br>";
    }
  }

  void printDetails(const json::Object &layer) {
    os << "<details><summary>layouts and alternatives</summary>";
    printTypes(layer, "layout_in", "in");
    printTypes(layer, "layout_out", "out");
    printReformats(layer, "reformats_removed", "reformat removed");
    printReformats(layer, "reformats_remaining", "reformat left");
    for (const json::Value &value : *layer.getArray("rejected")) {
      const json::Object &r = *value.getAsObject();
      os << "not <code>" << escape(text(r, "kernel"))
         << "</code>: " << escape(text(r, "reason")) << "<br>";
    }
    for (const json::Value &pass : *layer.getArray("fused"))
      os << "fused by " << escape(*pass.getAsString()) << "<br>";
    os << "least by the datasheet: " << time(number(layer, "datasheet_us"))
       << "</details>";
  }

  void printHazards() {
    const json::Array &hazards = *report.getArray("hazards");
    if (hazards.empty())
      return;
    os << "<h2>Hazards in the model</h2>\n<table id=\"hazards\"><thead><tr>"
          "<th>hazard</th><th>layer</th><th>why</th><th>fix</th></tr></thead>"
          "<tbody>\n";
    for (const json::Value &value : hazards)
      printCells(*value.getAsObject(), {"id", "layer", "why", "fix"});
    os << "</tbody></table>\n";
  }

  void printDecisions() {
    const json::Array &decisions = *report.getArray("decisions");
    if (decisions.empty())
      return;
    os << "<h2>Decisions</h2>\n<table id=\"decisions\"><thead><tr><th>pass</th>"
          "<th></th><th>layer</th><th>chosen</th><th>why</th></tr></thead>"
          "<tbody>\n";
    for (const json::Value &value : decisions)
      printCells(*value.getAsObject(),
                 {"pass", "kind", "layer", "chosen", "reason"});
    os << "</tbody></table>\n";
  }

  void printCells(const json::Object &object,
                  llvm::ArrayRef<llvm::StringRef> keys) {
    os << "<tr>";
    for (llvm::StringRef key : keys) {
      bool isWord = key == "pass" || key == "kind" || key == "id";
      os << "<td class=\"" << (isWord ? "word" : "layer") << "\">"
         << escape(text(object, key)) << "</td>";
    }
    os << "</tr>\n";
  }

  const json::Object &report;
  const json::Array &layers;
  llvm::raw_ostream &os;
};

} // namespace

void nibble::printExplanationHtml(const json::Value &report,
                                  llvm::raw_ostream &os) {
  Page(*report.getAsObject(), os).print();
}
