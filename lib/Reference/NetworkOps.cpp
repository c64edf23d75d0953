// Ops of nq that compute: matmul, attention, norm, rope.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Eval.h"
#include "Gemm.h"
#include "LoopNest.h"
#include "Threads.h"

#include "nibble/rt/quantize.h"

#include <cmath>
#include <numeric>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

/// Larger operands are decoded block by block, more than once if need be.
constexpr int64_t largestDecoded = int64_t(1) << 28;

static ReadRun makeReader(const RefTensor &tensor) {
  if (const double *dense = tensor.denseFloats())
    return [dense](int64_t begin, int64_t count, double *out) {
      std::copy_n(dense + begin, count, out);
    };
  return [&tensor](int64_t begin, int64_t count, double *out) {
    tensor.read(begin, count, out);
  };
}

static void roundInPlace(const OpCall &call, double *values, int64_t count,
                         Rounding rounding) {
  if (rounding.isIdentity())
    return;
  parallelFor(call.threads, count, 1 << 15, [&](int64_t begin, int64_t end) {
    rounding.apply(values + begin, end - begin);
  });
}

static SmallVector<int64_t> rowMajorStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t> strides(shape.size(), 1);
  for (int64_t d = static_cast<int64_t>(shape.size()) - 2; d >= 0; --d)
    strides[d] = strides[d + 1] * shape[d + 1];
  return strides;
}

/// Strides of a tensor broadcast to `shape` as in numpy: 0 where it repeats.
static SmallVector<int64_t> broadcastStrides(ArrayRef<int64_t> from,
                                             ArrayRef<int64_t> shape) {
  SmallVector<int64_t> own = rowMajorStrides(from);
  SmallVector<int64_t> strides(shape.size(), 0);
  for (size_t i = 0; i < from.size(); ++i)
    if (from[i] != 1)
      strides[shape.size() - from.size() + i] = own[i];
  return strides;
}

/// Offset, in a tensor with such strides, of the `flat`-th element of `shape`.
static int64_t broadcastOffset(int64_t flat, ArrayRef<int64_t> shape,
                               ArrayRef<int64_t> strides) {
  int64_t offset = 0;
  for (int64_t d = static_cast<int64_t>(shape.size()) - 1; d >= 0; --d) {
    offset += flat % shape[d] * strides[d];
    flat /= shape[d];
  }
  return offset;
}

//===----------------------------------------------------------------------===//
// Matmul
//===----------------------------------------------------------------------===//

/// Accumulators [batch.., M, N].
static Buffer<double> multiply(const OpCall &call, nq::MatmulOp op,
                               const RefTensor &a, const RefTensor &b) {
  RankedTensorType type = call.resultType();
  auto sums = allocate<double>(type.getNumElements());
  int64_t m = op.getM(), n = op.getN(), k = op.getK();
  ArrayRef<int64_t> batch = type.getShape().drop_back(2);
  int64_t products = ShapedType::getNumElements(batch);
  auto aStrides = broadcastStrides(a.getShape().drop_back(2), batch);
  auto bStrides = broadcastStrides(b.getShape().drop_back(2), batch);
  // One B for all: the batch of A is more rows.
  if (a.size() == products * m * k && b.size() == k * n) {
    m *= products;
    products = 1;
  }
  ReadRun readA = makeReader(a), readB = makeReader(b);
  auto make = [&](int64_t i) {
    Gemm gemm;
    gemm.a = {readA, broadcastOffset(i, batch, aStrides) * m * k, k};
    gemm.b = {readB, broadcastOffset(i, batch, bStrides) * n * k,
              op.getTransposeB() ? k : n};
    gemm.c = sums.get() + i * m * n;
    gemm.ldc = n;
    gemm.m = m, gemm.n = n, gemm.k = k;
    gemm.transposeB = op.getTransposeB();
    return gemm;
  };
  if (type.getNumElements() > 0)
    runGemms(products, make, call.threads);
  return sums;
}

