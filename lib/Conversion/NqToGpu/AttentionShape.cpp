// nq.attention as a tensor-core kernel sees it: operands in memory, by strides.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionShape.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/Dialect/Utils/IndexingUtils.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using cpu::Dag;
using cpu::Index;
using cpu::Lin;
using cpu::Node;

/// What columns come in.
static constexpr int64_t kChunk = 8;

int64_t AttentionShape::rowStride() const {
  return order == RowOrder::QueryFirst ? q.strides[1] : q.strides[2];
}

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

namespace {
/// Part of an argument: `bytes` behind its begin.
struct ArgumentPart {
  unsigned value;
  int64_t bytes;
};
} // namespace

/// The codes of a scaled argument or all of another one, or its scales.
static std::optional<ArgumentPart> findArgument(ProductGraph &graph,
                                                const cpu::Buffer *buffer) {
  for (BlockArgument argument : graph.part.getArguments()) {
    auto regions =
        nq::getStorageRegions(cast<RankedTensorType>(argument.getType()));
    SmallVector<cpu::Tensor *> parts = graph.graph.partsOf(argument);
    if (&parts[0]->buffer == buffer)
      return ArgumentPart{argument.getArgNumber(), regions.codes};
    if (parts.size() > 1 && &parts[1]->buffer == buffer)
      return ArgumentPart{argument.getArgNumber(), regions.scales};
  }
  return std::nullopt;
}

/// Dimension i of the index is dimension i of the dag.
static bool setStrides(StridedTensor &tensor, const Lin &lin,
                       ArrayRef<int64_t> shape) {
  if (!lin.terms.empty())
    return false;
  tensor.offset = lin.constant;
  for (unsigned d = 0; d < 4; ++d)
    tensor.strides[d] = shape[d] == 1 ? 0 : lin.factorOf(d);
  return true;
}

/// Dimensions of `value` that are absent or 1 are those of a broadcast.
static Index indexOf(Dag &dag, ArrayRef<int64_t> full,
                     ArrayRef<int64_t> shape) {
  for (int64_t extent : full)
    dag.addDim({extent});
  Index index;
  unsigned skipped = 4 - shape.size();
  for (auto [d, extent] : llvm::enumerate(shape))
    index.push_back(extent == 1 ? Lin() : Lin::dim(d + skipped));
  return index;
}

/// The load that `node` decodes, as an element of `element`; null if it is
/// something else.
static Node *findLoad(Node *node, Type &element) {
  element = node->raw ? node->rawType : node->type;
  Node *load = node->raw ? node->raw : node;
  bool isLoad =
      load->kind == Node::Kind::Load && load->buffer->element == element;
  return isLoad ? load : nullptr;
}

static bool isNarrow(Type type) { return type.isF16() || type.isBF16(); }
static bool isFloat8(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(type);
}

/// Of one element, as f32.
static std::optional<TensorFactor> findFactor(ProductGraph &graph, Node *node) {
  TensorFactor factor;
  factor.element = node->type;
  if (node->kind == Node::Kind::Constant) {
    factor.number = cast<FloatAttr>(node->attr).getValueAsDouble();
    return factor;
  }
  Node *load = findLoad(node, factor.element);
  if (!load || !load->lin.isConstant() ||
      !(isNarrow(factor.element) || factor.element.isF32()))
    return std::nullopt;
  auto part = findArgument(graph, load->buffer);
  if (!part)
    return std::nullopt;
  int64_t bytes = factor.element.getIntOrFloatBitWidth() / 8;
  factor.value = part->value;
  factor.offset = part->bytes + load->lin.constant * bytes;
  return factor;
}

/// The codes of a scaled value, if there is one scale.
static cpu::Tensor *getCodes(ProductGraph &graph, Value value) {
  const cpu::ScaledTensor &scaled = graph.graph.scaledOf(value);
  bool isOne = scaled.type.isPerTensor() && !scaled.global &&
               !scaled.zeroPoints && isFloat8(scaled.codes->element);
  return isOne ? scaled.codes : nullptr;
}

