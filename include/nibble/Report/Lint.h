// lint: what a quantized model has that costs accuracy or time, by layer.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Hazards are no errors: the model compiles and computes what it says. Each one
// names the layer, why it hurts, with the numbers found, and a fix.
// docs/lint.md lists them all; schema nibble.lint/1.
#ifndef NIBBLE_REPORT_LINT_H
#define NIBBLE_REPORT_LINT_H

#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/Location.h"
#include "llvm/ADT/ArrayRef.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

#include <string>
#include <vector>

namespace nibble {

struct Hazard {
  std::string id;    ///< "saturating-scale", ...; fixed names
  std::string layer; ///< ONNX node name
  std::string op;    ///< "matmul", "constant", ...
  std::string why, fix;
};

/// Hazards of a canonical graph (stage `canonical`), in program order. Reads
/// every quantized constant once.
std::vector<Hazard> lint(mlir::ModuleOp module);

/// Tells hazards as remarks named "lint", which is how they come into reports.
void remarkHazards(mlir::ModuleOp module, llvm::ArrayRef<Hazard> hazards);

/// Hazards of a report (see checkExplanation): those that `lint` told, and
/// reformats that are left for run time.
std::vector<Hazard> getHazards(const llvm::json::Value &report);

/// The document of `inspect --lint --json`.
llvm::json::Value reportHazards(llvm::StringRef model,
                                llvm::ArrayRef<Hazard> hazards);
void printHazards(llvm::ArrayRef<Hazard> hazards, llvm::raw_ostream &os);

} // namespace nibble

#endif // NIBBLE_REPORT_LINT_H
