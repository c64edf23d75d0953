// explain: one JSON document per compile, and its forms for people.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schema nibble.explain/1 (docs/explain.md); fields are only ever added to a
// schema of the same number. It is built from remarks alone, so it cannot tell
// another story than the passes do.
#ifndef NIBBLE_REPORT_EXPLAIN_H
#define NIBBLE_REPORT_EXPLAIN_H

#include "nibble/Report/Decisions.h"

#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace nibble {

/// What a compile was asked to do.
struct ExplainedCompile {
  std::string model, target, command;
};

/// The document of a compile. Complete after stage `select`; memory figures
/// follow stage `lower`.
llvm::json::Value explain(const Decisions &decisions,
                          const ExplainedCompile &compile);

/// "412 layers: 396 as requested, 16 not; 37 kernels of 3, ...".
std::string summarize(const llvm::json::Value &report);

/// Table of regions that `glob` matches (by any of their layers), with reasons;
/// then totals.
void printExplanation(const llvm::json::Value &report, llvm::StringRef glob,
                      llvm::raw_ostream &os);
/// Only the document's layers that `glob` matches.
llvm::json::Value filterExplanation(const llvm::json::Value &report,
                                    llvm::StringRef glob);
/// The buffers of the plan over time, as text.
void printMemory(const llvm::json::Value &report, llvm::raw_ostream &os);
/// A page that needs nothing else: table, charts, reasons.
void printExplanationHtml(const llvm::json::Value &report,
                          llvm::raw_ostream &os);

struct DiffOptions {
  double maxSlowdown = 0.03; ///< of predicted or measured times
};
/// What changed from `a` to `b`, by source layer; schema nibble.diff/1. The
/// field `regressions` lists what became worse: formats no longer as requested,
/// more reformats, longer predicted time.
llvm::json::Value diffReports(const llvm::json::Value &a,
                              const llvm::json::Value &b,
                              const DiffOptions &options);
void printDiff(const llvm::json::Value &diff, llvm::raw_ostream &os);

} // namespace nibble

#endif // NIBBLE_REPORT_EXPLAIN_H
