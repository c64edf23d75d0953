// The dialect `tile`: the inside of a tensor-core kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_DIALECT_TILE_TILEOPS_H
#define NIBBLE_DIALECT_TILE_TILEOPS_H

#include "nibble/Dialect/Tile/TileTarget.h"

#include "mlir/Bytecode/BytecodeOpInterface.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinTypes.h"
#include "mlir/IR/Dialect.h"
#include "mlir/IR/OpImplementation.h"
#include "mlir/IR/SymbolTable.h"
#include "mlir/Interfaces/InferTypeOpInterface.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"

#include <array>

#include "dialects/Tile/TileDialect.h.inc"
#include "dialects/Tile/TileEnums.h.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Tile/TileAttrs.h.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Tile/TileTypes.h.inc"
#define GET_OP_CLASSES
#include "dialects/Tile/TileOps.h.inc"

namespace nibble::tile {

/// The kernel and the role around an op, or null.
KernelOp getKernel(mlir::Operation *op);
RoleOp getRole(mlir::Operation *op);

/// Target of the kernel around `op`; null, with an error at `op`, if there is
/// no role of a kernel around it. The kernel's verifier has refused unknown
/// names before ops inside are looked at.
const Target *getTargetOf(mlir::Operation *op);

/// The protocol of all rings of a kernel: who fills, who reads, in pairs, and
/// equally often.
llvm::LogicalResult verifyProtocol(KernelOp kernel);
/// Warps, registers, shared memory and tensor memory of a kernel.
llvm::LogicalResult verifyResources(KernelOp kernel);
/// Where the cluster splits K: coordinates of `op` are those of the block's
/// slice.
llvm::LogicalResult verifySliced(mlir::Operation *op, mlir::ValueRange coords);
/// Where the cluster splits K: an epilogue reads what one tile.reduce gives.
llvm::LogicalResult verifyReduced(EpilogueOp op);

} // namespace nibble::tile

#endif // NIBBLE_DIALECT_TILE_TILEOPS_H
