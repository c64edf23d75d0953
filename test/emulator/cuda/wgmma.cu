// wgmma: formats, sizes, A in registers, both majors, signs. Swizzles are in the descriptors, which come as data.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"
#include "registers.cuh"

/// Images of A and B in shared memory; per step the descriptors, to which the kernel adds the addresses of the images.
/// c, out: accumulators as [register][thread]; accumulate: scale-d of the first step.
#define ARGUMENTS const u32 *a, u32 bytesA, const u32 *b, u32 bytesB, const u64 *descriptors, int steps, u32 accumulate, const u32 *c, u32 *out
#define P(i) "%" #i
#define BODY(count, multiply)                                                                                            \
  u32 dataA = dataBase(), dataB = dataA + (bytesA + 1023) / 1024 * 1024, t = threadIdx.x, d[count];                      \
  fill(dataA, a, bytesA);                                                                                                \
  fill(dataB, b, bytesB);                                                                                                \
  for (int i = 0; i < count; ++i)                                                                                        \
    d[i] = c[128 * i + t];                                                                                               \
  __syncthreads();                                                                                                       \
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");                                                                \
  _Pragma("unroll 1") for (int s = 0; s < steps; ++s) {                                                                  \
    [[maybe_unused]] u64 x = descriptors[2 * s] + (dataA >> 4), y = descriptors[2 * s + 1] + (dataB >> 4);               \
    u32 scale = s || accumulate;                                                                                         \
    multiply                                                                                                             \
  }                                                                                                                      \
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");                                                         \
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");                                                         \
  for (int i = 0; i < count; ++i)                                                                                        \
    out[128 * i + t] = d[i];

/// count: registers of D; x, y, z: the numbers behind it.
#define WGMMA(name, text, count, x_, y_, z_, immediates)                                                                 \
  KERNEL __launch_bounds__(128) name(ARGUMENTS) {                                                                        \
    BODY(count, asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " P(z_) ", 0;\n\twgmma.mma_async.sync.aligned." text  \
                             " {" L##count "}, " P(x_) ", " P(y_) ", p" immediates ";\n\t}"                              \
                             : O##count : "l"(x), "l"(y), "r"(scale) : "memory");)                                       \
  }
WGMMA(f16_n8, "m64n8k16.f32.f16.f16", 4, 4, 5, 6, ", 1, 1, 0, 0")
WGMMA(f16_n64, "m64n64k16.f32.f16.f16", 32, 32, 33, 34, ", 1, 1, 0, 0")
WGMMA(f16_n256, "m64n256k16.f32.f16.f16", 128, 128, 129, 130, ", 1, 1, 0, 0")
WGMMA(f16_n64_mn, "m64n64k16.f32.f16.f16", 32, 32, 33, 34, ", 1, 1, 0, 1")
WGMMA(f16_n8_m, "m64n8k16.f32.f16.f16", 4, 4, 5, 6, ", 1, 1, 1, 0")
WGMMA(bf16_n128_mm, "m64n128k16.f32.bf16.bf16", 64, 64, 65, 66, ", 1, 1, 1, 1")
WGMMA(bf16_n40, "m64n40k16.f32.bf16.bf16", 20, 20, 21, 22, ", 1, 1, 0, 0")
WGMMA(f16_f16_n16, "m64n16k16.f16.f16.f16", 4, 4, 5, 6, ", 1, 1, 0, 0")
WGMMA(f16_negated, "m64n16k16.f32.f16.f16", 8, 8, 9, 10, ", -1, 1, 0, 0")
WGMMA(bf16_negated, "m64n16k16.f32.bf16.bf16", 8, 8, 9, 10, ", 1, -1, 0, 0")
WGMMA(tf32_n24, "m64n24k8.f32.tf32.tf32", 12, 12, 13, 14, ", 1, 1")
WGMMA(e4m3_n64, "m64n64k32.f32.e4m3.e4m3", 32, 32, 33, 34, ", 1, 1")
WGMMA(e5m2_e4m3_n16, "m64n16k32.f32.e5m2.e4m3", 8, 8, 9, 10, ", 1, 1")
WGMMA(e4m3_f16_n32, "m64n32k32.f16.e4m3.e4m3", 8, 8, 9, 10, ", 1, 1")
WGMMA(s8_n32, "m64n32k32.s32.s8.s8", 16, 16, 17, 18, "")
WGMMA(u8_s8_n48, "m64n48k32.s32.satfinite.u8.s8", 24, 24, 25, 26, "")

/// A in registers: a is [step][register][thread]. They are written anew, so each step is fenced and waited for.
#define WGMMA_R(name, text, count, p_, q_, r_, s_, y_, z_, immediates)                                                   \
  KERNEL __launch_bounds__(128) name(ARGUMENTS) {                                                                        \
    BODY(count, u32 f[4];                                                                                                \
         for (int i = 0; i < 4; ++i) f[i] = a[512 * s + 128 * i + t];                                                    \
         asm volatile("wgmma.fence.sync.aligned;" ::: "memory");                                                         \
         asm volatile("{\n\t.reg .pred p;\n\tsetp.ne.b32 p, " P(z_) ", 0;\n\twgmma.mma_async.sync.aligned." text         \
                      " {" L##count "}, {" P(p_) ", " P(q_) ", " P(r_) ", " P(s_) "}, " P(y_) ", p" immediates ";\n\t}"  \
                      : O##count : "r"(f[0]), "r"(f[1]), "r"(f[2]), "r"(f[3]), "l"(y), "r"(scale) : "memory");           \
         asm volatile("wgmma.commit_group.sync.aligned;\n\twgmma.wait_group.sync.aligned 0;" ::: "memory");)                                                                                                       \
  }
WGMMA_R(f16_registers, "m64n16k16.f32.f16.f16", 8, 8, 9, 10, 11, 12, 13, ", 1, 1, 0")
WGMMA_R(bf16_registers_n, "m64n64k16.f32.bf16.bf16", 32, 32, 33, 34, 35, 36, 37, ", 1, -1, 1")
WGMMA_R(tf32_registers, "m64n8k8.f32.tf32.tf32", 4, 4, 5, 6, 7, 8, 9, ", 1, 1")
WGMMA_R(e4m3_registers, "m64n24k32.f32.e4m3.e4m3", 12, 12, 13, 14, 15, 16, 17, ", 1, 1")
WGMMA_R(s8_registers, "m64n8k32.s32.s8.s8", 4, 4, 5, 6, 7, 8, 9, "")
