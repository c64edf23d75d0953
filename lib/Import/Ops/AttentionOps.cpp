// Attention and RotaryEmbedding of ONNX 23 to 25.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"
#include "Precision.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

namespace {
/// Operands in [batch, heads, positions, size], past included.
struct Attention {
  Tensor q, k, v, mask, nonpad;
  int64_t past = 0; ///< positions that come from past_key
  bool causal = false;
  int64_t left = -1, right = -1; ///< window sizes, -1 = unbounded
  double scale = 0, softcap = 0;
  bool doubleSoftmax = false; ///< softmax_precision

  int64_t batch() const { return q.dim(0); }
  int64_t heads() const { return q.dim(1); }
  int64_t queries() const { return q.dim(2); }
  int64_t keys() const { return k.dim(2); }
};
} // namespace

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// [B, S, H*D] -> [B, H, S, D].
static FailureOr<Tensor> splitHeads(NodeContext &n, Tensor x, StringRef attr) {
  int64_t heads = n.intAttr(attr, 0);
  if (x.rank() == 4 && heads != 0 && heads != x.dim(1))
    return n.fail(attr + " = " + Twine(heads) + " contradicts operand " +
                  toString(x.shape()) + " [batch, heads, positions, size]");
  if (x.rank() == 4)
    return x;
  if (x.rank() != 3 || heads <= 0 || x.dim(2) % heads != 0)
    return n.fail("operand " + toString(x.shape()) +
                  " must have 4 dimensions, or 3 with attribute '" + attr +
                  "' dividing the last one");
  Tensor split =
      n.build.reshape(x, {x.dim(0), x.dim(1), heads, x.dim(2) / heads});
  return n.build.transpose(split, {0, 2, 1, 3});
}

static Tensor mergeHeads(GraphBuilder &b, Tensor x) {
  Tensor rows = b.transpose(x, {0, 2, 1, 3});
  return b.reshape(rows, {x.dim(0), x.dim(2), x.dim(1) * x.dim(3)});
}

static FailureOr<Tensor> prependPast(NodeContext &n, Tensor past, Tensor x) {
  if (!past)
    return x;
  if (past.rank() != 4 || past.type != x.type || past.dim(0) != x.dim(0) ||
      past.dim(1) != x.dim(1) || past.dim(3) != x.dim(3))
    return n.fail("past " + toString(past.shape()) + " does not fit " +
                  toString(x.shape()));
  return n.build.concat({past, x}, 2);
}

static LogicalResult checkOperands(NodeContext &n, const Attention &a) {
  bool ok = a.k.dim(0) == a.batch() && a.v.dim(0) == a.batch() &&
            a.k.dim(3) == a.q.dim(3) && a.k.dim(1) == a.v.dim(1) &&
            a.k.dim(2) == a.v.dim(2) && a.k.dim(1) > 0 &&
            a.heads() % a.k.dim(1) == 0;
  if (ok)
    return success();
  return n.fail("Q " + toString(a.q.shape()) + ", K " + toString(a.k.shape()) +
                " and V " + toString(a.v.shape()) +
                " [batch, heads, positions, size] do not fit together");
}

/// The last dimension of a mask may be short: what is missing is masked out.
static FailureOr<Tensor> prepareMask(NodeContext &n, const Attention &a) {
  Tensor mask = a.mask;
  if (!mask)
    return Tensor();
  if (!isFloat(mask.type) && mask.type != ElemType::Bool)
    return n.fail("mask is " + getName(mask.type) + ", not bool or float");
  int64_t rank = mask.rank();
  if (rank > 0 && mask.dim(rank - 1) != 1 && mask.dim(rank - 1) < a.keys()) {
    Shape low(rank, 0), high(rank, 0);
    high[rank - 1] = a.keys() - mask.dim(rank - 1);
    mask = n.build.pad(mask, low, high,
                       mask.type == ElemType::Bool ? 0 : -HUGE_VAL);
  }
  Shape scores = {a.batch(), a.heads(), a.queries(), a.keys()};
  auto shape = broadcastShapes({mask.shape(), scores});
  if (rank > 4 || failed(shape) || *shape != scores)
    return n.fail("mask " + toString(mask.shape()) +
                  " does not broadcast to the scores " + toString(scores));
  return mask;
}

