// Operators of the standard that Nibble does not take, and why.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ops.h"

using namespace mlir;
using namespace nibble::onnx;

namespace {
struct Refusal {
  const char *reason;
  std::initializer_list<const char *> operators;
};
} // namespace

static const Refusal refusals[] = {
    {"draws random numbers, and an engine must compute the same every time; "
     "pass the numbers as an input",
     {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
      "Multinomial", "Bernoulli"}},
    {"has an output whose shape depends on data, and engines have static "
     "shapes; cut the model before it and do this step in the application",
     {"Unique", "NonMaxSuppression"}},
    {"works on sequences or optional values, and engines hold only tensors; "
     "export the model without them (tensors with Concat, Split, Gather)",
     {"SequenceEmpty", "SequenceConstruct", "SequenceInsert", "SequenceErase",
      "SequenceAt", "SequenceLength", "SequenceMap", "ConcatFromSequence",
      "SplitToSequence", "Optional", "OptionalHasElement",
      "OptionalGetElement"}},
    {"works on strings, and engines hold only numbers; do this step in the "
     "application",
     {"StringConcat", "StringSplit", "StringNormalizer", "RegexFullMatch",
      "TfIdfVectorizer", "ImageDecoder"}},
    {"is not supported: its state runs through a loop over time; unroll the "
     "layer when you export the model",
     {"LinearAttention"}},
    {"is not supported; compute this step in the application, or express it "
     "with MatMul, Gather and elementwise operators",
     {"Det", "DFT", "STFT", "MelWeightMatrix", "RoiAlign", "MaxRoiPool",
      "DeformConv", "FlexAttention"}}};

static LogicalResult refuse(NodeContext &n) {
  for (const Refusal &refusal : refusals)
    for (const char *name : refusal.operators)
      if (n.opType() == name)
        return n.fail(refusal.reason);
  return n.fail("is not supported");
}

void nibble::onnx::registerRefusedOps(OpRegistry &r) {
  for (const Refusal &refusal : refusals)
    for (const char *name : refusal.operators)
      r.add("", name, refuse, /*requiredInputs=*/0);
}
