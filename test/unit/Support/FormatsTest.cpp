// Every codec against llvm::APFloat: all codes, all halves, and the numbers
// where rounding can go wrong.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/formats.h"

#include "llvm/ADT/APFloat.h"
#include "llvm/ADT/StringExtras.h"
#include "gtest/gtest.h"

#include <random>

using namespace nibble::rt;
using llvm::APFloat;
using llvm::APInt;

namespace {

struct Case {
  StorageFormat format;
  const llvm::fltSemantics &semantics;
};

const Case kCases[] = {
    {StorageFormat::E4M3FN, APFloat::Float8E4M3FN()},
    {StorageFormat::E5M2, APFloat::Float8E5M2()},
    {StorageFormat::E4M3FNUZ, APFloat::Float8E4M3FNUZ()},
    {StorageFormat::E5M2FNUZ, APFloat::Float8E5M2FNUZ()},
    {StorageFormat::E2M1, APFloat::Float4E2M1FN()},
    {StorageFormat::F16, APFloat::IEEEhalf()},
    {StorageFormat::BF16, APFloat::BFloat()},
    {StorageFormat::F32, APFloat::IEEEsingle()},
};

uint64_t signBit(StorageFormat format) {
  return uint64_t(1) << (formatBits(format) - 1);
}

bool isNan(StorageFormat format, uint64_t code) {
  return std::isnan(decode(format, code));
}

/// The code that the contract of encode() asks for, from APFloat's rounding.
uint64_t expected(const Case &c, APFloat x, Overflow overflow) {
  const FormatInfo &info = formatInfo(c.format);
  if (x.isNaN() && !info.hasNan)
    return info.maxCode;
  const bool nan = x.isNaN(), negative = x.isNegative();
  uint64_t sign = negative ? signBit(c.format) : 0;
  const bool saturates =
      info.bits < 16 && (overflow == Overflow::Saturate || !info.hasNan);
  if (x.isInfinity() && (saturates || !info.hasInf))
    return sign | (saturates ? info.maxCode : info.maxCode + 1);
  bool losesInfo;
  x.convert(c.semantics, APFloat::rmNearestTiesToEven, &losesInfo);
  if (!nan && saturates && !x.isFinite())
    return sign | info.maxCode;
  return x.bitcastToAPInt().getZExtValue();
}

void check(const Case &c, APFloat x, uint64_t actual, Overflow overflow) {
  uint64_t wanted = expected(c, x, overflow);
  // Payloads of NaNs are free; their sign is not.
  if (isNan(c.format, wanted) && isNan(c.format, actual) &&
      ((wanted ^ actual) & signBit(c.format)) == 0)
    return;
  ASSERT_EQ(actual, wanted)
      << formatName(c.format) << " of " << x.convertToDouble() << " (bits "
      << llvm::toString(x.bitcastToAPInt(), 16, false) << "), "
      << (overflow == Overflow::Saturate ? "saturating" : "not saturating");
}

void checkFloat(const Case &c, float x) {
  for (Overflow overflow : {Overflow::Saturate, Overflow::NonFinite})
    check(c, APFloat(x), encode(c.format, x, overflow), overflow);
}

void checkDouble(const Case &c, double x) {
  for (Overflow overflow : {Overflow::Saturate, Overflow::NonFinite})
    check(c, APFloat(x), encode(c.format, x, overflow), overflow);
}

/// x, its neighbours, and their negations.
template <typename T, typename Fn> void around(T x, Fn &&fn) {
  T inf = std::numeric_limits<T>::infinity();
  for (T y : {x, std::nextafter(x, -inf), std::nextafter(x, inf)}) {
    fn(y);
    fn(-y);
  }
}

/// Midpoints between adjacent finite codes, and beyond the largest one.
std::vector<double> midpoints(StorageFormat format) {
  std::vector<double> result;
  const uint64_t end = formatInfo(format).maxCode;
  for (uint64_t code = 0; code < end; ++code)
    result.push_back((decode(format, code) + decode(format, code + 1)) / 2);
  double last = decode(format, end), before = decode(format, end - 1);
  for (double ulps : {0.5, 1.0, 2.0, 4.0})
    result.push_back(last + ulps * (last - before));
  return result;
}

class Encode : public testing::TestWithParam<Case> {};

std::string caseName(const testing::TestParamInfo<Case> &info) {
  return formatName(info.param.format);
}

TEST(Decode, AllCodesEqualApfloat) {
  for (const Case &c : kCases) {
    if (formatBits(c.format) == 32)
      continue;
    for (uint64_t code = 0; code < 2 * signBit(c.format); ++code) {
      APFloat wanted(c.semantics, APInt(formatBits(c.format), code));
      double value = decode(c.format, code);
      if (wanted.isNaN()) {
        EXPECT_TRUE(std::isnan(value)) << formatName(c.format) << " " << code;
        continue;
      }
      bool losesInfo;
      wanted.convert(APFloat::IEEEdouble(), APFloat::rmNearestTiesToEven,
                     &losesInfo);
      EXPECT_TRUE(wanted.bitwiseIsEqual(APFloat(value)))
          << formatName(c.format) << " " << code;
    }
  }
}

TEST(Decode, AllE8M0CodesArePowersOfTwo) {
  for (unsigned code = 0; code < 255; ++code)
    EXPECT_EQ(decode(StorageFormat::E8M0, code),
              std::ldexp(1.0, int(code) - 127));
  EXPECT_TRUE(isNan(StorageFormat::E8M0, 255));
}

TEST_P(Encode, AllCodesRoundTrip) {
  const Case &c = GetParam();
  if (formatBits(c.format) == 32)
    return;
  for (uint64_t code = 0; code < 2 * signBit(c.format); ++code)
    if (!isNan(c.format, code)) {
      double value = decode(c.format, code);
      EXPECT_EQ(encode(c.format, value, Overflow::NonFinite), code);
      EXPECT_EQ(encode(c.format, float(value), Overflow::NonFinite), code);
    }
}

TEST_P(Encode, AllF16AndBf16Inputs) {
  for (StorageFormat source : {StorageFormat::F16, StorageFormat::BF16})
    for (unsigned code = 0; code < 65536; ++code) {
      double x = decode(source, code);
      ASSERT_NO_FATAL_FAILURE(checkFloat(GetParam(), float(x)));
      ASSERT_NO_FATAL_FAILURE(checkDouble(GetParam(), x));
    }
}

TEST_P(Encode, MidpointsAndTheirNeighbours) {
  const Case &c = GetParam();
  if (formatBits(c.format) == 32)
    return;
  for (double middle : midpoints(c.format)) {
    around(float(middle), [&](float x) { checkFloat(c, x); });
    around(middle, [&](double x) { checkDouble(c, x); });
    ASSERT_FALSE(HasFatalFailure());
  }
}

TEST_P(Encode, PowersOfTwoAndTheirNeighbours) {
  for (int exponent = -150; exponent <= 128; ++exponent)
    for (double factor : {1.0, 1.25, 1.5, 1.75})
      around(float(std::ldexp(factor, exponent)),
             [&](float x) { checkFloat(GetParam(), x); });
  for (int exponent = -1075; exponent <= 1024; ++exponent)
    for (double factor : {1.0, 1.25, 1.5, 1.75})
      around(std::ldexp(factor, exponent),
             [&](double x) { checkDouble(GetParam(), x); });
}

TEST_P(Encode, RandomBitPatterns) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 1 << 20; ++i) {
    uint64_t bits = random();
    ASSERT_NO_FATAL_FAILURE(
        checkFloat(GetParam(), floatFromBits(uint32_t(bits >> 32))));
    if (i % 4 == 0)
      ASSERT_NO_FATAL_FAILURE(checkDouble(GetParam(), floatFromBits(bits)));
  }
}

