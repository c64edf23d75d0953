// Copies by tensor maps: boxes in, out and added, in every swizzle; multicast; a ring.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"

/// The box at coordinates at[block] and 256 bytes behind it, as they lie in shared memory. `expected`: bytes of the box.
template <int R> __device__ void loadOne(const Map &map, const int *at, u32 *out, u32 expected) {
  u32 bar = shared(smem), data = dataBase(), bytes = expected + 256;
  int c[R];
  for (int d = 0; d < R; ++d)
    c[d] = at[R * blockIdx.x + d];
  poison(data, bytes);
  if (threadIdx.x == 0) {
    init(bar, 1);
    fenceInit();
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    arriveExpect(bar, expected);
    loadBox<R>(data, &map, c, bar);
  }
  wait(bar, 0);
  dump(out + blockIdx.x * (bytes / 4), data, bytes);
}
#define LOAD(R)                                                                                                          \
  KERNEL load##R(const __grid_constant__ Map map, const int *at, u32 *out, u32 expected) { loadOne<R>(map, at, out, expected); }
LOAD(1) LOAD(2) LOAD(3) LOAD(4) LOAD(5)

/// Stores `bytes` of `in` for each block as the box at its coordinates.
#define STORE(R, dims, coordinates, ...)                                                                                 \
  KERNEL store##R(const __grid_constant__ Map map, const int *at, const u32 *in, u32 bytes) {                            \
    u32 data = dataBase();                                                                                               \
    const int *c = at + R * blockIdx.x;                                                                                  \
    fill(data, in + blockIdx.x * (bytes / 4), bytes);                                                                    \
    __syncthreads();                                                                                                     \
    if (threadIdx.x)                                                                                                     \
      return;                                                                                                            \
    asm volatile("cp.async.bulk.tensor." dims ".global.shared::cta.tile.bulk_group [%0, {" coordinates "}], [%1];" ::"l"(&map), "r"(data), __VA_ARGS__ : "memory"); \
    commitBulk();                                                                                                        \
    waitBulk<0>();                                                                                                       \
  }
STORE(1, "1d", "%2", "r"(c[0]))
STORE(2, "2d", "%2, %3", "r"(c[0]), "r"(c[1]))
STORE(3, "3d", "%2, %3, %4", "r"(c[0]), "r"(c[1]), "r"(c[2]))
STORE(4, "4d", "%2, %3, %4, %5", "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]))
STORE(5, "5d", "%2, %3, %4, %5, %6", "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]), "r"(c[4]))

/// The same, combined with what is there. op: add, min, max, inc, dec, and, or, xor.
KERNEL reduce(const __grid_constant__ Map map, const int *at, const u32 *in, u32 bytes, u32 op) {
  u32 data = dataBase();
  int x = at[2 * blockIdx.x], y = at[2 * blockIdx.x + 1];
  fill(data, in + blockIdx.x * (bytes / 4), bytes);
  __syncthreads();
  if (threadIdx.x)
    return;
#define REDUCE(number, name)                                                                                             \
  if (op == number)                                                                                                      \
    asm volatile("cp.reduce.async.bulk.tensor.2d.global.shared::cta." name ".tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&map), "r"(x), "r"(y), "r"(data) : "memory");
  REDUCE(0, "add")
  REDUCE(1, "min")
  REDUCE(2, "max")
  REDUCE(3, "inc")
  REDUCE(4, "dec")
  REDUCE(5, "and")
  REDUCE(6, "or")
  REDUCE(7, "xor")
  commitBulk();
  waitBulk<0>();
}

/// Each CTA of a cluster of four loads 8 rows of 128 bytes and gives them to all, and 8 more to itself and the next.
KERNEL __cluster_dims__(4, 1, 1) multicast(const __grid_constant__ Map map, u32 *out) {
  u32 bar = shared(smem), data = dataBase(), rank = clusterRank(), first = blockIdx.x / 4 * 64;
  poison(data, 8192);
  if (threadIdx.x == 0) {
    init(bar, 1);
    init(bar + 8, 1);
    fenceInit();
    arriveExpect(bar, 4 * 1024);
    arriveExpect(bar + 8, 2 * 1024);
  }
  clusterSync();
  if (threadIdx.x == 0) {
    uint16_t all = 15, two = uint16_t(1 << rank | 1 << (rank + 1) % 4);
#define CAST(slot, row, mbar, mask)                                                                                      \
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(data + 1024 * (slot)), "l"(&map), "r"(0), "r"(row), "r"(mbar), "h"(mask) : "memory")
    CAST(rank, first + 8 * rank, bar, all);
    CAST(4 + rank, first + 32 + 8 * rank, bar + 8, two);
  }
  wait(bar, 0);
  wait(bar + 8, 0);
  dump(out + blockIdx.x * 2048, data, 8192);
  clusterSync();
}

/// A ring of three slots: one thread loads tiles of 8 rows, three warps add up each column, in order.
KERNEL __launch_bounds__(128) ring(const __grid_constant__ Map map, u32 *out, int tiles) {
  u32 full = shared(smem), empty = full + 64, data = dataBase();
  if (threadIdx.x == 0) {
    for (int s = 0; s < 3; ++s) {
      init(full + 8 * s, 1);
      init(empty + 8 * s, 96);
    }
    fenceInit();
  }
  __syncthreads();
  int first = blockIdx.x * tiles * 8;
  if (threadIdx.x == 0) {
    asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
    for (int t = 0; t < tiles; ++t) {
      int s = t % 3, c[2] = {0, first + 8 * t};
      wait(empty + 8 * s, (t / 3 & 1) ^ 1);
      arriveExpect(full + 8 * s, 1024);
      asm volatile("cp.async.bulk.prefetch.tensor.2d.L2.global.tile [%0, {%1, %2}];" ::"l"(&map), "r"(0), "r"(c[1]) : "memory");
      loadBox<2>(data + 1024 * s, &map, c, full + 8 * s);
    }
  }
  if (threadIdx.x < 32)
    return;
  u32 column = threadIdx.x - 32, sum = 0; // of 32 words; the third warp pair repeats them with other weights
  for (int t = 0; t < tiles; ++t) {
    int s = t % 3;
    wait(full + 8 * s, t / 3 & 1);
    for (u32 r = 0; r < 8; ++r) {
      u32 word, at = data + 1024 * s + 128 * r + 4 * (column % 32);
      at ^= (at >> 7 & 7) << 4;
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(at) : "memory");
      sum = sum * 31 + word * (1 + column / 32);
    }
    arrive(empty + 8 * s);
  }
  out[blockIdx.x * 96 + column] = sum;
}
