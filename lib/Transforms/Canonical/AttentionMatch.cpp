// The decomposed form of attention, read from its last product.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionMatch.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;

static ArrayRef<int64_t> getBatch(Value value) {
  return getTensor(value).getShape().drop_back(2);
}

static int64_t getProduct(ArrayRef<int64_t> shape) {
  return ShapedType::getNumElements(shape);
}

/// Factor of an operand by a number, as Mul or Div; `next` is the operand.
static std::optional<double> readFactor(const Arith &node, Value &next) {
  bool divides = node.kind == Arith::Div;
  if (node.kind != Arith::Mul && !divides)
    return std::nullopt;
  for (int i : {1, 0}) {
    auto number = node.operands[i].splat;
    Value other = node.operands[1 - i].value;
    if (!number || !other || (divides && i == 0) ||
        getTensor(other).getShape() != node.getType().getShape())
      continue;
    next = other;
    return divides ? 1 / *number : *number;
  }
  return std::nullopt;
}

/// Of the numbers of FP8 codes.
static double getLargest8(nq::ScaledType type) {
  auto storage = cast<FloatType>(type.getStorage());
  return APFloat::getLargest(storage.getFloatSemantics()).convertToDouble();
}

/// FP8 with one scale in all, which attention kernels read as it is.
static bool isFloat8(Value value) {
  nq::ScaledType type = nq::getScaledElement(value.getType());
  return type && type.isPerTensor() && !type.getGlobal() &&
         !type.getZeroPoint() &&
         isa<Float8E4M3FNType, Float8E5M2Type>(type.getStorage());
}

//===----------------------------------------------------------------------===//
// From the output to the scores
//===----------------------------------------------------------------------===//

constexpr StringLiteral kNoProduct =
    "the scores do not come from a matrix product";

namespace {
/// Walks from the output to the scores; functions return false and set the
/// refusal where the form ends.
class Reader {
public:
  explicit Reader(nq::MatmulOp output) { match.output = output; }

  /// False if the left operand of the output is not a softmax.
  bool readWeights();
  bool readScores(Value value);

  AttentionMatch match;
  linalg::SoftmaxOp softmax;

private:
  bool readProduct(nq::MatmulOp matmul);
  bool readMask(const Arith &node);
  bool readAddedMask(const Arith &node);
  bool readSelectedMask(const Arith &node);
  bool readSoftcap(const Arith &node, Value &next);
  bool readReshape(Value &value);
  bool readCodes(Value &value);
  std::string whyNoCodes(nq::QuantizeOp op);
  bool isPrivate(Value value);
  bool fail(StringRef reason) {
    match.refusal = reason.str();
    return false;
  }
  void noteHeads(Value scores) {
    if (ArrayRef<int64_t> outer = getBatch(scores); outer.size() == 2)
      match.batch = outer[0], match.heads = outer[1];
  }

  bool masksEnded = false;
};
} // namespace

/// where(isnan(p), 0, p): torch's way to give rows without visible position
/// zeros, as nq.attention does.
static Value stripNanGuard(Value value) {
  auto node = readArith(value);
  if (!node || node->kind != Arith::Select || node->operands[1].splat != 0.0)
    return value;
  Value condition = node->operands[0].value, kept = node->operands[2].value;
  auto isNan = condition && kept ? readArith(condition) : std::nullopt;
  return isNan && isNan->kind == Arith::IsNan &&
                 isNan->operands[0].value == kept
             ? kept
             : value;
}

/// One user, or the two nodes of where(isnan(p), 0, p).
bool Reader::isPrivate(Value value) {
  if (value.hasOneUse())
    return true;
  for (Operation *user : value.getUsers()) {
    auto node = user->getNumResults() == 1 ? readArith(user->getResult(0))
                                           : std::nullopt;
    bool guards = node && (node->kind == Arith::IsNan ||
                           stripNanGuard(user->getResult(0)) == value);
    if (!guards)
      return fail("scores or weights are used elsewhere, too");
  }
  return true;
}

/// Passes through a reshape that leaves rows and columns alone.
bool Reader::readReshape(Value &value) {
  Operation *op = value.getDefiningOp();
  if (!isa_and_present<tensor::ExpandShapeOp, tensor::CollapseShapeOp>(op))
    return false;
  Value source = op->getOperand(0);
  ArrayRef<int64_t> from = getTensor(source).getShape(),
                    to = getTensor(value).getShape();
  if (from.size() < 2 || to.size() < 2 || from.take_back(2) != to.take_back(2))
    return false;
  noteHeads(source);
  value = source;
  return true;
}

