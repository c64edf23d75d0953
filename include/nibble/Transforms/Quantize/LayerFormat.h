// LayerFormat: what a layer's weights and activations become, as users write
// it. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   nvfp4                                   all defaults
//   nvfp4 recipe=compressed-tensors         weights by another recipe
//   fp8 scales=channel activations=none     weights only
//
//   name    weights [N, K], along K                       activations
//   calibrated nvfp4   E2M1, E4M3 per 16, global amax/2688           nvfp4
//   dynamic    yes mxfp4   E2M1, E8M0 per 32                             mxfp4
//   dynamic    no mxfp8   E4M3, E8M0 per 32                             mxfp8
//   dynamic    no fp8     E4M3, f32 per tensor, amax/448                fp8
//   static       yes int4    signed 4 bit, f32 per 128, amax/7             as
//   they are      no w4a8    as nvfp4, but per 32 and global amax/448      fp8
//   static       yes w4a16   as nvfp4                                      as
//   they are      no bf16, f16   rounded rounded          no f32     as they
//   are; the layer must compute in f32 (all do)            no keep    as the
//   model has them                                          no
//
// The global scale of nvfp4 activations is amax/2688 and the scale of fp8
// activations amax/448, of the calibrated amax. W4A8: formats of Model
// Optimizer's W4A8_NVFP4_FP8, whose block scales times codes fit E4M3.
#ifndef NIBBLE_TRANSFORMS_QUANTIZE_LAYERFORMAT_H
#define NIBBLE_TRANSFORMS_QUANTIZE_LAYERFORMAT_H

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <cstdint>
#include <optional>
#include <string>

namespace nibble {

enum class Precision : uint8_t {
  Keep,
  F32,
  F16,
  BF16,
  Fp8,
  Nvfp4,
  Mxfp4,
  Mxfp8,
  Int4,
  W4a8,
  W4a16
};

enum class ActivationFormat : uint8_t { None, Fp8, Nvfp4, Mxfp4, Mxfp8 };

llvm::StringRef getSpelling(Precision precision);
llvm::StringRef getSpelling(ActivationFormat format);
std::optional<Precision> parsePrecision(llvm::StringRef name);
/// "keep", "f32", ... in the order of the enumeration.
llvm::ArrayRef<llvm::StringRef> getPrecisionNames();

/// ", did you mean 'X'?" for the closest of `names`, or nothing if none is
/// close.
std::string suggestName(llvm::StringRef got,
                        llvm::ArrayRef<llvm::StringRef> names);

struct LayerFormat {
  Precision precision = Precision::Keep;
  /// Recipe of the weights (rt/quantize.h); empty for plain formats. fp8 and
  /// int4 have one, "modelopt".
  std::string recipe;
  int64_t block = 0; ///< elements along K per scale; 0: no blocks
  /// fp8 weights: a scale per output channel instead of one per tensor.
  bool perChannel = false;
  ActivationFormat activations = ActivationFormat::None;
  /// Recipe of dynamic block scales; empty if there are none.
  std::string activationRecipe;

  /// A format with its defaults.
  static LayerFormat get(Precision precision);
  /// NAME (OPTION=VALUE)*, separated by blanks. Options: recipe, block, scales
  /// (tensor, channel), activations (none, fp8, nvfp4, mxfp4, mxfp8),
  /// activation-recipe. `column`, if given, gets the offset of what is wrong.
  static llvm::Expected<LayerFormat> parse(llvm::StringRef text,
                                           size_t *column = nullptr);
  /// All of it, so that parse(str()) is the same.
  std::string str() const;

  bool isQuantized() const { return precision >= Precision::Fp8; }
  /// True for f16 and bf16, to which operands are rounded.
  bool isNarrow() const {
    return precision == Precision::F16 || precision == Precision::BF16;
  }
  /// Static scales of the activations come from samples.
  bool needsCalibration() const {
    return activations == ActivationFormat::Fp8 ||
           activations == ActivationFormat::Nvfp4;
  }
  /// Elements along K that share a scale of the activations; 0: no blocks.
  int64_t getActivationBlock() const;
};

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_QUANTIZE_LAYERFORMAT_H
