// Vectors of four doubles, in the extension that GCC and Clang share: they
// become what the machine has (AVX2, NEON).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_TENSOR_VECTOR_H
#define NIBBLE_RT_EMULATOR_TENSOR_VECTOR_H

#include <cstdint>
#include <cstring>
#if defined(__FMA__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace nibble {
namespace emu {
namespace tensor {

constexpr unsigned kLanes = 4; ///< numbers of a vector

template <typename T> struct VectorType {
  typedef T type __attribute__((vector_size(sizeof(T) * kLanes)));
};
template <typename T> using VectorOf = typename VectorType<T>::type;
using Vector = VectorOf<double>;

template <typename T> inline VectorOf<T> loadVector(const T *from) {
  VectorOf<T> v;
  std::memcpy(&v, from, sizeof v);
  return v;
}
template <typename T> inline void storeVector(T *to, VectorOf<T> v) {
  std::memcpy(to, &v, sizeof v);
}

inline Vector splat(double x) { return Vector{x, x, x, x}; }

/// x y + z; rounded once where the machine has an instruction for that. For
/// products that are exact in double, which is all it is for here.
inline Vector multiplyAddVector(Vector x, Vector y, Vector z) {
#if defined(__FMA__)
  return _mm256_fmadd_pd(x, y, z);
#elif defined(__aarch64__)
  float64x2_t part[3][2], sum[2];
  std::memcpy(part[0], &x, sizeof x);
  std::memcpy(part[1], &y, sizeof y);
  std::memcpy(part[2], &z, sizeof z);
  for (unsigned half = 0; half < 2; ++half)
    sum[half] = vfmaq_f64(part[2][half], part[0][half], part[1][half]);
  std::memcpy(&z, sum, sizeof z);
  return z;
#else
  return x * y + z;
#endif
}

} // namespace tensor
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_TENSOR_VECTOR_H
