// Inputs from a counter-based generator.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Compiled without floating-point contraction: a fused multiply-add would give
// other bits on machines that have one.
#include "nibble/rt/generator.h"

#include "nibble/rt/options.h"

#include <cmath>

using namespace nibble::rt;

static constexpr uint64_t kOutlierStream = 0x6f75746c69657273ull; // "outliers"
static constexpr double kPi = 3.14159265358979323846;

static uint64_t word(uint64_t seed, uint64_t index) {
  return splitMix64(seed, index);
}

/// In [0, 1), with 53 bits.
static double unit(uint64_t w) { return double(w >> 11) * 0x1p-53; }

/// ln x for x > 0: x = m 2^e, m in [sqrt(1/2), sqrt(2)), ln m = 2 atanh(s).
static double naturalLog(double x) {
  int e = 0;
  double m = std::frexp(x, &e);
  if (m < 0.70710678118654752) {
    m *= 2;
    e -= 1;
  }
  double s = (m - 1) / (m + 1), s2 = s * s, sum = 0;
  for (int k = 23; k >= 1; k -= 2)
    sum = sum * s2 + 1.0 / k;
  return double(e) * 0.69314718055994530942 + 2 * s * sum;
}

/// cos(2 pi u) for u in [0, 1), by quadrants.
static double cosTurns(double u) {
  double x = 4 * u, q = std::floor(x + 0.5);
  double r = (x - q) * (kPi / 2), r2 = r * r;
  double c = 0, s = 0;
  for (int k = 18; k >= 2; k -= 2) {
    c = (1 + c) * (-r2 / (double(k) * (k - 1)));
    s = (1 + s) * (-r2 / (double(k) * (k + 1)));
  }
  double cosine = 1 + c, sine = r * (1 + s);
  switch (int(q) & 3) {
  case 0:
    return cosine;
  case 1:
    return -sine;
  case 2:
    return -cosine;
  default:
    return sine;
  }
}

static double normal(uint64_t seed, uint64_t index) {
  double u = unit(word(seed, 2 * index)) + 0x1p-53;
  return std::sqrt(-2 * naturalLog(u)) *
         cosTurns(unit(word(seed, 2 * index + 1)));
}

/// Factor of each channel; most are 1.
static std::vector<double> outlierFactors(uint64_t seed, uint64_t channels) {
  std::vector<double> factors(channels, 1.0);
  uint64_t stream = seed ^ kOutlierStream;
  auto factor = [&](uint64_t c) {
    return 30 + 70 * unit(word(stream, 2 * c + 1));
  };
  bool any = false;
  for (uint64_t c = 0; c < channels; ++c) {
    if (unit(word(stream, 2 * c)) >= 0.01)
      continue;
    factors[c] = factor(c);
    any = true;
  }
  if (!any && channels) {
    uint64_t chosen = word(stream, 2 * channels) % channels;
    factors[chosen] = factor(chosen);
  }
  return factors;
}

static const char *const kKinds[] = {"zeros", "ones", "normal", "uniform",
                                     "outliers"};

static Result<Generator::Kind> parseKind(const std::string &name) {
  for (int i = 0; i < 5; ++i)
    if (name == kKinds[i])
      return static_cast<Generator::Kind>(i);
  return error(Code::InvalidArgument, "unknown generator '%s'", name.c_str());
}

bool nibble::rt::isGenerator(const std::string &text) {
  return parseKind(text.substr(0, text.find(':'))).ok();
}

static Status badGenerator(const std::string &text, const std::string &why) {
  return error(Code::InvalidArgument,
               "input generator '%s': %s; wanted normal:seed=N[,mean=,std=], "
               "uniform:seed=N[,low=,high=], outliers:seed=N, zeros or ones",
               text.c_str(), why.c_str());
}

