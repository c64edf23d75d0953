// Linear index arithmetic and the nodes of loop bodies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "LoopExpr.h"
#include "FloatCodes.h"
#include "KernelTensor.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace cpu {

//===----------------------------------------------------------------------===//
// Lin
//===----------------------------------------------------------------------===//

Lin Lin::dim(unsigned d, int64_t factor) {
  Lin lin;
  if (factor)
    lin.dims.push_back({d, factor});
  return lin;
}

Lin Lin::term(Node *node, int64_t factor) {
  if (node->kind == Node::Kind::Index)
    return node->lin * factor;
  Lin lin;
  if (factor)
    lin.terms.push_back({node, factor});
  return lin;
}

int64_t Lin::factorOf(unsigned d) const {
  for (auto [dim, factor] : dims)
    if (dim == d)
      return factor;
  return 0;
}

/// Order of terms: by creation, so that equal inputs give equal code.
static bool before(unsigned a, unsigned b) { return a < b; }
static bool before(Node *a, Node *b) { return a->id < b->id; }

template <typename List, typename Key>
static void addTo(List &list, Key key, int64_t factor) {
  auto *it = llvm::lower_bound(list, key, [](const auto &entry, Key k) {
    return before(entry.first, k);
  });
  if (it == list.end() || it->first != key)
    list.insert(it, {key, factor});
  else if ((it->second += factor) == 0)
    list.erase(it);
}

Lin &Lin::operator+=(const Lin &other) {
  constant += other.constant;
  for (auto [dim, factor] : other.dims)
    addTo(dims, dim, factor);
  for (auto [node, factor] : other.terms)
    addTo(terms, node, factor);
  return *this;
}

Lin operator*(Lin a, int64_t factor) {
  if (factor == 0)
    return Lin();
  a.constant *= factor;
  for (auto &entry : a.dims)
    entry.second *= factor;
  for (auto &entry : a.terms)
    entry.second *= factor;
  return a;
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

Type computeType(Type element) {
  if (isa<FloatType>(element) && !element.isF64())
    return Float32Type::get(element.getContext());
  if (auto integer = dyn_cast<IntegerType>(element))
    return IntegerType::get(element.getContext(), integer.getWidth());
  return element;
}

Type storageType(Type element) {
  if (element.isIndex())
    return element;
  unsigned bits = element.getIntOrFloatBitWidth();
  if (bits <= 8)
    return IntegerType::get(element.getContext(), 8);
  if (element.isBF16())
    return IntegerType::get(element.getContext(), 16);
  if (auto integer = dyn_cast<IntegerType>(element))
    return IntegerType::get(element.getContext(), bits);
  return element;
}

bool isPacked(Type element) {
  return element.isIntOrFloat() && element.getIntOrFloatBitWidth() == 4;
}

SmallVector<int64_t> stridesOf(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int i = static_cast<int>(shape.size()) - 2; i >= 0; --i)
    strides[i] = strides[i + 1] * std::max<int64_t>(shape[i + 1], 1);
  return strides;
}

Lin linearize(IndexRef index, ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides = stridesOf(shape);
  Lin offset;
  for (auto [lin, stride, extent] : llvm::zip(index, strides, shape))
    if (extent != 1)
      offset += lin * stride;
  return offset;
}

//===----------------------------------------------------------------------===//
// Dag
//===----------------------------------------------------------------------===//

unsigned Dag::addDim(Dim dim) {
  dims.push_back(dim);
  return dims.size() - 1;
}

Node *Dag::make(Node::Kind kind, Type type) {
  nodes.emplace_back();
  nodes.back().id = nodes.size();
  nodes.back().kind = kind;
  nodes.back().type = type;
  return &nodes.back();
}

Node *Dag::constant(TypedAttr value) {
  Node *node = make(Node::Kind::Constant, value.getType());
  node->attr = value;
  return node;
}

Node *Dag::constant(Type type, double value) {
  Builder b(context);
  if (isa<FloatType>(type))
    return constant(b.getFloatAttr(type, value));
  return constant(b.getIntegerAttr(type, static_cast<int64_t>(value)));
}

Node *Dag::index(const Lin &lin, Type type) {
  if (lin.constant == 0 && lin.dims.empty() && lin.terms.size() == 1 &&
      lin.terms[0].second == 1 && (!type || type.isIndex()))
    return lin.terms[0].first;
  Node *node = make(Node::Kind::Index, type ? type : IndexType::get(context));
  node->lin = lin;
  node->deps = depsOf(lin);
  std::tie(node->low, node->high) = rangeOf(lin);
  return node;
}

