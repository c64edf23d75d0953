// Kernels that copy a value from one buffer to another.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_SELECT_COPYKERNEL_H
#define NIBBLE_LIB_TRANSFORMS_SELECT_COPYKERNEL_H

#include "nibble/Dialect/Exec/ExecOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"

namespace nibble {

/// A launch at the insertion point that copies `value`, under the name `layer`.
/// Its kernel is created in `module` unless one of that type is there already.
exec::LaunchOp createCopy(mlir::OpBuilder &builder, mlir::ModuleOp module,
                          mlir::Value value, llvm::StringRef layer);

} // namespace nibble

#endif // NIBBLE_LIB_TRANSFORMS_SELECT_COPYKERNEL_H
