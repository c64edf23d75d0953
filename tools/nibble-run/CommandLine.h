// Command line of nibble-run.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TOOLS_NIBBLE_RUN_COMMANDLINE_H
#define NIBBLE_TOOLS_NIBBLE_RUN_COMMANDLINE_H

#include "nibble/rt/cli.h"

namespace nibble {
namespace rt {
namespace cli {

/// Parses the arguments and runs the verb; returns the exit code.
int runCommandLine(int argc, char **argv, Streams streams);

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_TOOLS_NIBBLE_RUN_COMMANDLINE_H
