// What an operator importer sees (NodeContext) and where it registers.
//
//   static LogicalResult importRelu(NodeContext &n) {
//     Tensor x = n.input(0);
//     return n.setOutput(0, n.build.unary(x, [](ScalarBuilder &s, Value v) {
//       return s.max(v, s.constant(0, v));
//     }));
//   }
//   void registerActivations(OpRegistry &r) { r.add("", "Relu", importRelu); }
//
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_IMPORT_OPIMPORTER_H
#define NIBBLE_IMPORT_OPIMPORTER_H

#include "nibble/Import/GraphBuilder.h"

#include "llvm/ADT/SmallBitVector.h"
#include "llvm/ADT/StringMap.h"
#include <optional>

namespace nibble::onnx {

class GraphImporter;  // private to lib/Import
struct Node;          // private to lib/Import
struct NodeAttribute; // private to lib/Import

/// One node being imported: its attributes, operands, results and the builder.
/// Required inputs are present (see OpRegistry::add) and have types that Nibble
/// carries. Every error goes through fail(), which adds node name and operator;
/// the import goes on with the other nodes and fails at the end.
class NodeContext {
public:
  NodeContext(GraphImporter &importer, const Node &node,
              mlir::OpBuilder &builder, mlir::Location loc,
              llvm::StringRef name, int64_t opset);

  GraphBuilder build;

  llvm::StringRef name() const { return nodeName; } ///< never empty
  llvm::StringRef opType() const;
  llvm::StringRef domain() const; ///< as in the file
  /// Version in force of the operator's domain ("trt" counts as "").
  int64_t opset() const { return version; }

  //===--- Inputs ---------------------------------------------------------===//

  size_t numInputs() const;      ///< trailing absent ones not counted
  bool hasInput(size_t i) const; ///< false for "" and beyond the end
  Tensor input(size_t i) const;  ///< null Tensor if absent

  /// Value of input `i` if it is known at compile time, else null. Folds
  /// (evaluates) what the input depends on if need be.
  mlir::ElementsAttr constant(size_t i);
  /// The same as flat row-major numbers; integers and bool / floats and
  /// integers.
  std::optional<llvm::SmallVector<int64_t>> constantInts(size_t i);
  std::optional<llvm::SmallVector<double>> constantFloats(size_t i);
  /// As constantInts, but an error naming the input if it is not known. An
  /// absent input gives `absent`.
  mlir::FailureOr<llvm::SmallVector<int64_t>>
  requireInts(size_t i, llvm::StringRef what,
              llvm::ArrayRef<int64_t> absent = {});
  mlir::FailureOr<llvm::SmallVector<double>>
  requireFloats(size_t i, llvm::StringRef what,
                llvm::ArrayRef<double> absent = {});

  //===--- Attributes -----------------------------------------------------===//
  // A wrong attribute type is reported by the getter, which returns the
  // default: the node then fails anyway.

  bool hasAttr(llvm::StringRef name) const;
  int64_t intAttr(llvm::StringRef name, int64_t otherwise) const;
  double floatAttr(llvm::StringRef name, double otherwise) const;
  std::string stringAttr(llvm::StringRef name, llvm::StringRef otherwise) const;
  /// nullopt if absent.
  std::optional<llvm::SmallVector<int64_t>>
  intsAttr(llvm::StringRef name) const;
  std::optional<llvm::SmallVector<double>>
  floatsAttr(llvm::StringRef name) const;
  /// Empty if absent.
  llvm::SmallVector<std::string> stringsAttr(llvm::StringRef name) const;
  /// Required: failure (reported) if absent.
  mlir::FailureOr<int64_t> requireIntAttr(llvm::StringRef name) const;
  /// TensorProto attribute as a constant of the graph; null Tensor if absent,
  /// or if its data are wrong (reported).
  Tensor tensorAttr(llvm::StringRef name) const;
  /// Axis in [-rank, rank) normalized to [0, rank), else a reported failure.
  mlir::FailureOr<int64_t> normalizeAxis(int64_t axis, int64_t rank) const;
  /// Axes normalized, distinct and sorted, else a reported failure.
  mlir::FailureOr<llvm::SmallVector<int64_t>>
  normalizeAxes(llvm::ArrayRef<int64_t> axes, int64_t rank) const;

  //===--- Outputs --------------------------------------------------------===//

  size_t numOutputs() const;
  bool hasOutput(size_t i) const; ///< wanted: has a name
  /// Binds output `i`; does nothing if it is not wanted. Always success(), for
  /// `return n.setOutput(0, y)`.
  mlir::LogicalResult setOutput(size_t i, Tensor value);
  /// Element type that value_info gives for output `i`, or Undefined.
  ElemType declaredOutputType(size_t i) const;

  //===--- Messages -------------------------------------------------------===//

  /// Reports `message` (what, why, what to do; no final period) with the node's
  /// name and operator. Always failure().
  mlir::LogicalResult fail(const llvm::Twine &message) const;
  void warn(const llvm::Twine &message) const;
  bool failed() const { return hasFailed; }

  //===--- Completeness ---------------------------------------------------===//
  // Nothing that a file says is ignored in silence: the getters above note what
  // was asked for, and what nobody asked for is an error. An importer therefore
  // asks for an attribute even where another one makes it meaningless. See
  // NodeReads.cpp for the few that never change a result.

  /// Forgets what was asked for, when an attempt came to nothing.
  void forgetReads();
  /// True if every input and attribute was asked for or changes no result.
  bool hasReadAll() const;
  /// Reports (as errors) each input and attribute that was not.
  void checkAllRead() const;

  GraphImporter &importer;
  const Node &node;

private:
  const NodeAttribute *find(llvm::StringRef name, int type) const;
  llvm::SmallVector<size_t> unreadInputs() const;
  llvm::SmallVector<const NodeAttribute *> unreadAttributes() const;

  std::string nodeName;
  int64_t version;
  mutable bool hasFailed = false;
  mutable llvm::SmallBitVector inputsRead, attributesRead;
};

using ImportFn = mlir::LogicalResult (*)(NodeContext &);

/// Importers by domain and operator. Domains "", "ai.onnx" are one; "trt" is
/// the same one for QuantizeLinear, DequantizeLinear and names that start with
/// TRT_ (rule R1). Operators are not checked against opset versions (R2).
class OpRegistry {
public:
  /// `requiredInputs`: how many leading inputs must be present.
  void add(llvm::StringRef domain, llvm::StringRef opType, ImportFn import,
           unsigned requiredInputs = 1);

  struct Entry {
    ImportFn import = nullptr;
    unsigned requiredInputs = 0;
  };
  /// Null if there is no importer.
  const Entry *find(llvm::StringRef domain, llvm::StringRef opType) const;
  /// All operators, "domain::Op" or "Op", sorted: for docs and messages.
  llvm::SmallVector<std::string> list() const;

private:
  llvm::StringMap<Entry> entries;
};

/// Every importer of Nibble (built once).
const OpRegistry &getOpRegistry();

} // namespace nibble::onnx

#endif // NIBBLE_IMPORT_OPIMPORTER_H
