// Integer and bit tricks: products, divisions, shifts, permutations.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
extern "C" __global__ void products(const int *a, const int *b, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, x = a[i], y = b[i];
  out[4 * i] = __mulhi(x, y);
  out[4 * i + 1] = __umulhi(x, y);
  long long wide = (long long)x * y + ((long long)x << 17);
  out[4 * i + 2] = unsigned(wide >> 13);
  out[4 * i + 3] = __mul24(x, y) + __usad(x, y, 3);
}
extern "C" __global__ void divisions(const int *a, const int *b, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, x = a[i], y = b[i] | 1;
  out[4 * i] = x / (y == -1 ? 3 : y);
  out[4 * i + 1] = unsigned(x) % unsigned(y);
  out[4 * i + 2] = unsigned(((unsigned long long)x << 20 | unsigned(y)) / unsigned(y));
  out[4 * i + 3] = x / 7 + x % 1000;
}
extern "C" __global__ void bits(const int *a, const int *b, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned x = a[i], y = b[i];
  out[4 * i] = __popc(x) + 64 * __clz(y) + 4096 * __ffs(x ^ y);
  out[4 * i + 1] = __byte_perm(x, y, x >> 7) ^ __brev(y);
  out[4 * i + 2] = __funnelshift_l(x, y, y) ^ __funnelshift_rc(x, y, x & 63);
  out[4 * i + 3] = (x & y) ^ (~x | (y << (x & 31))) ^ (x >> 5 & 0x3F) ^ __dp4a(int(x), int(y), 9);
}
extern "C" __global__ void wide(const int *a, const int *b, unsigned *out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  unsigned long long x = (unsigned long long)a[i] << 32 | unsigned(b[i]), y = x * 0x9E3779B97F4A7C15ull;
  unsigned long long z = __umul64hi(x, y) + __popcll(x) + (y >> (x & 63));
  out[4 * i] = unsigned(z);
  out[4 * i + 1] = unsigned(z >> 32);
  out[4 * i + 2] = __clzll(z) + __ffsll(y);
  out[4 * i + 3] = unsigned((long long)z >> (b[i] & 63));
}
