// Opens model files and runs the import.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Import/OnnxImporter.h"
#include "GraphImporter.h"
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"
#include "llvm/Support/FileSystem.h"
#include "llvm/Support/Path.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::onnx;
using llvm::StringRef;

void nibble::onnx::loadImportDialects(MLIRContext &context) {
  context.loadDialect<nq::NqDialect, arith::ArithDialect, func::FuncDialect,
                      linalg::LinalgDialect, math::MathDialect,
                      tensor::TensorDialect>();
}

static FailureOr<OwningOpRef<ModuleOp>>
importBuffer(SharedBuffer buffer, ExternalFiles external, StringRef path,
             const ImportOptions &options, MLIRContext *context) {
  loadImportDialects(*context);
  std::string error;
  std::unique_ptr<Model> model = parseModel(buffer->getBuffer(), error);
  if (!model) {
    emitError(FileLineColLoc::get(context, path, 0, 0)) << error;
    return failure();
  }
  TensorLoader loader(context, buffer, std::move(external));
  GraphImporter importer(*model, options, context, std::move(loader), path);
  return importer.run();
}

/// Folder of the file that `path` is or links to.
static std::string getRealDirectory(StringRef path) {
  llvm::SmallString<256> real;
  if (llvm::sys::fs::real_path(path, real))
    return "";
  return llvm::sys::path::parent_path(real).str();
}

FailureOr<OwningOpRef<ModuleOp>>
nibble::onnx::importOnnx(StringRef path, const ImportOptions &options,
                         MLIRContext *context) {
  auto buffer = llvm::MemoryBuffer::getFile(path, /*IsText=*/false,
                                            /*RequiresNullTerminator=*/false);
  if (!buffer) {
    emitError(FileLineColLoc::get(context, path, 0, 0))
        << "cannot read '" << path << "': " << buffer.getError().message();
    return failure();
  }
  ExternalFiles external(llvm::sys::path::parent_path(path).str(),
                         getRealDirectory(path));
  return importBuffer(SharedBuffer(std::move(*buffer)), std::move(external),
                      path, options, context);
}

FailureOr<OwningOpRef<ModuleOp>>
nibble::onnx::importOnnxFromMemory(StringRef bytes, StringRef directory,
                                   const ImportOptions &options,
                                   MLIRContext *context) {
  SharedBuffer buffer(llvm::MemoryBuffer::getMemBufferCopy(bytes, "<memory>"));
  return importBuffer(std::move(buffer), ExternalFiles(directory.str(), ""),
                      "<memory>", options, context);
}
