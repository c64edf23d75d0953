// One registry for all tools: dialects and passes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_PIPELINES_REGISTERALL_H
#define NIBBLE_PIPELINES_REGISTERALL_H

#include "mlir/IR/DialectRegistry.h"

namespace nibble {
/// Dialects that Nibble's stages read or write, with the interfaces they need.
void registerAllDialects(mlir::DialectRegistry &registry);
/// Nibble's passes and pipelines and the upstream passes they are used with.
void registerAllPasses();
} // namespace nibble

#endif // NIBBLE_PIPELINES_REGISTERALL_H
