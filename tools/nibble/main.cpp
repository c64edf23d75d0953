// nibble: the driver. Verbs that need the compiler live here, the others in the
// command line that nibble-run shares.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CommandLine.h"
#include "Commands.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/InitLLVM.h"
#include "llvm/Support/raw_ostream.h"

#include <algorithm>
#include <iostream>

static const char *const kHelp =
    "nibble compile MODEL.onnx -o ENGINE.nbl   compile a model\n"
    "nibble verify  MODEL.onnx|ENGINE.nbl      compare with the f64 reference\n"
    "nibble explain ENGINE.nbl|MODEL.onnx      decisions, layer by layer\n"
    "nibble diff    A B                        two engines, by source layer\n"
    "nibble run|bench ENGINE.nbl|MODEL.onnx    as nibble-run; compiles a model "
    "first\n"
    "nibble inspect ENGINE.nbl                 as nibble-run\n"
    "nibble inspect MODEL.onnx|ENGINE.nbl --lint\n"
    "                                          hazards, each with its fix\n"
    "nibble predict SHAPES.jsonl|--check       times of products by the model\n"
    "nibble VERB --help                        options of a verb\n";

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::setBugReportMsg("This is a bug of Nibble. Please report it with the "
                        "model and the command line.\n");
  llvm::StringRef verb = argc > 1 ? argv[1] : "--help";
  if (verb == "--help" || verb == "-h") {
    llvm::outs() << kHelp;
    return argc > 1 ? kExitOk : kExitUsage;
  }
  if (verb == "compile")
    return compileCommand(argc, argv);
  if (verb == "verify")
    return verifyCommand(argc, argv);
  if (verb == "explain")
    return explainCommand(argc, argv);
  if (verb == "diff")
    return diffCommand(argc, argv);
  if (verb == "predict")
    return predictCommand(argc, argv);
  auto isLint = [](llvm::StringRef word) {
    return word == "--lint" || word == "-lint";
  };
  if (verb == "inspect" && std::any_of(argv + 2, argv + argc, isLint))
    return lintCommand(argc, argv);
  if (verb == "run" || verb == "bench")
    return runModelCommand(argc, argv);
  return nibble::rt::cli::runCommandLine(argc, argv, {std::cout, std::cerr});
}
