// Comparison of results: metrics in double, and tolerances.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_COMPARE_H
#define NIBBLE_RT_COMPARE_H

#include "nibble/rt/status.h"

#include <cstdint>
#include <optional>
#include <string>

namespace nibble {
namespace rt {

/// Written "rtol=1e-4,atol=1e-5", "cos=0.999", "fro=1e-5", "sqnr=40", "exact"
/// or several of them with commas; all that are given must hold.
struct Tolerance {
  /// Every element: |actual - expected| <= atol + rtol * |expected|.
  std::optional<double> rtol, atol;
  std::optional<double> cosine;    ///< at least
  std::optional<double> frobenius; ///< relative, at most
  std::optional<double> sqnr;      ///< dB, at least

  bool elementwise() const { return rtol || atol; }
  std::string str() const;
};

Result<Tolerance> parseTolerance(const std::string &text);
/// What `run --expect` uses unless told otherwise: integers and bool exact; f64
/// rtol 1e-9; f32 rtol 1e-4, atol 1e-5; f16 rtol 2e-3, atol 1e-3; bf16 rtol
/// 1.6e-2, atol 1e-2; FP8 and FP4 cos 0.99.
Tolerance defaultTolerance(const std::string &dtype);

/// All over the same elements. Pairs that are both NaN, or the same infinity,
/// count as equal; a pair of which only one is finite counts as a mismatch
/// (`nonFinite`) and is left out of the sums.
struct Metrics {
  uint64_t count = 0;
  uint64_t nonFinite = 0;
  uint64_t beyond = 0; ///< elements outside of rtol/atol
  uint64_t worst = 0;  ///< index of the element with the largest excess
  double worstActual = 0, worstExpected = 0;
  double maxAbs = 0;    ///< max |a - e|
  double maxRel = 0;    ///< max |a - e| / |e| where e != 0
  double frobenius = 0; ///< |a - e|_2 / |e|_2; 0 if both are zero
  double cosine = 1;    ///< 1 if both are zero, 0 if one is
  double sqnr = 0;      ///< 20 log10(|e|_2 / |a - e|_2) dB; inf if equal
};

/// Takes results in pieces.
class Comparison {
public:
  explicit Comparison(Tolerance tolerance = {});
  void add(const double *actual, const double *expected, uint64_t count);
  void add(const float *actual, const double *expected, uint64_t count);
  Metrics metrics() const;
  const Tolerance &tolerance() const { return limits; }
  /// Ok, or a Mismatch that says which limit does not hold, and where.
  Status verdict() const;

private:
  void addOne(double actual, double expected);

  Tolerance limits;
  Metrics m;
  double sumA = 0, sumE = 0, sumAE = 0, sumD = 0, worstExcess = 0;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_COMPARE_H
