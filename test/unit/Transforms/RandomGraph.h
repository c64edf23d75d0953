// Random quantized graphs: what passes that claim to be exact are tried on.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A graph is one function @main of nq, linalg, tensor and arith ops: quantize
// (static and dynamic, every storage and scale format and recipe), dequantize,
// casts of all float types as nq.cast and as linalg.generic, transpose,
// reshape, slice, concat, broadcast, elementwise ops, norms, matmuls with
// constant scaled weights, Q/DQ notation (codes, assemble), constants whose
// bytes occur twice (arith.constant, nq.constant over a resource), values with
// several users, results that nobody reads, odd sizes.
//
// Two things are left out because the contract (docs/numerics.md) lets passes
// change them:
//
//  - A matmul operand is never a dequantized value that was rounded to f16,
//    bf16 or less on its way, be it by the dequantize, by casts or through
//    moves: fold-qdq lets the matmul read the scaled tensor and skips that
//    rounding.
//  - The reference does not round f32 and f64 results, folded constants are
//    stored in their type. So what depends on constants only is either exact in
//    f32 (short mantissas, no arithmetic) or has a narrower type.
#ifndef NIBBLE_TEST_UNIT_TRANSFORMS_RANDOMGRAPH_H
#define NIBBLE_TEST_UNIT_TRANSFORMS_RANDOMGRAPH_H

#include "nibble/Reference/RefTensor.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace nibble::test {

struct GraphOptions {
  unsigned steps = 12;    ///< each adds one op or a few that belong together
  int64_t maxExtent = 48; ///< of one dimension
  int64_t maxElements = 1536; ///< of one tensor
  /// Percent of the steps that are a product, a residual and norms behind it.
  unsigned normedProducts = 0;
  /// Scaled results leave the function dequantized, as those of models do.
  bool plainOutputs = false;
};

/// The same seed and options give the same graph everywhere. The first steps of
/// a seed do not depend on how many there are.
mlir::OwningOpRef<mlir::ModuleOp> makeRandomGraph(mlir::MLIRContext &context,
                                                  uint64_t seed,
                                                  const GraphOptions &options);

/// Finite values for the arguments of `function`: normal with outliers of 30 to
/// 100 times, some zeros of both signs, exact numbers of the argument type.
std::vector<ref::RefTensor> makeRandomInputs(mlir::func::FuncOp function,
                                             uint64_t seed);

} // namespace nibble::test

#endif // NIBBLE_TEST_UNIT_TRANSFORMS_RANDOMGRAPH_H
