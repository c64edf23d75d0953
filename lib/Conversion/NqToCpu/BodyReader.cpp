// The scalar body of a linalg op as nodes: arith and math ops are repeated on
// the compute types (f16 and bf16 in f32), index arithmetic becomes linear
// forms.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BodyReader.h"
#include "LaneMath.h"

#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;

namespace nibble {
namespace cpu {

Lin evaluate(Dag &dag, AffineExpr expr, IndexRef dims) {
  if (auto dim = dyn_cast<AffineDimExpr>(expr))
    return dims[dim.getPosition()];
  if (auto constant = dyn_cast<AffineConstantExpr>(expr))
    return Lin(constant.getValue());
  auto binary = cast<AffineBinaryOpExpr>(expr);
  Lin left = evaluate(dag, binary.getLHS(), dims);
  Lin right = evaluate(dag, binary.getRHS(), dims);
  switch (expr.getKind()) {
  case AffineExprKind::Add:
    return left + right;
  case AffineExprKind::Mul:
    return right.isConstant() ? left * right.constant : right * left.constant;
  case AffineExprKind::Mod:
    return dag.mod(left, right.constant);
  case AffineExprKind::CeilDiv:
    return dag.floorDiv(left + (right.constant - 1), right.constant);
  default:
    return dag.floorDiv(left, right.constant);
  }
}

//===----------------------------------------------------------------------===//
// Checks
//===----------------------------------------------------------------------===//

static bool isSupported(Operation &inner) {
  if (isa<linalg::IndexOp, linalg::YieldOp, tensor::ExtractOp>(inner))
    return true;
  StringRef dialect = inner.getName().getDialectNamespace();
  return (dialect == "arith" || dialect == "math") &&
         inner.getNumResults() == 1 &&
         inner.getResult(0).getType().isIntOrIndexOrFloat();
}

LogicalResult checkBody(linalg::LinalgOp op) {
  for (Operation &inner : *op.getBlock())
    if (!isSupported(inner))
      return op.emitError()
             << "the body has '" << inner.getName()
             << "', which is not a scalar op of arith or math with one result";
  return success();
}

bool isExpensiveBody(linalg::LinalgOp op) {
  for (Operation &inner : *op.getBlock()) {
    if (isa<arith::DivFOp, arith::RemFOp>(inner))
      return true;
    if (inner.getName().getDialectNamespace() == "math" &&
        !isa<math::AbsFOp, math::AbsIOp, math::FmaOp, math::FloorOp,
             math::CeilOp, math::TruncOp, math::RoundEvenOp, math::CopySignOp>(
            inner))
      return true;
  }
  return false;
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

static Node *readConstant(Dag &dag, arith::ConstantOp constant) {
  Type type = computeType(constant.getType());
  if (auto value = dyn_cast<FloatAttr>(constant.getValue()))
    return dag.constant(type, value.getValueAsDouble());
  return dag.constant(cast<TypedAttr>(constant.getValue()));
}

Node *BodyReader::read(Value value) {
  if (Node *node = known.lookup(value))
    return node;
  Node *node;
  if (auto argument = dyn_cast<BlockArgument>(value))
    node = readArgument(argument);
  else
    node = readOp(*value.getDefiningOp());
  known[value] = node;
  return node;
}

Node *BodyReader::readArgument(BlockArgument argument) {
  OpOperand *operand = op.getMatchingOpOperand(argument);
  if (op.isDpsInit(operand) && !accumulators.empty())
    return accumulators[argument.getArgNumber() - op.getNumDpsInputs()];
  Value value = operand->get();
  if (!isa<RankedTensorType>(value.getType()))
    return read(value);
  Index index;
  for (AffineExpr expr : op.getMatchingIndexingMap(operand).getResults())
    index.push_back(evaluate(dag, expr, loops));
  return dag.pull(*tensors.lookup(value), index);
}

/// ONNX calls an index outside of the tensor an error of the model; here it
/// reads the nearest element, never other memory.
Node *BodyReader::readExtract(tensor::ExtractOp extract) {
  Tensor &tensor = *tensors.lookup(extract.getTensor());
  Index index;
  for (auto [value, size] : llvm::zip(extract.getIndices(), tensor.shape))
    index.push_back(dag.clamp(dag.fromNode(read(value)), size));
  return dag.pull(tensor, index);
}

Node *BodyReader::readBitcast(arith::BitcastOp cast) {
  Type from = cast.getIn().getType(), to = cast.getType();
  Node *bits = dag.encode(from, read(cast.getIn()));
  Type bitsOfTo = storageType(to);
  if (bits->type != bitsOfTo)
    bits = dag.compute(bitsOfTo, {bits},
                       [](ImplicitLocOpBuilder &b, ArrayRef<Value> operands,
                          Type type) -> Value {
                         return arith::BitcastOp::create(b, type, operands[0]);
                       });
  return dag.decode(to, bits);
}

Node *BodyReader::readOp(Operation &inner) {
  if (auto constant = dyn_cast<arith::ConstantOp>(inner))
    return readConstant(dag, constant);
  if (auto index = dyn_cast<linalg::IndexOp>(inner))
    return dag.index(loops[index.getDim()]);
  if (auto extract = dyn_cast<tensor::ExtractOp>(inner))
    return readExtract(extract);
  if (auto cast = dyn_cast<arith::BitcastOp>(inner))
    return readBitcast(cast);

  SmallVector<Node *> operands;
  for (Value operand : inner.getOperands())
    operands.push_back(read(operand));
  Type result = inner.getResult(0).getType();
  if (isa<arith::TruncFOp>(inner))
    return dag.roundTo(result, operands[0]);
  if (isa<arith::ExtFOp>(inner) && operands[0]->type == computeType(result))
    return operands[0];
  if (Node *node = readIndexMath(inner, operands))
    return node;
  if (Node *node = readPower(inner, operands))
    return node;
  Node *node = clone(inner, operands);
  // Conversions make a value of the narrow type; arithmetic stays in f32 until
  // the op ends.
  if (isa<arith::SIToFPOp, arith::UIToFPOp>(inner))
    return dag.roundTo(result, node);
  return node;
}

static bool isIndexLike(Node *node) {
  return node->kind == Node::Kind::Index ||
         (node->kind == Node::Kind::Constant && isa<IntegerAttr>(node->attr));
}

Node *BodyReader::readIndexMath(Operation &inner, ArrayRef<Node *> operands) {
  Type type = inner.getResult(0).getType();
  if (!type.isIntOrIndex() || operands.empty() ||
      !llvm::all_of(operands, isIndexLike) ||
      llvm::none_of(operands,
                    [](Node *node) { return node->kind == Node::Kind::Index; }))
    return nullptr;
  Lin x = dag.fromNode(operands[0]), result;
  if (operands.size() == 1) {
    if (!isa<arith::IndexCastOp, arith::IndexCastUIOp, arith::ExtSIOp,
             arith::TruncIOp>(inner))
      return nullptr;
    result = x;
  } else if (operands.size() == 2) {
    Lin y = dag.fromNode(operands[1]);
    bool positive =
        y.isConstant() && y.constant > 0 && dag.rangeOf(x).first >= 0;
    if (isa<arith::AddIOp>(inner))
      result = x + y;
    else if (isa<arith::SubIOp>(inner))
      result = x - y;
    else if (isa<arith::MulIOp>(inner) && (x.isConstant() || y.isConstant()))
      result = y.isConstant() ? x * y.constant : y * x.constant;
    else if (positive &&
             isa<arith::DivUIOp, arith::DivSIOp, arith::FloorDivSIOp>(inner))
      result = dag.floorDiv(x, y.constant);
    else if (positive && isa<arith::RemUIOp, arith::RemSIOp>(inner))
      result = dag.mod(x, y.constant);
    else
      return nullptr;
  } else {
    return nullptr;
  }
  auto [low, high] = dag.rangeOf(result);
  if (low < INT32_MIN || high > INT32_MAX)
    return nullptr;
  return dag.index(result, type);
}

/// Squares and cubes are what models ask of pow.
Node *BodyReader::readPower(Operation &inner, ArrayRef<Node *> operands) {
  if (!isa<math::PowFOp>(inner) || operands[1]->kind != Node::Kind::Constant)
    return nullptr;
  double exponent = cast<FloatAttr>(operands[1]->attr).getValueAsDouble();
  if (exponent != 2 && exponent != 3)
    return nullptr;
  return dag.compute(
      operands[0]->type, {operands[0]},
      [exponent](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) {
        Lanes x{&b, values[0]};
        return (exponent == 2 ? x * x : x * x * x).v;
      });
}

Node *BodyReader::clone(Operation &inner, ArrayRef<Node *> operands) {
  SmallVector<NamedAttribute> attrs(inner.getAttrs());
  if (isa<arith::AddFOp, arith::SubFOp, arith::MulFOp>(inner)) {
    auto flags = arith::FastMathFlags::contract;
    if (auto old = inner.getAttrOfType<arith::FastMathFlagsAttr>("fastmath"))
      flags = flags | old.getValue();
    NamedAttrList list(attrs);
    list.set("fastmath",
             arith::FastMathFlagsAttr::get(inner.getContext(), flags));
    attrs.assign(list.begin(), list.end());
  }
  OperationName name = inner.getName();
  return dag.compute(computeType(inner.getResult(0).getType()), operands,
                     [attrs, name](ImplicitLocOpBuilder &b,
                                   ArrayRef<Value> values, Type type) {
                       OperationState state(b.getLoc(), name, values, {type},
                                            attrs);
                       return b.create(state)->getResult(0);
                     });
}

} // namespace cpu
} // namespace nibble
