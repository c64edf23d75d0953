// Addresses in layouts, and the parts of scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelTensor.h"
#include "LaneMath.h"

using namespace mlir;

namespace nibble {
namespace cpu {

Node *choose(Dag &dag, Node *condition, Node *x, Node *y) {
  if (!condition)
    return x;
  return dag.compute(
      x->type, {condition, x, y},
      [](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) -> Value {
        return arith::SelectOp::create(b, values[0], values[1], values[2]);
      });
}

Node *both(Dag &dag, Node *x, Node *y) {
  if (!x || !y)
    return x ? x : y;
  return dag.compute(
      x->type, {x, y},
      [](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) -> Value {
        return arith::AndIOp::create(b, values[0], values[1]);
      });
}

/// offset ^ (((offset >> (base + shift)) & (2^bits - 1)) << base)
static Lin applySwizzle(Dag &dag, const Lin &offset, ArrayRef<int64_t> swizzle,
                        int64_t size) {
  int64_t bits = swizzle[0], base = swizzle[1], shift = swizzle[2];
  int64_t mask = (int64_t(1) << bits) - 1;
  Node *node =
      dag.compute(IndexType::get(dag.context), {dag.index(offset)},
                  [=](ImplicitLocOpBuilder &b, ArrayRef<Value> operands, Type) {
                    Lanes x{&b, operands[0]};
                    Lanes from = ((x >> (base + shift)) & mask) << base;
                    return arith::XOrIOp::create(b, x.v, from.v).getResult();
                  });
  node->low = 0;
  node->high = size - 1;
  return Lin::term(node);
}

Lin layoutOffset(Dag &dag, nq::LayoutAttr layout, IndexRef index,
                 ArrayRef<int64_t> shape) {
  Index digits;
  for (auto [lin, tiles] : llvm::zip(index, layout.getTiles())) {
    ArrayRef<int64_t> factors = tiles.asArrayRef();
    Lin rest = lin;
    for (size_t i = 0; i <= factors.size(); ++i) {
      int64_t weight = 1;
      for (int64_t factor : factors.drop_front(i))
        weight *= factor;
      Lin digit = dag.floorDiv(rest, weight);
      rest = rest - digit * weight;
      digits.push_back(digit);
    }
  }
  SmallVector<int64_t> extents = layout.getDigitExtents(shape);
  Lin offset;
  int64_t stride = 1;
  for (int64_t digit : llvm::reverse(layout.getOrder())) {
    offset += digits[digit] * stride;
    stride *= extents[digit];
  }
  if (layout.getSwizzle().empty() || layout.getSwizzle()[0] == 0)
    return offset;
  return applySwizzle(dag, offset, layout.getSwizzle(), stride);
}

Lin Placement::sum(IndexRef index, bool column) const {
  Lin total;
  for (auto [lin, digit] : llvm::zip(index, digits))
    if (digit.column == column && digit.stride)
      total += lin * digit.stride;
  return total;
}

int64_t Placement::columnStep() const {
  int64_t step = 0;
  for (const Digit &digit : digits)
    if (digit.column && digit.stride)
      step = step ? std::min(step, digit.stride) : digit.stride;
  return step ? step : 1;
}

/// Every factor is a multiple of `divisor`.
static Lin divideExactly(Lin lin, int64_t divisor) {
  lin.constant /= divisor;
  for (auto &entry : lin.dims)
    entry.second /= divisor;
  for (auto &entry : lin.terms)
    entry.second /= divisor;
  return lin;
}

Lin Tensor::updatedSlice(Dag &dag, IndexRef index) const {
  Tensor &position = *update->position;
  Node *node = dag.pull(position, Index(position.shape.size()));
  return index[update->axis] + dag.fromNode(node);
}

Lin Tensor::offsetOf(Dag &dag, IndexRef index) const {
  if (update) {
    Index at(index.begin(), index.end());
    at[update->axis] = updatedSlice(dag, index);
    SmallVector<int64_t> whole(shape);
    whole[update->axis] = update->extent;
    // A dimension of one element counts here.
    SmallVector<int64_t> strides = stridesOf(whole);
    Lin offset;
    for (auto [lin, stride] : llvm::zip(at, strides))
      offset += lin * stride;
    return offset;
  }
  if (layout)
    return layoutOffset(dag, layout, index, shape);
  if (blockElements)
    return divideExactly(place->columnOf(index) - dag.columns->column(),
                         place->columnStep());
  return linearize(index.drop_front(rowDims),
                   ArrayRef<int64_t>(shape).drop_front(rowDims));
}

Index ScaledTensor::gridIndex(Dag &dag, IndexRef index) const {
  Index grid;
  SmallVector<int64_t> block = type.getBlockFor(shape);
  for (auto [lin, extent, dim] : llvm::zip(index, block, shape))
    grid.push_back(extent >= dim ? Lin() : dag.floorDiv(lin, extent));
  return grid;
}

Node *ScaledTensor::effectiveScale(Dag &dag, IndexRef index) const {
  // One scale in all may come with rank 0 or one element.
  auto pullGrid = [&](Tensor *tensor, const Index &grid) {
    return tensor->size() == 1 ? dag.pull(*tensor, Index(tensor->shape.size()))
                               : dag.pull(*tensor, grid);
  };
  Node *scale = pullGrid(scales, gridIndex(dag, index));
  if (!global)
    return scale;
  Node *factor = dag.pull(*global, Index(global->shape.size()));
  bool toOdd = scales->element.isF32() && !type.getGlobal().isF32();
  Node *product = dag.compute(
      Float32Type::get(dag.context), {scale, factor},
      [toOdd](ImplicitLocOpBuilder &b, ArrayRef<Value> operands, Type) {
        if (toOdd)
          return multiplyToOdd(b, operands[0], operands[1]);
        return arith::MulFOp::create(b, operands[0], operands[1]).getResult();
      });
  return dag.roundTo(type.getGlobal(), product);
}

/// An integer code as i32, by the signedness of the storage type. Its low bits
/// count, whatever stands above.
static Node *widenCode(Dag &dag, Node *code, IntegerType storage) {
  Type i32 = IntegerType::get(dag.context, 32);
  unsigned width = storage.getWidth();
  bool isSigned = storage.isSigned();
  return dag.compute(
      i32, {code},
      [=](ImplicitLocOpBuilder &b, ArrayRef<Value> operands, Type) {
        Lanes x = Lanes{&b, operands[0]}.resize(width);
        Type wide = x.intType(32);
        if (isSigned)
          return arith::ExtSIOp::create(b, wide, x.v).getResult();
        return arith::ExtUIOp::create(b, wide, x.v).getResult();
      });
}

Node *ScaledTensor::codeValue(Dag &dag, IndexRef index) const {
  Node *code = dag.pull(*codes, index);
  auto storage = dyn_cast<IntegerType>(type.getStorage());
  if (!storage)
    return code;
  Node *wide = widenCode(dag, code, storage);
  SmallVector<Node *> operands{wide};
  if (zeroPoints) {
    Index grid = zeroPoints->size() == 1 ? Index(zeroPoints->shape.size())
                                         : gridIndex(dag, index);
    operands.push_back(widenCode(dag, dag.pull(*zeroPoints, grid), storage));
  }
  return dag.compute(
      Float32Type::get(dag.context), operands,
      [](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type type) {
        Value difference =
            values.size() == 1
                ? values[0]
                : arith::SubIOp::create(b, values[0], values[1]).getResult();
        return arith::SIToFPOp::create(b, type, difference).getResult();
      });
}

} // namespace cpu
} // namespace nibble
