// recognize-norm: decomposed LayerNorm and RMSNorm become nq.norm.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMatch.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/Transforms/Passes.h"

#include "mlir/IR/PatternMatch.h"

#include <cmath>

namespace nibble {
#define GEN_PASS_DEF_RECOGNIZENORM
#include "lib/Transforms/Passes.h.inc"
} // namespace nibble

using namespace mlir;
using namespace nibble;

namespace {

/// sqrt(of), or 1 / sqrt(of); times `gain` if there is one.
struct Root {
  Value of, gain;
  bool reciprocal = false;
};

/// What the last node of a normalization says.
struct Match {
  nq::NormKind kind = nq::NormKind::rms;
  Value input, gain;
  int64_t axis = 0;
  double epsilon = 0;
  Trace trace;
  /// Why something that looks like a normalization is not recognized.
  std::string refusal;
};

/// Operands in either order, as numbers of the first.
constexpr int kBothOrders[] = {0, 1};

std::optional<Root> readRoot(Value value, Trace &trace) {
  value = trace.strip(value);
  if (auto node = readArith(value, Arith::Sqrt, trace)) {
    if (!node->operands[0].value)
      return std::nullopt;
    Value of = trace.strip(node->operands[0].value);
    Trace inside = trace;
    auto inverse = readArith(of, Arith::Div, inside);
    if (!inverse || inverse->operands[0].splat != 1.0)
      return Root{of, {}, false};
    trace = inside;
    return Root{inverse->operands[1].value, {}, true};
  }
  if (auto node = readArith(value, Arith::Pow, trace)) {
    auto exponent = node->operands[1].splat;
    if (!exponent || std::abs(*exponent) != 0.5 || !node->operands[0].value)
      return std::nullopt;
    return Root{node->operands[0].value, {}, *exponent < 0};
  }
  if (auto node = readArith(value, Arith::Div, trace)) {
    if (node->operands[0].splat != 1.0 || !node->operands[1].value)
      return std::nullopt;
    auto inner = readRoot(node->operands[1].value, trace);
    if (inner && !inner->reciprocal && !inner->gain)
      return Root{inner->of, {}, true};
  }
  return std::nullopt;
}

/// 1 / sqrt(v), possibly times a gain before the input is multiplied.
std::optional<Root> readInverse(Value value, Trace &trace) {
  Trace direct = trace;
  if (auto root = readRoot(value, direct)) {
    trace = direct;
    return root;
  }
  auto product = readArith(trace.strip(value), Arith::Mul, trace);
  for (int i : kBothOrders) {
    if (!product || !product->operands[i].value ||
        !product->operands[1 - i].value)
      return std::nullopt;
    Trace inside = trace;
    auto root = readRoot(product->operands[i].value, inside);
    if (!root || !root->reciprocal)
      continue;
    trace = inside;
    root->gain = product->operands[1 - i].value;
    return root;
  }
  return std::nullopt;
}

/// v = mean + epsilon.
std::optional<Mean> readVariance(Value value, double &epsilon, Trace &trace) {
  auto sum = readArith(trace.strip(value), Arith::Add, trace);
  for (int i : kBothOrders) {
    if (!sum || !sum->operands[1 - i].value)
      continue;
    auto number = sum->operands[i].splat;
    Trace inside = trace;
    auto mean =
        number ? readMean(sum->operands[1 - i].value, inside) : std::nullopt;
    if (!mean)
      continue;
    trace = inside;
    epsilon = *number;
    return mean;
  }
  return std::nullopt;
}

/// x if the mean is one of x^2.
Value readSquare(const Mean &mean, Trace &trace) {
  if (mean.squares)
    return mean.input;
  auto square = readArith(trace.strip(mean.input), Arith::Mul, trace);
  if (!square || !square->operands[0].value ||
      square->operands[0].value != square->operands[1].value)
    return {};
  return square->operands[0].value;
}

/// x if `centered` is x - mean(x) over the same dimensions.
Value readCentered(Value centered, ArrayRef<int64_t> dims, Trace &trace) {
  Trace inside = trace;
  auto node = readArith(inside.strip(centered), Arith::Sub, inside);
  if (!node || !node->operands[0].value || !node->operands[1].value)
    return {};
  auto mean = readMean(node->operands[1].value, inside);
  Value x = node->operands[0].value;
  if (!mean || mean->squares || mean->dims != SmallVector<int64_t>(dims) ||
      stripWidening(mean->input) != stripWidening(x) ||
      getTensor(mean->input).getShape() != getTensor(x).getShape())
    return {};
  trace = inside;
  return x;
}

/// The first of the dimensions, if they are all the trailing ones.
std::optional<int64_t> getTrailingAxis(ArrayRef<int64_t> dims, int64_t rank) {
  for (auto [i, d] : llvm::enumerate(dims))
    if (d != rank - int64_t(dims.size()) + int64_t(i))
      return std::nullopt;
  return rank - int64_t(dims.size());
}

/// True if `factor` is one per normalized element, or at least not one per
/// element of the whole tensor: what is as large is a residual, not a gain.
bool isFactor(Value factor, RankedTensorType norm, int64_t axis) {
  ArrayRef<int64_t> own = getTensor(factor).getShape();
  int64_t skip = norm.getRank() - int64_t(own.size());
  if (skip < 0 || own.empty())
    return false;
  bool repeats = false, single = true;
  for (int64_t d = 0; d < norm.getRank(); ++d) {
    int64_t extent = d < skip ? 1 : own[d - skip];
    if (extent != 1 && extent != norm.getDimSize(d))
      return false;
    repeats |= d < axis && extent != norm.getDimSize(d);
    single &= d >= axis || extent == 1;
  }
  return repeats || single;
}

/// Completes a match whose numerator is `x` and whose variance is `mean`.
bool finish(Match &match, Value x, const Mean &mean, RankedTensorType type) {
  Value squared = readSquare(mean, match.trace);
  if (!squared || getTensor(x).getShape() != type.getShape())
    return false;
  if (stripWidening(squared) != stripWidening(x)) {
    match.refusal = "the squares are not those of the value that is divided";
    return true;
  }
  match.input = x;
  if (Value inner = readCentered(x, mean.dims, match.trace)) {
    match.kind = nq::NormKind::layer;
    match.input = inner;
  }
  match.input = stripWidening(match.input);
  auto axis = getTrailingAxis(mean.dims, type.getRank());
  match.axis = axis.value_or(0);
  if (!axis)
    match.refusal = "the mean is not over the last dimensions";
  return true;
}

/// The normalization that ends in `node`, before gain and bias.
std::optional<Match> readNorm(const Arith &node) {
  for (int i : kBothOrders) {
    if (node.kind == Arith::Div && i == 1)
      continue;
    Value x = node.operands[i].value, root = node.operands[1 - i].value;
    if (!x || !root)
      continue;
    Match match;
    auto read = readInverse(root, match.trace);
    if (!read || !read->of || read->reciprocal != (node.kind == Arith::Mul))
      continue;
    auto variance = readVariance(read->of, match.epsilon, match.trace);
    if (!variance || !finish(match, x, *variance, node.getType()))
      continue;
    match.gain = read->gain;
    if (match.gain && !isFactor(match.gain, node.getType(), match.axis))
      continue;
    return match;
  }
  return std::nullopt;
}

class RecognizeNormPass
    : public nibble::impl::RecognizeNormBase<RecognizeNormPass> {
public:
  using nibble::impl::RecognizeNormBase<RecognizeNormPass>::RecognizeNormBase;

  void runOnOperation() override {
    SmallVector<linalg::GenericOp> candidates;
    getOperation().walk(
        [&](linalg::GenericOp op) { candidates.push_back(op); });
    for (linalg::GenericOp op : candidates)
      recognize(op);
    SmallVector<nq::NormOp> norms;
    getOperation().walk([&](nq::NormOp op) { norms.push_back(op); });
    for (nq::NormOp op : norms)
      absorbUsers(op);
  }

private:
  void recognize(linalg::GenericOp op);
  void absorbUsers(nq::NormOp op);
  nq::NormOp absorbFactor(nq::NormOp op, Operation *user);
  nq::NormOp replace(nq::NormOp op, Operation *user, Value scale, Value bias);
};

void RecognizeNormPass::recognize(linalg::GenericOp op) {
  if (op.getNumResults() != 1)
    return;
  auto node = readArith(op.getResult(0));
  if (!node || (node->kind != Arith::Div && node->kind != Arith::Mul))
    return;
  auto match = readNorm(*node);
  if (!match)
    return;
  Location loc = match->trace.fuse(op.getLoc());
  std::string suggestion;
  if (match->refusal.empty() && match->trace.rounds && !allowLessRounding) {
    match->refusal = "a step before the last is rounded to f16 or bf16";
    suggestion = "export normalizations in float32, or allow it: "
                 "--allow-rewrite allow-less-rounding";
  }
  if (!match->refusal.empty())
    return remarkKept(loc, getArgument(), "nq.norm", match->refusal,
                      suggestion);
  IRRewriter rewriter(op);
  auto norm = nq::NormOp::create(rewriter, loc, node->getType(), match->kind,
                                 match->input, match->gain, Value(),
                                 match->axis, APFloat(match->epsilon));
  rewriter.replaceOp(op, norm.getResult());
  remarkRecognized(loc, getArgument(),
                   "nq.norm " + nq::stringifyNormKind(match->kind),
                   "mean, root and quotient are those of a normalization");
}

/// Gain, bias and cast that follow are part of the op while nothing is rounded
/// in between.
void RecognizeNormPass::absorbUsers(nq::NormOp op) {
  op.getInputMutable().assign(stripWidening(op.getInput()));
  while (op && op.getResult().hasOneUse()) {
    Operation *user = *op.getResult().user_begin();
    op = user == findNarrowingCast(op)
             ? replace(op, user, op.getScale(), op.getBias())
             : absorbFactor(op, user);
  }
}

/// The norm that computes what `user` made of it.
nq::NormOp RecognizeNormPass::replace(nq::NormOp op, Operation *user,
                                      Value scale, Value bias) {
  IRRewriter rewriter(user);
  Location loc = FusedLoc::get(&getContext(), {op.getLoc(), user->getLoc()});
  auto norm = nq::NormOp::create(rewriter, loc, user->getResult(0).getType(),
                                 op.getKind(), op.getInput(), scale, bias,
                                 op.getAxis(), op.getEpsilon());
  rewriter.replaceOp(user, norm.getResult());
  rewriter.eraseOp(op);
  return norm;
}

nq::NormOp RecognizeNormPass::absorbFactor(nq::NormOp op, Operation *user) {
  auto node =
      user->getNumResults() == 1 ? readArith(user->getResult(0)) : std::nullopt;
  if (!node || (node->kind != Arith::Mul && node->kind != Arith::Add))
    return {};
  bool isGain = node->kind == Arith::Mul;
  int at = node->operands[0].value == op.getResult() ? 1 : 0;
  Value factor = node->operands[at].value;
  RankedTensorType type = getTensor(op.getResult());
  if (op.getBias() || (isGain && op.getScale()) || !factor ||
      !isFactor(factor, type, op.getAxis()) ||
      node->getType().getShape() != type.getShape())
    return {};
  if (isNarrowFloat(type.getElementType()) && !allowLessRounding) {
    remarkKept(user->getLoc(), getArgument(),
               isGain ? "gain in nq.norm" : "bias in nq.norm",
               "the normalized value is rounded to f16 or bf16 before it",
               "round once: --allow-rewrite allow-less-rounding");
    return {};
  }
  return replace(op, user, isGain ? factor : op.getScale(),
                 isGain ? Value() : factor);
}

} // namespace
