// IEEE arithmetic: directed rounding, halves, doubles.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cuda_bf16.h>
#include <cuda_fp16.h>
extern "C" __global__ void rounding(const float *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float x = a[i], y = a[i ^ 1], z = a[i ^ 2];
  out[4 * i] = __float_as_uint(__fadd_ru(__fmul_rz(x, y), z));
  out[4 * i + 1] = __float_as_uint(__fmaf_rd(x, y, z));
  out[4 * i + 2] = __float_as_uint(__fdiv_rn(x, y)) ^ __float_as_uint(__fdiv_ru(z, y));
  out[4 * i + 3] = __float_as_uint(__fsqrt_rd(fabsf(x))) ^ __float_as_uint(__frcp_rz(y));
}
extern "C" __global__ void half_math(const float *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  half2 x = __floats2half2_rn(a[i], a[i ^ 1]), y = __floats2half2_rn(a[i ^ 2], a[i ^ 3]);
  half2 r[4] = {__hfma2(x, y, x), __hadd2_sat(x, y), __hmax2(x, __hneg2(y)), __hfma2_relu(x, y, y)};
  for (int k = 0; k < 4; ++k)
    out[4 * i + k] = *reinterpret_cast<unsigned *>(&r[k]);
}
extern "C" __global__ void bfloat_math(const float *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  __nv_bfloat162 x = __floats2bfloat162_rn(a[i], a[i ^ 1]), y = __floats2bfloat162_rn(a[i ^ 2], a[i ^ 3]);
  __nv_bfloat162 r[4] = {__hfma2(x, y, x), __hadd2(x, y), __hmin2_nan(x, y), __hmul2(x, y)};
  for (int k = 0; k < 4; ++k)
    out[4 * i + k] = *reinterpret_cast<unsigned *>(&r[k]);
}
extern "C" __global__ void doubles(const float *a, double *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  double x = a[i], y = double(a[i ^ 1]) + 0.25, z = __dmul_ru(x, y) + __fma_rd(x, y, x);
  out[4 * i] = x / y;
  out[4 * i + 1] = z;
  out[4 * i + 2] = sqrt(fabs(z));
  out[4 * i + 3] = __drcp_rn(x) + __dadd_rz(x, y);
}
// What becomes of NaNs: their payloads and signs.
extern "C" __global__ void nans(const double *a, double *out) {
  int i = threadIdx.x;
  double x = a[i], y = a[64 + i], r[8] = {x + y, x * y, fma(x, y, 1.0), fma(1.0, x, y), x / y, sqrt(x), __drcp_rn(x), fmin(x, y)};
  for (int k = 0; k < 8; ++k)
    out[64 * k + i] = r[k];
}
extern "C" __global__ void extremes(const float *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float x = a[i], y = a[i ^ 1];
  out[4 * i] = __float_as_uint(fminf(x, y));
  out[4 * i + 1] = __float_as_uint(fmaxf(x, -y)) + (x < y) + 2 * !(x >= y);
  out[4 * i + 2] = __float_as_uint(__saturatef(x)) ^ __float_as_uint(truncf(x * 9)) ^ __float_as_uint(rintf(y * 7));
  out[4 * i + 3] = __float_as_uint(copysignf(x, y)) ^ __float_as_uint(fmodf(x, 0.7f));
}
