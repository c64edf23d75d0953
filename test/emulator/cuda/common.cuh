// PTX that CUDA C++ has no words for.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cstdint>
using u32 = uint32_t;
using u64 = uint64_t;
#define KERNEL extern "C" __global__ void
/// A tensor map, as cuTensorMapEncodeTiled writes it.
struct alignas(64) Map {
  unsigned char bytes[128];
};
/// Dynamic shared memory: mbarriers in the first kilobyte, then data, which swizzles need aligned so.
extern __shared__ __align__(1024) unsigned char smem[];
constexpr u32 kData = 1024;

__device__ inline u32 shared(const void *p) { return u32(__cvta_generic_to_shared(p)); }
__device__ inline u32 dataBase() {
  if (shared(smem) % 1024)
    __trap();
  return shared(smem) + kData;
}
__device__ inline u32 mapa(u32 address, u32 rank) {
  u32 there;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(address), "r"(rank));
  return there;
}
__device__ inline u32 clusterRank() {
  u32 rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
__device__ inline void clusterSync() {
  asm volatile("barrier.cluster.arrive.release.aligned;\n\tbarrier.cluster.wait.acquire.aligned;" ::: "memory");
}

//===--- mbarriers --------------------------------------------------------===
__device__ inline void init(u32 bar, u32 count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(bar), "r"(count) : "memory");
}
__device__ inline void fenceInit() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }
__device__ inline void arrive(u32 bar) { asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(bar) : "memory"); }
__device__ inline void arriveExpect(u32 bar, u32 bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(bar), "r"(bytes) : "memory");
}
__device__ inline void wait(u32 bar, u32 parity) {
  u32 done;
  do
    asm volatile("{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
                 : "=r"(done) : "r"(bar), "r"(parity) : "memory");
  while (!done);
}

//===--- Asynchronous copies ----------------------------------------------===
__device__ inline void fenceAsync() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
__device__ inline void commitBulk() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
template <int Left> __device__ inline void waitBulk() { asm volatile("cp.async.bulk.wait_group %0;" ::"n"(Left) : "memory"); }
template <int Left> __device__ inline void waitBulkRead() {
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(Left) : "memory");
}
/// A box of a tensor of R dimensions into shared memory.
template <int R> __device__ inline void loadBox(u32 to, const Map *map, const int *c, u32 bar) {
#define LOAD(dims, coordinates, ...)                                                                                     \
  asm volatile("cp.async.bulk.tensor." dims ".shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {" coordinates "}], [%2];" ::"r"(to), "l"(map), "r"(bar), __VA_ARGS__ : "memory")
  if constexpr (R == 1)
    LOAD("1d", "%3", "r"(c[0]));
  else if constexpr (R == 2)
    LOAD("2d", "%3, %4", "r"(c[0]), "r"(c[1]));
  else if constexpr (R == 3)
    LOAD("3d", "%3, %4, %5", "r"(c[0]), "r"(c[1]), "r"(c[2]));
  else if constexpr (R == 4)
    LOAD("4d", "%3, %4, %5, %6", "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]));
  else
    LOAD("5d", "%3, %4, %5, %6, %7", "r"(c[0]), "r"(c[1]), "r"(c[2]), "r"(c[3]), "r"(c[4]));
#undef LOAD
}
/// Words of global memory to shared memory, for the asynchronous proxy too.
__device__ inline void fill(u32 to, const u32 *from, u32 bytes) {
#pragma unroll 1
  for (u32 at = 4 * threadIdx.x; at < bytes; at += 4 * blockDim.x)
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(to + at), "r"(from[at / 4]) : "memory");
  fenceAsync();
}
__device__ inline void dump(u32 *to, u32 from, u32 bytes) {
#pragma unroll 1
  for (u32 at = 4 * threadIdx.x; at < bytes; at += 4 * blockDim.x)
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(to[at / 4]) : "r"(from + at) : "memory");
}
/// Poison, so that a byte that a copy does not write can be told from one that it does.
__device__ inline void poison(u32 at, u32 bytes) {
#pragma unroll 1
  for (u32 i = 4 * threadIdx.x; i < bytes; i += 4 * blockDim.x)
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(at + i), "r"(0xA5A5A5A5u) : "memory");
  fenceAsync();
}
