// nibble: the driver. Verbs that need the compiler live here, the others in the
// runtime's command line, which nibble-run shares.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Commands.h"

#include "nibble/rt/cli.h"

#include "llvm/ADT/StringRef.h"
#include "llvm/Support/InitLLVM.h"

int main(int argc, char **argv) {
  llvm::InitLLVM init(argc, argv);
  llvm::setBugReportMsg("This is a bug of Nibble. Please report it with the "
                        "model and the command line.\n");
  llvm::StringRef verb = argc > 1 ? argv[1] : "";
  if (verb == "compile")
    return compileCommand(argc, argv);
  if (verb == "verify")
    return verifyCommand(argc, argv);
  return nibble::rt::cliMain(argc, argv, "compile, verify");
}
