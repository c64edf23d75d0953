// linalg ops and elementwise scalar ops, by way of loop nests.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Eval.h"
#include "LoopNest.h"
#include "Threads.h"

#include "mlir/Dialect/Linalg/IR/Linalg.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

static LogicalResult checkTensors(const OpCall &call, linalg::LinalgOp op) {
  if (!op.hasPureTensorSemantics())
    return call.error() << "works on buffers; the reference evaluates tensors";
  for (const RefTensor &operand : call.operands)
    if (operand.isScaled())
      return call.error() << "has scaled operand " << operand.getType()
                          << "; dequantize it first";
  return success();
}

FailureOr<Results> nibble::ref::evalLinalg(const OpCall &call) {
  auto op = cast<linalg::LinalgOp>(call.op);
  if (failed(checkTensors(call, op)))
    return failure();
  auto program = LaneProgram::compile(*op.getBlock(), call.lookup);
  if (failed(program))
    return failure();
  // Some named ops have no argument for the results: registers of their own.
  for (size_t i = program->args.size(); i < call.operands.size(); ++i) {
    bool isFloat = !call.operands[i].isInteger();
    program->args.push_back(
        {isFloat, isFloat ? program->numFloats++ : program->numInts++});
  }
  if (program->args.size() != call.operands.size() ||
      program->yields.size() != call.op->getNumResults())
    return call.error() << "has a body that does not take one element per "
                           "operand and yield one per result";
  LoopNest nest;
  nest.program = std::move(*program);
  nest.sizes = op.getStaticLoopRanges();
  for (utils::IteratorType type : op.getIteratorTypesArray())
    nest.isReduction.push_back(type == utils::IteratorType::reduction);
  nest.maps = op.getIndexingMapsArray();
  nest.inputs.append(call.operands.begin(),
                     call.operands.begin() + op.getNumDpsInputs());
  nest.inits.append(call.operands.begin() + op.getNumDpsInputs(),
                    call.operands.end());
  if (llvm::any_of(nest.sizes, ShapedType::isDynamic))
    return call.error() << "has a loop whose extent no operand gives";
  return nest.run(call.op, call.threads);
}

FailureOr<Results> nibble::ref::evalElementwise(const OpCall &call) {
  auto program = LaneProgram::compile(call.op);
  if (failed(program))
    return failure();
  RankedTensorType type = call.resultType();
  LoopNest nest;
  nest.program = std::move(*program);
  nest.sizes = SmallVector<int64_t>(type.getShape());
  nest.isReduction.assign(type.getRank(), false);
  nest.inputs.assign(call.operands.begin(), call.operands.end());
  nest.inits.push_back(RefTensor::undefined(type));
  // The result has no argument of its own: an unused register.
  nest.program.args.push_back(nest.program.yields[0]);
  MLIRContext *context = call.op->getContext();
  for (const RefTensor &operand : nest.inputs)
    nest.maps.push_back(
        operand.getRank() == 0
            ? AffineMap::get(type.getRank(), 0, context)
            : AffineMap::getMultiDimIdentityMap(type.getRank(), context));
  nest.maps.push_back(
      AffineMap::getMultiDimIdentityMap(type.getRank(), context));
  return nest.run(call.op, call.threads);
}

static FailureOr<Results> evalFill(const OpCall &call) {
  const RefTensor &value = call.operands[0];
  RankedTensorType type = call.resultType();
  // linalg.fill may convert; the body says how.
  if (value.size() != 1 || value.getElementType() != type.getElementType())
    return evalLinalg(call);
  return Results{value.isInteger() ? RefTensor::splat(type, value.intAt(0))
                                   : RefTensor::splat(type, value.floatAt(0))};
}

/// exp(x - max) / sum over one line with the given stride, in double.
static void softmaxLine(double *line, int64_t count, int64_t stride) {
  double largest = -std::numeric_limits<double>::infinity(), sum = 0;
  for (int64_t i = 0; i < count; ++i)
    largest = std::fmax(largest, line[i * stride]);
  for (int64_t i = 0; i < count; ++i)
    sum += line[i * stride] = std::exp(line[i * stride] - largest);
  for (int64_t i = 0; i < count; ++i)
    line[i * stride] /= sum;
}

static FailureOr<Results> evalSoftmax(const OpCall &call) {
  auto op = cast<linalg::SoftmaxOp>(call.op);
  const RefTensor &input = call.operands[0];
  RankedTensorType type = call.resultType();
  int64_t dim = op.getDimension(), extent = type.getDimSize(dim), stride = 1;
  for (int64_t d = dim + 1; d < type.getRank(); ++d)
    stride *= type.getDimSize(d);
  auto values = allocate<double>(type.getNumElements());
  int64_t group = extent * stride;
  Rounding rounding = getRounding(type.getElementType());
  parallelFor(call.threads, group ? type.getNumElements() / group : 0,
              std::max<int64_t>(1, 16384 / std::max<int64_t>(group, 1)),
              [&](int64_t begin, int64_t end) {
                double *at = values.get() + begin * group;
                input.read(begin * group, (end - begin) * group, at);
                for (; begin < end; ++begin, at += group) {
                  for (int64_t i = 0; i < stride; ++i)
                    softmaxLine(at + i, extent, stride);
                  rounding.apply(at, group);
                }
              });
  return Results{RefTensor::floats(type, values)};
}

static FailureOr<Results> evalMove(const OpCall &call) {
  return call.operands[0].isScaled() ? evalScaledMove(call) : evalLinalg(call);
}

void nibble::ref::addLinalgEvals(EvalTable &table) {
  table["linalg.transpose"] = evalMove;
  table["linalg.broadcast"] = evalMove;
  table["linalg.fill"] = evalFill;
  table["linalg.softmax"] = evalSoftmax;
}
