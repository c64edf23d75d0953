// A kernel function as a product on tensor cores and what follows it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMPROBLEM_H
#define NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMPROBLEM_H

#include "KernelGraph.h"
#include "ProductSpace.h"

#include "nibble/Conversion/NqToTile/GemmSchedule.h"
#include "nibble/KernelSelect/LaneLayout.h"

namespace nibble {
namespace tilegen {

/// Bytes of a value of the kernel: operands first, then results.
struct Place {
  unsigned value = 0;
  int64_t offset = 0;
  friend bool operator==(const Place &a, const Place &b) {
    return a.value == b.value && a.offset == b.offset;
  }
};

/// rows x k elements, k contiguous, rows one behind the other.
struct MatrixOperand {
  Place place;
  int64_t rows = 0, k = 0;
  int64_t pitch = 0; ///< elements from row to row
  mlir::Type element;
  /// Rows that share an f32 scale of each 128 k; 0: scales do not change along
  /// k. Those of A lie row by row, those of a weight block of k by block.
  int64_t scaledRows = 0;
  /// Elements along k that share a scale of the matrix instruction (16, 32),
  /// stored in tiles of 128 x 4; 0: there are none.
  int64_t scaleBlock = 0;
  mlir::Type scaleElement; ///< of these
  /// Codes of 4 bits next to such of 8: they take a byte in a stage.
  bool spread = false;
  Place scales;
};

/// A weight of codes of 4 or 8 bits that are expanded in registers, to A's
/// element.
struct ExpandedWeight {
  FragmentFormat format;
  mlir::Type storage, scale; ///< no scale: all of k has one
  Place scales;
  int64_t exponent = 0; ///< operands are 2^exponent of what they stand for
  /// Bytes of a row of codes and scales in a stage.
  int64_t getStageBytes() const;
};

/// One result of the kernel over (row, column): `bits` at row * columns +
/// column of its place.
struct GemmResult {
  Place place;
  cpu::Tensor *tensor = nullptr;
  /// Columns that share an element, a scale; 1: none.
  int64_t block = 1;
  int64_t pitch = 0; ///< elements from row to row; 0: no gaps
  /// Scales in tiles of 128 x 4, as block-scaled products read them.
  bool inTiles = false;
  /// Two codes of 4 bits in a byte.
  bool isPacked() const { return cpu::isPacked(tensor->element); }
};

/// A result that depends on no product: a scale that is passed on.
struct PassedResult {
  Place place;
  cpu::Tensor *tensor = nullptr;
};

/// What kernels of this generator are. The graph's product tensors compute
/// themselves from accumulators (GemmEpilogue.h).
class GemmProblem {
public:
  /// `tensorMemory`: for Blackwell, whose products take block scales, and no
  /// operand from registers.
  GemmProblem(mlir::MLIRContext *context, bool tensorMemory)
      : graph(context), tensorMemory(tensorMemory) {}

  /// Fails with the reason in `why`.
  mlir::LogicalResult read(mlir::Block &body, std::string &why);

  GemmShape getShape() const;

  cpu::KernelGraph graph;
  bool tensorMemory;
  int64_t m = 0, n = 0, k = 0;
  MatrixOperand a;
  struct Factor {
    nq::MatmulOp op;
    MatrixOperand b;
    cpu::Tensor *tensor;
    std::optional<ExpandedWeight> expanded;
  };
  llvm::SmallVector<Factor> factors; ///< products, in order: they share A
  llvm::SmallVector<GemmResult> results;
  llvm::SmallVector<PassedResult> passed;
  /// Where the buffer of each tensor in memory lies.
  llvm::DenseMap<const cpu::Tensor *, Place> places;

private:
  mlir::LogicalResult readProducts(const cpu::ProductSpace &space,
                                   std::string &why);
  mlir::LogicalResult readResults(mlir::Block &body, std::string &why);
  mlir::LogicalResult addResult(GemmResult result, std::string &why);
  void placeTensors(const cpu::ProductSpace &space);
  void bindArguments(mlir::Block &body);
};

} // namespace tilegen
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOTILE_GEMMPROBLEM_H
