// NodeContext and the registry.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Import/OpImporter.h"
#include "GraphImporter.h"

using namespace mlir;
using namespace nibble::onnx;
using llvm::StringRef;

//===----------------------------------------------------------------------===//
// Registry
//===----------------------------------------------------------------------===//

/// Key of an operator after merging the spellings of one name space (R1).
static std::string makeKey(StringRef domain, StringRef opType) {
  bool quant = opType == "QuantizeLinear" || opType == "DequantizeLinear" ||
               opType.starts_with("TRT_");
  if (domain.empty() || domain == "ai.onnx" || (domain == "trt" && quant))
    return opType.str();
  return (domain + "::" + opType).str();
}

void OpRegistry::add(StringRef domain, StringRef opType, ImportFn import,
                     unsigned requiredInputs) {
  entries[makeKey(domain, opType)] = {import, requiredInputs};
}

const OpRegistry::Entry *OpRegistry::find(StringRef domain,
                                          StringRef opType) const {
  auto it = entries.find(makeKey(domain, opType));
  return it == entries.end() ? nullptr : &it->second;
}

llvm::SmallVector<std::string> OpRegistry::list() const {
  llvm::SmallVector<std::string> names;
  for (auto &entry : entries)
    names.push_back(entry.first().str());
  llvm::sort(names);
  return names;
}

//===----------------------------------------------------------------------===//
// Node
//===----------------------------------------------------------------------===//

NodeContext::NodeContext(GraphImporter &importer, const Node &node,
                         OpBuilder &builder, Location loc, StringRef name,
                         int64_t opset)
    : build(builder, loc), importer(importer), node(node), nodeName(name.str()),
      version(opset), inputsRead(node.inputs.size()),
      attributesRead(node.attributes.size()) {}

StringRef NodeContext::opType() const { return node.opType; }
StringRef NodeContext::domain() const { return node.domain; }

LogicalResult NodeContext::fail(const Twine &message) const {
  hasFailed = true;
  StringRef separator = node.domain.empty() ? "" : "::";
  importer.error(build.loc, "node '" + Twine(nodeName) + "' (" + node.domain +
                                separator + node.opType + "): " + message);
  return failure();
}

void NodeContext::warn(const Twine &message) const {
  emitWarning(build.loc) << "node '" << nodeName << "' (" << node.opType
                         << "): " << message;
}

size_t NodeContext::numInputs() const {
  size_t count = node.inputs.size();
  while (count > 0 && node.inputs[count - 1].empty())
    --count;
  return count;
}

bool NodeContext::hasInput(size_t i) const { return bool(input(i)); }

Tensor NodeContext::input(size_t i) const {
  if (i >= node.inputs.size())
    return {};
  inputsRead.set(i);
  if (node.inputs[i].empty())
    return {};
  return importer.lookUp(node.inputs[i]);
}

size_t NodeContext::numOutputs() const { return node.outputs.size(); }

bool NodeContext::hasOutput(size_t i) const {
  return i < node.outputs.size() && !node.outputs[i].empty();
}

LogicalResult NodeContext::setOutput(size_t i, Tensor value) {
  if (!hasOutput(i))
    return success();
  uint64_t count;
  std::string error;
  if (!countElements(value.shape(), count, error))
    return fail("result " + toString(value.shape()) + ": " + error);
  importer.bind(node.outputs[i], value);
  return success();
}

