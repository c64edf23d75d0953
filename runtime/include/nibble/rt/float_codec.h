// Encoding and decoding of each float format as inline functions; include
// formats.h, not this.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Templates on the format, for loops that know it: encodeAs<F>(x) and
// decodeAs<F>(code) do what encode(F, x) and decode(F, code) promise.
#ifndef NIBBLE_RT_FLOAT_CODEC_H
#define NIBBLE_RT_FLOAT_CODEC_H

#include "nibble/rt/formats.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace nibble {
namespace rt {

inline uint32_t floatBits(float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline uint64_t floatBits(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}
inline float floatFromBits(uint32_t bits) {
  float x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}
inline double floatFromBits(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof(x));
  return x;
}

namespace detail {

template <typename T> struct SourceTraits;
template <> struct SourceTraits<float> {
  using Bits = uint32_t;
  static constexpr int manBits = 23, bias = 127;
  static constexpr Bits inf = 0x7f800000u;
};
template <> struct SourceTraits<double> {
  using Bits = uint64_t;
  static constexpr int manBits = 52, bias = 1023;
  static constexpr Bits inf = 0x7ff0000000000000ull;
};

constexpr double powerOfTwo(int exponent) {
  double x = 1;
  for (; exponent > 0; --exponent)
    x *= 2;
  for (; exponent < 0; ++exponent)
    x /= 2;
  return x;
}

/// v / 2^shift, rounded to nearest even; shift >= 1.
template <typename U> constexpr U shiftRight(U v, int shift) {
  U half = U(1) << (shift - 1);
  return (v + (half - 1) + ((v >> shift) & 1)) >> shift;
}

/// Rounds a magnitude (bits of |x|, not NaN) to a float format as if the format
/// had no largest exponent; infinity gives a code above any finite one. Free of
/// branches, so that loops over it become vector code.
template <StorageFormat F, typename T>
inline typename SourceTraits<T>::Bits
roundMagnitude(typename SourceTraits<T>::Bits magnitude) {
  using U = typename SourceTraits<T>::Bits;
  constexpr FormatInfo info = formatInfo(F);
  constexpr int srcMan = SourceTraits<T>::manBits;
  constexpr int shift = srcMan - info.manBits;
  constexpr U rebias = SourceTraits<T>::bias - info.bias;
  static_assert(shift > 0, "the target must be narrower");
  U normal = shiftRight<U>(magnitude - (rebias << srcMan), shift);
  if constexpr (rebias == 0)
    return normal;
  // Subnormal results are multiples of minPositive: those are the last bits of
  // numbers around this constant, so the addition rounds as wanted.
  constexpr T aligner = static_cast<T>(info.minPositive * powerOfTwo(srcMan));
  U subnormal = floatBits(floatFromBits(magnitude) + aligner) -
                floatBits(static_cast<T>(aligner));
  return magnitude < ((rebias + 1) << srcMan) ? subnormal : normal;
}

/// Bit patterns (without sign) that a float format uses beyond maxCode.
template <StorageFormat F> struct Special {
  static constexpr FormatInfo info = formatInfo(F);
  static constexpr uint64_t inf = info.maxCode + 1;
  /// For FNUZ it is the code of -0, to which a sign bit adds nothing.
  static constexpr uint64_t nan =
      !info.hasNan ? info.maxCode
                   : (info.hasInf ? inf | (uint64_t(1) << (info.manBits - 1))
                                  : info.maxCode + 1);
  static constexpr uint64_t sign = uint64_t(1) << (info.bits - 1);
  static constexpr bool alwaysInf = info.bits >= 16;
  static constexpr uint64_t overflow(Overflow mode) {
    if (alwaysInf)
      return inf;
    if (mode == Overflow::Saturate || !info.hasNan)
      return info.maxCode;
    return info.hasInf ? inf : nan;
  }
};

template <StorageFormat F, typename T>
inline uint64_t encodeFloat(T x, Overflow overflow) {
  using S = Special<F>;
  using U = typename SourceTraits<T>::Bits;
  constexpr U inf = SourceTraits<T>::inf;
  U bits = floatBits(x);
  U magnitude = bits & (inf | (inf - 1));
  U sign = (bits >> (sizeof(U) * 8 - 1)) << (S::info.bits - 1);
  U code = roundMagnitude<F, T>(magnitude);
  code = code > S::info.maxCode ? U(S::overflow(overflow)) : code;
  if (S::info.unsignedZero)
    sign = code == 0 ? 0 : sign;
  if (!S::info.hasNan) // NaN is +max
    return magnitude > inf ? U(S::nan) : sign | code;
  return sign | (magnitude > inf ? U(S::nan) : code);
}

/// All codes of a format of at most 8 bits.
template <StorageFormat F> constexpr float decodeSmall(unsigned code) {
  constexpr FormatInfo info = formatInfo(F);
  if (info.kind == FormatKind::Exponent)
    return code == 0xff ? std::numeric_limits<float>::quiet_NaN()
                        : static_cast<float>(powerOfTwo(int(code) - 127));
  unsigned magnitude = code & ((1u << (info.bits - 1)) - 1);
  float sign = magnitude == code ? 1.0f : -1.0f;
  if (magnitude > info.maxCode ||
      (info.unsignedZero && magnitude == 0 && code != 0))
    return info.hasInf && magnitude == info.maxCode + 1
               ? sign * std::numeric_limits<float>::infinity()
               : std::numeric_limits<float>::quiet_NaN();
  unsigned exponent = magnitude >> info.manBits;
  unsigned mantissa = magnitude & ((1u << info.manBits) - 1);
  if (exponent != 0)
    mantissa |= 1u << info.manBits;
  int power = int(exponent ? exponent : 1) - info.bias - info.manBits;
  return sign * static_cast<float>(mantissa * powerOfTwo(power));
}

template <StorageFormat F>
constexpr std::array<float, 1u << formatBits(F)> makeTable() {
  std::array<float, 1u << formatBits(F)> table{};
  for (unsigned code = 0; code < table.size(); ++code)
    table[code] = decodeSmall<F>(code);
  return table;
}

/// Values of all codes: kTable<E4M3FN>[0x7e] == 448.
template <StorageFormat F>
inline constexpr std::array<float, 1u << formatBits(F)> kTable = makeTable<F>();

/// floor(log2 x) of a finite x > 0, and whether x is above 2^that, and at least
/// 1.5 times that.
struct Log2 {
  int floor;
  bool inexact, upperHalf;
};
inline Log2 log2Of(double x) {
  int exponent;
  double fraction = std::frexp(x, &exponent); // [0.5, 1)
  return {exponent - 1, fraction > 0.5, fraction >= 0.75};
}

} // namespace detail

/// See E8M0Round and Overflow; x as in encode().
inline uint8_t encodeE8M0(double x, E8M0Round round = E8M0Round::Up,
                          Overflow overflow = Overflow::Saturate) {
  bool saturate = overflow == Overflow::Saturate;
  if (!(x >= 0))
    return 0xff;
  if (x == 0)
    return saturate ? 0 : 0xff;
  if (std::isinf(x))
    return saturate ? 0xfe : 0xff;
  detail::Log2 log = detail::log2Of(x);
  int code = log.floor + 127;
  if (round == E8M0Round::Up)
    code += log.inexact;
  else if (round == E8M0Round::Nearest)
    code += log.upperHalf;
  if (code < 0)
    return saturate ? 0 : 0xff;
  if (code > 0xfe)
    return saturate ? 0xfe : 0xff;
  return static_cast<uint8_t>(code);
}

/// x rounded to an integer, ties to even; as std::rint in the default rounding
/// mode, without a call into the C library.
template <typename T> inline T roundEven(T x) {
  constexpr T big =
      static_cast<T>(detail::powerOfTwo(detail::SourceTraits<T>::manBits));
  T magnitude = std::fabs(x);
  T rounded = std::copysign((magnitude + big) - big, x);
  return magnitude < big ? rounded : x;
}

/// x as a two's complement integer of `Bits` bits.
template <unsigned Bits, bool Signed> inline uint64_t encodeInt(double x) {
  constexpr double end = detail::powerOfTwo(Signed ? Bits - 1 : Bits);
  constexpr double low = Signed ? -end : 0.0;
  constexpr uint64_t mask = ~uint64_t(0) >> (64 - Bits);
  double rounded = roundEven(x);
  if constexpr (Bits <= 32) { // selects only, for vector code
    double clamped = std::min(std::max(rounded, low), end - 1);
    return static_cast<uint64_t>(static_cast<int64_t>(x == x ? clamped : 0.0)) &
           mask;
  }
  if (!(rounded > low)) // NaN gives 0
    return rounded <= low ? (Signed ? uint64_t(1) << (Bits - 1) : 0) : 0;
  if (rounded >= end)
    return Signed ? mask >> 1 : mask;
  if (Signed)
    return static_cast<uint64_t>(static_cast<int64_t>(rounded)) & mask;
  return static_cast<uint64_t>(rounded);
}

/// encode(F, x) for a format known at compile time; T is float or double.
template <StorageFormat F, typename T>
inline uint64_t encodeAs(T x, Overflow overflow = Overflow::Saturate) {
  constexpr FormatInfo info = formatInfo(F);
  if constexpr (F == StorageFormat::F64)
    return floatBits(static_cast<double>(x));
  else if constexpr (F == StorageFormat::F32)
    return floatBits(static_cast<float>(x));
  else if constexpr (info.kind == FormatKind::Float)
    return detail::encodeFloat<F, T>(x, overflow);
  else if constexpr (info.kind == FormatKind::Exponent)
    return encodeE8M0(x, E8M0Round::Up, overflow);
  else if constexpr (info.kind == FormatKind::Bool)
    return x != 0;
  else
    return encodeInt<info.bits, info.kind == FormatKind::Signed>(x);
}

inline float decodeF16(uint16_t code) {
  // Moves the exponent to its place, then rescales: exact, subnormals included.
  float magnitude = floatFromBits(uint32_t(code & 0x7fffu) << 13);
  uint32_t bits = (code & 0x7c00u) == 0x7c00u
                      ? 0x7f800000u | uint32_t(code & 0x3ffu) << 13
                      : floatBits(magnitude * 0x1p112f);
  return floatFromBits(bits | uint32_t(code & 0x8000u) << 16);
}

inline float decodeBF16(uint16_t code) {
  return floatFromBits(uint32_t(code) << 16);
}

/// decode(F, code) for a format known at compile time, in the smallest of
/// float, double and int64_t/uint64_t that holds every value.
template <StorageFormat F> inline auto decodeAs(uint64_t code) {
  constexpr FormatInfo info = formatInfo(F);
  if constexpr (F == StorageFormat::F64)
    return floatFromBits(code);
  else if constexpr (F == StorageFormat::F32)
    return floatFromBits(static_cast<uint32_t>(code));
  else if constexpr (F == StorageFormat::F16)
    return decodeF16(static_cast<uint16_t>(code));
  else if constexpr (F == StorageFormat::BF16)
    return decodeBF16(static_cast<uint16_t>(code));
  else if constexpr (isFloatFormat(F))
    return detail::kTable<F>[code & ((1u << info.bits) - 1)];
  else if constexpr (info.kind == FormatKind::Bool)
    return static_cast<float>((code & 0xff) != 0);
  else if constexpr (info.kind == FormatKind::Signed)
    return static_cast<int64_t>(code << (64 - info.bits)) >> (64 - info.bits);
  else
    return (code << (64 - info.bits)) >> (64 - info.bits);
}

/// Shorthands for the block formats.
inline uint8_t encodeE4M3(float x) {
  return static_cast<uint8_t>(encodeAs<StorageFormat::E4M3FN>(x));
}
inline uint8_t encodeE2M1(float x) {
  return static_cast<uint8_t>(encodeAs<StorageFormat::E2M1>(x));
}
inline float decodeE4M3(uint8_t code) {
  return detail::kTable<StorageFormat::E4M3FN>[code];
}
inline float decodeE2M1(uint8_t code) {
  return detail::kTable<StorageFormat::E2M1>[code & 15];
}
inline float decodeE8M0(uint8_t code) {
  return detail::kTable<StorageFormat::E8M0>[code];
}

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_FLOAT_CODEC_H
