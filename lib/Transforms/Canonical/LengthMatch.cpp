// Masks that hide what lies behind a position, read from their comparison.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LengthMatch.h"

#include "GraphMatch.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble;

namespace {

/// Dimension of the scores that each dimension of a tensor, or loop, counts;
/// kNone: it stands at 0.
using Dims = SmallVector<int, 4>;
constexpr int kNone = -1, kBatch = 0, kRow = 2, kKey = 3;

/// key * t + row * s + number + sign * source.
struct Sum {
  int64_t key = 0, row = 0, number = 0, sign = 0;
  Value source;
};

std::optional<Sum> add(const Sum &a, const Sum &b, int64_t sign) {
  if (a.source && b.source)
    return std::nullopt;
  Sum sum{a.key + sign * b.key, a.row + sign * b.row,
          a.number + sign * b.number, a.sign + sign * b.sign,
          a.source ? a.source : b.source};
  return sum;
}

class Reader {
public:
  explicit Reader(ArrayRef<int64_t> scores) : scores(scores) {}

  std::optional<LengthBound> readMask(Value tensor, Dims dims, bool visibleIf);

private:
  std::optional<Sum> readTensor(Value tensor, const Dims &dims);
  std::optional<Sum> readConstant(Value tensor, const Dims &dims);
  std::optional<Sum> readSource(Value tensor, const Dims &dims);
  std::optional<Sum> readScalar(linalg::GenericOp op, Value scalar,
                                const Dims &loops);
  std::optional<LengthBound> readCompare(linalg::GenericOp op,
                                         arith::CmpIOp compare,
                                         const Dims &loops, bool visibleIf);

  ArrayRef<int64_t> scores;
};

/// Dimensions of the operand of an op that only moves elements.
std::optional<Dims> beforeMove(Operation *op, const Dims &dims) {
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    Dims before(dims.size(), kNone);
    for (auto [d, source] : llvm::enumerate(transpose.getPermutation()))
      before[source] = dims[d];
    return before;
  }
  if (auto broadcast = dyn_cast<linalg::BroadcastOp>(op)) {
    Dims before;
    for (auto [d, dim] : llvm::enumerate(dims))
      if (!llvm::is_contained(broadcast.getDimensions(), int64_t(d)))
        before.push_back(dim);
    return before;
  }
  if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
    return std::nullopt;
  // Dimensions of 1 come and go.
  ArrayRef<int64_t> from = getTensor(op->getOperand(0)).getShape(),
                    to = getTensor(op->getResult(0)).getShape();
  Dims before(from.size(), kNone);
  size_t d = 0;
  for (auto [extent, dim] : llvm::zip(to, dims)) {
    if (extent == 1)
      continue;
    while (d < from.size() && from[d] == 1)
      ++d;
    if (d == from.size() || from[d] != extent)
      return std::nullopt;
    before[d++] = dim;
  }
  bool isAll = llvm::all_of(from.drop_front(d),
                            [](int64_t extent) { return extent == 1; });
  return isAll ? std::optional(before) : std::nullopt;
}

/// The input of a generic op that a scalar of its body is, and its dimensions.
Value getInput(linalg::GenericOp op, Value scalar, const Dims &loops,
               Dims &dims) {
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (!argument || argument.getOwner() != op.getBody() ||
      argument.getArgNumber() >= op.getNumDpsInputs())
    return {};
  OpOperand *input = op.getDpsInputOperand(argument.getArgNumber());
  if (!isa<RankedTensorType>(input->get().getType()))
    return {};
  for (AffineExpr expr : op.getMatchingIndexingMap(input).getResults()) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    auto zero = dyn_cast<AffineConstantExpr>(expr);
    if (!dim && (!zero || zero.getValue() != 0))
      return {};
    dims.push_back(dim ? loops[dim.getPosition()] : kNone);
  }
  return input->get();
}

/// A generic op whose loops are the dimensions of its result.
linalg::GenericOp getElementwise(Value tensor) {
  auto op = tensor.getDefiningOp<linalg::GenericOp>();
  bool isPlain = op && op.getNumResults() == 1 &&
                 op.getNumReductionLoops() == 0 &&
                 op.getIndexingMapsArray().back().isIdentity();
  return isPlain ? op : linalg::GenericOp();
}

Value getYielded(linalg::GenericOp op) {
  return op.getBody()->getTerminator()->getOperand(0);
}

/// Constants that count along keys and queries.
std::optional<Sum> Reader::readConstant(Value tensor, const Dims &dims) {
  auto known = getConstantTensor(tensor);
  if (!known || !known->isInteger() || known->size() == 0)
    return std::nullopt;
  std::vector<int64_t> values = known->toInts();
  ArrayRef<int64_t> shape = known->getShape();
  Sum sum;
  sum.number = values[0];
  SmallVector<int64_t> steps(shape.size(), 0);
  int64_t stride = 1;
  for (size_t i = shape.size(); i-- > 0; stride *= shape[i]) {
    if (dims[i] == kNone || shape[i] == 1)
      continue;
    steps[i] = values[stride] - values[0];
    if (steps[i] && dims[i] != kKey && dims[i] != kRow)
      return std::nullopt;
    (dims[i] == kKey ? sum.key : sum.row) += steps[i];
  }
  for (int64_t at = 0; at < known->size(); ++at) {
    int64_t want = values[0], rest = at;
    for (size_t i = shape.size(); i-- > 0; rest /= shape[i])
      want += steps[i] * (rest % shape[i]);
    if (values[at] != want)
      return std::nullopt;
  }
  return sum;
}