Node *Dag::load(const Buffer &buffer, const Lin &offset) {
  Node *node = make(Node::Kind::Load, storageType(buffer.element));
  node->buffer = &buffer;
  node->lin = offset;
  node->deps = depsOf(offset);
  return node;
}

Node *Dag::compute(Type type, ArrayRef<Node *> operands, BuildFn build) {
  Node *node = make(Node::Kind::Compute, type);
  node->operands.assign(operands.begin(), operands.end());
  node->build = std::move(build);
  for (Node *operand : operands)
    node->deps |= operand->deps;
  return node;
}

Node *Dag::accumulator(Type type, uint64_t deps) {
  Node *node = make(Node::Kind::Accumulator, type);
  node->deps = deps;
  return node;
}

Node *Dag::decode(Type element, Node *bits) {
  Type type = computeType(element);
  if (type == bits->type && !isPacked(element))
    return bits;
  Node *node =
      compute(type, {bits},
              [element](ImplicitLocOpBuilder &b, ArrayRef<Value> operands,
                        Type) { return decodeBits(b, element, operands[0]); });
  node->raw = bits;
  node->rawType = element;
  return node;
}

Node *Dag::encode(Type element, Node *value, bool saturate,
                  StringRef roundMode) {
  if (value->raw && value->rawType == element)
    return value->raw;
  Type type = storageType(element);
  if (type == value->type && type == computeType(element))
    return value;
  EncodeOptions options{saturate, roundMode.str()};
  return compute(type, {value},
                 [element, options](ImplicitLocOpBuilder &b,
                                    ArrayRef<Value> operands, Type) {
                   return encodeBits(b, element, operands[0], options);
                 });
}

Node *Dag::roundTo(Type element, Node *value, bool saturate,
                   StringRef roundMode) {
  if (value->raw && value->rawType == element)
    return value;
  return decode(element, encode(element, value, saturate, roundMode));
}

uint64_t Dag::depsOf(const Lin &lin) const {
  uint64_t deps = 0;
  for (auto [dim, factor] : lin.dims)
    deps |= uint64_t(1) << dim;
  for (auto [node, factor] : lin.terms)
    deps |= node->deps;
  return deps;
}

std::pair<int64_t, int64_t> Dag::rangeOf(const Lin &lin) const {
  int64_t low = lin.constant, high = lin.constant;
  auto add = [&](int64_t factor, int64_t from, int64_t to) {
    low += factor * (factor > 0 ? from : to);
    high += factor * (factor > 0 ? to : from);
  };
  for (auto [dim, factor] : lin.dims)
    add(factor, 0, std::max<int64_t>(dims[dim].extent - 1, 0));
  for (auto [node, factor] : lin.terms) {
    if (node->low < -(int64_t(1) << 40) || node->high > (int64_t(1) << 40))
      return {INT64_MIN / 4, INT64_MAX / 4};
    add(factor, node->low, node->high);
  }
  return {low, high};
}

/// A division of dim * f by c with f | c would be exact if the dimension were
/// split by c / f.
void Dag::wishFor(const Lin &lin, int64_t divisor) {
  for (auto [dim, factor] : lin.dims) {
    const Dim &d = dims[dim];
    if (factor > 0 && divisor % factor == 0 && d.extent * factor > divisor &&
        d.origin >= 0 && !d.total)
      wishes.push_back({d.origin, divisor / factor * d.weight});
  }
}

Node *Dag::divNode(const Lin &lin, int64_t divisor) {
  for (Division &known : divisions)
    if (known.divisor == divisor && known.lin == lin)
      return known.node;
  auto [low, high] = rangeOf(lin);
  bool isUnsigned = low >= 0;
  Node *node = compute(IndexType::get(context), {index(lin)},
                       [=](ImplicitLocOpBuilder &b, ArrayRef<Value> operands,
                           Type type) -> Value {
                         Value by = splatConstant(b, type, divisor);
                         if (isUnsigned)
                           return arith::DivUIOp::create(b, operands[0], by);
                         return arith::FloorDivSIOp::create(b, operands[0], by);
                       });
  if (low > INT64_MIN / 8) {
    node->low = llvm::divideFloorSigned(low, divisor);
    node->high = llvm::divideFloorSigned(high, divisor);
  }
  divisions.push_back({lin, divisor, node});
  return node;
}

