// Names of the recipes, quantization of whole tensors, scales of MX formats.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/quantize.h"

#include <vector>

using namespace nibble::rt;

//===-- Names ------------------------------------------------------------===//

static constexpr const char *kNvfp4Names[kNumNvfp4Recipes] = {
    "modelopt-torch",     "modelopt-onnx",      "trt-dynamic",
    "compressed-tensors", "transformer-engine", "torchao"};
static constexpr const char *kMxNames[kNumMxRecipes] = {
    "modelopt",     "trt-dynamic",  "transformer-engine", "ocp",
    "torchao-ceil", "torchao-even", "torchao-rceil",      "compressed-tensors"};

const char *nibble::rt::recipeName(Nvfp4Recipe recipe) {
  return kNvfp4Names[static_cast<unsigned>(recipe)];
}

const char *nibble::rt::recipeName(MxRecipe recipe) {
  return kMxNames[static_cast<unsigned>(recipe)];
}

std::optional<Nvfp4Recipe> nibble::rt::parseNvfp4Recipe(std::string_view name) {
  for (unsigned i = 0; i < kNumNvfp4Recipes; ++i)
    if (name == kNvfp4Names[i])
      return static_cast<Nvfp4Recipe>(i);
  return std::nullopt;
}

std::optional<MxRecipe> nibble::rt::parseMxRecipe(std::string_view name) {
  if (name == "modelopt-torch" || name == "modelopt-onnx")
    return MxRecipe::Modelopt;
  if (name == "torchao")
    return MxRecipe::Ocp;
  for (unsigned i = 0; i < kNumMxRecipes; ++i)
    if (name == kMxNames[i])
      return static_cast<MxRecipe>(i);
  return std::nullopt;
}

const char *nibble::rt::nvfp4RecipeNames() {
  return "modelopt-torch, modelopt-onnx, trt-dynamic, compressed-tensors, "
         "transformer-engine, torchao";
}

const char *nibble::rt::mxRecipeNames() {
  return "modelopt, trt-dynamic, transformer-engine, ocp, torchao, "
         "torchao-ceil, torchao-even, torchao-rceil, compressed-tensors";
}

//===-- Blocks -----------------------------------------------------------===//

/// Writes codes at element `index` of packed nibbles; calls come in increasing
/// order of `index`.
static void appendNibbles(const uint8_t *codes, int64_t count, uint8_t *packed,
                          int64_t index) {
  if (index % 2 && count > 0) {
    packed[index / 2] |= uint8_t(codes[0] << 4);
    ++codes, ++index, --count;
  }
  packNibbles(codes, count, packed + index / 2);
}

//===-- NVFP4 ------------------------------------------------------------===//

/// Calls quantizeBlock(first, count, codes) -> scale for each block of each row
/// and stores what it produces, packed if `nibbles`.
template <typename Fn>
static void forEachBlock(const float *x, int64_t rows, int64_t cols,
                         int64_t block, bool nibbles, uint8_t *packed,
                         uint8_t *scales, Fn &&quantizeBlock) {
  std::vector<uint8_t> codes(static_cast<size_t>(std::min(block, cols)));
  int64_t index = 0;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t col = 0; col < cols; col += block) {
      int64_t count = std::min(block, cols - col);
      *scales++ = quantizeBlock(x + row * cols + col, count, codes.data());
      if (nibbles)
        appendNibbles(codes.data(), count, packed, index);
      else
        std::memcpy(packed + index, codes.data(), count);
      index += count;
    }
}

void nibble::rt::quantizeNvfp4(const float *x, int64_t rows, int64_t cols,
                               int64_t block, float global, Nvfp4Recipe recipe,
                               uint8_t *packed, uint8_t *scales) {
  forEachBlock(x, rows, cols, block, /*nibbles=*/true, packed, scales,
               [=](const float *first, int64_t count, uint8_t *codes) {
                 return quantizeNvfp4Block(first, count, global, recipe, codes);
               });
}

//===-- MX ---------------------------------------------------------------===//

/// floor(log2) of a magnitude after `roundUp` was added to its bits; FF if that
/// is not finite.
static uint8_t flooredScale(uint32_t bits, uint32_t roundUp, int maxPower) {
  int exponent = static_cast<int>((bits + roundUp) >> 23);
  return exponent >= 0xff
             ? 0xff
             : static_cast<uint8_t>(std::max(exponent - maxPower, 0));
}

uint8_t nibble::rt::mxScale(float amax, StorageFormat storage,
                            MxRecipe recipe) {
  const FormatInfo &info = formatInfo(storage);
  const float max = static_cast<float>(info.maxFinite);
  const int maxPower = detail::log2Of(info.maxFinite).floor;
  const uint32_t bits = floatBits(amax);
  if (std::isnan(amax))
    return 0xff;
  switch (recipe) {
  case MxRecipe::Modelopt:
  case MxRecipe::TrtDynamic:
    return encodeE8M0(amax / max);
  case MxRecipe::TransformerEngine:
    return encodeE8M0(amax * (1.0f / max));
  case MxRecipe::TorchaoRceil:
    return std::isinf(amax) ? 0xff : encodeE8M0(amax * (1.0f / max));
  case MxRecipe::TorchaoCeil:
    return flooredScale(bits, std::isinf(amax) ? 0 : 0x7fffff, maxPower);
  case MxRecipe::TorchaoEven:
    return flooredScale(bits, 1u << (22 - info.manBits), maxPower);
  case MxRecipe::CompressedTensors:
    return flooredScale(bits, 1u << 21, maxPower);
  case MxRecipe::Ocp:
    break;
  }
  return flooredScale(bits, 0, maxPower);
}

