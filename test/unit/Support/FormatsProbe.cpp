// C functions over the formats and recipes, for the Python tests (ctypes).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/quantize.h"

using namespace nibble::rt;

static StorageFormat parse(const char *format) {
  return formatFromName(format);
}

static Overflow overflowMode(int saturate) {
  return saturate ? Overflow::Saturate : Overflow::NonFinite;
}

/// One code per uint32.
extern "C" void probeEncodeF32(const char *format, const float *in,
                               int64_t count, int saturate, uint32_t *codes) {
  for (int64_t i = 0; i < count; ++i)
    codes[i] = uint32_t(encode(parse(format), in[i], overflowMode(saturate)));
}

extern "C" void probeEncodeF64(const char *format, const double *in,
                               int64_t count, int saturate, uint32_t *codes) {
  for (int64_t i = 0; i < count; ++i)
    codes[i] = uint32_t(encode(parse(format), in[i], overflowMode(saturate)));
}

extern "C" void probeEncodeE8M0(const float *in, int64_t count, int round,
                                int saturate, uint8_t *codes) {
  for (int64_t i = 0; i < count; ++i)
    codes[i] = encodeE8M0(in[i], static_cast<E8M0Round>(round),
                          overflowMode(saturate));
}

extern "C" void probeDecode(const char *format, const uint32_t *codes,
                            int64_t count, double *out) {
  for (int64_t i = 0; i < count; ++i)
    out[i] = decode(parse(format), codes[i]);
}

extern "C" float probeAmax(const float *x, int64_t count) {
  return amaxOf(x, count);
}

extern "C" int probeOnnxType(const char *format) {
  return formatInfo(parse(format)).onnxType;
}

/// Returns 0 for an unknown recipe. `global` is in and out: computed from the
/// data if it is 0.
extern "C" int probeNvfp4(const char *recipe, const float *x, int64_t rows,
                          int64_t cols, int64_t block, float *global,
                          uint8_t *packed, uint8_t *scales) {
  auto parsed = parseNvfp4Recipe(recipe);
  if (!parsed)
    return 0;
  if (*global == 0)
    *global = nvfp4Global(amaxOf(x, rows * cols), *parsed);
  quantizeNvfp4(x, rows, cols, block, *global, *parsed, packed, scales);
  return 1;
}

extern "C" void probeNvfp4Static(const float *amax, int64_t count,
                                 float tensorAmax, float scaleMax,
                                 uint8_t *scales, float *divisors) {
  for (int64_t i = 0; i < count; ++i) {
    Nvfp4Scale scale = nvfp4StaticScale(amax[i], tensorAmax, scaleMax);
    scales[i] = scale.code;
    divisors[i] = scale.factor;
  }
}

extern "C" int probeMx(const char *recipe, const char *storage, const float *x,
                       int64_t rows, int64_t cols, int64_t block,
                       uint8_t *packed, uint8_t *scales) {
  auto parsed = parseMxRecipe(recipe);
  if (!parsed)
    return 0;
  quantizeMx(x, rows, cols, block, parse(storage), *parsed, packed, scales);
  return 1;
}

/// Symmetric scales of the blocks.
extern "C" void probeScales(const char *storage, const float *x, int64_t rows,
                            int64_t cols, int64_t blockRows, int64_t blockCols,
                            float *scales) {
  ScaleGrid grid{rows, cols, blockRows, blockCols};
  blockAmax(x, grid, scales);
  for (int64_t i = 0; i < grid.size(); ++i)
    scales[i] = symmetricScale(scales[i], parse(storage));
}

extern "C" void probeStatic(const char *storage, const float *x, int64_t rows,
                            int64_t cols, int64_t blockRows, int64_t blockCols,
                            const float *scales, const uint8_t *zeroPoints,
                            uint8_t *packed) {
  quantizeStatic(x, ScaleGrid{rows, cols, blockRows, blockCols}, scales,
                 zeroPoints, parse(storage), packed);
}

extern "C" float probeAsymmetric(const char *storage, float low, float high,
                                 uint8_t *zeroPoint) {
  AsymmetricScale scale = modeloptAsymmetricScale(low, high, parse(storage));
  *zeroPoint = scale.zeroPoint;
  return scale.scale;
}
