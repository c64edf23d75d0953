// Walks nodes in dependency order and calls their importers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphImporter.h"
#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/rt/formats.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSwitch.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;
using llvm::StringRef;

/// Calls of local functions nest at most this deep (ONNX forbids recursion).
static constexpr unsigned maxCallDepth = 32;

GraphImporter::GraphImporter(const Model &model, const ImportOptions &options,
                             MLIRContext *context, TensorLoader loader,
                             StringRef path)
    : builder(context), model(model), options(options), context(context),
      loader(std::move(loader)),
      fileLoc(FileLineColLoc::get(context, path, 0, 0)) {}

void GraphImporter::error(Location loc, const Twine &message) {
  hasErrors = true;
  emitError(loc) << message;
}

//===----------------------------------------------------------------------===//
// Names
//===----------------------------------------------------------------------===//

Binding *GraphImporter::find(StringRef name) {
  for (Scope *s = scope; s; s = s->parent) {
    auto it = s->names.find(name);
    if (it != s->names.end())
      return &it->second;
  }
  return nullptr;
}

Tensor GraphImporter::lookUp(StringRef name) {
  Binding *binding = find(name);
  return binding && binding->kind == Binding::Known ? binding->tensor
                                                    : Tensor();
}

void GraphImporter::bind(StringRef name, Tensor tensor) {
  scope->names[name] = {Binding::Known, tensor, nullptr};
}

ElemType GraphImporter::getDeclaredType(StringRef name) const {
  auto it = scope->infos.find(name);
  return it == scope->infos.end() ? ElemType::Undefined : it->second->type;
}

void GraphImporter::failOutputs(const Node &node) {
  for (StringRef output : node.outputs)
    if (!output.empty())
      scope->names[output].kind = Binding::Failed;
}

ArrayRef<const Node *> GraphImporter::getConsumers(StringRef name) const {
  auto it = consumers.find(name);
  return it == consumers.end() ? ArrayRef<const Node *>()
                               : ArrayRef<const Node *>(it->second);
}

const Node *GraphImporter::getProducer(StringRef name) const {
  return producers.lookup(name);
}

void GraphImporter::indexGraph(const Graph &graph) {
  for (const Node &node : graph.nodes) {
    for (StringRef input : node.inputs)
      consumers[input].push_back(&node);
    for (StringRef output : node.outputs)
      producers[output] = &node;
  }
}

std::string GraphImporter::getLayerName(const Node &node) const {
  StringRef name = node.name;
  for (StringRef output : node.outputs)
    if (name.empty())
      name = output;
  return scope->prefix + (name.empty() ? node.opType : name).str();
}

int64_t GraphImporter::getOpset(StringRef domain) const {
  if (domain == "ai.onnx" || domain == "trt")
    domain = "";
  auto it = scope->opsets.find(domain);
  return it == scope->opsets.end() ? 1 : it->second;
}

static const NodeAttribute *findByName(ArrayRef<NodeAttribute> attributes,
                                       StringRef name) {
  for (const NodeAttribute &attribute : attributes)
    if (attribute.name == name)
      return &attribute;
  return nullptr;
}

