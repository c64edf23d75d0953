// Refusals: what was asked for cannot be done, and nobody allowed less.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A refusal is an error diagnostic that carries a mark, so that a tool can tell
// it (exit code 3) from input that is malformed or unsupported (exit code 4),
// through any pass manager, thread or library in between. It is also a `failed`
// remark with the same facts as fields, which reports are made of.
#ifndef NIBBLE_SUPPORT_REFUSAL_H
#define NIBBLE_SUPPORT_REFUSAL_H

#include "mlir/IR/Diagnostics.h"

namespace nibble {

struct Refusal {
  llvm::StringRef stage;     ///< who refuses: the flag of a pass or a stage
  llvm::StringRef layer;     ///< ONNX node name; empty if no single layer
  llvm::StringRef requested; ///< "nvfp4": what the model or the user asked for
  std::string reason;        ///< the predicate that failed, with its numbers
  std::string suggestion;    ///< what the user can do
};

/// Emits "layer 'L': requested nvfp4, refused: REASON; SUGGESTION" at `loc`,
/// and the remark. Notes may be attached to the result. The caller must fail.
mlir::InFlightDiagnostic emitRefusal(mlir::Location loc,
                                     const Refusal &refusal);

/// True for the diagnostics of emitRefusal; for handlers of diagnostics.
bool isRefusal(mlir::Diagnostic &diagnostic);

} // namespace nibble

#endif // NIBBLE_SUPPORT_REFUSAL_H
