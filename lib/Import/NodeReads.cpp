// What an importer has not asked for is not ignored in silence.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Model.h"
#include "nibble/Import/OpImporter.h"

using namespace mlir;
using namespace nibble::onnx;
using llvm::StringRef;

namespace {
/// An attribute that no importer reads because it cannot change a result.
struct Harmless {
  StringRef op, attribute; ///< op "": every operator
};
} // namespace

static const Harmless harmless[] = {
    // Opset 1: inputs whose memory the output may take.
    {"", "consumed_inputs"},
    // Of random masks; importDropout refuses training.
    {"Dropout", "ratio"},
    {"Dropout", "seed"},
    // Opset 6: C broadcasts either way, and must fit.
    {"Gemm", "broadcast"},
    // A lower bound, and f32 is the highest level.
    {"MatMulNBits", "accuracy_level"},
    // 0 asks for no order in particular, and sorted is one.
    {"TopK", "sorted"},
    // Opset 1 and 3: the names of the outputs say the same.
    {"RNN", "output_sequence"},
    {"GRU", "output_sequence"},
    {"LSTM", "output_sequence"},
};

static bool isHarmless(StringRef op, StringRef attribute) {
  return llvm::any_of(harmless, [&](const Harmless &h) {
    return h.attribute == attribute && (h.op.empty() || h.op == op);
  });
}

/// ONNX leaves such names to producers: notes that no operator may depend on.
static bool isPrivateNote(StringRef attribute) {
  return attribute.starts_with("__");
}

void NodeContext::forgetReads() {
  inputsRead.reset();
  attributesRead.reset();
}

SmallVector<size_t> NodeContext::unreadInputs() const {
  SmallVector<size_t> unread;
  for (auto [i, name] : llvm::enumerate(node.inputs))
    if (!inputsRead[i] && !name.empty())
      unread.push_back(i);
  return unread;
}

SmallVector<const NodeAttribute *> NodeContext::unreadAttributes() const {
  SmallVector<const NodeAttribute *> unread;
  for (auto [i, attribute] : llvm::enumerate(node.attributes))
    if (!attributesRead[i] && !isHarmless(opType(), attribute.name))
      unread.push_back(&attribute);
  return unread;
}

bool NodeContext::hasReadAll() const {
  return unreadInputs().empty() && unreadAttributes().empty();
}

void NodeContext::checkAllRead() const {
  for (size_t i : unreadInputs())
    (void)fail("input " + Twine(i) + " ('" + node.inputs[i] +
               "') is not one that this operator has; remove it");
  for (const NodeAttribute *attribute : unreadAttributes()) {
    if (isPrivateNote(attribute->name))
      warn("attribute '" + attribute->name +
           "' is a private note of the model's producer (its name begins with "
           "'__'); it is ignored, as ONNX demands");
    else
      (void)fail("attribute '" + attribute->name +
                 "' would be ignored: the operator does not have it, or an "
                 "input or another attribute stands in its place; remove it, "
                 "or write what it means with other operators");
  }
}
