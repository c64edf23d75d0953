// Divergence, switches, calls, clusters.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cooperative_groups.h>
extern "C" __global__ void collatz(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, steps = 0;
  for (unsigned x = (a[i] & 0xFFFF) + 1; x != 1; x = x & 1 ? 3 * x + 1 : x / 2)
    ++steps;
  out[i] = steps;
}
extern "C" __global__ void choose(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, x = a[i], r = 0;
  switch (x & 7) {
  case 0: r = x + 1; break;
  case 1: r = x * 3; // falls through
  case 2: r ^= x >> 2; break;
  case 3: for (int k = 0; k < (x >> 8 & 15); ++k) r += k * x; break;
  case 5: r = -x; break;
  case 6: r = __popc(x); break;
  default: r = 77;
  }
  out[i] = r;
}
typedef int (*Function)(int);
__device__ __noinline__ int twice(int x) { return 2 * x; }
__device__ __noinline__ int square(int x) { return x * x; }
__device__ __noinline__ int flip(int x) { return ~x; }
__device__ __noinline__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
__device__ Function functions[3] = {twice, square, flip};
extern "C" __global__ void pointers(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = functions[unsigned(a[i]) % 3](a[i]);
}
extern "C" __global__ void recursion(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = fibonacci(a[i] & 7);
}
struct Pair { int low, high; float scale[3]; };
__device__ __noinline__ Pair arrange(Pair p, int by) {
  Pair r = p;
  r.low = p.high - by;
  r.high = p.low ^ by;
  r.scale[by & 1] = p.scale[2] * 2;
  return r;
}
extern "C" __global__ void structures(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  Pair p = arrange(Pair{a[i], i, {1, 2, 3}}, a[i] & 31);
  out[4 * i] = p.low; out[4 * i + 1] = p.high;
  out[4 * i + 2] = __float_as_uint(p.scale[0]); out[4 * i + 3] = __float_as_uint(p.scale[1]);
}
extern "C" __global__ void __cluster_dims__(4, 1, 1) distributed(const int *a, unsigned *out) {
  __shared__ int mine[256];
  namespace cg = cooperative_groups;
  cg::cluster_group cluster = cg::this_cluster();
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  mine[threadIdx.x] = a[i];
  cluster.sync();
  int *other = cluster.map_shared_rank(mine, (cluster.block_rank() + 1) % 4);
  int x = other[255 - threadIdx.x];
  cluster.sync(); // before what others read is changed
  atomicAdd(cluster.map_shared_rank(mine, 0) + threadIdx.x, cluster.block_rank() ? a[i] & 15 : 0);
  cluster.sync();
  out[i] = x ^ (cluster.block_rank() ? 0 : mine[threadIdx.x]);
}
