// The verbs of the driver that need the compiler.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TOOLS_NIBBLE_COMMANDS_H
#define NIBBLE_TOOLS_NIBBLE_COMMANDS_H

#include "mlir/IR/Diagnostics.h"
#include "mlir/IR/MLIRContext.h"

#include <memory>
#include <string>

/// Exit codes of every tool (DESIGN section 8).
enum ExitCode {
  kExitOk = 0,
  kExitMismatch = 1,
  kExitUsage = 2,
  kExitRefused = 3,
  kExitUnsupported = 4,
  kExitDevice = 5
};

/// Each takes the arguments after the program name, the verb included.
int compileCommand(int argc, char **argv);
int verifyCommand(int argc, char **argv);
int explainCommand(int argc, char **argv);
int diffCommand(int argc, char **argv);
int predictCommand(int argc, char **argv);
/// `inspect` with --lint; without, it is the verb of nibble-run.
int lintCommand(int argc, char **argv);

/// `run` and `bench`: as nibble-run, but a MODEL.onnx is first compiled to a
/// temporary engine; --shape, --state and the options of QuantizeOptions.h are
/// taken out.
int runModelCommand(int argc, char **argv);

/// Prints diagnostics to stderr as "error: layer 'name': message", counting
/// errors and, among them, refusals; lives as long as a command.
class DiagnosticPrinter {
public:
  explicit DiagnosticPrinter(mlir::MLIRContext &context);
  unsigned getErrors() const { return errors; }
  /// What a command that failed exits with: 3 if all errors refuse a request, 4
  /// if the input is malformed or unsupported as well.
  ExitCode getExitCode() const {
    return refusals && refusals == errors ? kExitRefused : kExitUnsupported;
  }

private:
  mlir::LogicalResult print(mlir::Diagnostic &diagnostic);
  unsigned errors = 0, refusals = 0;
  mlir::ScopedDiagnosticHandler handler;
};

/// A context with all of Nibble's dialects.
std::unique_ptr<mlir::MLIRContext> createContext();

/// The command line as a shell would need it.
std::string quoteCommand(int argc, char **argv);

#endif // NIBBLE_TOOLS_NIBBLE_COMMANDS_H
