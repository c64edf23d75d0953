// When two conversions are one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CastChain.h"

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
  bool identity = outer.to == from, direct = true;
  for (uint64_t code = 0, e = uint64_t(1) << rt::formatBits(from);
       code < e && (identity || direct); ++code) {
    double x = rt::decode(from, code);
    double want = outer.apply(inner.apply(x));
    identity &= isSameNumber(want, x);
    direct &= isSameNumber(want, outer.apply(x));
  }
  return identity ? CastMerger::Result::Identity
         : direct ? CastMerger::Result::Direct
                  : CastMerger::Result::Keep;
}

CastMerger::Result CastMerger::merge(StorageFormat from, CastStep inner,
                                     CastStep outer) {
  auto [entry, isNew] =
      known.try_emplace({from, inner.key(), outer.key()}, Result::Keep);
  if (!isNew)
    return entry->second;
  if (rt::formatBits(from) <= 16)
    return entry->second = compare(from, inner, outer);
  if (!isExactWidening(from, inner.to))
    return Result::Keep;
  return entry->second = outer.to == from ? Result::Identity : Result::Direct;
}
