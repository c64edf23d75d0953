// C = A B^T of FP16 on Hopper: a ring of TMA tiles, one producing warp, a warpgroup of wgmma with one group in flight.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//   nvcc -arch=sm_90a -ptx
#include <cstdint>
struct alignas(64) Map { unsigned char bytes[128]; };
constexpr int kStages = 3, kTile = 64 * 64 * 2; // bytes of 64 rows of 64 halves

__device__ void wait(uint32_t barrier, uint32_t parity) {
  asm volatile("{ .reg .pred p; W: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra D; bra W; D: }" :: "r"(barrier), "r"(parity) : "memory");
}
__device__ void load(uint32_t to, const Map *map, int x, int y, uint32_t barrier) {
  asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
    :: "r"(to), "l"(map), "r"(x), "r"(y), "r"(barrier) : "memory");
}
/// K-major, swizzle of 128 bytes: 8 rows are 1024 bytes.
__device__ uint64_t matrix(uint32_t address) { return (address >> 4) | 1ull << 62 | 64ull << 32 | 1ull << 16; }
__device__ void multiply(float (&d)[32], uint64_t a, uint64_t b, int scale) {
#define F8(i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]), "+f"(d[i + 6]), "+f"(d[i + 7])
  asm volatile("{ .reg .pred p; setp.ne.b32 p, %34, 0; wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16 "
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}, "
    "%32, %33, p, 1, 1, 0, 0; }" : F8(0), F8(8), F8(16), F8(24) : "l"(a), "l"(b), "r"(scale));
}

extern "C" __global__ void __launch_bounds__(160) wgmma_ring(const __grid_constant__ Map mapA, const __grid_constant__ Map mapB, float *c, int n, int tiles) {
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ __align__(8) uint64_t full[kStages], empty[kStages];
  uint32_t s = (uint32_t)__cvta_generic_to_shared(smem);
  uint32_t f = (uint32_t)__cvta_generic_to_shared(full), e = (uint32_t)__cvta_generic_to_shared(empty);
  int row = blockIdx.x * 64, column = blockIdx.y * 64;
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; i++) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(f + 8 * i));
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 4;" :: "r"(e + 8 * i));
    }
    asm volatile("fence.mbarrier_init.release.cluster;");
  }
  __syncthreads();
  if (threadIdx.x >= 128) {
    if (threadIdx.x == 128)
      _Pragma("unroll 1") for (int t = 0; t < tiles; t++) {
        int stage = t % kStages, phase = t / kStages & 1;
        wait(e + 8 * stage, phase ^ 1);
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(f + 8 * stage), "r"(2 * kTile));
        load(s + stage * 2 * kTile, &mapA, t * 64, row, f + 8 * stage);
        load(s + stage * 2 * kTile + kTile, &mapB, t * 64, column, f + 8 * stage);
      }
    return;
  }
  float d[32];
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  _Pragma("unroll 1") for (int t = 0; t < tiles; t++) {
    int stage = t % kStages, phase = t / kStages & 1;
    wait(f + 8 * stage, phase);
    uint64_t a = matrix(s + stage * 2 * kTile), b = matrix(s + stage * 2 * kTile + kTile);
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
    for (int k = 0; k < 4; k++) multiply(d, a + 2 * k, b + 2 * k, t | k);
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
    asm volatile("wgmma.wait_group.sync.aligned 1;" ::: "memory");
    if (t > 0 && lane == 0)
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(e + 8 * ((t - 1) % kStages)) : "memory");
  }
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
  for (int i = 0; i < 32; i++)
    c[(row + warp * 16 + lane / 4 + (i / 2 % 2) * 8) * n + column + i / 4 * 8 + lane % 4 * 2 + i % 2] = d[i];
}
