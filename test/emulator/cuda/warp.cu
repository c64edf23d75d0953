// Shuffles, votes, scans, matches.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
extern "C" __global__ void reduce(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, x = a[i];
  for (int d = 16; d; d /= 2)
    x += __shfl_xor_sync(~0u, x, d);
  out[2 * i] = x;
  out[2 * i + 1] = __reduce_max_sync(~0u, a[i]) ^ __reduce_add_sync(~0u, unsigned(a[i]) >> 3);
}
extern "C" __global__ void scan(const int *a, unsigned *out) {
  __shared__ int sums[8];
  int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31, x = a[i] >> 8;
  for (int d = 1; d < 32; d *= 2) {
    int y = __shfl_up_sync(~0u, x, d);
    if (lane >= d)
      x += y;
  }
  if (lane == 31)
    sums[threadIdx.x / 32] = x;
  __syncthreads();
  for (int w = 0; w < threadIdx.x / 32; ++w)
    x += sums[w];
  out[i] = x;
}
extern "C" __global__ void votes(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, x = a[i];
  unsigned r = __ballot_sync(~0u, x > 0);
  if (x & 1)
    r ^= __ballot_sync(__activemask(), x & 2) * 3;
  __syncwarp();
  r += __match_any_sync(~0u, x & 3) ^ (__any_sync(~0u, x > 1 << 30) ? 7 : 9) ^ (__all_sync(~0u, x != 0) ? 16 : 0);
  out[2 * i] = r;
  out[2 * i + 1] = __shfl_sync(~0u, x, x & 15, 16) ^ __shfl_down_sync(~0u, x, 3, 8);
}
extern "C" __global__ void block_votes(const int *a, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = __syncthreads_count(a[i] & 1) + 1000 * !!__syncthreads_and(a[i] | 1) + 2000 * !!__syncthreads_or(a[i] == 12345);
}
