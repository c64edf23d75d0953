// A matrix product as libraries write it: warpgroups with roles, setmaxnreg, a ring by TMA, wgmma, stmatrix, TMA store.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"
#include "registers.cuh"

constexpr int kStages = 2;
constexpr u32 kTile = 64 * 128; ///< bytes: 64 rows of 64 f16
constexpr u32 kStage = 3 * kTile;

__device__ inline bool elected() {
  u32 is;
  asm volatile("{\n\t.reg .pred p;\n\telect.sync _|p, -1;\n\tselp.u32 %0, 1, 0, p;\n\t}" : "=r"(is));
  return is;
}

__device__ inline void multiply(float (&d)[32], u64 a, u64 b, u32 scale) {
#undef Q
#define Q(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
  asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, %34, 0;\n\twgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 {" L32
               "}, %32, %33, p, 1, 1, 0, 0;\n\t}" : O32 : "l"(a), "l"(b), "r"(scale) : "memory");
}

/// Packs, stores as 64 rows of 128 bytes with the 128-byte swizzle.
__device__ inline void storeTile(u32 to, const float (&d)[32]) {
  u32 t = threadIdx.x % 128, warp = t / 32, lane = t % 32;
  for (int n = 0; n < 64; n += 16) {
    u32 r[4];
    for (int i = 0; i < 4; ++i)
      asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r[i]) : "f"(d[n / 2 + 2 * i + 1]), "f"(d[n / 2 + 2 * i]));
    // Matrices: rows 0 to 7 and 8 to 15 of the warp, columns n to n + 7; the same, n + 8 to n + 15.
    u32 row = 16 * warp + lane % 16, column = n / 8 + lane / 16;
    asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(to + 128 * row + ((column ^ row % 8) << 4)),
                 "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]) : "memory");
  }
}

/// C = A B^T: A is M x K, B N x K, C M x N, all f16; a CTA computes 128 x 64: two consuming warpgroups, one that loads.
KERNEL __launch_bounds__(384, 1) gemm(const __grid_constant__ Map mapA, const __grid_constant__ Map mapB, const __grid_constant__ Map mapC, int k) {
  u32 full = shared(smem), empty = full + 8 * kStages, data = dataBase();
  asm volatile("griddepcontrol.wait;" ::: "memory");
  if (threadIdx.x == 0) {
    for (int s = 0; s < kStages; ++s) {
      init(full + 8 * s, 1);
      init(empty + 8 * s, 2);
    }
    fenceInit();
  }
  __syncthreads();
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  int steps = (k + 63) / 64, group = threadIdx.x / 128, m = 128 * blockIdx.x, n = 64 * blockIdx.y;
  if (group == 2) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 40;");
    if (threadIdx.x / 32 == 8 && elected())
      for (int i = 0; i < steps; ++i) {
        u32 s = i % kStages, to = data + s * kStage, bar = full + 8 * s;
        wait(empty + 8 * s, (i / kStages & 1) ^ 1);
        arriveExpect(bar, kStage);
        int a[2] = {64 * i, m}, b[2] = {64 * i, n};
        loadBox<2>(to, &mapA, a, bar);
        loadBox<2>(to + 2 * kTile, &mapB, b, bar);
      }
    return;
  }
  asm volatile("setmaxnreg.inc.sync.aligned.u32 232;");
  float d[32];
  for (int i = 0; i < 32; ++i)
    d[i] = 0;
  for (int i = 0; i < steps; ++i) {
    u32 s = i % kStages, at = data + s * kStage;
    wait(full + 8 * s, i / kStages & 1);
    constexpr u64 k128 = 1ull << 62 | 64ull << 32 | 1ull << 16;
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    for (int j = 0; j < 4; ++j)
      multiply(d, k128 | (at + group * kTile + 32 * j) >> 4, k128 | (at + 2 * kTile + 32 * j) >> 4, i || j);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    if (threadIdx.x % 128 == 0)
      arrive(empty + 8 * s);
  }
  u32 to = data + kStages * kStage + group * kTile;
  storeTile(to, d);
  fenceAsync();
  asm volatile("barrier.sync %0, 128;" ::"r"(group + 1) : "memory");
  if (threadIdx.x % 128 == 0) {
    asm volatile("cp.async.bulk.tensor.2d.global.shared::cta.tile.bulk_group [%0, {%1, %2}], [%3];" ::"l"(&mapC), "r"(n), "r"(m + 64 * group), "r"(to) : "memory");
    commitBulk();
    waitBulk<0>();
  }
}
