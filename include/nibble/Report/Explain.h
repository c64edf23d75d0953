// explain: one JSON document per compile, and its forms for people.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Schema nibble.explain/1 (docs/explain.md, docs/schema); fields are only ever
// added to a schema of the same number. It is built from remarks and errors
// alone, so it cannot tell another story than the passes do.
#ifndef NIBBLE_REPORT_EXPLAIN_H
#define NIBBLE_REPORT_EXPLAIN_H

#include "nibble/Report/Decisions.h"

#include "llvm/Support/Error.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/raw_ostream.h"

namespace nibble {

/// What a compile was asked to do, and how far it came.
struct ExplainedCompile {
  std::string model, target, command;
  std::string modelHash; ///< "xxh3:..."; empty if the file cannot be read
  std::string stage;     ///< the last stage that succeeded; empty if none
  std::vector<Problem> problems; ///< errors: why it was refused
};

/// The document of a compile. Layers are complete after stage `select`, memory
/// after `plan-memory`; a compile that failed has `problems` and what was
/// decided before.
llvm::json::Value explain(const Decisions &decisions,
                          const ExplainedCompile &compile);

/// Fails, naming the field, unless `report` (from a file, so not to be trusted)
/// has what the functions below read.
llvm::Error checkExplanation(const llvm::json::Value &report);

/// "412 layers: 396 as requested, 16 not; 37 kernels (3 distinct), ...".
std::string summarize(const llvm::json::Value &report);
/// The first `limit` layers that are not as requested: what was chosen, why,
/// and the fix. Nothing if there are none.
void printShortfalls(const llvm::json::Value &report, unsigned limit,
                     llvm::raw_ostream &os);

/// Only the document's layers that `glob` matches; fails on a malformed glob
/// and on one that matches none of several.
llvm::Expected<llvm::json::Value>
filterExplanation(const llvm::json::Value &report, llvm::StringRef glob);

/// A table of 120 columns, one row per region with its reason where that says
/// more than the row; with `details` also layouts, layers and what was
/// rejected. Then totals and what is not as requested.
void printExplanation(const llvm::json::Value &report, bool details,
                      llvm::raw_ostream &os);
/// The buffers of the plan over time, as text.
void printMemory(const llvm::json::Value &report, llvm::raw_ostream &os);
/// A page that needs nothing else: table, charts, reasons. No scripts.
void printExplanationHtml(const llvm::json::Value &report,
                          llvm::raw_ostream &os);

struct DiffOptions {
  double maxSlowdown = 0.03; ///< of predicted times
};
/// What changed from `a` to `b`; schema nibble.diff/1. Regions are aligned by
/// the source layers they share, across different fusions. The field
/// `regressions` lists what became worse: formats no longer as requested, more
/// reformats, longer predicted times.
llvm::json::Value diffReports(const llvm::json::Value &a,
                              const llvm::json::Value &b,
                              const DiffOptions &options);
void printDiff(const llvm::json::Value &diff, llvm::raw_ostream &os);

} // namespace nibble

#endif // NIBBLE_REPORT_EXPLAIN_H
