// Weights that are streamed: from bits in shared memory to operands of
// mma.sync.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMWEIGHTS_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMWEIGHTS_H

#include "StreamAsm.h"
#include "StreamPlan.h"

namespace nibble {
namespace gpu {

/// What a warp multiplies in one step. Operands are the weight times the power
/// of two that makes codes exact; `getFactor` undoes it.
class StreamWeights {
public:
  StreamWeights(StreamAsm &code, const StreamProblem &problem,
                const StreamPlan &plan, mlir::Value lane)
      : code(code), halves(code.pairs(problem.bf16)), problem(problem),
        plan(plan), lane(lane), isInt(problem.storage.isInteger()),
        isSigned(!problem.storage.isUnsignedInteger()) {}

  /// A piece of each tile of this warp, tile after tile: codes, then scales.
  void load(mlir::Value at);

  /// Units of 32 k in a piece.
  int64_t units() const { return problem.format.pieceK() / 32; }
  /// Operand A of the two instructions of a unit, 4 registers each.
  llvm::SmallVector<mlir::Value> operands(int64_t unit, int64_t tile);
  /// What sums of a unit are multiplied by in rows g and g + 8, as f32; empty
  /// if they are not.
  llvm::SmallVector<mlir::Value, 2> scales(int64_t unit, int64_t tile);
  bool scalesSums() const {
    return problem.format.block && !problem.format.scalesCodes();
  }
  double getFactor() const;

private:
  mlir::Value word(int64_t tile, int64_t load, int64_t number) {
    return words[(tile * StreamPlan::kLoads + load) * 4 + number];
  }
  llvm::SmallVector<mlir::Value> octet(int64_t unit, int64_t tile,
                                       int64_t half);
  llvm::SmallVector<mlir::Value> fromBytes(mlir::Value word);
  /// E2M1 as 16-bit floats, of which it has sign, exponent and mantissa.
  llvm::SmallVector<mlir::Value> fromWord(mlir::Value word);
  mlir::Value scaleOfSum(int64_t unit, int64_t tile, int64_t half);
  mlir::Value fromScales(mlir::Value bytes);
  /// Of a piece, for both rows of a thread: blocks of 16.
  void convertScales();

  StreamAsm &code;
  sm90::HalfPairs halves;
  const StreamProblem &problem;
  const StreamPlan &plan;
  mlir::Value lane, piece;
  bool isInt, isSigned;
  llvm::SmallVector<mlir::Value> words;
  llvm::SmallVector<mlir::Value>
      pairs; ///< [tile][row half][unit]: of 16 k each
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMWEIGHTS_H