/// Numbers in the range of the format, where most of the rounding happens.
TEST_P(Encode, RandomNumbersInRange) {
  const FormatInfo &info = formatInfo(GetParam().format);
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> log(std::log2(info.minPositive) - 2,
                                             std::log2(info.maxFinite) + 1);
  for (int i = 0; i < 1 << 18; ++i) {
    double x = std::exp2(log(random)) * (random() % 2 ? 1 : -1);
    ASSERT_NO_FATAL_FAILURE(checkFloat(GetParam(), float(x)));
    ASSERT_NO_FATAL_FAILURE(checkDouble(GetParam(), x));
  }
}

/// A double just beside a midpoint of the target, which rounds onto the
/// midpoint in float: going through float would round twice.
TEST_P(Encode, DoublesAreRoundedOnce) {
  const Case &c = GetParam();
  if (formatBits(c.format) == 32)
    return;
  unsigned differ = 0;
  for (double middle : midpoints(c.format))
    for (double factor : {1 - 0x1p-40, 1 + 0x1p-40}) {
      double x = middle * factor;
      checkDouble(c, x);
      differ += encode(c.format, x) != encode(c.format, float(x));
    }
  EXPECT_GT(differ, formatInfo(c.format).maxCode / 2)
      << "the inputs do not show double rounding";
}

