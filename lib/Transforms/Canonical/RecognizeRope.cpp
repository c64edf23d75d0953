// recognize-rope: rotations of pairs by cos and sin tables become nq.rope.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMatch.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Reference/Interpreter.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/PatternMatch.h"

namespace nibble {
#define GEN_PASS_DEF_RECOGNIZEROPE
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

//===----------------------------------------------------------------------===//
// Halves and pairs
//===----------------------------------------------------------------------===//

/// Elements offset, offset + stride, ... of the last dimension of `base`.
struct Lanes {
  Value base;
  int64_t offset = 0, count = 0, stride = 1;
};

/// Two tensors put together along the last dimension: one after the other, or
/// in turn.
struct Assembly {
  Value first, second;
  bool interleaved = false;
};

/// True if the slice is static and takes whole dimensions but for the last
/// `free`.
bool isSliceOfLast(tensor::ExtractSliceOp op, int64_t free) {
  auto from = cast<RankedTensorType>(op.getSource().getType());
  if (ShapedType::isDynamicShape(op.getStaticOffsets()) ||
      ShapedType::isDynamicShape(op.getStaticSizes()) ||
      ShapedType::isDynamicShape(op.getStaticStrides()) ||
      from.getRank() < free)
    return false;
  for (int64_t d = 0; d < from.getRank() - free; ++d)
    if (op.getStaticOffsets()[d] != 0 ||
        op.getStaticSizes()[d] != from.getDimSize(d))
      return false;
  return true;
}

/// x.reshape(.., a, b)[.., i, :] or [.., i] of x [.., a * b].
std::optional<Lanes> readLanesOfReshape(Value value) {
  if (auto collapse = value.getDefiningOp<tensor::CollapseShapeOp>())
    value = collapse.getSrc();
  auto slice = value.getDefiningOp<tensor::ExtractSliceOp>();
  auto expand = slice ? slice.getSource().getDefiningOp<tensor::ExpandShapeOp>()
                      : tensor::ExpandShapeOp();
  if (!expand || !isSliceOfLast(slice, 2))
    return std::nullopt;
  ArrayRef<int64_t> split = expand.getResultType().getShape();
  ArrayRef<int64_t> base = expand.getSrcType().getShape();
  if (split.size() != base.size() + 1 ||
      split.drop_back(2) != base.drop_back(1))
    return std::nullopt;
  int64_t b = split.back(), d = split.size() - 2;
  ArrayRef<int64_t> sizes = slice.getStaticSizes(),
                    offsets = slice.getStaticOffsets(),
                    strides = slice.getStaticStrides();
  if (sizes[d] == split[d] && strides[d] == 1 && sizes[d + 1] == 1)
    return Lanes{expand.getSrc(), offsets[d + 1], split[d], b};
  if (sizes[d] == 1 && sizes[d + 1] == b && strides[d + 1] == 1)
    return Lanes{expand.getSrc(), offsets[d] * b, b, 1};
  return std::nullopt;
}

std::optional<Lanes> readLanes(Value value) {
  value = stripWidening(value);
  auto slice = value.getDefiningOp<tensor::ExtractSliceOp>();
  if (slice && isSliceOfLast(slice, 1) &&
      slice.getSourceType().getRank() == slice.getType().getRank())
    return Lanes{slice.getSource(), slice.getStaticOffsets().back(),
                 slice.getStaticSizes().back(),
                 slice.getStaticStrides().back()};
  auto lanes = readLanesOfReshape(value);
  if (lanes && getTensor(value).getShape().back() == lanes->count)
    return lanes;
  return std::nullopt;
}

/// x of an x.unsqueeze that adds a dimension of extent 1.
Value readUnsqueezed(Value value, ArrayRef<int64_t> shape) {
  auto expand = value.getDefiningOp<tensor::ExpandShapeOp>();
  return expand && expand.getSrcType().getShape() == shape ? expand.getSrc()
                                                           : Value();
}

/// stack([a, b], -1 or -2) with the new dimension merged into the last one.
std::optional<Assembly> readStack(tensor::CollapseShapeOp op) {
  auto concat = op.getSrc().getDefiningOp<tensor::ConcatOp>();
  ArrayRef<int64_t> merged = op.getResultType().getShape();
  if (!concat || concat.getNumOperands() != 2 || merged.empty())
    return std::nullopt;
  ArrayRef<int64_t> stacked = concat.getResultType().getShape();
  if (stacked.size() != merged.size() + 1 ||
      stacked.drop_back(2) != merged.drop_back(1))
    return std::nullopt;
  int64_t dim = concat.getDim(), last = stacked.size() - 1;
  if (dim < last - 1 || stacked[dim] != 2)
    return std::nullopt;
  SmallVector<int64_t> shape(merged);
  shape.back() /= 2;
  Value first = readUnsqueezed(concat.getOperand(0), shape),
        second = readUnsqueezed(concat.getOperand(1), shape);
  if (!first || !second)
    return std::nullopt;
  return Assembly{first, second, dim == last};
}

std::optional<Assembly> readAssembly(Value value) {
  value = stripWidening(value);
  if (auto collapse = value.getDefiningOp<tensor::CollapseShapeOp>())
    return readStack(collapse);
  auto concat = value.getDefiningOp<tensor::ConcatOp>();
  if (!concat || concat.getNumOperands() != 2 ||
      int64_t(concat.getDim()) + 1 != concat.getResultType().getRank() ||
      concat.getOperand(0).getType() != concat.getOperand(1).getType())
    return std::nullopt;
  return Assembly{concat.getOperand(0), concat.getOperand(1), false};
}

/// True if a and b are the first and second elements of the pairs of one
/// tensor.
bool arePairs(const Lanes &a, const Lanes &b, bool interleaved) {
  int64_t size = getTensor(a.base).getShape().back();
  int64_t stride = interleaved ? 2 : 1, distance = interleaved ? 1 : size / 2;
  return a.base == b.base && a.count * 2 == size && b.count == a.count &&
         a.offset == 0 && b.offset == distance &&
         (a.count == 1 || (a.stride == stride && b.stride == stride));
}

//===----------------------------------------------------------------------===//
// Tables
//===----------------------------------------------------------------------===//

bool agreesAsConstant(const ref::RefTensor &table, bool interleaved) {
  int64_t size = table.getShape().back(), half = size / 2;
  std::vector<double> values = table.toFloats();
  for (size_t row = 0; row < values.size(); row += size)
    for (int64_t i = 0; i < half; ++i) {
      int64_t a = interleaved ? 2 * i : i, b = interleaved ? a + 1 : i + half;
      if (values[row + a] != values[row + b])
        return false;
    }
  return true;
}

/// Called with what a value is computed from.
using Agrees = llvm::function_ref<bool(Value)>;

/// Elementwise nodes read either equal pairs or one number per row.
bool elementwiseAgrees(linalg::GenericOp op, Agrees agrees) {
  unsigned last = op.getNumLoops() - 1;
  AffineExpr dim = getAffineDimExpr(last, op.getContext());
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    if (!map.isFunctionOfDim(last))
      continue;
    auto results = map.getResults();
    if (results.back() != dim || !agrees(input->get()) ||
        llvm::any_of(results.drop_back(),
                     [&](AffineExpr e) { return e.isFunctionOfDim(last); }))
      return false;
  }
  return true;
}