ElemType NodeContext::declaredOutputType(size_t i) const {
  return hasOutput(i) ? importer.getDeclaredType(node.outputs[i])
                      : ElemType::Undefined;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

ElementsAttr NodeContext::constant(size_t i) {
  Tensor tensor = input(i);
  return tensor ? importer.getConstant(tensor, /*evaluate=*/true)
                : ElementsAttr();
}

std::optional<SmallVector<int64_t>> NodeContext::constantInts(size_t i) {
  ElementsAttr attr = constant(i);
  SmallVector<int64_t> values;
  if (!attr || !readInts(attr, input(i).type, values))
    return std::nullopt;
  return values;
}

std::optional<SmallVector<double>> NodeContext::constantFloats(size_t i) {
  ElementsAttr attr = constant(i);
  SmallVector<double> values;
  if (!attr || !readFloats(attr, input(i).type, values))
    return std::nullopt;
  return values;
}

static std::string describeNotConstant(size_t i, StringRef what) {
  return ("input " + Twine(i) + " (" + what +
          ") must be known at compile time but is computed from inputs of the "
          "model; export with it as a constant")
      .str();
}

FailureOr<SmallVector<int64_t>>
NodeContext::requireInts(size_t i, StringRef what, ArrayRef<int64_t> absent) {
  if (!hasInput(i))
    return SmallVector<int64_t>(absent);
  if (auto values = constantInts(i))
    return *values;
  return fail(describeNotConstant(i, what));
}

FailureOr<SmallVector<double>>
NodeContext::requireFloats(size_t i, StringRef what, ArrayRef<double> absent) {
  if (!hasInput(i))
    return SmallVector<double>(absent);
  if (auto values = constantFloats(i))
    return *values;
  return fail(describeNotConstant(i, what));
}

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

const NodeAttribute *NodeContext::find(StringRef name, int type) const {
  for (auto [i, candidate] : llvm::enumerate(node.attributes)) {
    if (candidate.name != name)
      continue;
    attributesRead.set(i);
    const NodeAttribute *attribute = importer.resolve(candidate);
    if (attribute && type && int(attribute->kind) != type) {
      (void)fail("attribute '" + name + "' has the wrong type " +
                 Twine(int(attribute->kind)) + ", expected type " +
                 Twine(type) + " of AttributeProto");
      return nullptr;
    }
    return attribute;
  }
  return nullptr;
}

bool NodeContext::hasAttr(StringRef name) const { return find(name, 0); }

int64_t NodeContext::intAttr(StringRef name, int64_t otherwise) const {
  const NodeAttribute *a = find(name, int(AttrKind::Int));
  return a ? a->i : otherwise;
}

double NodeContext::floatAttr(StringRef name, double otherwise) const {
  const NodeAttribute *a = find(name, int(AttrKind::Float));
  return a ? a->f : otherwise;
}

std::string NodeContext::stringAttr(StringRef name, StringRef otherwise) const {
  const NodeAttribute *a = find(name, int(AttrKind::String));
  return a ? a->s.str() : otherwise.str();
}

std::optional<SmallVector<int64_t>>
NodeContext::intsAttr(StringRef name) const {
  const NodeAttribute *a = find(name, int(AttrKind::Ints));
  if (!a)
    return std::nullopt;
  return SmallVector<int64_t>(a->ints.begin(), a->ints.end());
}

std::optional<SmallVector<double>>
NodeContext::floatsAttr(StringRef name) const {
  const NodeAttribute *a = find(name, int(AttrKind::Floats));
  if (!a)
    return std::nullopt;
  return SmallVector<double>(a->floats.begin(), a->floats.end());
}

SmallVector<std::string> NodeContext::stringsAttr(StringRef name) const {
  SmallVector<std::string> result;
  if (const NodeAttribute *a = find(name, int(AttrKind::Strings)))
    for (StringRef text : a->strings)
      result.push_back(text.str());
  return result;
}

FailureOr<int64_t> NodeContext::requireIntAttr(StringRef name) const {
  const NodeAttribute *a = find(name, int(AttrKind::Int));
  if (a)
    return a->i;
  if (!hasFailed)
    (void)fail("attribute '" + name + "' is missing");
  return failure();
}

Tensor NodeContext::tensorAttr(StringRef name) const {
  const NodeAttribute *a = find(name, int(AttrKind::Tensor));
  if (!a)
    return {};
  std::string error = "attribute holds no tensor";
  ElementsAttr data;
  if (!a->tensors.empty()) {
    error.clear();
    data = importer.load(a->tensors.front(), error);
  }
  if (!data) {
    (void)fail("tensor in attribute '" + name + "': " + error);
    return {};
  }
  GraphBuilder copy(build.builder, build.loc);
  return copy.constant(data, a->tensors.front().type);
}

FailureOr<int64_t> NodeContext::normalizeAxis(int64_t axis,
                                              int64_t rank) const {
  if (axis >= -rank && axis < rank)
    return axis < 0 ? axis + rank : axis;
  return fail("axis " + Twine(axis) + " is outside of a tensor of rank " +
              Twine(rank));
}

FailureOr<SmallVector<int64_t>>
NodeContext::normalizeAxes(ArrayRef<int64_t> axes, int64_t rank) const {
  SmallVector<int64_t> result;
  for (int64_t axis : axes) {
    FailureOr<int64_t> normalized = normalizeAxis(axis, rank);
    if (mlir::failed(normalized))
      return failure();
    result.push_back(*normalized);
  }
  llvm::sort(result);
  if (std::adjacent_find(result.begin(), result.end()) != result.end())
    return fail("axes " + toString(axes) + " name one dimension twice");
  return result;
}
