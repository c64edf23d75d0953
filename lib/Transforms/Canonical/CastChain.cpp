// When two conversions are one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Transforms/CastChain.h"

#include "nibble/Reference/RefTensor.h"

#include <cmath>
#include <cstring>

using namespace mlir;
using namespace nibble;
using rt::StorageFormat;

CastStep CastStep::of(nq::CastOp op) {
  CastStep step{ref::getFormat(getElementTypeOrSelf(op.getResult()))};
  if (!op.getSaturate())
    step.overflow = rt::Overflow::NonFinite;
  if (op.getRoundMode() == "down")
    step.e8m0 = rt::E8M0Round::Down;
  else if (op.getRoundMode() == "nearest")
    step.e8m0 = rt::E8M0Round::Nearest;
  return step;
}

double CastStep::apply(double x) const {
  if (to == StorageFormat::F64)
    return x;
  if (to == StorageFormat::E8M0)
    return rt::decodeE8M0(rt::encodeE8M0(x, e8m0, overflow));
  return rt::roundTo(to, x, overflow);
}

bool nibble::isSameNumber(double a, double b) {
  if (std::isnan(a) || std::isnan(b))
    return std::isnan(a) && std::isnan(b);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

/// A number with p significant bits down to 2^e and up to a maximum is one of
/// any format with as many bits, as small a smallest and as large a largest
/// number. Only E2M1 has neither infinities nor NaN to pass on; E4M3FN and E8M0
/// have no infinity.
bool nibble::isExactWidening(StorageFormat from, StorageFormat to) {
  if (from == to)
    return true;
  const rt::FormatInfo &a = rt::formatInfo(from), &b = rt::formatInfo(to);
  if (b.kind != rt::FormatKind::Float) // E8M0 holds no other format
    return false;
  bool special = (!a.hasInf || b.hasInf) && (!a.hasNan || b.hasNan);
  // E2M1 and E4M3FN clamp; equal specials do not make E4M3FN hold E2M1's -0,
  // which it does anyway: every Float format here has signed zeros.
  return special && a.manBits <= b.manBits && a.maxFinite <= b.maxFinite &&
         a.minPositive >= b.minPositive;
}

static CastMerger::Result compare(StorageFormat from, CastStep inner,
                                  CastStep outer) {
  bool identity = outer.to == from, first = outer.to == inner.to, direct = true;
  for (uint64_t code = 0, e = uint64_t(1) << rt::formatBits(from); code < e;
       ++code) {
    double x = rt::decode(from, code), y = inner.apply(x);
    double want = outer.apply(y);
    identity &= isSameNumber(want, x);
    first &= isSameNumber(want, y);
    direct &= isSameNumber(want, outer.apply(x));
  }
  return identity ? CastMerger::Result::Identity
         : first  ? CastMerger::Result::Inner
         : direct ? CastMerger::Result::Direct
                  : CastMerger::Result::Keep;
}

/// True if `outer` changes nothing that `inner`, of the same format, can write.
static bool isRepetition(CastStep inner, CastStep outer) {
  if (outer.to != inner.to)
    return false;
  if (rt::formatBits(inner.to) > 16)
    return true;
  for (uint64_t code = 0, e = uint64_t(1) << rt::formatBits(inner.to); code < e;
       ++code) {
    double y = rt::decode(inner.to, code);
    bool written = isSameNumber(inner.apply(y), y);
    if (written && !isSameNumber(outer.apply(y), y))
      return false;
  }
  return true;
}

/// True if both go to one format with one rounding, and `outer` makes of what
/// overflows in `inner` what it would have made of it directly. Below the
/// overflow, which begins at the same number for both, they agree anyway.
static bool isSameRounding(CastStep inner, CastStep outer) {
  if (outer.to != inner.to || outer.e8m0 != inner.e8m0)
    return false;
  for (double x : {0x1p1000, -0x1p1000, 0.0, -0.0, -1.0})
    if (!isSameNumber(outer.apply(inner.apply(x)), outer.apply(x)))
      return false;
  return true;
}

CastMerger::Result CastMerger::merge(StorageFormat from, CastStep inner,
                                     CastStep outer) {
  auto [entry, isNew] =
      known.try_emplace({from, inner.key(), outer.key()}, Result::Keep);
  if (!isNew)
    return entry->second;
  if (rt::formatBits(from) <= 16)
    return entry->second = compare(from, inner, outer);
  if (isExactWidening(from, inner.to))
    return entry->second = outer.to == from ? Result::Identity : Result::Direct;
  return entry->second = isRepetition(inner, outer)     ? Result::Inner
                         : isSameRounding(inner, outer) ? Result::Direct
                                                        : Result::Keep;
}
