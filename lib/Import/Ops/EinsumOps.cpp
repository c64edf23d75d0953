// Einsum: operands are combined from left to right, each pair as one (batched)
// matrix product, so that any equation uses the kernels of MatMul.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

#include <map>

using namespace mlir;
using namespace nibble::onnx;

namespace {
/// Letters are their character codes; dimensions under an ellipsis count down
/// from `ellipsisEnd`, the last one being ellipsisEnd - 1.
using Labels = SmallVector<int>;
constexpr int ellipsisEnd = 2000;

struct Operand {
  Tensor value;
  Labels labels; ///< one per dimension
};

struct Equation {
  SmallVector<std::string> terms; ///< blanks removed
  std::string output;
  bool hasOutput = false;
};
} // namespace

//===----------------------------------------------------------------------===//
// Equation
//===----------------------------------------------------------------------===//

static Equation parseEquation(StringRef text) {
  std::string compact;
  for (char c : text)
    if (c != ' ')
      compact += c;
  Equation equation;
  auto [left, right] = StringRef(compact).split("->");
  equation.hasOutput = StringRef(compact).contains("->");
  equation.output = right.str();
  SmallVector<StringRef> terms;
  left.split(terms, ',');
  for (StringRef term : terms)
    equation.terms.push_back(term.str());
  return equation;
}

/// Labels of a term; an ellipsis stands for `ellipsisRank` dimensions.
static FailureOr<Labels> getLabels(NodeContext &n, StringRef term,
                                   int64_t ellipsisRank) {
  Labels labels;
  auto [before, after] = term.split("...");
  for (StringRef part : {before, after})
    for (char c : part)
      if (!llvm::isAlpha(c))
        return n.fail("equation has '" + Twine(c) +
                      "' where a letter or '...' belongs");
  labels.append(before.begin(), before.end());
  if (term.contains("..."))
    for (int64_t i = ellipsisRank; i > 0; --i)
      labels.push_back(ellipsisEnd - int(i));
  labels.append(after.begin(), after.end());
  return labels;
}

static int64_t countLetters(StringRef term) {
  return llvm::count_if(term, [](char c) { return c != '.'; });
}

