// Products of which groups of K are scaled in f32, in a kernel for Blackwell.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_TENSORGEMMPROMOTE_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_TENSORGEMMPROMOTE_H

#include "GemmProblem.h"

#include "nibble/Dialect/Tile/TileOps.h"

namespace nibble {
namespace tilegen {

/// Sums of a group of K (128, or those elements of a weight that share a scale)
/// are a stage of the ring of accumulators. The role that finishes tiles scales
/// each and adds it to sums in its registers, while the next one is multiplied;
/// the last ones stay where the epilogue finds them. Scales of weights that are
/// expanded come by a ring of their own, others are read from global memory.
class GroupSums {
public:
  GroupSums(mlir::ImplicitLocOpBuilder &b, const GemmProblem &problem,
            const GemmSchedule &schedule);

  /// False: all of K is one sum, and nothing below is used but loops.
  bool exist() const { return shape.promotedK != 0; }
  /// Stages of K of one sum, and of all: whole groups.
  int64_t countStagesOfSum() const;
  int64_t countStages() const { return countSums() * countStagesOfSum(); }

  /// Where the ring of scales of weights is written, if there is one.
  void addRing();
  /// Continues in a loop over groups.
  mlir::Value openSums();
  /// The same, and over their stages: the number of the stage. `begin` writes
  /// what belongs to a group, whose number it gets.
  mlir::Value openStages(llvm::function_ref<void(mlir::Value)> begin);
  /// Loads the scales of a group of rows `m` into their ring. `scales` are
  /// those of the weights in memory.
  void addLoads(mlir::ValueRange scales, mlir::Value m, mlir::Value group);
  /// What an epilogue reads for tile [m, n], from accumulators of `ring`, whose
  /// last stage is left to be released.
  llvm::SmallVector<mlir::Value> addSums(mlir::Value ring, mlir::Value m,
                                         mlir::Value n, mlir::Value scalesOfA,
                                         mlir::ValueRange scales);

private:
  using Place = std::array<mlir::Value, 3>; ///< m, n, group
  int64_t countSums() const;
  mlir::Value index(int64_t value);
  mlir::SmallVector<mlir::Value> addGroup(mlir::Value ring,
                                          mlir::ValueRange sums, Place at,
                                          mlir::Value scalesOfA,
                                          mlir::ValueRange scales);

  mlir::ImplicitLocOpBuilder &b;
  const GemmProblem &problem;
  const GemmSchedule &schedule;
  GemmShape shape;
  mlir::Value scaleRing;
};

/// A weight's scales of sums in memory: [rows / 128][group][row % 128].
llvm::SmallVector<int64_t> getGroupScales(const GemmProblem &problem,
                                          const GemmProblem::Factor &factor);

} // namespace tilegen
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_TENSORGEMMPROMOTE_H
