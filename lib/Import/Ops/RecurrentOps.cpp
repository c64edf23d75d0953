// RNN, GRU and LSTM, unrolled over time: the products with the inputs of all
// steps are one matrix product, then every step is one with the state and an
// elementwise part.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include <functional>

using namespace mlir;
using namespace nibble::onnx;

/// More steps would make a graph that takes minutes to compile.
constexpr int64_t maxSteps = 256;

namespace {
using Activation = std::function<Value(ScalarBuilder &, Value)>;

/// One direction of one layer.
struct Cell {
  Tensor input;    ///< [T, B, gates * H]: X W^T + bias, in the accumulator type
  Tensor r, rBias; ///< [gates * H, H], [gates * H] or {}
  Tensor peepholes; ///< [3 * H] or {}
  Tensor lengths;   ///< [B] or {}
  Tensor h, c;      ///< [B, H], the state
  SmallVector<Activation> activations;
  double clip;
  bool isReverse;
  int64_t hidden, batch, steps;
  ElemType acc;
};

/// State after a step.
struct State {
  Tensor h, c;
};
using StepFn = State (*)(NodeContext &, const Cell &, Tensor input);
} // namespace

//===----------------------------------------------------------------------===//
// Activations
//===----------------------------------------------------------------------===//

static Activation makeActivation(StringRef name, double alpha, double beta) {
  auto number = [](ScalarBuilder &s, double v, Value like) {
    return s.constant(v, like);
  };
  if (name == "sigmoid")
    return [](ScalarBuilder &s, Value v) { return s.sigmoid(v); };
  if (name == "tanh")
    return [](ScalarBuilder &s, Value v) { return s.tanh(v); };
  if (name == "relu")
    return [=](ScalarBuilder &s, Value v) { return s.max(v, number(s, 0, v)); };
  if (name == "affine")
    return [=](ScalarBuilder &s, Value v) {
      return s.add(s.mul(v, number(s, alpha, v)), number(s, beta, v));
    };
  if (name == "scaledtanh")
    return [=](ScalarBuilder &s, Value v) {
      return s.mul(number(s, alpha, v), s.tanh(s.mul(v, number(s, beta, v))));
    };
  if (name == "leakyrelu")
    return [=](ScalarBuilder &s, Value v) {
      Value low = s.mul(v, number(s, alpha, v));
      return s.select(s.lt(v, number(s, 0, v)), low, v);
    };
  if (name == "hardsigmoid")
    return [=](ScalarBuilder &s, Value v) {
      Value y = s.add(s.mul(v, number(s, alpha, v)), number(s, beta, v));
      return s.max(s.min(y, number(s, 1, y)), number(s, 0, y));
    };
  if (name == "softsign")
    return [=](ScalarBuilder &s, Value v) {
      return s.div(v, s.add(s.abs(v), number(s, 1, v)));
    };
  return {};
}

static std::pair<double, double> getDefaults(StringRef name) {
  if (name == "leakyrelu")
    return {0.01, 0};
  if (name == "hardsigmoid")
    return {0.2, 0.5};
  return {1, 0};
}