/// Without "->": what stands under ellipses, then letters that occur once.
static Labels getImplicitOutput(ArrayRef<Operand> operands) {
  std::map<int, int> counts;
  for (const Operand &operand : operands)
    for (int label : operand.labels)
      ++counts[label];
  Labels result;
  for (auto [label, count] : counts)
    if (label > 255)
      result.push_back(label);
  for (auto [label, count] : counts)
    if (label <= 255 && count == 1)
      result.push_back(label);
  return result;
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

static bool contains(ArrayRef<int> labels, int label) {
  return llvm::is_contained(labels, label);
}

/// Keeps the diagonal where a label occurs twice.
static Operand takeDiagonals(GraphBuilder &build, const Operand &operand) {
  Labels unique;
  Shape shape;
  SmallVector<AffineExpr> exprs;
  MLIRContext *ctx = build.builder.getContext();
  for (auto [d, label] : llvm::enumerate(operand.labels)) {
    auto known = llvm::find(unique, label);
    exprs.push_back(getAffineDimExpr(known - unique.begin(), ctx));
    if (known == unique.end()) {
      unique.push_back(label);
      shape.push_back(operand.value.dim(d));
    }
  }
  if (unique.size() == operand.labels.size())
    return operand;
  return {gatherAffine(build, operand.value,
                       AffineMap::get(unique.size(), 0, exprs, ctx), shape),
          unique};
}

/// Drops dimensions of extent 1 that broadcast against a larger one.
static Operand dropBroadcast(GraphBuilder &build, const Operand &operand,
                             const std::map<int, int64_t> &extents) {
  Operand result;
  Shape shape;
  for (auto [d, label] : llvm::enumerate(operand.labels)) {
    if (operand.value.dim(d) != extents.at(label))
      continue;
    result.labels.push_back(label);
    shape.push_back(operand.value.dim(d));
  }
  result.value = build.reshape(operand.value, shape);
  return result;
}

/// Sums over labels that nobody else uses.
static Operand sumOut(GraphBuilder &build, const Operand &operand,
                      ArrayRef<int> needed) {
  Operand result{operand.value, {}};
  SmallVector<int64_t> dims;
  for (auto [d, label] : llvm::enumerate(operand.labels)) {
    if (contains(needed, label))
      result.labels.push_back(label);
    else
      dims.push_back(d);
  }
  if (dims.empty())
    return operand;
  ElemType type = operand.value.type;
  Tensor sum = build.reduce(
      operand.value, dims, false, getAccumulator(type), 0,
      [](ScalarBuilder &s, Value a, Value v) { return s.add(a, v); });
  result.value = build.cast(sum, type);
  return result;
}

static Tensor arrange(GraphBuilder &build, const Operand &operand,
                      ArrayRef<int> order) {
  SmallVector<int64_t> perm;
  for (int label : order)
    perm.push_back(llvm::find(operand.labels, label) - operand.labels.begin());
  return build.transpose(operand.value, perm);
}

//===----------------------------------------------------------------------===//
// Pairs
//===----------------------------------------------------------------------===//

namespace {
/// Roles of the labels of a pair in its matrix product.
struct Roles {
  Labels batch, rows, columns, inner;
};
} // namespace

static Roles getRoles(const Operand &a, const Operand &b,
                      ArrayRef<int> needed) {
  Roles roles;
  for (int label : a.labels) {
    if (!contains(b.labels, label))
      roles.rows.push_back(label);
    else if (contains(needed, label))
      roles.batch.push_back(label);
    else
      roles.inner.push_back(label);
  }
  for (int label : b.labels)
    if (!contains(a.labels, label))
      roles.columns.push_back(label);
  return roles;
}

static Shape getExtents(ArrayRef<int> labels,
                        const std::map<int, int64_t> &extents) {
  Shape shape;
  for (int label : labels)
    shape.push_back(extents.at(label));
  return shape;
}

static Labels join(std::initializer_list<ArrayRef<int>> parts) {
  Labels result;
  for (ArrayRef<int> part : parts)
    llvm::append_range(result, part);
  return result;
}

/// One product: matrices [batch, rows, inner] and [batch, columns, inner], or
/// an elementwise one if nothing is summed.
static Operand combine(GraphBuilder &build, const Operand &a, const Operand &b,
                       ArrayRef<int> needed,
                       const std::map<int, int64_t> &extents) {
  Roles r = getRoles(a, b, needed);
  auto volume = [&](ArrayRef<int> labels) {
    return product(getExtents(labels, extents));
  };
  int64_t batch = volume(r.batch), rows = volume(r.rows),
          columns = volume(r.columns), inner = volume(r.inner);
  // The inner labels go last if they already are, to save a transpose.
  bool transposeB = !r.inner.empty() && contains(r.inner, b.labels.back());
  Labels bOrder = transposeB ? join({r.batch, r.columns, r.inner})
                             : join({r.batch, r.inner, r.columns});
  Shape aShape{rows, inner};
  Shape bShape = transposeB ? Shape{columns, inner} : Shape{inner, columns};
  if (!r.batch.empty()) {
    aShape.insert(aShape.begin(), batch);
    bShape.insert(bShape.begin(), batch);
  }
  Tensor left = build.reshape(
      arrange(build, a, join({r.batch, r.rows, r.inner})), aShape);
  Tensor right = build.reshape(arrange(build, b, bOrder), bShape);
  ElemType type = a.value.type;
  Tensor y = r.inner.empty() ? build.binary(left, right,
                                            [](ScalarBuilder &s, Value v,
                                               Value w) { return s.mul(v, w); })
                             : build.matmul(left, right, type, transposeB);
  Labels labels = join({r.batch, r.rows, r.columns});
  return {build.reshape(y, getExtents(labels, extents)), labels};
}

//===----------------------------------------------------------------------===//
// The operator
//===----------------------------------------------------------------------===//

static FailureOr<SmallVector<Operand>>
getOperands(NodeContext &n, const Equation &equation, int64_t &ellipsisRank) {
  if (equation.terms.size() != n.numInputs())
    return n.fail("equation has " + Twine(equation.terms.size()) +
                  " terms for " + Twine(n.numInputs()) + " inputs");
  ellipsisRank = 0;
  SmallVector<Operand> operands;
  for (auto [i, term] : llvm::enumerate(equation.terms)) {
    Tensor x = n.input(i);
    bool open = StringRef(term).contains("...");
    int64_t hidden = x.rank() - countLetters(term);
    if (hidden < 0 || (!open && hidden != 0) || hidden > 100)
      return n.fail("term '" + term + "' does not fit input " + Twine(i) + " " +
                    toString(x.shape()));
    auto labels = getLabels(n, term, hidden);
    if (failed(labels))
      return failure();
    ellipsisRank = std::max(ellipsisRank, open ? hidden : 0);
    operands.push_back({x, *labels});
  }
  return operands;
}

static LogicalResult findExtents(NodeContext &n, ArrayRef<Operand> operands,
                                 std::map<int, int64_t> &extents) {
  for (const Operand &operand : operands) {
    if (operand.value.type != operands.front().value.type)
      return n.fail("inputs differ in type");
    for (auto [d, label] : llvm::enumerate(operand.labels)) {
      int64_t extent = operand.value.dim(d);
      int64_t &known = extents.try_emplace(label, extent).first->second;
      if (known != extent && known != 1 && extent != 1)
        return n.fail("one label stands for extents " + Twine(known) + " and " +
                      Twine(extent));
      known = known == 1 ? extent : known;
    }
  }
  return success();
}

static Tensor contractAll(GraphBuilder &build, SmallVector<Operand> operands,
                          ArrayRef<int> output,
                          const std::map<int, int64_t> &extents) {
  for (Operand &operand : operands)
    operand = dropBroadcast(build, takeDiagonals(build, operand), extents);
  // Labels needed after operand i has been taken in.
  auto getNeeded = [&](size_t i) {
    Labels needed(output);
    for (size_t j = i + 1; j < operands.size(); ++j)
      llvm::append_range(needed, operands[j].labels);
    return needed;
  };
  Operand total = sumOut(build, operands[0], getNeeded(0));
  for (size_t i = 1; i < operands.size(); ++i) {
    Labels needed = getNeeded(i);
    Operand next = sumOut(build, operands[i], join({needed, total.labels}));
    total = combine(build, total, next, needed, extents);
    total = sumOut(build, total, needed);
  }
  return arrange(build, total, output);
}

static LogicalResult importEinsum(NodeContext &n) {
  Equation equation = parseEquation(n.stringAttr("equation", ""));
  int64_t ellipsisRank;
  auto operands = getOperands(n, equation, ellipsisRank);
  std::map<int, int64_t> extents;
  if (failed(operands) || failed(findExtents(n, *operands, extents)))
    return failure();
  Labels output = getImplicitOutput(*operands);
  if (equation.hasOutput) {
    auto given = getLabels(n, equation.output, ellipsisRank);
    if (failed(given))
      return failure();
    output = *given;
  }
  for (auto [i, label] : llvm::enumerate(output))
    if (!extents.count(label) ||
        contains(ArrayRef(output).take_front(i), label))
      return n.fail("output '" + equation.output +
                    "' has a label twice or one that no input has");
  ElemType type = operands->front().value.type;
  if (type == ElemType::Bool)
    return n.fail("inputs of type bool have no product; insert a Cast");
  Shape shape = getExtents(output, extents);
  for (auto [label, extent] : extents)
    if (extent == 0)
      return n.setOutput(0, n.build.splat(type, shape, 0));
  // Partial results of narrow floats stay in f32.
  if (operands->size() > 2)
    for (Operand &operand : *operands)
      operand.value = n.build.cast(operand.value, getAccumulator(type));
  Tensor y = contractAll(n.build, *operands, output, extents);
  return n.setOutput(0, n.build.cast(y, type));
}

void nibble::onnx::registerEinsumOps(OpRegistry &r) {
  r.add("", "Einsum", importEinsum);
}
