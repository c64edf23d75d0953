// ONNX file -> graph.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_IMPORT_ONNXIMPORTER_H
#define NIBBLE_IMPORT_ONNXIMPORTER_H

#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/BuiltinOps.h"
#include "mlir/IR/OwningOpRef.h"

#include <functional>
#include <string>
#include <vector>

namespace nibble::onnx {

/// Computes a value that depends on constants only. Failure means "cannot",
/// not "error".
using ConstantEvaluator =
    std::function<mlir::FailureOr<mlir::ElementsAttr>(mlir::Value)>;

struct ImportOptions {
  /// `NAME=1x970x2048` binds the shape of a graph input; `NAME=128` also binds
  /// the symbolic dimension NAME (a dim_param) wherever it occurs. Unknown
  /// names are an error.
  struct ShapeBinding {
    std::string name;
    std::vector<int64_t> shape;
  };
  std::vector<ShapeBinding> shapes;
  /// Name of the entry function.
  std::string entryName = "main";
  /// Folds subgraphs of constants where an operator needs a compile-time value
  /// and the importer's own integer folding does not reach.
  ConstantEvaluator evaluator;
};

/// Parses "NAME=1x970x2048"; failure (without a message) if it is not that.
mlir::FailureOr<ImportOptions::ShapeBinding>
parseShapeBinding(llvm::StringRef text);

/// Reads the model at `path` (external data beside it) into a module with one
/// function per entry point; see dialects/Quant/README.md for the graph. All
/// problems are reported as diagnostics of `context`, each with the node's
/// name, and the import fails at the end. Large constants alias the mapped
/// file: it must not change while `context` lives.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importOnnx(llvm::StringRef path, const ImportOptions &options,
           mlir::MLIRContext *context);

/// The same from bytes in memory (copied where they become constants).
/// `directory` is where external data are looked up.
mlir::FailureOr<mlir::OwningOpRef<mlir::ModuleOp>>
importOnnxFromMemory(llvm::StringRef bytes, llvm::StringRef directory,
                     const ImportOptions &options, mlir::MLIRContext *context);

/// Loads the dialects that imported graphs use.
void loadImportDialects(mlir::MLIRContext &context);

} // namespace nibble::onnx

#endif // NIBBLE_IMPORT_ONNXIMPORTER_H