/// `perCell` activations for each direction.
static LogicalResult readActivations(NodeContext &n,
                                     ArrayRef<const char *> defaults,
                                     int64_t directions,
                                     SmallVectorImpl<Activation> &result) {
  SmallVector<std::string> names = n.stringsAttr("activations");
  if (names.empty())
    for (int64_t d = 0; d < directions; ++d)
      names.append(defaults.begin(), defaults.end());
  // The default that ONNX writes down for RNN is that of two directions.
  if (directions == 1 && defaults.size() == 1 &&
      names == SmallVector<std::string>{"Tanh", "Tanh"})
    names.pop_back();
  if (names.size() != defaults.size() * directions)
    return n.fail("activations has " + Twine(names.size()) +
                  " names instead of " + Twine(defaults.size() * directions));
  auto alphas =
      n.floatsAttr("activation_alpha").value_or(SmallVector<double>());
  auto betas = n.floatsAttr("activation_beta").value_or(SmallVector<double>());
  if (std::max(alphas.size(), betas.size()) > names.size())
    return n.fail("activation_alpha or activation_beta has more numbers than "
                  "there are activations, " +
                  Twine(names.size()));
  for (auto [i, name] : llvm::enumerate(names)) {
    std::string lower = StringRef(name).lower();
    auto [alpha, beta] = getDefaults(lower);
    result.push_back(makeActivation(lower,
                                    i < alphas.size() ? alphas[i] : alpha,
                                    i < betas.size() ? betas[i] : beta));
    if (!result.back())
      return n.fail("activation '" + name + "' is not supported");
  }
  return success();
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

static Value clip(const Cell &c, ScalarBuilder &s, Value v) {
  if (c.clip <= 0)
    return v;
  return s.max(s.min(v, s.constant(c.clip, v)), s.constant(-c.clip, v));
}

static Value activate(const Cell &c, size_t i, ScalarBuilder &s, Value v) {
  return c.activations[i](s, clip(c, s, v));
}

/// Columns of gate `first` and the following ones of [B, gates * H].
static Tensor getGate(GraphBuilder &build, const Cell &c, Tensor gates,
                      int64_t first, int64_t count = 1) {
  return build.slice(gates, {0, first * c.hidden}, {c.batch, count * c.hidden},
                     {1, 1});
}

static Tensor addTensors(GraphBuilder &build, Tensor a, Tensor b) {
  return build.binary(a, b, [](ScalarBuilder &s, Value v, Value w) {
    return s.add(v, s.convert(w, v.getType(), false, false));
  });
}

static Tensor multiplyState(GraphBuilder &build, const Cell &c, Tensor h,
                            Tensor r) {
  return build.matmul(h, r, c.acc, /*transposeB=*/true);
}

static State stepRnn(NodeContext &n, const Cell &c, Tensor input) {
  Tensor product = multiplyState(n.build, c, c.h, c.r);
  return {n.build.elementwise({product, input}, c.h.type,
                              [&](ScalarBuilder &s, ValueRange a) {
                                return activate(c, 0, s, s.add(a[0], a[1]));
                              }),
          {}};
}

/// Gates z (update), r (reset), h (hidden).
static State stepGru(NodeContext &n, const Cell &c, Tensor input) {
  GraphBuilder &b = n.build;
  auto rows = [&](Tensor x, int64_t first, int64_t count) {
    return x.rank() == 1 ? b.slice(x, first * c.hidden, count * c.hidden, 1)
                         : b.slice(x, {first * c.hidden, 0},
                                   {count * c.hidden, c.hidden}, {1, 1});
  };
  Tensor gates = addTensors(b, multiplyState(b, c, c.h, rows(c.r, 0, 2)),
                            getGate(b, c, input, 0, 2));
  gates = b.unary(
      gates, [&](ScalarBuilder &s, Value v) { return activate(c, 0, s, v); });
  Tensor z = getGate(b, c, gates, 0), reset = getGate(b, c, gates, 1);
  auto multiply = [](ScalarBuilder &s, Value v, Value w) {
    return s.mul(v, s.convert(w, v.getType(), false, false));
  };
  Tensor bias = rows(c.rBias, 2, 1), hidden;
  if (n.intAttr("linear_before_reset", 0)) {
    hidden = multiplyState(b, c, c.h, rows(c.r, 2, 1));
    hidden = b.binary(addTensors(b, hidden, bias), reset, multiply);
  } else {
    Tensor kept = b.cast(b.binary(reset, c.h, multiply), c.h.type);
    hidden = addTensors(b, multiplyState(b, c, kept, rows(c.r, 2, 1)), bias);
  }
  Tensor h = b.elementwise({hidden, getGate(b, c, input, 2), z, c.h}, c.h.type,
                           [&](ScalarBuilder &s, ValueRange a) {
                             Value fresh = activate(c, 1, s, s.add(a[0], a[1]));
                             Value one = s.constant(1, a[2]);
                             return s.add(s.mul(s.sub(one, a[2]), fresh),
                                          s.mul(a[2], a[3]));
                           });
  return {h, {}};
}

/// Gates i (input), o (output), f (forget), c (cell).
static State stepLstm(NodeContext &n, const Cell &c, Tensor input) {
  GraphBuilder &b = n.build;
  Tensor gates = addTensors(b, multiplyState(b, c, c.h, c.r), input);
  // A peephole adds a share of the cell to a gate.
  auto getInput = [&](int64_t gate, Tensor cell) {
    Tensor x = getGate(b, c, gates, gate);
    if (!c.peepholes)
      return x;
    Tensor weight = b.slice(c.peepholes, gate * c.hidden, c.hidden, 1);
    return b.elementwise({x, weight, cell}, c.acc,
                         [](ScalarBuilder &s, ValueRange a) {
                           return s.add(a[0], s.mul(a[1], a[2]));
                         });
  };
  Tensor cell = b.elementwise(
      {getInput(0, c.c), getInput(2, c.c), getGate(b, c, gates, 3), c.c},
      c.c.type, [&](ScalarBuilder &s, ValueRange a) {
        Value fresh = s.mul(activate(c, 0, s, a[0]), activate(c, 1, s, a[2]));
        return s.add(s.mul(activate(c, 0, s, a[1]), a[3]), fresh);
      });
  Tensor h = b.elementwise(
      {getInput(1, cell), cell}, c.h.type, [&](ScalarBuilder &s, ValueRange a) {
        return s.mul(activate(c, 0, s, a[0]), c.activations[2](s, a[1]));
      });
  return {h, cell};
}

//===----------------------------------------------------------------------===//
// Loop over time
//===----------------------------------------------------------------------===//

/// `now` where step t belongs to the sequence, else `otherwise`.
static Tensor selectValid(GraphBuilder &build, const Cell &c, int64_t t,
                          Tensor now, Tensor otherwise) {
  if (!c.lengths)
    return now;
  Tensor lengths = build.reshape(c.lengths, {c.batch, 1});
  return build.elementwiseRaw({lengths, now, otherwise}, now.type,
                              [&](ScalarBuilder &s, ValueRange a) {
                                Value step = s.constantInt(t, a[0].getType());
                                return s.select(s.lt(step, a[0]), a[1], a[2]);
                              });
}

/// All hidden states [T, B, H]; the cell keeps the last ones.
static Tensor runCell(NodeContext &n, Cell &c, StepFn step) {
  GraphBuilder &b = n.build;
  SmallVector<Tensor> states(c.steps);
  Tensor zero = b.splat(c.h.type, c.h.shape(), 0);
  int64_t width = c.input.dim(2);
  for (int64_t i = 0; i < c.steps; ++i) {
    int64_t t = c.isReverse ? c.steps - 1 - i : i;
    Tensor input = b.slice(c.input, {t, 0, 0}, {1, c.batch, width}, {1, 1, 1});
    State next = step(n, c, b.reshape(input, {c.batch, width}));
    states[t] =
        b.reshape(selectValid(b, c, t, next.h, zero), {1, c.batch, c.hidden});
    c.h = selectValid(b, c, t, next.h, c.h);
    if (next.c)
      c.c = selectValid(b, c, t, next.c, c.c);
  }
  return b.concat(states, 0);
}

//===----------------------------------------------------------------------===//
// The layer
//===----------------------------------------------------------------------===//

namespace {
struct Layer {
  Tensor x, w, r, bias, lengths, h, c, peepholes;
  int64_t gates, directions, steps, batch, hidden;
  bool isBatchFirst;
};
} // namespace

static LogicalResult checkLayer(NodeContext &n, const Layer &l) {
  auto is = [](Tensor t, ArrayRef<int64_t> shape) {
    return !t || t.shape() == shape;
  };
  int64_t d = l.directions, rows = l.gates * l.hidden;
  bool fits = isFloat(l.x.type) && l.w.type == l.x.type &&
              l.r.type == l.x.type && is(l.w, {d, rows, l.x.dim(2)}) &&
              is(l.r, {d, rows, l.hidden}) && is(l.bias, {d, 2 * rows}) &&
              is(l.lengths, l.batch) && is(l.h, {d, l.batch, l.hidden}) &&
              is(l.c, {d, l.batch, l.hidden}) &&
              is(l.peepholes, {d, 3 * l.hidden}) && l.x.numElements() > 0;
  if (!fits)
    return n.fail("input " + toString(l.x.shape()) + ", weights " +
                  toString(l.w.shape()) + " and " + toString(l.r.shape()) +
                  ", or one of the other inputs do not fit the layer");
  if (l.steps > maxSteps)
    return n.fail("sequences of " + Twine(l.steps) +
                  " steps are too long: the layer is unrolled, up to " +
                  Twine(maxSteps) +
                  " steps. Split the sequence and pass the "
                  "state from call to call");
  if (n.opType() == "LSTM" && n.intAttr("input_forget", 0))
    return n.fail("input_forget = 1 is not supported; export the layer without "
                  "coupled gates");
  if (int64_t said = n.intAttr("hidden_size", l.hidden); said != l.hidden)
    return n.fail("hidden_size = " + Twine(said) + " but the weights " +
                  toString(l.r.shape()) + " have " + Twine(l.hidden) +
                  " hidden units");
  return success();
}

static FailureOr<Layer> readLayer(NodeContext &n, int64_t gates) {
  bool hasCell = n.opType() == "LSTM";
  Layer l{n.input(0),
          n.input(1),
          n.input(2),
          n.input(3),
          n.input(4),
          n.input(5),
          hasCell ? n.input(6) : Tensor(),
          hasCell ? n.input(7) : Tensor(),
          gates,
          1,
          0,
          0,
          0,
          n.intAttr("layout", 0) != 0};
  if (l.x.rank() != 3 || l.r.rank() != 3)
    return n.fail("input " + toString(l.x.shape()) + " or weights " +
                  toString(l.r.shape()) + " do not have three dimensions");
  std::string direction = n.stringAttr("direction", "forward");
  if (direction != "forward" && direction != "reverse" &&
      direction != "bidirectional")
    return n.fail("direction '" + direction +
                  "' is not forward, reverse or bidirectional");
  l.directions = direction == "bidirectional" ? 2 : 1;
  l.hidden = l.r.dim(2);
  if (l.isBatchFirst) {
    auto swap = [&](Tensor t) {
      return t ? n.build.transpose(t, {1, 0, 2}) : t;
    };
    l.x = swap(l.x);
    l.h = l.h && l.h.rank() == 3 ? swap(l.h) : l.h;
    l.c = l.c && l.c.rank() == 3 ? swap(l.c) : l.c;
  }
  l.steps = l.x.dim(0);
  l.batch = l.x.dim(1);
  if (failed(checkLayer(n, l)))
    return failure();
  return l;
}

/// Entry d of the first dimension, or zeros of `shape`.
static Tensor pick(GraphBuilder &build, const Layer &l, Tensor t, int64_t d,
                   ArrayRef<int64_t> shape) {
  if (!t)
    return build.splat(l.x.type, shape, 0);
  Shape starts(t.rank(), 0), sizes(t.shape()), ones(t.rank(), 1);
  starts[0] = d;
  sizes[0] = 1;
  return build.reshape(build.slice(t, starts, sizes, ones), shape);
}

static Cell makeCell(NodeContext &n, const Layer &l, int64_t d) {
  GraphBuilder &b = n.build;
  int64_t rows = l.gates * l.hidden, width = l.x.dim(2);
  Cell c;
  c.hidden = l.hidden;
  c.batch = l.batch;
  c.steps = l.steps;
  c.acc = getAccumulator(l.x.type);
  c.clip = n.floatAttr("clip", 0);
  c.isReverse = d == 1 || n.stringAttr("direction", "forward") == "reverse";
  c.lengths = l.lengths;
  c.r = pick(b, l, l.r, d, {rows, l.hidden});
  c.h = pick(b, l, l.h, d, {l.batch, l.hidden});
  c.c = pick(b, l, l.c, d, {l.batch, l.hidden});
  if (l.peepholes)
    c.peepholes = pick(b, l, l.peepholes, d, 3 * l.hidden);
  Tensor bias = pick(b, l, l.bias, d, 2 * rows);
  Tensor wBias = b.slice(bias, 0, rows, 1);
  c.rBias = b.slice(bias, rows, rows, 1);
  c.input = b.matmul(b.reshape(l.x, {l.steps * l.batch, width}),
                     pick(b, l, l.w, d, {rows, width}), c.acc, true);
  c.input = addTensors(b, c.input, wBias);
  // The bias of the state joins that of the input, but where GRU scales it.
  int64_t joined = n.opType() == "GRU" ? 2 * l.hidden : rows;
  Tensor rest = b.pad(b.slice(c.rBias, 0, joined, 1), 0, rows - joined, 0);
  c.input = b.reshape(addTensors(b, c.input, rest), {l.steps, l.batch, rows});
  return c;
}

/// Outputs Y [T, D, B, H], Y_h and Y_c [D, B, H], batch first if asked for.
static LogicalResult setOutputs(NodeContext &n, const Layer &l,
                                ArrayRef<Tensor> ys, ArrayRef<Tensor> hs,
                                ArrayRef<Tensor> cs) {
  GraphBuilder &b = n.build;
  SmallVector<Tensor> slabs;
  for (Tensor y : ys)
    slabs.push_back(b.reshape(y, {l.steps, 1, l.batch, l.hidden}));
  Tensor y = b.concat(slabs, 1);
  (void)n.setOutput(0, l.isBatchFirst ? b.transpose(y, {2, 0, 1, 3}) : y);
  auto join = [&](ArrayRef<Tensor> states) {
    SmallVector<Tensor> rows;
    for (Tensor state : states)
      rows.push_back(b.reshape(state, {1, l.batch, l.hidden}));
    Tensor all = b.concat(rows, 0);
    return l.isBatchFirst ? b.transpose(all, {1, 0, 2}) : all;
  };
  (void)n.setOutput(1, join(hs));
  (void)n.setOutput(2, join(cs));
  return success();
}

static LogicalResult importLayer(NodeContext &n, int64_t gates, StepFn step,
                                 ArrayRef<const char *> defaults) {
  auto layer = readLayer(n, gates);
  if (failed(layer))
    return failure();
  SmallVector<Activation> activations;
  if (failed(readActivations(n, defaults, layer->directions, activations)))
    return failure();
  SmallVector<Tensor> ys, hs, cs;
  for (int64_t d = 0; d < layer->directions; ++d) {
    Cell cell = makeCell(n, *layer, d);
    auto mine =
        ArrayRef(activations).slice(d * defaults.size(), defaults.size());
    cell.activations.assign(mine.begin(), mine.end());
    ys.push_back(runCell(n, cell, step));
    hs.push_back(cell.h);
    cs.push_back(cell.c);
  }
  return setOutputs(n, *layer, ys, hs, cs);
}

static LogicalResult importRnn(NodeContext &n) {
  return importLayer(n, 1, stepRnn, {"Tanh"});
}
static LogicalResult importGru(NodeContext &n) {
  return importLayer(n, 3, stepGru, {"Sigmoid", "Tanh"});
}
static LogicalResult importLstm(NodeContext &n) {
  return importLayer(n, 4, stepLstm, {"Sigmoid", "Tanh", "Tanh"});
}

void nibble::onnx::registerRecurrentOps(OpRegistry &r) {
  r.add("", "RNN", importRnn, 3);
  r.add("", "GRU", importGru, 3);
  r.add("", "LSTM", importLstm, 3);
}
