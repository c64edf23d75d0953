// Normalization, and the statistics of rows that it takes, as tensors of a
// kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GpuCode.h"
#include "KernelGraph.h"
#include "RowMath.h"

using namespace mlir;

namespace nibble {
namespace cpu {
namespace {

/// Index into an operand that broadcasts as in numpy.
Index broadcastIndex(IndexRef index, ArrayRef<int64_t> shape) {
  Index at;
  size_t skip = index.size() - shape.size();
  for (auto [i, extent] : llvm::enumerate(shape))
    at.push_back(extent == 1 ? Lin() : index[skip + i]);
  return at;
}

Index join(IndexRef index, IndexRef rest) {
  Index at(index.begin(), index.end());
  at.append(rest.begin(), rest.end());
  return at;
}

/// GPUs add it without rounding it before: one instruction for both.
Node *square(Dag &dag, Node *x) {
  return math(dag, {x}, [](auto &b, ArrayRef<Value> values) -> Value {
    auto flags = isGpuCode(b) ? arith::FastMathFlags::contract
                              : arith::FastMathFlags::none;
    return arith::MulFOp::create(b, values[0], values[0], flags);
  });
}

Node *times(Dag &dag, Node *x, Node *y) {
  return math(dag, {x, y}, [](auto &b, ArrayRef<Value> values) {
    return (lanes(b, values[0]) * lanes(b, values[1])).v;
  });
}

Node *times(Dag &dag, Node *x, double factor) {
  return math(dag, {x}, [factor](auto &b, ArrayRef<Value> values) {
    return (lanes(b, values[0]) * factor).v;
  });
}

Node *minus(Dag &dag, Node *x, Node *y) {
  return math(dag, {x, y}, [](auto &b, ArrayRef<Value> values) {
    return (lanes(b, values[0]) - lanes(b, values[1])).v;
  });
}

/// Rows of `width` elements in tiles; the last one may be partial.
struct Tiling {
  Tiling(int64_t width, int64_t tile)
      : width(width),
        tile(std::clamp<int64_t>(tile, 1, std::max<int64_t>(width, 1))) {}

  int64_t width, tile;
  int64_t count() const { return (width + tile - 1) / tile; }

  /// Elements of tile `t`, or one over that.
  Node *size(Dag &dag, Type type, const Lin &t, bool inverse) const {
    auto number = [&](int64_t elements) {
      return dag.constant(type, inverse ? 1.0 / elements : elements);
    };
    Node *whole = number(tile);
    if (width % tile == 0)
      return whole;
    return choose(dag, dag.inside(t, width / tile), whole,
                  number(width % tile));
  }
};

/// What a row is normalized by: tensors over rows. `sum` is null for `rms`.
struct RowSums {
  Tensor *sum = nullptr, *squares = nullptr;