/// Runs the epilogue region over the accumulators.
static FailureOr<Buffer<double>>
runEpilogue(const OpCall &call, nq::MatmulOp op, Buffer<double> sums) {
  auto program = LaneProgram::compile(op.getEpilogue().front(), call.lookup);
  if (failed(program))
    return failure();
  MLIRContext *context = call.op->getContext();
  auto type = RankedTensorType::get(call.resultType().getShape(),
                                    Float32Type::get(context));
  LoopNest nest;
  nest.program = std::move(*program);
  nest.sizes = SmallVector<int64_t>(type.getShape());
  nest.isReduction.assign(type.getRank(), false);
  nest.inputs.push_back(RefTensor::floats(type, std::move(sums)));
  nest.inputs.append(call.operands.begin() + 2, call.operands.end());
  for (const RefTensor &input : nest.inputs)
    nest.maps.push_back(
        getBroadcastMap(input.getShape(), type.getRank(), context));
  // The result has no argument in the region.
  nest.inits.push_back(RefTensor::undefined(type));
  nest.maps.push_back(
      AffineMap::getMultiDimIdentityMap(type.getRank(), context));
  nest.program.args.push_back({true, nest.program.numFloats++});
  auto results = nest.run(call.op, call.threads);
  if (failed(results))
    return failure();
  auto values = allocate<double>(type.getNumElements());
  (*results)[0].read(0, type.getNumElements(), values.get());
  return values;
}

static FailureOr<Results> evalMatmul(const OpCall &call) {
  auto op = cast<nq::MatmulOp>(call.op);
  RefTensor a = call.operands[0], b = call.operands[1];
  // A is read once per strip of B.
  if (a.size() <= largestDecoded)
    a = a.decoded(call.threads);
  Buffer<double> values = multiply(call, op, a, b);
  a = RefTensor();
  if (!op.getEpilogue().empty()) {
    auto after = runEpilogue(call, op, std::move(values));
    if (failed(after))
      return failure();
    values = *after;
  }
  RankedTensorType type = call.resultType();
  roundInPlace(call, values.get(), type.getNumElements(),
               getRounding(type.getElementType()));
  return Results{RefTensor::floats(type, values)};
}

//===----------------------------------------------------------------------===//
// Attention
//===----------------------------------------------------------------------===//

namespace {

/// Scaled dot-product attention on dense operands.
class Attention {
public:
  Attention(const OpCall &call, nq::AttentionOp op)
      : call(call), q(call.get(op.getQ()).decoded(call.threads)),
        k(call.get(op.getK()).decoded(call.threads)),
        v(call.get(op.getV()).decoded(call.threads)),
        mask(call.getOptional(op.getMask())),
        lengths(call.getOptional(op.getLengths())), heads(q.getShape()[1]),
        kvHeads(k.getShape()[1]), queries(q.getShape()[2]),
        keys(k.getShape()[2]), depth(q.getShape()[3]), width(v.getShape()[3]),
        scale(op.getScale().convertToDouble()),
        softcap(op.getSoftcap().convertToDouble()), causal(op.getCausal()),
        bottomRight(op.getBottomRight()), codes(op.getWeightCodes()) {
    int64_t scores[] = {q.getShape()[0], heads, queries, keys};
    if (mask)
      maskStrides = broadcastStrides(mask->getShape(), scores);
  }

  Results run();

private:
  /// Keys that a head has; more than there are count as one that lets every
  /// query see all, and none or fewer as 0.
  int64_t lengthOf(int64_t head) const;
  void runRows(int64_t head, int64_t row, int64_t rows, double *out) const;
  void softmaxRow(int64_t head, int64_t row, double *scores) const;
  void addMask(int64_t head, int64_t row, double *scores) const;
  double quantized(double weight) const;

