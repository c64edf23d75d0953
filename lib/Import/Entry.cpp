// The interface of the entry function: shapes, symbols, inputs and outputs.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphImporter.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Interfaces/SideEffectInterfaces.h"
#include "llvm/ADT/StringSet.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;
using llvm::StringRef;

//===----------------------------------------------------------------------===//
// Shape bindings
//===----------------------------------------------------------------------===//

FailureOr<ImportOptions::ShapeBinding>
nibble::onnx::parseShapeBinding(StringRef text) {
  auto [name, dims] = text.rsplit('=');
  if (name.empty() || dims.empty() || name.size() == text.size())
    return failure();
  ImportOptions::ShapeBinding binding{name.str(), {}};
  SmallVector<StringRef> parts;
  dims.split(parts, 'x');
  for (StringRef part : parts) {
    int64_t dim;
    if (part.getAsInteger(10, dim) || dim < 0)
      return failure();
    binding.shape.push_back(dim);
  }
  return binding;
}

static const ImportOptions::ShapeBinding *
findBinding(const ImportOptions &options, StringRef name) {
  for (const auto &binding : options.shapes)
    if (binding.name == name)
      return &binding;
  return nullptr;
}

/// Records that a symbol has a value; false (reported) at a contradiction.
bool GraphImporter::bindSymbol(StringRef symbol, int64_t value,
                               StringRef input) {
  auto [it, isNew] = symbols.try_emplace(symbol, value, input.str());
  if (isNew || it->second.first == value)
    return true;
  error(fileLoc, "dimension '" + symbol + "' is " + Twine(it->second.first) +
                     " in '" + it->second.second + "' but " + Twine(value) +
                     " in '" + input + "'; give shapes that agree");
  return false;
}

/// Names in --shape must be graph inputs or symbols; inputs then bind the
/// symbols of their dimensions.
LogicalResult GraphImporter::checkBindings() {
  llvm::StringMap<const ValueInfo *> inputs;
  llvm::StringSet<> known;
  for (const ValueInfo &input : model.graph.inputs) {
    inputs[input.name] = &input;
    for (const Dimension &dim : input.dims)
      known.insert(dim.symbol);
  }
  bool ok = true;
  for (const auto &binding : options.shapes) {
    const ValueInfo *input = inputs.lookup(binding.name);
    if (!input) {
      bool symbol = known.contains(binding.name) && binding.shape.size() == 1;
      if (!symbol)
        error(fileLoc, "shape given for '" + binding.name +
                           "', which is neither an input nor a symbolic "
                           "dimension of the model");
      ok &= symbol && bindSymbol(binding.name, binding.shape[0], "--shape");
      continue;
    }
    if (input->hasShape && input->dims.size() != binding.shape.size()) {
      error(fileLoc, "shape " + toString(binding.shape) + " given for input '" +
                         binding.name + "', which has " +
                         Twine(input->dims.size()) + " dimensions");
      ok = false;
      continue;
    }
    for (auto [dim, value] : llvm::zip(input->dims, binding.shape))
      if (!dim.symbol.empty())
        ok &= bindSymbol(dim.symbol, value, binding.name);
  }
  return success(ok);
}

/// "x=1x?x2048": what the user has to complete.
static std::string
getShapeHint(const ValueInfo &input,
             const llvm::StringMap<std::pair<int64_t, std::string>> &symbols) {
  std::string hint = "--shape " + input.name.str() + "=";
  for (auto [i, dim] : llvm::enumerate(input.dims)) {
    auto it = symbols.find(dim.symbol);
    bool bound = !dim.symbol.empty() && it != symbols.end();
    hint += i ? "x" : "";
    hint += dim.value >= 0 ? std::to_string(dim.value)
            : bound        ? std::to_string(it->second.first)
                           : "?";
  }
  return hint;
}

