// cp.async and cp.async.bulk: rings, groups, zero fill, reductions, copies within a cluster.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"

/// A ring of bulk copies in and out of shared memory: out = in * 3 + 1, in chunks of 1 KiB.
KERNEL __launch_bounds__(128) bulk_ring(const u32 *in, u32 *out, int chunks) {
  u32 full = shared(smem), data = dataBase();
  if (threadIdx.x == 0) {
    for (int s = 0; s < 4; ++s)
      init(full + 8 * s, 1);
    fenceInit();
  }
  __syncthreads();
  const u32 *from = in + blockIdx.x * chunks * 256;
  u32 *to = out + blockIdx.x * chunks * 256;
  auto load = [&](int c) {
    int s = c % 4;
    arriveExpect(full + 8 * s, 1024);
    asm volatile("cp.async.bulk.prefetch.L2.global [%0], 1024;" ::"l"(from + 256 * c) : "memory");
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], 1024, [%2];" ::"r"(data + 1024 * s), "l"(from + 256 * c), "r"(full + 8 * s) : "memory");
  };
  if (threadIdx.x == 0)
    for (int c = 0; c < 2 && c < chunks; ++c)
      load(c);
  for (int c = 0; c < chunks; ++c) {
    u32 slot = data + 1024 * (c % 4);
    wait(full + 8 * (c % 4), c / 4 & 1);
    for (u32 at = slot + 4 * threadIdx.x; at < slot + 1024; at += 512) {
      u32 word;
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(at) : "memory");
      asm volatile("st.shared.u32 [%0], %1;" ::"r"(at), "r"(word * 3 + 1) : "memory");
    }
    fenceAsync();
    __syncthreads();
    if (threadIdx.x == 0) {
      asm volatile("cp.async.bulk.global.shared::cta.bulk_group [%0], [%1], 1024;" ::"l"(to + 256 * c), "r"(slot) : "memory");
      commitBulk();
      if (c + 2 < chunks) {
        waitBulkRead<1>(); // the store of two chunks before has read its slot
        load(c + 2);
      }
    }
  }
  if (threadIdx.x == 0)
    waitBulk<0>();
}

/// Reductions of 512 bytes: op is that of the table below; in: sources of two blocks that meet in out.
KERNEL bulk_reduce(const u32 *in, u32 *out, u32 op) {
  u32 data = dataBase();
  fill(data, in + blockIdx.x * 128, 512);
  __syncthreads();
  if (threadIdx.x)
    return;
#define REDUCE(number, name)                                                                                             \
  if (op == number)                                                                                                      \
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group." name " [%0], [%1], 512;" ::"l"(out), "r"(data) : "memory");
  REDUCE(0, "add.u32") REDUCE(1, "add.s32") REDUCE(2, "add.u64") REDUCE(3, "add.noftz.f16") REDUCE(4, "add.noftz.bf16")
  REDUCE(5, "add.f32") REDUCE(6, "add.f64") REDUCE(7, "min.u32") REDUCE(8, "max.s32") REDUCE(9, "min.s64")
  REDUCE(10, "max.u64") REDUCE(11, "min.f16") REDUCE(12, "max.bf16") REDUCE(13, "inc.u32") REDUCE(14, "dec.u32")
  REDUCE(15, "and.b32") REDUCE(16, "or.b64") REDUCE(17, "xor.b32")
#undef REDUCE
  commitBulk();
  waitBulk<0>();
}

/// Each CTA of a pair sends 1 KiB to the other and adds another one to what it has.
KERNEL __cluster_dims__(2, 1, 1) bulk_send(const u32 *in, u32 *out) {
  u32 bar = shared(smem), data = dataBase(), peer = clusterRank() ^ 1;
  fill(data, in + blockIdx.x * 256, 1024);
  fill(data + 1024, in, 1024); // where the other one adds
  poison(data + 2048, 1280);   // where the other one copies to
  if (threadIdx.x == 0) {
    init(bar, 1);
    fenceInit();
    arriveExpect(bar, 2048);
  }
  clusterSync();
  if (threadIdx.x == 0) {
    u32 there = mapa(bar, peer);
    asm volatile("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes [%0], [%1], 1024, [%2];" ::"r"(mapa(data + 2048, peer)), "r"(data), "r"(there) : "memory");
    asm volatile("cp.reduce.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes.add.u32 [%0], [%1], 1024, [%2];" ::"r"(mapa(data + 1024, peer)), "r"(data), "r"(there) : "memory");
  }
  wait(bar, 0);
  dump(out + blockIdx.x * 576, data + 1024, 2304);
  clusterSync(); // the copies have read what lies here
}

/// cp.async of 4, 8 and 16 bytes with zero fill, in groups; a ring of three slots.
KERNEL __launch_bounds__(64) small_ring(const unsigned char *in, u32 *out, int rounds) {
  u32 data = dataBase(), t = threadIdx.x, sum = 0;
  auto load = [&](int c) {
    const unsigned char *from = in + c * 2048 + 16 * t;
    u32 to = data + c % 3 * 2048 + 16 * t;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(to), "l"(from) : "memory");
    u32 left = (t + c) % 17;
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to + 1024), "l"(from + 1024), "r"(left < 8 ? left : 8) : "memory");
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(to + 1032), "l"(from + 1032) : "memory");
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(to + 1036), "l"(from + 1036), "r"(t % 5) : "memory");
  };
  for (int c = 0; c < 2; ++c) {
    load(c);
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  for (int c = 0; c < rounds; ++c) {
    asm volatile("cp.async.wait_group 1;" ::: "memory");
    __syncthreads();
    for (u32 i = 0; i < 8; ++i) {
      u32 word;
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(data + c % 3 * 2048 + 4 * ((t + 3) % 64 + 64 * i)) : "memory");
      sum = sum * 33 + word;
    }
    if (c + 2 < rounds)
      load(c + 2);
    asm volatile("cp.async.commit_group;" ::: "memory");
  }
  asm volatile("cp.async.wait_all;" ::: "memory");
  out[t] = sum;
}

/// cp.async whose arrival at an mbarrier says that it is done.
KERNEL __launch_bounds__(64) copy_arrive(const u32 *in, u32 *out) {
  u32 bar = shared(smem), data = dataBase(), t = threadIdx.x;
  if (t == 0) {
    init(bar, 64);
    init(bar + 8, 64);
    fenceInit();
  }
  __syncthreads();
  for (int k = 0; k < 2; ++k) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 8;" ::"r"(data + 512 * k + 8 * t), "l"(in + 128 * k + 2 * t) : "memory");
    if (k == 0)
      asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(bar) : "memory");
  }
  asm volatile("cp.async.mbarrier.arrive.shared.b64 [%0];" ::"r"(bar + 8) : "memory");
  arrive(bar + 8);
  wait(bar, 0);
  u32 first, second;
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(first) : "r"(data + 4 * (127 - t)) : "memory");
  wait(bar + 8, 0);
  asm volatile("ld.shared.u32 %0, [%1];" : "=r"(second) : "r"(data + 512 + 4 * (127 - t)) : "memory");
  out[t] = first;
  out[64 + t] = second;
}