  const OpCall &call;
  RefTensor q, k, v;
  const RefTensor *mask, *lengths;
  SmallVector<int64_t> maskStrides;
  int64_t heads, kvHeads, queries, keys, depth, width;
  double scale, softcap;
  bool causal, bottomRight;
  std::optional<nq::AttentionOp::WeightCodes> codes;
};

constexpr double minusInfinity = -std::numeric_limits<double>::infinity();

int64_t Attention::lengthOf(int64_t head) const {
  if (!lengths)
    return keys;
  int64_t length = lengths->intAt(lengths->size() == 1 ? 0 : head / heads);
  return std::clamp<int64_t>(length, 0, keys + queries);
}

void Attention::addMask(int64_t head, int64_t row, double *scores) const {
  int64_t length = lengthOf(head), keys = std::min(length, this->keys);
  if (mask) {
    int64_t base = head / heads * maskStrides[0] +
                   head % heads * maskStrides[1] + row * maskStrides[2];
    for (int64_t t = 0; t < keys; ++t) {
      int64_t at = base + t * maskStrides[3];
      if (!mask->isInteger())
        scores[t] += mask->floatAt(at);
      else if (!mask->intAt(at))
        scores[t] = minusInfinity;
    }
  }
  if (causal) {
    int64_t last = row + (bottomRight ? length - queries : 0);
    for (int64_t t = std::max<int64_t>(0, last + 1); t < keys; ++t)
      scores[t] = minusInfinity;
  }
}

/// As nq.quantize, which is defined in f32, and nq.dequantize.
double Attention::quantized(double weight) const {
  rt::StorageFormat format = getFormat(codes->type);
  uint64_t code = rt::staticCode(float(weight), codes->scale, 0, format);
  return rt::decode(format, code) * codes->scale;
}

/// A row with every position masked becomes zero.
void Attention::softmaxRow(int64_t head, int64_t row, double *scores) const {
  int64_t keys = std::min(lengthOf(head), this->keys);
  for (int64_t t = 0; t < keys; ++t) {
    scores[t] *= scale;
    if (softcap != 0)
      scores[t] = softcap * std::tanh(scores[t] / softcap);
  }
  addMask(head, row, scores);
  double largest = minusInfinity, sum = 0;
  bool allMasked = true;
  for (int64_t t = 0; t < keys; ++t) {
    largest = std::fmax(largest, scores[t]);
    allMasked &= scores[t] == minusInfinity;
  }
  if (allMasked)
    return void(std::fill_n(scores, keys, 0.0));
  for (int64_t t = 0; t < keys; ++t)
    sum += scores[t] = std::exp(scores[t] - largest);
  for (int64_t t = 0; t < keys; ++t)
    scores[t] /= sum;
  for (int64_t t = 0; codes && t < keys; ++t)
    scores[t] = quantized(scores[t]);
}

void Attention::runRows(int64_t head, int64_t row, int64_t rows,
                        double *out) const {
  int64_t kvHead = head / heads * kvHeads + head % heads / (heads / kvHeads);
  // What lies behind these keys is as if it were not there.
  int64_t present = std::min(lengthOf(head), keys);
  if (present == 0)
    return void(std::fill_n(out, rows * width, 0.0));
  std::vector<double> scores(rows * keys);
  ReadRun readScores = [&](int64_t begin, int64_t count, double *to) {
    std::copy_n(scores.data() + begin, count, to);
  };
  Gemm first{{makeReader(q), (head * queries + row) * depth, depth},
             {makeReader(k), kvHead * keys * depth, depth},
             scores.data(),
             keys,
             rows,
             present,
             depth,
             true};
  runGemms(1, [&](int64_t) { return first; }, 1);
  for (int64_t r = 0; r < rows; ++r)
    softmaxRow(head, row + r, scores.data() + r * keys);
  Gemm second{{readScores, 0, keys},
              {makeReader(v), kvHead * keys * width, width},
              out,
              width,
              rows,
              width,
              present,
              false};
  runGemms(1, [&](int64_t) { return second; }, 1);
}

Results Attention::run() {
  RankedTensorType type = call.resultType();
  auto values = allocate<double>(type.getNumElements());
  constexpr int64_t rowBlock = 192;
  int64_t blocks = (queries + rowBlock - 1) / rowBlock;
  int64_t tasks = type.getNumElements() ? q.getShape()[0] * heads * blocks : 0;
  parallelFor(call.threads, tasks, 1, [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) {
      int64_t head = begin / blocks, row = begin % blocks * rowBlock;
      runRows(head, row, std::min(rowBlock, queries - row),
              values.get() + (head * queries + row) * width);
    }
  });
  roundInPlace(call, values.get(), type.getNumElements(),
               getRounding(type.getElementType()));
  return {RefTensor::floats(type, values)};
}

} // namespace

