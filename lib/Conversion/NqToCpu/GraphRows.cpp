// Softmax and rotary embedding as tensors of a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelGraph.h"
#include "RowMath.h"

using namespace mlir;

namespace nibble {
namespace cpu {

/// True if pulling an element is no more than a load.
static bool isFree(const Tensor &tensor) {
  if (tensor.view)
    return isFree(*tensor.sources.front());
  return !tensor.isComputed() || tensor.reduction;
}

Tensor &KernelGraph::kept(Tensor &tensor) {
  if (!isFree(tensor))
    tensor.keep = true;
  return tensor;
}

LogicalResult KernelGraph::readSoftmax(linalg::SoftmaxOp op) {
  Tensor *input = &kept(plainOf(op.getInput()));
  int64_t axis = op.getDimension();
  Type type = computeType(input->element);
  if (!isa<FloatType>(type))
    return op.emitError() << "softmax of " << op.getInput().getType();
  SmallVector<int64_t> outer = input->shape;
  outer.erase(outer.begin() + axis);
  auto inputAt = [=](Dag &dag, IndexRef index, const Lin &k) {
    Index at(index.begin(), index.end());
    at.insert(at.begin() + axis, k);
    return dag.pull(*input, at);
  };
  auto outerOf = [=](IndexRef index) {
    Index at(index.begin(), index.end());
    at.erase(at.begin() + axis);
    return at;
  };
  int64_t extent = input->shape[axis];
  Tensor *maximum =
      &fold(type, outer, {extent}, vector::CombiningKind::MAXNUMF, {input},
            [=](Dag &dag, IndexRef index, IndexRef folded) {
              return inputAt(dag, index, folded[0]);
            });
  maximum->reduction->looseMaximum = true;
  Tensor *exps =
      &add(type, input->shape, {input, maximum}, [=](Dag &dag, IndexRef index) {
        Node *x = dag.pull(*input, index);
        Node *top = dag.pull(*maximum, outerOf(index));
        return math(
            dag, {x, top}, [](auto &b, ArrayRef<Value> values) -> Value {
              Value difference = arith::SubFOp::create(b, values[0], values[1]);
              return math::ExpOp::create(b, difference);
            });
      });
  exps->keep = true;
  Tensor *sum = &fold(type, outer, {extent}, vector::CombiningKind::ADD, {exps},
                      [=](Dag &dag, IndexRef index, IndexRef folded) {
                        Index at(index.begin(), index.end());
                        at.insert(at.begin() + axis, folded[0]);
                        return dag.pull(*exps, at);
                      });
  Type element =
      cast<RankedTensorType>(op->getResult(0).getType()).getElementType();
  define(op->getResult(0), {exps, sum}, [=](Dag &dag, IndexRef index) {
    Node *total = dag.pull(*sum, outerOf(index));
    Node *inverse = math(dag, {total}, [](auto &b, ArrayRef<Value> values) {
      return (1.0 / lanes(b, values[0])).v;
    });
    Node *value = math(dag, {dag.pull(*exps, index), inverse},
                       [](auto &b, ArrayRef<Value> values) {
                         return (lanes(b, values[0]) * lanes(b, values[1])).v;
                       });
    return dag.roundTo(element, value);
  });
  return success();
}

//===----------------------------------------------------------------------===//
// Rope
//===----------------------------------------------------------------------===//

namespace {
/// x cos - partner sin for the first element of a pair, x cos + partner sin for
/// the second.
struct Rope {
  Tensor *input, *cos, *sin;
  Type element;

  Node *rotate(Dag &dag, IndexRef at, const Lin &partner, const Lin &angle,
               bool second) const {
    Index other(at.begin(), at.end()), table;
    other.back() = partner;
    table = {cos->shape[0] == 1 ? Lin() : at[0], at[2], angle};
    Node *x = dag.pull(*input, at), *y = dag.pull(*input, other);
    Node *c = widen(dag, dag.pull(*cos, table), x->type);
    Node *s = widen(dag, dag.pull(*sin, table), x->type);
    Node *value =
        math(dag, {x, y, c, s}, [second](auto &b, ArrayRef<Value> values) {
          Lanes kept = lanes(b, values[0]) * lanes(b, values[2]);
          Lanes mixed = lanes(b, values[1]) * lanes(b, values[3]);
          return (second ? kept + mixed : kept - mixed).v;
        });
    return dag.roundTo(element, value);
  }
};
} // namespace

LogicalResult KernelGraph::readRope(nq::RopeOp op) {
  Tensor *cos = &plainOf(op.getCos()), *sin = &plainOf(op.getSin());
  Tensor *input = &kept(plainOf(op.getInput()));
  Type element = cast<RankedTensorType>(op.getType()).getElementType();
  Rope rope{input, cos, sin, element};
  int64_t half = cos->shape[2], size = input->shape[3];
  bool interleaved = op.getInterleaved();
  // Elements begin, begin + step, ... count of them.
  struct Part {
    int64_t begin, count, step;
    bool rotates, second;
  };
  SmallVector<Part> parts;
  if (interleaved)
    parts = {{0, half, 2, true, false}, {1, half, 2, true, true}};
  else
    parts = {{0, half, 1, true, false}, {half, half, 1, true, true}};
  parts.push_back({2 * half, size - 2 * half, 1, false, false});
  auto compute = [=](Dag &dag, const Part &part, IndexRef index) {
    // index.back() counts the elements of the part.
    Index at(index.begin(), index.end());
    const Lin &i = index.back();
    at.back() = i * part.step + Lin(part.begin);
    if (!part.rotates)
      return dag.roundTo(element, dag.pull(*input, at));
    int64_t distance = interleaved ? 1 : half;
    Lin partner = at.back() + Lin(part.second ? -distance : distance);
    return rope.rotate(dag, at, partner, i, part.second);
  };
  Tensor &result = define(op, {input, cos, sin}, [=](Dag &dag, IndexRef index) {
    Node *value = nullptr;
    for (const Part &part : llvm::reverse(parts)) {
      if (part.count == 0)
        continue;
      Index at(index.begin(), index.end());
      Lin relative = index.back() - Lin(part.begin);
      // Odd and even elements alternate; parts of step 1 do not overlap.
      bool alternates = part.step == 2;
      Lin i = alternates ? dag.floorDiv(index.back(), 2) : relative;
      at.back() = dag.clamp(i, part.count);
      Node *here = compute(dag, part, at);
      Node *condition =
          alternates
              ? both(dag, dag.inside(index.back(), 2 * half),
                     dag.inside(index.back() - i * 2 - Lin(part.begin), 1))
              : dag.inside(relative, part.count);
      value = value ? choose(dag, condition, here, value) : here;
    }
    return value;
  });
  for (const Part &part : parts) {
    if (part.count == 0)
      continue;
    SmallVector<int64_t> offsets{0, 0, 0, part.begin},
        strides{1, 1, 1, part.step}, sizes = input->shape;
    sizes.back() = part.count;
    result.pieces.push_back(
        {offsets, sizes, strides,
         [=](Dag &dag, IndexRef index) { return compute(dag, part, index); }});
  }
  return success();
}

} // namespace cpu
} // namespace nibble
