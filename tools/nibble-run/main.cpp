// nibble-run: runs engines without LLVM.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CommandLine.h"

#include <iostream>

int main(int argc, char **argv) {
  return nibble::rt::cli::runCommandLine(argc, argv, {std::cout, std::cerr});
}
