// nibble run|bench MODEL.onnx: compile to a temporary engine, then as
// nibble-run. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CommandLine.h"
#include "Commands.h"
#include "QuantizeOptions.h"

#include "nibble/Pipelines/Compiler.h"

#include "llvm/ADT/ScopeExit.h"
#include "llvm/ADT/SmallString.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/raw_ostream.h"

#include <iostream>

using namespace nibble;

/// Splits off what belongs to the compiler: the model, its shapes and states,
/// and how to quantize it.
static std::vector<std::string> splitArguments(int argc, char **argv,
                                               CompileOptions &options) {
  std::vector<std::string> rest;
  for (int i = 0; i < argc; ++i) {
    llvm::StringRef word = argv[i];
    if (i >= 2 && word.ends_with(".onnx") && options.input.empty()) {
      options.input = word.str();
      rest.push_back(options.output);
    } else if (word.consume_front("--shape=")) {
      options.shapes.push_back(word.str());
    } else if (word == "--shape" && i + 1 < argc) {
      options.shapes.push_back(argv[++i]);
    } else if (word.consume_front("--state=")) {
      options.states.push_back(word.str());
    } else if (word == "--state" && i + 1 < argc) {
      options.states.push_back(argv[++i]);
    } else if (std::string *value =
                   findQuantizeOption(options, word.split('=').first)) {
      if (word.contains('='))
        *value = word.split('=').second.str();
      else if (i + 1 < argc)
        *value = argv[++i];
    } else {
      rest.push_back(word.str());
    }
  }
  return rest;
}

static int compileTo(CompileOptions options) {
  auto context = createContext();
  DiagnosticPrinter diagnostics(*context);
  Compiler compiler(*context, std::move(options));
  return failed(compiler.run()) ? diagnostics.getExitCode() : kExitOk;
}

int runModelCommand(int argc, char **argv) {
  llvm::SmallString<128> temporary;
  if (llvm::sys::fs::createTemporaryFile("nibble-run", "nbl", temporary)) {
    llvm::errs() << "error: cannot create a temporary file\n";
    return kExitUsage;
  }
  auto cleanup = llvm::scope_exit([&] { llvm::sys::fs::remove(temporary); });
  CompileOptions options;
  options.output = temporary.str().str();
  options.command = quoteCommand(argc, argv);
  std::vector<std::string> words = splitArguments(argc, argv, options);
  if (int code = checkQuantizeOptions(options))
    return code;
  if (!options.input.empty())
    if (int code = compileTo(options))
      return code;
  std::vector<char *> pointers;
  for (std::string &word : words)
    pointers.push_back(word.data());
  return rt::cli::runCommandLine(pointers.size(), pointers.data(),
                                 {std::cout, std::cerr});
}
