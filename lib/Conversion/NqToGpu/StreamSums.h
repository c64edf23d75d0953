// Sums of streamed products: of warps, of blocks, and what follows them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMSUMS_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMSUMS_H

#include "StreamAsm.h"
#include "StreamTail.h"

namespace nibble {
namespace gpu {

/// Which thread it is, and what its block does (StreamPlan); all i32.
struct StreamPlace {
  mlir::Value thread, lane;
  mlir::Value rowGroup, kGroup;     ///< of the warp
  mlir::Value rank, part, rowBlock; ///< of the block: rank in its cluster
  mlir::Value shared;               ///< begin of shared memory
};

/// Adds up what warps have, then the blocks of a cluster, then parts of k, in
/// that order and each in the order of k: same input, same bits. What follows
/// the products is evaluated on the whole sums.
class StreamSums {
public:
  StreamSums(ProductFunction &function, StreamAsm &code, StreamTail &tail,
             const StreamProblem &problem, const StreamPlan &plan,
             const StreamPlace &place)
      : function(function), code(code), tail(tail), problem(problem),
        plan(plan), place(place) {}

  /// `sums` are those of the thread, of each tile and eight tokens as
  /// mma.m16n8k16 leaves them.
  void write(llvm::ArrayRef<mlir::Value> sums);

private:
  using UnitFn =
      llvm::function_ref<void(mlir::Value, mlir::Value, mlir::Value)>;

  // Of a block, and of a cluster.
  void storeSums(llvm::ArrayRef<mlir::Value> sums);
  int64_t perToken() const { return plan.rowsEach / tail.getLanes(); }
  int64_t units() const { return problem.m * perToken(); }
  void forEachUnit(mlir::Value first, mlir::Value end, UnitFn body);
  void forEachUnit(UnitFn body) {
    forEachUnit(code.constant(0), code.constant(units()), body);
  }
  void writeResult();
  void writePassed();
  mlir::Value addGroups(mlir::Value token, mlir::Value here, int64_t weight);
  mlir::Value addTo(mlir::Value sum, mlir::Value part);

  // Of parts of k.
  mlir::Value placeOfPart(mlir::Value number, mlir::Value token,
                          mlir::Value column, int64_t weight);
  void storePart(mlir::Value sum, mlir::Value token, mlir::Value column,
                 int64_t weight);
  mlir::Value loadPart(mlir::Value number, mlir::Value token,
                       mlir::Value column, int64_t weight);
  mlir::Value counterOf(mlir::Value number);
  mlir::Value flagOf(mlir::Value number);
  mlir::Value tellAll(llvm::function_ref<mlir::Value()> read);
  void addUnits(mlir::Value first, mlir::Value end);
  void addParts();

  // In shares.
  void addUnitsOf(mlir::Value share);
  void addShare();
  void shareOut();

  ProductFunction &function;
  StreamAsm &code;
  StreamTail &tail;
  const StreamProblem &problem;
  const StreamPlan &plan;
  StreamPlace place;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMSUMS_H
