// When two conversions are one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A value that is converted twice is rounded twice, and the second rounding can
// go another way than a direct one would: 1.0625 + 2^-24 in f32 is 1.0625 in
// f16, a tie that E4M3 resolves to 1.0, while directly it is 1.125. So two
// conversions merge only if
//
//  - the first one is exact for every value of its source type (a table of
//    formats; the direct conversion then rounds the same number), or
//  - the source has at most 16 bits and all its codes have been converted both
//    ways with equal results (this finds the identity, f16 -> f32 -> f16, and
//    pairs such as E5M2 -> E4M3 -> E2M1, saturation included), or
//  - the second one goes to the format of the first: it changes nothing that
//  the
//    first can write, or saturates what the first made infinite.
//
// Results are equal if they are the same number, zeros with the same sign, or
// both NaN: IEEE arithmetic leaves sign and payload of a NaN open.
#ifndef NIBBLE_TRANSFORMS_CASTCHAIN_H
#define NIBBLE_TRANSFORMS_CASTCHAIN_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/rt/formats.h"

#include <map>
#include <optional>
#include <string>
#include <tuple>

namespace nibble {

/// One conversion: what nq.cast does to each element.
struct CastStep {
  rt::StorageFormat to;
  rt::Overflow overflow = rt::Overflow::Saturate;
  rt::E8M0Round e8m0 = rt::E8M0Round::Up;

  static CastStep of(nq::CastOp op);
  /// f32 and f64 round here, unlike in the reference.
  double apply(double x) const;
  auto key() const { return std::make_tuple(to, overflow, e8m0); }
};

/// Equal as values, see above.
bool isSameNumber(double a, double b);

/// True if every value of `from` is one of `to`; both are float formats.
bool isExactWidening(rt::StorageFormat from, rt::StorageFormat to);

/// Finds and remembers which pairs merge.
class CastMerger {
public:
  enum class Result { Keep, Identity, Inner, Direct };

  /// What `outer` of `inner` of a value in `from` is: the value itself, `inner`
  /// of it, `outer` of it, or neither.
  Result merge(rt::StorageFormat from, CastStep inner, CastStep outer);

private:
  using Key = std::tuple<rt::StorageFormat, decltype(CastStep().key()),
                         decltype(CastStep().key())>;
  std::map<Key, Result> known;
};

} // namespace nibble

#endif // NIBBLE_TRANSFORMS_CASTCHAIN_H
