// Constants, casts, shape queries, reshapes, If.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../GraphImporter.h"
#include "Ops.h"

using namespace mlir;
using namespace nibble::onnx;

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

static LogicalResult importConstant(NodeContext &n) {
  if (n.hasAttr("value")) {
    Tensor value = n.tensorAttr("value");
    return value ? n.setOutput(0, value) : failure();
  }
  if (n.hasAttr("value_int"))
    return n.setOutput(0, n.build.constantInts(ElemType::Int64, {},
                                               n.intAttr("value_int", 0)));
  if (n.hasAttr("value_float"))
    return n.setOutput(0,
                       n.build.constantFloats(ElemType::Float, {},
                                              n.floatAttr("value_float", 0)));
  if (auto ints = n.intsAttr("value_ints"))
    return n.setOutput(0, n.build.shapeVector(*ints));
  if (auto floats = n.floatsAttr("value_floats"))
    return n.setOutput(0, n.build.constantFloats(ElemType::Float,
                                                 int64_t(floats->size()),
                                                 *floats));
  return n.fail("holds no number: strings and sparse values are not supported; "
                "only value, value_int(s) and value_float(s) are");
}

static LogicalResult importConstantOfShape(NodeContext &n) {
  auto shape = n.requireInts(0, "shape");
  if (failed(shape))
    return failure();
  uint64_t count;
  std::string error;
  if (!countElements(*shape, count, error))
    return n.fail("shape " + toString(*shape) + ": " + error);
  if (!n.hasAttr("value"))
    return n.setOutput(0, n.build.splat(ElemType::Float, *shape, 0));
  Tensor value = n.tensorAttr("value");
  if (!value)
    return failure();
  if (value.numElements() != 1)
    return n.fail("value must be one element, not " + toString(value.shape()));
  return n.setOutput(0,
                     n.build.broadcastTo(n.build.reshape(value, {}), *shape));
}

static LogicalResult importIdentity(NodeContext &n) {
  return n.setOutput(0, n.input(0));
}

static LogicalResult importShape(NodeContext &n) {
  ArrayRef<int64_t> shape = n.input(0).shape();
  int64_t rank = shape.size();
  auto clamp = [&](int64_t i) {
    i += i < 0 ? rank : 0;
    return std::clamp<int64_t>(i, 0, rank);
  };
  int64_t start = clamp(n.intAttr("start", 0));
  int64_t end = std::max(start, clamp(n.intAttr("end", rank)));
  return n.setOutput(0, n.build.shapeVector(shape.slice(start, end - start)));
}

static LogicalResult importSize(NodeContext &n) {
  return n.setOutput(
      0, n.build.constantInts(ElemType::Int64, {}, n.input(0).numElements()));
}

/// True if the ratio is known to be 0: then training drops nothing, either.
static bool dropsNothing(NodeContext &n) {
  auto ratio = n.constantFloats(1);
  return ratio && ratio->size() == 1 && ratio->front() == 0;
}

/// Inference only: the output is the input, the mask all true.
static LogicalResult importDropout(NodeContext &n) {
  Tensor x = n.input(0);
  bool identity = dropsNothing(n);
  if (n.intAttr("is_test", n.opset() >= 7) == 0)
    return n.fail("is_test is 0 (or absent, which means 0 before opset 7), so "
                  "it draws random numbers; export the model for inference");
  if (n.hasInput(2) && !identity) {
    auto training = n.requireInts(2, "training_mode");
    if (failed(training))
      return failure();
    if (training->size() == 1 && training->front())
      return n.fail("training_mode is set, and what is dropped follows from "
                    "random numbers of the framework; export the model for "
                    "inference");
  }
  if (n.hasOutput(1))
    (void)n.setOutput(
        1,
        n.build.splat(n.opset() >= 10 ? ElemType::Bool : x.type, x.shape(), 1));
  return n.setOutput(0, x);
}

//===----------------------------------------------------------------------===//
// Types
//===----------------------------------------------------------------------===//