static std::optional<StridedTensor> findTensor(ProductGraph &graph, Value value,
                                               ArrayRef<int64_t> full) {
  bool isScaled = graph.graph.isScaled(value);
  cpu::Tensor *elements =
      isScaled ? getCodes(graph, value) : &graph.graph.plainOf(value);
  if (!elements)
    return std::nullopt;
  Dag dag(graph.part.getContext());
  Index index = indexOf(dag, full, shapeOf(value));
  StridedTensor tensor;
  Node *load = findLoad(dag.pull(*elements, index), tensor.element);
  auto part = load ? findArgument(graph, load->buffer) : std::nullopt;
  if (!part || part->bytes || !setStrides(tensor, load->lin, full))
    return std::nullopt;
  tensor.value = part->value;
  if (!isScaled)
    return tensor;
  auto factor =
      findFactor(graph, graph.graph.scaledOf(value).effectiveScale(dag, index));
  if (!factor)
    return std::nullopt;
  tensor.factor = *factor;
  return tensor;
}

/// Strides that the copy engine takes: see TensorMap.
static std::string whyNotCopied(const StridedTensor &tensor,
                                ArrayRef<int64_t> shape) {
  if (shape[3] > 1 && tensor.strides[3] != 1)
    return "has not the elements of a position side by side";
  if (tensor.offset * tensor.bytes() % 16)
    return "does not begin at a multiple of 16 bytes";
  for (int64_t stride : ArrayRef(tensor.strides).drop_back())
    if (stride * tensor.bytes() % 16 || stride < 0)
      return "has positions that do not begin at multiples of 16 bytes";
  return "";
}

static std::optional<StridedTensor> findOperand(ProductGraph &graph,
                                                Value value, StringRef name,
                                                std::string &why) {
  auto tensor = findTensor(graph, value, shapeOf(value));
  if (!tensor)
    why = name.str() + " is computed as it is read, in a layout of its own, or "
                       "has several scales";
  else if (!isNarrow(tensor->element) && !isFloat8(tensor->element))
    why = name.str() + " is neither f16, bf16 nor FP8";
  else if (std::string reason = whyNotCopied(*tensor, shapeOf(value));
           !reason.empty())
    why = name.str() + " " + reason;
  return why.empty() ? tensor : std::nullopt;
}

using Strides = SmallVector<int64_t>;

/// Of what a group of dimensions was, or becomes, one of `stride`.
static void setGroup(Strides &strides, ArrayRef<int64_t> shape,
                     ArrayRef<int64_t> group, int64_t stride) {
  for (int64_t d : llvm::reverse(group)) {
    strides[d] = stride;
    stride *= shape[d];
  }
}

/// Nothing if the dimensions of a group do not lie one in the other.
static std::optional<int64_t> getGroup(const Strides &strides,
                                       ArrayRef<int64_t> shape,
                                       ArrayRef<int64_t> group) {
  std::optional<int64_t> stride, next;
  for (int64_t d : llvm::reverse(group)) {
    if (shape[d] == 1)
      continue;
    if (next && strides[d] != *next)
      return std::nullopt;
    stride = stride.value_or(strides[d]);
    next = strides[d] * shape[d];
  }
  return stride.value_or(0);
}

/// Strides of what `op` moves, if `strides` are those of its result.
static std::optional<Strides> beforeMove(Operation *op, Strides strides) {
  ArrayRef<int64_t> from = shapeOf(op->getOperand(0)),
                    to = shapeOf(op->getResult(0));
  Strides result(from.size(), 0);
  if (auto transpose = dyn_cast<linalg::TransposeOp>(op)) {
    for (auto [d, source] : llvm::enumerate(transpose.getPermutation()))
      result[source] = strides[d];
    return result;
  }
  if (auto collapse = dyn_cast<tensor::CollapseShapeOp>(op)) {
    for (auto [d, group] : llvm::enumerate(collapse.getReassociationIndices()))
      setGroup(result, from, group, strides[d]);
    return result;
  }
  auto expand = cast<tensor::ExpandShapeOp>(op);
  for (auto [d, group] : llvm::enumerate(expand.getReassociationIndices())) {
    auto stride = getGroup(strides, to, group);
    if (!stride)
      return std::nullopt;
    result[d] = *stride;
  }
  return result;
}

