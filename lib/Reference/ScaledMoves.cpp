// Ops that only move elements, on scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Eval.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;
using rt::StorageFormat;

namespace {
/// An affine walk over an operand: element i of a box of `sizes` comes from
/// offset + strides . i.
struct Walk {
  SmallVector<int64_t> sizes, strides;
  int64_t offset = 0;
};
} // namespace

static SmallVector<int64_t> rowMajorStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t d = static_cast<int64_t>(shape.size()) - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}

/// Calls fn(position in the box, position in the operand), row-major.
template <typename Fn> static void forEach(const Walk &walk, Fn fn) {
  int64_t count = ShapedType::getNumElements(walk.sizes);
  SmallVector<int64_t> index(walk.sizes.size(), 0);
  int64_t at = walk.offset;
  for (int64_t i = 0; i < count; ++i) {
    fn(i, at);
    for (int64_t d = static_cast<int64_t>(index.size()) - 1; d >= 0; --d) {
      at += walk.strides[d];
      if (++index[d] < walk.sizes[d])
        break;
      at -= walk.strides[d] * walk.sizes[d];
      index[d] = 0;
    }
  }
}

static Walk walkTranspose(linalg::TransposeOp op, ArrayRef<int64_t> from,
                          ArrayRef<int64_t> to) {
  SmallVector<int64_t> strides = rowMajorStrides(from);
  Walk walk{SmallVector<int64_t>(to), {}};
  for (int64_t d : op.getPermutation())
    walk.strides.push_back(strides[d]);
  return walk;
}

static Walk walkBroadcast(linalg::BroadcastOp op, ArrayRef<int64_t> from,
                          ArrayRef<int64_t> to) {
  SmallVector<int64_t> strides = rowMajorStrides(from);
  Walk walk{SmallVector<int64_t>(to), {}};
  size_t next = 0;
  for (int64_t d = 0; d < static_cast<int64_t>(to.size()); ++d)
    walk.strides.push_back(
        llvm::is_contained(op.getDimensions(), d) ? 0 : strides[next++]);
  return walk;
}

/// Dropped dimensions have size 1 and change nothing in the order.
static Walk walkSlice(tensor::ExtractSliceOp op, ArrayRef<int64_t> from) {
  SmallVector<int64_t> strides = rowMajorStrides(from);
  Walk walk{SmallVector<int64_t>(op.getStaticSizes()), {}};
  for (size_t d = 0; d < strides.size(); ++d) {
    walk.offset += op.getStaticOffsets()[d] * strides[d];
    walk.strides.push_back(strides[d] * op.getStaticStrides()[d]);
  }
  return walk;
}

/// Of all moves but concat.
static Walk getWalk(Operation *op, ArrayRef<int64_t> from,
                    ArrayRef<int64_t> to) {
  return llvm::TypeSwitch<Operation *, Walk>(op)
      .Case<linalg::TransposeOp>(
          [&](auto op) { return walkTranspose(op, from, to); })
      .Case<linalg::BroadcastOp>(
          [&](auto op) { return walkBroadcast(op, from, to); })
      .Case<tensor::ExtractSliceOp>(
          [&](auto op) { return walkSlice(op, from); })
      .Default([&](Operation *) { // a reshape
        return Walk{SmallVector<int64_t>(to), rowMajorStrides(to)};
      });
}

/// Calls fn(position in the result, part, position in the part).
template <typename Fn> static void forEachElement(const OpCall &call, Fn fn) {
  ArrayRef<int64_t> to = call.resultType().getShape();
  if (auto concat = dyn_cast<tensor::ConcatOp>(call.op)) {
    int64_t start = 0, stride = rowMajorStrides(to)[concat.getDim()];
    for (const RefTensor &part : call.operands) {
      // Here the box lies in the result.
      forEach(Walk{SmallVector<int64_t>(part.getShape()), rowMajorStrides(to),
                   start * stride},
              [&](int64_t i, int64_t at) { fn(at, part, i); });
      start += part.getShape()[concat.getDim()];
    }
    return;
  }
  const RefTensor &input = call.operands[0];
  forEach(getWalk(call.op, input.getShape(), to),
          [&](int64_t i, int64_t at) { fn(i, input, at); });
}

