// Steps of random graphs that move elements.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMaker.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

Value GraphMaker::transpose(Value value) {
  auto type = tensorOf(value);
  if (type.getRank() < 2)
    return {};
  auto perm = llvm::to_vector(llvm::seq<int64_t>(0, type.getRank()));
  // Often the last dimension stays, which blocks along it survive.
  size_t moving = perm.size() - (perm.size() > 2 && random.chance(50));
  for (size_t i = moving - 1; i > 0; --i)
    std::swap(perm[i], perm[random.below(i + 1)]);
  Shape shape;
  for (int64_t p : perm)
    shape.push_back(type.getDimSize(p));
  Value init = makeEmpty(RankedTensorType::get(shape, type.getElementType()));
  return linalg::TransposeOp::create(builder, loc, value, init, perm)
      ->getResult(0);
}

/// Merges two neighboring dimensions, or splits one.
Value GraphMaker::reshape(Value value) {
  auto type = tensorOf(value);
  int64_t rank = type.getRank();
  Shape shape(type.getShape());
  SmallVector<ReassociationIndices> groups;
  if (rank >= 2 && random.chance(50)) {
    int64_t at = random.below(rank - 1);
    for (int64_t d = 0; d < rank; ++d) {
      if (d == at + 1)
        groups.back().push_back(d);
      else
        groups.push_back({d});
    }
    shape[at] *= shape[at + 1];
    shape.erase(shape.begin() + at + 1);
    return tensor::CollapseShapeOp::create(
        builder, loc, RankedTensorType::get(shape, type.getElementType()),
        value, groups);
  }
  if (rank == 0 || rank > 3)
    return {};
  int64_t at = random.below(rank);
  SmallVector<int64_t> factors;
  for (int64_t f = 1; f <= shape[at]; ++f)
    if (shape[at] % f == 0)
      factors.push_back(f);
  int64_t inner = random.pick(factors);
  for (int64_t d = 0; d <= rank; ++d) {
    if (d == at + 1)
      groups.back().push_back(d);
    else
      groups.push_back({d});
  }
  shape[at] /= inner;
  shape.insert(shape.begin() + at + 1, inner);
  return tensor::ExpandShapeOp::create(
      builder, loc, RankedTensorType::get(shape, type.getElementType()), value,
      groups);
}

Value GraphMaker::slice(Value value) {
  auto type = tensorOf(value);
  if (type.getRank() == 0)
    return {};
  SmallVector<OpFoldResult> offsets, sizes, strides;
  Shape kept;
  for (int64_t extent : type.getShape()) {
    int64_t offset = 0, size = extent, stride = 1;
    if (random.chance(60)) {
      // Block borders half of the time.
      int64_t grain = extent >= 16 && random.chance(50) ? 16 : 1;
      offset = random.below((extent + grain - 1) / grain) * grain;
      size = random.between(1, extent - offset);
      if (random.chance(15) && size > 1) {
        stride = 2;
        size = (size + 1) / 2;
      }
    }
    offsets.push_back(builder.getIndexAttr(offset));
    sizes.push_back(builder.getIndexAttr(size));
    strides.push_back(builder.getIndexAttr(stride));
    bool drop = size == 1 && random.chance(30);
    if (!drop)
      kept.push_back(size);
  }
  return tensor::ExtractSliceOp::create(
      builder, loc, RankedTensorType::get(kept, type.getElementType()), value,
      offsets, sizes, strides);
}

Value GraphMaker::broadcast(Value value) {
  auto type = tensorOf(value);
  if (type.getRank() > 3)
    return {};
  Shape shape(type.getShape());
  int64_t at = random.below(type.getRank() + 1);
  shape.insert(shape.begin() + at, random.between(1, 3));
  if (!fits(shape))
    return {};
  Value init = makeEmpty(RankedTensorType::get(shape, type.getElementType()));
  SmallVector<int64_t> added{at};
  return linalg::BroadcastOp::create(builder, loc, value, init, added)
      ->getResult(0);
}

Value GraphMaker::move(Value value) {
  switch (random.below(8)) {
  case 0:
  case 1:
    return slice(value);
  case 2:
    return broadcast(value);
  case 3:
  case 4:
  case 5:
    return transpose(value);
  default:
    return reshape(value);
  }
}

void GraphMaker::addMove() {
  const Entry *from = pickPlain();
  if (!from)
    return;
  Entry entry = *from;
  if (Value moved = move(entry.value))
    add(derive(entry, moved, /*rounds=*/false));
}

/// Parts of one element type that agree in all dimensions but one.
void GraphMaker::addConcat() {
  const Entry *first = pickPlain(1);
  if (!first)
    return;
  Entry head = *first;
  auto type = tensorOf(head.value);
  int64_t dim = random.below(type.getRank());
  SmallVector<Value> parts{head.value};
  Entry result = head;
  for (const Entry &entry : llvm::reverse(entries)) {
    auto other = tensorOf(entry.value);
    if (other.getElementType() != type.getElementType() ||
        other.getRank() != type.getRank() || parts.size() > 3 ||
        !random.chance(60))
      continue;
    Shape want(type.getShape());
    want[dim] = other.getDimSize(dim);
    if (other.getShape() != ArrayRef<int64_t>(want))
      continue;
    parts.push_back(entry.value);
    result.constant &= entry.constant;
    result.dequantized |= entry.dequantized;
    result.rounded |= entry.rounded;
  }
  Shape shape(type.getShape());
  shape[dim] = 0;
  for (Value part : parts)
    shape[dim] += tensorOf(part).getDimSize(dim);
  if (parts.size() < 2 || !fits(shape))
    return;
  result.value = tensor::ConcatOp::create(
      builder, loc, RankedTensorType::get(shape, type.getElementType()), dim,
      parts);
  add(result);
}
