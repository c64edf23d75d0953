// The scalar ops of arith and math as loops over lanes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Where LLVM says "poison" or "undefined", the reference has a definite answer:
// float to integer saturates and NaN gives 0; division by zero gives 0, a
// remainder by zero the dividend; shifts by the width or more shift everything
// out.
#include "LaneProgram.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/TypeUtilities.h"
#include "llvm/ADT/StringMap.h"
#include "llvm/Support/MathExtras.h"

#include <cmath>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;

namespace {

//===----------------------------------------------------------------------===//
// Integers: canonical form and views of it
//===----------------------------------------------------------------------===//

/// Wraps to `width` bits: sign-extended, i1 as 0 or 1.
inline int64_t wrap(uint64_t value, unsigned width) {
  if (width == 1)
    return value & 1;
  return static_cast<int64_t>(value << (64 - width)) >> (64 - width);
}
inline uint64_t toUnsigned(int64_t value, unsigned width) {
  return static_cast<uint64_t>(value) & (~uint64_t(0) >> (64 - width));
}
/// The number that signed ops see: i1 true is -1.
inline int64_t toSigned(int64_t value, unsigned width) {
  return width == 1 ? -value : value;
}

inline double snapped(const LaneInstr &instr, double x) {
  return instr.snap ? static_cast<double>(static_cast<float>(x)) : x;
}

//===----------------------------------------------------------------------===//
// Loop shapes
//===----------------------------------------------------------------------===//

inline void finish(const LaneInstr &instr, double *d, unsigned begin,
                   unsigned end) {
  if (instr.rounding.format != rt::StorageFormat::None)
    instr.rounding.apply(d + begin, end - begin);
}

template <typename Op>
void floatUnary(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                unsigned end) {
  double *d = frame.f[n.dst];
  const double *a = frame.f[n.a];
  for (unsigned i = begin; i < end; ++i)
    d[i] = Op::apply(snapped(n, a[i]));
  finish(n, d, begin, end);
}

template <typename Op>
void floatBinary(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                 unsigned end) {
  double *d = frame.f[n.dst];
  const double *a = frame.f[n.a], *b = frame.f[n.b];
  for (unsigned i = begin; i < end; ++i)
    d[i] = Op::apply(snapped(n, a[i]), snapped(n, b[i]));
  finish(n, d, begin, end);
}

template <typename Op>
void floatTernary(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                  unsigned end) {
  double *d = frame.f[n.dst];
  const double *a = frame.f[n.a], *b = frame.f[n.b], *c = frame.f[n.c];
  for (unsigned i = begin; i < end; ++i)
    d[i] = Op::apply(a[i], b[i], c[i]);
  finish(n, d, begin, end);
}

template <typename Op>
void floatToInt(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                unsigned end) {
  int64_t *d = frame.i[n.dst];
  const double *a = frame.f[n.a];
  for (unsigned i = begin; i < end; ++i)
    d[i] = Op::apply(snapped(n, a[i]), n.width);
}

template <typename Op>
void floatCompare(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                  unsigned end) {
  int64_t *d = frame.i[n.dst];
  const double *a = frame.f[n.a], *b = frame.f[n.b];
  for (unsigned i = begin; i < end; ++i)
    d[i] = Op::apply(snapped(n, a[i]), snapped(n, b[i]));
}

template <typename Op>
void intToFloat(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                unsigned end) {
  double *d = frame.f[n.dst];
  const int64_t *a = frame.i[n.a];
  for (unsigned i = begin; i < end; ++i)
    d[i] = Op::apply(a[i], n.srcWidth);
  finish(n, d, begin, end);
}

template <typename Op>
void intUnary(const LaneInstr &n, LaneFrame &frame, unsigned begin,
              unsigned end) {
  int64_t *d = frame.i[n.dst];
  const int64_t *a = frame.i[n.a];
  for (unsigned i = begin; i < end; ++i)
    d[i] = wrap(Op::apply(a[i], n.srcWidth), n.width);
}

/// On numbers as signed ops see them.
template <typename Op>
void intBinary(const LaneInstr &n, LaneFrame &frame, unsigned begin,
               unsigned end) {
  int64_t *d = frame.i[n.dst];
  const int64_t *a = frame.i[n.a], *b = frame.i[n.b];
  for (unsigned i = begin; i < end; ++i)
    d[i] = wrap(Op::apply(toSigned(a[i], n.srcWidth),
                          toSigned(b[i], n.srcWidth), n.srcWidth),
                n.width);
}

/// On numbers as unsigned ops see them.
template <typename Op>
void uintBinary(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                unsigned end) {
  int64_t *d = frame.i[n.dst];
  const int64_t *a = frame.i[n.a], *b = frame.i[n.b];
  for (unsigned i = begin; i < end; ++i)
    d[i] = wrap(Op::apply(toUnsigned(a[i], n.srcWidth),
                          toUnsigned(b[i], n.srcWidth), n.srcWidth),
                n.width);
}

void selectFloat(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                 unsigned end) {
  double *d = frame.f[n.dst];
  const int64_t *a = frame.i[n.a];
  const double *b = frame.f[n.b], *c = frame.f[n.c];
  for (unsigned i = begin; i < end; ++i)
    d[i] = a[i] ? b[i] : c[i];
}

void selectInt(const LaneInstr &n, LaneFrame &frame, unsigned begin,
               unsigned end) {
  int64_t *d = frame.i[n.dst];
  const int64_t *a = frame.i[n.a], *b = frame.i[n.b], *c = frame.i[n.c];
  for (unsigned i = begin; i < end; ++i)
    d[i] = a[i] ? b[i] : c[i];
}

void powFloatInt(const LaneInstr &n, LaneFrame &frame, unsigned begin,
                 unsigned end) {
  double *d = frame.f[n.dst];
  const double *a = frame.f[n.a];
  const int64_t *b = frame.i[n.b];
  for (unsigned i = begin; i < end; ++i)
    d[i] = std::pow(a[i], static_cast<double>(b[i]));
  finish(n, d, begin, end);
}

void bitcast(const LaneInstr &n, LaneFrame &frame, unsigned begin,
             unsigned end) {
  bool fromFloat = rt::isFloatFormat(n.srcFormat);
  for (unsigned i = begin; i < end; ++i) {
    uint64_t code = fromFloat ? rt::encode(n.srcFormat, frame.f[n.a][i])
                              : static_cast<uint64_t>(frame.i[n.a][i]);
    if (rt::isFloatFormat(n.dstFormat))
      frame.f[n.dst][i] = rt::decode(n.dstFormat, code);
    else
      frame.i[n.dst][i] = wrap(code, n.width);
  }
}

/// Row-major offset of the gathered element, or -1 after noting why not.
int64_t gatherOffset(const LaneGather &gather, LaneFrame &frame,
                     unsigned lane) {
  ArrayRef<int64_t> shape = gather.tensor.getShape();
  int64_t offset = 0;
  for (auto [dim, reg] : llvm::enumerate(gather.indices)) {
    int64_t index = frame.i[reg][lane];
    if (index < 0 || index >= shape[dim]) {
      if (!frame.bad) {
        frame.bad = &gather;
        frame.badDim = dim;
        frame.badIndex = index;
      }
      return -1;
    }
    offset = offset * shape[dim] + index;
  }
  return offset;
}

template <bool IsFloat>
void gather(const LaneInstr &n, LaneFrame &frame, unsigned begin,
            unsigned end) {
  const LaneGather &from = frame.program.gathers[n.gather];
  for (unsigned i = begin; i < end; ++i) {
    int64_t offset = gatherOffset(from, frame, i);
    if constexpr (IsFloat)
      frame.f[n.dst][i] = offset < 0 ? 0 : from.tensor.floatAt(offset);
    else
      frame.i[n.dst][i] = offset < 0 ? 0 : from.tensor.intAt(offset);
  }
}

//===----------------------------------------------------------------------===//
// Scalar functions
//===----------------------------------------------------------------------===//

double remainderOf(double x, double y) { return std::fmod(x, y); }

double maximum(double x, double y) {
  if (std::isnan(x) || std::isnan(y))
    return x + y;
  if (x == 0 && y == 0)
    return std::signbit(x) ? y : x;
  return x > y ? x : y;
}
double minimum(double x, double y) {
  if (std::isnan(x) || std::isnan(y))
    return x + y;
  if (x == 0 && y == 0)
    return std::signbit(x) ? x : y;
  return x < y ? x : y;
}

int64_t saturateSigned(double x, unsigned width) {
  if (std::isnan(x))
    return 0;
  double end = std::ldexp(1.0, width - 1);
  if (x >= end)
    return static_cast<int64_t>((uint64_t(1) << (width - 1)) - 1);
  if (x <= -end)
    return wrap(uint64_t(1) << (width - 1), width);
  return wrap(static_cast<uint64_t>(static_cast<int64_t>(x)), width);
}

int64_t saturateUnsigned(double x, unsigned width) {
  if (!(x > 0))
    return 0;
  if (x >= std::ldexp(1.0, width))
    return wrap(~uint64_t(0), width);
  return wrap(static_cast<uint64_t>(x), width);
}

bool overflows(int64_t x, int64_t y) { return y == -1 || y == 0; }
/// x / y where y is -1 or 0.
int64_t specialQuotient(int64_t x, int64_t y) {
  return y == 0 ? 0 : static_cast<int64_t>(0 - static_cast<uint64_t>(x));
}
int64_t divide(int64_t x, int64_t y) {
  return overflows(x, y) ? specialQuotient(x, y) : x / y;
}
int64_t modulo(int64_t x, int64_t y) {
  return overflows(x, y) ? (y == 0 ? x : 0) : x % y;
}
int64_t floorDivide(int64_t x, int64_t y) {
  if (overflows(x, y))
    return specialQuotient(x, y);
  return x / y - (x % y != 0 && (x < 0) != (y < 0));
}
int64_t ceilDivide(int64_t x, int64_t y) {
  if (overflows(x, y))
    return specialQuotient(x, y);
  return x / y + (x % y != 0 && (x < 0) == (y < 0));
}

uint64_t power(int64_t base, int64_t exponent) {
  if (exponent < 0)
    return base == 1 ? 1 : base == -1 ? (exponent % 2 ? -1 : 1) : 0;
  uint64_t result = 1, factor = static_cast<uint64_t>(base);
  for (; exponent > 0; exponent >>= 1, factor *= factor)
    if (exponent & 1)
      result *= factor;
  return result;
}

#define FLOAT_UNARY(NAME, EXPR)                                                \
  struct NAME {                                                                \
    static double apply(double x) { return EXPR; }                             \
  };
FLOAT_UNARY(Copy, x)
FLOAT_UNARY(Neg, -x)
FLOAT_UNARY(Abs, std::fabs(x))
FLOAT_UNARY(Ceil, std::ceil(x))
FLOAT_UNARY(Floor, std::floor(x))
FLOAT_UNARY(Round, std::round(x))
FLOAT_UNARY(RoundEven, std::rint(x))
FLOAT_UNARY(Trunc, std::trunc(x))
FLOAT_UNARY(Sqrt, std::sqrt(x))
FLOAT_UNARY(Rsqrt, 1.0 / std::sqrt(x))
FLOAT_UNARY(Cbrt, std::cbrt(x))
FLOAT_UNARY(Exp, std::exp(x))
FLOAT_UNARY(Exp2, std::exp2(x))
FLOAT_UNARY(ExpM1, std::expm1(x))
FLOAT_UNARY(Log, std::log(x))
FLOAT_UNARY(Log2, std::log2(x))
FLOAT_UNARY(Log10, std::log10(x))
FLOAT_UNARY(Log1p, std::log1p(x))
FLOAT_UNARY(Sin, std::sin(x))
FLOAT_UNARY(Cos, std::cos(x))
FLOAT_UNARY(Tan, std::tan(x))
FLOAT_UNARY(Asin, std::asin(x))
FLOAT_UNARY(Acos, std::acos(x))
FLOAT_UNARY(Atan, std::atan(x))
FLOAT_UNARY(Sinh, std::sinh(x))
FLOAT_UNARY(Cosh, std::cosh(x))
FLOAT_UNARY(Tanh, std::tanh(x))
FLOAT_UNARY(Asinh, std::asinh(x))
FLOAT_UNARY(Acosh, std::acosh(x))
FLOAT_UNARY(Atanh, std::atanh(x))
FLOAT_UNARY(Erf, std::erf(x))
FLOAT_UNARY(Erfc, std::erfc(x))
#undef FLOAT_UNARY

#define FLOAT_BINARY(NAME, EXPR)                                               \
  struct NAME {                                                                \
    static double apply(double x, double y) { return EXPR; }                   \
  };
FLOAT_BINARY(AddF, x + y)
FLOAT_BINARY(SubF, x - y)
FLOAT_BINARY(MulF, x *y)
FLOAT_BINARY(DivF, x / y)
FLOAT_BINARY(RemF, remainderOf(x, y))
FLOAT_BINARY(MaximumF, maximum(x, y))
FLOAT_BINARY(MinimumF, minimum(x, y))
FLOAT_BINARY(MaxNumF, std::fmax(x, y))
FLOAT_BINARY(MinNumF, std::fmin(x, y))
FLOAT_BINARY(PowF, std::pow(x, y))
FLOAT_BINARY(Atan2F, std::atan2(x, y))
FLOAT_BINARY(CopySignF, std::copysign(x, y))
#undef FLOAT_BINARY

struct Fma {
  static double apply(double x, double y, double z) {
    return std::fma(x, y, z);
  }
};
struct Clamp {
  static double apply(double x, double low, double high) {
    return minimum(maximum(x, low), high);
  }
};

#define FLOAT_COMPARE(NAME, EXPR)                                              \
  struct NAME {                                                                \
    static int64_t apply(double x, double y) { return EXPR; }                  \
  };
FLOAT_COMPARE(CmpFalse, (void(x), void(y), false))
FLOAT_COMPARE(CmpOeq, x == y)
FLOAT_COMPARE(CmpOgt, x > y)
FLOAT_COMPARE(CmpOge, x >= y)
FLOAT_COMPARE(CmpOlt, x < y)
FLOAT_COMPARE(CmpOle, x <= y)
FLOAT_COMPARE(CmpOne, x<y || x> y)
FLOAT_COMPARE(CmpOrd, x == x && y == y)
FLOAT_COMPARE(CmpUeq, !(x < y || x > y))
FLOAT_COMPARE(CmpUgt, !(x <= y))
FLOAT_COMPARE(CmpUge, !(x < y))
FLOAT_COMPARE(CmpUlt, !(x >= y))
FLOAT_COMPARE(CmpUle, !(x > y))
FLOAT_COMPARE(CmpUne, x != y)
FLOAT_COMPARE(CmpUno, x != x || y != y)
FLOAT_COMPARE(CmpTrue, (void(x), void(y), true))
#undef FLOAT_COMPARE

#define FLOAT_TO_INT(NAME, EXPR)                                               \
  struct NAME {                                                                \
    static int64_t apply(double x, [[maybe_unused]] unsigned width) {          \
      return EXPR;                                                             \
    }                                                                          \
  };
FLOAT_TO_INT(ToSigned, saturateSigned(x, width))
FLOAT_TO_INT(ToUnsigned, saturateUnsigned(x, width))
FLOAT_TO_INT(IsNan, std::isnan(x))
FLOAT_TO_INT(IsInf, std::isinf(x))
FLOAT_TO_INT(IsFinite, std::isfinite(x))
#undef FLOAT_TO_INT

struct FromSigned {
  static double apply(int64_t x, unsigned width) {
    return static_cast<double>(toSigned(x, width));
  }
};
struct FromUnsigned {
  static double apply(int64_t x, unsigned width) {
    return static_cast<double>(toUnsigned(x, width));
  }
};

#define INT_UNARY(NAME, EXPR)                                                  \
  struct NAME {                                                                \
    static uint64_t apply(int64_t x, [[maybe_unused]] unsigned width) {        \
      return EXPR;                                                             \
    }                                                                          \
  };
INT_UNARY(SignExtend, uint64_t(toSigned(x, width)))
INT_UNARY(ZeroExtend, toUnsigned(x, width))
INT_UNARY(AbsI, x < 0 ? 0 - uint64_t(x) : uint64_t(x))
INT_UNARY(CountOnes, llvm::popcount(toUnsigned(x, width)))
INT_UNARY(LeadingZeros,
          llvm::countl_zero(toUnsigned(x, width)) - (64 - int(width)))
INT_UNARY(TrailingZeros,
          std::min<int>(llvm::countr_zero(toUnsigned(x, width)), width))
#undef INT_UNARY

#define INT_BINARY(NAME, EXPR)                                                 \
  struct NAME {                                                                \
    static uint64_t apply(int64_t x, int64_t y,                                \
                          [[maybe_unused]] unsigned width) {                   \
      return static_cast<uint64_t>(EXPR);                                      \
    }                                                                          \
  };
INT_BINARY(AddI, uint64_t(x) + uint64_t(y))
INT_BINARY(SubI, uint64_t(x) - uint64_t(y))
INT_BINARY(MulI, uint64_t(x) * uint64_t(y))
INT_BINARY(DivSI, divide(x, y))
INT_BINARY(RemSI, modulo(x, y))
INT_BINARY(FloorDivSI, floorDivide(x, y))
INT_BINARY(CeilDivSI, ceilDivide(x, y))
INT_BINARY(AndI, x &y)
INT_BINARY(OrI, x | y)
INT_BINARY(XOrI, x ^ y)
INT_BINARY(ShRSI, x >> (uint64_t(y) < width ? y : width - 1))
INT_BINARY(MaxSI, std::max(x, y))
INT_BINARY(MinSI, std::min(x, y))
INT_BINARY(PowI, power(x, y))
INT_BINARY(CmpEq, x == y)
INT_BINARY(CmpNe, x != y)
INT_BINARY(CmpSlt, x < y)
INT_BINARY(CmpSle, x <= y)
INT_BINARY(CmpSgt, x > y)
INT_BINARY(CmpSge, x >= y)
#undef INT_BINARY

#define UINT_BINARY(NAME, EXPR)                                                \
  struct NAME {                                                                \
    static uint64_t apply(uint64_t x, uint64_t y,                              \
                          [[maybe_unused]] unsigned width) {                   \
      return EXPR;                                                             \
    }                                                                          \
  };
UINT_BINARY(DivUI, y ? x / y : 0)
UINT_BINARY(RemUI, y ? x % y : x)
UINT_BINARY(CeilDivUI, y ? x / y + (x % y != 0) : 0)
UINT_BINARY(ShLI, y < width ? x << y : 0)
UINT_BINARY(ShRUI, y < width ? x >> y : 0)
UINT_BINARY(MaxUI, std::max(x, y))
UINT_BINARY(MinUI, std::min(x, y))
UINT_BINARY(CmpUlt64, x < y)
UINT_BINARY(CmpUle64, x <= y)
UINT_BINARY(CmpUgt64, x > y)
UINT_BINARY(CmpUge64, x >= y)
#undef UINT_BINARY

//===----------------------------------------------------------------------===//
// Selection
//===----------------------------------------------------------------------===//

struct Entry {
  LaneFn fn;
  bool snap = false;
};

const llvm::StringMap<Entry> &getTable() {
  static const llvm::StringMap<Entry> table = {
      {"arith.addf", {floatBinary<AddF>}},
      {"arith.subf", {floatBinary<SubF>}},
      {"arith.mulf", {floatBinary<MulF>}},
      {"arith.divf", {floatBinary<DivF>}},
      {"arith.remf", {floatBinary<RemF>, true}},
      {"arith.negf", {floatUnary<Neg>}},
      {"arith.maximumf", {floatBinary<MaximumF>}},
      {"arith.minimumf", {floatBinary<MinimumF>}},
      {"arith.maxnumf", {floatBinary<MaxNumF>}},
      {"arith.minnumf", {floatBinary<MinNumF>}},
      {"arith.extf", {floatUnary<Copy>}},
      {"arith.truncf", {floatUnary<Copy>}},
      {"arith.addi", {intBinary<AddI>}},
      {"arith.subi", {intBinary<SubI>}},
      {"arith.muli", {intBinary<MulI>}},
      {"arith.divsi", {intBinary<DivSI>}},
      {"arith.divui", {uintBinary<DivUI>}},
      {"arith.remsi", {intBinary<RemSI>}},
      {"arith.remui", {uintBinary<RemUI>}},
      {"arith.ceildivsi", {intBinary<CeilDivSI>}},
      {"arith.ceildivui", {uintBinary<CeilDivUI>}},
      {"arith.floordivsi", {intBinary<FloorDivSI>}},
      {"arith.andi", {intBinary<AndI>}},
      {"arith.ori", {intBinary<OrI>}},
      {"arith.xori", {intBinary<XOrI>}},
      {"arith.shli", {uintBinary<ShLI>}},
      {"arith.shrsi", {intBinary<ShRSI>}},
      {"arith.shrui", {uintBinary<ShRUI>}},
      {"arith.maxsi", {intBinary<MaxSI>}},
      {"arith.maxui", {uintBinary<MaxUI>}},
      {"arith.minsi", {intBinary<MinSI>}},
      {"arith.minui", {uintBinary<MinUI>}},
      {"arith.extsi", {intUnary<SignExtend>}},
      {"arith.extui", {intUnary<ZeroExtend>}},
      {"arith.trunci", {intUnary<ZeroExtend>}},
      {"arith.index_cast", {intUnary<SignExtend>}},
      {"arith.index_castui", {intUnary<ZeroExtend>}},
      {"arith.sitofp", {intToFloat<FromSigned>}},
      {"arith.uitofp", {intToFloat<FromUnsigned>}},
      {"arith.fptosi", {floatToInt<ToSigned>, true}},
      {"arith.fptoui", {floatToInt<ToUnsigned>, true}},
      {"arith.bitcast", {bitcast}},
      {"math.absf", {floatUnary<Abs>}},
      {"math.ceil", {floatUnary<Ceil>, true}},
      {"math.floor", {floatUnary<Floor>, true}},
      {"math.round", {floatUnary<Round>, true}},
      {"math.roundeven", {floatUnary<RoundEven>, true}},
      {"math.trunc", {floatUnary<Trunc>, true}},
      {"math.sqrt", {floatUnary<Sqrt>}},
      {"math.rsqrt", {floatUnary<Rsqrt>}},
      {"math.cbrt", {floatUnary<Cbrt>}},
      {"math.exp", {floatUnary<Exp>}},
      {"math.exp2", {floatUnary<Exp2>}},
      {"math.expm1", {floatUnary<ExpM1>}},
      {"math.log", {floatUnary<Log>}},
      {"math.log2", {floatUnary<Log2>}},
      {"math.log10", {floatUnary<Log10>}},
      {"math.log1p", {floatUnary<Log1p>}},
      {"math.sin", {floatUnary<Sin>}},
      {"math.cos", {floatUnary<Cos>}},
      {"math.tan", {floatUnary<Tan>}},
      {"math.asin", {floatUnary<Asin>}},
      {"math.acos", {floatUnary<Acos>}},
      {"math.atan", {floatUnary<Atan>}},
      {"math.sinh", {floatUnary<Sinh>}},
      {"math.cosh", {floatUnary<Cosh>}},
      {"math.tanh", {floatUnary<Tanh>}},
      {"math.asinh", {floatUnary<Asinh>}},
      {"math.acosh", {floatUnary<Acosh>}},
      {"math.atanh", {floatUnary<Atanh>}},
      {"math.erf", {floatUnary<Erf>}},
      {"math.erfc", {floatUnary<Erfc>}},
      {"math.powf", {floatBinary<PowF>}},
      {"math.atan2", {floatBinary<Atan2F>}},
      {"math.copysign", {floatBinary<CopySignF>}},
      {"math.fma", {floatTernary<Fma>}},
      {"math.clampf", {floatTernary<Clamp>}},
      {"math.fpowi", {powFloatInt}},
      {"math.isnan", {floatToInt<IsNan>}},
      {"math.isinf", {floatToInt<IsInf>, true}},
      {"math.isfinite", {floatToInt<IsFinite>, true}},
      {"math.absi", {intUnary<AbsI>}},
      {"math.ctpop", {intUnary<CountOnes>}},
      {"math.ctlz", {intUnary<LeadingZeros>}},
      {"math.cttz", {intUnary<TrailingZeros>}},
      {"math.ipowi", {intBinary<PowI>}},
  };
  return table;
}

LaneFn getCompareF(arith::CmpFPredicate predicate) {
  // In the order of the enumeration.
  static constexpr LaneFn table[] = {
      floatCompare<CmpFalse>, floatCompare<CmpOeq>, floatCompare<CmpOgt>,
      floatCompare<CmpOge>,   floatCompare<CmpOlt>, floatCompare<CmpOle>,
      floatCompare<CmpOne>,   floatCompare<CmpOrd>, floatCompare<CmpUeq>,
      floatCompare<CmpUgt>,   floatCompare<CmpUge>, floatCompare<CmpUlt>,
      floatCompare<CmpUle>,   floatCompare<CmpUne>, floatCompare<CmpUno>,
      floatCompare<CmpTrue>};
  return table[static_cast<unsigned>(predicate)];
}

LaneFn getCompareI(arith::CmpIPredicate predicate) {
  static constexpr LaneFn table[] = {
      intBinary<CmpEq>,     intBinary<CmpNe>,     intBinary<CmpSlt>,
      intBinary<CmpSle>,    intBinary<CmpSgt>,    intBinary<CmpSge>,
      uintBinary<CmpUlt64>, uintBinary<CmpUle64>, uintBinary<CmpUgt64>,
      uintBinary<CmpUge64>};
  return table[static_cast<unsigned>(predicate)];
}

Entry findEntry(Operation *op) {
  if (auto compare = dyn_cast<arith::CmpFOp>(op))
    return {getCompareF(compare.getPredicate()), true};
  if (auto compare = dyn_cast<arith::CmpIOp>(op))
    return {getCompareI(compare.getPredicate())};
  if (isa<arith::SelectOp>(op))
    return {isa<FloatType>(getElementTypeOrSelf(op->getResult(0).getType()))
                ? selectFloat
                : selectInt};
  // Only the default rounding is the reference's. Spelled out, it is done for
  // f32, too.
  if (auto truncate = dyn_cast<arith::TruncFOp>(op))
    if (auto mode = truncate.getRoundingmode())
      return {*mode == arith::RoundingMode::to_nearest_even ? floatUnary<Copy>
                                                            : nullptr,
              true};
  return getTable().lookup(op->getName().getStringRef());
}

uint8_t widthOf(Type type) {
  return type.isIndex() ? 64 : type.getIntOrFloatBitWidth();
}

} // namespace

bool nibble::ref::selectLaneOp(Operation *op, LaneInstr &instr) {
  Entry entry = findEntry(op);
  if (!entry.fn || op->getNumOperands() == 0)
    return false;
  Type source = getElementTypeOrSelf(op->getOperand(0).getType());
  Type result = getElementTypeOrSelf(op->getResult(0).getType());
  if (!source.isIntOrIndexOrFloat() || !result.isIntOrIndexOrFloat())
    return false;
  instr.fn = entry.fn;
  instr.snap = entry.snap && (source.isF32() || result.isF32());
  instr.srcWidth = widthOf(source);
  instr.width = widthOf(result);
  instr.srcFormat = getFormat(source);
  instr.dstFormat = getFormat(result);
  Rounding rounding = getRounding(result);
  if (!rounding.isIdentity() && !isa<arith::SelectOp, arith::BitcastOp>(op))
    instr.rounding = rounding;
  return true;
}

LaneFn nibble::ref::getGatherFn(bool isFloat) {
  return isFloat ? gather<true> : gather<false>;
}
