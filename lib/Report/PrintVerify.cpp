// Text and JSON of a verification.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Report/Verify.h"

#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"

#include <cmath>

using namespace nibble;

static std::string formatError(double value) {
  return llvm::formatv("{0:e2}", value).str();
}

/// Nothing if all decisions are those of the reference.
static void printFlips(const LayerReport &layer, llvm::raw_ostream &os) {
  const CodeFlips &flips = *layer.flips;
  if (flips.flippedCodes + flips.flippedScales == 0)
    return;
  os << llvm::formatv("codes of '{0}' that are others than in the reference: "
                      "{1} of {2}, block scales {3} of {4}",
                      layer.layer, flips.flippedCodes, flips.codes,
                      flips.flippedScales, flips.scales);
  if (flips.farCodes + flips.farScales)
    os << llvm::formatv("; {0} are no neighbours",
                        flips.farCodes + flips.farScales);
  os << "\n";
}

void nibble::printVerifyReport(const VerifyReport &report,
                               llvm::raw_ostream &os) {
  os << llvm::formatv("{0,-44} {1,-12} {2,10} {3,10} {4,7} {5,12} {6,10}\n",
                      "layer", "kind", "kernel fro", "max abs", "SQNR",
                      "kernel cos", "format cos");
  for (const LayerReport &layer : report.layers) {
    os << llvm::formatv(
        "{0,-44} {1,-12} {2,10} {3,10} {4,7:f1} {5,12:f9} {6,10} {7}\n",
        layer.layer, layer.kind, formatError(layer.kernel.frobenius),
        formatError(layer.kernel.maxAbs), std::min(layer.kernel.sqnr, 999.0),
        layer.kernel.cosine,
        layer.format ? llvm::formatv("{0:f6}", layer.format->cosine).str()
                     : "-",
        layer.problem.empty() ? "" : "BAD");
  }
  for (const LayerReport &layer : report.layers) {
    if (layer.problem.empty())
      continue;
    os << "first bad layer: '" << layer.layer << "' (" << layer.kind
       << "): " << layer.problem << "\n";
    break;
  }
  for (const LayerReport &layer : report.layers)
    if (layer.flips)
      printFlips(layer, os);
  for (const OutputReport &output : report.outputs) {
    os << llvm::formatv("output '{0}': kernel error (fro) {1}, cos {2:f9}; "
                        "format error (fro) {3}, "
                        "cos {4:f6}; whole against the baseline: cos {5:f6}\n",
                        output.name, formatError(output.kernel.frobenius),
                        output.kernel.cosine,
                        formatError(output.format.frobenius),
                        output.format.cosine, output.total.cosine);
    if (output.sameCodes)
      os << llvm::formatv(
          "output '{0}': kernel error on the device's codes (fro) {1}\n",
          output.name, formatError(output.sameCodes->frobenius));
  }
  if (!report.outputs.empty())
    os << "baseline: " << report.baseline << "\n";
  if (report.beforeRounding)
    os << "matmul results compared in f32, before their output rounding\n";
  os << llvm::formatv(
      "{0} of {1} layers beyond tolerance; reference {2:f1} s\n",
      report.badLayers, report.layers.size(), report.referenceSeconds);
}

static llvm::json::Value toJson(const rt::Metrics &metrics) {
  auto finite = [](double value) -> llvm::json::Value {
    if (std::isfinite(value))
      return value;
    return nullptr; // equal values have infinite SQNR
  };
  return llvm::json::Object{{"cosine", finite(metrics.cosine)},
                            {"max_abs", finite(metrics.maxAbs)},
                            {"frobenius", finite(metrics.frobenius)},
                            {"sqnr_db", finite(metrics.sqnr)},
                            {"non_finite", int64_t(metrics.nonFinite)}};
}

static llvm::json::Value toJson(const CodeFlips &flips) {
  return llvm::json::Object{
      {"codes", flips.codes},          {"flipped_codes", flips.flippedCodes},
      {"far_codes", flips.farCodes},   {"scales", flips.scales},
      {"far_scales", flips.farScales}, {"flipped_scales", flips.flippedScales}};
}

void nibble::printVerifyReportJson(const VerifyReport &report,
                                   llvm::raw_ostream &os) {
  llvm::json::Array layers, outputs;
  for (const LayerReport &layer : report.layers) {
    llvm::json::Object object{{"name", layer.layer},
                              {"op", layer.kind},
                              {"dtype", layer.dtype},
                              {"kernel_error", toJson(layer.kernel)},
                              {"problem", layer.problem}};
    if (layer.format)
      object["format_error"] = toJson(*layer.format);
    if (layer.flips)
      object["flips"] = toJson(*layer.flips);
    if (layer.flipsOfGraph)
      object["flips_of_graph"] = toJson(*layer.flipsOfGraph);
    layers.push_back(std::move(object));
  }
  for (const OutputReport &output : report.outputs) {
    llvm::json::Object object{{"name", output.name},
                              {"kernel_error", toJson(output.kernel)},
                              {"format_error", toJson(output.format)},
                              {"total_error", toJson(output.total)}};
    if (output.sameCodes)
      object["kernel_error_on_device_codes"] = toJson(*output.sameCodes);
    outputs.push_back(std::move(object));
  }
  llvm::json::Object root{{"schema", "nibble.verify/1"},
                          {"layers", std::move(layers)},
                          {"outputs", std::move(outputs)},
                          {"baseline", report.baseline},
                          {"before_rounding", report.beforeRounding},
                          {"bad_layers", report.badLayers},
                          {"reference_seconds", report.referenceSeconds}};
  os << llvm::formatv("{0:2}\n", llvm::json::Value(std::move(root)));
}