INSTANTIATE_TEST_SUITE_P(All, Encode, testing::ValuesIn(kCases), caseName);

TEST(EncodeE8M0, EqualsApfloatWithinItsRange) {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> log(-127, 126.9);
  auto checkOne = [](double x) {
    const std::pair<E8M0Round, llvm::RoundingMode> modes[] = {
        {E8M0Round::Up, APFloat::rmTowardPositive},
        {E8M0Round::Down, APFloat::rmTowardNegative},
        {E8M0Round::Nearest, APFloat::rmNearestTiesToEven}};
    for (auto [round, mode] : modes) {
      APFloat wanted(x);
      bool losesInfo;
      wanted.convert(APFloat::Float8E8M0FNU(), mode, &losesInfo);
      for (Overflow overflow : {Overflow::Saturate, Overflow::NonFinite})
        ASSERT_EQ(encodeE8M0(x, round, overflow),
                  wanted.bitcastToAPInt().getZExtValue())
            << x << " mode " << int(round);
    }
  };
  for (int i = 0; i < 1 << 18; ++i)
    ASSERT_NO_FATAL_FAILURE(checkOne(std::exp2(log(random))));
  for (int exponent = -126; exponent < 127; ++exponent)
    for (double factor : {1.0, 1.25, 1.5, 1.75}) {
      double x = std::ldexp(factor, exponent);
      ASSERT_NO_FATAL_FAILURE(checkOne(x));
      ASSERT_NO_FATAL_FAILURE(checkOne(std::nextafter(x, 0)));
      ASSERT_NO_FATAL_FAILURE(checkOne(std::nextafter(x, 1e300)));
    }
}

TEST(EncodeE8M0, OnnxCastTable) {
  const double inf = INFINITY;
  for (E8M0Round round : {E8M0Round::Up, E8M0Round::Down, E8M0Round::Nearest}) {
    auto sat = [&](double x) { return encodeE8M0(x, round); };
    auto raw = [&](double x) {
      return encodeE8M0(x, round, Overflow::NonFinite);
    };
    EXPECT_EQ(sat(0.0), 0);
    EXPECT_EQ(sat(-0.0), 0);
    EXPECT_EQ(raw(0.0), 0xff);
    EXPECT_EQ(sat(NAN), 0xff);
    EXPECT_EQ(sat(-1.0), 0xff);
    EXPECT_EQ(sat(inf), 0xfe);
    EXPECT_EQ(raw(inf), 0xff);
    EXPECT_EQ(sat(0x1p128), 0xfe);
    EXPECT_EQ(raw(0x1p128), 0xff);
    EXPECT_EQ(sat(0x1p-128), 0);
    EXPECT_EQ(raw(0x1p-128), 0xff);
    EXPECT_EQ(raw(0x1p127), 0xfe);
    EXPECT_EQ(raw(0x1p-127), 0);
    EXPECT_EQ(sat(1.0), 127);
  }
  // The range is that of the rounded number.
  EXPECT_EQ(encodeE8M0(0x1.8p127, E8M0Round::Down, Overflow::NonFinite), 0xfe);
  EXPECT_EQ(encodeE8M0(0x1.8p127, E8M0Round::Up, Overflow::NonFinite), 0xff);
  EXPECT_EQ(encodeE8M0(0x1.8p-128, E8M0Round::Up, Overflow::NonFinite), 0);
  EXPECT_EQ(encodeE8M0(0x1.8p-128, E8M0Round::Nearest, Overflow::NonFinite), 0);
  EXPECT_EQ(encodeE8M0(1.5, E8M0Round::Nearest), 128);
  EXPECT_EQ(encodeE8M0(std::nextafter(1.5, 0), E8M0Round::Nearest), 127);
}

