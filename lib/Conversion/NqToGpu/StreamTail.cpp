// What follows streamed products, on sums of a row and some columns.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamTail.h"

#include "FusedPlan.h"

using namespace mlir;

namespace nibble {
namespace gpu {

using cpu::Dag;
using cpu::Index;
using cpu::IndexRef;
using cpu::Lin;
using cpu::Node;
using cpu::Tensor;

static LogicalResult no(std::string &why, const Twine &reason) {
  why = reason.str();
  return failure();
}

//===----------------------------------------------------------------------===//
// Tensors
//===----------------------------------------------------------------------===//

void StreamTail::placeTensors(const cpu::ProductSpace &space) {
  for (const auto &[value, member] : space.members) {
    Tensor &tensor = graph.graph.isScaled(value)
                         ? *graph.graph.scaledOf(value).codes
                         : graph.graph.plainOf(value);
    tensor.place = member.place;
    tensor.product = member.group;
  }
}

LogicalResult StreamTail::readResults(std::string &why) {
  Operation *end = graph.part.front().getTerminator();
  llvm::DenseSet<Value> seen;
  for (auto [i, value] : llvm::enumerate(end->getOperands())) {
    if (isa<BlockArgument>(value))
      return no(why, "a result is an operand");
    if (!seen.insert(value).second)
      return no(why, "a value is returned twice");
    for (auto [number, part] : llvm::enumerate(graph.graph.partsOf(value))) {
      if (!part->place && part->size() > 16)
        return no(why, "a result of " + Twine(part->size()) +
                           " elements depends on no product");
      if (part->layout && !part->layout.isRowMajor())
        return no(why, "a result does not lie row-major");
      if (cpu::isPacked(part->element))
        return no(why, "a result has 4 bits");
      if (part->place && part->size() != problem.m * problem.n)
        return no(why, "a result has other elements than the product");
      if (!part->isComputed())
        return no(why, "a result is a constant");
      (part->place ? results : passed).push_back(part);
      graph.stages.results.push_back({part, unsigned(i), unsigned(number)});
    }
  }
  if (results.empty())
    return no(why, "no result depends on the product");
  return success();
}

LogicalResult StreamTail::read(std::string &why) {
  auto space = cpu::mapProducts(graph.part.front(), why, /*forCpu=*/false);
  if (failed(space) || failed(cpu::readQuietly(graph.graph, graph.part.front(),
                                               /*products=*/true, why)))
    return failure();
  if (space->groups.size() != 1)
    return no(why, Twine(space->groups.size()) +
                       " groups of products in one kernel");
  if (space->groups.front().run > 1)
    return no(why, "runs of " + Twine(space->groups.front().run) +
                       " columns belong together behind the product");
  placeTensors(*space);
  for (Tensor &tensor : graph.graph.tensors) {
    tensor.stored = !tensor.isComputed();
    tensor.buffer.element = tensor.element;
    if (tensor.reduction)
      return no(why, "a sum or maximum is in the kernel");
  }
  for (const StreamedWeight &weight : problem.weights) {
    nq::MatmulOp op = weight.op;
    graph.product = op;
    MatrixProduct &product = products.emplace_back(graph.graph, op);
    product.c.tensor->stored = false;
    cpu::ScaledTensor *scaled =
        problem.format.block ? &graph.graph.scaledOf(op.getB()) : nullptr;
    // Scales per block are in the sums, the global one is not.
    if (scaled && scaled->global)
      product.c.factors.push_back([scaled](Dag &dag, const Lin &, const Lin &,
                                           const Lin &) {
        return dag.pull(*scaled->global, Index(scaled->global->shape.size()));
      });
  }
  for (auto [number, product] : llvm::enumerate(products))
    product.c.tensor->compute =
        [this, number = unsigned(number)](Dag &dag, IndexRef index) {
          return makeProduct(dag, number, index);
        };
  if (failed(readResults(why)))
    return failure();
  return checkPulls(why);
}

//===----------------------------------------------------------------------===//
// Functions of the sums
//===----------------------------------------------------------------------===//

static Node *multiply(Dag &dag, Node *x, Node *y) {
  return dag.compute(
      x->type, {x, y},
      [](ImplicitLocOpBuilder &b, ArrayRef<Value> values, Type) -> Value {
        return arith::MulFOp::create(b, values[0], values[1]);
      });
}

/// True if `lin` is `place`: a constant if it has one element.
static bool isAt(const Lin &lin, const Lin &place, int64_t extent) {
  return lin == place || (extent == 1 && lin == Lin());
}

Node *StreamTail::makeProduct(Dag &dag, unsigned number, IndexRef index) {
  const MatrixResult &c = products[number].c;
  const cpu::Placement &place = *c.tensor->place;
  isElsewhere |= !isAt(place.rowOf(index), row, problem.m) ||
                 !isAt(place.columnOf(index), column, problem.n);
  Node *value = accumulators[number];
  if (factor != 1)
    value = multiply(dag, value, dag.constant(value->type, factor));
  for (auto &scale : c.factors)
    value = multiply(dag, value, scale(dag, Lin(), row, column));
  return dag.roundTo(c.tensor->element, value);
}

/// Of the element of `tensor` at (row, column) of the product.
Index StreamTail::indexAt(Dag &dag, const Tensor &tensor) const {
  Index index;
  for (auto [digit, extent] : llvm::zip(tensor.place->digits, tensor.shape)) {
    if (!digit.stride) {
      index.push_back(Lin());
      continue;
    }
    const Lin &lin = digit.column ? column : row;
    index.push_back(dag.mod(dag.floorDiv(lin, digit.stride), extent));
  }
  return index;
}

namespace {
enum : unsigned { kRow, kColumn, kLane };
} // namespace

void StreamTail::computeProducts(Dag &dag) {
  int64_t lanes = getLanes();
  dag.addDim({problem.m});
  dag.addDim({problem.n / lanes});
  row = Lin::dim(kRow);
  column = Lin::dim(kColumn, lanes);
  if (lanes > 1) {
    dag.addDim({lanes});
    column += Lin::dim(kLane);
  }
  accumulators.clear();
  for (size_t i = 0; i < products.size(); ++i)
    accumulators.push_back(dag.accumulator(Float32Type::get(dag.context),
                                           dag.depsOf(row + column)));
}

LogicalResult StreamTail::checkPulls(std::string &why) {
  Dag dag(graph.part.getContext());
  computeProducts(dag);
  for (Tensor *tensor : results)
    dag.pull(*tensor, indexAt(dag, *tensor));
  if (isElsewhere)
    return no(why, "an element needs the product at another row or column");
  return success();
}

//===----------------------------------------------------------------------===//
// Code
//===----------------------------------------------------------------------===//

void StreamTail::write(cpu::GemmCode &code, ValueRange sums, Value atRow,
                       Value atColumn) {
  Dag dag(graph.part.getContext());
  computeProducts(dag);
  SmallVector<Node *> bits;
  SmallVector<Lin> offsets;
  for (Tensor *tensor : results) {
    Index index = indexAt(dag, *tensor);
    bits.push_back(dag.encode(tensor->element, dag.pull(*tensor, index)));
    offsets.push_back(tensor->offsetOf(dag, index));
  }
  SmallVector<unsigned> self =
      llvm::to_vector(llvm::seq<unsigned>(0, dag.getDims().size()));
  cpu::LoopEmitter emitter(code.b, dag, self);
  emitter.setAligned();
  emitter.bind(kRow, atRow);
  emitter.bind(kColumn, atColumn);
  if (getLanes() > 1)
    emitter.bindLanes(kLane, code.index(0), getLanes());
  for (auto [accumulator, sum] : llvm::zip(accumulators, sums))
    emitter.setValue(accumulator, sum);
  for (auto [tensor, node, offset] : llvm::zip(results, bits, offsets))
    emitter.store(tensor->buffer, offset, node);
}

void StreamTail::writePassed(cpu::GemmCode &code) {
  Dag dag(graph.part.getContext());
  cpu::LoopEmitter emitter(code.b, dag, {});
  for (Tensor *tensor : passed)
    for (int64_t i = 0; i < tensor->size(); ++i) {
      Index index = dag.delinearize(Lin(i), tensor->shape);
      Node *bits = dag.encode(tensor->element, dag.pull(*tensor, index));
      emitter.store(tensor->buffer, tensor->offsetOf(dag, index), bits);
    }
}

} // namespace gpu
} // namespace nibble
