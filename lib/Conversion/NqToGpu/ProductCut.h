// A kernel with products as a sequence of functions: each product by itself,
// and what comes before, between and behind them as loops.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTCUT_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTCUT_H

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

namespace nibble {
namespace gpu {

/// One function of the sequence. `operands` and `results` are values of
/// ProductCut::getKernel().
struct KernelPart {
  mlir::func::FuncOp function;
  bool isProduct = false;
  llvm::SmallVector<mlir::Value> operands, results;
};

/// Parts run in order; a part reads arguments and results of earlier ones. A
/// product part is one nq.matmul without an epilogue, or one nq.attention,
/// whose result has no layout; in front of it are only ops that cost little
/// where they are computed once per use: conversions, reshapes, moves. With
/// `plainOperands`, only reshapes.
class ProductCut {
public:
  /// How the part of an nq.attention ends: with its result; with the transposes
  /// and reshapes that alone read it, as the kernel can store each row where it
  /// belongs; or with these and a quantization to one scale that is there
  /// before.
  enum class AttentionEnd { Result, Moves, Codes };

  explicit ProductCut(mlir::func::FuncOp kernel, bool plainOperands = false,
                      AttentionEnd end = AttentionEnd::Result);

  /// A copy of the kernel whose epilogues are ops behind the products.
  mlir::func::FuncOp getKernel() { return copy; }

  std::vector<KernelPart> parts;

private:
  using Ops = llvm::SmallVector<mlir::Operation *>;

  void findMoves(AttentionEnd end);
  void findLevels();
  int levelOf(mlir::Value value) const;
  void makeParts();
  Ops withCheapOps(mlir::Operation *product);
  void addPart(const Ops &ops, bool isProduct);
  void chooseResults();
  void addCopies();
  void build(KernelPart &part, const Ops &ops, unsigned number);

  bool plainOperands;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::func::FuncOp copy;
  llvm::DenseMap<mlir::Operation *, int> levels;
  llvm::DenseMap<mlir::Operation *, Ops> movesOf; ///< behind an nq.attention
  llvm::DenseSet<mlir::Operation *> moves;
  std::vector<Ops> opsOfPart;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_PRODUCTCUT_H
