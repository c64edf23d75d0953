// recognize-lengths: masks that hide what lies behind a position are lengths.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMatch.h"
#include "LengthMatch.h"
#include "Masks.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "mlir/IR/Matchers.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <limits>

namespace nibble {
#define GEN_PASS_DEF_RECOGNIZELENGTHS
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

/// Offsets of positions beyond this are no offsets.
constexpr int64_t kMostOffset = int64_t(1) << 30;

/// A mask is all of these: i1 masks that must be `visibleIf`, and a float that
/// is added.
struct MaskTerms {
  struct Bool {
    Value value;
    bool visibleIf;
  };
  SmallVector<Bool, 4> bools;
  Value added;
  /// What would be `bools`, were the value of the mask lower, and that value.
  SmallVector<Bool, 4> weak;
  double weakValue = 0;
};

/// The operands of a generic op that is one op on two elements.
template <typename OpT>
std::optional<std::pair<Value, Value>> readPair(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumReductionLoops() || op.getNumDpsInputs() != 2)
    return std::nullopt;
  auto pair = op.getBody()->getTerminator()->getOperand(0).getDefiningOp<OpT>();
  if (!pair || pair.getLhs() != op.getBody()->getArgument(0) ||
      pair.getRhs() != op.getBody()->getArgument(1))
    return std::nullopt;
  // Operands of other places, with dimensions in another order, are none.
  for (OpOperand *input : op.getDpsInputOperands()) {
    AffineMap map = op.getMatchingIndexingMap(input);
    int64_t offset = int64_t(map.getNumDims()) - map.getNumResults();
    for (auto [i, expr] : llvm::enumerate(map.getResults()))
      if (auto dim = dyn_cast<AffineDimExpr>(expr);
          dim && int64_t(dim.getPosition()) != offset + int64_t(i))
        return std::nullopt;
  }
  return std::make_pair(op.getDpsInputs()[0], op.getDpsInputs()[1]);
}

/// What an i1 mask is the inverse of, or null.
Value readInverse(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumReductionLoops() || op.getNumDpsInputs() != 1 ||
      !op.getIndexingMapsArray().front().isIdentity())
    return {};
  auto flip = op.getBody()
                  ->getTerminator()
                  ->getOperand(0)
                  .getDefiningOp<arith::XOrIOp>();
  bool flips = flip && flip.getLhs() == op.getBody()->getArgument(0) &&
               matchPattern(flip.getRhs(), m_One());
  return flips ? op.getDpsInputs()[0] : Value();
}

/// The i1 that a 0 or 1 was, or null.
Value readFlag(Value value) {
  auto op = value.getDefiningOp<linalg::GenericOp>();
  if (!op || op.getNumReductionLoops() || op.getNumDpsInputs() != 1 ||
      !op.getIndexingMapsArray().front().isIdentity())
    return {};
  Value scalar = op.getBody()->getTerminator()->getOperand(0);
  if (auto narrow = scalar.getDefiningOp<arith::TruncFOp>())
    scalar = narrow.getIn();
  auto convert = scalar.getDefiningOp<arith::UIToFPOp>();
  bool isFlag = convert && convert.getIn() == op.getBody()->getArgument(0) &&
                convert.getIn().getType().isInteger(1);
  return isFlag ? op.getDpsInputs()[0] : Value();
}

class RecognizeLengthsPass
    : public nibble::impl::RecognizeLengthsBase<RecognizeLengthsPass> {
public:
  using nibble::impl::RecognizeLengthsBase<
      RecognizeLengthsPass>::RecognizeLengthsBase;

  void runOnOperation() override {
    getOperation().walk([&](nq::AttentionOp op) { recognize(op); });
  }

private:
  using Bools = SmallVectorImpl<MaskTerms::Bool>;
  static void collectBools(Value mask, bool visibleIf, Bools &bools);
  bool collect(Value mask, MaskTerms &terms) const;
  bool collectSelect(const Arith &node, MaskTerms &terms) const;
  bool collectProduct(const Arith &node, MaskTerms &terms) const;
  bool addHidden(double value, Value condition, bool visibleIf,
                 MaskTerms &terms) const;
  void recognize(nq::AttentionOp op) const;
  void rewrite(nq::AttentionOp op, const MaskTerms &terms, size_t found,
               const LengthBound &bound) const;
};

