// From tensors as functions of an index to arithmetic on accumulators.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmEpilogue.h"
#include "PackedHalves.h"
#include "nibble/Support/StableSort.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::tilegen;
using cpu::Dag;
using cpu::Index;
using cpu::IndexRef;
using cpu::Lin;
using cpu::Node;
using cpu::Tensor;

constexpr unsigned kRow = GemmEpilogue::kRow, kColumn = GemmEpilogue::kColumn;
enum : uint64_t { kRowBit = 1, kColumnBit = 2 };

static LogicalResult no(std::string &why, const Twine &reason) {
  why = reason.str();
  return failure();
}

GemmEpilogue::GemmEpilogue(GemmProblem &problem)
    : problem(problem),
      dag(problem.graph.plainOf(problem.factors[0].op.getResult())
              .element.getContext()) {
  dag.addDim({problem.m});
  dag.addDim({problem.n});
  for (const auto &[tensor, place] : problem.places)
    tensorOf[&tensor->buffer] = tensor;
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// The scale of row or column `lin` of an operand: the same for all of k.
Node *GemmEpilogue::getScale(Dag &dag, Value operand, bool isRow,
                             int64_t kDim) {
  if (!problem.graph.isScaled(operand))
    return nullptr;
  cpu::ScaledTensor &scaled = problem.graph.scaledOf(operand);
  Index index(scaled.shape.size());
  Lin rest = Lin::dim(isRow ? kRow : kColumn);
  // Rows run over all dimensions but k, the last one fastest.
  SmallVector<int64_t> shape;
  for (auto [d, extent] : llvm::enumerate(scaled.shape))
    if (int64_t(d) != kDim)
      shape.push_back(extent);
  Index rows = dag.delinearize(rest, shape);
  for (size_t d = 0, i = 0; d < index.size(); ++d)
    if (int64_t(d) != kDim)
      index[d] = rows[i++];
  return scaled.effectiveScale(dag, index);
}

/// True if `lin` is the dimension: a constant if it has one element.
static bool isDim(const Lin &lin, unsigned dim, int64_t extent) {
  return lin == Lin::dim(dim) || (extent == 1 && lin == Lin());
}

static Node *multiply(Dag &dag, Node *x, Node *y) {
  if (!x || !y)
    return x ? x : y;
  return dag.compute(
      x->type, {x, y},
      [](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) -> Value {
        return arith::MulFOp::create(b, values[0], values[1]);
      });
}

/// The global scale of an operand, if it has one.
Node *GemmEpilogue::getGlobal(Dag &dag, Value operand) {
  Tensor *global = problem.graph.scaledOf(operand).global;
  return global ? dag.pull(*global, Index(global->shape.size())) : nullptr;
}

/// What the sums of a factor are multiplied by for its weight. Scales of blocks
/// are in the sums; the rest is a power of two and the global scale.
Node *GemmEpilogue::getScaleOfB(Dag &dag, unsigned factor) {
  nq::MatmulOp op = problem.factors[factor].op;
  const auto &expanded = problem.factors[factor].expanded;
  if (problem.factors[factor].b.scaledRows)
    return nullptr;
  if (problem.factors[factor].b.scaleBlock)
    return getGlobal(dag, op.getB());
  if (!expanded)
    return getScale(dag, op.getB(), /*isRow=*/false,
                    op.getTransposeB() ? 1 : 0);
  Node *scale = nullptr;
  if (!expanded->scale) {
    scale =
        getScale(dag, op.getB(), /*isRow=*/false, op.getTransposeB() ? 1 : 0);
  } else {
    scale = getGlobal(dag, op.getB());
  }
  if (!expanded->exponent)
    return scale;
  Node *power = dag.constant(Float32Type::get(dag.context),
                             std::ldexp(1.0, int(-expanded->exponent)));
  return multiply(dag, power, scale);
}

/// (sum of codes * codes) * (scale of A * scale of B), rounded once.
Node *GemmEpilogue::makeProduct(Dag &dag, unsigned factor, IndexRef index) {
  Tensor &tensor = *problem.factors[factor].tensor;
  isElsewhere |= !isDim(tensor.place->rowOf(index), kRow, problem.m) ||
                 !isDim(tensor.place->columnOf(index), kColumn, problem.n);
  nq::MatmulOp op = problem.factors[factor].op;
  int64_t aRank = cast<RankedTensorType>(op.getA().getType()).getRank();
  Node *a = problem.a.scaledRows ? nullptr
            : problem.a.scaleBlock
                ? getGlobal(dag, op.getA())
                : getScale(dag, op.getA(), /*isRow=*/true, aRank - 1);
  Node *b = getScaleOfB(dag, factor);
  Node *sum = multiply(dag, accumulators[factor], multiply(dag, a, b));
  return dag.roundTo(tensor.element, sum);
}

//===----------------------------------------------------------------------===//
// Plan
//===----------------------------------------------------------------------===//

Index tilegen::indexAt(Dag &dag, const cpu::Placement &place,
                       ArrayRef<int64_t> shape) {
  Index index;
  for (auto [digit, extent] : llvm::zip(place.digits, shape)) {
    if (!digit.stride) {
      index.push_back(Lin());
      continue;
    }
    Lin lin = Lin::dim(digit.column ? kColumn : kRow);
    index.push_back(dag.mod(dag.floorDiv(lin, digit.stride), extent));
  }
  return index;
}

LogicalResult GemmEpilogue::make(std::string &why) {
  for (auto [i, factor] : llvm::enumerate(problem.factors)) {
    accumulators.push_back(
        dag.accumulator(Float32Type::get(dag.context), kRowBit | kColumnBit));
    factor.tensor->compute = [this, i = unsigned(i)](Dag &dag, IndexRef index) {
      return makeProduct(dag, i, index);
    };
  }
  for (const GemmResult &result : problem.results) {
    if (failed(takeMaxima(*result.tensor, why)))
      return failure();
    Node *value = dag.pull(*result.tensor, indexAt(dag, *result.tensor->place,
                                                   result.tensor->shape));
    bool isRounded = result.tensor->element.isBF16();
    results.push_back(isRounded ? value
                                : dag.encode(result.tensor->element, value));
  }
  for (const PassedResult &result : problem.passed) {
    int64_t before = block;
    if (failed(takeMaxima(*result.tensor, why)) || block != before)
      return no(why, "a result beside the product is a sum or maximum");
    for (int64_t i = 0; i < result.tensor->size(); ++i) {
      Index index = dag.delinearize(Lin(i), result.tensor->shape);
      passed.push_back(
          dag.encode(result.tensor->element, dag.pull(*result.tensor, index)));
    }
  }
  if (isElsewhere)
    return no(why, "an element needs the product at another row or column");
  for (Node *node : llvm::concat<Node *>(results, passed))
    if (failed(addLoads(node, why)))
      return failure();
  sortOperands();
  return success();
}

GemmShape GemmEpilogue::getShape() const {
  GemmShape shape = problem.getShape();
  shape.blockColumns = block;
  shape.readsElements =
      llvm::any_of(operands, [](const EpilogueOperand &operand) {
        return operand.kind == EpilogueOperand::Element;
      });
  return shape;
}

/// In the order of kinds: numbers of operands change.
void GemmEpilogue::sortOperands() {
  SmallVector<unsigned> order =
      llvm::to_vector(llvm::seq<unsigned>(0, operands.size()));
  stableSort(order, [&](unsigned a, unsigned b) {
    return operands[a].kind < operands[b].kind;
  });
  SmallVector<EpilogueOperand> sorted;
  SmallVector<unsigned> newNumber(operands.size());
  for (auto [i, old] : llvm::enumerate(order)) {
    sorted.push_back(operands[old]);
    newNumber[old] = i;
  }
  operands = std::move(sorted);
  for (auto &entry : operandOf)
    entry.second = newNumber[entry.second];
}

LogicalResult GemmEpilogue::addLoads(Node *node, std::string &why) {
  if (operandOf.contains(node))
    return success();
  switch (node->kind) {
  case Node::Kind::Load:
    return addLoad(node, why);
  case Node::Kind::Index:
    return no(why, "the value of an element depends on its position");
  case Node::Kind::Constant:
  case Node::Kind::Accumulator:
    return success();
  case Node::Kind::Compute:
    break;
  }
  for (Node *operand : node->operands)
    if (failed(addLoads(operand, why)))
      return failure();
  return success();
}

static std::optional<EpilogueOperand::Kind> getKind(const Lin &lin, int64_t n) {
  int64_t row = lin.factorOf(kRow), column = lin.factorOf(kColumn);
  if (row == 0 && column == 0)
    return EpilogueOperand::Uniform;
  if (row == 1 && column == 0)
    return EpilogueOperand::Row;
  if (row == 0 && column == 1)
    return EpilogueOperand::Column;
  if (row == n && column == 1)
    return EpilogueOperand::Element;
  return std::nullopt;
}

LogicalResult GemmEpilogue::addLoad(Node *load, std::string &why) {
  const Tensor *tensor = tensorOf.lookup(load->buffer);
  std::optional<EpilogueOperand::Kind> kind = getKind(load->lin, problem.n);
  if (!tensor || !kind || !load->lin.terms.empty())
    return no(why, "an operand is read in an order that is not that of rows "
                   "and columns");
  if (cpu::isPacked(tensor->element))
    return no(why, "an operand has 4 bits");
  Place place = problem.places.lookup(tensor);
  place.offset += load->lin.constant * load->type.getIntOrFloatBitWidth() / 8;
  for (auto [i, operand] : llvm::enumerate(operands))
    if (operand.kind == *kind && operand.place == place &&
        operand.element == load->type) {
      operandOf[load] = i;
      return success();
    }
  if (*kind == EpilogueOperand::Element &&
      problem.n * load->type.getIntOrFloatBitWidth() % 128)
    return no(why, "rows of an operand are no multiples of 16 bytes");
  operandOf[load] = operands.size();
  operands.push_back({*kind, place, load->type, tensor});
  return success();
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

bool GemmEpilogue::isWide(Node *node) {
  if (node->deps == 0 || (maxima.contains(node) && hasWholeBlocks()))
    return false;
  auto [known, isNew] = wide.try_emplace(node, true);
  if (!isNew || node->kind != Node::Kind::Compute)
    return known->second;
  bool any = llvm::any_of(node->operands,
                          [&](Node *operand) { return isWide(operand); });
  return wide[node] = any;
}

Value GemmEpilogue::widen(ImplicitLocOpBuilder &b, Value value) {
  if (isa<VectorType>(value.getType()))
    return value;
  return vector::BroadcastOp::create(
      b, VectorType::get({getWidth()}, value.getType()), value);
}

/// Values that all lanes have are scalars.
Value GemmEpilogue::emit(ImplicitLocOpBuilder &b, Node *node) {
  if (Value value = values.lookup(node))
    return value;
  if (Value value = uniformValues.lookup(node))
    return value;
  Value value;
  if (node->kind == Node::Kind::Constant) {
    value = arith::ConstantOp::create(b, node->attr);
  } else {
    SmallVector<Value> operands;
    for (Node *operand : node->operands) {
      Value x = emit(b, operand);
      operands.push_back(isWide(node) ? widen(b, x) : x);
    }
    Type type = node->type;
    if (isWide(node))
      type = VectorType::get({getWidth()}, type);
    value = node->build(b, operands, type);
  }
  values[node] = value;
  return value;
}

static void collectUniform(Node *node, llvm::SetVector<Node *> &uniform) {
  if (node->deps == 0) {
    if (node->kind != Node::Kind::Constant)
      uniform.insert(node);
    return;
  }
  for (Node *operand : node->operands)
    collectUniform(operand, uniform);
}

void GemmEpilogue::setUniforms(ValueRange uniforms) {
  values.clear();
  for (auto [load, number] : operandOf)
    if (operands[number].kind == EpilogueOperand::Uniform)
      values[load] = uniforms[number];
}

SmallVector<Value> GemmEpilogue::emitPassed(ImplicitLocOpBuilder &b,
                                            ValueRange uniforms) {
  setUniforms(uniforms);
  return llvm::map_to_vector(passed, [&](Node *node) { return emit(b, node); });
}

void GemmEpilogue::emitUniform(ImplicitLocOpBuilder &b, ValueRange uniforms) {
  setUniforms(uniforms);
  llvm::SetVector<Node *> uniform;
  for (Node *node : results)
    collectUniform(node, uniform);
  for (Node *node : uniform)
    uniformValues[node] = emit(b, node);
}

Type GemmEpilogue::getStoredType(Type element) {
  return element.isBF16() ? element : cpu::storageType(element);
}

/// Pairs of codes of 4 bits as bytes, the first one in the low bits.
Value GemmEpilogue::joinCodes(ImplicitLocOpBuilder &b, Value codes) {
  if (getWidth() % 8 == 0)
    return vector::BitCastOp::create(
        b, VectorType::get({getWidth() / 2}, b.getI8Type()),
        cpu::packNibbles(b, codes));
  auto at = [&](int64_t i) {
    return vector::ExtractOp::create(b, codes, i).getResult();
  };
  auto constant = [&](int64_t number) {
    return arith::ConstantOp::create(b, b.getI8IntegerAttr(number));
  };
  Value low = arith::AndIOp::create(b, at(0), constant(15)),
        high = arith::ShLIOp::create(b, at(1), constant(4));
  return vector::FromElementsOp::create(
      b, VectorType::get({1}, b.getI8Type()),
      arith::OrIOp::create(b, low, high).getResult());
}

SmallVector<Value> GemmEpilogue::emitBody(ImplicitLocOpBuilder &b,
                                          ValueRange args, bool swapped) {
  alongBlocks = swapped ? tile::Axis::m : tile::Axis::n;
  values.clear();
  wide.clear();
  for (auto [accumulator, value] : llvm::zip(accumulators, args))
    values[accumulator] = value;
  unsigned uniforms =
      llvm::count_if(operands, [](const EpilogueOperand &operand) {
        return operand.kind == EpilogueOperand::Uniform;
      });
  for (auto [load, number] : operandOf)
    if (number >= uniforms)
      values[load] = args[accumulators.size() + number - uniforms];
  SmallVector<Value> yielded;
  for (auto [node, result] : llvm::zip(results, problem.results)) {
    Value value = widen(b, emit(b, node));
    if (result.tensor->element.isBF16())
      value = arith::TruncFOp::create(
          b, VectorType::get({getWidth()}, b.getBF16Type()), value);
    yielded.push_back(result.isPacked() ? joinCodes(b, value) : value);
  }
  return yielded;
}
