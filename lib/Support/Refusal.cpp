// Refusals: errors with a mark, and remarks.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Support/Refusal.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Remarks.h"

using namespace mlir;
using namespace nibble;

static constexpr llvm::StringLiteral kMark = "nibble.refusal";

InFlightDiagnostic nibble::emitRefusal(Location loc, const Refusal &refusal) {
  using remark::RemarkOpts;
  remark::failed(loc, RemarkOpts::name(refusal.stage).category("nibble"))
      << remark::detail::Remark::Arg("layer", refusal.layer)
      << remark::detail::Remark::Arg("requested", refusal.requested)
      << remark::detail::Remark::Arg("reason", refusal.reason)
      << remark::detail::Remark::Arg("suggestion", refusal.suggestion);
  InFlightDiagnostic diagnostic = emitError(loc);
  if (!refusal.layer.empty())
    diagnostic << "layer '" << refusal.layer << "': ";
  diagnostic << "requested " << refusal.requested
             << ", refused: " << refusal.reason << "; " << refusal.suggestion;
  Diagnostic *underlying = diagnostic.getUnderlyingDiagnostic();
  underlying->getMetadata().push_back(
      DiagnosticArgument(StringAttr::get(loc.getContext(), kMark)));
  return diagnostic;
}

bool nibble::isRefusal(Diagnostic &diagnostic) {
  return llvm::any_of(diagnostic.getMetadata(), [](DiagnosticArgument &arg) {
    return arg.getKind() ==
               DiagnosticArgument::DiagnosticArgumentKind::Attribute &&
           arg.getAsAttribute() ==
               StringAttr::get(arg.getAsAttribute().getContext(), kMark);
  });
}