/// Why nq.attention has no such weights, or "".
std::string Reader::whyNoCodes(nq::QuantizeOp op) {
  if (match.codes)
    return "the weights are quantized twice";
  nq::ScaledType type = nq::getScaledElement(op.getResult().getType());
  if (!isFloat8(op.getResult()))
    return "the weights are quantized to something else than FP8 with one "
           "scale";
  auto scale = op.getScale() ? getConstantTensor(op.getScale()) : std::nullopt;
  if (!scale || scale->size() != 1)
    return "the scale of the weights is no constant";
  APFloat number(float(scale->toFloats()[0]));
  std::string why =
      getTensor(op.getScale()).getElementType() != type.getScale()
          ? "the scale of the weights is rounded"
          : nq::AttentionOp::whyNoWeightCodes(type.getStorage(), number);
  match.codes = {type.getStorage(), number.convertToFloat()};
  // What cannot overflow need not saturate.
  bool overflows = double(match.codes->scale) * getLargest8(type) < 1;
  if (why.empty() && !op.getSaturate() && overflows)
    why = "the weights become NaN or infinite where they do not fit codes";
  return why;
}

/// Passes through the quantization of the weights, one op.
bool Reader::readCodes(Value &value) {
  if (auto op = value.getDefiningOp<nq::DequantizeOp>()) {
    match.trace.locations.push_back(op.getLoc());
    value = op.getInput();
    return true;
  }
  auto op = value.getDefiningOp<nq::QuantizeOp>();
  if (!op)
    return false;
  if (std::string why = whyNoCodes(op); !why.empty())
    fail(why);
  match.trace.locations.push_back(op.getLoc());
  value = op.getInput();
  return true;
}

bool Reader::readWeights() {
  Value value = match.output.getA();
  noteHeads(value);
  SmallVector<Value> chain;
  for (Value before; value != before;) {
    chain.push_back(before = value);
    value = stripNanGuard(match.trace.strip(value));
    if (!readReshape(value))
      readCodes(value);
  }
  softmax = value.getDefiningOp<linalg::SoftmaxOp>();
  if (!softmax ||
      int64_t(softmax.getDimension()) + 1 != getTensor(value).getRank())
    return false;
  match.trace.add(softmax.getLoc(), value.getType());
  for (Value weights : chain)
    if (!isPrivate(weights))
      break;
  return true;
}

/// c * tanh(x / c): the factors met so far are c. As nq.attention multiplies
/// inside by scale and divides by c, its scale is the product of all factors.
bool Reader::readSoftcap(const Arith &node, Value &next) {
  if (node.kind != Arith::Tanh || !node.operands[0].value)
    return fail("the scores go through an op that attention does not have");
  if (match.softcap != 0)
    return fail("there are two tanh on the scores");
  if (!(match.scale > 0))
    return fail("the factor of tanh is not positive");
  match.softcap = match.scale;
  match.trace.add(node.getLoc(), node.getType());
  next = node.operands[0].value;
  return true;
}

bool Reader::readAddedMask(const Arith &node) {
  std::string refusal = kNoProduct.str();
  for (int i : {0, 1}) {
    Value scores = node.operands[i].value, mask = node.operands[1 - i].value;
    if (!scores || !mask ||
        getTensor(scores).getShape() != node.getType().getShape())
      continue;
    Reader attempt = *this;
    attempt.match.masks.insert(
        attempt.match.masks.begin(),
        ScoreMask{mask, false, true, 0, node.getType().getRank()});
    attempt.match.trace.add(node.getLoc(), node.getType());
    if (attempt.readScores(scores)) {
      *this = attempt;
      return true;
    }
    if (refusal == kNoProduct)
      refusal = attempt.match.refusal;
  }
  return fail(refusal);
}

bool Reader::readSelectedMask(const Arith &node) {
  for (int i : {1, 2}) {
    Value scores = node.operands[i].value;
    auto masked = node.operands[3 - i].splat;
    if (!scores || !masked || !node.operands[0].value ||
        getTensor(scores).getShape() != node.getType().getShape())
      continue;
    match.masks.insert(match.masks.begin(),
                       ScoreMask{node.operands[0].value, true, i == 1, *masked,
                                 node.getType().getRank()});
    match.trace.locations.push_back(node.getLoc());
    return readScores(scores);
  }
  return fail("the scores are selected by something else than a mask");
}

bool Reader::readMask(const Arith &node) {
  if (masksEnded)
    return fail("a mask is applied before the scale or the softcap");
  noteHeads(node.result);
  return node.kind == Arith::Add ? readAddedMask(node) : readSelectedMask(node);
}

