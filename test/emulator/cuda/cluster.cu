// mbarriers and clusters: phases and counts, distributed shared memory, remote arrivals, asynchronous stores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"

__device__ inline u32 pendingOf(u64 state) {
  u32 count;
  asm volatile("mbarrier.pending_count.b64 %0, %1;" : "=r"(count) : "l"(state));
  return count;
}
__device__ inline u64 arriveState(u32 bar, u32 count) {
  u64 state;
  asm volatile("mbarrier.arrive.shared::cta.b64 %0, [%1], %2;" : "=l"(state) : "r"(bar), "r"(count) : "memory");
  return state;
}
__device__ inline u32 test(u32 bar, u64 state) {
  u32 done;
  asm volatile("{\n\t.reg .pred p;\n\tmbarrier.test_wait.shared::cta.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
               : "=r"(done) : "r"(bar), "l"(state) : "memory");
  return done;
}
__device__ inline u32 testParity(u32 bar, u32 parity) {
  u32 done;
  asm volatile("{\n\t.reg .pred p;\n\tmbarrier.test_wait.parity.shared::cta.b64 p, [%1], %2;\n\tselp.u32 %0, 1, 0, p;\n\t}"
               : "=r"(done) : "r"(bar), "r"(parity) : "memory");
  return done;
}

/// One thread: counts, states and parities of a barrier of 5 over four phases, with drops and transactions.
KERNEL phases(u32 *out) {
  u32 bar = shared(smem), n = 0;
  auto note = [&](u32 x) { out[n++] = x; };
  init(bar, 5);
  u64 s0 = arriveState(bar, 1), s1 = arriveState(bar, 2);
  note(pendingOf(s0)), note(pendingOf(s1)), note(test(bar, s0)), note(testParity(bar, 0)), note(testParity(bar, 1));
  u64 s2 = arriveState(bar, 2); // ends phase 0
  note(pendingOf(s2)), note(test(bar, s0)), note(test(bar, s2)), note(testParity(bar, 0)), note(testParity(bar, 1));
  u64 s3;
  asm volatile("mbarrier.arrive_drop.shared::cta.b64 %0, [%1], 2;" : "=l"(s3) : "r"(bar) : "memory");
  u64 s4 = arriveState(bar, 3); // ends phase 1; from now on 3 arrive
  note(pendingOf(s3)), note(pendingOf(s4)), note(test(bar, s4)), note(testParity(bar, 0)), note(testParity(bar, 1));
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], 64;" ::"r"(bar) : "memory");
  u64 s5 = arriveState(bar, 3); // all have arrived, the bytes have not
  note(pendingOf(s5)), note(test(bar, s5));
  asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 48;" ::"r"(bar) : "memory");
  note(test(bar, s5));
  asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 16;" ::"r"(bar) : "memory");
  note(test(bar, s5)), note(testParity(bar, 0)), note(testParity(bar, 1));
  u64 s6;
  asm volatile("mbarrier.arrive.noComplete.shared::cta.b64 %0, [%1], 1;" : "=l"(s6) : "r"(bar) : "memory");
  asm volatile("mbarrier.arrive_drop.expect_tx.shared::cta.b64 _, [%0], 16;" ::"r"(bar) : "memory");
  u64 s7 = arriveState(bar, 1);
  note(pendingOf(s6)), note(pendingOf(s7)), note(test(bar, s7));
  asm volatile("mbarrier.complete_tx.relaxed.cta.shared::cta.b64 [%0], 16;" ::"r"(bar) : "memory");
  note(test(bar, s7)), note(pendingOf(arriveState(bar, 1)));
  asm volatile("mbarrier.inval.shared::cta.b64 [%0];" ::"r"(bar) : "memory");
  init(bar, 1);
  note(testParity(bar, 1)), note(pendingOf(arriveState(bar, 1))), note(testParity(bar, 0));
}

