// State of one import: scopes of names, constants, errors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_GRAPHIMPORTER_H
#define NIBBLE_LIB_IMPORT_GRAPHIMPORTER_H

#include "Model.h"
#include "TensorLoader.h"
#include "nibble/Import/OnnxImporter.h"
#include "nibble/Import/OpImporter.h"

#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/MapVector.h"

namespace nibble::onnx {

/// What a name stands for.
struct Binding {
  enum Kind {
    Known,   ///< `tensor`
    Pending, ///< initializer not used yet
    Failed   ///< its producer failed (reported already)
  } kind = Known;
  Tensor tensor;
  const TensorProto *initializer = nullptr;
};

/// Names visible in a graph or function body.
struct Scope {
  Scope *parent = nullptr; ///< enclosing graph of a subgraph; null in functions
  llvm::StringMap<Binding> names;
  llvm::StringMap<const ValueInfo *> infos;
  /// Inside of a function: the call and the function, for attribute references.
  const Node *call = nullptr;
  const Function *function = nullptr;
  Scope *caller = nullptr;
  llvm::StringMap<int64_t> opsets;
  std::string prefix; ///< of layer names, for inlined functions
};

class GraphImporter {
public:
  GraphImporter(const Model &model, const ImportOptions &options,
                mlir::MLIRContext *context, TensorLoader loader,
                llvm::StringRef path);

  mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>> run();

  //===--- For NodeContext ------------------------------------------------===//

  /// Null tensor if the name is unknown or its producer failed.
  Tensor lookUp(llvm::StringRef name);
  void bind(llvm::StringRef name, Tensor tensor);
  /// Element type in value_info, or Undefined.
  ElemType getDeclaredType(llvm::StringRef name) const;
  /// The attribute that `attribute` refers to, or itself; null if the call does
  /// not give it.
  const NodeAttribute *resolve(const NodeAttribute &attribute) const;
  /// Data of a constant, evaluating what it depends on if `evaluate`.
  mlir::ElementsAttr getConstant(Tensor tensor, bool evaluate);
  mlir::ElementsAttr load(const TensorProto &tensor, std::string &error) {
    return loader.load(tensor, error);
  }
  /// Imports the nodes of a subgraph in place; results are its outputs.
  mlir::LogicalResult inlineSubgraph(NodeContext &node, const Graph &graph);
  /// Nodes of the current graph that read `name`.
  llvm::ArrayRef<const Node *> getConsumers(llvm::StringRef name) const;
  /// Node of the current graph that makes `name`, or null.
  const Node *getProducer(llvm::StringRef name) const;

  void error(mlir::Location loc, const llvm::Twine &message);
  mlir::OpBuilder builder;
  bool hasErrors = false;

private:
  // The file, and the interface of the entry function (Entry.cpp).
  void readOpsets();
  void warnOfUnusedParts();
  mlir::LogicalResult checkBindings();
  mlir::FailureOr<Shape> getInputShape(const ValueInfo &input);
  bool bindSymbol(llvm::StringRef symbol, int64_t value, llvm::StringRef input);
  mlir::LogicalResult createFunction();
  mlir::LogicalResult finishFunction();

  // Nodes (GraphImporter.cpp).
  void declareInitializers(const Graph &graph);
  void indexGraph(const Graph &graph);
  mlir::FailureOr<std::vector<const Node *>>
  sortNodes(llvm::ArrayRef<Node> nodes);
  void importNodes(llvm::ArrayRef<Node> nodes);
  void importNode(const Node &node);
  mlir::LogicalResult importCall(NodeContext &n, const Function &function);
  bool prepareInputs(const Node &node, mlir::Location loc, llvm::StringRef what,
                     unsigned required);
  void failOutputs(const Node &node);
  const Function *findFunction(const Node &node) const;
  int64_t getOpset(llvm::StringRef domain) const;
  std::string getLayerName(const Node &node) const;
  Binding *find(llvm::StringRef name);
  bool dependsOnConstantsOnly(mlir::Value value);

  const Model &model;
  const ImportOptions &options;
  mlir::MLIRContext *context;
  TensorLoader loader;
  mlir::Location fileLoc;
  mlir::OwningOpRef<mlir::ModuleOp> module;
  mlir::func::FuncOp function;
  Scope *scope = nullptr;
  unsigned callDepth = 0;
  llvm::StringMap<std::pair<int64_t, std::string>> symbols;
  llvm::DenseMap<mlir::Value, bool> constantOnly;
  llvm::DenseMap<mlir::Value, mlir::ElementsAttr> evaluated;
  llvm::StringMap<llvm::SmallVector<const Node *, 2>> consumers;
  llvm::StringMap<const Node *> producers;
};

/// Folds small integer and scalar arithmetic (shape computations) whose inputs
/// are constants, so that no operator importer has to evaluate IR for it.
/// Returns the value of output 0, or null if the node is not foldable.
Tensor foldNode(NodeContext &n);

/// Data of a tensor that is a constant op, or null.
mlir::ElementsAttr getConstantData(mlir::Value value);
/// Flat values; false if the type does not fit.
bool readInts(mlir::ElementsAttr attr, ElemType type,
              llvm::SmallVectorImpl<int64_t> &values);
bool readFloats(mlir::ElementsAttr attr, ElemType type,
                llvm::SmallVectorImpl<double> &values);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_GRAPHIMPORTER_H