static LogicalResult castTo(NodeContext &n, ElemType type) {
  Tensor x = n.input(0);
  if (!n.build.elementType(type))
    return n.fail("cannot cast to " + getName(type) +
                  ": Nibble does not carry that type");
  std::string mode = n.stringAttr("round_mode", "up");
  if (mode != "up" && mode != "down" && mode != "nearest")
    return n.fail("round_mode '" + mode + "' is not up, down or nearest");
  bool saturate = n.intAttr("saturate", 1);
  return n.setOutput(0, n.build.cast(x, type, saturate, mode));
}

static LogicalResult importCast(NodeContext &n) {
  auto to = n.requireIntAttr("to");
  return failed(to) ? failure() : castTo(n, ElemType(*to));
}

static LogicalResult importCastLike(NodeContext &n) {
  return castTo(n, n.input(1).type);
}

static LogicalResult importBitCast(NodeContext &n) {
  auto to = n.requireIntAttr("to");
  if (failed(to))
    return failure();
  auto type = ElemType(*to);
  Tensor x = n.input(0);
  if (x.type == ElemType::Bool) // one byte, 0 or 1
    x = n.build.cast(x, ElemType::UInt8);
  if (!n.build.elementType(type) || getBitWidth(type) != getBitWidth(x.type))
    return n.fail("cannot reinterpret " + getName(x.type) + " as " +
                  getName(type));
  return n.setOutput(0, n.build.bitcast(x, type));
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

/// Resolves 0 (copy) and -1 (infer) in the target of a Reshape.
static FailureOr<Shape> resolveReshape(NodeContext &n, Tensor x,
                                       ArrayRef<int64_t> target) {
  Shape shape(target);
  bool allowZero = n.intAttr("allowzero", 0);
  int64_t known = 1, unknown = -1;
  for (int64_t i = 0, e = shape.size(); i < e; ++i) {
    if (shape[i] == 0 && !allowZero) {
      if (i >= x.rank())
        return n.fail("shape " + toString(target) +
                      " copies a dimension that the input " +
                      toString(x.shape()) + " does not have");
      shape[i] = x.dim(i);
    }
    if (shape[i] == -1 && unknown >= 0)
      return n.fail("shape " + toString(target) + " has two -1");
    if (shape[i] == -1)
      unknown = i;
    else if (shape[i] < 0)
      return n.fail("shape " + toString(target) + " has a negative dimension");
    else if (llvm::MulOverflow(known, shape[i], known))
      return n.fail("shape " + toString(target) + " is too large");
  }
  if (unknown >= 0)
    shape[unknown] = known ? x.numElements() / known : 0;
  if (unknown >= 0 ? known * shape[unknown] != x.numElements()
                   : known != x.numElements())
    return n.fail("cannot reshape " + toString(x.shape()) + " to " +
                  toString(target) + ": element counts differ");
  return shape;
}

static LogicalResult importReshape(NodeContext &n) {
  Tensor x = n.input(0);
  FailureOr<SmallVector<int64_t>> target = failure();
  if (n.hasInput(1))
    target = n.requireInts(1, "shape");
  else if (auto attr = n.intsAttr("shape")) // opset 1
    target = *attr;
  else
    return n.fail("has neither an input nor an attribute 'shape'");
  if (failed(target))
    return failure();
  auto shape = resolveReshape(n, x, *target);
  return failed(shape) ? failure() : n.setOutput(0, n.build.reshape(x, *shape));
}

static LogicalResult importFlatten(NodeContext &n) {
  Tensor x = n.input(0);
  int64_t axis = n.intAttr("axis", 1);
  axis += axis < 0 ? x.rank() : 0;
  if (axis < 0 || axis > x.rank())
    return n.fail("axis " + Twine(axis) + " is outside of " +
                  toString(x.shape()));
  Shape shape = {1, 1};
  for (int64_t d = 0; d < x.rank(); ++d)
    shape[d < axis ? 0 : 1] *= x.dim(d);
  return n.setOutput(0, n.build.reshape(x, shape));
}

/// Axes from input 1 (opset 13) or the attribute; nothing if neither.
static FailureOr<std::optional<SmallVector<int64_t>>> getAxes(NodeContext &n) {
  if (!n.hasInput(1))
    return n.intsAttr("axes");
  auto axes = n.requireInts(1, "axes");
  if (failed(axes))
    return failure();
  return std::optional(*axes);
}

static LogicalResult importSqueeze(NodeContext &n) {
  Tensor x = n.input(0);
  auto given = getAxes(n);
  if (failed(given))
    return failure();
  SmallVector<int64_t> axes;
  for (int64_t d = 0; !*given && d < x.rank(); ++d)
    if (x.dim(d) == 1)
      axes.push_back(d);
  if (*given) {
    auto normalized = n.normalizeAxes(**given, x.rank());
    if (failed(normalized))
      return failure();
    axes = *normalized;
  }
  Shape shape;
  for (int64_t d = 0; d < x.rank(); ++d) {
    bool drop = llvm::is_contained(axes, d);
    if (drop && x.dim(d) != 1)
      return n.fail("dimension " + Twine(d) + " of " + toString(x.shape()) +
                    " is not 1");
    if (!drop)
      shape.push_back(x.dim(d));
  }
  return n.setOutput(0, n.build.reshape(x, shape));
}

static LogicalResult importUnsqueeze(NodeContext &n) {
  Tensor x = n.input(0);
  auto given = getAxes(n);
  if (failed(given))
    return failure();
  if (!*given)
    return n.fail("axes are missing");
  int64_t rank = x.rank() + (*given)->size();
  auto axes = n.normalizeAxes(**given, rank);
  if (failed(axes))
    return failure();
  Shape shape;
  for (int64_t d = 0, from = 0; d < rank; ++d)
    shape.push_back(llvm::is_contained(*axes, d) ? 1 : x.dim(from++));
  return n.setOutput(0, n.build.reshape(x, shape));
}

static LogicalResult importTranspose(NodeContext &n) {
  Tensor x = n.input(0);
  SmallVector<int64_t> perm;
  for (int64_t d = x.rank(); d-- > 0;)
    perm.push_back(d);
  if (auto given = n.intsAttr("perm"))
    perm = *given;
  auto sorted = n.normalizeAxes(perm, x.rank());
  if (failed(sorted))
    return failure();
  if (int64_t(perm.size()) != x.rank())
    return n.fail("perm " + toString(perm) + " does not fit the rank of " +
                  toString(x.shape()));
  for (int64_t &p : perm)
    p += p < 0 ? x.rank() : 0;
  return n.setOutput(0, n.build.transpose(x, perm));
}

//===----------------------------------------------------------------------===//
// Control flow
//===----------------------------------------------------------------------===//

static LogicalResult importIf(NodeContext &n) {
  auto condition = n.constantInts(0);
  if (!condition || condition->size() != 1)
    return n.fail("the condition is computed at run time; Nibble compiles "
                  "static graphs: export with a fixed condition");
  StringRef wanted = condition->front() ? "then_branch" : "else_branch";
  (void)n.hasAttr("then_branch");
  (void)n.hasAttr("else_branch");
  for (const NodeAttribute &attribute : n.node.attributes)
    if (attribute.name == wanted && !attribute.graphs.empty())
      return n.importer.inlineSubgraph(n, *attribute.graphs.front());
  return n.fail("attribute '" + wanted + "' is missing");
}

static LogicalResult refuseLoop(NodeContext &n) {
  return n.fail("loops are not supported: Nibble compiles static graphs; "
                "export with the loop unrolled");
}

void nibble::onnx::registerCoreOps(OpRegistry &r) {
  r.add("", "Constant", importConstant, 0);
  r.add("", "ConstantOfShape", importConstantOfShape);
  r.add("", "Identity", importIdentity);
  r.add("", "Shape", importShape);
  r.add("", "Size", importSize);
  r.add("", "Dropout", importDropout);
  r.add("", "Cast", importCast);
  r.add("", "CastLike", importCastLike, 2);
  r.add("", "BitCast", importBitCast);
  r.add("", "Reshape", importReshape);
  r.add("", "Flatten", importFlatten);
  r.add("", "Squeeze", importSqueeze);
  r.add("", "Unsqueeze", importUnsqueeze);
  r.add("", "Transpose", importTranspose);
  r.add("", "If", importIf);
  r.add("", "Loop", refuseLoop, 0);
  r.add("", "Scan", refuseLoop, 0);
}
