// The operands and results of products as batches of matrices.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ProductMatrices.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using cpu::Dag;
using cpu::Index;
using cpu::IndexRef;
using cpu::KernelGraph;
using cpu::Lin;
using cpu::Node;

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

Node *elementOf(KernelGraph &graph, Value value, Dag &dag, IndexRef index,
                bool withoutScale) {
  if (!graph.isScaled(value))
    return dag.pull(graph.plainOf(value), index);
  cpu::ScaledTensor &scaled = graph.scaledOf(value);
  Node *code = scaled.codeValue(dag, index);
  if (withoutScale)
    return code;
  return dag.compute(
      code->type, {code, scaled.effectiveScale(dag, index)},
      [](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) -> Value {
        return arith::MulFOp::create(b, values[0], values[1]);
      });
}

/// Batch dimensions broadcast as in numpy.
static Index broadcast(IndexRef batch, ArrayRef<int64_t> shape) {
  Index index;
  size_t skipped = batch.size() + 2 - shape.size();
  for (auto [d, extent] : llvm::enumerate(shape.drop_back(2)))
    index.push_back(extent == 1 ? Lin() : batch[skipped + d]);
  return index;
}

namespace {

/// Where the elements of one operand or the result are.
struct Places {
  ArrayRef<int64_t> shape;  ///< of the tensor
  ArrayRef<int64_t> result; ///< of the result
  bool merged;              ///< all but the last dimension are rows
  bool transposed;          ///< the last two dimensions are (column, row)

  Index at(Dag &dag, const Lin &batch, const Lin &row,
           const Lin &column) const {
    Index index;
    if (merged) {
      index = dag.delinearize(row, shape.drop_back());
      index.push_back(column);
      return index;
    }
    index = broadcast(dag.delinearize(batch, result.drop_back(2)), shape);
    index.push_back(transposed ? column : row);
    index.push_back(transposed ? row : column);
    return index;
  }
};

/// The scale does not depend on the place along dimension `dim`.
bool hasUniformScale(Value value, int64_t dim) {
  auto type = cast<RankedTensorType>(value.getType());
  nq::ScaledType scaled = nq::getScaledElement(type);
  return scaled &&
         scaled.getBlockFor(type.getShape())[dim] >= type.getDimSize(dim);
}

} // namespace

MatrixProduct::MatrixProduct(KernelGraph &graph, nq::MatmulOp op)
    : depth(op.getK()) {
  ArrayRef<int64_t> shapeA = shapeOf(op.getA()), shapeB = shapeOf(op.getB()),
                    shapeC = shapeOf(op.getResult());
  bool merged = shapeB.size() == 2;
  int64_t batches =
      merged ? 1 : ShapedType::getNumElements(shapeC.drop_back(2));
  int64_t rows =
      merged ? ShapedType::getNumElements(shapeC.drop_back()) : op.getM();
  Places placeA{shapeA, shapeC, merged, false};
  Places placeB{shapeB, shapeC, false, !op.getTransposeB()};
  Places placeC{shapeC, shapeC, merged, false};
  int64_t depthOfB = shapeB.size() - (op.getTransposeB() ? 1 : 2);
  bool laterA = hasUniformScale(op.getA(), shapeA.size() - 1),
       laterB = hasUniformScale(op.getB(), depthOfB);
  auto element = [&graph](Value value, const Places &place, bool later) {
    return [&graph, value, place, later](Dag &dag, const Lin &batch,
                                         const Lin &row, const Lin &k) {
      return elementOf(graph, value, dag, place.at(dag, batch, row, k), later);
    };
  };
  a = {element(op.getA(), placeA, laterA), batches, rows, depth};
  b = {element(op.getB(), placeB, laterB), batches, op.getN(), depth};
  c.tensor = &graph.plainOf(op.getResult());
  c.batches = batches;
  c.rows = rows;
  c.columns = op.getN();
  c.index = [placeC](Dag &dag, const Lin &batch, const Lin &row,
                     const Lin &column) {
    return placeC.at(dag, batch, row, column);
  };
  auto scaleOf = [&graph](Value value, const Places &place, bool ofRow) {
    return [&graph, value, place, ofRow](Dag &dag, const Lin &batch,
                                         const Lin &row, const Lin &column) {
      Index index = place.at(dag, batch, ofRow ? row : column, Lin());
      return graph.scaledOf(value).effectiveScale(dag, index);
    };
  };
  if (laterA)
    c.factors.push_back(scaleOf(op.getA(), placeA, true));
  if (laterB)
    c.factors.push_back(scaleOf(op.getB(), placeB, false));
}

} // namespace gpu
} // namespace nibble
