// Kernels of the conformance suite: what a compiler would put into an engine.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compiled freestanding into a self-contained shared object.
typedef long long i64;
typedef unsigned char u8;

#define KERNEL __attribute__((visibility("default"))) void

// y[i] = x[i] + 1
KERNEL add_one(void *const *args, i64 lo, i64 hi, void *scratch) {
  const float *x = args[0];
  float *y = args[1];
  for (i64 i = lo; i < hi; ++i)
    y[i] = x[i] + 1.0f;
}

// y[i] = x[i] * w[i]
KERNEL multiply(void *const *args, i64 lo, i64 hi, void *scratch) {
  const float *x = args[0], *w = args[1];
  float *y = args[2];
  for (i64 i = lo; i < hi; ++i)
    y[i] = x[i] * w[i];
}

// s[i] += x[i]
KERNEL accumulate(void *const *args, i64 lo, i64 hi, void *scratch) {
  const float *x = args[0];
  float *s = args[1];
  for (i64 i = lo; i < hi; ++i)
    s[i] += x[i];
}

// hits[i] += 1 for each i; first[i] = 1 at the start of each range.
KERNEL mark(void *const *args, i64 lo, i64 hi, void *scratch) {
  u8 *hits = args[0], *first = args[1];
  first[lo] += 1;
  for (i64 i = lo; i < hi; ++i)
    hits[i] += 1;
}

// ok[i] = 1 if the scratch is aligned and nobody else writes to it meanwhile.
// x[0] holds the size of the scratch.
KERNEL use_scratch(void *const *args, i64 lo, i64 hi, void *scratch) {
  i64 bytes = *(const i64 *)args[0];
  u8 *ok = args[1];
  volatile u8 *s = scratch;
  for (i64 i = lo; i < hi; ++i) {
    u8 tag = (u8)(i * 7 + 1);
    for (i64 j = 0; j < bytes; ++j)
      s[j] = tag;
    u8 good = ((unsigned long long)scratch & 63) == 0;
    for (i64 j = 0; j < bytes; ++j)
      good &= s[j] == tag;
    ok[i] = good;
  }
}