/// Two warps hand numbers to each other through two barriers.
KERNEL ping_pong(u32 *out, int rounds) {
  u32 ping = shared(smem), pong = ping + 8, cell = dataBase() + 4 * (threadIdx.x % 32), word = threadIdx.x;
  if (threadIdx.x == 0) {
    init(ping, 32);
    init(pong, 32);
  }
  __syncthreads();
  for (int i = 0; i < rounds; ++i) {
    bool mine = threadIdx.x / 32 == 0;
    if (!mine)
      wait(ping, i & 1);
    if (!mine)
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(cell) : "memory");
    word = word * 5 + i;
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(cell), "r"(word) : "memory");
    arrive(mine ? ping : pong);
    if (mine) {
      wait(pong, i & 1);
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(cell) : "memory");
    }
  }
  out[threadIdx.x] = word;
}

/// What the special registers say, cluster of 2 x 2.
KERNEL __cluster_dims__(2, 2, 1) ranks(u32 *out) {
  u32 *to = out + 12 * (blockIdx.x + gridDim.x * blockIdx.y), probe = mapa(shared(smem), 2), rank, n = 0;
  asm volatile("getctarank.shared::cluster.u32 %0, %1;" : "=r"(rank) : "r"(probe));
  if (threadIdx.x)
    return;
#define NOTE(name)                                                                                                       \
  {                                                                                                                      \
    u32 x;                                                                                                               \
    asm volatile("mov.u32 %0, %%" name ";" : "=r"(x));                                                                   \
    to[n++] = x;                                                                                                         \
  }
  NOTE("clusterid.x") NOTE("clusterid.y") NOTE("nclusterid.x") NOTE("nclusterid.y") NOTE("cluster_ctaid.x") NOTE("cluster_ctaid.y")
  NOTE("cluster_nctaid.x") NOTE("cluster_nctaid.y") NOTE("cluster_ctarank") NOTE("cluster_nctarank")
  to[n++] = rank;
  u32 explicitly;
  asm volatile("{\n\t.reg .pred p;\n\tmov.pred p, %%is_explicit_cluster;\n\tselp.u32 %0, 1, 0, p;\n\t}" : "=r"(explicitly));
  to[n++] = explicitly;
}

/// A histogram over a cluster of four: each CTA has a quarter of the bins; generic and shared::cluster addresses.
KERNEL __cluster_dims__(4, 1, 1) bins(const u32 *in, u32 *out, int count) {
  u32 data = dataBase();
  for (u32 i = threadIdx.x; i < 32; i += blockDim.x)
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(data + 4 * i), "r"(0) : "memory");
  clusterSync();
  for (int i = blockIdx.x % 4 * blockDim.x + threadIdx.x; i < count; i += 4 * blockDim.x) {
    u32 bin = in[i] % 128, there = mapa(data + 4 * (bin % 32), bin / 32);
    if (i % 2) {
      asm volatile("red.relaxed.cluster.shared::cluster.add.u32 [%0], 1;" ::"r"(there) : "memory");
    } else {
      u64 generic;
      asm volatile("cvta.shared::cluster.u64 %0, %1;" : "=l"(generic) : "l"(u64(there)));
      atomicAdd(reinterpret_cast<u32 *>(generic), 1u);
    }
  }
  clusterSync();
  for (u32 i = threadIdx.x; i < 32; i += blockDim.x) { // what the next one has
    u32 word;
    asm volatile("ld.shared::cluster.u32 %0, [%1];" : "=r"(word) : "r"(mapa(data + 4 * i, (clusterRank() + 1) % 4)) : "memory");
    out[blockIdx.x * 32 + i] = word;
  }
  clusterSync();
}

/// All CTAs write to CTA 0 and arrive at its mbarrier; it waits and reads.
KERNEL __cluster_dims__(4, 1, 1) gather(const u32 *in, u32 *out) {
  u32 bar = shared(smem), data = dataBase(), rank = clusterRank();
  if (rank == 0 && threadIdx.x == 0) {
    init(bar, 4 * 32 + 4);
    fenceInit();
  }
  clusterSync();
  u32 to = mapa(data + 4 * (32 * rank + threadIdx.x), 0), there = mapa(bar, 0);
  asm volatile("st.shared::cluster.u32 [%0], %1;" ::"r"(to), "r"(in[blockIdx.x * 32 + threadIdx.x]) : "memory");
  asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(there) : "memory");
  if (threadIdx.x == 0)
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0], 1;" ::"r"(there) : "memory");
  if (rank == 0) {
    u32 done, word;
    do
      asm volatile("{\n\t.reg .pred p;\n\tmbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], 0;\n\tselp.u32 %0, 1, 0, p;\n\t}"
                   : "=r"(done) : "r"(bar) : "memory");
    while (!done);
    for (u32 r = 0; r < 4; ++r) {
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(data + 4 * (32 * r + (threadIdx.x + 5) % 32)) : "memory");
      out[blockIdx.x * 32 + 32 * r + threadIdx.x] = word;
    }
  }
  clusterSync();
}