static FailureOr<Attention> readAttention(NodeContext &n) {
  Attention a;
  auto q = splitHeads(n, n.input(0), "q_num_heads");
  auto k = splitHeads(n, n.input(1), "kv_num_heads");
  auto v = splitHeads(n, n.input(2), "kv_num_heads");
  if (failed(q) || failed(k) || failed(v))
    return failure();
  auto allK = prependPast(n, n.input(4), *k);
  auto allV = prependPast(n, n.input(5), *v);
  if (failed(allK) || failed(allV))
    return failure();
  a.q = *q;
  a.k = *allK;
  a.v = *allV;
  a.past = a.k.dim(2) - k->dim(2);
  a.mask = n.input(3);
  a.nonpad = n.input(6);
  a.causal = n.intAttr("is_causal", 0);
  a.left = n.intAttr("left_window_size", -1);
  a.right = n.intAttr("right_window_size", -1);
  a.softcap = n.floatAttr("softcap", 0);
  a.scale = n.floatAttr("scale", 1 / std::sqrt(double(a.q.dim(3))));
  a.doubleSoftmax =
      ElemType(n.intAttr("softmax_precision", 0)) == ElemType::Double;
  if (!a.doubleSoftmax &&
      failed(checkPrecision(n, "softmax_precision", a.q.type)))
    return failure();
  if (failed(checkOperands(n, a)))
    return failure();
  bool nonpadFits = !a.nonpad || (isInteger(a.nonpad.type) &&
                                  a.nonpad.shape() == ArrayRef(a.batch()));
  if (!nonpadFits || (a.nonpad && n.hasInput(4)))
    return n.fail("nonpad_kv_seqlen must be one integer per batch entry, "
                  "without past_key");
  auto mask = prepareMask(n, a);
  if (failed(mask))
    return failure();
  a.mask = *mask;
  return a;
}

//===----------------------------------------------------------------------===//
// Masks
//===----------------------------------------------------------------------===//

static bool hasWindow(const Attention &a) {
  return a.left >= 0 || a.right >= 0;
}

/// The causal form that nq.attention has itself: with no offset, or with the
/// offset that aligns the last query with the last key, or the last valid one.
static bool isPlainCausal(const Attention &a) {
  return !hasWindow(a) &&
         (a.nonpad || a.past == 0 || a.past == a.keys() - a.queries());
}

/// True where query i may see key j: causal and window bounds around position
/// i + offset, and j below the number of valid keys. bool [B or 1, 1, S, T].
static Tensor emitVisible(GraphBuilder &b, const Attention &a) {
  Shape shape = {a.nonpad ? a.batch() : 1, 1, a.queries(), a.keys()};
  return b.generate(shape, ElemType::Bool, [&](ScalarBuilder &s, ValueRange i) {
    // Indices are compared as signed numbers.
    ScalarBuilder number(s.builder, s.loc, /*unsignedInts=*/false);
    Type i64 = s.builder.getI64Type();
    Value query = number.fromIndex(i[2], i64),
          key = number.fromIndex(i[3], i64);
    Value offset = number.constantInt(a.past, i64), valid;
    if (a.nonpad) {
      valid = number.convert(s.load(a.nonpad, i[0]), i64,
                             isUnsigned(a.nonpad.type), false);
      offset = number.sub(valid, number.constantInt(a.queries(), i64));
    }
    Value distance = number.sub(number.add(query, offset), key);
    auto bound = [&](Value visible, Value condition) {
      return visible ? number.bitAnd(visible, condition) : condition;
    };
    Value visible;
    if (valid)
      visible = bound(visible, number.lt(key, valid));
    if (a.causal)
      visible = bound(visible, number.ge(distance, number.constantInt(0, i64)));
    if (a.left >= 0)
      visible =
          bound(visible, number.le(distance, number.constantInt(a.left, i64)));
    if (a.right >= 0)
      visible = bound(visible,
                      number.ge(distance, number.constantInt(-a.right, i64)));
    return visible ? visible : number.constantInt(1, s.builder.getI1Type());
  });
}

/// Adds what positions allow to the mask of the file.
static Tensor restrictMask(GraphBuilder &b, Tensor mask, Tensor visible) {
  if (!mask)
    return visible;
  if (mask.type == ElemType::Bool)
    return b.binary(mask, visible, [](ScalarBuilder &s, Value x, Value y) {
      return s.bitAnd(x, y);
    });
  return b.elementwiseRaw(
      {mask, visible}, mask.type, [](ScalarBuilder &s, ValueRange v) {
        return s.select(v[1], v[0], s.constant(-HUGE_VAL, v[0]));
      });
}

//===----------------------------------------------------------------------===//
// Scores as an output
//===----------------------------------------------------------------------===//

/// scale * q k^T in f32 (f64), [B, Hq, S, T]; query heads that share a kv head
/// are rows of one product.
static Tensor emitScores(GraphBuilder &b, const Attention &a) {
  ElemType wide =
      a.q.type == ElemType::Double ? ElemType::Double : ElemType::Float;
  int64_t kvHeads = a.k.dim(1), group = a.heads() / kvHeads;
  Tensor q =
      b.reshape(a.q, {a.batch(), kvHeads, group * a.queries(), a.q.dim(3)});
  Tensor scores = b.matmul(q, a.k, wide, /*transposeB=*/true);
  scores = b.reshape(scores, {a.batch(), a.heads(), a.queries(), a.keys()});
  return b.unary(scores, [&](ScalarBuilder &s, Value v) {
    return s.mul(v, s.constant(a.scale, v));
  });
}

