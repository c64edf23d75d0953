// Functions that the hardware approximates, one instruction each, so that its documented error can be told; and sums of them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"
#define UNARY(text) asm volatile(text " %0, %1;" : "=f"(y) : "f"(x)); out[256 * n++ + threadIdx.x] = __float_as_uint(y);
#define BINARY(text) asm volatile(text " %0, %1, %2;" : "=f"(y) : "f"(x), "f"(z)); out[256 * n++ + threadIdx.x] = __float_as_uint(y);
#define PAIR(text) asm volatile(text " %0, %1;" : "=r"(r) : "r"(p)); out[256 * n++ + threadIdx.x] = r;

KERNEL exponentials(const float *in, u32 *out) {
  float x = in[threadIdx.x], y;
  u32 n = 0;
  UNARY("ex2.approx.f32") UNARY("ex2.approx.ftz.f32") UNARY("lg2.approx.f32") UNARY("lg2.approx.ftz.f32") UNARY("tanh.approx.f32")
}
KERNEL roots(const float *in, u32 *out) {
  float x = in[threadIdx.x], z = in[threadIdx.x ^ 1], y;
  u32 n = 0;
  UNARY("rcp.approx.f32") UNARY("rcp.approx.ftz.f32") UNARY("rsqrt.approx.f32") UNARY("sqrt.approx.f32") UNARY("sqrt.approx.ftz.f32")
  BINARY("div.approx.f32") BINARY("div.full.f32") BINARY("div.full.ftz.f32")
}
KERNEL waves(const float *in, u32 *out) {
  float x = in[threadIdx.x], y;
  u32 n = 0;
  UNARY("sin.approx.f32") UNARY("cos.approx.f32") UNARY("sin.approx.ftz.f32") UNARY("cos.approx.ftz.f32")
}
KERNEL pairs(const u32 *in, u32 *out) {
  u32 p = in[threadIdx.x], n = 0, r;
  PAIR("ex2.approx.f16x2") PAIR("tanh.approx.f16x2") PAIR("ex2.approx.ftz.bf16x2") PAIR("tanh.approx.bf16x2")
}
/// Rows of n, one CTA each: exp2 of the distance to the largest, divided by the sum; behind the rows, log2 of the sums.
KERNEL __launch_bounds__(128) softmax(const float *in, float *out, int n) {
  __shared__ float part[4];
  const float *x = in + blockIdx.x * n;
  float *y = out + blockIdx.x * n, top = -__int_as_float(0x7f800000), sum = 0;
  auto reduce = [&](float v, bool largest) {
    for (int d = 16; d; d /= 2) {
      float o = __shfl_xor_sync(~0u, v, d);
      v = largest ? fmaxf(v, o) : v + o;
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0)
      part[threadIdx.x / 32] = v;
    __syncthreads();
    return largest ? fmaxf(fmaxf(part[0], part[1]), fmaxf(part[2], part[3])) : part[0] + part[1] + part[2] + part[3];
  };
  for (int i = threadIdx.x; i < n; i += 128)
    top = fmaxf(top, x[i]);
  top = reduce(top, true);
  for (int i = threadIdx.x; i < n; i += 128) {
    float e;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(e) : "f"((x[i] - top) * 1.44269504f));
    y[i] = e;
    sum += e;
  }
  sum = reduce(sum, false);
  for (int i = threadIdx.x; i < n; i += 128)
    y[i] = __fdividef(y[i], sum);
  if (threadIdx.x == 0)
    out[gridDim.x * n + blockIdx.x] = __log2f(sum);
}