/// A scale that comes to the part, or is a number.
static std::optional<ResultCodes> findCodes(ProductGraph &graph,
                                            nq::QuantizeOp op, Value result) {
  const cpu::ScaledTensor &scaled = graph.graph.scaledOf(result);
  if (!getCodes(graph, result))
    return std::nullopt;
  Dag dag(graph.part.getContext());
  cpu::Tensor &scale = graph.graph.plainOf(op.getScale());
  auto factor = findFactor(graph, dag.pull(scale, Index(scale.shape.size())));
  // It is stored as it is.
  if (!factor || scale.element != scaled.type.getScale())
    return std::nullopt;
  factor->element = scale.element;
  auto type = cast<RankedTensorType>(result.getType());
  return ResultCodes{*factor, nq::getStorageRegions(type).scales,
                     op.getSaturate()};
}

/// Rows where they are stored: whole groups of columns, side by side.
static std::string whyNotStored(const StridedTensor &tensor,
                                ArrayRef<int64_t> shape) {
  if (shape[3] > 1 && tensor.strides[3] != 1)
    return "has not the elements of a position side by side";
  for (int64_t stride : ArrayRef(tensor.strides).drop_back())
    if (stride % kChunk)
      return "has positions that do not begin at multiples of 8 elements";
  return "";
}

/// The part returns the result, or what transposes and reshapes make of it, or
/// codes of that.
static std::optional<StridedTensor> findResult(ProductGraph &graph,
                                               nq::AttentionOp op,
                                               AttentionShape &s,
                                               std::string &why) {
  Value value = graph.part.front().getTerminator()->getOperand(0);
  auto type = cast<RankedTensorType>(value.getType());
  if (nq::getLayout(type)) {
    why = "the result is stored in a layout of its own";
    return std::nullopt;
  }
  std::optional<Strides> strides = computeSuffixProduct(shapeOf(value));
  StridedTensor tensor;
  tensor.element = nq::getScaledElement(type)
                       ? nq::getScaledElement(type).getStorage()
                       : type.getElementType();
  while (strides && value != op.getResult()) {
    Operation *move = value.getDefiningOp();
    if (auto quantize = dyn_cast<nq::QuantizeOp>(move)) {
      s.codes = findCodes(graph, quantize, value);
      if (!s.codes) {
        why = "the result is quantized to something else than FP8 with one "
              "scale that is there before";
        return std::nullopt;
      }
    } else {
      strides = beforeMove(move, *strides);
    }
    value = move->getOperand(0);
  }
  tensor.value = graph.part.getNumArguments();
  if (!strides) {
    why = "the result is reshaped to what no strides describe";
    return std::nullopt;
  }
  for (unsigned d = 0; d < 4; ++d)
    tensor.strides[d] = shapeOf(value)[d] == 1 ? 0 : (*strides)[d];
  s.rounded = cast<RankedTensorType>(value.getType()).getElementType();
  if (!isNarrow(s.rounded) && !s.rounded.isF32())
    why = "the result is neither f16, bf16 nor f32";
  else if (std::string reason = whyNotStored(tensor, shapeOf(value));
           !reason.empty())
    why = "the result " + reason;
  return why.empty() ? std::optional(tensor) : std::nullopt;
}

static std::optional<StridedTensor> findMask(ProductGraph &graph,
                                             const AttentionShape &s,
                                             Value mask, std::string &why) {
  auto tensor = findTensor(graph, mask, {s.batch, s.heads, s.queries, s.keys});
  if (!tensor)
    why = "the mask is computed as it is read, or in a layout of its own";
  else if (!isNarrow(tensor->element) && !tensor->element.isF32() &&
           !tensor->element.isInteger(1))
    why = "the mask is of a type that the kernel does not load";
  return why.empty() ? tensor : std::nullopt;
}

static std::optional<StridedTensor> findLengths(ProductGraph &graph,
                                                const AttentionShape &s,
                                                Value lengths,
                                                std::string &why) {
  bool forAll = shapeOf(lengths)[0] == 1;
  Dag dag(graph.part.getContext());
  dag.addDim({s.batch});
  Node *root = dag.pull(graph.graph.plainOf(lengths),
                        Index{forAll ? Lin() : Lin::dim(0)});
  StridedTensor tensor;
  Node *load = findLoad(root, tensor.element);
  auto part = load && load->lin.terms.empty()
                  ? findArgument(graph, load->buffer)
                  : std::nullopt;
  if (!part || part->bytes) {
    why = "the lengths are computed as they are read";
    return std::nullopt;
  }
  tensor.value = part->value;
  tensor.offset = load->lin.constant;
  tensor.strides[0] = forAll || s.batch == 1 ? 0 : load->lin.factorOf(0);
  return tensor;
}

