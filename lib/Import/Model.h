// The part of an ONNX file that Nibble reads, as references into the file.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Field numbers are those of onnx.proto (a public, frozen format). The reader
// is our own because weights must be found where they are mapped: a generated
// parser copies every payload and stops at 2 GiB.
#ifndef NIBBLE_LIB_IMPORT_MODEL_H
#define NIBBLE_LIB_IMPORT_MODEL_H

#include "nibble/Import/ElemType.h"

#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"

#include <deque>
#include <memory>
#include <string>
#include <vector>

namespace nibble::onnx {

struct Graph;

/// TensorProto. Data should stand in one of: external, raw, typed chunks (the
/// loader refuses more).
struct TensorProto {
  llvm::StringRef name;
  llvm::SmallVector<int64_t> dims;
  ElemType type = ElemType::Undefined;
  bool hasRaw = false, isSegment = false;
  int64_t location = 0; ///< DataLocation: 0 in the model, 1 external
  llvm::StringRef raw;
  /// Payloads of the typed fields (packed runs or single numbers, wire format).
  using Chunks = llvm::SmallVector<llvm::StringRef, 1>;
  Chunks floats, doubles, int32s, int64s, uint64s;
  llvm::SmallVector<std::pair<llvm::StringRef, llvm::StringRef>> external;
};

/// AttributeProto.AttributeType.
enum class AttrKind {
  Undefined = 0,
  Float = 1,
  Int = 2,
  String = 3,
  Tensor = 4,
  Graph = 5,
  Floats = 6,
  Ints = 7,
  Strings = 8,
  Tensors = 9,
  Graphs = 10,
  SparseTensor = 11
};

struct NodeAttribute {
  NodeAttribute() = default;
  NodeAttribute(NodeAttribute &&) = default;
  NodeAttribute &operator=(NodeAttribute &&) = default;

  llvm::StringRef name, reference; ///< reference: attribute of the function
  AttrKind kind = AttrKind::Undefined;
  float f = 0;
  int64_t i = 0;
  llvm::StringRef s;
  llvm::SmallVector<float, 0> floats;
  llvm::SmallVector<int64_t, 0> ints;
  llvm::SmallVector<llvm::StringRef, 0> strings;
  std::vector<TensorProto> tensors;           ///< `t` or `tensors`
  std::vector<std::unique_ptr<Graph>> graphs; ///< `g` or `graphs`
};

struct Node {
  Node() = default;
  Node(Node &&) = default;
  Node &operator=(Node &&) = default;

  llvm::SmallVector<llvm::StringRef, 3> inputs, outputs;
  llvm::StringRef name, opType, domain, overload;
  std::vector<NodeAttribute> attributes;
};

struct Dimension {
  int64_t value = -1; ///< -1: not given
  llvm::StringRef symbol;
};

struct ValueInfo {
  llvm::StringRef name;
  bool isTensor = false, hasShape = false;
  ElemType type = ElemType::Undefined;
  llvm::SmallVector<Dimension, 4> dims;
};

struct Graph {
  llvm::StringRef name;
  std::vector<Node> nodes;
  std::deque<TensorProto> initializers; ///< addresses stay valid
  std::vector<ValueInfo> inputs, outputs, infos;
  llvm::SmallVector<llvm::StringRef> sparseInitializers;
  llvm::SmallVector<llvm::StringRef> annotated; ///< quantization_annotation
};

struct OpsetImport {
  llvm::StringRef domain;
  int64_t version = 0;
};

struct Function {
  llvm::StringRef name, domain, overload;
  llvm::SmallVector<llvm::StringRef> inputs, outputs;
  llvm::SmallVector<llvm::StringRef> attributes; ///< without a default
  std::vector<NodeAttribute> defaults;
  std::vector<Node> nodes;
  std::vector<OpsetImport> opsets;
};

struct Model {
  int64_t irVersion = 0;
  llvm::StringRef producer;
  std::vector<OpsetImport> opsets;
  bool hasGraph = false, hasTraining = false, hasDevices = false;
  Graph graph;
  std::deque<Function> functions;
};

/// Parses `bytes`, which must outlive the result. On failure returns null and
/// sets `error` to what is wrong and where (byte offset).
std::unique_ptr<Model> parseModel(llvm::StringRef bytes, std::string &error);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_MODEL_H
