// Wire format -> Model, one function per message.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Model.h"
#include "Wire.h"

using namespace nibble::onnx;
using llvm::StringRef;

/// Graphs nest through attributes (If, Loop); a file cannot make us recurse
/// deeper than this.
static constexpr unsigned maxDepth = 32;

namespace {
/// The recursive functions need the same two things everywhere.
struct Parser {
  const char *start;
  WireError &error;

  void ints(WireReader &r, llvm::SmallVectorImpl<int64_t> &out) {
    StringRef run = r.numbers(0);
    for (WireReader packed(run, start, error); !packed.atEnd();)
      out.push_back(int64_t(packed.readVarint()));
  }
  void floats(WireReader &r, llvm::SmallVectorImpl<float> &out) {
    StringRef run = r.numbers(5);
    if (run.size() % 4 != 0)
      r.fail("list of floats has a size that is not a multiple of 4 bytes");
    for (; run.size() >= 4; run = run.drop_front(4))
      out.push_back(
          llvm::bit_cast<float>(llvm::support::endian::read32le(run.data())));
  }

  std::pair<StringRef, StringRef> entry(WireReader r);
  void tensor(WireReader r, TensorProto &tensor);
  void attribute(WireReader r, NodeAttribute &attribute, unsigned depth);
  void node(WireReader r, Node &node, unsigned depth);
  void shape(WireReader r, ValueInfo &info);
  void tensorType(WireReader r, ValueInfo &info);
  void valueInfo(WireReader r, ValueInfo &info);
  StringRef sparseName(WireReader r);
  StringRef annotatedName(WireReader r);
  void graph(WireReader r, Graph &graph, unsigned depth);
  OpsetImport opset(WireReader r);
  void function(WireReader r, Function &function);
  void model(WireReader r, Model &model);
};
} // namespace

std::pair<StringRef, StringRef> Parser::entry(WireReader r) {
  std::pair<StringRef, StringRef> result;
  while (r.next()) {
    if (r.field() == 1)
      result.first = r.bytes();
    else if (r.field() == 2)
      result.second = r.bytes();
    else
      r.skip();
  }
  return result;
}

void Parser::tensor(WireReader r, TensorProto &tensor) {
  while (r.next()) {
    switch (r.field()) {
    case 1:
      ints(r, tensor.dims);
      break;
    case 2:
      tensor.type = ElemType(int32_t(r.varint()));
      break;
    case 3:
      tensor.isSegment = true;
      r.skip();
      break;
    case 4:
      tensor.floats.push_back(r.numbers(5));
      break;
    case 5:
      tensor.int32s.push_back(r.numbers(0));
      break;
    case 7:
      tensor.int64s.push_back(r.numbers(0));
      break;
    case 8:
      tensor.name = r.bytes();
      break;
    case 9:
      tensor.hasRaw = true;
      tensor.raw = r.bytes();
      break;
    case 10:
      tensor.doubles.push_back(r.numbers(1));
      break;
    case 11:
      tensor.uint64s.push_back(r.numbers(0));
      break;
    case 13:
      tensor.external.push_back(entry(r.message()));
      break;
    case 14:
      tensor.location = r.varint();
      break;
    default:
      r.skip();
    }
  }
}

/// Files of IR version 1 carry no type: the field that is set tells it.
static AttrKind guessKind(uint64_t field, AttrKind known) {
  if (known != AttrKind::Undefined)
    return known;
  switch (field) {
  case 2:
    return AttrKind::Float;
  case 3:
    return AttrKind::Int;
  case 4:
    return AttrKind::String;
  case 5:
    return AttrKind::Tensor;
  case 6:
    return AttrKind::Graph;
  case 7:
    return AttrKind::Floats;
  case 8:
    return AttrKind::Ints;
  case 9:
    return AttrKind::Strings;
  case 10:
    return AttrKind::Tensors;
  case 11:
    return AttrKind::Graphs;
  default:
    return AttrKind::Undefined;
  }
}

void Parser::attribute(WireReader r, NodeAttribute &attribute, unsigned depth) {
  AttrKind guess = AttrKind::Undefined;
  while (r.next()) {
    guess = guessKind(r.field(), guess);
    switch (r.field()) {
    case 1:
      attribute.name = r.bytes();
      break;
    case 2:
      attribute.f = r.fixed32();
      break;
    case 3:
      attribute.i = r.varint();
      break;
    case 4:
      attribute.s = r.bytes();
      break;
    case 5:
    case 10:
      tensor(r.message(), attribute.tensors.emplace_back());
      break;
    case 6:
    case 11:
      attribute.graphs.push_back(std::make_unique<Graph>());
      graph(r.message(), *attribute.graphs.back(), depth + 1);
      break;
    case 7:
      floats(r, attribute.floats);
      break;
    case 8:
      ints(r, attribute.ints);
      break;
    case 9:
      attribute.strings.push_back(r.bytes());
      break;
    case 20:
      attribute.kind = AttrKind(r.varint());
      break;
    case 21:
      attribute.reference = r.bytes();
      break;
    default:
      r.skip();
    }
  }
  if (attribute.kind == AttrKind::Undefined)
    attribute.kind = guess;
}

