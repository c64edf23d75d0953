// Quantization recipes, bit for bit: what reference and kernels both follow.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// All arithmetic is IEEE float32, one rounding per written operation (never
// fused, never reassociated), on float32 inputs; f16 and bf16 inputs are
// widened first, which is exact. E4(v), E5(v), F4(v) = code of v in E4M3FN,
// E5M2, E2M1: nearest, ties to even, saturating (formats.h). val(c) = the float
// of a code.
//
//   amax = unsigned maximum of the bit patterns of |x|. A NaN therefore wins:
//   a block with a NaN gets a NaN scale (7F or FF) and is NaN as a whole.
//
// NVFP4: a = amax of the block, A = amax of the tensor, g or G = the global.
//
//   recipe              global         t                      scale s
//   modelopt-torch      g = A/2688     a/(6*g), 0 -> 1        E4(max(t, 2^-9))
//   modelopt-onnx       g = (A/6)/448  (a/6)/g, a/6=0 -> 1    E4(t)
//   trt-dynamic         g = (A/6)/448  (a/6)/g                E4(t)
//   compressed-tensors  G = 2688/A     G*(a/6)                E4(t), 0 -> 0.125
//   transformer-engine  G = 2688/A     a*(G*(1/6))            E4(t)
//   torchao             g = A/2688     (a/6)/g                E4(max(t, 2^-6))
//
//   recipe              code                            -0 in, tiny x < 0 in
//   modelopt-torch      F4(x / (val(s)*g))              0      8 (0 if q = -0)
//   modelopt-onnx       F4(x / (t*g))                   0      8 (0 if q = -0)
//   trt-dynamic         F4(x / (val(s)*g))              8      8
//   compressed-tensors  F4(x / (val(s)/G))              8      8
//   transformer-engine  F4(x * r) with r =              0      8 (0 if q = -0)
//                         min(1/(val(s)*(1/G)), FLT_MAX)
//   torchao             F4(x * ((1/g)/val(s)))          8      8
//
//   If the divisor (or factor) is not > 0, all codes of the block are 0. This
//   is the case for NaN scales and, in trt-dynamic, for s = 0 or s*g = 0.
//   A = 0 gives g = G = 1, as does a g that underflows; G is at most FLT_MAX.
//   (Some of the originals divide 0 by 0 there.)
//
// The trt-dynamic block as a kernel has it, with nothing left out:
//   a = amax; t = a / 6; t = t / g; s = E4(t), NaN -> 7F; r = val(s) * g;
//   q = x / r; code = r > 0 ? F4(q) : 0; bit 3 of the code is the sign of q.
//
// MXFP8 (E4M3FN: M = 448, p = 8, m = 3; E5M2: M = 57344, p = 15, m = 2) and
// MXFP4 (M = 6, p = 2, m = 1); scale = 2^e stored as e + 127, e in -127..127:
//
//   modelopt, trt-dynamic   e = ceil(log2(a / M))
//   transformer-engine      e = ceil(log2(a * (1/M)))
//   torchao-rceil           the same
//   ocp (torchao)           e = floor(log2(a)) - p
//   torchao-ceil            e = ceil(log2(a)) - p
//   torchao-even            e = floor(log2(a + 2^(-m-1) * ulp1)) - p
//   compressed-tensors      e = floor(log2(a + 2^-2 * ulp1)) - p
//                             where ulp1 = 2^floor(log2(a))
//   code = E4|E5|F4(x * 2^-e), keeps the sign of zero. modelopt MXFP4 differs:
//   ties go toward zero, and both zeros give code 8 (-0).
//
//   Logarithms are exact here. (The f32 log2 of the original torch code can
//   miss a quotient that lies within some ulps above a power of two.) a = 0 or
//   tiny gives e = -127. NaN gives scale FF and codes 0; so does a that is or
//   is rounded to infinity in ocp, torchao-* and compressed-tensors; the others
//   give e = 127 for it.
//
// Sources: Model Optimizer qtensor/{nvfp4,mxfp4,mxfp8}_tensor.py and
// onnx/quantization/quant_utils.py (NumPy 2 promotion); compressed-tensors
// quantization/utils/helpers.py (its newer CPU path also rounds the quotient to
// bf16 first: not followed); TransformerEngine quantization_nvfp4.py; torchao
// prototype/mx_formats; OCP MX 1.0 section 6.3.
#ifndef NIBBLE_RT_QUANTIZE_H
#define NIBBLE_RT_QUANTIZE_H

