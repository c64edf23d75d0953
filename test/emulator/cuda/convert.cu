// Conversions: integers, halves, 8-bit floats.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
extern "C" __global__ void to_integers(const float *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float x = a[i] * 1000;
  out[4 * i] = __float2int_rn(x);
  out[4 * i + 1] = __float2uint_rz(x * 1e6f);
  out[4 * i + 2] = unsigned(__float2ll_ru(x * 1e12f) >> 7);
  out[4 * i + 3] = unsigned((signed char)__float2int_rd(x)) + __double2uint_rn(double(x) * 0.3);
}
extern "C" __global__ void from_integers(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[4 * i] = __float_as_uint(__int2float_rz(a[i]));
  out[4 * i + 1] = __float_as_uint(__uint2float_ru(a[i]));
  out[4 * i + 2] = __float_as_uint(__ll2float_rn((long long)a[i] * 0x123456789ll));
  out[4 * i + 3] = __half_as_ushort(__int2half_rn(a[i] >> 12)) | __bfloat16_as_ushort(__int2bfloat16_rn(a[i])) << 16;
}
extern "C" __global__ void halves(const float *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float x = a[i], y = a[i ^ 1];
  half2 h = __floats2half2_rn(x, y);
  __nv_bfloat162 b = __floats2bfloat162_rn(x, y);
  out[4 * i] = *reinterpret_cast<unsigned *>(&h);
  out[4 * i + 1] = *reinterpret_cast<unsigned *>(&b);
  out[4 * i + 2] = __half_as_ushort(__float2half_rz(x)) | __half_as_ushort(__float2half_ru(y)) << 16;
  out[4 * i + 3] = __bfloat16_as_ushort(__float2bfloat16_rd(x));
}
extern "C" __global__ void bytes(const float *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float2 x{a[i], a[i ^ 1]};
  unsigned e4 = __nv_cvt_float2_to_fp8x2(x, __NV_SATFINITE, __NV_E4M3);
  unsigned e5 = __nv_cvt_float2_to_fp8x2(x, __NV_SATFINITE, __NV_E5M2);
  __half2_raw h4 = __nv_cvt_fp8x2_to_halfraw2(e4, __NV_E4M3), h5 = __nv_cvt_fp8x2_to_halfraw2(e5, __NV_E5M2);
  out[4 * i] = e4 | e5 << 16;
  out[4 * i + 1] = h4.x | unsigned(h4.y) << 16;
  out[4 * i + 2] = h5.x | unsigned(h5.y) << 16;
  out[4 * i + 3] = __nv_cvt_halfraw2_to_fp8x2(h5, __NV_SATFINITE, __NV_E4M3);
}
