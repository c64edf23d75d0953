// Lanes of a warp, warps of a CTA: shuffles of all kinds, match, redux, votes, elect, named barriers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"

/// Four modes, four widths: 32, 16, 8, 2; the value, and whether the source was in range.
KERNEL shuffles(const u32 *in, u32 *out) {
  u32 t = threadIdx.x, x = in[t], n = 0;
#define SHUFFLE(mode, b, clamp)                                                                                          \
  {                                                                                                                      \
    u32 y, valid;                                                                                                        \
    asm volatile("{\n\t.reg .pred p;\n\tshfl.sync." mode ".b32 %0|p, %2, %3, %4, -1;\n\tselp.u32 %1, 1, 0, p;\n\t}"     \
                 : "=r"(y), "=r"(valid) : "r"(x), "r"(b), "r"(clamp));                                                   \
    out[32 * n++ + t] = y ^ valid << 31;                                                                                 \
  }
#define WIDTHS(mode, b, last)                                                                                            \
  SHUFFLE(mode, b, last) SHUFFLE(mode, b, 16 << 8 | last) SHUFFLE(mode, b, 24 << 8 | last) SHUFFLE(mode, b, 30 << 8 | last)
  WIDTHS("up", x % 9, 0) WIDTHS("down", x % 9, 31) WIDTHS("bfly", x % 32, 31) WIDTHS("idx", x % 32, 31)
  SHUFFLE("up", 3, 5) SHUFFLE("down", 3, 12) SHUFFLE("bfly", 5, 20) SHUFFLE("idx", t + 1, 20)
}
/// match, redux, vote over all lanes and over those of two masks that diverge.
KERNEL groups(const u32 *in, u32 *out) {
  u32 t = threadIdx.x, x = in[t], n = 0;
  auto note = [&](u32 y) { out[32 * n++ + t] = y; };
  auto collect = [&](u32 mask) {
    int all;
    note(__match_any_sync(mask, x % 5));
    note(__match_any_sync(mask, u64(x % 3) << 40));
    note(__match_all_sync(mask, x / 1000000000, &all) + all);
    note(__match_all_sync(mask, mask, &all) + all);
    note(__reduce_add_sync(mask, x));
    note(__reduce_min_sync(mask, int(x)));
    note(__reduce_max_sync(mask, int(x)));
    note(__reduce_min_sync(mask, x));
    note(__reduce_max_sync(mask, x));
    note(__reduce_and_sync(mask, x | 0xFF00FFF0));
    note(__reduce_or_sync(mask, x & 0x01020408));
    note(__reduce_xor_sync(mask, x));
    note(__ballot_sync(mask, x & 1));
    note(__any_sync(mask, x % 7 == 0) + 2 * __all_sync(mask, x % 7 < 6));
    u32 same;
    asm volatile("{\n\t.reg .pred p, q;\n\tsetp.gt.u32 q, %1, 3;\n\tvote.sync.uni.pred p, q, %2;\n\tselp.u32 %0, 1, 0, p;\n\t}" : "=r"(same) : "r"(x % 5), "r"(mask));
    note(same);
    u32 leader, is;
    asm volatile("{\n\t.reg .pred p;\n\telect.sync %0|p, %2;\n\tselp.u32 %1, 1, 0, p;\n\t}" : "=r"(leader), "=r"(is) : "r"(mask));
    note(leader * 2 + is);
  };
  collect(~0u);
  if (t % 3 == 0)
    collect(0x49249249);
  else
    collect(~0x49249249u);
}
/// Named barriers: warp 0 produces for each of the others in turn; barriers that count predicates.
KERNEL __launch_bounds__(128) named(const u32 *in, u32 *out) {
  u32 data = dataBase(), t = threadIdx.x, warp = t / 32, x = in[t], word = 0;
  if (warp == 0) {
    for (u32 w = 1; w < 4; ++w) {
      asm volatile("st.shared.u32 [%0], %1;" ::"r"(data + 128 * w + 4 * t), "r"(x * w) : "memory");
      asm volatile("barrier.arrive %0, 64;" ::"r"(w) : "memory");
    }
  } else {
    asm volatile("barrier.sync %0, 64;" ::"r"(warp) : "memory");
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(word) : "r"(data + 128 * warp + 4 * ((t + 1) % 32)) : "memory");
  }
  u32 count, any, all;
  asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.u32 p, %1, 0;\n\tbarrier.red.popc.u32 %0, 5, p;\n\t}" : "=r"(count) : "r"(x & 1) : "memory");
  asm volatile("{\n\t.reg .pred p, q;\n\tsetp.eq.u32 p, %1, 77;\n\tbarrier.red.or.pred q, 6, p;\n\tselp.u32 %0, 1, 0, q;\n\t}" : "=r"(any) : "r"(t) : "memory");
  asm volatile("{\n\t.reg .pred p, q;\n\tsetp.ne.u32 p, %1, 77;\n\tbarrier.red.and.pred q, 7, p;\n\tselp.u32 %0, 1, 0, q;\n\t}" : "=r"(all) : "r"(t) : "memory");
  out[t] = word;
  out[128 + t] = count + 1000 * any + 2000 * all;
}
/// Sums, scans and the largest, over a CTA and then over all: the last CTA to come adds up.
KERNEL __launch_bounds__(256) reduction(const u32 *in, u32 *out, u32 *ticket) {
  __shared__ u32 part[8], last;
  u32 t = threadIdx.x, i = blockIdx.x * 256 + t, x = in[i], scan = x, top = __reduce_max_sync(~0u, x);
  for (u32 d = 1; d < 32; d *= 2) {
    u32 y = __shfl_up_sync(~0u, scan, d);
    scan += t % 32 >= d ? y : 0;
  }
  if (t % 32 == 31)
    part[t / 32] = scan;
  __syncthreads();
  for (u32 w = 0; w < t / 32; ++w)
    scan += part[w];
  out[i] = scan;
  if (t % 32 == 0)
    atomicMax(out + 1024, top);
  if (t == 255) {
    out[1028 + blockIdx.x] = scan;
    __threadfence();
    last = atomicAdd(ticket, 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (last && t == 0) {
    __threadfence();
    u32 sum = 0;
    for (u32 b = 0; b < gridDim.x; ++b)
      sum += *reinterpret_cast<volatile u32 *>(out + 1028 + b);
    out[1025] = sum;
  }
}