/// Rows of one tensor map have one stride.
static RowOrder chooseOrder(const AttentionShape &s) {
  int64_t ofHead = s.q.strides[1], ofQuery = s.q.strides[2];
  if (s.group() == 1)
    return RowOrder::Query;
  if (s.queries == 1 || ofQuery == s.group() * ofHead)
    return RowOrder::QueryFirst;
  return ofHead == s.queries * ofQuery ? RowOrder::HeadOfGroup
                                       : RowOrder::Query;
}

static std::string whyNotSizes(const AttentionShape &s) {
  if (s.depth > 256 || s.width > 256)
    return "heads of more than 256 elements";
  if (s.depth % kChunk || s.width % kChunk)
    return "heads of " + std::to_string(s.depth % kChunk ? s.depth : s.width) +
           " elements, no multiple of 8";
  if (s.batch * s.heads * s.queries * std::max(s.keys, s.width) > INT32_MAX)
    return "more than 2^31 elements of a result or a mask";
  return "";
}

/// Products of 16 bits have operands of one type; those of 8 bits do not care.
static std::string whyNotTypes(AttentionShape &s) {
  bool isQ8 = s.q.isFloat8(), isK8 = s.k.isFloat8(), isV8 = s.v.isFloat8();
  if (isQ8 != isK8 && isQ8)
    return "FP8 queries of keys that are not FP8";
  if (!isK8 && s.q.element != s.k.element)
    return "queries and keys of different types";
  if (s.expandsKeys() && !isV8)
    return "FP8 keys with values that are not FP8";
  // Who asks for f32 next to 16 bits does not want weights rounded to 16 bits.
  if (s.rounded.isF32() && !isV8 && !s.weightCodes)
    return "the result is f32, and weights of 16 bits would not be";
  Type f16 = Float16Type::get(s.q.element.getContext());
  s.narrow = !isV8 ? s.v.element : isQ8 || s.weightCodes ? f16 : s.q.element;
  return "";
}

static bool findOperands(ProductGraph &graph, nq::AttentionOp op,
                         AttentionShape &s, std::string &why) {
  auto q = findOperand(graph, op.getQ(), "q", why);
  auto k = q ? findOperand(graph, op.getK(), "k", why) : std::nullopt;
  auto v = k ? findOperand(graph, op.getV(), "v", why) : std::nullopt;
  auto result = v ? findResult(graph, op, s, why) : std::nullopt;
  if (!result)
    return false;
  s.q = *q, s.k = *k, s.v = *v, s.result = *result;
  if (op.getMask())
    s.mask = findMask(graph, s, op.getMask(), why);
  if (why.empty() && op.getLengths())
    s.lengths = findLengths(graph, s, op.getLengths(), why);
  return why.empty();
}

std::optional<AttentionShape> getAttentionShape(ProductGraph &graph,
                                                std::string &why) {
  auto op = cast<nq::AttentionOp>(graph.product);
  AttentionShape s;
  ArrayRef<int64_t> q = shapeOf(op.getQ()), v = shapeOf(op.getV());
  s.batch = q[0], s.heads = q[1], s.queries = q[2], s.depth = q[3];
  s.kvHeads = v[1], s.keys = v[2], s.width = v[3];
  s.scale = op.getScale().convertToDouble();
  s.softcap = op.getSoftcap().convertToDouble();
  s.causal = op.getCausal();
  s.shift = op.getBottomRight() ? s.keys - s.queries : 0;
  s.followsLength = op.getLengths() && op.getBottomRight();
  s.weightCodes = op.getWeightCodes();
  if (s.batch * s.heads * s.queries * s.keys * s.depth * s.width == 0)
    why = "there is nothing to compute";
  if (!why.empty() || !findOperands(graph, op, s, why))
    return std::nullopt;
  why = whyNotTypes(s);
  if (why.empty())
    why = whyNotSizes(s);
  s.order = chooseOrder(s);
  return why.empty() ? std::optional(s) : std::nullopt;
}

} // namespace gpu
} // namespace nibble
