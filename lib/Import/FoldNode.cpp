// Arithmetic on small constants at the level of ONNX nodes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphImporter.h"
#include "nibble/rt/formats.h"

#include "llvm/ADT/StringSwitch.h"
#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;

/// Larger constants are weights, not shapes: they stay in the graph.
static constexpr int64_t maxElements = 4096;

namespace {
/// Numbers of one tensor; floats hold float types, ints everything else.
struct Numbers {
  ElemType type = ElemType::Undefined;
  Shape shape;
  SmallVector<int64_t> ints;
  SmallVector<double> floats;

  bool isFloating() const { return isFloat(type); }
  int64_t size() const { return isFloating() ? floats.size() : ints.size(); }
  void append(const Numbers &from, int64_t index) {
    if (isFloating())
      floats.push_back(from.floats[index]);
    else
      ints.push_back(from.ints[index]);
  }
};
using Fold = std::optional<Numbers> (*)(NodeContext &, ArrayRef<Numbers>);
} // namespace

static Numbers like(const Numbers &x, Shape shape) {
  Numbers result;
  result.type = x.type;
  result.shape = std::move(shape);
  return result;
}

static int64_t countOf(ArrayRef<int64_t> shape) {
  int64_t count = 1;
  for (int64_t dim : shape)
    count *= dim;
  return count;
}

/// Wraps integers to their type, rounds floats to theirs.
static void normalize(Numbers &x) {
  unsigned bits = getBitWidth(x.type);
  for (int64_t &value : x.ints) {
    if (x.type == ElemType::Bool)
      value = value != 0;
    else if (bits < 64)
      value = isUnsigned(x.type)
                  ? value & llvm::maskTrailingOnes<uint64_t>(bits)
                  : llvm::SignExtend64(value, bits);
  }
  rt::StorageFormat format = rt::formatFromOnnx(int64_t(x.type));
  for (double &value : x.floats)
    value = rt::roundTo(format, value);
}

//===----------------------------------------------------------------------===//
// Elementwise
//===----------------------------------------------------------------------===//

/// Flat index in an operand that is broadcast to `shape`.
static int64_t broadcastIndex(int64_t flat, ArrayRef<int64_t> shape,
                              ArrayRef<int64_t> operand) {
  int64_t index = 0, stride = 1;
  for (size_t i = 0; i < shape.size(); ++i) {
    size_t fromEnd = shape.size() - 1 - i;
    int64_t digit = flat % shape[fromEnd];
    flat /= shape[fromEnd];
    if (i >= operand.size())
      continue;
    int64_t extent = operand[operand.size() - 1 - i];
    index += (extent == 1 ? 0 : digit) * stride;
    stride *= extent;
  }
  return index;
}

static std::optional<int64_t> applyInts(StringRef op, int64_t a, int64_t b,
                                        bool isUnsigned) {
  auto wrap = [](uint64_t v) { return int64_t(v); };
  if (op == "Add")
    return wrap(uint64_t(a) + uint64_t(b));
  if (op == "Sub")
    return wrap(uint64_t(a) - uint64_t(b));
  if (op == "Mul")
    return wrap(uint64_t(a) * uint64_t(b));
  if (op == "Equal")
    return a == b;
  if (op == "And")
    return a && b;
  if (op == "Or")
    return a || b;
  if (isUnsigned && (a < 0 || b < 0))
    return std::nullopt;
  if (op == "Div" && b != 0 && !(a == INT64_MIN && b == -1))
    return a / b;
  if (op == "Mod" && b != 0 && b != -1) {
    int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
  }
  if (op == "Min")
    return std::min(a, b);
  if (op == "Max")
    return std::max(a, b);
  if (op == "Less")
    return a < b;
  if (op == "LessOrEqual")
    return a <= b;
  if (op == "Greater")
    return a > b;
  if (op == "GreaterOrEqual")
    return a >= b;
  return std::nullopt;
}

/// Arithmetic in f64: one rounding to f32 (or less) of a sum, product or
/// quotient of such numbers is the correctly rounded result.
static std::optional<double> applyFloats(StringRef op, double a, double b) {
  if (op == "Add")
    return a + b;
  if (op == "Sub")
    return a - b;
  if (op == "Mul")
    return a * b;
  if (op == "Div")
    return a / b;
  return std::nullopt;
}

static bool isComparison(StringRef op) {
  return op == "Equal" || op.starts_with("Less") || op.starts_with("Greater") ||
         op == "And" || op == "Or";
}

