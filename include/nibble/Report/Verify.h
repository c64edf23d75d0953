// verify: an engine against the f64 reference, launch by launch and as a whole.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Two errors are told apart. Kernel error: what a launch computed against the
// exact value of that launch on the inputs that the device itself gave it, so
// errors of earlier layers do not count again. Format error: the exact
// quantized graph against an unquantized one, both evaluated in f64.
#ifndef NIBBLE_REPORT_VERIFY_H
#define NIBBLE_REPORT_VERIFY_H

#include "nibble/Pipelines/Compiler.h"
#include "nibble/rt/array.h"
#include "nibble/rt/compare.h"

#include "llvm/ADT/StringMap.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace nibble {

struct VerifyOptions {
  /// How to compile the model; `output` is where the engine goes.
  CompileOptions compile;
  /// An engine to check instead of a fresh one. It must be what
  /// `compile` makes: same launches, same kernels.
  std::string engine;
  /// "cpu", "cuda" or "emu"; empty: cpu, and emu for engines of GPUs.
  std::string device;
  /// FP32 model with the same layer names; empty: the model itself before
  /// `quantize`, or, if that does nothing, without the quantization of its
  /// activations.
  std::string baseline;
  /// NAME -> "@file.npy", "normal:seed=1", ...; others get normal:seed=<i>.
  std::map<std::string, std::string> inputs;
  std::string layers = "*"; ///< glob over layer names
  unsigned threads = 2;
  /// Instead of the defaults per element type.
  std::optional<rt::Tolerance> tolerance;
  /// Evaluate the whole graph in f64, too (kernel error of the outputs, format
  /// error).
  bool whole = true;
  /// With `whole`: also evaluate the plan in f64 on the codes that the device
  /// made, so that ties of quantizers are decided as it decided them.
  bool deviceCodes = false;
};

/// Decisions of a quantizer, of a launch on its own inputs, that went to
/// another code or block scale than in the reference, and those of them that
/// are not its neighbour. Codes are counted where their scale is the same.
struct CodeFlips {
  int64_t codes = 0, flippedCodes = 0, farCodes = 0;
  int64_t scales = 0, flippedScales = 0, farScales = 0;
};

struct LayerReport {
  std::string layer, kind, dtype;
  rt::Metrics kernel;
  std::optional<CodeFlips> flips; ///< of results with scales
  /// The same against the exact graph on the device's earlier codes (with
  /// `deviceCodes`): other roundings in between count, too.
  std::optional<CodeFlips> flipsOfGraph;
  std::optional<rt::Metrics> format;
  std::string problem; ///< why it is out of tolerance; empty if it is not
};

struct OutputReport {
  std::string name;
  rt::Metrics kernel; ///< device against the exact quantized graph
  rt::Metrics format; ///< exact quantized graph against the baseline
  rt::Metrics total;  ///< device against the baseline
  /// Device against the exact graph on the device's codes, if asked for.
  std::optional<rt::Metrics> sameCodes;
};

struct VerifyReport {
  std::vector<LayerReport> layers;
  std::vector<OutputReport> outputs;
  std::string baseline;        ///< what the format error is against
  bool beforeRounding = false; ///< matmul results were compared in f32
  unsigned badLayers = 0;
  double referenceSeconds = 0;
};

/// Compiles (unless an engine is given), runs, evaluates. Errors are
/// diagnostics; being out of tolerance is not an error but in the report.
mlir::FailureOr<VerifyReport> verifyModel(mlir::MLIRContext &context,
                                          const VerifyOptions &options);

void printVerifyReport(const VerifyReport &report, llvm::raw_ostream &os);
void printVerifyReportJson(const VerifyReport &report, llvm::raw_ostream &os);

} // namespace nibble

#endif // NIBBLE_REPORT_VERIFY_H