/// Rows gathered from a table: its last index is that of the result, and
/// nothing else depends on it.
bool gatherAgrees(linalg::GenericOp op, Agrees agrees) {
  auto yielded = op.getBody()->getTerminator()->getOperand(0);
  auto extract = yielded.getDefiningOp<tensor::ExtractOp>();
  if (!extract || op.getNumDpsInputs() != 0 || extract.getIndices().empty())
    return false;
  Value column = extract.getIndices().back();
  auto index = column.getDefiningOp<linalg::IndexOp>();
  if (!index || index.getDim() + 1 != op.getNumLoops() || !column.hasOneUse())
    return false;
  for (auto other : op.getBody()->getOps<linalg::IndexOp>())
    if (other != index && other.getDim() == index.getDim() &&
        !other->use_empty())
      return false;
  return agrees(extract.getTensor());
}

bool genericAgrees(linalg::GenericOp op, Agrees agrees) {
  if (op.getNumReductionLoops() != 0 || op.getNumLoops() == 0 ||
      !op.getIndexingMapsArray().back().isIdentity())
    return false;
  bool gathers = !op.getBody()->getOps<tensor::ExtractOp>().empty();
  if (gathers)
    return gatherAgrees(op, agrees);
  return op.getNumDpsInputs() > 0 && !op.hasIndexSemantics() &&
         elementwiseAgrees(op, agrees);
}

