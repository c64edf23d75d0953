// Stores sums as elements of a product's result.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ResultWriter.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using cpu::Lin;
using cpu::Node;

static Node *multiply(cpu::Dag &dag, Node *x, Node *y) {
  return dag.compute(
      x->type, {x, y},
      [](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) -> Value {
        return arith::MulFOp::create(b, values[0], values[1]);
      });
}

ResultWriter::ResultWriter(MLIRContext *context, const MatrixResult &result)
    : result(result), lanes(result.columns % 4 ? 1 : 4), dag(context) {
  batchDim = dag.addDim({result.batches});
  rowDim = dag.addDim({result.rows});
  columnDim = dag.addDim({result.columns / lanes});
  Lin batch = Lin::dim(batchDim), row = Lin::dim(rowDim),
      column = Lin::dim(columnDim, lanes);
  if (lanes > 1) {
    laneDim = dag.addDim({lanes});
    column += Lin::dim(laneDim);
  }
  sum = dag.accumulator(Float32Type::get(context),
                        dag.depsOf(batch + row + column));
  Node *value = sum;
  for (auto &factor : result.factors)
    value = multiply(dag, value, factor(dag, batch, row, column));
  bits = dag.encode(result.tensor->element, value);
  offset = result.tensor->offsetOf(dag, result.index(dag, batch, row, column));
}

void ResultWriter::write(cpu::GemmCode &code, Value sums, Value batch,
                         Value row, Value column) {
  SmallVector<unsigned> self;
  for (unsigned d = 0; d < dag.getDims().size(); ++d)
    self.push_back(d);
  cpu::LoopEmitter emitter(code.b, dag, self);
  emitter.setAligned();
  emitter.bind(batchDim, batch);
  emitter.bind(rowDim, row);
  emitter.bind(columnDim, column);
  if (lanes > 1)
    emitter.bindLanes(laneDim, code.index(0), lanes);
  emitter.setValue(sum, sums);
  emitter.store(result.tensor->buffer, offset, bits);
}

} // namespace gpu
} // namespace nibble