SmallVector<int64_t> getScores(nq::AttentionOp op) {
  RankedTensorType q = getTensor(op.getQ()), k = getTensor(op.getK());
  return {q.getDimSize(0), q.getDimSize(1), q.getDimSize(2), k.getDimSize(2)};
}

void RecognizeLengthsPass::collectBools(Value mask, bool visibleIf,
                                        Bools &bools) {
  if (Value inverse = readInverse(mask))
    return collectBools(inverse, !visibleIf, bools);
  auto both =
      visibleIf ? readPair<arith::AndIOp>(mask) : readPair<arith::OrIOp>(mask);
  if (!both)
    return bools.push_back({mask, visibleIf});
  collectBools(both->first, visibleIf, bools);
  collectBools(both->second, visibleIf, bools);
}

/// True if `value`, which is added unless `condition` is `visibleIf`, masks
/// out.
bool RecognizeLengthsPass::addHidden(double value, Value condition,
                                     bool visibleIf, MaskTerms &terms) const {
  if (value > kLargeMask)
    return false;
  bool isInfinite = value == -std::numeric_limits<double>::infinity();
  bool isWeak = !isInfinite && !trustLargeMasks;
  collectBools(condition, visibleIf, isWeak ? terms.weak : terms.bools);
  if (isWeak)
    terms.weakValue = value;
  return !isWeak;
}

/// where(condition, a, b) with -inf on one side.
bool RecognizeLengthsPass::collectSelect(const Arith &node,
                                         MaskTerms &terms) const {
  if (!node.operands[0].value)
    return false;
  for (int hidden : {1, 2}) {
    auto value = node.operands[hidden].splat;
    const Arith::Operand &other = node.operands[3 - hidden];
    if (!value || (!other.value && other.splat != 0.0))
      continue;
    if (addHidden(*value, node.operands[0].value, hidden == 2, terms))
      return other.splat == 0.0 || collect(other.value, terms);
  }
  return false;
}

/// A large negative number times the 0 or 1 of a condition.
bool RecognizeLengthsPass::collectProduct(const Arith &node,
                                          MaskTerms &terms) const {
  for (int i : {0, 1}) {
    auto value = node.operands[i].splat;
    Value factor = node.operands[1 - i].value;
    Value flag = factor ? readFlag(factor) : Value();
    if (value && std::isfinite(*value) && flag &&
        addHidden(*value, flag, /*visibleIf=*/false, terms))
      return true;
  }
  return false;
}

/// False if the sum of what is added would have to be made anew.
bool RecognizeLengthsPass::collect(Value mask, MaskTerms &terms) const {
  if (getTensor(mask).getElementType().isInteger(1)) {
    collectBools(mask, true, terms.bools);
    return true;
  }
  auto node = readArith(stripWidening(mask));
  if (node && node->kind == Arith::Select && collectSelect(*node, terms))
    return true;
  if (node && node->kind == Arith::Mul && collectProduct(*node, terms))
    return true;
  if (node && node->kind == Arith::Add && node->operands[0].value &&
      node->operands[1].value)
    return collect(node->operands[0].value, terms) &&
           collect(node->operands[1].value, terms);
  bool isFirst = !terms.added;
  terms.added = mask;
  return isFirst;
}

/// As it is, if the op can say it beside what it says already.
std::optional<LengthBound> fit(nq::AttentionOp op, LengthBound bound) {
  bool oneRow = getScores(op)[2] == 1;
  bool contradicts =
      op.getCausal() && !oneRow && (op.getBottomRight() || bound.followsRow);
  if (contradicts || std::abs(bound.offset) > kMostOffset)
    return std::nullopt;
  return bound;
}