static FailureOr<Results> evalAttention(const OpCall &call) {
  return Attention(call, cast<nq::AttentionOp>(call.op)).run();
}

//===----------------------------------------------------------------------===//
// Norm
//===----------------------------------------------------------------------===//

namespace {
/// What a row is normalized by.
struct RowMoments {
  double mean = 0, squares = 0; ///< of what is left without the mean
};
} // namespace

static RowMoments measure(const double *x, int64_t count, bool isLayer) {
  RowMoments row;
  if (isLayer) {
    for (int64_t i = 0; i < count; ++i)
      row.mean += x[i];
    row.mean /= count;
  }
  for (int64_t i = 0; i < count; ++i)
    row.squares += (x[i] - row.mean) * (x[i] - row.mean);
  return row;
}

/// Subtracts the mean and divides by the root of the mean square.
static void normalize(double *x, int64_t count, const RowMoments &row,
                      double epsilon) {
  double root = std::sqrt(row.squares / count + epsilon);
  for (int64_t i = 0; i < count; ++i)
    x[i] = (x[i] - row.mean) / root;
}

static int64_t countTiles(int64_t width, int64_t tile) {
  return (width + tile - 1) / tile;
}

/// Elements of tile `t` of a row.
static int64_t tileSize(int64_t width, int64_t tile, int64_t t) {
  return std::min(tile, width - t * tile);
}

static FailureOr<Results> evalStatistics(const OpCall &call) {
  auto op = cast<nq::StatisticsOp>(call.op);
  const RefTensor &input = call.operands[0];
  bool isLayer = op.getKind() == nq::NormKind::layer;
  int64_t width = input.getShape().back(), tile = op.getTile();
  int64_t tiles = countTiles(width, tile);
  int64_t cells = call.resultType().getNumElements();
  auto sums = allocate<double>(cells), squares = allocate<double>(cells);
  parallelFor(call.threads, cells, 64, [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin) {
      int64_t row = begin / tiles, t = begin % tiles;
      int64_t count = tileSize(width, tile, t);
      std::vector<double> x(count);
      input.read(row * width + t * tile, count, x.data());
      RowMoments moments = measure(x.data(), count, isLayer);
      sums.get()[begin] = std::accumulate(x.begin(), x.end(), 0.0);
      squares.get()[begin] = moments.squares;
    }
  });
  Results results;
  if (isLayer)
    results.push_back(RefTensor::floats(call.resultType(), sums));
  results.push_back(RefTensor::floats(call.resultType(), squares));
  return results;
}

/// The moments of row `row` from its tiles.
static RowMoments mergeTiles(const OpCall &call, nq::NormOp op, int64_t row,
                             int64_t width) {
  int64_t tile = *op.getTile(), tiles = countTiles(width, tile);
  const RefTensor &squares = call.get(op.getStatistics().back());
  RowMoments moments;
  if (op.getKind() != nq::NormKind::layer) {
    for (int64_t t = 0; t < tiles; ++t)
      moments.squares += squares.floatAt(row * tiles + t);
    return moments;
  }
  const RefTensor &sums = call.get(op.getStatistics().front());
  for (int64_t t = 0; t < tiles; ++t)
    moments.mean += sums.floatAt(row * tiles + t);
  moments.mean /= width;
  for (int64_t t = 0; t < tiles; ++t) {
    int64_t count = tileSize(width, tile, t);
    double off = sums.floatAt(row * tiles + t) / count - moments.mean;
    moments.squares += squares.floatAt(row * tiles + t) + count * off * off;
  }
  return moments;
}

