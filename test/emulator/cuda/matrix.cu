// ldmatrix, stmatrix, movmatrix: which byte goes where.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "common.cuh"

#define ROW (data + 16 * ((threadIdx.x * 5 + 3) % 32)) // rows in any order
/// out: for x1, x2, x4 and the same transposed, the registers of all lanes.
KERNEL load_matrices(const u32 *in, u32 *out) {
  u32 data = dataBase(), r[14];
  fill(data, in, 512);
  __syncthreads();
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%0}, [%1];" : "=r"(r[0]) : "r"(ROW) : "memory");
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];" : "=r"(r[1]), "=r"(r[2]) : "r"(ROW) : "memory");
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[3]), "=r"(r[4]), "=r"(r[5]), "=r"(r[6]) : "r"(ROW) : "memory");
  asm volatile("ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%0}, [%1];" : "=r"(r[7]) : "r"(ROW) : "memory");
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];" : "=r"(r[8]), "=r"(r[9]) : "r"(ROW) : "memory");
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];" : "=r"(r[10]), "=r"(r[11]), "=r"(r[12]), "=r"(r[13]) : "r"(ROW) : "memory");
  for (int i = 0; i < 14; ++i)
    out[32 * i + threadIdx.x] = r[i];
}
/// in: four registers of all lanes. out: shared memory after x1, x2, x4 and the same transposed.
KERNEL store_matrices(const u32 *in, u32 *out) {
  u32 data = dataBase(), r[4];
  for (int i = 0; i < 4; ++i)
    r[i] = in[32 * i + threadIdx.x];
#define STORE(n, suffix, list, ...)                                                                                      \
  poison(data, 512);                                                                                                     \
  __syncwarp();                                                                                                          \
  asm volatile("stmatrix.sync.aligned.m8n8." n suffix ".shared.b16 [%0], {" list "};" ::"r"(ROW), __VA_ARGS__ : "memory"); \
  __syncwarp();                                                                                                          \
  dump(out, data, 512);                                                                                                  \
  __syncwarp();                                                                                                          \
  out += 128;
  STORE("x1", "", "%1", "r"(r[0]))
  STORE("x2", "", "%1, %2", "r"(r[0]), "r"(r[1]))
  STORE("x4", "", "%1, %2, %3, %4", "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]))
  STORE("x1", ".trans", "%1", "r"(r[0]))
  STORE("x2", ".trans", "%1, %2", "r"(r[0]), "r"(r[1]))
  STORE("x4", ".trans", "%1, %2, %3, %4", "r"(r[0]), "r"(r[1]), "r"(r[2]), "r"(r[3]))
}
KERNEL move_matrix(const u32 *in, u32 *out) {
  u32 r;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(in[threadIdx.x]));
  out[threadIdx.x] = r;
}

//===--- mma.sync: registers in, registers out ----------------------------===
// A, B, C and D lie in memory as [register][lane].
#define R(p, i) "r"(p[32 * (i) + threadIdx.x])
#define MMA(name, text, lists, nd, outputs, ...)                                                                     \
  KERNEL name(const u32 *a, const u32 *b, const u32 *c, u32 *out) {                                                      \
    u32 d[nd];                                                                                                           \
    asm volatile("mma.sync.aligned." text " " lists ";" : outputs : __VA_ARGS__);                                        \
    for (int i = 0; i < nd; ++i)                                                                                         \
      out[32 * i + threadIdx.x] = d[i];                                                                                  \
  }
#define D4 "=r"(d[0]), "=r"(d[1]), "=r"(d[2]), "=r"(d[3])
#define D2 "=r"(d[0]), "=r"(d[1])
#define C4 R(c, 0), R(c, 1), R(c, 2), R(c, 3)
#define C2 R(c, 0), R(c, 1)
#define BIG "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%10, %11, %12, %13}"
#define HALF_D "{%0, %1}, {%2, %3, %4, %5}, {%6, %7}, {%8, %9}"
#define SMALL "{%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %8, %9, %10}"
#define A4B2 R(a, 0), R(a, 1), R(a, 2), R(a, 3), R(b, 0), R(b, 1)
#define A2B1 R(a, 0), R(a, 1), R(b, 0)
MMA(mma_f16, "m16n8k16.row.col.f32.f16.f16.f32", BIG, 4, D4, A4B2, C4)
MMA(mma_f16_f16, "m16n8k16.row.col.f16.f16.f16.f16", HALF_D, 2, D2, A4B2, C2)
MMA(mma_f16_k8, "m16n8k8.row.col.f32.f16.f16.f32", SMALL, 4, D4, A2B1, C4)
MMA(mma_bf16, "m16n8k16.row.col.f32.bf16.bf16.f32", BIG, 4, D4, A4B2, C4)
MMA(mma_tf32, "m16n8k8.row.col.f32.tf32.tf32.f32", BIG, 4, D4, A4B2, C4)
MMA(mma_tf32_k4, "m16n8k4.row.col.f32.tf32.tf32.f32", SMALL, 4, D4, A2B1, C4)
MMA(mma_e4m3, "m16n8k32.row.col.f32.e4m3.e4m3.f32", BIG, 4, D4, A4B2, C4)
MMA(mma_e5m2_e4m3, "m16n8k32.row.col.f32.e5m2.e4m3.f32", BIG, 4, D4, A4B2, C4)
MMA(mma_s8, "m16n8k32.row.col.s32.s8.s8.s32", BIG, 4, D4, A4B2, C4)
MMA(mma_u8_s8_sat, "m16n8k32.row.col.satfinite.s32.u8.s8.s32", BIG, 4, D4, A4B2, C4)
MMA(mma_s8_k16, "m16n8k16.row.col.s32.s8.u8.s32", SMALL, 4, D4, A2B1, C4)

/// f64: m8n8k4.
KERNEL mma_f64(const double *a, const double *b, const double *c, double *out) {
  u32 t = threadIdx.x;
  double d0, d1;
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0, %1}, {%2}, {%3}, {%4, %5};"
               : "=d"(d0), "=d"(d1) : "d"(a[t]), "d"(b[t]), "d"(c[t]), "d"(c[32 + t]));
  out[t] = d0;
  out[32 + t] = d1;
}