void RecognizeLengthsPass::recognize(nq::AttentionOp op) const {
  MaskTerms terms;
  if (!op.getMask() || op.getLengths())
    return;
  bool isRead = collect(op.getMask(), terms);
  for (size_t i = 0; i < terms.bools.size() && isRead; ++i) {
    const MaskTerms::Bool &term = terms.bools[i];
    auto bound = readLengthBound(term.value, term.visibleIf, getScores(op));
    if (bound && (bound = fit(op, *bound)))
      return rewrite(op, terms, i, *bound);
  }
  bool isWeak = llvm::any_of(terms.weak, [&](const MaskTerms::Bool &term) {
    return readLengthBound(term.value, term.visibleIf, getScores(op));
  });
  if (isWeak)
    remarkKept(
        op.getLoc(), getArgument(), "keys that end at a length",
        llvm::formatv("scores may outweigh a mask of {0:e3}", terms.weakValue)
            .str(),
        "mask with -inf, or allow it: --allow-rewrite "
        "trust-large-masks");
}

/// source + offset as operand `lengths`. What is beyond all keys, or before the
/// first one, stays that.
Value makeLengths(OpBuilder &b, nq::AttentionOp op, Value source,
                  int64_t offset) {
  Location loc = op.getLoc();
  RankedTensorType type = getTensor(source);
  source = reshapeTo(b, loc, source, {type.getNumElements()});
  if (offset == 0)
    return source;
  Type element = type.getElementType();
  SmallVector<int64_t> scores = getScores(op);
  int64_t limit = offset > 0 ? scores[2] + scores[3] : 0;
  return mapBroadcast(
      b, loc, element, source,
      [&](OpBuilder &b, Location loc, ValueRange v) -> Value {
        auto constant = [&](int64_t value) -> Value {
          return arith::ConstantOp::create(b, loc,
                                           b.getIntegerAttr(element, value));
        };
        Value x = v[0], end = constant(limit);
        x = offset > 0 ? arith::MinSIOp::create(b, loc, x, end).getResult()
                       : arith::MaxSIOp::create(b, loc, x, end).getResult();
        return arith::AddIOp::create(b, loc, x, constant(offset));
      });
}

/// The masks but one, or null.
Value makeMask(OpBuilder &b, Location loc, const MaskTerms &terms,
               size_t found) {
  Value mask;
  for (auto [i, term] : llvm::enumerate(terms.bools)) {
    if (i == found)
      continue;
    Value visible =
        term.visibleIf ? term.value : invertMask(b, loc, term.value);
    mask = combineMasks(b, loc, mask, visible);
  }
  return terms.added ? combineMasks(b, loc, mask, terms.added) : mask;
}

void RecognizeLengthsPass::rewrite(nq::AttentionOp op, const MaskTerms &terms,
                                   size_t found,
                                   const LengthBound &bound) const {
  OpBuilder b(op);
  Value mask = makeMask(b, op.getLoc(), terms, found);
  int64_t rows = getScores(op)[2];
  int64_t offset = bound.offset + (bound.followsRow ? rows - 1 : 0);
  Value lengths = makeLengths(b, op, bound.source, offset);
  op.getMaskMutable().assign(mask ? ValueRange(mask) : ValueRange());
  op.getLengthsMutable().assign(lengths);
  if (rows == 1)
    op.setCausal(op.getCausal() && !op.getBottomRight()),
        op.setBottomRight(false);
  if (bound.followsRow)
    op.setCausal(true), op.setBottomRight(true);
  remarkRecognized(op.getLoc(), getArgument(),
                   Twine("keys that end at a length") +
                       (bound.followsRow ? ", causal" : "") +
                       (mask ? ", masked" : ""),
                   "the mask hides what lies behind a position");
}

} // namespace
