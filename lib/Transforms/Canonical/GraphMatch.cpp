// Reading back what the importer writes: nodes of arithmetic, means, constants.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMatch.h"

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Reference/Interpreter.h"
#include "nibble/Transforms/Remarks.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/ReshapeOpsUtils.h"
#include "mlir/IR/Matchers.h"
#include "llvm/ADT/TypeSwitch.h"

#include <cmath>

using namespace mlir;
using namespace nibble;

bool nibble::isNarrowFloat(Type element) {
  auto type = dyn_cast<FloatType>(element);
  return type && type.getWidth() < 32;
}

static Type getElement(Value value) {
  return getTensor(value).getElementType();
}

/// True for a cast to f32 that keeps every value.
static bool isWidening(nq::CastOp op) {
  return getElement(op.getResult()).isF32() &&
         !getElement(op.getInput()).isF64();
}

Value nibble::stripWidening(Value value) {
  while (auto cast = value.getDefiningOp<nq::CastOp>()) {
    Type from = getElement(cast.getInput());
    if (!isWidening(cast) || from.getIntOrFloatBitWidth() < 16)
      break;
    value = cast.getInput();
  }
  return value;
}

Value nibble::stripReshapes(Value value) {
  while (Operation *op = value.getDefiningOp()) {
    if (!isa<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
      break;
    value = op->getOperand(0);
  }
  return value;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

std::optional<double> nibble::getSplat(Value value) {
  Attribute attr;
  if (auto constant = value.getDefiningOp<nq::ConstantOp>())
    attr = constant.getScales() ? Attribute() : constant.getCodes();
  else if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  if (auto dense = dyn_cast_if_present<DenseFPElementsAttr>(attr)) {
    if (!dense.isSplat())
      return std::nullopt;
    attr =
        FloatAttr::get(dense.getElementType(), dense.getSplatValue<APFloat>());
  }
  auto number = dyn_cast_if_present<FloatAttr>(attr);
  return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
}

std::optional<ref::RefTensor> nibble::getConstantTensor(Value value,
                                                        int64_t maxBytes) {
  auto attr = ref::evaluateToAttr(value, maxBytes);
  if (!attr)
    return std::nullopt;
  auto tensor = ref::RefTensor::fromAttr(
      *attr, [&] { return emitError(value.getLoc()); });
  return succeeded(tensor) ? std::optional(*tensor) : std::nullopt;
}

//===----------------------------------------------------------------------===//
// Trace
//===----------------------------------------------------------------------===//

void Trace::add(Location loc, Type result) {
  locations.push_back(loc);
  rounds |= isNarrowFloat(getElementTypeOrSelf(result));
}

Value Trace::strip(Value value) {
  while (auto cast = value.getDefiningOp<nq::CastOp>()) {
    if (getElement(cast.getResult()).isF64() ||
        getElement(cast.getInput()).isF64())
      break;
    locations.push_back(cast.getLoc());
    rounds |= !isWidening(cast);
    value = cast.getInput();
  }
  return value;
}

Location Trace::fuse(Location root) const {
  SmallVector<Location> all(llvm::reverse(locations));
  all.push_back(root);
  return FusedLoc::get(root.getContext(), all);
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

/// True if the map reads an operand of `shape` as numpy broadcasts it to the
/// loops.
static bool isBroadcastMap(AffineMap map, ArrayRef<int64_t> shape) {
  int64_t offset = int64_t(map.getNumDims()) - int64_t(shape.size());
  for (auto [i, expr] : llvm::enumerate(map.getResults())) {
    auto dim = dyn_cast<AffineDimExpr>(expr);
    if (dim && int64_t(dim.getPosition()) == offset + int64_t(i))
      continue;
    auto zero = dyn_cast<AffineConstantExpr>(expr);
    if (!zero || zero.getValue() != 0 || shape[i] != 1)
      return false;
  }
  return offset >= 0;
}

/// One op per element over operands that broadcast.
static bool isElementwise(linalg::GenericOp op) {
  if (op.getNumResults() != 1 || op.getNumReductionLoops() != 0 ||
      !op.getIndexingMapsArray().back().isIdentity())
    return false;
  for (OpOperand *input : op.getDpsInputOperands()) {
    auto type = dyn_cast<RankedTensorType>(input->get().getType());
    if (!type ||
        !isBroadcastMap(op.getMatchingIndexingMap(input), type.getShape()))
      return false;
  }
  return true;
}

static std::optional<Arith::Kind> getKind(Operation *op) {
  using Result = std::optional<Arith::Kind>;
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    return compare.getPredicate() == arith::CmpFPredicate::UNO &&
                   compare.getLhs() == compare.getRhs()
               ? Result(Arith::IsNan)
               : std::nullopt;
  return llvm::TypeSwitch<Operation *, Result>(op)
      .Case<arith::AddFOp>([](auto) { return Arith::Add; })
      .Case<arith::SubFOp>([](auto) { return Arith::Sub; })
      .Case<arith::MulFOp>([](auto) { return Arith::Mul; })
      .Case<arith::DivFOp>([](auto) { return Arith::Div; })
      .Case<arith::NegFOp>([](auto) { return Arith::Neg; })
      .Case<arith::SelectOp>([](auto) { return Arith::Select; })
      .Case<math::SqrtOp>([](auto) { return Arith::Sqrt; })
      .Case<math::TanhOp>([](auto) { return Arith::Tanh; })
      .Case<math::PowFOp>([](auto) { return Arith::Pow; })
      .Default([](Operation *) { return std::nullopt; });
}

/// An operand of the op in the body: an element of an input, or a constant.
static std::optional<Arith::Operand> readOperand(linalg::GenericOp op,
                                                 Value scalar) {
  if (auto ext = scalar.getDefiningOp<arith::ExtFOp>())
    scalar = ext.getIn();
  auto argument = dyn_cast<BlockArgument>(scalar);
  if (!argument) {
    auto splat = getSplat(scalar);
    return splat ? std::optional(Arith::Operand{{}, splat}) : std::nullopt;
  }
  if (argument.getOwner() != op.getBody() ||
      argument.getArgNumber() >= op.getNumDpsInputs())
    return std::nullopt;
  Value input = op.getDpsInputOperand(argument.getArgNumber())->get();
  return Arith::Operand{input, getSplat(input)};
}

/// x * -1 is -x.
static void foldMinusOne(Arith &node) {
  if (node.kind != Arith::Mul)
    return;
  for (int i : {0, 1})
    if (node.operands[i].splat == -1.0) {
      node.kind = Arith::Neg;
      node.operands.erase(node.operands.begin() + i);
      return;
    }
}

std::optional<Arith> nibble::readArith(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || !isElementwise(op))
    return std::nullopt;
  Value result = op.getBody()->getTerminator()->getOperand(0);
  if (auto truncation = result.getDefiningOp<arith::TruncFOp>())
    result = truncation.getIn();
  Operation *body = result.getDefiningOp();
  if (!body || body->getBlock() != op.getBody())
    return std::nullopt;
  auto kind = getKind(body);
  if (!kind)
    return std::nullopt;
  Arith node{*kind, value, {}};
  for (Value scalar : body->getOperands()) {
    auto operand = readOperand(op, scalar);
    if (!operand)
      return std::nullopt;
    node.operands.push_back(*operand);
  }
  foldMinusOne(node);
  return node;
}

std::optional<Arith> nibble::readArith(Value value, Arith::Kind kind,
                                       Trace &trace) {
  auto node = readArith(value);
  if (!node || node->kind != kind)
    return std::nullopt;
  trace.add(node->getLoc(), node->getType());
  return node;
}

//===----------------------------------------------------------------------===//
// Means
//===----------------------------------------------------------------------===//

static Value stripExtension(Value scalar) {
  auto ext = scalar.getDefiningOp<arith::ExtFOp>();
  return ext ? ext.getIn() : scalar;
}

/// What a sum adds up: its input (false) or the square of it (true).
static std::optional<bool> readAddend(linalg::GenericOp op) {
  Block *body = op.getBody();
  Value input = body->getArgument(0), accumulator = body->getArgument(1);
  auto sum =
      body->getTerminator()->getOperand(0).getDefiningOp<arith::AddFOp>();
  if (!sum || (sum.getLhs() != accumulator && sum.getRhs() != accumulator))
    return std::nullopt;
  Value addend = sum.getLhs() == accumulator ? sum.getRhs() : sum.getLhs();
  if (stripExtension(addend) == input)
    return false;
  auto square = addend.getDefiningOp<arith::MulFOp>();
  if (square && square.getLhs() == square.getRhs() &&
      stripExtension(square.getLhs()) == input)
    return true;
  return std::nullopt;
}

/// Sum over some dimensions of the input, starting from zero.
static std::optional<Mean> readSum(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumDpsInputs() != 1 || op.getNumResults() != 1 ||
      op.getNumReductionLoops() == 0)
    return std::nullopt;
  auto fill = op.getDpsInits()[0].getDefiningOp<linalg::FillOp>();
  AffineMap map = op.getIndexingMapsArray().front();
  auto squares = readAddend(op);
  if (!fill || getSplat(fill.getInputs()[0]) != 0.0 || !squares ||
      !map.isPermutation())
    return std::nullopt;
  Mean mean{op.getDpsInputs()[0], {}, *squares};
  auto iterators = op.getIteratorTypesArray();
  for (unsigned d = 0; d < map.getNumResults(); ++d)
    if (iterators[map.getDimPosition(d)] == utils::IteratorType::reduction)
      mean.dims.push_back(d);
  return mean;
}

/// Operand that a node divides by a constant, also if written as a product.
static std::optional<double> getDivisor(const Arith &node, Value &dividend) {
  if (node.kind == Arith::Div && node.operands[0].value) {
    dividend = node.operands[0].value;
    return node.operands[1].splat;
  }
  for (int i : {0, 1})
    if (node.kind == Arith::Mul && node.operands[i].splat &&
        node.operands[1 - i].value) {
      dividend = node.operands[1 - i].value;
      return 1 / *node.operands[i].splat;
    }
  return std::nullopt;
}

std::optional<Mean> nibble::readMean(Value value, Trace &trace) {
  SmallVector<int64_t> shape(getTensor(value).getShape());
  value = stripReshapes(trace.strip(value));
  double count = 1;
  auto node = readArith(value);
  Value dividend;
  if (auto divisor = node ? getDivisor(*node, dividend) : std::nullopt) {
    count = *divisor;
    trace.add(node->getLoc(), node->getType());
    value = stripReshapes(trace.strip(dividend));
  }
  auto mean = readSum(value);
  if (!mean)
    return std::nullopt;
  trace.add(value.getLoc(), value.getType());
  SmallVector<int64_t> kept(getTensor(mean->input).getShape());
  int64_t elements = 1;
  for (int64_t d : mean->dims)
    elements *= std::exchange(kept[d], 1);
  // 1 / n in f32 is 1 / n only for powers of two: else it is no mean.
  bool counts = std::abs(count - double(elements)) <= 1e-12 * elements;
  return counts && kept == shape ? mean : std::nullopt;
}

//===----------------------------------------------------------------------===//
// Building
//===----------------------------------------------------------------------===//

Value nibble::reshapeTo(OpBuilder &b, Location loc, Value value,
                        ArrayRef<int64_t> shape) {
  RankedTensorType from = getTensor(value);
  auto to = RankedTensorType::get(shape, from.getElementType());
  if (from.getShape() == shape)
    return value;
  auto groups = getReassociationIndicesForReshape(from, to);
  if (groups && from.getRank() > to.getRank())
    return tensor::CollapseShapeOp::create(b, loc, to, value, *groups);
  if (groups && from.getRank() < to.getRank())
    return tensor::ExpandShapeOp::create(b, loc, to, value, *groups);
  // By way of one dimension.
  auto flat =
      RankedTensorType::get({from.getNumElements()}, from.getElementType());
  auto all = [](int64_t rank) {
    return SmallVector<ReassociationIndices>{
        llvm::to_vector<2>(llvm::seq<int64_t>(0, rank))};
  };
  if (from != flat)
    value = tensor::CollapseShapeOp::create(b, loc, flat, value,
                                            all(from.getRank()));
  if (to == flat)
    return value;
  return tensor::ExpandShapeOp::create(b, loc, to, value, all(to.getRank()));
}

Value nibble::transposeTo(OpBuilder &b, Location loc, Value value,
                          ArrayRef<int64_t> perm) {
  SmallVector<int64_t> whole(perm);
  if (auto inner = value.getDefiningOp<linalg::TransposeOp>()) {
    for (int64_t &p : whole)
      p = inner.getPermutation()[p];
    value = inner.getInput();
  }
  if (llvm::equal(whole, llvm::seq<int64_t>(0, whole.size())))
    return value;
  RankedTensorType type = getTensor(value);
  SmallVector<int64_t> shape;
  for (int64_t p : whole)
    shape.push_back(type.getDimSize(p));
  Value init = tensor::EmptyOp::create(b, loc, shape, type.getElementType());
  return linalg::TransposeOp::create(b, loc, value, init, whole)->getResult(0);
}

/// The shape that all of `inputs` broadcast to; they are known to fit.
static SmallVector<int64_t> getBroadcastShape(ValueRange inputs) {
  SmallVector<int64_t> result;
  for (Value input : inputs) {
    ArrayRef<int64_t> shape = getTensor(input).getShape();
    if (shape.size() > result.size())
      result.insert(result.begin(), shape.size() - result.size(), 1);
    for (size_t i = 1; i <= shape.size(); ++i)
      if (int64_t extent = shape[shape.size() - i]; extent != 1)
        result[result.size() - i] = extent;
  }
  return result;
}

Value nibble::mapBroadcast(
    OpBuilder &b, Location loc, Type element, ValueRange inputs,
    function_ref<Value(OpBuilder &, Location, ValueRange)> body) {
  SmallVector<int64_t> shape = getBroadcastShape(inputs);
  int64_t rank = shape.size();
  SmallVector<AffineMap> maps;
  for (Value input : inputs) {
    ArrayRef<int64_t> own = getTensor(input).getShape();
    SmallVector<AffineExpr> exprs;
    for (auto [i, extent] : llvm::enumerate(own)) {
      int64_t dim = rank - int64_t(own.size()) + int64_t(i);
      exprs.push_back(extent == shape[dim] ? b.getAffineDimExpr(dim)
                                           : b.getAffineConstantExpr(0));
    }
    maps.push_back(AffineMap::get(rank, 0, exprs, b.getContext()));
  }
  maps.push_back(b.getMultiDimIdentityMap(rank));
  Value init = tensor::EmptyOp::create(b, loc, shape, element);
  SmallVector<utils::IteratorType> loops(rank, utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             b, loc, init.getType(), inputs, init, maps, loops,
             [&](OpBuilder &b, Location loc, ValueRange args) {
               linalg::YieldOp::create(b, loc, body(b, loc, args.drop_back()));
             })
      .getResult(0);
}

//===----------------------------------------------------------------------===//
// Decisions
//===----------------------------------------------------------------------===//

void nibble::remarkRecognized(Location loc, StringRef pass, const Twine &chosen,
                              const Twine &reason) {
  remarkDone(loc, pass) << RemarkArg("chosen", chosen.str())
                        << RemarkArg("reason", reason.str());
}

void nibble::remarkKept(Location loc, StringRef pass, const Twine &rejected,
                        const Twine &reason, const Twine &suggestion) {
  auto remark = remarkMissed(loc, pass);
  remark << RemarkArg("rejected", rejected.str())
         << RemarkArg("reason", reason.str());
  if (std::string text = suggestion.str(); !text.empty())
    remark << RemarkArg("suggestion", text);
}

Operation *nibble::findNarrowingCast(Operation *op) {
  Value result = op->getResult(0);
  auto cast = result.hasOneUse() ? dyn_cast<nq::CastOp>(*result.user_begin())
                                 : nq::CastOp();
  if (!cast || !getElement(result).isF32())
    return nullptr;
  Type to = getElement(cast.getResult());
  return to.isF16() || to.isBF16() ? cast.getOperation() : nullptr;
}
