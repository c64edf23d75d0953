// Shared, constant, local, dynamic memory; atomics.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cuda_fp16.h>
__constant__ int table[16] = {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3};
__device__ int start[4] = {100, 200, 300, 400};
extern "C" __global__ void transpose(const int *a, unsigned *out) {
  __shared__ int tile[16][17];
  int x = threadIdx.x % 16, y = threadIdx.x / 16, base = blockIdx.x * 256;
  tile[y][x] = a[base + threadIdx.x];
  __syncthreads();
  out[base + threadIdx.x] = tile[x][y];
}
extern "C" __global__ void dynamic_shared(const int *a, unsigned *out) {
  extern __shared__ int buffer[];
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  buffer[threadIdx.x] = a[i];
  __syncthreads();
  out[i] = buffer[(threadIdx.x * 7 + 3) % blockDim.x] + table[threadIdx.x & 15] + start[threadIdx.x & 3];
}
extern "C" __global__ void local_array(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, values[16];
  for (int k = 0; k < 16; ++k)
    values[k] = a[(i + k * 37) & 1023];
  for (int k = 0; k < 64; ++k) {
    int x = values[k & 15] & 15;
    values[x] = values[(x + k) & 15] * 3 + k;
  }
  out[i] = values[a[i] & 15] ^ values[5];
}
extern "C" __global__ void histogram(const int *a, unsigned *out) {
  __shared__ unsigned bins[64];
  if (threadIdx.x < 64)
    bins[threadIdx.x] = 0;
  __syncthreads();
  atomicAdd(&bins[a[blockIdx.x * blockDim.x + threadIdx.x] & 63], 1u);
  __syncthreads();
  if (threadIdx.x < 64)
    atomicAdd(&out[threadIdx.x], bins[threadIdx.x]);
}
extern "C" __global__ void atomics(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, x = a[i], at = i & 7;
  atomicMax(reinterpret_cast<int *>(out) + at, x);
  atomicMin(out + 8 + at, unsigned(x));
  atomicXor(out + 16 + at, x);
  atomicOr(out + 24 + at, x & 0x0F0F);
  atomicInc(out + 32 + at, 50);
  atomicAdd(reinterpret_cast<float *>(out) + 40 + at, float(x & 255));
  atomicAdd(reinterpret_cast<half2 *>(out) + 48 + at, __floats2half2_rn(1, x & 1));
  unsigned old = out[56 + at], seen;
  do {
    seen = old;
    old = atomicCAS(out + 56 + at, seen, seen * 1 + (x & 3));
  } while (old != seen);
}
extern "C" __global__ void vectors(const int4 *a, int4 *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  int4 x = a[i & 255], y = a[(i * 5) & 255];
  short2 s = reinterpret_cast<const short2 *>(a)[i];
  out[i] = make_int4(x.x + y.w, x.y ^ y.z, x.z - s.x, x.w * s.y);
}
