// recognize-attention: MatMul - Softmax - MatMul becomes nq.attention.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionMatch.h"
#include "Masks.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/PatternMatch.h"
#include "llvm/Support/FormatVariadic.h"

#include <cmath>
#include <limits>

namespace nibble {
#define GEN_PASS_DEF_RECOGNIZEATTENTION
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

namespace {

//===----------------------------------------------------------------------===//
// Bounds
//===----------------------------------------------------------------------===//

/// Largest finite magnitude of a float type, infinite for types of f32's range.
double getLargest(Type element) {
  auto type = dyn_cast<FloatType>(element);
  if (!type || type.isF32() || type.isF64() || type.isBF16())
    return kInfinity;
  return APFloat::getLargest(type.getFloatSemantics()).convertToDouble();
}

/// What types alone say about the magnitude of finite scores.
double getScoreBound(const AttentionMatch &m) {
  double q = getLargest(getTensor(m.q.value).getElementType());
  double k = getLargest(getTensor(m.k.value).getElementType());
  double bound = q * k * double(m.q.getColumns()) * std::abs(m.scale);
  if (m.softcap != 0)
    bound = std::min(bound, m.softcap);
  // What rounds to a finite f16 is at most half a step above the largest.
  return std::min(bound, getLargest(m.maskedType) * (1 + 0x1p-11));
}

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

/// What a constant mask says about every position alike.
enum class Pattern { none, allVisible, causal, causalBottomRight };

/// Where a constant mask of the scores [.., S, T] masks out; `isMasked` judges
/// an element. One matrix for all batch entries and heads.
Pattern readPattern(const ref::RefTensor &mask, int64_t rows, int64_t columns,
                    function_ref<bool(int64_t)> isMasked) {
  ArrayRef<int64_t> shape = mask.getShape();
  bool allVisible = true;
  for (int64_t i = 0; i < mask.size() && allVisible; ++i)
    allVisible = !isMasked(i);
  if (allVisible)
    return Pattern::allVisible;
  if (shape.size() < 2 || mask.size() != rows * columns ||
      shape.end()[-2] != rows || shape.back() != columns)
    return Pattern::none;
  for (int64_t offset : {int64_t(0), columns - rows}) {
    bool matches = true;
    for (int64_t s = 0; s < rows && matches; ++s)
      for (int64_t t = 0; t < columns && matches; ++t)
        matches = isMasked(s * columns + t) == (t > s + offset);
    if (matches && (offset >= 0 || rows <= columns))
      return offset == 0 ? Pattern::causal : Pattern::causalBottomRight;
  }
  return Pattern::none;
}

/// The one value of a float mask where it is not zero; nothing if there are
/// several.
std::optional<double> getMaskedValue(const ref::RefTensor &mask) {
  std::optional<double> value;
  for (double x : mask.toFloats()) {
    if (x == 0 || x == value)
      continue;
    if (value || std::isnan(x))
      return std::nullopt;
    value = x;
  }
  return value.value_or(0);
}

/// The mask of nq.attention.
struct FinalMask {
  Value value;
  bool causal = false, bottomRight = false;
};

class RecognizeAttentionPass
    : public nibble::impl::RecognizeAttentionBase<RecognizeAttentionPass> {
public:
  using nibble::impl::RecognizeAttentionBase<
      RecognizeAttentionPass>::RecognizeAttentionBase;

  void runOnOperation() override {
    SmallVector<nq::MatmulOp> candidates;
    getOperation().walk([&](nq::MatmulOp op) { candidates.push_back(op); });
    for (nq::MatmulOp op : candidates)
      recognize(op);
  }

private:
  void recognize(nq::MatmulOp op);
  void rewrite(AttentionMatch &m, const FinalMask &mask, IRRewriter &rewriter);
  FailureOr<FinalMask> makeMask(AttentionMatch &m, OpBuilder &b);
  LogicalResult addSelect(AttentionMatch &m, const ScoreMask &mask,
                          FinalMask &result, OpBuilder &b);
  bool addCausal(AttentionMatch &m, const ref::RefTensor &mask,
                 FinalMask &result);
  bool addBool(Value mask, FinalMask &result, OpBuilder &b);
  bool masksOut(const AttentionMatch &m, double value) const;
  bool addPattern(Pattern pattern, FinalMask &result) const;
  void keep(Location loc, StringRef what, const Twine &reason,
            const Twine &suggestion) {
    remarkKept(loc, getArgument(), what, reason, suggestion);
  }
};

/// True if a position with `value` added to its score has weight zero in f64,
/// whatever its score and those of visible positions are: exp(-746) is zero.
bool RecognizeAttentionPass::masksOut(const AttentionMatch &m,
                                      double value) const {
  if (value == -kInfinity || (trustLargeMasks && value <= kLargeMask))
    return true;
  return value <= -(2 * getScoreBound(m) + 746);
}

/// Takes up what needs no tensor; false if the mask must stay one.
bool RecognizeAttentionPass::addPattern(Pattern pattern,
                                        FinalMask &result) const {
  bool bottomRight = pattern == Pattern::causalBottomRight;
  if (pattern == Pattern::none ||
      (pattern != Pattern::allVisible && result.causal &&
       result.bottomRight != bottomRight))
    return false;
  if (pattern != Pattern::allVisible)
    result.causal = true, result.bottomRight = bottomRight;
  return true;
}

/// Why adding `value` to scores up to `bound` is not the same as masking.
std::string explainWeakMask(double bound, double value) {
  if (std::isinf(bound))
    return llvm::formatv(
        "scores have no known bound, so adding {0:e3} need not "
        "mask out",
        value);
  return llvm::formatv(
      "scores up to {0:e3} are possible, so adding {1:e3} need not mask out",
      bound, value);
}

/// True if a constant mask that is added is a pattern that nq.attention has.
bool RecognizeAttentionPass::addCausal(AttentionMatch &m,
                                       const ref::RefTensor &mask,
                                       FinalMask &result) {
  std::vector<double> values = mask.toFloats();
  auto value = getMaskedValue(mask);
  if (!value)
    return false;
  Pattern pattern = readPattern(mask, m.q.getRows(), m.k.getRows(),
                                [&](int64_t i) { return values[i] != 0; });
  bool isCausal = pattern != Pattern::none && pattern != Pattern::allVisible;
  if (isCausal && !masksOut(m, *value)) {
    if (*value <= kLargeMask)
      keep(m.output.getLoc(), "causal",
           explainWeakMask(getScoreBound(m), *value),
           "mask with -inf, or allow it: --allow-rewrite trust-large-masks");
    return false;
  }
  return addPattern(pattern, result);
}

/// where(visible, 0, -inf) that is added is `visible`.
bool RecognizeAttentionPass::addBool(Value mask, FinalMask &result,
                                     OpBuilder &b) {
  auto node = readArith(mask);
  if (!node || node->kind != Arith::Select || !node->operands[0].value)
    return false;
  Value visible = node->operands[0].value;
  auto whenTrue = node->operands[1].splat, whenFalse = node->operands[2].splat;
  if (whenTrue == -kInfinity && whenFalse == 0.0)
    visible = invertMask(b, mask.getLoc(), visible);
  else if (whenTrue != 0.0 || whenFalse != -kInfinity)
    return false;
  result.value = combineMasks(b, mask.getLoc(), result.value, visible);
  return true;
}

LogicalResult RecognizeAttentionPass::addSelect(AttentionMatch &m,
                                                const ScoreMask &mask,
                                                FinalMask &result,
                                                OpBuilder &b) {
  Pattern pattern = Pattern::none;
  if (auto known = getConstantTensor(mask.value)) {
    std::vector<int64_t> values = known->toInts();
    pattern = readPattern(*known, m.q.getRows(), m.k.getRows(), [&](int64_t i) {
      return (values[i] != 0) != mask.visibleIf;
    });
  }
  // The score is replaced, so one bound is enough; but a row without visible
  // position has equal weights then, which only a known pattern rules out.
  bool known = pattern != Pattern::none;
  bool replaces = mask.masked <= -(getScoreBound(m) + 746);
  bool trusted = trustLargeMasks && mask.masked <= kLargeMask;
  if (mask.masked != -kInfinity && !trusted && !(known && replaces)) {
    m.refusal = known ? "scores may be as low as the value of masked positions"
                      : "rows without a visible position have equal weights, "
                        "as masked positions have a finite value";
    return failure();
  }
  if (addPattern(pattern, result))
    return success();
  Location loc = m.output.getLoc();
  Value visible = mask.visibleIf ? mask.value : invertMask(b, loc, mask.value);
  result.value = combineMasks(b, loc, result.value, visible);
  return success();
}

FailureOr<FinalMask> RecognizeAttentionPass::makeMask(AttentionMatch &m,
                                                      OpBuilder &b) {
  FinalMask result;
  for (const ScoreMask &mask : m.masks) {
    if (mask.isSelect) {
      if (failed(addSelect(m, mask, result, b)))
        return failure();
      continue;
    }
    auto known = getConstantTensor(mask.value);
    if ((known && addCausal(m, *known, result)) ||
        addBool(mask.value, result, b))
      continue;
    // Added as it is, which is exact.
    result.value = combineMasks(b, m.output.getLoc(), result.value, mask.value);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Rewriting
//===----------------------------------------------------------------------===//

void RecognizeAttentionPass::recognize(nq::MatmulOp op) {
  auto m = readAttention(op);
  if (!m)
    return;
  std::string suggestion;
  if (m->refusal.empty() && m->trace.rounds && !allowLessRounding) {
    m->refusal = "scores or weights are rounded to f16 or bf16";
    suggestion = "set allow-less-rounding to round the result only";
  }
  IRRewriter rewriter(op);
  FailureOr<FinalMask> mask = failure();
  if (m->refusal.empty()) {
    mask = makeMask(*m, rewriter);
    if (failed(mask))
      suggestion =
          "mask with -inf, or allow it: --allow-rewrite trust-large-masks";
  }
  if (failed(mask))
    return keep(op.getLoc(), "nq.attention", m->refusal, suggestion);
  rewrite(*m, *mask, rewriter);
}

void RecognizeAttentionPass::rewrite(AttentionMatch &m, const FinalMask &mask,
                                     IRRewriter &rewriter) {
  Operation *output = m.output;
  if (Operation *cast = findNarrowingCast(output))
    output = cast;
  rewriter.setInsertionPoint(output);
  Location loc = m.trace.fuse(output->getLoc());
  Value q = makeHeads(rewriter, loc, m.q, m.batch);
  Value k = makeHeads(rewriter, loc, m.k, m.batch);
  Value v = makeHeads(rewriter, loc, m.v, m.batch);
  RankedTensorType result = getTensor(output->getResult(0));
  auto type = RankedTensorType::get(
      {m.batch, m.heads, result.getShape().end()[-2], result.getShape().back()},
      result.getElementType());
  auto attention = nq::AttentionOp::create(
      rewriter, loc, type, q, k, v, mask.value, /*lengths=*/Value(),
      APFloat(m.scale), APFloat(m.softcap), mask.causal,
      mask.causal && mask.bottomRight,
      m.codes ? TypeAttr::get(m.codes->type) : TypeAttr(),
      m.codes ? rewriter.getF32FloatAttr(m.codes->scale) : FloatAttr());
  Value whole =
      reshapeTo(rewriter, loc, attention.getResult(), result.getShape());
  rewriter.replaceOp(output, whole);
  remarkRecognized(
      loc, getArgument(),
      "nq.attention, " + Twine(m.heads) + " heads on " + Twine(m.k.heads) +
          (mask.causal ? ", causal" : "") + (mask.value ? ", masked" : "") +
          (m.codes ? ", weights in FP8" : ""),
      m.trace.rounds ? "softmax between two products; scores and weights are "
                       "not rounded to f16 or bf16 any more"
                     : "softmax between two products");
}

} // namespace
