// nibble inspect MODEL.onnx|ENGINE.nbl --lint
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"
#include "Reports.h"

#include "nibble/Report/Explain.h"
#include "nibble/Report/Lint.h"

#include "llvm/Support/CommandLine.h"
#include "llvm/Support/raw_ostream.h"

namespace cl = llvm::cl;
using namespace nibble;

namespace {
// Without --lint, the verb is that of nibble-run.
cl::SubCommand command("inspect", "with --lint: hazards in a model");
cl::opt<std::string> input(cl::Positional, cl::desc("MODEL.onnx|ENGINE.nbl"),
                           cl::Required, cl::sub(command));
cl::opt<bool> lintOption("lint", cl::desc("name hazards, each with its fix"),
                         cl::sub(command));
cl::opt<bool> strict("strict", cl::desc("exit 1 if there are hazards"),
                     cl::sub(command));
cl::opt<bool> json("json", cl::desc("print JSON instead of text"),
                   cl::sub(command));
cl::list<std::string> shapes("shape", cl::desc("bind the shape of an input"),
                             cl::value_desc("NAME=1x970x2048"),
                             cl::sub(command));
} // namespace

/// Of a model: stage `canonical` is as far as hazards need. Of an engine or a
/// report: what is in it.
static int getAllHazards(llvm::StringRef path, CompileOptions options,
                         std::vector<Hazard> &hazards) {
  if (path.ends_with(".nbl") || path.ends_with(".json")) {
    llvm::json::Value report = nullptr;
    int code = getReport(path, std::move(options), report);
    if (!code)
      hazards = getHazards(report);
    return code;
  }
  options.input = path.str();
  options.stopAfter = Stage::Canonical;
  auto context = createContext();
  DiagnosticPrinter diagnostics(*context);
  Compiler compiler(*context, options);
  if (failed(compiler.run()))
    return diagnostics.getExitCode();
  hazards = getHazards(compiler.getReport());
  return kExitOk;
}

int lintCommand(int argc, char **argv) {
  if (!cl::ParseCommandLineOptions(argc, argv, "", &llvm::errs()))
    return kExitUsage;
  const std::string path = input;
  const bool asJson = json, isStrict = strict;
  CompileOptions options;
  options.shapes.assign(shapes.begin(), shapes.end());
  std::vector<Hazard> hazards;
  if (int code = getAllHazards(path, std::move(options), hazards))
    return code;
  if (asJson)
    llvm::outs() << llvm::formatv("{0:2}\n", reportHazards(path, hazards));
  else
    printHazards(hazards, llvm::outs());
  return isStrict && !hazards.empty() ? kExitMismatch : kExitOk;
}