namespace {
/// Scale or bias of a norm, one value per element of the input.
struct NormFactor {
  RefTensor tensor;
  SmallVector<int64_t> strides;
  ArrayRef<int64_t> shape;

  NormFactor(const RefTensor *operand, ArrayRef<int64_t> shape) : shape(shape) {
    if (!operand)
      return;
    tensor = operand->decoded(1);
    strides = broadcastStrides(operand->getShape(), shape);
  }
  double at(int64_t flat) const {
    return tensor.floatAt(broadcastOffset(flat, shape, strides));
  }
};
} // namespace

static FailureOr<Results> evalNorm(const OpCall &call) {
  auto op = cast<nq::NormOp>(call.op);
  RankedTensorType type = call.resultType();
  const RefTensor &input = call.get(op.getInput());
  int64_t width =
      ShapedType::getNumElements(type.getShape().drop_front(op.getAxis()));
  int64_t rows = width ? type.getNumElements() / width : 0;
  NormFactor scale(call.getOptional(op.getScale()), type.getShape()),
      bias(call.getOptional(op.getBias()), type.getShape());
  auto values = allocate<double>(type.getNumElements());
  Rounding rounding = getRounding(type.getElementType());
  auto runRow = [&](int64_t row) {
    double *x = values.get() + row * width;
    input.read(row * width, width, x);
    bool isLayer = op.getKind() == nq::NormKind::layer;
    RowMoments moments = op.getStatistics().empty()
                             ? measure(x, width, isLayer)
                             : mergeTiles(call, op, row, width);
    normalize(x, width, moments, op.getEpsilon().convertToDouble());
    for (int64_t i = 0; scale.tensor && i < width; ++i)
      x[i] *= scale.at(row * width + i);
    for (int64_t i = 0; bias.tensor && i < width; ++i)
      x[i] += bias.at(row * width + i);
    rounding.apply(x, width);
  };
  int64_t grain = std::max<int64_t>(1, 16384 / std::max<int64_t>(1, width));
  parallelFor(call.threads, rows, grain, [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin)
      runRow(begin);
  });
  return Results{RefTensor::floats(type, values)};
}

//===----------------------------------------------------------------------===//
// Rope
//===----------------------------------------------------------------------===//

static FailureOr<Results> evalRope(const OpCall &call) {
  auto op = cast<nq::RopeOp>(call.op);
  RankedTensorType type = call.resultType();
  ArrayRef<int64_t> shape = type.getShape();
  const RefTensor &input = call.operands[0];
  RefTensor cos = call.operands[1].decoded(call.threads),
            sin = call.operands[2].decoded(call.threads);
  int64_t positions = shape[2], width = shape[3], half = cos.getShape()[2];
  bool perBatch = cos.getShape()[0] != 1;
  auto values = allocate<double>(type.getNumElements());
  Rounding rounding = getRounding(type.getElementType());
  auto runRow = [&](int64_t row) {
    double *x = values.get() + row * width;
    input.read(row * width, width, x);
    int64_t batch = perBatch ? row / (positions * shape[1]) : 0;
    int64_t angle = (batch * positions + row % positions) * half;
    for (int64_t i = 0; i < half; ++i) {
      double &a = op.getInterleaved() ? x[2 * i] : x[i];
      double &b = op.getInterleaved() ? x[2 * i + 1] : x[i + half];
      double c = cos.floatAt(angle + i), s = sin.floatAt(angle + i);
      double first = a * c - b * s;
      b = b * c + a * s;
      a = first;
    }
    rounding.apply(x, width);
  };
  int64_t rows = width ? type.getNumElements() / width : 0;
  parallelFor(call.threads, rows, 256, [&](int64_t begin, int64_t end) {
    for (; begin < end; ++begin)
      runRow(begin);
  });
  return Results{RefTensor::floats(type, values)};
}

void nibble::ref::addNetworkEvals(EvalTable &table) {
  table["nq.matmul"] = evalMatmul;
  table["nq.attention"] = evalAttention;
  table["nq.norm"] = evalNorm;
  table["nq.statistics"] = evalStatistics;
  table["nq.rope"] = evalRope;
}