/// True if both elements of every pair of the last dimension are equal, by
/// value or because both are computed from the same number.
bool pairsAgree(Value table, bool interleaved, int depth = 0) {
  RankedTensorType type = getTensor(table);
  int64_t size = type.getRank() ? type.getShape().back() : 1;
  if (size % 2 != 0 || depth > 16)
    return false;
  if (auto pair = readAssembly(table); pair && pair->first == pair->second)
    return pair->interleaved == interleaved || size == 2;
  auto agrees = [&](Value from) {
    return pairsAgree(from, interleaved, depth + 1);
  };
  Operation *op = table.getDefiningOp();
  if (isa_and_present<nq::CastOp>(op))
    return agrees(op->getOperand(0));
  if (isa_and_present<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op) &&
      getTensor(op->getOperand(0)).getRank() > 0 &&
      getTensor(op->getOperand(0)).getShape().back() == size)
    return agrees(op->getOperand(0));
  if (auto generic = dyn_cast_if_present<linalg::GenericOp>(op);
      generic && genericAgrees(generic, agrees))
    return true;
  auto known = getConstantTensor(table);
  return known && agreesAsConstant(*known, interleaved);
}

//===----------------------------------------------------------------------===//
// Rotations
//===----------------------------------------------------------------------===//

struct Rotation {
  Value input, cos, sin;
  bool interleaved = false;
  /// Tables have one column per element, not per pair.
  bool wholeTables = false;
  Trace trace;
};

/// A product as (tensor whose pairs rotate, table) in either order.
struct Product {
  Value x, table;
};
SmallVector<Product, 2> readProduct(Value value, Trace &trace) {
  auto node = readArith(trace.strip(value), Arith::Mul, trace);
  if (!node || !node->operands[0].value || !node->operands[1].value)
    return {};
  Value a = node->operands[0].value, b = node->operands[1].value;
  return {{a, b}, {b, a}};
}

/// x cos + rotate_half(x) sin.
std::optional<Rotation> readWhole(const Arith &sum) {
  if (sum.kind != Arith::Add || !sum.operands[0].value ||
      !sum.operands[1].value)
    return std::nullopt;
  for (int i : {0, 1}) {
    Rotation r;
    auto straight = readProduct(sum.operands[i].value, r.trace);
    for (const Product &turned :
         readProduct(sum.operands[1 - i].value, r.trace)) {
      auto pair = readAssembly(turned.x);
      auto minus = pair ? readArith(pair->first) : std::nullopt;
      if (!minus || minus->kind != Arith::Neg || !minus->operands[0].value)
        continue;
      auto a = readLanes(pair->second), b = readLanes(minus->operands[0].value);
      if (!a || !b || !arePairs(*a, *b, pair->interleaved))
        continue;
      for (const Product &p : straight)
        if (stripWidening(p.x) == stripWidening(a->base)) {
          r.trace.locations.append({turned.x.getLoc(), minus->getLoc()});
          r.input = a->base, r.cos = p.table, r.sin = turned.table;
          r.interleaved = pair->interleaved, r.wholeTables = true;
          return r;
        }
    }
  }
  return std::nullopt;
}

/// The table that one of the products applies to `lanes`.
Value findTable(ArrayRef<Product> products, const Lanes &lanes) {
  for (const Product &p : products)
    if (auto own = readLanes(p.x); own && own->base == lanes.base &&
                                   own->offset == lanes.offset &&
                                   own->count == lanes.count)
      return p.table;
  return {};
}

/// Two products that `value` adds or subtracts.
using Products = std::array<SmallVector<Product, 2>, 2>;
std::optional<Products> readProducts(Value value, Arith::Kind kind,
                                     Trace &trace) {
  auto node = readArith(value);
  if (!node || node->kind != kind || !node->operands[0].value ||
      !node->operands[1].value)
    return std::nullopt;
  trace.locations.push_back(node->getLoc());
  return Products{readProduct(node->operands[0].value, trace),
                  readProduct(node->operands[1].value, trace)};
}

