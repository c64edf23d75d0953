// Writes small ONNX models as bytes, also wrong ones, and imports them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_IMPORT_MODELWRITER_H
#define NIBBLE_TEST_UNIT_IMPORT_MODELWRITER_H

#include "nibble/Import/ElemType.h"
#include "nibble/Import/OnnxImporter.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Diagnostics.h"
#include "llvm/Support/raw_ostream.h"

#include <cstring>
#include <string>
#include <vector>

namespace nibble::test {

using onnx::ElemType;
using Dims = std::vector<int64_t>;

/// One protobuf message.
struct Message {
  std::string bytes;

  Message &varint(int field, uint64_t value) {
    raw(field << 3);
    return raw(value);
  }
  Message &data(int field, llvm::StringRef value) {
    raw(field << 3 | 2);
    raw(value.size());
    bytes += value.str();
    return *this;
  }
  Message &message(int field, const Message &value) {
    return data(field, value.bytes);
  }
  Message &fixed32(int field, float value) {
    raw(field << 3 | 5);
    bytes.append(reinterpret_cast<const char *>(&value), 4);
    return *this;
  }
  Message &raw(uint64_t value) {
    for (; value > 127; value >>= 7)
      bytes.push_back(char(value | 128));
    bytes.push_back(char(value));
    return *this;
  }
};

template <typename T> std::string bytesOf(const std::vector<T> &values) {
  return std::string(reinterpret_cast<const char *>(values.data()),
                     values.size() * sizeof(T));
}

inline Message tensor(llvm::StringRef name, ElemType type, const Dims &dims,
                      llvm::StringRef raw) {
  Message t;
  for (int64_t dim : dims)
    t.varint(1, dim);
  t.varint(2, int(type)).data(8, name).data(9, raw);
  return t;
}

inline Message intAttr(llvm::StringRef name, int64_t value) {
  return Message().data(1, name).varint(3, value).varint(20, 2);
}
inline Message floatAttr(llvm::StringRef name, float value) {
  return Message().data(1, name).fixed32(2, value).varint(20, 1);
}
inline Message stringAttr(llvm::StringRef name, llvm::StringRef value) {
  return Message().data(1, name).data(4, value).varint(20, 3);
}
inline Message intsAttr(llvm::StringRef name, const Dims &values) {
  Message attr = Message().data(1, name).varint(20, 7);
  for (int64_t value : values)
    attr.varint(8, value);
  return attr;
}
inline Message graphAttr(llvm::StringRef name, const Message &graph) {
  return Message().data(1, name).message(6, graph).varint(20, 5);
}

inline Message node(llvm::StringRef op, std::vector<std::string> inputs,
                    std::vector<std::string> outputs,
                    std::vector<Message> attributes = {},
                    llvm::StringRef domain = "", llvm::StringRef name = "") {
  Message n;
  for (const std::string &input : inputs)
    n.data(1, input);
  for (const std::string &output : outputs)
    n.data(2, output);
  n.data(3, name).data(4, op);
  for (const Message &attribute : attributes)
    n.message(5, attribute);
  return n.data(7, domain);
}

/// Dimension -1 is written as the symbol "batch".
inline Message valueInfo(llvm::StringRef name, ElemType type,
                         const Dims &dims) {
  Message shape;
  for (int64_t dim : dims)
    shape.message(1, dim < 0 ? Message().data(2, "batch")
                             : Message().varint(1, dim));
  Message tensorType = Message().varint(1, int(type)).message(2, shape);
  return Message().data(1, name).message(2, Message().message(1, tensorType));
}

struct Graph : Message {
  Graph &input(llvm::StringRef name, ElemType type, const Dims &dims) {
    message(11, valueInfo(name, type, dims));
    return *this;
  }
  Graph &output(llvm::StringRef name, ElemType type, const Dims &dims) {
    message(12, valueInfo(name, type, dims));
    return *this;
  }
  Graph &init(llvm::StringRef name, ElemType type, const Dims &dims,
              llvm::StringRef raw) {
    message(5, tensor(name, type, dims, raw));
    return *this;
  }
  Graph &floats(llvm::StringRef name, const Dims &dims,
                const std::vector<float> &values) {
    return init(name, ElemType::Float, dims, bytesOf(values));
  }
  Graph &ints(llvm::StringRef name, const std::vector<int64_t> &values) {
    return init(name, ElemType::Int64, {int64_t(values.size())},
                bytesOf(values));
  }
  Graph &add(const Message &node) {
    message(1, node);
    return *this;
  }
  template <typename... Args>
  Graph &node(llvm::StringRef op, std::vector<std::string> inputs,
              std::vector<std::string> outputs, Args &&...args) {
    return add(test::node(op, std::move(inputs), std::move(outputs),
                          std::forward<Args>(args)...));
  }

  std::string model(int64_t opset = 20) const {
    Message import = Message().data(1, "").varint(2, opset);
    return Message().varint(1, 10).message(8, import).message(7, *this).bytes;
  }
};

/// Outcome of an import: the graph as text, or the messages.
struct Imported {
  bool ok = false;
  std::string text, errors, warnings;

  bool has(llvm::StringRef part) const {
    return llvm::StringRef(text).contains(part);
  }
  bool complains(llvm::StringRef part) const {
    return !ok && llvm::StringRef(errors).contains(part);
  }
};

inline Imported importModel(llvm::StringRef bytes,
                            onnx::ImportOptions options = {},
                            llvm::StringRef path = "") {
  Imported result;
  mlir::MLIRContext context(mlir::MLIRContext::Threading::DISABLED);
  mlir::ScopedDiagnosticHandler handler(&context, [&](mlir::Diagnostic &d) {
    bool error = d.getSeverity() == mlir::DiagnosticSeverity::Error;
    (error ? result.errors : result.warnings) += d.str() + "\n";
  });
  auto module = path.empty()
                    ? onnx::importOnnxFromMemory(bytes, "", options, &context)
                    : onnx::importOnnx(path, options, &context);
  result.ok = succeeded(module);
  if (result.ok) {
    llvm::raw_string_ostream os(result.text);
    mlir::OpPrintingFlags flags;
    flags.enableDebugInfo(true, /*prettyForm=*/true);
    flags.elideLargeResourceString(64);
    (*module)->print(os, flags);
  }
  return result;
}

inline Imported importModel(const Graph &graph, int64_t opset = 20,
                            onnx::ImportOptions options = {}) {
  return importModel(graph.model(opset), std::move(options));
}

} // namespace nibble::test

#endif // NIBBLE_TEST_UNIT_IMPORT_MODELWRITER_H