/// Integers that nothing but the batch entry chooses among.
std::optional<Sum> Reader::readSource(Value tensor, const Dims &dims) {
  RankedTensorType type = getTensor(tensor);
  if (!type.getElementType().isSignlessInteger(32) &&
      !type.getElementType().isSignlessInteger(64))
    return std::nullopt;
  for (auto [extent, dim] : llvm::zip(type.getShape(), dims))
    if (extent != 1 && (dim != kBatch || extent != scores[kBatch]))
      return std::nullopt;
  return Sum{0, 0, 0, 1, tensor};
}

std::optional<Sum> Reader::readTensor(Value tensor, const Dims &dims) {
  if (!getTensor(tensor).getElementType().isSignlessInteger())
    return std::nullopt;
  if (auto known = readConstant(tensor, dims))
    return known;
  std::optional<Sum> sum;
  if (linalg::GenericOp op = getElementwise(tensor)) {
    sum = readScalar(op, getYielded(op), dims);
  } else if (Operation *move = tensor.getDefiningOp()) {
    if (auto before = beforeMove(move, dims))
      sum = readTensor(move->getOperand(0), *before);
  }
  return sum ? sum : readSource(tensor, dims);
}

std::optional<Sum> Reader::readScalar(linalg::GenericOp op, Value scalar,
                                      const Dims &loops) {
  Dims dims;
  if (Value input = getInput(op, scalar, loops, dims))
    return readTensor(input, dims);
  APInt number;
  if (matchPattern(scalar, m_ConstantInt(&number)))
    return Sum{0, 0, number.getSExtValue(), 0, {}};
  Operation *inner = scalar.getDefiningOp();
  if (!inner || inner->getBlock() != op.getBody())
    return std::nullopt;
  if (auto index = dyn_cast<linalg::IndexOp>(inner)) {
    int dim = loops[index.getDim()];
    if (dim == kNone)
      return Sum();
    return dim == kKey   ? std::optional(Sum{1, 0, 0, 0, {}})
           : dim == kRow ? std::optional(Sum{0, 1, 0, 0, {}})
                         : std::nullopt;
  }
  if (isa<arith::ExtSIOp, arith::IndexCastOp>(inner))
    return readScalar(op, inner->getOperand(0), loops);
  if (!isa<arith::AddIOp, arith::SubIOp>(inner))
    return std::nullopt;
  auto a = readScalar(op, inner->getOperand(0), loops);
  auto b = readScalar(op, inner->getOperand(1), loops);
  return a && b ? add(*a, *b, isa<arith::AddIOp>(inner) ? 1 : -1)
                : std::nullopt;
}

std::optional<LengthBound> Reader::readCompare(linalg::GenericOp op,
                                               arith::CmpIOp compare,
                                               const Dims &loops,
                                               bool visibleIf) {
  using Predicate = arith::CmpIPredicate;
  Predicate predicate = compare.getPredicate();
  if (!visibleIf)
    predicate = arith::invertPredicate(predicate);
  bool isLess = predicate == Predicate::slt || predicate == Predicate::sle;
  bool isMore = predicate == Predicate::sgt || predicate == Predicate::sge;
  auto left = readScalar(op, compare.getLhs(), loops),
       right = readScalar(op, compare.getRhs(), loops);
  if (!left || !right || (!isLess && !isMore))
    return std::nullopt;
  // Visible where `sum` is negative.
  auto sum = isLess ? add(*left, *right, -1) : add(*right, *left, -1);
  if (!sum || sum->key != 1 || sum->sign != -1)
    return std::nullopt;
  if (predicate == Predicate::sle || predicate == Predicate::sge)
    --sum->number;
  bool oneRow = scores[kRow] == 1;
  if (!oneRow && sum->row != 0 && sum->row != -1)
    return std::nullopt;
  return LengthBound{sum->source, -sum->number, !oneRow && sum->row == -1};
}

std::optional<LengthBound> Reader::readMask(Value tensor, Dims dims,
                                            bool visibleIf) {
  linalg::GenericOp op = getElementwise(tensor);
  if (!op) {
    Operation *move = tensor.getDefiningOp();
    auto before = move ? beforeMove(move, dims) : std::nullopt;
    return before ? readMask(move->getOperand(0), *before, visibleIf)
                  : std::nullopt;
  }
  Value scalar = getYielded(op);
  if (auto flip = scalar.getDefiningOp<arith::XOrIOp>();
      flip && matchPattern(flip.getRhs(), m_One())) {
    scalar = flip.getLhs();
    visibleIf = !visibleIf;
  }
  if (auto compare = scalar.getDefiningOp<arith::CmpIOp>())
    return readCompare(op, compare, dims, visibleIf);
  Dims before;
  Value input = getInput(op, scalar, dims, before);
  return input ? readMask(input, before, visibleIf) : std::nullopt;
}

} // namespace

std::optional<LengthBound> nibble::readLengthBound(Value mask, bool visibleIf,
                                                   ArrayRef<int64_t> scores) {
  Dims dims;
  RankedTensorType type = getTensor(mask);
  for (int64_t i = 0; i < type.getRank(); ++i) {
    bool repeats = type.getDimSize(i) == 1;
    dims.push_back(repeats ? kNone : int(4 - type.getRank() + i));
  }
  return Reader(scores).readMask(mask, dims, visibleIf);
}