bool Reader::readProduct(nq::MatmulOp matmul) {
  if (!matmul.getEpilogue().empty())
    return fail("the first product has an epilogue");
  match.scores = matmul;
  match.trace.add(matmul.getLoc(), matmul.getType());
  if (!match.maskedType)
    match.maskedType = matmul.getType().getElementType();
  return true;
}

bool Reader::readScores(Value value) {
  while (true) {
    if (!isPrivate(value))
      return false;
    noteHeads(value);
    Value inner = match.trace.strip(value);
    if (inner != value || readReshape(inner)) {
      value = inner;
      continue;
    }
    if (auto matmul = value.getDefiningOp<nq::MatmulOp>())
      return readProduct(matmul);
    auto node = readArith(value);
    if (!node)
      return fail(kNoProduct);
    if (node->kind == Arith::Add || node->kind == Arith::Select)
      return readMask(*node);
    masksEnded = true;
    if (!match.maskedType)
      match.maskedType = node->getType().getElementType();
    Value next;
    if (auto factor = readFactor(*node, next)) {
      match.scale *= *factor;
      match.trace.add(node->getLoc(), node->getType());
    } else if (!readSoftcap(*node, next)) {
      return false;
    }
    value = next;
  }
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// Factors of q or k go into the scale.
static bool stripFactor(Value &value, double &scale, Trace &trace) {
  auto node = readArith(value);
  Value next;
  auto factor = node ? readFactor(*node, next) : std::nullopt;
  if (!factor)
    return false;
  scale *= *factor;
  trace.add(node->getLoc(), node->getType());
  value = next;
  return true;
}

/// A transpose of the last two dimensions alone.
static bool stripSwap(HeadsOperand &operand) {
  auto op = operand.value.getDefiningOp<linalg::TransposeOp>();
  if (!op)
    return false;
  auto swapped = llvm::to_vector(
      llvm::seq<int64_t>(0, getTensor(operand.value).getRank()));
  std::swap(swapped.back(), swapped[swapped.size() - 2]);
  if (op.getPermutation() != ArrayRef<int64_t>(swapped))
    return false;
  operand.value = op.getInput();
  operand.transposed = !operand.transposed;
  std::swap(operand.rows, operand.columns);
  return true;
}

/// Heads repeated for their query heads: Unsqueeze, Expand, Reshape, in any
/// form that repeats matrices of one head directly one after the other.
static bool stripRepeat(HeadsOperand &operand, int64_t batch) {
  auto op = stripReshapes(operand.value).getDefiningOp<linalg::BroadcastOp>();
  if (!op)
    return false;
  int64_t outer = 1, inner = 1, repeats = 1;
  ArrayRef<int64_t> to = getTensor(op->getResult(0)).getShape();
  for (auto [d, extent] : llvm::enumerate(to)) {
    bool added = llvm::is_contained(op.getDimensions(), int64_t(d));
    if (added && extent != 1 && repeats != 1)
      return false;
    if (added)
      repeats *= extent;
    else
      (repeats == 1 ? outer : inner) *= extent;
  }
  if (repeats == 1 || inner != operand.rows * operand.columns ||
      outer * repeats != batch * operand.heads || outer % batch != 0)
    return false;
  operand.value = op.getInput();
  operand.heads = outer / batch;
  return true;
}

/// Number of heads of k or v whose batch dimensions `own` meet those of the
/// scores; 0 if nq.attention has no such form.
static int64_t countHeads(ArrayRef<int64_t> own, ArrayRef<int64_t> scores,
                          int64_t batch, int64_t heads) {
  if (getProduct(own) == batch * heads && own.size() <= scores.size())
    return heads;
  bool oneEach = batch == 1 || (own.size() == 2 && own[1] == 1);
  return getProduct(own) == batch && oneEach ? 1 : 0;
}

/// As a matmul reads codes (fold-qdq), but also behind a repeat.
static Value stripDequantize(Value value) {
  auto op = value.getDefiningOp<nq::DequantizeOp>();
  return op && isFloat8(op.getInput()) ? op.getInput() : value;
}

static HeadsOperand readOperand(const AttentionMatch &m, nq::MatmulOp product,
                                Value value, bool transposed, double *scale,
                                Trace &trace, bool asCodes) {
  RankedTensorType type = getTensor(value);
  HeadsOperand operand{value, 0, type.getShape().end()[-2],
                       type.getShape().back(), transposed};
  operand.heads = countHeads(getBatch(value), getBatch(product.getResult()),
                             m.batch, m.heads);
  bool repeated = operand.heads == 0;
  while (true) {
    operand.value = stripWidening(operand.value);
    if (asCodes)
      operand.value = stripDequantize(operand.value);
    if (scale && stripFactor(operand.value, *scale, trace))
      continue;
    // Behind a repeat, the last two dimensions may be others.
    if (!repeated && stripSwap(operand))
      continue;
    if (repeated || !stripRepeat(operand, m.batch))
      return operand;
    repeated = true;
  }
}

/// B and H that scores and output agree on.
static bool readHeads(AttentionMatch &m) {
  ArrayRef<int64_t> scores = getBatch(m.scores.getResult()),
                    output = getBatch(m.output.getResult());
  if (m.heads == 0 && scores.size() < 2)
    m.batch = 1, m.heads = getProduct(scores);
  if (m.heads == 0 || getProduct(scores) != m.batch * m.heads ||
      getProduct(output) != m.batch * m.heads) {
    m.refusal = "the batch dimensions are not [B, H], [B * H] or none";
    return false;
  }
  for (const ScoreMask &mask : m.masks) {
    int64_t rank = getTensor(mask.value).getRank();
    bool varies = rank > 2 && getProduct(getBatch(mask.value)) != 1;
    if (rank > 4 || (mask.rank != 4 && varies && m.batch != 1)) {
      m.refusal = "a mask does not have the dimensions [B, H, S, T]";
      return false;
    }
  }
  return true;
}

static bool isConstant(Value value) {
  Operation *op = stripReshapes(value).getDefiningOp();
  return op &&
         (isa<nq::ConstantOp>(op) || op->hasTrait<OpTrait::ConstantLike>());
}

/// What the operands are, or the refusal.
static bool checkOperands(AttentionMatch &m) {
  bool areCodes = isFloat8(m.k.value) && isFloat8(m.v.value);
  for (const HeadsOperand *operand : {&m.q, &m.k, &m.v}) {
    Type element = getTensor(operand->value).getElementType();
    if (isa<nq::ScaledType>(element) && !(areCodes && isFloat8(operand->value)))
      m.refusal = "an operand is a scaled tensor, but keys and values are not "
                  "both FP8 with one scale: the products stay what the model "
                  "quantized";
    else if (!isa<nq::ScaledType>(element) && !element.isF32() &&
             !element.isF16() && !element.isBF16())
      m.refusal = "the operands are not f32, f16 or bf16";
  }
  if (m.q.heads != m.heads)
    m.refusal = "the queries are shared by heads or batch entries";
  if (m.k.heads == 0 || m.k.heads != m.v.heads)
    m.refusal = "keys and values do not have equally many heads for every "
                "batch entry";
  for (const HeadsOperand *operand : {&m.k, &m.v})
    if (isConstant(operand->value))
      m.refusal = "keys or values are constants: the product is a linear layer";
  return m.refusal.empty();
}

static bool readOperands(AttentionMatch &m, bool asCodes) {
  nq::MatmulOp scores = m.scores, output = m.output;
  m.q =
      readOperand(m, scores, scores.getA(), false, &m.scale, m.trace, asCodes);
  m.k = readOperand(m, scores, scores.getB(), !scores.getTransposeB(), &m.scale,
                    m.trace, asCodes);
  m.v = readOperand(m, output, output.getB(), output.getTransposeB(), nullptr,
                    m.trace, asCodes);
  return checkOperands(m);
}

/// Codes of keys and values, or what they stand for.
static bool readOperands(AttentionMatch &m) {
  AttentionMatch attempt = m;
  if (readOperands(attempt, /*asCodes=*/true)) {
    m = attempt;
    return true;
  }
  return readOperands(m, /*asCodes=*/false);
}

//===----------------------------------------------------------------------===//
// Whole
//===----------------------------------------------------------------------===//

std::optional<AttentionMatch> nibble::readAttention(nq::MatmulOp output) {
  if (!output.getEpilogue().empty())
    return std::nullopt;
  Reader reader(output);
  if (!reader.readWeights())
    return std::nullopt;
  AttentionMatch &m = reader.match;
  bool found = m.refusal.empty() &&
               reader.readScores(reader.softmax.getInput()) && readHeads(m) &&
               readOperands(m);
  if (found)
    m.refusal.clear();
  return m;
}

Value nibble::makeHeads(OpBuilder &b, Location loc, const HeadsOperand &operand,
                        int64_t batch) {
  Value value =
      reshapeTo(b, loc, operand.value,
                {batch, operand.heads, operand.rows, operand.columns});
  return operand.transposed ? transposeTo(b, loc, value, {0, 1, 3, 2}) : value;
}
