// The plan dialect `exec`.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_DIALECT_EXEC_EXECOPS_H
#define NIBBLE_DIALECT_EXEC_EXECOPS_H

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include "dialects/Exec/ExecDialect.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Exec/ExecAttrs.h.inc"
#define GET_OP_CLASSES
#include "dialects/Exec/ExecOps.h.inc"

namespace nibble {
/// Attribute names of entry points and their arguments and results.
constexpr llvm::StringLiteral kEntryAttr = "nibble.entry";
constexpr llvm::StringLiteral kNameAttr = "nibble.name";
constexpr llvm::StringLiteral kDtypeAttr = "nibble.dtype";
/// Marks the tensor-level functions that launches call.
constexpr llvm::StringLiteral kKernelAttr = "nibble.kernel";

/// Layer name of a location: the first NameLoc in it, or "" if there is none.
llvm::StringRef getLayerName(mlir::Location loc);

namespace exec {
/// The value whose buffer `value` names: aliases are followed to their source.
mlir::Value getRoot(mlir::Value value);
} // namespace exec
} // namespace nibble

#endif // NIBBLE_DIALECT_EXEC_EXECOPS_H