static Tensor applySoftcap(GraphBuilder &b, const Attention &a, Tensor scores) {
  if (a.softcap == 0)
    return scores;
  return b.unary(scores, [&](ScalarBuilder &s, Value v) {
    Value cap = s.constant(a.softcap, v);
    return s.mul(cap, s.tanh(s.div(v, cap)));
  });
}

static Tensor applyMask(GraphBuilder &b, Tensor scores, Tensor mask) {
  if (!mask)
    return scores;
  bool isBool = mask.type == ElemType::Bool;
  return b.elementwise(
      {scores, mask}, scores.type, [&](ScalarBuilder &s, ValueRange v) {
        return isBool ? s.select(v[1], v[0], s.constant(-HUGE_VAL, v[0]))
                      : s.add(v[0], v[1]);
      });
}

/// Softmax over the keys; rows with every key masked are 0.
static Tensor applySoftmax(GraphBuilder &b, const Attention &a, Tensor scores) {
  ElemType type = scores.type;
  if (a.doubleSoftmax)
    scores = b.cast(scores, ElemType::Double);
  Tensor max = b.reduce(
      scores, 3, true, scores.type, -HUGE_VAL,
      [](ScalarBuilder &s, Value acc, Value v) { return s.max(acc, v); });
  Tensor weights =
      b.binary(scores, max, [](ScalarBuilder &s, Value v, Value m) {
        Value masked = s.eq(m, s.constant(-HUGE_VAL, m));
        Value zero = s.constant(0, v);
        return s.select(masked, zero,
                        s.exp(s.sub(v, s.select(masked, zero, m))));
      });
  Tensor sum = b.reduce(
      weights, 3, true, scores.type, 0,
      [](ScalarBuilder &s, Value acc, Value v) { return s.add(acc, v); });
  Tensor shares =
      b.binary(weights, sum, [](ScalarBuilder &s, Value v, Value total) {
        Value zero = s.constant(0, total);
        Value safe = s.select(s.eq(total, zero), s.constant(1, total), total);
        return s.div(v, safe);
      });
  return b.cast(shares, type);
}

/// The operator step by step, for a softmax that nq.attention does not compute.
static Tensor emitSteps(GraphBuilder &b, const Attention &a, Tensor mask) {
  Tensor scores = applySoftcap(b, a, emitScores(b, a));
  Tensor shares = applySoftmax(b, a, applyMask(b, scores, mask));
  int64_t kvHeads = a.k.dim(1), group = a.heads() / kvHeads;
  Tensor rows =
      b.reshape(shares, {a.batch(), kvHeads, group * a.queries(), a.keys()});
  Tensor y = b.matmul(rows, b.cast(a.v, rows.type), rows.type);
  Shape shape = {a.batch(), a.heads(), a.queries(), a.v.dim(3)};
  return b.cast(b.reshape(y, shape), a.q.type);
}