/// assemble(a cos - b sin, b cos + a sin).
std::optional<Rotation> readSplit(Value value) {
  auto pair = readAssembly(value);
  if (!pair)
    return std::nullopt;
  Rotation r;
  r.interleaved = pair->interleaved;
  auto first = readProducts(pair->first, Arith::Sub, r.trace);
  auto second = readProducts(pair->second, Arith::Add, r.trace);
  if (!first || !second)
    return std::nullopt;
  for (const Product &ac : (*first)[0])
    for (const Product &bs : (*first)[1]) {
      auto a = readLanes(ac.x), b = readLanes(bs.x);
      if (!a || !b || !arePairs(*a, *b, r.interleaved))
        continue;
      for (int i : {0, 1})
        if (findTable((*second)[i], *b) == ac.table &&
            findTable((*second)[1 - i], *a) == bs.table) {
          r.input = a->base, r.cos = ac.table, r.sin = bs.table;
          return r;
        }
    }
  return std::nullopt;
}

//===----------------------------------------------------------------------===//
// Rewriting
//===----------------------------------------------------------------------===//

/// How the tables lie beside an input [B, H, S, D].
struct Positions {
  int64_t batch = 1, count = 1;
  /// The input is [B, S, H, D].
  bool second = false;
};

std::optional<Positions> readPositions(const Rotation &r) {
  RankedTensorType x = getTensor(r.input), table = getTensor(r.cos);
  int64_t size = x.getShape().back() / (r.wholeTables ? 1 : 2);
  if (x.getRank() != 4 || table.getRank() > 4 || table.getRank() == 0 ||
      table.getShape() != getTensor(r.sin).getShape() ||
      table.getShape().back() != size)
    return std::nullopt;
  SmallVector<int64_t> shape(4 - table.getRank(), 1);
  llvm::append_range(shape, table.getShape());
  if (shape[0] != 1 && shape[0] != x.getDimSize(0))
    return std::nullopt;
  if (shape[1] == 1 && shape[2] == x.getDimSize(2))
    return Positions{shape[0], shape[2], false};
  if (shape[2] == 1 && shape[1] == x.getDimSize(1))
    return Positions{shape[0], shape[1], true};
  return std::nullopt;
}

/// The first `count` columns of rows that a loop looks up, looked up
/// themselves: no slice of a wider result. Null for everything else.
Value lookUpFirst(OpBuilder &b, Location loc, Value table, int64_t count) {
  auto loops = table.getDefiningOp<linalg::GenericOp>();
  if (!loops || loops.getNumDpsInputs() != 0 || loops->getNumResults() != 1 ||
      loops.getNumParallelLoops() != loops.getNumLoops() ||
      !loops.getIndexingMapsArray().back().isIdentity())
    return {};
  SmallVector<int64_t> shape(getTensor(table).getShape());
  shape.back() = count;
  Value init =
      tensor::EmptyOp::create(b, loc, shape, getTensor(table).getElementType());
  auto narrow = cast<linalg::GenericOp>(b.clone(*loops));
  narrow.getDpsInitsMutable()[0].set(init);
  narrow->getResult(0).setType(init.getType());
  return narrow->getResult(0);
}

/// One column per pair, [batch, positions, R / 2].
Value makeTable(OpBuilder &b, const Rotation &r, Value table,
                const Positions &positions) {
  Location loc = table.getLoc();
  RankedTensorType type = getTensor(table);
  int64_t half = type.getShape().back() / (r.wholeTables ? 2 : 1);
  if (r.wholeTables) {
    SmallVector<OpFoldResult> offsets(type.getRank(), b.getIndexAttr(0)),
        strides(type.getRank(), b.getIndexAttr(1)), sizes;
    for (int64_t extent : type.getShape())
      sizes.push_back(b.getIndexAttr(extent));
    sizes.back() = b.getIndexAttr(half);
    strides.back() = b.getIndexAttr(r.interleaved && half > 1 ? 2 : 1);
    Value narrow = r.interleaved ? Value() : lookUpFirst(b, loc, table, half);
    table = narrow ? narrow
                   : tensor::ExtractSliceOp::create(b, loc, table, offsets,
                                                    sizes, strides);
  }
  table = reshapeTo(b, loc, table, {positions.batch, positions.count, half});
  Value constant = ref::materializeConstant(table, b);
  return constant ? constant : table;
}