#include "nibble/rt/formats.h"
#include "nibble/rt/recipes.h"

#include <algorithm>

namespace nibble {
namespace rt {

/// Maximum of |x| over x[0 .. count) as defined above; 0 for an empty range.
inline float amaxOf(const float *x, int64_t count) {
  uint32_t bits = 0;
  for (int64_t i = 0; i < count; ++i)
    bits = std::max(bits, floatBits(x[i]) & 0x7fffffffu);
  return floatFromBits(bits);
}

//===-- NVFP4 ------------------------------------------------------------===//

/// True if the recipe's global divides when dequantizing: value = code*s/G.
inline bool globalDivides(Nvfp4Recipe recipe) {
  return recipe == Nvfp4Recipe::CompressedTensors ||
         recipe == Nvfp4Recipe::TransformerEngine;
}

/// The global scale that a recipe derives from the amax of the tensor: positive
/// and finite for a finite amax (1 for a tensor of zeros). For an infinite or
/// NaN amax it is infinite, NaN or (compressed-tensors) 0, which callers must
/// refuse; transformer-engine takes 1 for infinity. `divisor` is 448 for
/// W4A8_NVFP4_FP8 and 1536 for four-over-six weights.
inline float nvfp4Global(float amax, Nvfp4Recipe recipe, float divisor = 2688) {
  if (amax == 0)
    return 1.0f;
  if (globalDivides(recipe)) {
    float global = std::min(divisor / amax, std::numeric_limits<float>::max());
    bool engine = recipe == Nvfp4Recipe::TransformerEngine;
    return engine && global == 0 ? 1.0f : global;
  }
  bool twice = divisor == 2688 && (recipe == Nvfp4Recipe::ModeloptOnnx ||
                                   recipe == Nvfp4Recipe::TrtDynamic);
  float global = twice ? amax / 6.0f / 448.0f : amax / divisor;
  return global == 0 ? 1.0f : global;
}

/// The global as a multiplier: value = code * (val(s) * this). For recipes that
/// divide it is the rounded reciprocal.
inline float nvfp4Multiplier(float global, Nvfp4Recipe recipe) {
  return globalDivides(recipe) ? 1.0f / global : global;
}

/// E4 of a number that is not negative; the sign of a NaN is dropped.
inline uint8_t encodeScaleE4M3(float t) { return encodeE4M3(t) & 0x7f; }

/// The scale of one block and the number that its elements are divided or
/// multiplied by before they are rounded to E2M1.
struct Nvfp4Scale {
  uint8_t code; ///< E4M3FN
  float factor;
  bool multiplies;
};

inline Nvfp4Scale nvfp4Scale(float amax, float global, Nvfp4Recipe recipe) {
  constexpr float maxFloat = std::numeric_limits<float>::max();
  switch (recipe) {
  case Nvfp4Recipe::ModeloptTorch: {
    float t = amax / (6.0f * global);
    t = t == 0 ? 1.0f : std::min(std::max(t, 0x1p-9f), 448.0f);
    uint8_t s = encodeScaleE4M3(t);
    return {s, decodeE4M3(s) * global, false};
  }
  case Nvfp4Recipe::ModeloptOnnx: {
    float sixth = amax / 6.0f;
    float t = sixth == 0 ? 1.0f : sixth / global;
    return {encodeScaleE4M3(t), t * global, false};
  }
  case Nvfp4Recipe::TrtDynamic: {
    uint8_t s = encodeScaleE4M3(amax / 6.0f / global);
    return {s, decodeE4M3(s) * global, false};
  }
  case Nvfp4Recipe::CompressedTensors: {
    uint8_t s = encodeScaleE4M3(global * (amax / 6.0f));
    s = s == 0 ? 0x20 : s; // 0.125
    return {s, decodeE4M3(s) / global, false};
  }
  case Nvfp4Recipe::TransformerEngine: {
    uint8_t s = encodeScaleE4M3(amax * (global * (1.0f / 6.0f)));
    float factor = 1.0f / (decodeE4M3(s) * (1.0f / global));
    return {s, factor > maxFloat ? maxFloat : factor, true};
  }
  case Nvfp4Recipe::Torchao:
    break;
  }
  float t = amax / 6.0f / global;
  uint8_t s = encodeScaleE4M3(std::min(std::max(t, 0x1p-6f), 448.0f));
  return {s, (1.0f / global) / decodeE4M3(s), true};
}

/// Model Optimizer's static weights: block maxima come from a calibration (MSE,
/// Hessian, four-over-six) instead of the data. `scaleMax` is 448, or 256 for
/// four-over-six; g = A / (6*scaleMax), which is nvfp4Global(A, ModeloptTorch,
/// 6*scaleMax). In f32: t = a/6, 0 -> 1; t = t * scaleMax / (A/6);
/// s = E4(max(t, 2^-9)). Codes as in modelopt-torch: pass the result with that
/// recipe to nvfp4Codes.
inline Nvfp4Scale nvfp4StaticScale(float blockAmax, float tensorAmax,
                                   float scaleMax = 448) {
  float t = blockAmax / 6.0f;
  t = (t == 0 ? 1.0f : t) * scaleMax / (tensorAmax / 6.0f);
  uint8_t s = encodeScaleE4M3(std::min(std::max(t, 0x1p-9f), 448.0f));
  float global =
      nvfp4Global(tensorAmax, Nvfp4Recipe::ModeloptTorch, 6.0f * scaleMax);
  return {s, decodeE4M3(s) * global, false};
}

inline bool keepsNegativeZero(Nvfp4Recipe recipe) {
  return recipe == Nvfp4Recipe::TrtDynamic ||
         recipe == Nvfp4Recipe::CompressedTensors ||
         recipe == Nvfp4Recipe::Torchao;
}

/// The E2M1 codes of the elements of a block, one per byte.
inline void nvfp4Codes(const float *x, int64_t count, const Nvfp4Scale &scale,
                       Nvfp4Recipe recipe, uint8_t *codes) {
  const float r = scale.factor;
  const float dropZero = keepsNegativeZero(recipe) ? -1.0f : 0.0f;
  for (int64_t i = 0; i < count; ++i) {
    float q = scale.multiplies ? x[i] * r : x[i] / r;
    uint8_t code = std::fabs(q) == dropZero ? 0 : encodeE2M1(q);
    codes[i] = r > 0 ? code : 0;
  }
}

/// Quantizes one block of `count` elements: returns the E4M3FN scale and writes
/// `count` codes, one per byte.
inline uint8_t quantizeNvfp4Block(const float *x, int64_t count, float global,
                                  Nvfp4Recipe recipe, uint8_t *codes) {
  Nvfp4Scale scale = nvfp4Scale(amaxOf(x, count), global, recipe);
  nvfp4Codes(x, count, scale, recipe, codes);
  return scale.code;
}

/// Quantizes a row-major [rows, cols] tensor in blocks of `block` along its
/// rows (the last block of a row may be shorter). `packed` gets
/// ceil(rows*cols/2) bytes, `scales` rows * ceil(cols/block). Rows are
/// independent: a tensor with even `cols` may be split into ranges of rows.
void quantizeNvfp4(const float *x, int64_t rows, int64_t cols, int64_t block,
                   float global, Nvfp4Recipe recipe, uint8_t *packed,
                   uint8_t *scales);

//===-- MXFP4, MXFP8 -----------------------------------------------------===//

/// The E8M0 scale of a block whose elements are stored as `storage` (E4M3FN,
/// E5M2 or E2M1).
uint8_t mxScale(float amax, StorageFormat storage, MxRecipe recipe);

/// The codes of the elements of a block, one per byte; `scale` comes from
/// mxScale.
void mxCodes(const float *x, int64_t count, uint8_t scale,
             StorageFormat storage, MxRecipe recipe, uint8_t *codes);

/// As quantizeNvfp4Block; returns the E8M0 scale.
uint8_t quantizeMxBlock(const float *x, int64_t count, StorageFormat storage,
                        MxRecipe recipe, uint8_t *codes);

/// As quantizeNvfp4, with blocks of usually 32; 8-bit codes are one per byte.
void quantizeMx(const float *x, int64_t rows, int64_t cols, int64_t block,
                StorageFormat storage, MxRecipe recipe, void *packed,
                uint8_t *scales);

//===-- Scales in float: FP8, INT8, INT4 ---------------------------------===//

/// Partition of a row-major [rows, cols] matrix into blocks, row-major grid of
/// ceil(rows/blockRows) x ceil(cols/blockCols). Per tensor: blocks of the full
/// extents; per output channel of [N, K]: 1 x cols; DeepSeek weights: 128 x
/// 128; groups along K of [N, K]: 1 x group, of [K, N]: group x 1.
struct ScaleGrid {
  int64_t rows, cols, blockRows, blockCols;