/// qk_matmul_output: 0 raw, 1 after softcap, 2 after the mask, 3 after softmax.
static LogicalResult setScoresOutput(NodeContext &n, const Attention &a,
                                     Tensor mask, int64_t mode) {
  Tensor scores = emitScores(n.build, a);
  if (mode >= 1)
    scores = applySoftcap(n.build, a, scores);
  if (mode >= 2)
    scores = applyMask(n.build, scores, mask);
  if (mode == 3)
    scores = applySoftmax(n.build, a, scores);
  return n.setOutput(3, n.build.cast(scores, a.q.type));
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

/// The numbers of valid keys as nq.attention takes them.
static Value getLengths(GraphBuilder &b, const Attention &a) {
  if (!a.nonpad)
    return Value();
  bool fits =
      a.nonpad.type == ElemType::Int32 || a.nonpad.type == ElemType::Int64;
  return (fits ? a.nonpad : b.cast(a.nonpad, ElemType::Int64)).value;
}

/// nq.attention, which has the plain causal mask and valid keys itself.
static Tensor emitFused(GraphBuilder &b, const Attention &a, bool causalFlag) {
  Shape shape = {a.batch(), a.heads(), a.queries(), a.v.dim(3)};
  auto op = nq::AttentionOp::create(
      b.builder, b.loc, b.tensorType(shape, a.q.type), a.q.value, a.k.value,
      a.v.value, a.mask.value, getLengths(b, a), APFloat(a.scale),
      APFloat(a.softcap), causalFlag, causalFlag && (a.nonpad || a.past > 0),
      /*weight_type=*/TypeAttr(), /*weight_scale=*/FloatAttr());
  return {op.getResult(), a.q.type};
}

static LogicalResult importAttention(NodeContext &n) {
  int64_t mode = n.intAttr("qk_matmul_output_mode", 0);
  if (mode < 0 || mode > 3)
    return n.fail("qk_matmul_output_mode " + Twine(mode) +
                  " is not 0, 1, 2 or 3");
  auto read = readAttention(n);
  if (failed(read))
    return failure();
  Attention a = *read;
  GraphBuilder &b = n.build;
  (void)n.setOutput(1, a.k);
  (void)n.setOutput(2, a.v);
  bool causalFlag = a.causal && isPlainCausal(a);
  bool restricted = hasWindow(a) || (a.causal && !causalFlag);
  if (restricted)
    a.mask = restrictMask(b, a.mask, emitVisible(b, a));
  Tensor all = a.mask; // every restriction in one mask, for single steps
  bool inSteps = a.doubleSoftmax || n.hasOutput(3);
  if (!restricted && (causalFlag || a.nonpad) && inSteps)
    all = restrictMask(b, all, emitVisible(b, a));
  if (n.hasOutput(3) && failed(setScoresOutput(n, a, all, mode)))
    return failure();
  Tensor y =
      a.doubleSoftmax ? emitSteps(b, a, all) : emitFused(b, a, causalFlag);
  return n.setOutput(0, n.input(0).rank() == 3 ? mergeHeads(b, y) : y);
}

//===----------------------------------------------------------------------===//
// RotaryEmbedding
//===----------------------------------------------------------------------===//

/// Rows of a cache [positions, R/2] at `ids` [B, S]; positions outside of the
/// cache read its nearest end.
static Tensor gatherRows(GraphBuilder &b, Tensor cache, Tensor ids) {
  return b.generate(
      {ids.dim(0), ids.dim(1), cache.dim(1)}, cache.type,
      [&](ScalarBuilder &s, ValueRange i) {
        ScalarBuilder signedInts(s.builder, s.loc, false);
        Value id = s.load(ids, {i[0], i[1]});
        Value last = signedInts.constantInt(cache.dim(0) - 1, id.getType());
        Value first = signedInts.constantInt(0, id.getType());
        Value row = signedInts.min(signedInts.max(id, first), last);
        return s.load(cache, {signedInts.toIndex(row), i[2]});
      });
}

static FailureOr<Tensor> readCache(NodeContext &n, size_t i, Tensor x) {
  Tensor cache = n.input(i), ids = n.input(3);
  if (ids) {
    if (cache.rank() != 2 || ids.rank() != 2 || !isInteger(ids.type) ||
        cache.dim(0) == 0)
      return n.fail("with position_ids [batch, positions] the caches are "
                    "[positions, size], got " +
                    toString(cache.shape()));
    cache = gatherRows(n.build, cache, ids);
  }
  bool fits = cache.rank() == 3 && cache.dim(1) == x.dim(2) &&
              (cache.dim(0) == 1 || cache.dim(0) == x.dim(0)) &&
              cache.dim(2) * 2 <= x.dim(3);
  if (!fits)
    return n.fail("cache " + toString(cache.shape()) +
                  " [batch, positions, size / 2] does not fit the input " +
                  toString(x.shape()) + " [batch, heads, positions, size]");
  return cache;
}

static LogicalResult importRotaryEmbedding(NodeContext &n) {
  auto x = splitHeads(n, n.input(0), "num_heads");
  if (failed(x))
    return failure();
  auto cos = readCache(n, 1, *x), sin = readCache(n, 2, *x);
  if (failed(cos) || failed(sin))
    return failure();
  int64_t rotated = n.intAttr("rotary_embedding_dim", 0);
  rotated = rotated == 0 ? x->dim(3) : rotated;
  if (cos->dim(2) * 2 != rotated || cos->shape() != sin->shape())
    return n.fail("caches " + toString(cos->shape()) + " and " +
                  toString(sin->shape()) + " do not have half of the " +
                  Twine(rotated) + " rotated elements");
  GraphBuilder &b = n.build;
  Tensor y{nq::RopeOp::create(b.builder, b.loc, x->getType(), x->value,
                              cos->value, sin->value,
                              bool(n.intAttr("interleaved", 0))),
           x->type};
  return n.setOutput(0, n.input(0).rank() == 3 ? mergeHeads(b, y) : y);
}

void nibble::onnx::registerAttentionOps(OpRegistry &r) {
  r.add("", "Attention", importAttention, 3);
  r.add("", "RotaryEmbedding", importRotaryEmbedding, 3);
}
