// An element of each block of a result to global memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Epilogue.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

static constexpr int64_t kUnit = 8, kPartRows = 64, kWarpRows = 16;

/// Stores `value` at dest[row, column] if `mine`, and if that is inside.
static void storeElement(Kernel &kernel, tile::StoreBlocksOp store, Int row,
                         Int column, Value mine, Value value) {
  Code &code = kernel.getCode();
  MemRefType type = store.getDest().getType();
  Value inside = LLVM::AndOp::create(code, code.less(row, type.getDimSize(0)),
                                     code.less(column, type.getDimSize(1)));
  int64_t bytes = type.getElementTypeBitWidth() / 8;
  code.when(LLVM::AndOp::create(code, mine, inside), [&] {
    Int index = code.add(code.mul(row, type.getDimSize(1)), column);
    LLVM::StoreOp::create(code, value,
                          code.at(kernel.params.getPointer(store.getDest()),
                                  code.mul(index, bytes)),
                          bytes);
  });
}

/// Blocks of columns: the four threads of a row take turns.
void Epilogue::storeRows(tile::StoreBlocksOp store, unsigned result,
                         int64_t part) {
  int64_t block = store.getBlock(), units = block / kUnit;
  Int lane = kernel.threads.lane;
  for (int64_t r : {0, 1})
    for (int64_t i = 0; i < op.getAccType().getShape()[1] / block; ++i) {
      Value value =
          vector::ExtractOp::create(code, get(result, part, i * units, r), 0);
      Int at =
          code.add(code.add(row, code.shr(lane, 2)), kPartRows * part + 8 * r);
      storeElement(kernel, store, at, code.add(code.div(column, block), i),
                   code.equal(code.bitAnd(lane, 3), i % 4), value);
    }
}

/// Blocks of rows, of which the first of a block's warps stores both columns of
/// a thread: the eight threads of a column take turns.
void Epilogue::storeColumns(tile::StoreBlocksOp store, unsigned result,
                            int64_t part) {
  int64_t block = store.getBlock();
  Int lane = kernel.threads.lane, first = code.add(row, kPartRows * part);
  Value isFirst = code.equal(code.bitAnd(first, block - kWarpRows), 0);
  for (int64_t unit = 0; unit < op.getAccType().getShape()[1] / kUnit; ++unit) {
    Value values = get(result, part, unit, 0);
    Value mine = LLVM::AndOp::create(code, isFirst,
                                     code.equal(code.shr(lane, 2), unit % 8));
    for (int64_t e : {0, 1}) {
      Int at = code.add(code.add(column, laneColumn), kUnit * unit + e);
      storeElement(kernel, store, at, code.div(first, block), mine,
                   vector::ExtractOp::create(code, values, e));
    }
  }
}

LogicalResult Epilogue::storeBlocks(tile::StoreBlocksOp store,
                                    unsigned result) {
  int64_t block = store.getBlock();
  if (width != 2)
    return refuse(store) << "blocks in an epilogue on " << width
                         << " columns at once; 2 work";
  if (store.getTransposed() &&
      (!llvm::isPowerOf2_64(block) || block < kWarpRows || block > kPartRows))
    return refuse(store) << "blocks of " << block
                         << " rows; 16, 32 and 64 work";
  for (int64_t part = 0; part < getParts(); ++part)
    store.getTransposed() ? storeColumns(store, result, part)
                          : storeRows(store, result, part);
  return success();
}
