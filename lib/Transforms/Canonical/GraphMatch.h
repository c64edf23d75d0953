// Reading back what the importer writes: nodes of arithmetic, means, constants.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TRANSFORMS_CANONICAL_GRAPHMATCH_H
#define NIBBLE_TRANSFORMS_CANONICAL_GRAPHMATCH_H

#include "nibble/Reference/RefTensor.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/IR/Builders.h"

#include <optional>
#include <string>

namespace nibble {

inline mlir::RankedTensorType getTensor(mlir::Value value) {
  return llvm::cast<mlir::RankedTensorType>(value.getType());
}

/// True for floats that the reference rounds to: below 32 bits.
bool isNarrowFloat(mlir::Type element);

/// The value behind casts from f16 and bf16 to f32.
mlir::Value stripWidening(mlir::Value value);

/// The value behind expand_shape and collapse_shape.
mlir::Value stripReshapes(mlir::Value value);

/// The element that a constant repeats (scalars and tensors, floats only).
std::optional<double> getSplat(mlir::Value value);

/// Data of a plain tensor that depends on constants only, if it has at most
/// `maxBytes`.
std::optional<ref::RefTensor> getConstantTensor(mlir::Value value,
                                                int64_t maxBytes = 1 << 26);

/// What a rewrite would absorb: locations of the nodes and whether one of them
/// rounds to a format below f32.
struct Trace {
  llvm::SmallVector<mlir::Location> locations;
  bool rounds = false;

  void add(mlir::Location loc, mlir::Type result);
  /// Looks through casts between floats, which round if they narrow; f64 stays
  /// what it is, as the ops that are recognized compute in f32.
  mlir::Value strip(mlir::Value value);
  /// All absorbed nodes and `root`, which names the layer.
  mlir::Location fuse(mlir::Location root) const;
};

/// A node of arithmetic as the importer writes it: one linalg.generic over
/// operands that broadcast as in numpy, in the body one op between extensions
/// of its operands and a truncation of its result.
struct Arith {
  enum Kind { Add, Sub, Mul, Div, Neg, Sqrt, Tanh, Pow, Select, IsNan };
  struct Operand {
    /// Tensor, or null for a constant in the body.
    mlir::Value value;
    std::optional<double> splat;
  };

  Kind kind;
  mlir::Value result;
  llvm::SmallVector<Operand, 3> operands;

  mlir::Location getLoc() const { return result.getLoc(); }
  mlir::RankedTensorType getType() const { return getTensor(result); }
};
/// The node that makes `value`; nothing if it has another form. x * -1 reads as
/// Neg.
std::optional<Arith> readArith(mlir::Value value);
/// The same for one kind, noted in the trace.
std::optional<Arith> readArith(mlir::Value value, Arith::Kind kind,
                               Trace &trace);

/// Mean over dimensions that stay as extents of 1 (ReduceMean, or ReduceSum and
/// a division): of the input or, with `squares`, of its square.
struct Mean {
  mlir::Value input;
  llvm::SmallVector<int64_t> dims;
  bool squares = false;
};
std::optional<Mean> readMean(mlir::Value value, Trace &trace);

/// The cast to f16 or bf16 that is the only user of an f32 result, or null: the
/// op may round itself, once either way.
mlir::Operation *findNarrowingCast(mlir::Operation *op);

//===--- Building ---------------------------------------------------------===//

/// Same elements in another shape; no op if it has that shape.
mlir::Value reshapeTo(mlir::OpBuilder &b, mlir::Location loc, mlir::Value value,
                      llvm::ArrayRef<int64_t> shape);

/// result dimension i = dimension perm[i] of value; merges with a transpose
/// that made the value, no op if nothing moves.
mlir::Value transposeTo(mlir::OpBuilder &b, mlir::Location loc,
                        mlir::Value value, llvm::ArrayRef<int64_t> perm);

/// Elementwise op over inputs that broadcast as in numpy.
mlir::Value
mapBroadcast(mlir::OpBuilder &b, mlir::Location loc, mlir::Type element,
             mlir::ValueRange inputs,
             llvm::function_ref<mlir::Value(mlir::OpBuilder &, mlir::Location,
                                            mlir::ValueRange)>
                 body);

//===--- Decisions --------------------------------------------------------===//

/// Remarks of category "nibble"; `loc` names the layer.
void remarkRecognized(mlir::Location loc, llvm::StringRef pass,
                      const llvm::Twine &chosen, const llvm::Twine &reason);
void remarkKept(mlir::Location loc, llvm::StringRef pass,
                const llvm::Twine &rejected, const llvm::Twine &reason,
                const llvm::Twine &suggestion = "");

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_CANONICAL_GRAPHMATCH_H
