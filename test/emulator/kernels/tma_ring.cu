// A ring of tiles: TMA with a 128-byte swizzle, mbarriers, one producer and three consuming warps.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cstdint>
struct alignas(64) Map { unsigned char bytes[128]; };
extern "C" __global__ void __launch_bounds__(128) tma_ring(const __grid_constant__ Map map, float *out, int rows) {
  extern __shared__ __align__(1024) unsigned char smem[];
  __shared__ __align__(8) uint64_t full[2], empty[2];
  uint32_t s = (uint32_t)__cvta_generic_to_shared(smem);
  uint32_t f = (uint32_t)__cvta_generic_to_shared(full), e = (uint32_t)__cvta_generic_to_shared(empty);
  if (threadIdx.x == 0) {
    for (int i = 0; i < 2; i++) {
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 1;" :: "r"(f + 8 * i));
      asm volatile("mbarrier.init.shared::cta.b64 [%0], 96;" :: "r"(e + 8 * i));
    }
    asm volatile("fence.mbarrier_init.release.cluster;");
  }
  __syncthreads();
  int tiles = rows / 8;
  if (threadIdx.x < 32) {
    if (threadIdx.x == 0)
      for (int t = 0; t < tiles; t++) {
        int st = t & 1, ph = (t >> 1) & 1;
        asm volatile("{ .reg .pred p; W: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra D; bra W; D: }" :: "r"(e + 8 * st), "r"(ph ^ 1));
        asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" :: "r"(f + 8 * st), "r"(8 * 128));
        asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3}], [%4];"
          :: "r"(s + st * 1024), "l"(&map), "r"(0), "r"(t * 8), "r"(f + 8 * st) : "memory");
      }
  } else {
    int i = threadIdx.x - 32;
    for (int t = 0; t < tiles; t++) {
      int st = t & 1, ph = (t >> 1) & 1;
      asm volatile("{ .reg .pred p; W: mbarrier.try_wait.parity.shared::cta.b64 p, [%0], %1; @p bra D; bra W; D: }" :: "r"(f + 8 * st), "r"(ph) : "memory");
      for (int k = i; k < 256; k += 96) {
        int r = k / 32, c = k % 32;
        uint32_t off = r * 128 + c * 4; off ^= ((off >> 7) & 7) << 4;
        out[(t * 8 + r) * 32 + c] = *(float *)(smem + st * 1024 + off) * 2;
      }
      asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" :: "r"(e + 8 * st) : "memory");
    }
  }
}
