// Ops that only move elements, on scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// linalg.transpose and broadcast, tensor.expand_shape, collapse_shape,
// extract_slice and concat do not look at values, so that they work on scaled
// tensors as well: codes move as elements, scales as the elements of the
// grid. They do not change the element type; a scaled type counts its block
// from the last dimension, so a move can be applied to codes and grid if every
// block of the result is (a part of) one block of the input under the same
// type.
#ifndef NIBBLE_LIB_TRANSFORMS_CANONICAL_SCALEDMOVES_H
#define NIBBLE_LIB_TRANSFORMS_CANONICAL_SCALEDMOVES_H

#include "nibble/Dialect/Quant/NqOps.h"

#include <string>

namespace nibble {

/// True for one of the ops above with static parameters and without layouts.
bool isMove(mlir::Operation *op);

/// The tensors whose elements the move puts into its result.
mlir::OperandRange getMoved(mlir::Operation *move);

/// Why `move` cannot be applied to tensors of element type `type` in place of
/// what it moves; empty if it can. For concat the caller has to make sure that
/// what all blocks share is equal: the scale if per tensor, else the global
/// one.
std::string whyBlocksBreak(mlir::Operation *move, nq::ScaledType type);

/// The same move on other tensors of the same shapes.
mlir::Value applyMove(mlir::OpBuilder &builder, mlir::Operation *move,
                      mlir::ValueRange inputs);

} // namespace nibble

#endif // NIBBLE_LIB_TRANSFORMS_CANONICAL_SCALEDMOVES_H
