// Names of the quantization recipes; quantize.h defines what they compute.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_RECIPES_H
#define NIBBLE_RT_RECIPES_H

#include <cstdint>
#include <optional>
#include <string_view>

namespace nibble {
namespace rt {

/// How NVFP4 scales and codes come from the data. Each is what one producer of
/// files (or one run time) does, rounding by rounding.
enum class Nvfp4Recipe : uint8_t {
  ModeloptTorch,     ///< "modelopt-torch": Model Optimizer's HF checkpoints
  ModeloptOnnx,      ///< "modelopt-onnx": its ONNX exporter, for weights
  TrtDynamic,        ///< "trt-dynamic": TRT_FP4DynamicQuantize
  CompressedTensors, ///< "compressed-tensors"
  TransformerEngine, ///< "transformer-engine": 1-D blocks, no transform
  Torchao            ///< "torchao"
};

/// How E8M0 scales and codes of MXFP4 and MXFP8 come from the data.
enum class MxRecipe : uint8_t {
  Modelopt,          ///< "modelopt", "modelopt-torch", "modelopt-onnx"
  TrtDynamic,        ///< "trt-dynamic": TRT_MXFP8DynamicQuantize
  TransformerEngine, ///< "transformer-engine"
  Ocp,               ///< "ocp", "torchao": exponent of the OCP specification
  TorchaoCeil,       ///< "torchao-ceil"
  TorchaoEven,       ///< "torchao-even"
  TorchaoRceil,      ///< "torchao-rceil"
  CompressedTensors  ///< "compressed-tensors"
};

constexpr unsigned kNumNvfp4Recipes = 6;
constexpr unsigned kNumMxRecipes = 8;

/// The first of the names above.
const char *recipeName(Nvfp4Recipe recipe);
const char *recipeName(MxRecipe recipe);

/// Any of the names above; nothing for an unknown one.
std::optional<Nvfp4Recipe> parseNvfp4Recipe(std::string_view name);
std::optional<MxRecipe> parseMxRecipe(std::string_view name);

/// All names, comma-separated, for error messages.
const char *nvfp4RecipeNames();
const char *mxRecipeNames();

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_RECIPES_H