TEST(Encode, OnnxCastTableOfFp8AndFp4) {
  using S = StorageFormat;
  const double inf = INFINITY, huge = 1e30;
  auto raw = [](S format, double x) {
    return encode(format, x, Overflow::NonFinite);
  };
  for (double x : {inf, huge}) {
    EXPECT_EQ(encode(S::E4M3, x), 0x7eu);
    EXPECT_EQ(encode(S::E5M2, -x), 0xfbu);
    EXPECT_EQ(raw(S::E4M3, x), 0x7fu);
    EXPECT_EQ(raw(S::E5M2, x), 0x7cu);
    EXPECT_EQ(encode(S::E4M3FNUZ, -x), 0xffu);
    EXPECT_EQ(raw(S::E5M2FNUZ, -x), 0x80u);
    EXPECT_EQ(encode(S::E2M1, x), 7u);
    EXPECT_EQ(raw(S::E2M1, -x), 15u);
    EXPECT_EQ(encode(S::F16, x), 0x7c00u);
  }
  EXPECT_EQ(encode(S::E4M3, NAN), 0x7fu);
  EXPECT_EQ(encode(S::E5M2, NAN), 0x7eu);
  EXPECT_EQ(encode(S::E2M1, NAN), 7u);
  EXPECT_EQ(encode(S::E2M1, -std::numeric_limits<double>::quiet_NaN()), 7u);
  EXPECT_EQ(encode(S::E4M3, -0.0), 0x80u);
  EXPECT_EQ(encode(S::E2M1, -0.0f), 8u);
  EXPECT_EQ(encode(S::E4M3FNUZ, -0.0), 0u);
  EXPECT_EQ(encode(S::E5M2FNUZ, -1e-30), 0u);
  // 464 is the tie between 448 and the first number beyond.
  EXPECT_EQ(raw(S::E4M3, 464), 0x7eu);
  EXPECT_EQ(raw(S::E4M3, std::nextafter(464.0, 500.0)), 0x7fu);
  const std::pair<double, unsigned> ties[] = {
      {0.25, 0}, {0.75, 2}, {1.25, 2}, {1.75, 4}, {2.5, 4}, {3.5, 6}, {5, 6}};
  for (auto [x, code] : ties)
    EXPECT_EQ(encode(S::E2M1, x), code) << x;
}

TEST(EncodeInt, RoundsToEvenAndSaturates) {
  using S = StorageFormat;
  const std::tuple<S, double, uint64_t> cases[] = {
      {S::I8, 0.5, 0},
      {S::I8, 1.5, 2},
      {S::I8, -2.5, 0xfe},
      {S::I8, 127.5, 127},
      {S::I8, -1e30, 0x80},
      {S::I8, NAN, 0},
      {S::I8, INFINITY, 127},
      {S::U8, -3, 0},
      {S::U8, 254.5, 254},
      {S::U8, 1e9, 255},
      {S::I4, -8.4, 8},
      {S::I4, 9, 7},
      {S::I4, -1, 15},
      {S::U4, 15.6, 15},
      {S::I16, 40000, 0x7fff},
      {S::U16, 70000, 0xffff},
      {S::I32, 3e9, 0x7fffffff},
      {S::I32, -2147483648.0, 0x80000000u},
      {S::U32, 4294967294.5, 0xfffffffe},
      {S::U32, NAN, 0},
      {S::I64, 1e19, 0x7fffffffffffffffu},
      {S::I64, -1e19, 0x8000000000000000u},
      {S::I64, -2.5, 0xfffffffffffffffeu},
      {S::I64, NAN, 0},
      {S::U64, 1e20, 0xffffffffffffffffu},
      {S::U64, -1, 0},
      {S::Bool, 0.25, 1},
      {S::Bool, -0.0, 0}};
  for (auto [format, x, code] : cases)
    EXPECT_EQ(encode(format, x), code) << formatName(format) << " " << x;
}

TEST(EncodeInt, RoundEvenEqualsRint) {
  std::mt19937_64 random(4);
  for (int i = 0; i < 1 << 18; ++i) {
    float x = floatFromBits(uint32_t(random()));
    if (!std::isnan(x))
      ASSERT_EQ(roundEven(x), std::rint(x)) << x;
    double y = std::ldexp(double(int64_t(random())), -int(random() % 70));
    ASSERT_EQ(roundEven(y), std::rint(y)) << y;
    ASSERT_EQ(roundEven(y * 0.5), std::rint(y * 0.5)) << y;
  }
}

TEST(DecodeInt, AllSmallCodes) {
  for (unsigned code = 0; code < 256; ++code) {
    EXPECT_EQ(decode(StorageFormat::I8, code), int8_t(code));
    EXPECT_EQ(decode(StorageFormat::U8, code), code);
    EXPECT_EQ(decode(StorageFormat::I4, code),
              int(code & 15) - (code & 8 ? 16 : 0));
    EXPECT_EQ(decode(StorageFormat::U4, code), code & 15);
    EXPECT_EQ(decode(StorageFormat::Bool, code), code != 0);
  }
  EXPECT_EQ(decode(StorageFormat::I64, ~uint64_t(0)), -1);
  EXPECT_EQ(decode(StorageFormat::I32, 0x80000000u), -2147483648.0);
}

