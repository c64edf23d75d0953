// The document of `explain` as a page without any dependency.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Explain.h"

#include "llvm/Support/FormatVariadic.h"

#include <algorithm>

using namespace nibble;
namespace json = llvm::json;

namespace {

const char *const kStyle = R"(
body{font:14px/1.45 system-ui,sans-serif;margin:2em;color:#1d2430;max-width:1400px}
h1{font-size:1.4em} h2{font-size:1.1em;margin-top:2em}
table{border-collapse:collapse;width:100%} th,td{padding:3px 8px;text-align:left;border-bottom:1px solid #e3e6ea;vertical-align:top}
th{background:#f4f6f8;position:sticky;top:0} td.n{text-align:right;font-variant-numeric:tabular-nums}
tr.bad td{background:#fff1ee} code{font:12px ui-monospace,monospace} details{color:#556} summary{cursor:pointer}
.bar{fill:#3b78c2} .bar.m{fill:#c2803b} svg text{font:11px system-ui,sans-serif}
.totals span{display:inline-block;margin-right:2em} .totals b{font-size:1.3em;display:block}
)";

class Page {
public:
  Page(const json::Object &report, llvm::raw_ostream &os)
      : report(report), os(os) {}

  void print() {
    os << "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
       << "<title>" << escape(text(report, "model")) << "</title><style>"
       << kStyle << "</style></head><body>\n<h1>"
       << escape(text(report, "model")) << " for "
       << escape(text(report, "target")) << "</h1>\n";
    printTotals();
    printChart();
    printMemory();
    printTable();
    printDecisions();
    os << "</body></html>\n";
  }

private:
  static llvm::StringRef text(const json::Object &o, llvm::StringRef key) {
    return o.getString(key).value_or("");
  }
  static std::string escape(llvm::StringRef value) {
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
      default:
        out += c;
      }
    }
    return out;
  }
  const json::Array &layers() const {
    static const json::Array none;
    const json::Array *found = report.getArray("layers");
    return found ? *found : none;
  }

  void printTotals() {
    os << "<p class=\"totals\">";
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
    total(
        "bytes moved",
        llvm::formatv("{0:f1} MiB",
                      t.getNumber("predicted_bytes").value_or(0) / (1 << 20)));
    total("predicted, rates reached",
          llvm::formatv("{0:f1} us", t.getNumber("reached_us").value_or(0)));
    total("floor, datasheet",
          llvm::formatv("{0:f1} us", t.getNumber("datasheet_us").value_or(0)));
    os << "</p>\n";
    if (const json::Object *machine = report.getObject("machine"))
      os << "<p>" << escape(text(*machine, "device"))
         << "; rates: " << escape(text(*machine, "reached_source"))
         << ".</p>\n";
  }

  /// Bars of predicted time, one per region.
  void printChart() {
    double longest = 0;
    for (const json::Value &value : layers())
      longest = std::max(
          longest, value.getAsObject()->getNumber("reached_us").value_or(0));
    if (longest <= 0)
      return;
    os << "<h2>Predicted time by kernel</h2>\n<svg id=\"times\" width=\"100%\" "
          "viewBox=\"0 0 1200 "
       << layers().size() * 16 + 4 << "\">";
    double y = 0;
    for (const json::Value &value : layers()) {
      const json::Object &layer = *value.getAsObject();
      double us = layer.getNumber("reached_us").value_or(0);
      os << llvm::formatv(
          "<rect class=\"bar{0}\" x=\"420\" y=\"{1:f0}\" width=\"{2:f1}\" "
          "height=\"13\"/><text x=\"415\" y=\"{3:f0}\" "
          "text-anchor=\"end\">{4}</text><text x=\"{5:f1}\" "
          "y=\"{3:f0}\">{6:f1} us</text>",
          text(layer, "bound") == "memory" ? " m" : "", y, us / longest * 680,
          y + 11, escape(text(layer, "name")), 426 + us / longest * 680, us);
      y += 16;
    }
    os << "</svg>\n<p>Blue: arithmetic decides; brown: memory decides.</p>\n";
  }

  /// Buffers as rectangles: launches to the right, addresses up.
  void printMemory() {
    const json::Object *memory = report.getObject("memory");
    const json::Array *buffers = memory ? memory->getArray("buffers") : nullptr;
    double arena = memory ? memory->getNumber("arena").value_or(0) : 0;
    if (!buffers || arena <= 0)
      return;
    double end = 1;
    for (const json::Value &b : *buffers)
      end = std::max(end, b.getAsObject()->getNumber("last").value_or(0) + 1);
    os << llvm::formatv("<h2>Arena: {0:f1} MiB</h2>\n<svg id=\"memory\" "
                        "width=\"100%\" viewBox=\"0 0 1200 300\">",
                        arena / (1 << 20));
    for (const json::Value &value : *buffers) {
      const json::Object &b = *value.getAsObject();
      auto number = [&](llvm::StringRef key) {
        return b.getNumber(key).value_or(0);
      };
      double x = number("first") / end * 1200,
             width = (number("last") + 1 - number("first")) / end * 1200,
             height = number("size") / arena * 300,
             top = 300 - number("offset") / arena * 300 - height;
      os << llvm::formatv("<rect class=\"bar\" stroke=\"white\" x=\"{0:f1}\" "
                          "y=\"{1:f1}\" width=\"{2:f1}\" "
                          "height=\"{3:f1}\"><title>{4}</title></rect>",
                          x, top, width, height, escape(text(b, "layer")));
    }
    os << "</svg>\n";
  }

  void printTable() {
    os << "<h2>Kernels</h2>\n<table id=\"layers\"><thead><tr><th>#</th>"
          "<th>layers</th><th>kernel</th><th>requested</th><th>math</th>"
          "<th>bytes</th><th>MFLOP</th><th>us</th><th>why</th></tr></thead>"
          "<tbody>\n";
    for (const json::Value &value : layers())
      printRow(*value.getAsObject());
    os << "</tbody></table>\n";
  }

  void printRow(const json::Object &layer) {
    bool good = layer.getBoolean("as_requested").value_or(true);
    os << "<tr" << (good ? "" : " class=\"bad\"") << "><td class=\"n\">"
       << layer.getInteger("region").value_or(0) << "</td><td>"
       << escape(text(layer, "name")) << "<details><summary>"
       << layer.getArray("layers")->size() << " nodes</summary>";
    for (const json::Value &name : *layer.getArray("layers"))
      os << escape(*name.getAsString()) << "<br>";
    os << "</details></td><td><code>" << escape(text(layer, "kernel"))
       << "</code></td><td>" << escape(text(layer, "requested")) << "</td><td>"
       << escape(text(layer, "chosen")) << "</td>"
       << llvm::formatv("<td class=\"n\">{0}</td><td class=\"n\">{1:f1}</td>"
                        "<td class=\"n\">{2:f1}</td><td>",
                        layer.getInteger("bytes").value_or(0),
                        double(layer.getInteger("flops").value_or(0)) / 1e6,
                        layer.getNumber("reached_us").value_or(0))
       << escape(text(layer, "reason"));
    printDetails(layer);
    os << "</td></tr>\n";
  }

  void printDetails(const json::Object &layer) {
    os << "<details><summary>layouts and alternatives</summary>";
    for (llvm::StringRef key : {"layout_in", "layout_out"})
      if (const json::Array *types = layer.getArray(key)) {
        os << (key == "layout_in" ? "in: " : "out: ");
        for (const json::Value &type : *types)
          os << "<code>" << escape(*type.getAsString()) << "</code><br>";
      }
    if (const json::Array *rejected = layer.getArray("rejected"))
      for (const json::Value &value : *rejected) {
        const json::Object &r = *value.getAsObject();
        os << "not <code>" << escape(text(r, "kernel"))
           << "</code>: " << escape(text(r, "reason")) << "<br>";
      }
    if (!text(layer, "fused").empty())
      os << "fused by " << escape(text(layer, "fused")) << "<br>";
    if (!text(layer, "suggestion").empty())
      os << "fix: " << escape(text(layer, "suggestion"));
    os << "</details>";
  }

  void printDecisions() {
    const json::Array *decisions = report.getArray("decisions");
    if (!decisions || decisions->empty())
      return;
    os << "<h2>Decisions</h2>\n<table id=\"decisions\"><thead><tr><th>pass</th>"
          "<th></th><th>layer</th><th>chosen</th><th>why</th></tr></thead>"
          "<tbody>\n";
    for (const json::Value &value : *decisions) {
      const json::Object &d = *value.getAsObject();
      os << "<tr><td>" << escape(text(d, "pass")) << "</td><td>"
         << escape(text(d, "kind")) << "</td><td>" << escape(text(d, "layer"))
         << "</td><td>" << escape(text(d, "chosen")) << "</td><td>"
         << escape(text(d, "reason")) << "</td></tr>\n";
    }
    os << "</tbody></table>\n";
  }

  const json::Object &report;
  llvm::raw_ostream &os;
};

} // namespace

void nibble::printExplanationHtml(const json::Value &report,
                                  llvm::raw_ostream &os) {
  Page(*report.getAsObject(), os).print();
}
