// Metrics and tolerances.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/compare.h"

#include "nibble/rt/dtype.h"
#include "nibble/rt/options.h"

#include <cmath>
#include <limits>

using namespace nibble::rt;

static std::string number(double x) {
  char text[40];
  std::snprintf(text, sizeof(text), "%.6g", x);
  return text;
}

std::string Tolerance::str() const {
  std::string text;
  auto add = [&](const char *name, const std::optional<double> &limit) {
    if (limit)
      text += (text.empty() ? "" : ",") + (name + ("=" + number(*limit)));
  };
  add("rtol", rtol);
  add("atol", atol);
  add("cos", cosine);
  add("fro", frobenius);
  add("sqnr", sqnr);
  return text.empty() ? "none" : text;
}

static Status badTolerance(const std::string &text, const std::string &why) {
  return error(
      Code::InvalidArgument,
      "tolerance '%s': %s; wanted rtol=, atol=, cos=, fro=, sqnr= with "
      "commas between, or exact",
      text.c_str(), why.c_str());
}

Result<Tolerance> nibble::rt::parseTolerance(const std::string &text) {
  Tolerance result;
  if (text == "exact") {
    result.rtol = result.atol = 0.0;
    return result;
  }
  Result<std::vector<KeyValue>> pairs = parseKeyValues(text);
  if (!pairs.ok())
    return badTolerance(text, pairs.status().message());
  if (pairs->empty())
    return badTolerance(text, "empty");
  for (const KeyValue &pair : *pairs) {
    std::optional<double> *limit = pair.key == "rtol"   ? &result.rtol
                                   : pair.key == "atol" ? &result.atol
                                   : pair.key == "cos"  ? &result.cosine
                                   : pair.key == "fro"  ? &result.frobenius
                                   : pair.key == "sqnr" ? &result.sqnr
                                                        : nullptr;
    Result<double> value = parseNumber(pair.value);
    if (!limit || !value.ok() || std::isnan(*value))
      return badTolerance(text, "'" + pair.key + "=" + pair.value +
                                    "' is not understood");
    *limit = *value;
  }
  return result;
}

Tolerance nibble::rt::defaultTolerance(const std::string &dtype) {
  Tolerance t;
  StorageFormat elem = parseElem(dtype);
  auto limits = [&](double rtol, double atol) {
    t.rtol = rtol;
    t.atol = atol;
  };
  if (elem == StorageFormat::F64)
    limits(1e-9, 1e-12);
  else if (elem == StorageFormat::F32)
    limits(1e-4, 1e-5);
  else if (elem == StorageFormat::F16)
    limits(2e-3, 1e-3);
  else if (elem == StorageFormat::BF16)
    limits(1.6e-2, 1e-2);
  else if (isFloatFormat(elem))
    t.cosine = 0.99;
  else
    limits(0, 0);
  return t;
}

Comparison::Comparison(Tolerance tolerance) : limits(std::move(tolerance)) {}

void Comparison::addOne(double a, double e) {
  uint64_t index = m.count++;
  if (!std::isfinite(a) || !std::isfinite(e)) {
    bool same = (std::isnan(a) && std::isnan(e)) || a == e;
    if (!same && m.nonFinite++ == 0 && worstExcess == 0) {
      m.worst = index;
      m.worstActual = a;
      m.worstExpected = e;
    }
    return;
  }
  double d = std::fabs(a - e), size = std::fabs(e);
  m.maxAbs = std::fmax(m.maxAbs, d);
  if (size != 0)
    m.maxRel = std::fmax(m.maxRel, d / size);
  sumA += a * a;
  sumE += e * e;
  sumAE += a * e;
  sumD += d * d;
  double limit = limits.atol.value_or(0) + limits.rtol.value_or(0) * size;
  if (limits.elementwise() && d > limit)
    ++m.beyond;
  // Without a limit for elements the largest difference is the worst.
  if (d - limit > worstExcess) {
    worstExcess = d - limit;
    m.worst = index;
    m.worstActual = a;
    m.worstExpected = e;
  }
}

void Comparison::add(const double *actual, const double *expected,
                     uint64_t count) {
  for (uint64_t i = 0; i < count; ++i)
    addOne(actual[i], expected[i]);
}

void Comparison::add(const float *actual, const double *expected,
                     uint64_t count) {
  for (uint64_t i = 0; i < count; ++i)
    addOne(actual[i], expected[i]);
}

Metrics Comparison::metrics() const {
  Metrics result = m;
  double inf = std::numeric_limits<double>::infinity();
  result.frobenius = sumD == 0 ? 0 : sumE == 0 ? inf : std::sqrt(sumD / sumE);
  result.sqnr = sumD == 0 ? inf : 10 * std::log10(sumE / sumD);
  if (sumA == 0 || sumE == 0)
    result.cosine = sumA == sumE ? 1 : 0;
  else
    result.cosine = sumAE / (std::sqrt(sumA) * std::sqrt(sumE));
  return result;
}

Status Comparison::verdict() const {
  Metrics r = metrics();
  std::string why;
  auto fail = [&](const std::string &text) {
    why += (why.empty() ? "" : "; ") + text;
  };
  if (r.nonFinite)
    fail(std::to_string(r.nonFinite) + " elements are NaN or infinite on one "
                                       "side only");
  if (r.beyond)
    fail(std::to_string(r.beyond) + " of " + std::to_string(r.count) +
         " elements are beyond " + limits.str());
  if (limits.cosine && !(r.cosine >= *limits.cosine))
    fail("cosine " + number(r.cosine) + " is below " + number(*limits.cosine));
  if (limits.frobenius && !(r.frobenius <= *limits.frobenius))
    fail("relative Frobenius error " + number(r.frobenius) + " is above " +
         number(*limits.frobenius));
  if (limits.sqnr && !(r.sqnr >= *limits.sqnr))
    fail("SQNR " + number(r.sqnr) + " dB is below " + number(*limits.sqnr));
  if (why.empty())
    return Status();
  return Status(Code::Mismatch, why + " (worst at element " +
                                    std::to_string(r.worst) + ": found " +
                                    number(r.worstActual) + ", wanted " +
                                    number(r.worstExpected) + ")");
}
