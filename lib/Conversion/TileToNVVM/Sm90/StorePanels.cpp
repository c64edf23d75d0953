// Registers to panels in shared memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Store.h"

#include "Swizzle.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using namespace nibble::sm90;

bool Store::usesMatrices() {
  return elementBytes == 2 && unitColumns == 8 && op.getPanel() % 16 == 0;
}

void Store::stage(int64_t part, int64_t first) {
  if (usesMatrices())
    return stageMatrices(part, first);
  return transposed ? stageTransposed(part, first) : stageElements(part, first);
}

/// Four 8x8 matrices at once: matrix 2 h + r has rows 8 r.., columns 8 h.. of
/// 16x16. Lane 8 i + j has the address of row j of matrix i.
void Store::stageMatrices(int64_t part, int64_t first) {
  Int lane = kernel.threads.lane;
  Int matrix = code.shr(lane, 3), row = code.bitAnd(lane, 7);
  Int r = code.bitAnd(matrix, 1), h = code.shr(matrix, 1);
  // In a straight panel h moves by chunks and r by rows, transposed r by chunks
  // (of the warp's two) and h by rows.
  Int line = code.add(row, code.shl(transposed ? h : r, 3));
  Int chunk = h;
  if (transposed)
    chunk = code.add(code.shl(code.bitAnd(warp, 3), 1), r);
  Int swizzle = getSwizzle(code, row, rowBytes);
  Int base = code.mul(line, rowBytes);
  Int mixed = code.bitXor(chunk, swizzle);
  auto shape = NVVM::LdStMatrixShapeAttr::get(code.getContext(), 8, 8);
  for (int64_t q = 0; q < int64_t(op.getPanel()) / 16; ++q) {
    SmallVector<Value> registers;
    for (int64_t i = 0; i < 4; ++i)
      registers.push_back(LLVM::BitcastOp::create(
          code, code.i32(), getValue(part, first / 8 + 2 * q + i / 2, i % 2)));
    Int place = transposed ? mixed : code.bitXor(mixed, 2 * q);
    Int offset = code.add(base, code.shl(place, 4));
    if (transposed)
      offset = code.add(offset, q * 16 * rowBytes);
    NVVM::StMatrixOp::create(
        code, code.at(code.at(begin, panels % slots * panelBytes), offset),
        registers, transposed ? NVVM::MMALayout::col : NVVM::MMALayout::row,
        shape, NVVM::LdStMatrixEltType::B16);
  }
}

/// Elements of `vector` from `first` on, 16 bytes at most.
void Store::storeChunk(Value vector, int64_t first, Value address) {
  int64_t length = cast<VectorType>(vector.getType()).getNumElements();
  int64_t count = std::min(length, 16 / elementBytes);
  SmallVector<Value> elements;
  for (int64_t i = 0; count != length && i < count; ++i)
    elements.push_back(vector::ExtractOp::create(code, vector, first + i));
  if (!elements.empty())
    vector = vector::FromElementsOp::create(
        code, VectorType::get(count, elements[0].getType()), elements);
  LLVM::StoreOp::create(code, vector, address, count * elementBytes);
}

/// Two neighbouring 32-bit elements. Rows 2 i and 2 i + 1 have them in the same
/// chunks: odd rows store the second one first, or banks would conflict.
void Store::storePair(Value vector, Value address) {
  Int isOdd = code.bitAnd(code.shr(kernel.threads.lane, 2), 1);
  Value swaps = code.equal(isOdd, 1);
  Value first = vector::ExtractOp::create(code, vector, 0);
  Value second = vector::ExtractOp::create(code, vector, 1);
  Int offset = code.shl(isOdd, 2);
  LLVM::StoreOp::create(code, code.selectAny(swaps, second, first),
                        code.at(address, offset), 4);
  LLVM::StoreOp::create(code, code.selectAny(swaps, first, second),
                        code.at(address, code.sub(4, offset)), 4);
}

/// Chunks of 16 bytes are exchanged by the row's swizzle. The columns of a
/// unit begin at a multiple of their bytes, so that the lane's part of a chunk
/// number never carries.
void Store::stageElements(int64_t part, int64_t first) {
  Int row = code.shr(kernel.threads.lane, 2);
  Int swizzle = code.shl(getSwizzle(code, row, rowBytes), 4);
  Int lane =
      code.mul(fragment.work->getLaneColumn(fragment.result), elementBytes);
  int64_t threadBytes =
      fragment.work->getThreadColumns(fragment.result) * elementBytes;
  Value panel = code.at(begin, panels % slots * panelBytes);
  Value line = code.at(panel, code.mul(row, rowBytes));
  for (int64_t unit = 0; unit * unitColumns < int64_t(op.getPanel()); ++unit)
    for (int64_t r : {0, 1}) {
      Value value = getValue(part, first / unitColumns + unit, r);
      Int column = code.add(lane, unit * unitColumns * elementBytes);
      Value place = code.at(line, r * 8 * rowBytes);
      if (elementBytes == 4 && threadBytes == 8) {
        storePair(value, code.at(place, code.bitXor(column, swizzle)));
        continue;
      }
      for (int64_t i = 0; i < threadBytes; i += 16) {
        Int at = code.bitXor(code.add(column, i), swizzle);
        storeChunk(value, i / elementBytes, code.at(place, at));
      }
    }
}

/// Element by element: row of the panel = column of the fragment.
void Store::stageTransposed(int64_t part, int64_t first) {
  Int lane = kernel.threads.lane;
  int64_t boxBytes = getStoreBox(op).extents[0] * rowBytes;
  Int m = code.add(code.mul(code.bitAnd(warp, 3), 16), code.shr(lane, 2));
  Value panel = code.at(begin, panels % slots * panelBytes);
  for (int64_t unit = 0; unit * 8 < int64_t(op.getPanel()); ++unit)
    for (int64_t i = 0; i < 4; ++i) {
      int64_t r = i / 2, e = i % 2;
      Int row = code.add(code.shl(code.bitAnd(lane, 3), 1), unit * 8 + e);
      Int bytes = code.mul(code.add(m, 8 * r), elementBytes);
      Int box = code.div(bytes, rowBytes), inRow = code.rem(bytes, rowBytes);
      Int swizzle = code.shl(getSwizzle(code, row, rowBytes), 4);
      Int offset =
          code.add(code.mul(row, rowBytes), code.bitXor(inRow, swizzle));
      offset = code.add(offset, code.mul(box, boxBytes));
      Value value = getValue(part, first / 8 + unit, r);
      Value element = vector::ExtractOp::create(code, value, e);
      LLVM::StoreOp::create(code, element, code.at(panel, offset),
                            elementBytes);
    }
}