static std::optional<Numbers> foldBinary(NodeContext &n, ArrayRef<Numbers> in) {
  StringRef op = n.opType();
  if (in.size() != 2 || in[0].type != in[1].type || n.intAttr("fmod", 0))
    return std::nullopt;
  auto shape = broadcastShapes({in[0].shape, in[1].shape});
  if (failed(shape) || countOf(*shape) > maxElements ||
      (in[0].isFloating() && isComparison(op)))
    return std::nullopt;
  Numbers result = like(in[0], *shape);
  for (int64_t i = 0, e = countOf(*shape); i < e; ++i) {
    int64_t a = broadcastIndex(i, *shape, in[0].shape);
    int64_t b = broadcastIndex(i, *shape, in[1].shape);
    if (in[0].isFloating()) {
      auto value = applyFloats(op, in[0].floats[a], in[1].floats[b]);
      if (!value)
        return std::nullopt;
      result.floats.push_back(*value);
    } else {
      auto value =
          applyInts(op, in[0].ints[a], in[1].ints[b], isUnsigned(in[0].type));
      if (!value)
        return std::nullopt;
      result.ints.push_back(*value);
    }
  }
  if (isComparison(op))
    result.type = ElemType::Bool;
  return result;
}

static std::optional<double> applyUnary(StringRef op, double x) {
  if (op == "Neg")
    return -x;
  if (op == "Abs")
    return std::fabs(x);
  if (op == "Floor")
    return std::floor(x);
  if (op == "Ceil")
    return std::ceil(x);
  if (op == "Sqrt")
    return std::sqrt(x);
  if (op == "Reciprocal")
    return 1 / x;
  return std::nullopt;
}

static std::optional<Numbers> foldUnary(NodeContext &n, ArrayRef<Numbers> in) {
  if (in.size() != 1)
    return std::nullopt;
  Numbers result = in[0];
  StringRef op = n.opType();
  for (double &x : result.floats) {
    auto value = applyUnary(op, x);
    if (!value)
      return std::nullopt;
    x = *value;
  }
  for (int64_t &x : result.ints) {
    if (op == "Neg")
      x = int64_t(-uint64_t(x));
    else if (op == "Abs" && !isUnsigned(result.type))
      x = x < 0 ? int64_t(-uint64_t(x)) : x;
    else if (op == "Not")
      x = !x;
    else
      return std::nullopt;
  }
  return result;
}

static std::optional<Numbers> foldWhere(NodeContext &, ArrayRef<Numbers> in) {
  if (in.size() != 3 || in[0].isFloating() || in[1].type != in[2].type)
    return std::nullopt;
  auto shape = broadcastShapes({in[0].shape, in[1].shape, in[2].shape});
  if (failed(shape) || countOf(*shape) > maxElements)
    return std::nullopt;
  Numbers result = like(in[1], *shape);
  for (int64_t i = 0, e = countOf(*shape); i < e; ++i) {
    bool condition = in[0].ints[broadcastIndex(i, *shape, in[0].shape)];
    const Numbers &from = condition ? in[1] : in[2];
    result.append(from, broadcastIndex(i, *shape, from.shape));
  }
  return result;
}

