// Matrix products of tensor cores.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Products of two elements are exact in double. Their sum is exact too if the
// bits that the two rows use lie within 53 bits: always so for E4M3 and
// integers, nearly always for FP16. Such rows are added by FMA. Other rows are
// added with the errors of their additions; an element whose errors do not add
// up exactly either is computed in fixed point.
#include "tensor/Dot.h"

#include "tensor/Rounding.h"
#include "tensor/Vector.h"

#include <algorithm>

using namespace nibble::emu;
using namespace nibble::emu::tensor;

namespace {
constexpr unsigned kStep = 2 * kLanes; ///< columns at a time
constexpr unsigned kRows = 4;          ///< rows at a time
constexpr int kFar = 1 << 20;          ///< beyond all exponents
constexpr int kDoubleBits = 53;

int widthOf(Factor::Span span) { return span.high - span.low; }

int widest(const std::vector<Factor::Span> &spans) {
  int width = -2 * kFar;
  for (const Factor::Span &span : spans)
    width = std::max(width, widthOf(span));
  return width;
}

/// Whether sums of k products have no bits that a double lacks.
bool isExact(int widthA, int widthB, unsigned k) {
  int carries = 32 - __builtin_clz(k);
  return widthA + widthB + carries <= kDoubleBits;
}

/// B as [k][width], zeros behind the last column.
struct Columns {
  explicit Columns(const Factor &b)
      : width((b.rows + kStep - 1) / kStep * kStep), count(b.rows),
        values(size_t(width) * b.k) {
    for (unsigned n = 0; n < b.rows; ++n)
      for (unsigned k = 0; k < b.k; ++k)
        values[size_t(k) * width + n] = b.row(n)[k];
  }
  const unsigned width, count;
  std::vector<double> values;
};

/// sums[r][n] for kRows rows of a, where double arithmetic is exact.
void sumRows(const Factor &a, unsigned first, const Columns &b, double *sums) {
  const double *rows[kRows];
  for (unsigned r = 0; r < kRows; ++r)
    rows[r] = a.row(std::min(first + r, a.rows - 1));
  for (unsigned n = 0; n < b.width; n += kStep) {
    Vector low[kRows] = {}, high[kRows] = {};
    for (unsigned k = 0; k < a.k; ++k) {
      const double *from = &b.values[size_t(k) * b.width + n];
      Vector bLow = loadVector(from), bHigh = loadVector(from + kLanes);
      for (unsigned r = 0; r < kRows; ++r) {
        Vector x = splat(rows[r][k]);
        low[r] = multiplyAddVector(x, bLow, low[r]);
        high[r] = multiplyAddVector(x, bHigh, high[r]);
      }
    }
    for (unsigned r = 0; r < kRows; ++r) {
      storeVector(sums + r * b.width + n, low[r]);
      storeVector(sums + r * b.width + n + kLanes, high[r]);
    }
  }
}

/// Sums with their errors: sum + error is exact where `lost` is 0.
struct Compensated {
  explicit Compensated(unsigned width)
      : sum(width), error(width), lost(width) {}
  std::vector<double> sum, error, lost;