  SmallVector<Tensor *> all() const {
    return sum ? SmallVector<Tensor *>{sum, squares}
               : SmallVector<Tensor *>{squares};
  }
  /// x less the mean of its row.
  Node *center(Dag &dag, IndexRef row, Node *x, double count) const {
    return sum ? minus(dag, x, times(dag, dag.pull(*sum, row), 1.0 / count))
               : x;
  }
};

} // namespace

//===----------------------------------------------------------------------===//
// Statistics
//===----------------------------------------------------------------------===//

LogicalResult KernelGraph::readStatistics(nq::StatisticsOp op) {
  Tensor *input = &kept(plainOf(op.getInput()));
  Type type = computeType(input->element);
  unsigned last = input->shape.size() - 1;
  int64_t width = input->shape[last];
  Tiling tiling(width, op.getTile());
  SmallVector<int64_t> shape(input->shape);
  shape[last] = tiling.count();
  auto elementOf = [=](Dag &dag, IndexRef index, IndexRef folded) {
    Index at(index.begin(), index.end());
    at[last] = index[last] * tiling.tile + folded[0];
    return dag.pull(*input, at);
  };
  auto foldTile = [&](ArrayRef<Tensor *> sources, auto term) {
    Tensor *tensor = &fold(type, shape, {tiling.tile},
                           vector::CombiningKind::ADD, sources, term);
    if (width % tiling.tile)
      tensor->reduction->bounds[0] = Reduction::Bound{last, width};
    return tensor;
  };
  if (op.getKind() != nq::NormKind::layer) {
    plain[op.getSums()[0]] =
        foldTile({input}, [=](Dag &dag, IndexRef index, IndexRef folded) {
          return square(dag, elementOf(dag, index, folded));
        });
    return success();
  }
  Tensor *sum = foldTile({input}, elementOf);
  plain[op.getSums()[0]] = sum;
  plain[op.getSums()[1]] =
      foldTile({input, sum}, [=](Dag &dag, IndexRef index, IndexRef folded) {
        Node *mean = times(dag, dag.pull(*sum, index),
                           tiling.size(dag, type, index[last], true));
        return square(dag, minus(dag, elementOf(dag, index, folded), mean));
      });
  return success();
}

//===----------------------------------------------------------------------===//
// Norm
//===----------------------------------------------------------------------===//

/// One or two passes over the elements of each row.
static RowSums sumRows(KernelGraph &graph, nq::NormOp op, Tensor *input) {
  Type type = computeType(input->element);
  ArrayRef<int64_t> shape = input->shape;
  ArrayRef<int64_t> rows = shape.take_front(op.getAxis()),
                    folded = shape.drop_front(op.getAxis());
  double count = ShapedType::getNumElements(folded);
  RowSums sums;
  if (op.getKind() == nq::NormKind::layer)
    sums.sum =
        &graph.fold(type, rows, folded, vector::CombiningKind::ADD, {input},
                    [=](Dag &dag, IndexRef index, IndexRef rest) {
                      return dag.pull(*input, join(index, rest));
                    });
  SmallVector<Tensor *> sources{input};
  if (sums.sum)
    sources.push_back(sums.sum);
  sums.squares =
      &graph.fold(type, rows, folded, vector::CombiningKind::ADD, sources,
                  [=](Dag &dag, IndexRef index, IndexRef rest) {
                    Node *x = dag.pull(*input, join(index, rest));
                    return square(dag, sums.center(dag, index, x, count));
                  });
  return sums;
}

/// The same from the statistics of tiles, see nq.norm.
static RowSums mergeTiles(KernelGraph &graph, nq::NormOp op,
                          ArrayRef<int64_t> shape) {
  ValueRange statistics = op.getStatistics();
  Tensor *squares = &graph.plainOf(statistics.back());
  Type type = computeType(squares->element);
  Tiling tiling(shape.back(), *op.getTile());
  ArrayRef<int64_t> rows = shape.drop_back();
  auto foldTiles = [&](ArrayRef<Tensor *> sources, auto term) {
    return &graph.fold(type, rows, {tiling.count()}, vector::CombiningKind::ADD,
                       sources, term);
  };
  auto pullTile = [](Tensor *from) {
    return [=](Dag &dag, IndexRef index, IndexRef tile) {
      return dag.pull(*from, join(index, tile));
    };
  };
  if (op.getKind() != nq::NormKind::layer)
    return {nullptr, foldTiles({squares}, pullTile(squares))};
  Tensor *tileSums = &graph.plainOf(statistics.front());
  RowSums sums;
  sums.sum = foldTiles({tileSums}, pullTile(tileSums));
  sums.squares =
      foldTiles({squares, tileSums, sums.sum}, [=](Dag &dag, IndexRef index,
                                                   IndexRef tile) {
        Node *mean = times(dag, dag.pull(*tileSums, join(index, tile)),
                           tiling.size(dag, type, tile[0], true));
        Node *off = square(dag, sums.center(dag, index, mean, tiling.width));
        Node *between = times(dag, off, tiling.size(dag, type, tile[0], false));
        return math(dag, {dag.pull(*squares, join(index, tile)), between},
                    [](auto &b, ArrayRef<Value> values) {
                      return (lanes(b, values[0]) + lanes(b, values[1])).v;
                    });
      });
  return sums;
}

/// 1 / sqrt(squares / count + epsilon).
static Node *inverseRoot(Dag &dag, Node *squares, double count,
                         double epsilon) {
  return math(dag, {squares}, [=](auto &b, ArrayRef<Value> values) {
    Lanes variance = lanes(b, values[0]) * (1.0 / count) + epsilon;
    Value root = math::SqrtOp::create(b, variance.v);
    return (1.0 / lanes(b, root)).v;
  });
}

LogicalResult KernelGraph::readNorm(nq::NormOp op) {
  bool merges = !op.getStatistics().empty();
  Tensor *input = &plainOf(op.getInput());
  if (!merges)
    kept(*input); // read once per pass
  Tensor *scale = op.getScale() ? &plainOf(op.getScale()) : nullptr;
  Tensor *bias = op.getBias() ? &plainOf(op.getBias()) : nullptr;
  double epsilon = op.getEpsilon().convertToDouble();
  Type type = computeType(input->element);
  unsigned axis = op.getAxis();
  double count = ShapedType::getNumElements(
      ArrayRef<int64_t>(input->shape).drop_front(axis));
  RowSums sums =
      merges ? mergeTiles(*this, op, input->shape) : sumRows(*this, op, input);
  SmallVector<Tensor *> sources{input};
  llvm::append_range(sources, sums.all());
  for (Tensor *factor : {scale, bias})
    if (factor)
      sources.push_back(factor);
  Type element = cast<RankedTensorType>(op.getType()).getElementType();
  define(op, sources, [=](Dag &dag, IndexRef index) {
    Index row(index.begin(), index.begin() + axis);
    Node *x = sums.center(dag, row, dag.pull(*input, index), count);
    Node *inverse =
        inverseRoot(dag, dag.pull(*sums.squares, row), count, epsilon);
    SmallVector<Node *> operands{x, inverse};
    for (Tensor *factor : {scale, bias})
      if (factor)
        operands.push_back(
            widen(dag, dag.pull(*factor, broadcastIndex(index, factor->shape)),
                  type));
    bool scales = scale, biases = bias;
    Node *value = math(dag, operands, [=](auto &b, ArrayRef<Value> values) {
      Lanes y = lanes(b, values[0]) * lanes(b, values[1]);
      if (scales)
        y = y * lanes(b, values[2]);
      return biases ? (y + lanes(b, values.back())).v : y.v;
    });
    return dag.roundTo(element, value);
  });
  return success();
}

} // namespace cpu
} // namespace nibble
