// What follows streamed products, on sums of a row and some columns.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamTail.h"

#include "FusedPlan.h"
#include "LoopsTeam.h"

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

namespace {
enum : unsigned { kRow, kColumn, kLane };
} // namespace

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
    if (member.scales)
      graph.graph.scaledOf(value).scales->place = member.scales;
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
  placeTensors(*space);
  for (Tensor &tensor : graph.graph.tensors) {
    tensor.stored = !tensor.isComputed();
    tensor.buffer.element = tensor.element;
    if (tensor.reduction && failed(takeMaximum(tensor, why)))
      return failure();
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

/// A maximum of blocks of columns, each of which is a thread's.
LogicalResult StreamTail::takeMaximum(Tensor &tensor, std::string &why) {
  constexpr int64_t kColumns = 16;
  const cpu::Reduction &fold = *tensor.reduction;
  const Tensor &placed = tensor.alike ? *tensor.alike : tensor;
  if (fold.kinds.size() != 1 || fold.extents.size() != 1 ||
      fold.kinds[0] != vector::CombiningKind::MAXUI || !placed.place)
    return no(why, "a sum or maximum over several columns follows");
  if (fold.extents[0] != kColumns || problem.n % kColumns)
    return no(why, "blocks of " + Twine(fold.extents[0]) + " of " +
                       Twine(problem.n) +
                       " columns have scales; whole blocks of 16 work");
  block = kColumns;
  tensor.compute = [this, &tensor, place = *placed.place](Dag &dag,
                                                          IndexRef index) {
    return makeMaximum(dag, tensor, place, index);
  };
  return success();
}

/// Of all lanes: it does not depend on them.
Node *StreamTail::makeMaximum(Dag &dag, Tensor &tensor,
                              const cpu::Placement &place, IndexRef index) {
  isElsewhere |= !(IndexRef(indexAt(dag, place, tensor.shape)) == index);
  Index folded{dag.mod(column, block)};
  Node *term = tensor.reduction->terms(dag, index, folded)[0];
  Node *node =
      dag.compute(term->type, {term},
                  [fold = tensor.reduction](ImplicitLocOpBuilder &b,
                                            ArrayRef<Value> values, Type) {
                    return foldLanes(b, *fold, 0, values[0]);
                  });
  node->deps &= ~(uint64_t(1) << kLane);
  return node;
}

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

/// Of the element of a tensor with `place` at (row, column) of the product.
Index StreamTail::indexAt(Dag &dag, const cpu::Placement &place,
                          ArrayRef<int64_t> shape) const {
  Index index;
  for (auto [digit, extent] : llvm::zip(place.digits, shape)) {
    if (!digit.stride) {
      index.push_back(Lin());
      continue;
    }
    const Lin &lin = digit.column ? column : row;
    index.push_back(dag.mod(dag.floorDiv(lin, digit.stride), extent));
  }
  return index;
}

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
    dag.pull(*tensor, indexAt(dag, *tensor->place, tensor->shape));
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
    Index index = indexAt(dag, *tensor->place, tensor->shape);
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