class RecognizeRopePass
    : public nibble::impl::RecognizeRopeBase<RecognizeRopePass> {
public:
  using nibble::impl::RecognizeRopeBase<RecognizeRopePass>::RecognizeRopeBase;

  void runOnOperation() override {
    SmallVector<Operation *> candidates;
    getOperation().walk([&](Operation *op) {
      if (isa<linalg::GenericOp, tensor::ConcatOp, tensor::CollapseShapeOp>(op))
        candidates.push_back(op);
    });
    for (Operation *op : candidates)
      recognize(op);
    SmallVector<nq::RopeOp> ropes;
    getOperation().walk([&](nq::RopeOp op) { ropes.push_back(op); });
    for (nq::RopeOp op : ropes)
      absorbRest(op);
  }

private:
  void recognize(Operation *op);
  void rewrite(Operation *op, const Rotation &r, const Positions &positions);
  void absorbRest(nq::RopeOp op);
};

void RecognizeRopePass::recognize(Operation *op) {
  if (op->getNumResults() != 1)
    return;
  std::optional<Rotation> r;
  if (isa<linalg::GenericOp>(op)) {
    if (auto node = readArith(op->getResult(0)))
      r = readWhole(*node);
  } else {
    r = readSplit(op->getResult(0));
  }
  if (!r)
    return;
  auto refuse = [&](const Twine &reason, const Twine &suggestion = "") {
    remarkKept(op->getLoc(), getArgument(), "nq.rope", reason, suggestion);
  };
  if (r->trace.rounds && !allowLessRounding)
    return refuse("the products are rounded to f16 or bf16 before the sum",
                  "set allow-less-rounding to round once");
  auto positions = readPositions(*r);
  if (!positions)
    return refuse(
        "input and tables are not [B, H, S, D] and [B or 1, 1, S, R]");
  if (r->wholeTables && (!pairsAgree(r->cos, r->interleaved) ||
                         !pairsAgree(r->sin, r->interleaved)))
    return refuse("the elements of a pair have different angles, or their "
                  "equality cannot be proved");
  rewrite(op, *r, *positions);
}

void RecognizeRopePass::rewrite(Operation *op, const Rotation &r,
                                const Positions &positions) {
  if (Operation *cast = findNarrowingCast(op))
    op = cast;
  IRRewriter rewriter(op);
  Location loc = r.trace.fuse(op->getLoc());
  Value cos = makeTable(rewriter, r, r.cos, positions);
  Value sin = makeTable(rewriter, r, r.sin, positions);
  Value x = stripWidening(r.input);
  SmallVector<int64_t> perm = {0, 2, 1, 3};
  if (positions.second)
    x = transposeTo(rewriter, loc, x, perm);
  auto type = RankedTensorType::get(
      getTensor(x).getShape(), getTensor(op->getResult(0)).getElementType());
  Value y = nq::RopeOp::create(rewriter, loc, type, x, cos, sin, r.interleaved);
  if (positions.second)
    y = transposeTo(rewriter, loc, y, perm);
  rewriter.replaceOp(op, y);
  remarkRecognized(
      loc, getArgument(), r.interleaved ? "nq.rope interleaved" : "nq.rope",
      r.trace.rounds ? "pairs rotate by a table; products are not rounded "
                       "to f16 or bf16 any more"
                     : "pairs rotate by a table");
}

/// concat(rope(x[.., :R]), x[.., R:]) is rope(x): what lies behind R passes.
void RecognizeRopePass::absorbRest(nq::RopeOp op) {
  auto concat = op.getResult().hasOneUse()
                    ? dyn_cast<tensor::ConcatOp>(*op.getResult().user_begin())
                    : tensor::ConcatOp();
  if (!concat || concat.getDim() != 3 || concat.getNumOperands() != 2 ||
      concat.getOperand(0) != op.getResult())
    return;
  auto head = readLanes(op.getInput()), tail = readLanes(concat.getOperand(1));
  int64_t rotated = getTensor(op.getCos()).getShape().back() * 2;
  if (!head || !tail || head->base != tail->base || head->offset != 0 ||
      head->stride != 1 || tail->stride != 1 || head->count != rotated ||
      tail->offset != rotated || head->base.getType() != concat.getType())
    return;
  IRRewriter rewriter(concat);
  Location loc = FusedLoc::get(&getContext(), {op.getLoc(), concat.getLoc()});
  auto whole =
      nq::RopeOp::create(rewriter, loc, concat.getType(), head->base,
                         op.getCos(), op.getSin(), op.getInterleaved());
  rewriter.replaceOp(concat, whole.getResult());
  rewriter.eraseOp(op);
}

} // namespace
