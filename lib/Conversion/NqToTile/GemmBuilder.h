// What kernels of products have in common, on all targets: extents, arguments,
// epilogues.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMBUILDER_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMBUILDER_H

#include "GemmEpilogue.h"
#include "nibble/Conversion/NqToTile/Gemm.h"

#include "mlir/IR/ImplicitLocOpBuilder.h"
#include "llvm/Support/MathExtras.h"

namespace nibble {
namespace tilegen {
using namespace mlir;

class GemmBuilder {
public:
  GemmBuilder(GemmProblem &problem, GemmEpilogue &epilogue,
              const GemmSchedule &schedule, const nibble::gpu::GpuTarget &chip,
              Location loc, ModuleOp target)
      : problem(problem), epilogue(epilogue), schedule(schedule), chip(chip),
        b(loc, OpBuilder::atBlockEnd(target.getBody())) {}

protected:
  //===--------------------------------------------------------------------===//
  // Types and extents
  //===--------------------------------------------------------------------===//
  DenseI64ArrayAttr getCluster();
  int64_t tilesM() const;
  int64_t tilesN() const;
  /// Rows of a tile of A and of the weights.
  int64_t rowsOfA() const;
  int64_t rowsOfB() const;
  int64_t getTileK() const { return problem.getShape().getTileK(); }
  int64_t blocksK() const { return llvm::divideCeil(problem.k, getTileK()); }
  /// One wave, or as many blocks as there are tiles; whole clusters. Where K is
  /// split, each does one tile.
  int64_t getGrid() const;
  static int64_t codesPerTile(const ExpandedWeight &weight);
  static int64_t scalesPerTile(const ExpandedWeight &weight);
  tile::AccType getAccType();
  Value index(int64_t value);

  //===--------------------------------------------------------------------===//
  // Arguments
  //===--------------------------------------------------------------------===//
  Value addArgument(Place place, MemRefType type);
  Value addArgument(Place place, ArrayRef<int64_t> shape, Type element);
  /// Rows that begin every `pitch` elements.
  Value addRows(Place place, ArrayRef<int64_t> shape, int64_t pitch,
                Type element);
  /// Of codes that are spread, the copy engine wants whole boxes: gaps, which
  /// are zero, too.
  Value addMatrix(const MatrixOperand &operand);
  Value addResult(const GemmResult &result);
  void addArguments();
  /// 128 x 4 in each; the copy engine takes rows of 256 bytes.
  Value addScaleTiles(const MatrixOperand &operand);
  void addWeight(const GemmProblem::Factor &factor);
  /// LaneLayout.h: 128 rows of a stage, codes in rows of 256 words.
  static int64_t getLaneWords(const ExpandedWeight &weight);
  void addLanes(const GemmProblem::Factor &factor);
  SmallVector<int64_t> getShape(const GemmResult &result) const;
  SmallVector<int64_t> getShape(EpilogueOperand::Kind kind) const;

  //===--------------------------------------------------------------------===//
  // Roles
  //===--------------------------------------------------------------------===//
  tile::ForTilesOp addTiles();
  void addPassed();

  //===--------------------------------------------------------------------===//
  // Epilogue
  //===--------------------------------------------------------------------===//
  SmallVector<Value> loadUniforms();
  SmallVector<Value> getOperands(EpilogueOperand::Kind kind) const;
  void addEpilogue(ValueRange sums, Value m, Value n);
  /// Of the operands in the order in which the body gets them.
  std::array<EpilogueOperand::Kind, 3> getKinds() const;
  /// Arguments of the body in the order of the epilogue's operands.
  SmallVector<Value> inOrder(ValueRange args) const;
  void addBody(tile::EpilogueOp op);
  void store(Value fragment, Value result, Value m, Value n);

  GemmProblem &problem;
  GemmEpilogue &epilogue;
  const GemmSchedule &schedule;
  const nibble::gpu::GpuTarget &chip;
  ImplicitLocOpBuilder b;
  tile::KernelOp kernel;
  Value ring, a, scalesOfA;
  SmallVector<Value> factors, scales, operands, results, passed;
  std::vector<nibble::gpu::KernelArg> args;
};

} // namespace tilegen
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMBUILDER_H
