// Diagnostics of a code generator, as the text of an error.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TARGET_DIAGNOSTICTEXT_H
#define NIBBLE_TARGET_DIAGNOSTICTEXT_H

#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/Error.h"
#include "llvm/Support/raw_ostream.h"

#include <string>

namespace nibble {

/// While it lives, collects the diagnostics of its context; nobody else sees
/// them.
class DiagnosticText {
public:
  explicit DiagnosticText(mlir::MLIRContext *context)
      : handler(context, [this](mlir::Diagnostic &diag) { return add(diag); }) {
  }
  /// `what`, and behind it a line for each diagnostic and note.
  llvm::Error error(const char *what) {
    return llvm::createStringError(std::string(what) + text);
  }

private:
  mlir::LogicalResult add(mlir::Diagnostic &diag) {
    llvm::raw_string_ostream os(text);
    os << "\n  " << diag.getLocation() << ": " << diag.str();
    for (mlir::Diagnostic &note : diag.getNotes())
      os << "\n    note: " << note.str();
    return mlir::success();
  }
  std::string text;
  mlir::ScopedDiagnosticHandler handler;
};

} // namespace nibble

#endif // NIBBLE_TARGET_DIAGNOSTICTEXT_H