FailureOr<Shape> GraphImporter::getInputShape(const ValueInfo &input) {
  const auto *binding = findBinding(options, input.name);
  std::string what = ("input '" + input.name + "': ").str();
  if (!input.hasShape) {
    if (binding)
      return Shape(binding->shape.begin(), binding->shape.end());
    error(fileLoc, what + "the model gives no shape; give one with --shape " +
                       input.name + "=...");
    return failure();
  }
  Shape shape;
  for (auto [i, dim] : llvm::enumerate(input.dims)) {
    int64_t value = dim.value;
    auto it = symbols.find(dim.symbol);
    if (value < 0 && binding)
      value = binding->shape[i];
    else if (value < 0 && !dim.symbol.empty() && it != symbols.end())
      value = it->second.first;
    if (value < 0) {
      StringRef symbol = dim.symbol.empty() ? "?" : dim.symbol;
      error(fileLoc, what + "dimension " + Twine(i) + " ('" + symbol +
                         "') is not fixed; give it with " +
                         getShapeHint(input, symbols));
      return failure();
    }
    if (binding && binding->shape[i] != value) {
      error(fileLoc, what + "dimension " + Twine(i) + " is " + Twine(value) +
                         " in the model but " + Twine(binding->shape[i]) +
                         " in --shape");
      return failure();
    }
    shape.push_back(value);
  }
  return shape;
}

//===----------------------------------------------------------------------===//
// Function
//===----------------------------------------------------------------------===//

static DictionaryAttr describe(OpBuilder &builder, StringRef name,
                               ElemType type) {
  return builder.getDictionaryAttr(
      {builder.getNamedAttr("nibble.name", builder.getStringAttr(name)),
       builder.getNamedAttr("nibble.dtype", builder.getStringAttr(onnx::getName(
                                                getHeldType(type))))});
}

LogicalResult GraphImporter::createFunction() {
  bool ok = succeeded(checkBindings());
  SmallVector<Type> types;
  SmallVector<DictionaryAttr> attrs;
  SmallVector<const ValueInfo *> arguments;
  llvm::StringSet<> names;
  for (const ValueInfo &input : model.graph.inputs) {
    // Weights may be listed as inputs, too (R3).
    if (auto it = scope->names.find(input.name);
        it != scope->names.end() && it->second.kind == Binding::Pending)
      continue;
    if (!names.insert(input.name).second) {
      error(fileLoc, "input '" + input.name + "' is listed twice");
      ok = false;
      continue;
    }
    Type element = input.isTensor ? getMlirType(input.type, context) : Type();
    if (!element) {
      error(fileLoc,
            "input '" + input.name + "': " +
                (input.isTensor ? "element type " + onnx::getName(input.type) +
                                      " is not supported"
                                : "only tensors are supported"));
      ok = false;
      continue;
    }
    FailureOr<Shape> shape = getInputShape(input);
    uint64_t count;
    std::string message;
    if (failed(shape) || !countElements(*shape, count, message)) {
      if (succeeded(shape))
        error(fileLoc, "input '" + input.name + "': " + message);
      ok = false;
      continue;
    }
    types.push_back(RankedTensorType::get(*shape, element));
    attrs.push_back(describe(builder, input.name, input.type));
    arguments.push_back(&input);
  }
  module = ModuleOp::create(fileLoc);
  builder.setInsertionPointToEnd(module->getBody());
  function = func::FuncOp::create(builder, fileLoc, options.entryName,
                                  builder.getFunctionType(types, {}));
  function->setAttr("nibble.entry", builder.getUnitAttr());
  function.setAllArgAttrs(attrs);
  Block *body = function.addEntryBlock();
  builder.setInsertionPointToStart(body);
  for (auto [input, argument] : llvm::zip(arguments, body->getArguments())) {
    argument.setLoc(NameLoc::get(builder.getStringAttr(input->name)));
    // Of bytes that a caller gives for 2-bit integers, the low bits count.
    Tensor given{argument, getHeldType(input->type)};
    scope->names[input->name].tensor =
        GraphBuilder(builder, argument.getLoc()).cast(given, input->type);
  }
  return success(ok);
}

/// The model's own statements about an output, where they can be wrong.
static void warnAboutDeclaration(const ValueInfo &output, Tensor tensor,
                                 Location loc) {
  if (output.type != ElemType::Undefined && output.type != tensor.type)
    emitWarning(loc) << "output '" << output.name << "' is declared "
                     << onnx::getName(output.type) << " but is "
                     << onnx::getName(tensor.type) << "; using the latter";
  bool fits = !output.hasShape || int64_t(output.dims.size()) == tensor.rank();
  for (size_t i = 0; fits && i < output.dims.size(); ++i)
    fits = output.dims[i].value < 0 || output.dims[i].value == tensor.dim(i);
  if (!fits)
    emitWarning(loc) << "output '" << output.name
                     << "' has another shape than declared: "
                     << toString(tensor.shape()) << "; using it";
}