/// Model Optimizer's MXFP4 cast: ties toward zero, no positive zero.
static uint8_t castTiesDown(float q) {
  uint8_t code = q > 0 ? 0 : 8;
  for (float bound : {0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5.0f})
    code += std::fabs(q) > bound;
  return code;
}

template <typename Fn>
static void scaledCodes(const float *x, int64_t count, uint8_t scale,
                        uint8_t *codes, Fn &&cast) {
  const float inverse = decodeE8M0(254 - scale);
  for (int64_t i = 0; i < count; ++i)
    codes[i] = cast(x[i] * inverse);
}

void nibble::rt::mxCodes(const float *x, int64_t count, uint8_t scale,
                         StorageFormat storage, MxRecipe recipe,
                         uint8_t *codes) {
  if (scale == 0xff)
    std::fill(codes, codes + count, uint8_t(0));
  else if (storage == StorageFormat::E4M3FN)
    scaledCodes(x, count, scale, codes, encodeE4M3);
  else if (storage == StorageFormat::E5M2)
    scaledCodes(x, count, scale, codes, [](float q) {
      return static_cast<uint8_t>(encodeAs<StorageFormat::E5M2>(q));
    });
  else if (recipe == MxRecipe::Modelopt)
    scaledCodes(x, count, scale, codes, castTiesDown);
  else
    scaledCodes(x, count, scale, codes, encodeE2M1);
}

uint8_t nibble::rt::quantizeMxBlock(const float *x, int64_t count,
                                    StorageFormat storage, MxRecipe recipe,
                                    uint8_t *codes) {
  uint8_t scale = mxScale(amaxOf(x, count), storage, recipe);
  mxCodes(x, count, scale, storage, recipe, codes);
  return scale;
}

void nibble::rt::quantizeMx(const float *x, int64_t rows, int64_t cols,
                            int64_t block, StorageFormat storage,
                            MxRecipe recipe, void *packed, uint8_t *scales) {
  forEachBlock(x, rows, cols, block, formatBits(storage) == 4,
               static_cast<uint8_t *>(packed), scales,
               [=](const float *first, int64_t count, uint8_t *codes) {
                 return quantizeMxBlock(first, count, storage, recipe, codes);
               });
}

//===-- Scales in float --------------------------------------------------===//

void nibble::rt::blockAmax(const float *x, const ScaleGrid &grid, float *amax) {
  std::fill(amax, amax + grid.size(), 0.0f);
  for (int64_t row = 0; row < grid.rows; ++row)
    for (int64_t col = 0; col < grid.cols; col += grid.blockCols) {
      int64_t count = std::min(grid.blockCols, grid.cols - col);
      float &block = amax[grid.index(row, col)];
      float part = amaxOf(x + row * grid.cols + col, count);
      block = floatFromBits(std::max(floatBits(block), floatBits(part)));
    }
}

float nibble::rt::symmetricScale(float amax, StorageFormat storage) {
  float smallest = isFloatFormat(storage) ? 0x1p-24f : 0.0f;
  float max = static_cast<float>(formatInfo(storage).maxFinite);
  return amax <= smallest ? 1.0f : amax / max;
}

float nibble::rt::modeloptInt4Scale(float amax) {
  return std::max(amax / 7.0f, 1e-5f);
}

AsymmetricScale nibble::rt::modeloptAsymmetricScale(float low, float high,
                                                    StorageFormat storage) {
  float max = static_cast<float>(formatInfo(storage).maxFinite);
  float scale = std::max(high - low, 1e-5f) / max;
  float zeroPoint = std::min(std::max(-roundEven(low / scale), 0.0f), max);
  return {scale, static_cast<uint8_t>(zeroPoint)};
}

AsymmetricScale nibble::rt::onnxDynamicScale(float low, float high) {
  float range = high - low, scale = range / 255;
  if (scale == 0)
    return {scale, 0};
  float zeroPoint = std::min(std::max(-(low / scale), 0.0f), 255.0f);
  return {scale, static_cast<uint8_t>(roundEven(zeroPoint))};
}

/// The number that staticCode encodes.
static float staticQuotient(float x, float scale, int zeroPoint, bool integer) {
  float q = x / scale;
  return integer ? roundEven(q) + static_cast<float>(zeroPoint) : q;
}

uint64_t nibble::rt::staticCode(float x, float scale, int zeroPoint,
                                StorageFormat storage, Overflow overflow) {
  float q = staticQuotient(x, scale, zeroPoint, isIntFormat(storage));
  return encode(storage, q, overflow);
}

void nibble::rt::quantizeStatic(const float *x, const ScaleGrid &grid,
                                const float *scales, const uint8_t *zeroPoints,
                                StorageFormat storage, void *packed,
                                Overflow overflow) {
  const bool integer = isIntFormat(storage);
  const size_t elements = static_cast<size_t>(grid.rows * grid.cols);
  if (elements % 2 && formatBits(storage) == 4)
    static_cast<uint8_t *>(packed)[elements / 2] = 0;
  std::vector<float> quotients(static_cast<size_t>(grid.cols));
  for (int64_t row = 0; row < grid.rows; ++row) {
    const float *values = x + row * grid.cols;
    for (int64_t col = 0; col < grid.cols; col += grid.blockCols) {
      const int64_t end = std::min(col + grid.blockCols, grid.cols);
      const int64_t block = grid.index(row, col);
      const int zeroPoint =
          zeroPoints ? int(decode(storage, zeroPoints[block])) : 0;
      for (int64_t i = col; i < end; ++i)
        quotients[i] =
            staticQuotient(values[i], scales[block], zeroPoint, integer);
    }
    encodeArray(storage, quotients.data(), row * grid.cols, grid.cols, packed,
                overflow);
  }
}