/// Only conversions whose result ONNX defines.
static std::optional<Numbers> foldCast(NodeContext &n, ArrayRef<Numbers> in) {
  auto type = ElemType(n.intAttr("to", 0));
  // These two concern narrow floats only, which are not looked at here.
  (void)n.hasAttr("saturate");
  (void)n.hasAttr("round_mode");
  bool known = rt::formatFromOnnx(int64_t(type)) != rt::StorageFormat::None;
  if (!known || in.size() != 1 || (isFloat(type) && getBitWidth(type) < 16))
    return std::nullopt;
  Numbers result = like(in[0], in[0].shape);
  result.type = type;
  for (int64_t i = 0, e = in[0].size(); i < e; ++i) {
    double asFloat =
        in[0].isFloating() ? in[0].floats[i] : double(in[0].ints[i]);
    if (isFloat(type)) {
      if (!in[0].isFloating() && std::fabs(asFloat) > 0x1p53)
        return std::nullopt;
      result.floats.push_back(asFloat);
    } else if (!in[0].isFloating()) {
      result.ints.push_back(in[0].ints[i]);
    } else {
      if (type != ElemType::Bool && !(std::fabs(asFloat) < 0x1p31))
        return std::nullopt;
      result.ints.push_back(type == ElemType::Bool ? asFloat != 0
                                                   : int64_t(asFloat));
    }
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Shapes
//===----------------------------------------------------------------------===//

static std::optional<int64_t> getAxis(NodeContext &n, int64_t rank,
                                      int64_t otherwise) {
  int64_t axis = n.intAttr("axis", otherwise);
  axis += axis < 0 ? rank : 0;
  if (axis < 0 || axis >= rank)
    return std::nullopt;
  return axis;
}

static std::optional<Numbers> foldGather(NodeContext &n, ArrayRef<Numbers> in) {
  auto axis = getAxis(n, in[0].shape.size(), 0);
  if (in.size() != 2 || !axis || in[1].isFloating())
    return std::nullopt;
  Shape shape(in[0].shape.begin(), in[0].shape.begin() + *axis);
  shape.append(in[1].shape);
  shape.append(in[0].shape.begin() + *axis + 1, in[0].shape.end());
  if (countOf(shape) > maxElements)
    return std::nullopt;
  int64_t extent = in[0].shape[*axis];
  int64_t inner = countOf(ArrayRef<int64_t>(in[0].shape).drop_front(*axis + 1));
  int64_t outer = countOf(ArrayRef<int64_t>(in[0].shape).take_front(*axis));
  Numbers result = like(in[0], shape);
  for (int64_t o = 0; o < outer; ++o)
    for (int64_t index : in[1].ints) {
      index += index < 0 ? extent : 0;
      if (index < 0 || index >= extent)
        return std::nullopt;
      for (int64_t i = 0; i < inner; ++i)
        result.append(in[0], (o * extent + index) * inner + i);
    }
  return result;
}

static std::optional<Numbers> foldConcat(NodeContext &n, ArrayRef<Numbers> in) {
  auto axis = getAxis(n, in[0].shape.size(), 0);
  if (!axis || in[0].shape.size() != 1)
    return std::nullopt;
  Numbers result = like(in[0], {0});
  for (const Numbers &x : in) {
    if (x.type != in[0].type || x.shape.size() != 1)
      return std::nullopt;
    for (int64_t i = 0; i < x.size(); ++i)
      result.append(x, i);
  }
  result.shape[0] = result.size();
  return result.size() > maxElements ? std::nullopt : std::optional(result);
}

static std::optional<Numbers> foldSlice(NodeContext &n, ArrayRef<Numbers> in) {
  if (in[0].shape.size() != 1 || in.size() > 5)
    return std::nullopt;
  for (const Numbers &x : in.drop_front())
    if (x.ints.size() != 1)
      return std::nullopt;
  auto read = [&](size_t i, const char *attr, int64_t otherwise) {
    if (i < in.size())
      return in[i].ints[0];
    auto values = n.intsAttr(attr);
    return values && values->size() == 1 ? (*values)[0] : otherwise;
  };
  int64_t size = in[0].size();
  int64_t start = read(1, "starts", 0), end = read(2, "ends", size);
  int64_t axis = read(3, "axes", 0), step = read(4, "steps", 1);
  if (step <= 0 || (axis != 0 && axis != -1) ||
      n.node.inputs.size() != in.size())
    return std::nullopt;
  auto clamp = [&](int64_t x) {
    x += x < 0 ? size : 0;
    return std::clamp<int64_t>(x, 0, size);
  };
  start = start < -size ? 0 : clamp(start);
  end = end < -size ? 0 : clamp(end);
  Numbers result = like(in[0], {0});
  for (int64_t i = start; i < end; i += std::min(step, size))
    result.append(in[0], i);
  result.shape[0] = result.size();
  return result;
}

/// Same numbers, another shape.
static std::optional<Numbers> foldSqueeze(NodeContext &n,
                                          ArrayRef<Numbers> in) {
  if (n.node.inputs.size() != in.size() || in.size() > 2)
    return std::nullopt;
  auto axes = in.size() > 1 ? std::optional(in[1].ints) : n.intsAttr("axes");
  bool adds = n.opType() == "Unsqueeze";
  if (adds && !axes)
    return std::nullopt;
  int64_t rank = in[0].shape.size() + (adds ? axes->size() : 0);
  SmallVector<bool> marked(rank, false);
  for (int64_t axis : axes.value_or(SmallVector<int64_t>())) {
    axis += axis < 0 ? rank : 0;
    if (axis < 0 || axis >= rank || marked[axis])
      return std::nullopt;
    marked[axis] = true;
  }
  Numbers result = in[0];
  result.shape.clear();
  for (int64_t d = 0, from = 0; d < rank; ++d) {
    if (adds) {
      result.shape.push_back(marked[d] ? 1 : in[0].shape[from++]);
      continue;
    }
    int64_t dim = in[0].shape[d];
    if (marked[d] && dim != 1)
      return std::nullopt;
    if (axes ? !marked[d] : dim != 1)
      result.shape.push_back(dim);
  }
  return result;
}

static std::optional<Numbers> foldIdentity(NodeContext &,
                                           ArrayRef<Numbers> in) {
  return in.size() == 1 ? std::optional(in[0]) : std::nullopt;
}

static std::optional<Numbers> foldReduceProd(NodeContext &n,
                                             ArrayRef<Numbers> in) {
  if (in.size() != 1 || in[0].isFloating() || in[0].shape.size() != 1 ||
      n.intAttr("noop_with_empty_axes", 0))
    return std::nullopt;
  if (auto axes = n.intsAttr("axes");
      axes && (axes->size() != 1 || ((*axes)[0] != 0 && (*axes)[0] != -1)))
    return std::nullopt;
  Numbers result = like(in[0], {});
  if (n.intAttr("keepdims", 1))
    result.shape.push_back(1);
  uint64_t product = 1;
  for (int64_t x : in[0].ints)
    product *= uint64_t(x);
  result.ints.push_back(int64_t(product));
  return result;
}

static std::optional<Numbers> foldRange(NodeContext &, ArrayRef<Numbers> in) {
  for (const Numbers &x : in)
    if (in.size() != 3 || x.isFloating() || x.size() != 1)
      return std::nullopt;
  if (in[2].ints[0] == 0)
    return std::nullopt;
  Numbers result = like(in[0], {0});
  int64_t step = in[2].ints[0], end = in[1].ints[0];
  for (int64_t i = in[0].ints[0]; step > 0 ? i < end : i > end;) {
    if (result.size() == maxElements)
      return std::nullopt;
    result.ints.push_back(i);
    if (llvm::AddOverflow(i, step, i))
      break;
  }
  result.shape[0] = result.size();
  return result;
}

//===----------------------------------------------------------------------===//
// Dispatch
//===----------------------------------------------------------------------===//

static Fold findFold(StringRef op) {
  return llvm::StringSwitch<Fold>(op)
      .Cases({"Add", "Sub", "Mul", "Div", "Mod", "Min", "Max"}, foldBinary)
      .Cases({"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"},
             foldBinary)
      .Cases({"And", "Or"}, foldBinary)
      .Cases({"Neg", "Abs", "Not", "Floor", "Ceil", "Sqrt", "Reciprocal"},
             foldUnary)
      .Case("Where", foldWhere)
      .Case("Cast", foldCast)
      .Case("Gather", foldGather)
      .Case("Concat", foldConcat)
      .Case("Slice", foldSlice)
      .Cases({"Squeeze", "Unsqueeze"}, foldSqueeze)
      .Case("Identity", foldIdentity)
      .Case("ReduceProd", foldReduceProd)
      .Case("Range", foldRange)
      .Default(nullptr);
}

/// Numbers of a constant input; nothing if it is computed or large.
static std::optional<Numbers> readConstant(Tensor tensor) {
  ElementsAttr data = tensor ? getConstantData(tensor.value) : ElementsAttr();
  if (!data || data.getNumElements() > maxElements ||
      (data.getNumElements() == 0 && tensor.rank() > 1))
    return std::nullopt;
  Numbers result;
  result.type = tensor.type;
  result.shape.assign(tensor.shape().begin(), tensor.shape().end());
  bool ok = result.isFloating() ? readFloats(data, tensor.type, result.floats)
                                : readInts(data, tensor.type, result.ints);
  return ok ? std::optional(result) : std::nullopt;
}

Tensor nibble::onnx::foldNode(NodeContext &n) {
  Fold fold = n.domain().empty() || n.domain() == "ai.onnx"
                  ? findFold(n.opType())
                  : nullptr;
  if (!fold || n.numInputs() == 0)
    return {};
  SmallVector<Numbers> inputs;
  for (size_t i = 0; i < n.numInputs(); ++i) {
    auto numbers = readConstant(n.input(i));
    if (!numbers)
      return {};
    inputs.push_back(std::move(*numbers));
  }
  auto result = fold(n, inputs);
  if (!result || n.failed())
    return {};
  normalize(*result);
  if (result->isFloating())
    return n.build.constantFloats(result->type, result->shape, result->floats);
  return n.build.constantInts(result->type, result->shape, result->ints);
}