/// Unused constants and shape computations go away here, so that what is left
/// of a model is what it computes.
static void eraseDeadOps(func::FuncOp function) {
  for (Operation &op :
       llvm::make_early_inc_range(llvm::reverse(function.getBody().front())))
    if (isOpTriviallyDead(&op))
      op.erase();
}

LogicalResult GraphImporter::finishFunction() {
  Node reads;
  for (const ValueInfo &output : model.graph.outputs)
    reads.inputs.push_back(output.name);
  if (reads.inputs.empty())
    error(fileLoc, "the graph has no outputs, so there is nothing to compute");
  if (!prepareInputs(reads, fileLoc, "graph outputs: ", 0) || hasErrors)
    return failure();
  SmallVector<Value> results;
  SmallVector<DictionaryAttr> attrs;
  llvm::StringSet<> names;
  for (const ValueInfo &output : model.graph.outputs) {
    Tensor tensor = lookUp(output.name);
    if (!tensor) {
      error(fileLoc, "graph outputs: one has no name");
      continue;
    }
    if (!names.insert(output.name).second)
      error(fileLoc, "output '" + output.name + "' is listed twice");
    warnAboutDeclaration(output, tensor, fileLoc);
    results.push_back(tensor.value);
    attrs.push_back(describe(builder, output.name, tensor.type));
  }
  func::ReturnOp::create(builder, fileLoc, results);
  SmallVector<Type> types(ValueRange(results).getTypes());
  function.setFunctionType(
      builder.getFunctionType(function.getArgumentTypes(), types));
  function.setAllResultAttrs(attrs);
  eraseDeadOps(function);
  return success(!hasErrors);
}

/// Parts of a file that say nothing about what an engine computes are left out,
/// but not without a word.
void GraphImporter::warnOfUnusedParts() {
  ArrayRef<StringRef> annotated = model.graph.annotated;
  if (!annotated.empty())
    emitWarning(fileLoc)
        << "quantization_annotation of " << annotated.size() << " tensors ('"
        << annotated.front() << "' is the first) is not followed: only "
        << "QuantizeLinear and DequantizeLinear nodes quantize; export with "
        << "them if these tensors are meant to be quantized";
  if (model.hasTraining)
    emitWarning(fileLoc) << "training_info is not used: engines are for "
                            "inference; nothing to do";
  if (model.hasDevices)
    emitWarning(fileLoc) << "the distribution over devices that the model "
                            "describes is not followed: an engine runs on one "
                            "device; nothing to do";
}

/// Operators change their meaning from version to version, so a file with any
/// of the ONNX operators must say which one it means. Only files of IR versions
/// 1 and 2 could not.
void GraphImporter::readOpsets() {
  for (const OpsetImport &opset : model.opsets) {
    StringRef domain = opset.domain == "ai.onnx" ? "" : opset.domain;
    scope->opsets[domain] = opset.version;
  }
  bool needed = llvm::any_of(model.graph.nodes, [](const Node &node) {
    return node.domain.empty() || node.domain == "ai.onnx";
  });
  if (!needed || scope->opsets.count("") || model.irVersion < 3)
    return;
  error(fileLoc, "opset_import names no version of the ONNX operators (domain "
                 "''), so their meaning is open; add the version that the "
                 "model was exported with");
  scope->opsets[""] = 21; // for the other problems, which are reported too
}

FailureOr<OwningOpRef<ModuleOp>> GraphImporter::run() {
  Scope top;
  scope = &top;
  readOpsets();
  warnOfUnusedParts();
  declareInitializers(model.graph);
  indexGraph(model.graph);
  if (failed(createFunction()))
    hasErrors = true;
  // Inputs that failed must not look like missing names.
  for (const ValueInfo &input : model.graph.inputs) {
    Binding &binding = top.names[input.name];
    if (binding.kind == Binding::Known && !binding.tensor)
      binding.kind = Binding::Failed;
  }
  importNodes(model.graph.nodes);
  if (failed(finishFunction()) || hasErrors)
    return failure();
  if (failed(verify(*module)))
    return failure();
  return std::move(module);
}