namespace {
/// The grid of scales of a tensor.
struct Grid {
  SmallVector<int64_t> shape, block, strides;

  explicit Grid(RankedTensorType type)
      : shape(type.getShape()),
        block(nq::getScaledElement(type).getBlockFor(shape)),
        strides(rowMajorStrides(
            nq::getScaledElement(type).getScaleGrid(type.getShape()))) {}

  /// The cell that the element at `position` belongs to.
  int64_t cellOf(int64_t position) const {
    int64_t cell = 0;
    for (int64_t d = static_cast<int64_t>(shape.size()) - 1; d >= 0; --d) {
      cell += position % shape[d] / block[d] * strides[d];
      position /= shape[d];
    }
    return cell;
  }
};

/// Codes, scales and zero points under construction; owns them afterwards.
class Moved {
public:
  explicit Moved(RankedTensorType type)
      : scaled(nq::getScaledElement(type)),
        storage(getFormat(scaled.getStorage())),
        scale(getFormat(scaled.getScale())), grid(type) {
    int64_t cells =
        ShapedType::getNumElements(scaled.getScaleGrid(type.getShape()));
    codes.resize(scaled.getCodeBytes(type.getShape()));
    scales.resize(scaled.getScaleBytes(type.getShape()));
    zeroPoints.resize(scaled.getZeroPoint() ? cells : 0);
    written.resize(cells);
  }

  /// False if the block of the element has another scale already.
  bool set(int64_t to, const RefTensor::ScaledParts &parts, int64_t from,
           int64_t fromCell) {
    rt::storeCode(storage, codes.data(), to,
                  rt::loadCode(storage, parts.codes.data(), from));
    uint64_t code = rt::loadCode(scale, parts.scales.data(), fromCell);
    int64_t cell = grid.cellOf(to);
    if (written[cell])
      return rt::loadCode(scale, scales.data(), cell) == code &&
             (zeroPoints.empty() ||
              zeroPoints[cell] == parts.zeroPoints[fromCell]);
    written[cell] = true;
    rt::storeCode(scale, scales.data(), cell, code);
    if (!zeroPoints.empty())
      zeroPoints[cell] = parts.zeroPoints[fromCell];
    return true;
  }

  std::vector<char> codes, scales, zeroPoints;

private:
  nq::ScaledType scaled;
  StorageFormat storage, scale;
  Grid grid;
  std::vector<bool> written;
};
} // namespace

FailureOr<Results> nibble::ref::evalScaledMove(const OpCall &call) {
  RankedTensorType type = call.resultType();
  double global = call.operands[0].getScaledParts().global;
  size_t count = isa<tensor::ConcatOp>(call.op) ? call.operands.size() : 1;
  for (const RefTensor &operand : call.operands.take_front(count))
    if (operand.getElementType() != type.getElementType() ||
        operand.getScaledParts().global != global)
      return call.error() << "joins or converts scaled tensors that differ in "
                             "type or global scale";
  auto moved = std::make_shared<Moved>(type);
  bool consistent = true;
  const RefTensor *current = nullptr;
  std::optional<Grid> grid;
  RefTensor::ScaledParts parts;
  forEachElement(call, [&](int64_t to, const RefTensor &part, int64_t from) {
    if (current != &part) {
      current = &part;
      grid.emplace(part.getType());
      parts = part.getScaledParts();
    }
    consistent &= moved->set(to, parts, from, grid->cellOf(from));
  });
  if (!consistent)
    return call.error() << "brings elements with different scales into one "
                           "block of "
                        << type;
  auto result = RefTensor::scaled(
      type, {moved->codes, moved->scales, moved->zeroPoints, global}, moved,
      [&] { return call.error(); });
  if (failed(result))
    return failure();
  return Results{*result};
}
