// PrecisionPolicy: which layer gets which format, one rule a line.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   # Gemma: MLPs in 4 bits, attention projections in 8.
//   */mlp/*:                  nvfp4 recipe=modelopt-onnx
//   */self_attn/*_proj/*:     fp8
//   *norm*:                   f32
//   {*vision*,*embed*,*head*}: bf16 optional
//
//   file   = { [rule] [comment] newline }
//   rule   = glob ":" format { option } [ "kind=" kind ] [ "optional" ]
//   glob   = text without line breaks, up to the last ":" of the line; in
//            double quotes if it has '#' after a blank or blanks at its ends
//   format, option: LayerFormat.h
//   kind   = "linear" | "product" | "attention" | "convolution" | "norm" |
//            "embedding" | "other"
//   comment = "#" at the start of a line or after a blank, to the end
//
// The glob (LayerGlob.h) is matched against the layer's ONNX node name; `*` is
// any text, also across '/'. The first rule that matches a layer decides. A
// rule that decides nothing is an error unless it is `optional`.
#ifndef NIBBLE_TRANSFORMS_QUANTIZE_PRECISIONPOLICY_H
#define NIBBLE_TRANSFORMS_QUANTIZE_PRECISIONPOLICY_H

#include "nibble/Support/LayerGlob.h"
#include "nibble/Transforms/Quantize/LayerFormat.h"

#include <vector>

namespace nibble {

/// What a rule can tell apart.
enum class LayerKind : uint8_t {
  Linear,      ///< matmul with a weight; most convolutions are one, too
  Product,     ///< matmul of two activations
  Attention,   ///< fused attention
  Convolution, ///< grouped or very large convolution, in loops
  Norm,        ///< normalization
  Embedding,   ///< look-up in a constant table
  Other        ///< elementwise ops, softmax, reductions, ...
};
llvm::StringRef getSpelling(LayerKind kind);

struct PolicyRule {
  LayerGlob glob;
  LayerFormat format;
  std::optional<LayerKind> kind;
  bool optional = false;
  std::string where; ///< "policy.txt:3", or "--quantize"
};

class PrecisionPolicy {
public:
  /// Reads rules; every faulty line is reported, as "NAME:LINE:COLUMN: ...".
  static llvm::Expected<PrecisionPolicy> parse(llvm::StringRef text,
                                               llvm::StringRef name);
  static llvm::Expected<PrecisionPolicy> load(llvm::StringRef path);

  /// Appends the rule "*: FORMAT kind=linear", which need not match.
  void addDefault(const LayerFormat &format);

  /// The number of the first rule that matches, or nothing.
  std::optional<size_t> find(llvm::StringRef layer, LayerKind kind) const;

  std::vector<PolicyRule> rules;
};

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_QUANTIZE_PRECISIONPOLICY_H
