// Weights: TensorProto -> attribute, aliasing the mapped file where it can.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_TENSORLOADER_H
#define NIBBLE_LIB_IMPORT_TENSORLOADER_H

#include "Model.h"

#include "mlir/IR/BuiltinAttributes.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MemoryBuffer.h"

#include <memory>

namespace nibble::onnx {

using SharedBuffer = std::shared_ptr<llvm::MemoryBuffer>;

/// Data of at most this many bytes become dense attributes (copied into the
/// context); larger ones become resources.
constexpr uint64_t maxInlineBytes = 4096;

/// Makes an attribute from raw row-major bytes (ONNX raw_data rules; size and
/// shape fit). `owner` keeps `bytes` alive; without one large data are copied.
mlir::ElementsAttr makeElements(mlir::MLIRContext *context, ElemType type,
                                llvm::ArrayRef<int64_t> shape,
                                llvm::StringRef bytes, llvm::StringRef name,
                                SharedBuffer owner);

/// The same data with another shape or element type of equal width.
mlir::ElementsAttr retype(mlir::ElementsAttr attr, ElemType type,
                          llvm::ArrayRef<int64_t> shape);

/// Reads data files beside a model. Every path of a file is untrusted: only
/// regular files inside of the model's folder are opened.
class ExternalFiles {
public:
  /// `directory` is the model's; `realDirectory` the folder that the model file
  /// itself is in after following links (the same for ordinary models).
  ExternalFiles(std::string directory, std::string realDirectory)
      : directory(std::move(directory)),
        realDirectory(std::move(realDirectory)) {}

  /// Bytes that `tensor.external` describes; `expected` is how many the type
  /// and shape need. location, offset, length and checksum are obeyed; basepath
  /// must name the model's folder; any other key is refused, as nobody here
  /// knows what it would change. On failure sets `error`.
  llvm::StringRef read(const TensorProto &tensor, uint64_t expected,
                       SharedBuffer &owner, std::string &error);

private:
  SharedBuffer open(llvm::StringRef location, std::string &error);
  bool checkDigest(llvm::StringRef location, llvm::StringRef digest,
                   const SharedBuffer &buffer, std::string &error);

  std::string directory, realDirectory;
  llvm::StringMap<SharedBuffer> files;
  llvm::StringMap<std::string> digests;
};

class TensorLoader {
public:
  /// `file` holds the model's bytes.
  TensorLoader(mlir::MLIRContext *context, SharedBuffer file,
               ExternalFiles external)
      : context(context), file(std::move(file)), external(std::move(external)) {
  }

  /// Null and `error` set if the data do not fit type and shape.
  mlir::ElementsAttr load(const TensorProto &tensor, std::string &error);

private:
  bool findBytes(const TensorProto &tensor, uint64_t count,
                 llvm::StringRef &bytes, SharedBuffer &owner,
                 std::string &error);

  mlir::MLIRContext *context;
  SharedBuffer file;
  ExternalFiles external;
};

/// Number of elements, or failure (with `error`) for negative dimensions or a
/// product beyond what memory can hold.
bool countElements(llvm::ArrayRef<int64_t> dims, uint64_t &count,
                   std::string &error);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_TENSORLOADER_H