  int64_t gridRows() const { return (rows + blockRows - 1) / blockRows; }
  int64_t gridCols() const { return (cols + blockCols - 1) / blockCols; }
  int64_t size() const { return gridRows() * gridCols(); }
  int64_t index(int64_t row, int64_t col) const {
    return row / blockRows * gridCols() + col / blockCols;
  }
};

/// amax of every block, grid.size() numbers.
void blockAmax(const float *x, const ScaleGrid &grid, float *amax);

/// amax / max(storage): 448, 57344, 127 or 7; FP8: 1 if amax <= 2^-24
/// (Model Optimizer), integers: 1 if amax = 0.
float symmetricScale(float amax, StorageFormat storage);
/// Model Optimizer's ONNX INT4: max(amax / 7, 1e-5).
float modeloptInt4Scale(float amax);
/// Its asymmetric form for U4 (and U8): scale = max(high - low, 1e-5) / 15,
/// zero point = clamp(-rint(low / scale), 0, 15).
struct AsymmetricScale {
  float scale;
  uint8_t zeroPoint;
};
AsymmetricScale modeloptAsymmetricScale(float low, float high,
                                        StorageFormat storage);
/// DynamicQuantizeLinear of ONNX, for U8: scale = (high - low) / 255, zero
/// point = rint(clamp(-(low / scale), 0, 255)). `low` and `high` are the
/// extremes of the data and of 0. Codes are staticCode's; where the scale is 0,
/// zero point and codes are 0.
AsymmetricScale onnxDynamicScale(float low, float high);

/// The code of one element under a given scale (> 0), one division:
///   floats    RNE(x / scale)
///   integers  sat(rint(x / scale) + zeroPoint); NaN gives 0
uint64_t staticCode(float x, float scale, int zeroPoint, StorageFormat storage,
                    Overflow overflow = Overflow::Saturate);

/// Quantizes a matrix under given scales. `zeroPoints` are codes of the storage
/// type, one byte each, or null. `packed` gets formatBytes(storage, rows*cols).
void quantizeStatic(const float *x, const ScaleGrid &grid, const float *scales,
                    const uint8_t *zeroPoints, StorageFormat storage,
                    void *packed, Overflow overflow = Overflow::Saturate);

/// The scale that codes are multiplied by: RNE_T(blockScale * global), where T
/// is the type of the global scale. The product is rounded once.
inline double effectiveScale(float blockScale, float global,
                             StorageFormat globalType) {
  return roundTo(globalType, double(blockScale) * double(global));
}

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_QUANTIZE_H
