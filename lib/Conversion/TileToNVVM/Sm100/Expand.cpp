// Codes in shared memory to an operand in tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Expand.h"

#include "HalfPairs.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;

namespace {

/// The row of a thread: as LaneLayout.h stores it.
class RowExpansion {
public:
  RowExpansion(Sm100Kernel &kernel, tile::ExpandIntoOp op, Int row)
      : kernel(kernel), code(kernel.getCode()), op(op), row(row),
        element(op.getOperand().getType().getElement()),
        pairs(code, element.isBF16()),
        bits(op.getFormat().getIntOrFloatBitWidth()),
        depth(op.getOperand().getType().getShape()[1]) {}

  /// All pairs along K.
  SmallVector<Value> run(const Slot &codes, const Slot &scales) {
    loadScales(scales);
    SmallVector<Value> columns;
    int64_t chunks = depth * bits / 128;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) {
      Int at = code.mul(code.add(row, 128 * chunk), 16);
      for (Value word :
           loadWords(code, code.get(code.add(getAddress(codes), at)), 4))
        expand(word, columns);
    }
    return columns;
  }

private:
  Int getAddress(const Slot &slot) {
    Value base = LLVM::PtrToIntOp::create(code, code.i32(), kernel.memory);
    Int offset = code.add(code.mul(slot.stage, slot.ring->layout->stageBytes),
                          slot.offset);
    return code.add(base, offset);
  }

  void loadScales(const Slot &slot) {
    if (!op.getScales())
      return;
    int64_t bytes = depth / int64_t(*op.getPer());
    Value address = code.get(code.add(getAddress(slot), code.mul(row, bytes)));
    scales = bytes == 4 ? loadWords(code, address, 1).front()
                        : loadHalf(code, address);
  }

  /// The scale of `block` twice, times what makes products exact.
  Value getFactor(int64_t block) {
    if (isE4M3())
      return pairs.fromScales(pairs.permute(scales, scales, 0x1111 * block));
    Int byte = code.bitAnd(code.shr(scales, 8 * block), 255);
    Value power = powerOfTwo(code, code.get(byte));
    return pairs.permute(power, power, 0x3232);
  }

  bool isE4M3() {
    return op.getScales() &&
           isa<Float8E4M3FNType>(op.getScales().getType().getElement());
  }

  void expand(Value word, SmallVectorImpl<Value> &columns) {
    SmallVector<Value> values;
    if (bits == 8)
      for (int64_t half : {0, 16})
        values.push_back(pairs.fromByteCodes(code.get(code.shr(word, half)),
                                             op.getFormat()));
    else if (op.getFormat().isInteger(4))
      values = pairs.fromIntegers(word, !op.getFormat().isUnsignedInteger());
    else
      values = pairs.fromE2M1(word);
    bool isFp4 = isa<Float4E2M1FNType>(op.getFormat());
    Value factor;
    if (op.getScales())
      factor = getFactor(2 * int64_t(columns.size()) / int64_t(*op.getPer()));
    for (Value value : values) {
      if (isFp4 && element.isBF16() && !isE4M3())
        value = pairs.toValues(value);
      columns.push_back(factor ? pairs.multiply(value, factor) : value);
    }
  }

  Sm100Kernel &kernel;
  Code &code;
  tile::ExpandIntoOp op;
  Int row;
  Type element;
  HalfPairs pairs;
  int64_t bits, depth;
  Value scales;
};

} // namespace

void nibble::sm100::expandInto(Sm100Kernel &kernel, tile::ExpandIntoOp op,
                               const Slot &codes, const Slot &scales,
                               Int column, Int warp) {
  Code &code = kernel.getCode();
  Int row = code.add(code.shl(warp, 5), kernel.threads.lane);
  SmallVector<Value> columns = RowExpansion(kernel, op, row).run(codes, scales);
  storeColumns(code, kernel.getColumn(column, code.shl(warp, 21)), columns);
  waitForStores(code);
}
