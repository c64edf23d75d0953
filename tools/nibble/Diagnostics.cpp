// Diagnostics and contexts of the driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Pipelines/RegisterAll.h"
#include "nibble/Support/Refusal.h"

#include "llvm/Support/raw_ostream.h"

using namespace mlir;

static const char *getSeverityName(DiagnosticSeverity severity) {
  switch (severity) {
  case DiagnosticSeverity::Error:
    return "error";
  case DiagnosticSeverity::Warning:
    return "warning";
  case DiagnosticSeverity::Note:
    return "note";
  case DiagnosticSeverity::Remark:
    return "remark";
  }
  return "";
}

DiagnosticPrinter::DiagnosticPrinter(MLIRContext &context)
    : handler(&context, [this](Diagnostic &diag) { return print(diag); }) {}

LogicalResult DiagnosticPrinter::print(Diagnostic &diagnostic) {
  if (diagnostic.getSeverity() == DiagnosticSeverity::Error)
    ++errors, refusals += nibble::isRefusal(diagnostic);
  std::string text = diagnostic.str();
  llvm::StringRef layer = nibble::getLayerName(diagnostic.getLocation());
  llvm::errs() << getSeverityName(diagnostic.getSeverity()) << ": ";
  // Messages that name the layer themselves need no prefix.
  if (!layer.empty() && !llvm::StringRef(text).contains(layer))
    llvm::errs() << "layer '" << layer << "': ";
  llvm::errs() << text << "\n";
  for (Diagnostic &note : diagnostic.getNotes())
    llvm::errs() << "  note: " << note.str() << "\n";
  return success();
}

std::unique_ptr<MLIRContext> createContext() {
  DialectRegistry registry;
  nibble::registerAllDialects(registry);
  auto context =
      std::make_unique<MLIRContext>(registry, MLIRContext::Threading::ENABLED);
  context->loadAllAvailableDialects();
  // Errors name the layer; the op in generic form says nothing to users.
  context->printOpOnDiagnostic(false);
  return context;
}

std::string quoteCommand(int argc, char **argv) {
  std::string command = "nibble";
  for (int i = 1; i < argc; ++i) {
    llvm::StringRef word = argv[i];
    bool plain =
        word.find_first_of(" \t'\"*?$&|;<>()") == llvm::StringRef::npos;
    command += " ";
    command += plain ? word.str() : "'" + word.str() + "'";
  }
  return command;
}