/// st.async to the other CTA of a pair: words, pairs, quadruples, 64 bits.
KERNEL __cluster_dims__(2, 1, 1) sent(const u32 *in, u32 *out) {
  u32 bar = shared(smem), data = dataBase(), peer = clusterRank() ^ 1, t = threadIdx.x;
  if (t == 0) {
    init(bar, 1);
    fenceInit();
    arriveExpect(bar, 32 * (4 + 8 + 16 + 8 + 16));
  }
  clusterSync();
  const u32 *x = in + blockIdx.x * 128 + 4 * t;
  u32 there = mapa(bar, peer), to = mapa(data, peer);
  u64 pair = u64(x[1]) << 32 | x[2], other = u64(x[3]) << 32 | x[0];
#define SEND "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes."
  asm volatile(SEND "u32 [%0], %1, [%2];" ::"r"(to + 4 * t), "r"(x[0]), "r"(there) : "memory");
  asm volatile(SEND "v2.b32 [%0], {%1, %2}, [%3];" ::"r"(to + 128 + 8 * t), "r"(x[1]), "r"(x[0]), "r"(there) : "memory");
  asm volatile(SEND "v4.b32 [%0], {%1, %2, %3, %4}, [%5];" ::"r"(to + 512 + 16 * t), "r"(x[3]), "r"(x[2]), "r"(x[1]), "r"(x[0]), "r"(there) : "memory");
  asm volatile(SEND "b64 [%0], %1, [%2];" ::"r"(to + 1024 + 8 * t), "l"(pair), "r"(there) : "memory");
  asm volatile(SEND "v2.u64 [%0], {%1, %2}, [%3];" ::"r"(to + 1536 + 16 * t), "l"(pair), "l"(other), "r"(there) : "memory");
  wait(bar, 0);
  u32 word;
  for (u32 i = 0; i < 16; ++i) {
    bool written = i < 1 || (i >= 1 && i < 3) || (i >= 4 && i < 10) || i >= 12;
    word = 0;
    if (written)
      asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(data + 128 * i + 4 * t) : "memory");
    out[blockIdx.x * 512 + 32 * i + t] = word;
  }
  clusterSync();
}

/// red.async to the other CTA, all operations; 32 cells each.
KERNEL __cluster_dims__(2, 1, 1) reduced(const u32 *in, u32 *out) {
  u32 bar = shared(smem), data = dataBase(), peer = clusterRank() ^ 1, t = threadIdx.x;
  fill(data, in, 12 * 128);
  if (t == 0) {
    init(bar, 1);
    fenceInit();
    arriveExpect(bar, 32 * (11 * 4 + 8));
  }
  clusterSync();
  u32 there = mapa(bar, peer), to = mapa(data, peer) + 4 * t, x = in[384 + blockIdx.x * 32 + t];
#define ADD(slot, op)                                                                                                    \
  asm volatile("red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes." op " [%0], %1, [%2];" ::"r"(to + 128 * slot), "r"(x), "r"(there) : "memory");
  ADD(0, "add.u32") ADD(1, "add.s32") ADD(2, "min.u32") ADD(3, "max.u32") ADD(4, "min.s32") ADD(5, "max.s32") ADD(6, "inc.u32")
  ADD(7, "dec.u32") ADD(8, "and.b32") ADD(9, "or.b32")
  asm volatile("red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.add.u64 [%0], %1, [%2];" ::"r"(mapa(data, peer) + 1280 + 8 * t), "l"(u64(x) << 16), "r"(there) : "memory");
  asm volatile("red.async.relaxed.cluster.shared::cluster.mbarrier::complete_tx::bytes.xor.b32 [%0], %1, [%2];" ::"r"(mapa(data, peer) + 4 * t), "r"(0u), "r"(there) : "memory");
  wait(bar, 0);
  dump(out + blockIdx.x * 384, data, 1536);
  clusterSync();
}