const NodeAttribute *
GraphImporter::resolve(const NodeAttribute &attribute) const {
  const NodeAttribute *current = &attribute;
  // The call may itself stand in a function and pass on a reference.
  for (const Scope *s = scope; current && !current->reference.empty();
       s = s->caller) {
    if (!s || !s->call)
      return nullptr;
    StringRef name = current->reference;
    current = findByName(s->call->attributes, name);
    if (!current)
      return findByName(s->function->defaults, name);
  }
  return current;
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

ElementsAttr nibble::onnx::getConstantData(Value value) {
  if (auto op = value.getDefiningOp<arith::ConstantOp>())
    return dyn_cast<ElementsAttr>(op.getValue());
  auto op = value.getDefiningOp<nq::ConstantOp>();
  return op && !op.getScales() ? op.getCodes() : ElementsAttr();
}

bool nibble::onnx::readInts(ElementsAttr attr, ElemType type,
                            SmallVectorImpl<int64_t> &values) {
  SmallVector<char> scratch;
  auto bytes = nq::getRawBytes(attr, scratch);
  if (failed(bytes) || isFloat(type))
    return false;
  type = getHeldType(type);
  rt::StorageFormat format = rt::formatFromOnnx(int64_t(type));
  for (int64_t i = 0, e = attr.getNumElements(); i < e; ++i) {
    uint64_t code = rt::loadCode(format, bytes->data(), i);
    unsigned bits = getBitWidth(type);
    values.push_back(isUnsigned(type) || bits == 64
                         ? int64_t(code)
                         : llvm::SignExtend64(code, bits));
  }
  return true;
}

bool nibble::onnx::readFloats(ElementsAttr attr, ElemType type,
                              SmallVectorImpl<double> &values) {
  SmallVector<char> scratch;
  auto bytes = nq::getRawBytes(attr, scratch);
  if (failed(bytes))
    return false;
  values.resize(attr.getNumElements());
  rt::decodeArray(rt::formatFromOnnx(int64_t(getHeldType(type))), bytes->data(),
                  0, values.size(), values.data());
  return true;
}

/// True if no argument of the entry function is among what `value` reads.
bool GraphImporter::dependsOnConstantsOnly(Value value) {
  // Post-order without recursion: chains in real graphs are thousands long.
  SmallVector<Value> stack = {value};
  while (!stack.empty()) {
    Value top = stack.back();
    if (constantOnly.count(top)) {
      stack.pop_back();
      continue;
    }
    Operation *op = top.getDefiningOp();
    if (!op) {
      constantOnly[top] = false;
      continue;
    }
    SmallVector<Value> operands(op->getOperands());
    // Bodies capture tensors, too.
    op->walk([&](Operation *inner) {
      for (Value operand : inner->getOperands())
        if (operand.getParentBlock() == op->getBlock())
          operands.push_back(operand);
    });
    bool all = true, ready = true;
    for (Value operand : operands) {
      auto known = constantOnly.find(operand);
      if (known == constantOnly.end()) {
        stack.push_back(operand);
        ready = false;
      } else {
        all &= known->second;
      }
    }
    if (ready)
      constantOnly[top] = all;
  }
  return constantOnly[value];
}

ElementsAttr GraphImporter::getConstant(Tensor tensor, bool evaluate) {
  if (ElementsAttr data = getConstantData(tensor.value))
    return data;
  if (!evaluate || !options.evaluator || !dependsOnConstantsOnly(tensor.value))
    return {};
  auto [it, isNew] = evaluated.try_emplace(tensor.value);
  if (isNew) {
    FailureOr<ElementsAttr> result = options.evaluator(tensor.value);
    it->second = succeeded(result) ? *result : ElementsAttr();
  }
  return it->second;
}

//===----------------------------------------------------------------------===//
// Order
//===----------------------------------------------------------------------===//

/// Names that a node reads, those captured by its subgraphs included.
static void collectReads(const Node &node, SmallVectorImpl<StringRef> &reads) {
  reads.append(node.inputs.begin(), node.inputs.end());
  for (const NodeAttribute &attribute : node.attributes)
    for (const auto &graph : attribute.graphs) {
      for (const Node &inner : graph->nodes)
        collectReads(inner, reads);
      for (const ValueInfo &output : graph->outputs)
        reads.push_back(output.name);
    }
}

namespace {
/// Depth-first order that keeps the file's order where it is valid.
struct Sorter {
  ArrayRef<Node> nodes;
  llvm::StringMap<size_t> producer;
  enum Color : char { White, Grey, Black };
  std::vector<char> color;
  std::vector<const Node *> order;
  std::vector<std::pair<size_t, size_t>> stack; ///< node, next read
  std::vector<SmallVector<StringRef>> reads;

  explicit Sorter(ArrayRef<Node> nodes)
      : nodes(nodes), color(nodes.size(), White), reads(nodes.size()) {
    for (auto [i, node] : llvm::enumerate(nodes)) {
      for (StringRef output : node.outputs)
        producer.try_emplace(output, i);
      collectReads(node, reads[i]);
    }
  }

  /// False at a cycle: the stack then ends with it, from `first` on.
  bool visit(size_t root, size_t &first) {
    push(root);
    while (!stack.empty()) {
      auto &[i, next] = stack.back();
      if (next == reads[i].size()) {
        color[i] = Black;
        order.push_back(&nodes[i]);
        stack.pop_back();
        continue;
      }
      auto it = producer.find(reads[i][next++]);
      if (it == producer.end() || color[it->second] == Black)
        continue;
      first = it->second;
      if (color[first] == Grey)
        return false;
      push(first);
    }
    return true;
  }
  void push(size_t i) {
    color[i] = Grey;
    stack.emplace_back(i, 0);
  }
};
} // namespace

FailureOr<std::vector<const Node *>>
GraphImporter::sortNodes(ArrayRef<Node> nodes) {
  Sorter sorter(nodes);
  for (size_t i = 0; i < nodes.size(); ++i) {
    size_t first = 0;
    if (sorter.color[i] != Sorter::White || sorter.visit(i, first))
      continue;
    std::string cycle;
    bool inCycle = false;
    for (auto [node, next] : sorter.stack) {
      inCycle |= node == first;
      if (inCycle)
        cycle += "'" + getLayerName(nodes[node]) + "' reads ";
    }
    error(NameLoc::get(builder.getStringAttr(getLayerName(nodes[first]))),
          "graph has a cycle: " + cycle + "'" + getLayerName(nodes[first]) +
              "'; a valid model has none");
    return failure();
  }
  return std::move(sorter.order);
}

//===----------------------------------------------------------------------===//
// Nodes
//===----------------------------------------------------------------------===//

void GraphImporter::declareInitializers(const Graph &graph) {
  for (const TensorProto &tensor : graph.initializers) {
    auto [it, isNew] = scope->names.try_emplace(tensor.name);
    if (!isNew)
      error(fileLoc, "initializer '" + tensor.name +
                         "' has the name of another value of the graph; names "
                         "must be unique");
    it->second = {Binding::Pending, Tensor(), &tensor};
  }
  for (StringRef name : graph.sparseInitializers) {
    error(fileLoc, "sparse initializer '" + name +
                       "' is not supported; store it as a dense one");
    scope->names[name].kind = Binding::Failed;
  }
  for (const auto *infos : {&graph.infos, &graph.outputs})
    for (const ValueInfo &info : *infos)
      scope->infos[info.name] = &info;
}

void GraphImporter::importNodes(ArrayRef<Node> nodes) {
  llvm::StringMap<const Node *> defined;
  for (const Node &node : nodes)
    for (StringRef output : node.outputs) {
      if (output.empty())
        continue;
      auto [it, isNew] = defined.try_emplace(output, &node);
      bool shadows = !isNew || scope->names.count(output);
      if (shadows)
        error(NameLoc::get(builder.getStringAttr(getLayerName(node))),
              "value '" + output + "' is produced by node '" +
                  getLayerName(node) + "' but already by " +
                  (isNew ? "an input or initializer"
                         : "node '" + getLayerName(*it->second) + "'") +
                  "; names must be unique");
    }
  auto order = sortNodes(nodes);
  if (failed(order))
    return;
  for (const Node *node : *order)
    importNode(*node);
}

/// Makes all inputs known. False if one is missing (reported here) or failed
/// (reported where it failed).
bool GraphImporter::prepareInputs(const Node &node, Location loc,
                                  StringRef what, unsigned required) {
  bool ok = true;
  for (auto [i, name] : llvm::enumerate(node.inputs)) {
    if (name.empty()) {
      if (i < required) {
        error(loc, what + "input " + Twine(i) + " is required but absent");
        ok = false;
      }
      continue;
    }
    Binding *binding = find(name);
    if (!binding) {
      error(loc, what + "input '" + name +
                     "' is not an input of the model, an initializer or the "
                     "output of a node");
      ok = false;
    } else if (binding->kind == Binding::Failed) {
      ok = false;
    } else if (binding->kind == Binding::Pending) {
      const TensorProto &proto = *binding->initializer;
      std::string message;
      if (ElementsAttr data = loader.load(proto, message)) {
        // Located at its own name, as codes and weights are known by it.
        GraphBuilder build(builder, NameLoc::get(builder.getStringAttr(name)));
        *binding = {Binding::Known, build.constant(data, proto.type), nullptr};
      } else {
        error(loc, what + "initializer '" + name + "': " + message);
        binding->kind = Binding::Failed;
        ok = false;
      }
    }
  }
  if (node.inputs.size() < required) {
    error(loc, what + "has " + Twine(node.inputs.size()) +
                   " inputs but needs at least " + Twine(required));
    ok = false;
  }
  return ok;
}

/// Where operators of foreign domains come from, for the message.
static std::string explainDomain(StringRef domain) {
  if (domain == "trt_edgellm")
    return "; plugins of TensorRT-Edge-LLM hide their arithmetic: export with "
           "ONNX operators instead (for example --no-quantize-activations, "
           "which writes DequantizeLinear chains)";
  if (domain == "trt")
    return "; it is a TensorRT custom operator that Nibble does not know";
  if (domain.empty() || domain == "ai.onnx")
    return "; Nibble has no importer for it: export with other operators, or "
           "as a model-local function";
  return "; Nibble knows no operators of domain '" + domain.str() +
         "' by that name, and the model has no function for it";
}

/// Operators that move, convert or measure elements.
static bool computesNothing(StringRef op) {
  return llvm::StringSwitch<bool>(op)
      .Cases({"Cast", "CastLike", "QuantizeLinear", "DequantizeLinear"}, true)
      .Cases({"Identity", "If", "Shape", "Size", "Transpose"}, true)
      .Cases({"Flatten", "Reshape", "Squeeze", "Unsqueeze"}, true)
      .Cases({"Concat", "Expand", "Pad", "Slice", "Split", "Tile"}, true)
      .Cases({"Gather", "GatherElements", "GatherND"}, true)
      .Default(false);
}

/// Arithmetic on 2-bit integers, which are held in bytes, would leave their
/// range.
static LogicalResult checkHeldTypes(NodeContext &n) {
  if (computesNothing(n.opType()))
    return success();
  for (const auto &input : n.node.inputs) // input(i) would count as read
    if (Tensor x = input.empty() ? Tensor() : n.importer.lookUp(input);
        x && getHeldType(x.type) != x.type)
      return n.fail("cannot compute with " + getName(x.type) +
                    ": Nibble only moves, converts and dequantizes it; insert "
                    "a Cast to int8 before and one back after");
  return success();
}

/// Folds the node or calls its importer. A fold that left something unread did
/// not see all of the node: the importer then takes it or says what is wrong.
static LogicalResult importOperator(NodeContext &n, ImportFn import) {
  Tensor folded = foldNode(n);
  if (n.failed())
    return failure();
  if (folded && n.hasReadAll())
    return n.setOutput(0, folded);
  n.forgetReads();
  return succeeded(checkHeldTypes(n)) ? import(n) : failure();
}

const Function *GraphImporter::findFunction(const Node &node) const {
  for (const Function &candidate : model.functions)
    if (candidate.name == node.opType && candidate.domain == node.domain &&
        candidate.overload == node.overload)
      return &candidate;
  return nullptr;
}

void GraphImporter::importNode(const Node &node) {
  std::string name = getLayerName(node);
  Location loc = NameLoc::get(builder.getStringAttr(name));
  StringRef separator = node.domain.empty() ? "" : "::";
  std::string what =
      ("node '" + name + "' (" + node.domain + separator + node.opType + "): ")
          .str();
  const Function *callee = findFunction(node);
  const OpRegistry::Entry *entry =
      getOpRegistry().find(node.domain, node.opType);
  if (!callee && !entry) {
    error(loc, what + "operator is not supported" + explainDomain(node.domain));
    return failOutputs(node);
  }
  if (llvm::all_of(node.outputs, [](StringRef o) { return o.empty(); }))
    return error(loc, what + "has no outputs, so it computes nothing");
  unsigned required = callee ? 0 : entry->requiredInputs;
  if (!prepareInputs(node, loc, what, required))
    return failOutputs(node);
  NodeContext n(*this, node, builder, loc, name, getOpset(node.domain));
  LogicalResult result =
      callee ? importCall(n, *callee) : importOperator(n, entry->import);
  if (succeeded(result))
    n.checkAllRead();
  if (failed(result) && !n.failed())
    hasErrors = true;
  if (failed(result) || n.failed())
    return failOutputs(node);
  for (StringRef output : node.outputs)
    if (!output.empty() && !scope->names.count(output)) {
      error(loc,
            what + "output '" + output + "' is not one that this operator has");
      scope->names[output].kind = Binding::Failed;
    }
}

//===----------------------------------------------------------------------===//
// Subgraphs and functions
//===----------------------------------------------------------------------===//

LogicalResult GraphImporter::inlineSubgraph(NodeContext &node,
                                            const Graph &graph) {
  if (graph.outputs.size() != node.numOutputs())
    return node.fail("the branch has " + Twine(graph.outputs.size()) +
                     " outputs but the node " + Twine(node.numOutputs()));
  Scope inner;
  inner.parent = scope;
  inner.call = scope->call;
  inner.function = scope->function;
  inner.caller = scope->caller;
  inner.prefix = scope->prefix;
  for (auto &opset : scope->opsets)
    inner.opsets[opset.first()] = opset.second;
  Scope *outer = scope;
  scope = &inner;
  declareInitializers(graph);
  importNodes(graph.nodes);
  SmallVector<Tensor> results;
  Node reads; // brings outputs that are initializers into being
  for (const ValueInfo &output : graph.outputs)
    reads.inputs.push_back(output.name);
  bool known = prepareInputs(reads, node.build.loc,
                             "node '" + node.name().str() + "': ", 0);
  for (const ValueInfo &output : graph.outputs)
    results.push_back(lookUp(output.name));
  scope = outer;
  if (!known)
    return failure();
  for (auto [i, result] : llvm::enumerate(results)) {
    if (!result)
      return node.fail("output " + Twine(i) + " of the branch has no name");
    if (failed(node.setOutput(i, result)))
      return failure();
  }
  return success();
}

/// Marks the attributes that the function itself lists: what it makes of them
/// is its own affair. Others stay unread and are reported.
static void readDeclaredAttributes(const NodeContext &n,
                                   const Function &callee) {
  for (StringRef name : callee.attributes)
    (void)n.hasAttr(name);
  for (const NodeAttribute &attribute : callee.defaults)
    (void)n.hasAttr(attribute.name);
}

LogicalResult GraphImporter::importCall(NodeContext &n,
                                        const Function &callee) {
  readDeclaredAttributes(n, callee);
  if (++callDepth > maxCallDepth) {
    --callDepth;
    return n.fail("functions call each other recursively");
  }
  Scope inner;
  inner.call = &n.node;
  inner.function = &callee;
  inner.caller = scope;
  inner.prefix = n.name().str() + "/";
  for (auto &opset : scope->opsets)
    inner.opsets[opset.first()] = opset.second;
  for (const OpsetImport &opset : callee.opsets)
    inner.opsets[opset.domain == "ai.onnx" ? "" : opset.domain] = opset.version;
  for (auto [i, name] : llvm::enumerate(callee.inputs))
    if (Tensor tensor = n.input(i); tensor)
      inner.names[name].tensor = tensor;
  Scope *outer = scope;
  scope = &inner;
  importNodes(callee.nodes);
  SmallVector<Tensor> results;
  for (StringRef output : callee.outputs)
    results.push_back(lookUp(output));
  scope = outer;
  --callDepth;
  for (auto [i, result] : llvm::enumerate(results))
    if (!n.hasOutput(i))
      continue;
    else if (!result || failed(n.setOutput(i, result)))
      return failure();
  return success();
}