/// Sets one parameter; false if the generator does not have it.
static bool setParameter(Generator &g, const KeyValue &pair) {
  bool takesSeed =
      g.kind != Generator::Kind::Zeros && g.kind != Generator::Kind::Ones;
  if (pair.key == "seed" && takesSeed) {
    Result<uint64_t> seed = parseCount(pair.value);
    g.seed = seed.ok() ? *seed : 0;
    return seed.ok();
  }
  Result<double> value = parseNumber(pair.value);
  if (!value.ok() || !std::isfinite(*value))
    return false;
  bool isNormal = g.kind == Generator::Kind::Normal;
  bool isUniform = g.kind == Generator::Kind::Uniform;
  if (pair.key == "mean" && isNormal)
    g.mean = *value;
  else if (pair.key == "std" && isNormal)
    g.std = *value;
  else if (pair.key == "low" && isUniform)
    g.low = *value;
  else if (pair.key == "high" && isUniform)
    g.high = *value;
  else
    return false;
  g.highGiven |= pair.key == "high";
  return true;
}

Result<Generator> nibble::rt::parseGenerator(const std::string &text) {
  size_t colon = text.find(':');
  Result<Generator::Kind> kind = parseKind(text.substr(0, colon));
  if (!kind.ok())
    return badGenerator(text, kind.status().message());
  Generator g;
  g.kind = *kind;
  if (colon == std::string::npos)
    return g;
  Result<std::vector<KeyValue>> pairs = parseKeyValues(text.substr(colon + 1));
  if (!pairs.ok())
    return badGenerator(text, pairs.status().message());
  for (const KeyValue &pair : *pairs)
    if (!setParameter(g, pair))
      return badGenerator(text, "'" + pair.key + "=" + pair.value +
                                    "' is not understood");
  if (g.low > g.high && g.highGiven)
    return badGenerator(text, "low is above high");
  return g;
}

/// Whether this generator can make elements of this type.
static Status checkFit(const Generator &g, StorageFormat elem) {
  bool floats = isFloatFormat(elem);
  if (!floats && (g.kind == Generator::Kind::Normal ||
                  g.kind == Generator::Kind::Outliers))
    return error(Code::InvalidArgument,
                 "%s makes floats, but the input is %s: use "
                 "uniform:seed=N,low=A,high=B or a file",
                 kKinds[int(g.kind)], formatName(elem));
  if (!floats && elem != StorageFormat::Bool &&
      g.kind == Generator::Kind::Uniform && !g.highGiven)
    return error(Code::InvalidArgument,
                 "uniform for %s needs high= (values are low <= x < high)",
                 formatName(elem));
  return Status();
}

/// Element `index`, before rounding to its type.
static double element(const Generator &g, bool floats, bool isBool,
                      const std::vector<double> &factors, uint64_t index) {
  switch (g.kind) {
  case Generator::Kind::Zeros:
    return 0;
  case Generator::Kind::Ones:
    return 1;
  case Generator::Kind::Normal:
    return g.mean + g.std * normal(g.seed, index);
  case Generator::Kind::Outliers:
    return normal(g.seed, index) * factors[index % factors.size()];
  case Generator::Kind::Uniform:
    break;
  }
  double u = unit(word(g.seed, index));
  if (isBool)
    return u < 0.5 ? 0 : 1;
  double x = g.low + u * (g.high - g.low);
  return floats ? x : std::floor(x);
}

Result<Array> nibble::rt::generate(const Generator &g, const std::string &dtype,
                                   Span<const int64_t> shape) {
  StorageFormat elem = parseElem(dtype);
  if (elem == StorageFormat::None)
    return error(Code::InvalidArgument,
                 "a generator cannot make values of type %s: use a file",
                 dtype.c_str());
  NIBBLE_RETURN_IF_ERROR(checkFit(g, elem));
  Result<uint64_t> count = elementCount(shape.data(), shape.size());
  if (!count.ok())
    return count.status();
  Array array;
  array.dtype = dtype;
  array.shape.assign(shape.begin(), shape.end());
  array.data.resize(formatBytes(elem, *count));
  std::vector<double> factors;
  if (g.kind == Generator::Kind::Outliers)
    factors =
        outlierFactors(g.seed, shape.empty() ? 1 : shape[shape.size() - 1]);
  bool floats = isFloatFormat(elem), isBool = elem == StorageFormat::Bool;
  for (uint64_t i = 0; i < *count; ++i)
    storeCode(elem, array.data.data(), i,
              encode(elem, element(g, floats, isBool, factors, i)));
  return array;
}
