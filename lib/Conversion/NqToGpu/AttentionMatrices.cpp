// nq.attention as products of matrices.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionSimt.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using cpu::Dag;
using cpu::Index;
using cpu::Lin;
using cpu::Node;

static ArrayRef<int64_t> shapeOf(Value value) {
  return cast<RankedTensorType>(value.getType()).getShape();
}

AttentionMatrices::AttentionMatrices(cpu::KernelGraph &graph,
                                     nq::AttentionOp op)
    : scale(op.getScale().convertToDouble()),
      softcap(op.getSoftcap().convertToDouble()), causal(op.getCausal()),
      codes(op.getWeightCodes()) {
  ArrayRef<int64_t> shapeQ = shapeOf(op.getQ()), shapeV = shapeOf(op.getV());
  batch = shapeQ[0], heads = shapeQ[1], queries = shapeQ[2], depth = shapeQ[3];
  kvHeads = shapeV[1], keys = shapeV[2], width = shapeV[3];
  shift = op.getBottomRight() ? keys - queries : 0;
  int64_t matrices = batch * kvHeads;
  // [batch, head, query] of a row.
  auto place = [kv = kvHeads, group = group(), queries = queries](
                   Dag &dag, const Lin &matrix, const Lin &row) {
    Lin b = dag.floorDiv(matrix, kv), ofGroup = dag.floorDiv(row, queries);
    Lin head = (matrix - b * kv) * group + ofGroup;
    return Index{b, head, row - ofGroup * queries};
  };
  auto keyPlace = [kv = kvHeads](Dag &dag, const Lin &matrix, const Lin &key,
                                 const Lin &column) {
    Lin b = dag.floorDiv(matrix, kv);
    return Index{b, matrix - b * kv, key, column};
  };
  q = {[&graph, value = Value(op.getQ()), place](Dag &dag, const Lin &matrix,
                                                 const Lin &row, const Lin &d) {
         Index index = place(dag, matrix, row);
         index.push_back(d);
         return elementOf(graph, value, dag, index);
       },
       matrices, rows(), depth};
  k = {[&graph, value = Value(op.getK()),
        keyPlace](Dag &dag, const Lin &matrix, const Lin &key, const Lin &d) {
         return elementOf(graph, value, dag, keyPlace(dag, matrix, key, d));
       },
       matrices, keys, depth};
  v = {[&graph, value = Value(op.getV()), keyPlace](
           Dag &dag, const Lin &matrix, const Lin &column, const Lin &key) {
         return elementOf(graph, value, dag,
                          keyPlace(dag, matrix, key, column));
       },
       matrices, width, keys};
  result.tensor = &graph.plainOf(op.getResult());
  result.batches = matrices;
  result.rows = rows();
  result.columns = width;
  result.index = [place](Dag &dag, const Lin &matrix, const Lin &row,
                         const Lin &column) {
    Index index = place(dag, matrix, row);
    index.push_back(column);
    return index;
  };
  if (op.getLengths()) {
    followsLength = op.getBottomRight();
    length = [&graph, value = Value(op.getLengths()),
              kv = kvHeads](Dag &dag, const Lin &matrix) {
      bool forAll = shapeOf(value)[0] == 1;
      return elementOf(graph, value, dag,
                       Index{forAll ? Lin() : dag.floorDiv(matrix, kv)});
    };
  }
  if (!op.getMask())
    return;
  mask = [&graph, value = Value(op.getMask()),
          place](Dag &dag, const Lin &matrix, const Lin &row, const Lin &key) {
    Index full = place(dag, matrix, row), index;
    full.push_back(key);
    ArrayRef<int64_t> shape = shapeOf(value);
    for (auto [lin, extent] :
         llvm::zip(ArrayRef<Lin>(full).take_back(shape.size()), shape))
      index.push_back(extent == 1 ? Lin() : lin);
    return elementOf(graph, value, dag, index);
  };
}

} // namespace gpu
} // namespace nibble
