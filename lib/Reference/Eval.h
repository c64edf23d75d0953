// What the evaluation of one op gets, and the tables of evaluations.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_REFERENCE_EVAL_H
#define NIBBLE_LIB_REFERENCE_EVAL_H

#include "nibble/Reference/Interpreter.h"

namespace nibble::ref {

using Results = Interpreter::Results;

/// One op about to be evaluated.
struct OpCall {
  mlir::Operation *op;
  llvm::ArrayRef<RefTensor> operands;
  unsigned threads;
  /// Value of an SSA value that a region of the op captures; null if unknown.
  llvm::function_ref<const RefTensor *(mlir::Value)> lookup;

  /// Operand by position among the op's, as its accessors give it.
  const RefTensor &get(mlir::Value operand) const;
  /// Null if there is no such operand.
  const RefTensor *getOptional(mlir::Value operand) const {
    return operand ? &get(operand) : nullptr;
  }
  mlir::RankedTensorType resultType(unsigned i = 0) const;
  mlir::InFlightDiagnostic error() const;
};

/// An error at the op that names its layer.
mlir::InFlightDiagnostic emitRefError(mlir::Operation *op);

/// Type of a value as a tensor: scalars have rank 0. Null if it is neither.
mlir::RankedTensorType getTensorType(mlir::Value value);

using Eval = mlir::FailureOr<Results> (*)(const OpCall &);
using EvalTable = llvm::StringMap<Eval>;

void addTensorEvals(EvalTable &table);
void addLinalgEvals(EvalTable &table);
void addQuantEvals(EvalTable &table);
void addNetworkEvals(EvalTable &table);
void addCheckEvals(EvalTable &table);
/// transpose, broadcast, reshapes, extract_slice and concat of scaled tensors.
/// Codes move as elements; an error if elements that share a block of the
/// result have different scales.
mlir::FailureOr<Results> evalScaledMove(const OpCall &call);
/// linalg ops that have a region.
mlir::FailureOr<Results> evalLinalg(const OpCall &call);
/// Scalar ops applied to scalars or elementwise to tensors.
mlir::FailureOr<Results> evalElementwise(const OpCall &call);

} // namespace nibble::ref

#endif // NIBBLE_LIB_REFERENCE_EVAL_H