void Parser::node(WireReader r, Node &node, unsigned depth) {
  while (r.next()) {
    switch (r.field()) {
    case 1:
      node.inputs.push_back(r.bytes());
      break;
    case 2:
      node.outputs.push_back(r.bytes());
      break;
    case 3:
      node.name = r.bytes();
      break;
    case 4:
      node.opType = r.bytes();
      break;
    case 5:
      attribute(r.message(), node.attributes.emplace_back(), depth);
      break;
    case 7:
      node.domain = r.bytes();
      break;
    case 8:
      node.overload = r.bytes();
      break;
    default:
      r.skip();
    }
  }
}

void Parser::shape(WireReader r, ValueInfo &info) {
  info.hasShape = true;
  while (r.next()) {
    if (r.field() != 1) {
      r.skip();
      continue;
    }
    Dimension dim;
    for (WireReader d = r.message(); d.next();) {
      if (d.field() == 1)
        dim.value = d.varint();
      else if (d.field() == 2)
        dim.symbol = d.bytes();
      else
        d.skip();
    }
    info.dims.push_back(dim);
  }
}

void Parser::tensorType(WireReader r, ValueInfo &info) {
  info.isTensor = true;
  while (r.next()) {
    if (r.field() == 1)
      info.type = ElemType(int32_t(r.varint()));
    else if (r.field() == 2)
      shape(r.message(), info);
    else
      r.skip();
  }
}

void Parser::valueInfo(WireReader r, ValueInfo &info) {
  while (r.next()) {
    if (r.field() == 1) {
      info.name = r.bytes();
    } else if (r.field() == 2) {
      for (WireReader type = r.message(); type.next();) {
        if (type.field() == 1)
          tensorType(type.message(), info);
        else
          type.skip();
      }
    } else {
      r.skip();
    }
  }
}

/// A sparse initializer is named by its `values` tensor.
StringRef Parser::sparseName(WireReader r) {
  TensorProto values;
  while (r.next()) {
    if (r.field() == 1)
      tensor(r.message(), values);
    else
      r.skip();
  }
  return values.name;
}

/// The tensor that a TensorAnnotation speaks of.
StringRef Parser::annotatedName(WireReader r) {
  StringRef name;
  while (r.next()) {
    if (r.field() == 1)
      name = r.bytes();
    else
      r.skip();
  }
  return name;
}

void Parser::graph(WireReader r, Graph &graph, unsigned depth) {
  if (depth > maxDepth) {
    r.fail("graphs are nested too deeply");
    return;
  }
  while (r.next()) {
    switch (r.field()) {
    case 1:
      node(r.message(), graph.nodes.emplace_back(), depth);
      break;
    case 2:
      graph.name = r.bytes();
      break;
    case 5:
      tensor(r.message(), graph.initializers.emplace_back());
      break;
    case 11:
      valueInfo(r.message(), graph.inputs.emplace_back());
      break;
    case 12:
      valueInfo(r.message(), graph.outputs.emplace_back());
      break;
    case 13:
      valueInfo(r.message(), graph.infos.emplace_back());
      break;
    case 14:
      graph.annotated.push_back(annotatedName(r.message()));
      break;
    case 15:
      graph.sparseInitializers.push_back(sparseName(r.message()));
      break;
    default:
      r.skip();
    }
  }
}

OpsetImport Parser::opset(WireReader r) {
  OpsetImport result;
  while (r.next()) {
    if (r.field() == 1)
      result.domain = r.bytes();
    else if (r.field() == 2)
      result.version = r.varint();
    else
      r.skip();
  }
  return result;
}

void Parser::function(WireReader r, Function &function) {
  while (r.next()) {
    switch (r.field()) {
    case 1:
      function.name = r.bytes();
      break;
    case 4:
      function.inputs.push_back(r.bytes());
      break;
    case 5:
      function.outputs.push_back(r.bytes());
      break;
    case 6:
      function.attributes.push_back(r.bytes());
      break;
    case 7:
      node(r.message(), function.nodes.emplace_back(), 0);
      break;
    case 9:
      function.opsets.push_back(opset(r.message()));
      break;
    case 10:
      function.domain = r.bytes();
      break;
    case 11:
      attribute(r.message(), function.defaults.emplace_back(), 0);
      break;
    case 13:
      function.overload = r.bytes();
      break;
    default:
      r.skip();
    }
  }
}

void Parser::model(WireReader r, Model &model) {
  while (r.next()) {
    switch (r.field()) {
    case 1:
      model.irVersion = r.varint();
      break;
    case 2:
      model.producer = r.bytes();
      break;
    case 7:
      if (model.hasGraph)
        r.fail("file has two graphs");
      model.hasGraph = true;
      graph(r.message(), model.graph, 0);
      break;
    case 8:
      model.opsets.push_back(opset(r.message()));
      break;
    case 20:
      model.hasTraining = true;
      r.skip();
      break;
    case 26:
      model.hasDevices = true;
      r.skip();
      break;
    case 25:
      function(r.message(), model.functions.emplace_back());
      break;
    default:
      r.skip();
    }
  }
}

std::unique_ptr<Model> nibble::onnx::parseModel(StringRef bytes,
                                                std::string &error) {
  WireError wireError;
  auto model = std::make_unique<Model>();
  Parser parser{bytes.begin(), wireError};
  parser.model(WireReader(bytes, bytes.begin(), wireError), *model);
  if (wireError) {
    error = "not a valid ONNX file: " + wireError.message + " at byte " +
            std::to_string(wireError.offset) + " of " +
            std::to_string(bytes.size());
    return nullptr;
  }
  if (!model->hasGraph) {
    error = "not a valid ONNX file: it has no graph";
    return nullptr;
  }
  return model;
}