  void compute(const double *row, unsigned depth, const Columns &b) {
    for (std::vector<double> *v : {&sum, &error, &lost})
      std::fill(v->begin(), v->end(), 0.0);
    for (unsigned k = 0; k < depth; ++k)
      addProducts(row[k], &b.values[size_t(k) * b.width], b.width);
  }

private:
  void addProducts(double x, const double *b, unsigned width) {
    for (unsigned n = 0; n < width; n += kLanes) {
      Vector s = loadVector(&sum[n]), e = loadVector(&error[n]);
      Vector product = x * loadVector(b + n), total = s + product;
      Vector first = sumError(s, product, total), errors = e + first;
      Vector second = sumError(e, first, errors);
      storeVector(&lost[n], loadVector(&lost[n]) + second * second);
      storeVector(&sum[n], total);
      storeVector(&error[n], errors);
    }
  }
};

/// Any sum, the slow way. Infinities and NaNs do what they do in IEEE 754.
double sumWide(const double *a, const double *b, unsigned k, double c) {
  WideSum sum;
  double plain = c;
  for (unsigned i = 0; i < k; ++i)
    plain += a[i] * b[i];
  if (!std::isfinite(plain))
    return plain;
  for (unsigned i = 0; i < k; ++i)
    sum.add(a[i] * b[i]);
  sum.add(c);
  return sum.toOdd();
}

/// The sum of one element from what compensated summation found.
double finish(const Compensated &found, unsigned n, const double *a,
              const double *b, unsigned k, double c) {
  bool isKnown = found.lost[n] == 0 && std::isfinite(c);
  if (!isKnown)
    return sumWide(a, b, k, c);
  if (found.error[n] == 0)
    return addToOdd(found.sum[n], c);
  WideSum sum;
  for (double part : {found.sum[n], found.error[n], c})
    sum.add(part);
  return sum.toOdd();
}

/// Exponent of x as the format has it: subnormal numbers have the least one.
int exponentOf(double x, int least) {
  if (x == 0)
    return -kFar;
  int exponent = int(bitCast<uint64_t>(x) >> 52 & 2047) - 1023;
  return std::max(exponent, least);
}

std::vector<int> exponentsOf(const Factor &factor) {
  std::vector<int> exponents(size_t(factor.rows) * factor.k);
  for (size_t i = 0; i < exponents.size(); ++i)
    exponents[i] = exponentOf(factor.row(0)[i], leastExponent(factor.element));
  return exponents;
}

/// Aligns, truncates, adds (Precision). The exponent of a product is the sum of
/// those of its factors: it is not normalized. `ex`, `ey`: exponents. That of
/// an accumulator is at least -126, also if it is zero.
double sumReduced(const double *x, const int *ex, const double *y,
                  const int *ey, unsigned count, double c, int exponentOfC,
                  unsigned fraction) {
  double plain = c;
  int top = std::max(exponentOfC, FloatAccumulator::kLeastExponent);
  for (unsigned k = 0; k < count; ++k) {
    top = std::max(top, ex[k] + ey[k]);
    plain += x[k] * y[k];
  }
  if (!std::isfinite(plain))
    return plain;
  double scale = powerOfTwo(int(fraction) - top);
  double sum = std::trunc(c * scale);
  for (unsigned k = 0; k < count; ++k)
    sum += std::trunc(x[k] * y[k] * scale);
  return sum / scale;
}

/// row[n] += sums[n] for four FP32 accumulators: addToOdd and store of
/// FloatAccumulator.
void addFour(const double *sums, float *row) {
  using Words = VectorOf<int64_t>;
  Vector sum = loadVector(sums);
  Vector c = __builtin_convertvector(loadVector(row), Vector);
  Vector total = sum + c, error = sumError(sum, c, total);
  Words bits = Words(total);
  Words isEven = Words((bits & 1) == 0);
  Words isInexact = Words(error < 0) | Words(error > 0); // NaN: exact
  Words isInward = Words((bits ^ Words(error)) < 0);     // of other signs
  Words step = (isInward | 1) & isEven & isInexact;      // 1 or -1
  Vector odd = Vector(bits + step);
  VectorOf<float> result = __builtin_convertvector(odd, VectorOf<float>);
  using Codes = VectorOf<int32_t>;
  Codes isNan = Codes(result != result);
  Codes codes = (Codes(result) & ~isNan) | (isNan & int32_t(kFloatNan));
  storeVector(row, VectorOf<float>(codes));
}

unsigned addFours(const double *sums, float *row, unsigned count) {
  unsigned n = 0;
  for (; n + kLanes <= count; n += kLanes)
    addFour(sums + n, row + n);
  return n;
}
/// Other accumulators: one by one.
template <typename Code> unsigned addFours(const double *, Code *, unsigned) {
  return 0;
}

/// D += A B' for one kind of accumulators.
template <typename Acc> class Product {
public:
  using Code = typename Acc::Code;
  Product(const Factor &a, const Factor &b, Code *d, size_t stride)
      : a(a), b(b), d(d), stride(stride) {}

  void run() {
    Columns columns(b);
    Compensated careful(columns.width);
    std::vector<double> sums(size_t(kRows) * columns.width);
    int width = widest(b.spans);
    for (unsigned m = 0; m < a.rows; m += kRows) {
      sumRows(a, m, columns, sums.data());
      for (unsigned r = 0; r < kRows && m + r < a.rows; ++r)
        if (isExact(widthOf(a.spans[m + r]), width, a.k))
          addRow(m + r, &sums[size_t(r) * columns.width]);
        else
          addCarefully(m + r, columns, careful);
    }
  }

  void runReduced(Precision precision) {
    std::vector<int> ex = exponentsOf(a), ey = exponentsOf(b);
    for (unsigned m = 0; m < a.rows; ++m)
      for (unsigned n = 0; n < b.rows; ++n) {
        Code &code = d[m * stride + n];
        double c = Acc::load(code);
        double sum = sumReduced(
            a.row(m), &ex[size_t(m) * a.k], b.row(n), &ey[size_t(n) * a.k], a.k,
            c, exponentOf(c, Acc::kLeastExponent), precision.fraction);
        code = Acc::store(Acc::reduce(sum, precision));
      }
  }

private:
  void addRow(unsigned m, const double *sums) {
    Code *row = d + m * stride;
    for (unsigned n = addFours(sums, row, b.rows); n < b.rows; ++n)
      row[n] = Acc::store(addToOdd(sums[n], Acc::load(row[n])));
  }
  void addCarefully(unsigned m, const Columns &columns, Compensated &found) {
    Code *row = d + m * stride;
    found.compute(a.row(m), a.k, columns);
    for (unsigned n = 0; n < b.rows; ++n)
      row[n] = Acc::store(
          finish(found, n, a.row(m), b.row(n), a.k, Acc::load(row[n])));
  }

  const Factor &a, &b;
  Code *d;
  size_t stride;
};

template <typename Acc>
void multiply(const Factor &a, const Factor &b, typename Acc::Code *d,
              size_t stride, Precision precision) {
  Product<Acc> product(a, b, d, stride);
  if (precision.fraction)
    product.runReduced(precision);
  else
    product.run();
}
} // namespace

void nibble::emu::tensor::multiplyAdd(const Factor &a, const Factor &b,
                                      float *d, size_t stride,
                                      Precision precision) {
  multiply<FloatAccumulator>(a, b, d, stride, precision);
}

void nibble::emu::tensor::multiplyAddHalf(const Factor &a, const Factor &b,
                                          uint16_t *d, size_t stride,
                                          Precision precision) {
  multiply<HalfAccumulator>(a, b, d, stride, precision);
}

void nibble::emu::tensor::multiplyAddInteger(const Factor &a, const Factor &b,
                                             int32_t *d, size_t stride,
                                             bool saturate) {
  if (saturate)
    multiply<IntegerAccumulator<true>>(a, b, d, stride, {});
  else
    multiply<IntegerAccumulator<false>>(a, b, d, stride, {});
}
