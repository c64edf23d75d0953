// The f64 reference interpreter: what a graph means, exactly.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_REFERENCE_INTERPRETER_H
#define NIBBLE_REFERENCE_INTERPRETER_H

#include "nibble/Reference/RefTensor.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/StringMap.h"

#include <functional>
#include <optional>

namespace nibble::ref {

struct InterpreterOptions {
  unsigned threads = 2;
  /// Results with more elements than this are refused.
  int64_t maxElements = int64_t(1) << 32;
  /// Called after each op that has results, with the values of the results.
  std::function<void(mlir::Operation *, llvm::ArrayRef<RefTensor>)> probe;
  /// Probes see the ops inside of called kernels, too.
  bool probeCallees = false;
};

/// Evaluates graphs of nq, linalg, tensor, arith, math, func, exec and check.
///
/// Numbers follow RefTensor: every op computes in double and rounds its result
/// once to its type; f32 and f64 results stay unrounded, beyond the range of
/// f32 too. nq.quantize alone is defined in f32 and first rounds its input and
/// scales to f32. In scalar code, f32 operands of ops that jump (comparisons,
/// floor, conversion to integer, bitcast) are rounded to f32 first, and so is
/// the result of an arith.truncf that spells out its rounding mode: this is how
/// a graph says that f32 steps are part of what an operator means. What LLVM
/// leaves undefined is defined here: float to integer saturates (NaN: 0), x / 0
/// = 0 for integers.
///
/// Errors (an unknown op, an index out of bounds) are diagnostics at the op,
/// with the name of its layer. A value is freed after its last use.
class Interpreter {
public:
  using Results = llvm::SmallVector<RefTensor>;
  /// Evaluates one op on the values of its operands.
  using Handler = std::function<mlir::FailureOr<Results>(
      mlir::Operation *, llvm::ArrayRef<RefTensor>, Interpreter &)>;

  explicit Interpreter(InterpreterOptions options = {});

  /// Runs a function on arguments of exactly its types. States live on until
  /// the interpreter dies.
  mlir::FailureOr<Results> run(mlir::func::FuncOp function,
                               llvm::ArrayRef<RefTensor> args);

  /// The value of `value`, if it depends on constants only: neither block
  /// arguments nor states.
  mlir::FailureOr<RefTensor> evaluate(mlir::Value value);

  /// Replaces or adds the evaluation of an op, by name.
  void setHandler(llvm::StringRef opName, Handler handler);

  /// Value of a state by name; a null tensor if it was never written. A state
  /// that is read first is zero.
  RefTensor getState(llvm::StringRef name) const { return states.lookup(name); }
  void setState(llvm::StringRef name, RefTensor value) {
    states[name] = std::move(value);
  }

  const InterpreterOptions &getOptions() const { return options; }

private:
  using Env = llvm::DenseMap<mlir::Value, RefTensor>;

  mlir::FailureOr<Results> runBlock(mlir::Block &block, Env &env);
  mlir::FailureOr<Results> runOp(mlir::Operation *op, Env &env);
  mlir::FailureOr<Results> dispatch(mlir::Operation *op, Env &env,
                                    llvm::ArrayRef<RefTensor> operands);
  mlir::FailureOr<Results> call(mlir::Operation *op, mlir::SymbolRefAttr callee,
                                llvm::ArrayRef<RefTensor> operands);
  mlir::LogicalResult checkResults(mlir::Operation *op,
                                   llvm::ArrayRef<RefTensor> results);

  InterpreterOptions options;
  llvm::StringMap<Handler> handlers;
  llvm::StringMap<RefTensor> states;
  unsigned depth = 0;
};

/// The value of a plain tensor or scalar that depends on constants only, as an
/// attribute of tensor type; nothing, without a diagnostic, if it does not, if
/// it cannot be evaluated, or if it has more than `maxBytes` bytes.
std::optional<mlir::ElementsAttr>
evaluateToAttr(mlir::Value value, int64_t maxBytes = int64_t(1) << 26);

/// Creates the constant op (arith.constant up to 4 KiB, else nq.constant over a
/// resource; nq.constant if scaled) with the value of `value`, which depends on
/// constants only, at its location. Null, without a diagnostic, if it cannot be
/// evaluated.
mlir::Value materializeConstant(mlir::Value value, mlir::OpBuilder &builder);

} // namespace nibble::ref

#endif // NIBBLE_REFERENCE_INTERPRETER_H