TEST(Nibbles, FirstElementIsTheLowNibble) {
  const uint8_t codes[] = {2, 0xc, 1, 7}; // 1, -2, 0.5, 6
  uint8_t packed[3];
  packNibbles(codes, 4, packed);
  EXPECT_EQ(packed[0], 0xc2);
  EXPECT_EQ(packed[1], 0x71);
  const uint8_t odd[] = {0xf1, 0xf2, 0xf3};
  packNibbles(odd, 3, packed);
  EXPECT_EQ(packed[0], 0x21);
  EXPECT_EQ(packed[1], 0x03) << "the padding nibble is zero";
  uint8_t back[3];
  unpackNibbles(packed, 3, back);
  EXPECT_EQ(back[0], 1);
  EXPECT_EQ(back[1], 2);
  EXPECT_EQ(back[2], 3);
}

/// Array conversions equal element conversions at any offset, and touch nothing
/// else.
TEST(Arrays, EqualElementConversions) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal(0, 3);
  for (unsigned f = 1; f < kNumFormats; ++f) {
    auto format = static_cast<StorageFormat>(f);
    for (size_t first : {0, 1, 2, 5})
      for (size_t count : {0, 1, 2, 7, 16, 33}) {
        std::vector<float> in(count), out(count);
        for (float &x : in)
          x = normal(random);
        std::vector<uint8_t> data(64 * 8, 0xa5), wanted = data;
        encodeArray(format, in.data(), first, count, data.data());
        for (size_t i = 0; i < count; ++i)
          storeCode(format, wanted.data(), first + i, encode(format, in[i]));
        EXPECT_EQ(data, wanted) << formatName(format);
        std::vector<double> wide(in.begin(), in.end());
        encodeArray(format, wide.data(), first, count, data.data());
        EXPECT_EQ(data, wanted) << formatName(format);
        decodeArray(format, data.data(), first, count, out.data());
        decodeArray(format, data.data(), first, count, wide.data());
        for (size_t i = 0; i < count; ++i) {
          double x = decode(format, loadCode(format, data.data(), first + i));
          bool same = std::isnan(x) ? std::isnan(wide[i]) && std::isnan(out[i])
                                    : x == wide[i] && float(x) == out[i];
          EXPECT_TRUE(same) << formatName(format) << " " << x;
        }
      }
  }
}

TEST(Names, ParseBack) {
  for (unsigned f = 1; f < kNumFormats; ++f) {
    auto format = static_cast<StorageFormat>(f);
    const FormatInfo &info = formatInfo(format);
    EXPECT_EQ(formatFromName(info.name), format) << info.name;
    EXPECT_EQ(formatFromName(info.onnxName), format) << info.onnxName;
    EXPECT_EQ(formatFromOnnx(info.onnxType), format) << info.onnxName;
  }
  EXPECT_EQ(formatFromName("i8"), StorageFormat::I8);
  for (const char *name : {"", "none", "f9", "FLOAT8E3M4"})
    EXPECT_EQ(formatFromName(name), StorageFormat::None);
  for (int type : {-1, 0, 8, 14, 15, 25, 26, 255, 256, 1000})
    EXPECT_EQ(formatFromOnnx(type), StorageFormat::None) << type;
}

TEST(Names, BytesOfPackedData) {
  EXPECT_EQ(formatBytes(StorageFormat::E2M1, 5), 3u);
  EXPECT_EQ(formatBytes(StorageFormat::E4M3, 5), 5u);
  EXPECT_EQ(formatBytes(StorageFormat::I64, 5), 40u);
  EXPECT_EQ(formatBytes(StorageFormat::Bool, 5), 5u);
}

TEST(Names, LimitsAreThoseOfTheCodes) {
  for (unsigned f = 1; f < kNumFormats; ++f) {
    auto format = static_cast<StorageFormat>(f);
    const FormatInfo &info = formatInfo(format);
    EXPECT_EQ(decode(format, info.maxCode), info.maxFinite) << info.name;
    uint64_t smallest = info.kind == FormatKind::Exponent ? 0 : 1;
    EXPECT_EQ(decode(format, smallest), info.minPositive) << info.name;
  }
}

} // namespace