Lin Dag::floorDiv(const Lin &lin, int64_t divisor) {
  if (divisor == 1)
    return lin;
  Lin quotient, rest;
  quotient.constant = llvm::divideFloorSigned(lin.constant, divisor);
  rest.constant = lin.constant - quotient.constant * divisor;
  for (auto [dim, factor] : lin.dims)
    if (factor % divisor == 0)
      quotient.dims.push_back({dim, factor / divisor});
    else
      rest.dims.push_back({dim, factor});
  for (auto [node, factor] : lin.terms)
    if (factor % divisor == 0)
      quotient.terms.push_back({node, factor / divisor});
    else
      rest.terms.push_back({node, factor});
  auto [low, high] = rangeOf(rest);
  if (low >= 0 && high < divisor)
    return quotient;
  wishFor(rest, divisor);
  return quotient + Lin::term(divNode(rest, divisor));
}

Index Dag::delinearize(const Lin &offset, ArrayRef<int64_t> shape) {
  Index result;
  Lin rest = offset;
  for (int64_t stride : stridesOf(shape)) {
    Lin digit = floorDiv(rest, stride);
    rest = rest - digit * stride;
    result.push_back(digit);
  }
  return result;
}

Lin Dag::clamp(const Lin &lin, int64_t size) {
  auto [low, high] = rangeOf(lin);
  if (low >= 0 && high < size)
    return lin;
  Node *node =
      compute(IndexType::get(context), {index(lin)},
              [size](ImplicitLocOpBuilder &b, ArrayRef<Value> operands,
                     Type type) -> Value {
                Value x = arith::MinSIOp::create(
                    b, operands[0],
                    splatConstant(b, type, std::max<int64_t>(size - 1, 0)));
                return arith::MaxSIOp::create(b, x, splatConstant(b, type, 0));
              });
  node->low = 0;
  node->high = std::max<int64_t>(size - 1, 0);
  return Lin::term(node);
}

Node *Dag::inside(const Lin &lin, int64_t size) {
  auto [low, high] = rangeOf(lin);
  if (low >= 0 && high < size)
    return nullptr;
  // Unsigned: negative numbers are too large.
  return compute(
      IntegerType::get(context, 1), {index(lin)},
      [size](ImplicitLocOpBuilder &b, ArrayRef<Value> operands, Type) -> Value {
        Value end = splatConstant(b, operands[0].getType(), size);
        return arith::CmpIOp::create(b, arith::CmpIPredicate::ult, operands[0],
                                     end);
      });
}

Lin Dag::fromNode(Node *node) {
  if (node->kind == Node::Kind::Index)
    return node->lin;
  if (node->kind == Node::Kind::Constant)
    return Lin(cast<IntegerAttr>(node->attr).getValue().getSExtValue());
  if (node->type.isIndex())
    return Lin::term(node);
  Node *cast =
      compute(IndexType::get(context), {node},
              [](ImplicitLocOpBuilder &b, ArrayRef<Value> operands,
                 Type type) -> Value {
                return arith::IndexCastOp::create(b, type, operands[0]);
              });
  return Lin::term(cast);
}

bool Dag::isInOtherRow(const Tensor &tensor, IndexRef index) const {
  if (columns && tensor.place) {
    if (!(tensor.place->rowOf(index) == columns->row()))
      return true;
    auto [low, high] =
        rangeOf(tensor.place->columnOf(index) - columns->column());
    // Nothing is behind the last block, whatever ranges say.
    bool isBounded = columns->blocks == 1 && columns->isLast;
    return low < 0 || (!isBounded && high >= columns->block);
  }
  if (tensor.stage >= 0)
    for (unsigned i = 0; i < rowDims; ++i)
      if (tensor.shape[i] != 1 && !(index[i] == Lin::dim(i)))
        return true;
  return false;
}

Node *Dag::pull(Tensor &tensor, IndexRef index) {
  SmallVector<Pulled, 2> &known = pulled[&tensor];
  for (Pulled &entry : known)
    if (IndexRef(entry.index) == index)
      return entry.node;
  bool inMemory = tensor.stored && (tensor.stage < 0 || tensor.stage < stage);
  Node *node;
  if (inMemory) {
    crossesRows |= isInOtherRow(tensor, index);
    node = decode(tensor.element,
                  load(tensor.buffer, tensor.offsetOf(*this, index)));
  } else {
    node = tensor.compute(*this, index);
  }
  // The map may have grown meanwhile.
  pulled[&tensor].push_back({Index(index.begin(), index.end()), node});
  return node;
}

} // namespace cpu
} // namespace nibble
