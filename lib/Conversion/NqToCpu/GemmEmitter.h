// Common parts of the GEMM kernels: arguments, batches, epilogue.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMEMITTER_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMEMITTER_H

#include "GemmActivation.h"
#include "GemmDecode.h"

#include <memory>
#include <optional>

namespace nibble {
namespace cpu {

inline int64_t ceilDiv(int64_t x, int64_t y) { return (x + y - 1) / y; }
inline int64_t roundUp(int64_t x, int64_t y) { return ceilDiv(x, y) * y; }

/// Arguments of a kernel function.
struct GemmArgs {
  mlir::Value a, b, bias, c, lo, hi, scratch;
  mlir::SmallVector<mlir::Value> extra;
};

/// Offsets, in elements, of one batch index.
struct GemmOffsets {
  mlir::Value a, b, c;
};

/// Base of the kernels. A launch covers units (batch, row block, panel), panel
/// fastest.
class GemmEmitter {
public:
  GemmEmitter(mlir::OpBuilder &builder, mlir::Location loc,
              const GemmSpec &spec, const GemmArgs &args,
              GemmEpilogue epilogue);
  virtual ~GemmEmitter() = default;

  /// All of a launch.
  void emit();

  // One product among others of a kernel: the caller walks over segments and
  // panels, and says where C lies. `begin` comes first, outside of all loops.
  void moveTo(const mlir::OpBuilder &position) {
    code.b.restoreInsertionPoint(position.saveInsertionPoint());
  }
  virtual void begin() = 0;
  /// Enters a segment (batch x row block): sets `rowFrom`, `rowTo` and the
  /// place of C. `isPrepared`: another product with the same A and scratch has
  /// entered it before.
  virtual void enterSegment(mlir::Value segment, bool isPrepared) = 0;
  /// C of the rows of the segment and panels [first, end).
  virtual void emitPanels(mlir::Value first, mlir::Value end) = 0;
  /// Element (row, column) of C is `offset` + row * strideC + column.
  void placeC(mlir::Value offset) { at.c = offset; }
  mlir::Value rowFrom, rowTo; ///< rows of the segment, within its batch

protected:
  /// For each run of panels [first, end) of one segment (batch x row block):
  void
  forEachSegment(llvm::function_ref<void(mlir::Value segment, mlir::Value first,
                                         mlir::Value end)>
                     body);
  GemmOffsets batchOffsets(mlir::Value batch);

  /// True if some panel is narrower than 16 columns.
  bool hasEdge() const { return spec.n % kPanelColumns != 0; }
  mlir::Value isFullPanel(mlir::Value panel);

  /// The scale that is left for the epilogue (null if none) and the bias.
  struct Columns {
    std::optional<PanelRow> scale, bias;
  };
  Columns loadColumns(mlir::Value panel, bool withBias);

  /// Sixteen accumulators of one row straight to C; no hook.
  void storeRow(const PanelRow &sum, const Columns &columns, mlir::Value at);

  /// Rows of 16 accumulators in memory through the hook to C. `row` is the
  /// index within the batch of the first one.
  void finishRows(mlir::Value sums, mlir::Value at, mlir::Value count,
                  mlir::Value row, mlir::Value panel, mlir::Value offsetC);

  int64_t strideA() const { return spec.strideA ? spec.strideA : spec.k; }
  int64_t strideC() const { return spec.strideC ? spec.strideC : spec.n; }
  int64_t panels() const { return ceilDiv(spec.n, kPanelColumns); }

  const GemmSpec &spec;
  GemmCode code;
  GemmArgs args;
  GemmEpilogue epilogue;
  GemmActivation activation;
  GemmDecoder decoder;
  GemmOffsets at; ///< of the segment

private:
  mlir::Value applyHook(mlir::Value value, mlir::Value row, mlir::Value column,
                        mlir::Value at);
  void finishFullRow(mlir::Value sums, mlir::Value at, const Columns &columns,
                     mlir::Value row, mlir::Value panel, mlir::Value toC);
  void finishEdgeRow(mlir::Value sums, mlir::Value at, const Columns &columns,
                     mlir::Value row, mlir::Value panel, mlir::Value toC);
};

/// Up to this many rows the weights are decoded in registers and used at once.
constexpr int64_t kSmallRows = 6;

/// Sizes of the blocked kernel.
struct BlockedPlan {
  explicit BlockedPlan(const GemmSpec &spec);

  int64_t tiles, tileRows, bigTiles; ///< bigTiles of tileRows, others one less
  int64_t rowBlocks, tilesPerBlock, rowsPerBlock;
  int64_t kc, chunks; ///< the last chunk may be shorter
  int64_t panelGroup; ///< panels that share one packing of A
  bool expandB;       ///< B goes through an f32 copy of one panel chunk
  int64_t offsetB, offsetSums; ///< in the scratch, bytes; A is at 0
  uint64_t scratchBytes;

  int64_t lastK(const GemmSpec &spec) const {
    return spec.k - (chunks - 1) * kc;
  }
};

/// Largest k chunk of `spec` that scale blocks allow, or 0.
int64_t chooseChunk(const GemmSpec &spec);

/// Many rows: A packed per chunk, B expanded per panel chunk, 6x16 tiles.
/// `spec` must live as long as the emitter.
std::unique_ptr<GemmEmitter>
makeBlockedGemm(mlir::OpBuilder &builder, mlir::Location loc,
                const GemmSpec &spec, const BlockedPlan &plan,
                const GemmArgs &args, GemmEpilogue epilogue);

/// Up to kSmallRows rows and a packed B: streams the weights once.
std::unique_ptr<GemmEmitter> makeSmallGemm(mlir::OpBuilder &builder,
                                           mlir::Location loc,
                                           const GemmSpec &spec,
                                           const GemmArgs &args,
                                           GemmEpilogue epilogue);
uint64_t smallScratchBytes(const GemmSpec &spec);

/// What the launch of a shape needs, and its segments.
struct GemmLaunch {
  int64_t extent = 0, grain = 1;
  int64_t rowBlocks = 1, rows = 0; ///< per batch; rows of a block at most
  uint64_t scratchBytes = 0;
  std::string schedule;
};
/// Both require whyUnsupported(spec).empty().
GemmLaunch planGemm(const GemmSpec &spec);
std::unique_ptr<GemmEmitter> makeGemm(mlir::OpBuilder &builder,
                                      mlir::Location loc, const GemmSpec &spec,
                                      const GemmArgs &args,
                                      GemmEpilogue epilogue);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMEMITTER_H
