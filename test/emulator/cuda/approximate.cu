// Functions that the hardware approximates.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
extern "C" __global__ void softmax(const float *a, float *out) {
  __shared__ float part[8];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float x = a[i], top = x;
  for (int d = 16; d; d /= 2)
    top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
  float e = exp2f((x - top) * 1.442695f), sum = e;
  for (int d = 16; d; d /= 2)
    sum += __shfl_xor_sync(~0u, sum, d);
  if (threadIdx.x % 32 == 0)
    part[threadIdx.x / 32] = sum;
  __syncthreads();
  out[i] = e / sum + part[(threadIdx.x / 32 + 1) & 7];
}
extern "C" __global__ void functions(const float *a, float *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  float x = a[i];
  out[4 * i] = __expf(x) + __logf(fabsf(x) + 1);
  out[4 * i + 1] = rsqrtf(fabsf(x) + 0.5f) + __fdividef(x, 3.7f);
  out[4 * i + 2] = __sinf(x) + __cosf(x);
  out[4 * i + 3] = tanhf(x) + expf(x * 0.5f) + logf(fabsf(x) + 2);
}
