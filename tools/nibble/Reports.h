// Where verbs that read reports get them from.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TOOLS_NIBBLE_REPORTS_H
#define NIBBLE_TOOLS_NIBBLE_REPORTS_H

#include "nibble/Pipelines/Compiler.h"

/// The report of `path`: of an engine (.nbl), as it carries it; of a file
/// (.json), as `explain --json` wrote it; of a model, after compiling it with
/// `options` as far as decisions go. Returns an exit code after a message; a
/// compile that is refused has a report nevertheless.
int getReport(llvm::StringRef path, nibble::CompileOptions options,
              llvm::json::Value &report);

#endif // NIBBLE_TOOLS_NIBBLE_REPORTS_H
