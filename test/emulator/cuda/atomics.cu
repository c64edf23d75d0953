// Atomics whose result does not depend on the order: of all types and operations.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"

/// 512 threads, cells of 8 threads each. x: any numbers.
KERNEL integers(const u32 *in, u32 *out) {
  u32 i = blockIdx.x * blockDim.x + threadIdx.x, cell = i % 64, x = in[i];
  u64 wide = u64(x) << 20 | i;
#define RED(slot, op, constraint, value, bytes)                                                                          \
  asm volatile("red.relaxed.gpu.global." op " [%0], %1;" ::"l"(reinterpret_cast<char *>(out) + 512 * slot + bytes * cell), constraint(value) : "memory");
  RED(0, "add.u32", "r", x, 4) RED(1, "add.s32", "r", x, 4) RED(2, "add.u64", "l", wide, 8) RED(3, "min.u32", "r", x, 4)
  RED(4, "max.u32", "r", x, 4) RED(5, "min.s32", "r", x, 4) RED(6, "max.s32", "r", x, 4) RED(7, "min.u64", "l", wide, 8)
  RED(8, "max.u64", "l", wide, 8) RED(9, "min.s64", "l", wide << 12, 8) RED(10, "max.s64", "l", wide << 12, 8)
  RED(11, "inc.u32", "r", 5, 4) RED(12, "dec.u32", "r", 5, 4) RED(13, "and.b32", "r", x | ~0x00FF00FFu, 4)
  RED(14, "or.b32", "r", x & 0x11111111, 4) RED(15, "xor.b32", "r", x, 4) RED(16, "and.b64", "l", wide | 0xFFFF, 8)
  RED(17, "or.b64", "l", wide & 0x8421084210842108, 8) RED(18, "xor.b64", "l", wide, 8)
}
/// Floats that add up exactly: small multiples of 1/4. x: any numbers.
KERNEL floats(const u32 *in, u32 *out) {
  u32 i = blockIdx.x * blockDim.x + threadIdx.x, cell = i % 64, x = in[i];
  float a = float(int(x % 33) - 16) * 0.25f, b = float(int(x / 64 % 33) - 16) * 0.25f;
  double c = double(a) * 1048577.0;
  u32 half2, brain2;
  unsigned short half, brain;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(half2) : "f"(a), "f"(b));
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(brain2) : "f"(b), "f"(a));
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half) : "f"(a));
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(brain) : "f"(a));
  RED(0, "add.f32", "f", a, 4) RED(1, "add.f64", "d", c, 8) RED(2, "add.noftz.f16x2", "r", half2, 4)
  RED(3, "add.noftz.bf16x2", "r", brain2, 4) RED(4, "add.noftz.f16", "h", half, 2) RED(5, "add.noftz.bf16", "h", brain, 2)
  char *to = reinterpret_cast<char *>(out) + 512 * 6 + 16 * cell;
#define VECTOR(slot, text, list, ...) asm volatile("red.relaxed.gpu.global." text " [%0], {" list "};" ::"l"(to + 1024 * slot), __VA_ARGS__ : "memory");
  VECTOR(0, "add.v4.f32", "%1, %2, %3, %4", "f"(a), "f"(b), "f"(a + b), "f"(a - b))
  VECTOR(1, "add.v2.f32", "%1, %2", "f"(b), "f"(-a))
  VECTOR(2, "add.noftz.v4.f16x2", "%1, %2, %2, %1", "r"(half2), "r"(half2 ^ 0x80000000))
  VECTOR(3, "add.noftz.v8.bf16", "%1, %1, %2, %2, %1, %2, %1, %2", "h"(brain), "h"((unsigned short)(brain ^ 0x8000)))
  VECTOR(4, "min.noftz.v2.f16x2", "%1, %2", "r"(half2), "r"(half2 ^ 0x8000))
  VECTOR(5, "max.noftz.v4.bf16", "%1, %2, %2, %1", "h"(brain), "h"((unsigned short)(brain ^ 0x8000)))
}
/// What atom returns: sums over the old values; exchanges hand a token round; 128 bits.
KERNEL returned(const u32 *in, u32 *out) {
  u32 i = threadIdx.x, x = in[i] & 0xFFFF, old;
  __shared__ u32 sum, chain;
  __shared__ u64 wide;
  if (i == 0)
    sum = 0, chain = 1000, wide = 0;
  __syncthreads();
  asm volatile("atom.relaxed.cta.shared.add.u32 %0, [%1], 1;" : "=r"(old) : "r"(shared(&sum)) : "memory");
  out[old] = 1 + old * 3; // each number once
  asm volatile("atom.relaxed.cta.shared.exch.b32 %0, [%1], %2;" : "=r"(old) : "r"(shared(&chain)), "r"(i) : "memory");
  atomicAdd(out + 256, old + 7); // all but the last token, and 1000
  u64 before;
  asm volatile("atom.acq_rel.cta.shared.add.u64 %0, [%1], %2;" : "=l"(before) : "r"(shared(&wide)), "l"(u64(x) << 32 | 1) : "memory");
  atomicXor(out + 257, u32(before) * 0x9E3779B9);
  unsigned short seen = 0, got;
  u32 *cell = out + 258;
  do { // a sum of 16 bits by compare and swap
    got = seen;
    asm volatile("atom.relaxed.gpu.global.cas.b16 %0, [%1], %2, %3;" : "=h"(seen) : "l"(cell), "h"(got), "h"((unsigned short)(got + x)) : "memory");
  } while (seen != got);
  __syncthreads();
  if (i == 0) {
    out[259] = sum;
    atomicAdd(out + 256, chain);
    out[260] = u32(wide), out[261] = u32(wide >> 32);
  }
  if (i < 8) {
    u64 low, high, *to = reinterpret_cast<u64 *>(out + 264 + 4 * i);
    asm volatile("{\n\t.reg .b128 x, y;\n\tmov.b128 x, {%3, %4};\n\tatom.relaxed.gpu.global.exch.b128 y, [%2], x;\n\tmov.b128 {%0, %1}, y;\n\t}"
                 : "=l"(low), "=l"(high) : "l"(to), "l"(u64(x) * 77), "l"(u64(i)) : "memory");
    u64 low2, high2;
    asm volatile("{\n\t.reg .b128 x, y, z;\n\tmov.b128 x, {%3, %4};\n\tmov.b128 z, {%5, %6};\n\tatom.relaxed.gpu.global.cas.b128 y, [%2], x, z;\n\tmov.b128 {%0, %1}, y;\n\t}"
                 : "=l"(low2), "=l"(high2) : "l"(to), "l"(u64(x) * 77), "l"(u64(i & 3)), "l"(low), "l"(high) : "memory");
    out[296 + 4 * i] = u32(low), out[297 + 4 * i] = u32(high >> 32), out[298 + 4 * i] = u32(low2), out[299 + 4 * i] = u32(high2);
  }
}
