// Brings tiles of an operand from memory to shared memory, as f32.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_TILELOADER_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_TILELOADER_H

#include "LoopEmitter.h"
#include "ProductFunction.h"

namespace nibble {
namespace gpu {

/// A batch of matrices [rows, depth] (depth: what is summed over), as a
/// function of an index.
struct MatrixOperand {
  using ElementFn =
      std::function<cpu::Node *(cpu::Dag &, const cpu::Lin &batch,
                                const cpu::Lin &row, const cpu::Lin &k)>;
  ElementFn element; ///< an f32
  int64_t batches = 1, rows = 1, depth = 1;
};

/// Element (row, k) of a tile lies at k * pitch + place(row).
struct TileShape {
  int64_t rows, depth; ///< powers of 2
  int64_t pitch;       ///< a multiple of 4
  int64_t threads;     ///< that load it together; a power of 2
  /// Rows r and r + rows / 4 become neighbours.
  bool interleaved = false;
};

/// Tile `step` along the depth, of rows [block * shape.rows, ...). Rows behind
/// the last one repeat it; elements at k >= limit are zero and not read.
struct TilePlace {
  mlir::Value batch, block, step;
  mlir::Value limit; ///< null: the depth of the operand
};

/// Each thread loads chunks of up to 16 bytes, along rows or the depth,
/// whichever lies together in memory. What is loaded waits in registers as it
/// is, and is decoded on its way to shared memory.
class TileLoader {
public:
  TileLoader(mlir::MLIRContext *context, MatrixOperand operand,
             TileShape shape);

  /// Bits in registers; of one thread.
  struct Tile {
    TilePlace place;
    std::vector<llvm::SmallVector<mlir::Value>> bits; ///< per chunk
  };
  Tile load(ProductFunction &function, mlir::Value thread, TilePlace place);
  /// `memory`: f32, from element `at` on.
  void store(ProductFunction &function, mlir::Value thread, const Tile &tile,
             mlir::Value memory, mlir::Value at);

private:
  struct Digit {
    unsigned dim;
    int64_t weight, extent;
  };
  /// rows or depth: `chunk` consecutive elements, tiles of `tile`.
  struct Axis {
    int64_t tile, chunk;
    llvm::SmallVector<Digit> digits; ///< from the lanes up
    cpu::Lin value;
  };
  struct Plan {
    std::unique_ptr<cpu::Dag> dag;
    Axis rows, depth;
    unsigned batchDim = 0;
    bool alongDepth = true;
    int64_t width = 1;
    cpu::Node *root = nullptr;
    llvm::SmallVector<cpu::Node *> loads; ///< in order of their use
    double cost = 0;
  };
  using Wishes = llvm::SmallVector<int64_t, 2>[2];

  std::unique_ptr<Plan> makePlan(bool alongDepth, int64_t width) const;
  std::unique_ptr<Plan> tryPlan(bool alongDepth, int64_t width,
                                const Wishes &wishes) const;
  static void addAxis(cpu::Dag &dag, Axis &axis, int id, int64_t total,
                      bool lanes, llvm::ArrayRef<int64_t> splits);
  void findLoads(Plan &plan) const;

  struct Chunk {
    mlir::Value row, k; ///< number of the chunk within the tile, per axis
  };
  Chunk chunkOf(cpu::GemmCode &code, mlir::Value thread, int64_t number) const;
  void bind(cpu::GemmCode &code, cpu::LoopEmitter &emitter, const Axis &axis,
            mlir::Value step, mlir::Value chunk, bool lanes) const;
  void bindAll(cpu::GemmCode &code, cpu::LoopEmitter &emitter,
               const TilePlace &place, Chunk chunk) const;
  bool isWhole(const TilePlace &place) const;
  llvm::SmallVector<mlir::Value>
  loadChunk(cpu::GemmCode &code, const TilePlace &place, Chunk chunk) const;
  llvm::SmallVector<mlir::Value>
  loadInside(cpu::GemmCode &code, const TilePlace &place, Chunk chunk) const;
  llvm::SmallVector<mlir::Type> bitTypes() const;
  void storeChunk(ProductFunction &function, mlir::Value value,
                  const TilePlace &place, Chunk chunk, mlir::Value memory,
                  mlir::Value at) const;
  int64_t chunks() const {
    return shape.rows * shape.depth / (plan->width * shape.threads);
  }
  cpu::LoopEmitter makeEmitter(cpu::GemmCode &code) const;

  mlir::MLIRContext *context;
  MatrixOperand operand;
  TileShape shape;
  std::unique_ptr<Plan> plan;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_TILELOADER_H
