// Options that change numbers, shared by the verbs that compile: formats, and
// rewrites that are not exact.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TOOLS_NIBBLE_QUANTIZEOPTIONS_H
#define NIBBLE_TOOLS_NIBBLE_QUANTIZEOPTIONS_H

#include "nibble/Pipelines/Compiler.h"

/// Copies --quantize, --policy, --calib, --calib-method, --allow-fallback and
/// --allow-rewrite after checking their syntax. 0, or an exit code after an
/// error message.
int readQuantizeOptions(nibble::CompileOptions &options);

/// For verbs that read their words themselves: where the value of such an
/// option (with its dashes) belongs, or null.
std::string *findQuantizeOption(nibble::CompileOptions &options,
                                llvm::StringRef name);

/// The check of readQuantizeOptions alone.
int checkQuantizeOptions(const nibble::CompileOptions &options);

#endif // NIBBLE_TOOLS_NIBBLE_QUANTIZEOPTIONS_H
