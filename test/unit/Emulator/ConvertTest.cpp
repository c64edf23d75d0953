// cvt between all pairs of types, by the neighbours of the exact value.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Rounded.h"
#include "RunHarness.h"

using namespace nibble::emu;

namespace {

using Real = long double; // holds f64 and 64-bit integers

//===--- Sources ----------------------------------------------------------===//

struct Source {
  std::string type;
  unsigned bytes;
  std::vector<uint64_t> bits;
};

Real valueOf(const std::string &type, uint64_t bits) {
  auto half = [&](const SmallFormat &f) -> Real {
    unsigned magnitude = bits & 0x7FFF;
    if (magnitude > f.largest() + 1)
      return NAN;
    Real x = magnitude > f.largest() ? Real(INFINITY) : f.decode(magnitude);
    return bits & 0x8000 ? -x : x;
  };
  if (type == "f16")
    return half(formatF16());
  if (type == "bf16")
    return half(formatBF16());
  if (type == "f32")
    return asBits<float>(uint32_t(bits));
  if (type == "f64")
    return asBits<double>(bits);
  unsigned width = unsigned(std::stoi(type.substr(1)));
  if (type[0] == 'u')
    return Real(bits & (~0ull >> (64 - width)));
  return Real(int64_t(bits << (64 - width)) >> (64 - width));
}

std::vector<Source> sources() {
  std::vector<Source> all;
  auto add = [&](const char *type, unsigned bytes, std::vector<uint64_t> bits) {
    all.push_back({type, bytes, std::move(bits)});
  };
  std::vector<uint64_t> wide;
  for (uint64_t x : integers<uint64_t>(60))
    for (int shift : {0, 11, 32, 40})
      wide.push_back(x >> shift);
  for (const char *t : {"u8", "s8", "u16", "s16"})
    add(t, 2, wide);
  add("u32", 4, wide);
  add("s32", 4, wide);
  add("u64", 8, wide);
  add("s64", 8, wide);
  std::vector<uint64_t> halves, singles, wides;
  for (unsigned i = 0; i < 65536; i += 97)
    halves.push_back(i);
  for (unsigned i : {0u, 1u, 0x7BFFu, 0x7C00u, 0x7E00u, 0x7F80u, 0x7FC0u,
                     0x3C00u, 0x3800u, 0xB800u, 0x3F00u, 0x8000u, 0xFC00u})
    halves.push_back(i);
  for (uint32_t x : floatBits(300))
    singles.push_back(x);
  for (double x : doubles(300))
    wides.push_back(asBits<uint64_t>(x));
  add("f16", 2, halves);
  add("bf16", 2, halves);
  add("f32", 4, singles);
  add("f64", 8, wides);
  return all;
}

//===--- Definitions ------------------------------------------------------===//

bool isFloat(const std::string &type) {
  return type.find('f') != std::string::npos;
}

Real toIntegral(Real x, char mode) {
  switch (mode) {
  case 'n':
    return std::nearbyint(x);
  case 'z':
    return std::trunc(x);
  case 'm':
    return std::floor(x);
  default:
    return std::ceil(x);
  }
}

/// Result in a register of `registerBits`, extended by its type.
uint64_t extend(const std::string &type, uint64_t bits, unsigned registerBits) {
  unsigned width = unsigned(std::stoi(type.substr(1)));
  uint64_t value = type[0] == 's'
                       ? uint64_t(int64_t(bits << (64 - width)) >> (64 - width))
                       : bits & (~0ull >> (64 - width));
  return value & (~0ull >> (64 - registerBits));
}

uint64_t toInteger(Real x, const std::string &from, const std::string &to,
                   char mode, unsigned registerBits) {
  unsigned width = unsigned(std::stoi(to.substr(1)));
  if (std::isnan(x))
    return extend(to, from == "f64" || width == 64 ? 1ull << (width - 1) : 0,
                  registerBits);
  Real low = to[0] == 's' ? -std::ldexp(Real(1), int(width) - 1) : 0;
  Real high = std::ldexp(Real(1), int(width) - (to[0] == 's')) - 1;
  x = std::min(std::max(toIntegral(x, mode), low), high);
  return extend(to, x < 0 ? uint64_t(int64_t(x)) : uint64_t(x), registerBits);
}

/// A float or double next to x in a direction.
template <typename T> T toward(Real x, const std::string &mode) {
  T near = T(x); // to nearest even
  T inf = std::numeric_limits<T>::infinity();
  bool negative = std::signbit(x);
  if (mode == "rn" || Real(near) == x)
    return near;
  bool down = mode == "rm" || (mode == "rz" && !negative);
  if (down && Real(near) > x)
    return std::nextafter(near, -inf);
  if (!down && Real(near) < x)
    return std::nextafter(near, inf);
  return near;
}

uint64_t toFloat(Real x, const std::string &to, const std::string &mode) {
  if (std::isnan(x))
    return to == "f32" ? 0x7FFFFFFF : to == "f64" ? 0x7FF8000000000000 : 0x7FFF;
  if (to == "f16")
    return formatF16().encode(x, mode, 0x7C00);
  if (to == "bf16")
    return formatBF16().encode(x, mode, 0x7F80);
  if (to == "f32")
    return asBits<uint32_t>(toward<float>(x, mode));
  return asBits<uint64_t>(toward<double>(x, mode));
}

template <typename D, typename F>
void expectConversion(const std::string &text, const Source &s, F f) {
  auto run = [&](auto t) {
    using A = decltype(t);
    std::vector<A> in(s.bits.begin(), s.bits.end());
    expectRows<D>(text, [&](A a) { return f(valueOf(s.type, a)); }, in);
  };
  s.bytes == 2   ? run(uint16_t())
  : s.bytes == 4 ? run(uint32_t())
                 : run(uint64_t());
}

/// As `D`, for the register that a type needs.
template <typename F> void byRegister(const std::string &type, F f) {
  if (type.find("64") != std::string::npos)
    f(uint64_t());
  else if (type.find("32") != std::string::npos)
    f(uint32_t());
  else
    f(uint16_t());
}

const std::vector<std::string> kIntegers{"u8",  "s8",  "u16", "s16",
                                         "u32", "s32", "u64", "s64"};
const std::vector<std::string> kFloats{"f16", "bf16", "f32", "f64"};

TEST(Convert, FloatsToIntegers) {
  for (const Source &s : sources())
    for (const std::string &to : kIntegers)
      for (char mode : isFloat(s.type) ? std::string("nzmp") : std::string())
        byRegister(to, [&](auto t) {
          using D = decltype(t);
          expectConversion<D>("cvt.r" + std::string(1, mode) + "i." + to + "." +
                                  s.type + " %z, %a;",
                              s, [&](Real x) {
                                return toInteger(x, s.type, to, mode,
                                                 8 * sizeof(D));
                              });
        });
}

TEST(Convert, IntegersToFloats) {
  for (const Source &s : sources())
    for (const std::string &to :
         isFloat(s.type) ? std::vector<std::string>() : kFloats)
      for (const std::string &mode : kDirections)
        byRegister(to, [&](auto t) {
          expectConversion<decltype(t)>(
              "cvt." + mode + "." + to + "." + s.type + " %z, %a;", s,
              [&](Real x) { return toFloat(x, to, mode); });
        });
}

TEST(Convert, IntegersToIntegers) {
  for (const Source &s : sources())
    for (const std::string &to :
         isFloat(s.type) ? std::vector<std::string>() : kIntegers)
      for (bool saturate : {false, true})
        byRegister(to, [&](auto t) {
          using D = decltype(t);
          unsigned width = unsigned(std::stoi(to.substr(1)));
          Real low = to[0] == 's' ? -std::ldexp(Real(1), int(width) - 1) : 0;
          Real high = std::ldexp(Real(1), int(width) - (to[0] == 's')) - 1;
          expectConversion<D>(
              std::string("cvt.") + (saturate ? "sat." : "") + to + "." +
                  s.type + " %z, %a;",
              s, [&](Real x) {
                if (saturate)
                  x = std::min(std::max(x, low), high);
                return extend(to, x < 0 ? uint64_t(int64_t(x)) : uint64_t(x),
                              8 * sizeof(D));
              });
        });
}

/// 8-bit results in registers of 32 and 64 bits are extended by their sign.
TEST(Convert, WiderRegisters) {
  std::vector<uint32_t> v{0,     0x7F,       0x80,   0xFF,
                          0x100, 0x1234FF80, 0x8000, 0xFFFF};
  expectUnary<uint32_t>(
      "cvt.s8.s32 %z, %a;", [](uint32_t a) { return int32_t(int8_t(a)); }, v);
  expectUnary<uint32_t>(
      "cvt.u8.u32 %z, %a;", [](uint32_t a) { return uint8_t(a); }, v);
  expectUnary<uint64_t>(
      "cvt.s16.s32 %z, %a;", [](uint32_t a) { return int64_t(int16_t(a)); }, v);
  expectUnary<uint64_t>(
      "cvt.s64.s8 %z, %a;", [](uint32_t a) { return int64_t(int8_t(a)); }, v);
}

TEST(Convert, FloatsToFloats) {
  for (const Source &s : sources())
    for (const std::string &to :
         isFloat(s.type) ? kFloats : std::vector<std::string>())
      for (const std::string &mode : kDirections)
        byRegister(to, [&](auto t) {
          if (to == s.type)
            return;
          bool exact = to == "f64" || (to == "f32" && s.bytes == 2);
          if (exact && mode != "rn")
            return;
          std::string nan = to == "f64"
                                ? " testp.notanumber.f64 %p0, %z; selp.b64 %z, "
                                  "0x7FF8000000000000, %z, %p0;"
                                : "";
          expectConversion<decltype(t)>(
              "cvt" + (exact ? "" : "." + mode) + "." + to + "." + s.type +
                  " %z, %a;" + nan,
              s, [&](Real x) { return toFloat(x, to, mode); });
        });
}

TEST(Convert, ToIntegralValues) {
  for (const Source &s : sources())
    for (char mode : isFloat(s.type) ? std::string("nzmp") : std::string())
      byRegister(s.type, [&](auto t) {
        std::string nan = s.type == "f64"
                              ? " testp.notanumber.f64 %p0, %z; selp.b64 %z, "
                                "0x7FF8000000000000, %z, %p0;"
                              : "";
        expectConversion<decltype(t)>(
            "cvt.r" + std::string(1, mode) + "i." + s.type + "." + s.type +
                " %z, %a;" + nan,
            s, [&](Real x) {
              return toFloat(
                  std::isnan(x) ? x : std::copysign(toIntegral(x, mode), x),
                  s.type, "rn");
            });
      });
}

TEST(Convert, Flags) {
  Source single = sources()[10];
  ASSERT_EQ(single.type, "f32");
  auto flush = [](Real x) {
    return std::fabs(x) < 0x1p-126L ? std::copysign(Real(0), x) : x;
  };
  expectConversion<uint32_t>("cvt.sat.f32.f32 %z, %a;", single, [](Real x) {
    return toFloat(x > 0 ? std::min(x, Real(1)) : 0, "f32", "rn");
  });
  expectConversion<uint32_t>("cvt.ftz.f32.f32 %z, %a;", single, [&](Real x) {
    return toFloat(flush(x), "f32", "rn");
  });
  expectConversion<uint32_t>(
      "cvt.rpi.ftz.u32.f32 %z, %a;", single,
      [&](Real x) { return toInteger(flush(x), "f32", "u32", 'p', 32); });
  expectConversion<uint16_t>("cvt.rn.relu.f16.f32 %z, %a;", single, [](Real x) {
    return x <= 0 ? 0 : toFloat(x, "f16", "rn");
  });
  expectConversion<uint16_t>(
      "cvt.rz.satfinite.f16.f32 %z, %a;", single, [](Real x) {
        return std::isnan(x) ? 0x7FFF : formatF16().encode(x, "rz", 0x7BFF);
      });
  expectConversion<uint16_t>(
      "cvt.rn.satfinite.bf16.f32 %z, %a;", single, [](Real x) {
        return std::isnan(x) ? 0x7FFF : formatBF16().encode(x, "rn", 0x7F7F);
      });
  Source wide = sources()[11];
  expectConversion<uint32_t>("cvt.rn.ftz.f32.f64 %z, %a;", wide, [&](Real x) {
    return toFloat(flush(std::isnan(x) ? x : Real(float(x))), "f32", "rn");
  });
}

TEST(Convert, Tf32) {
  SmallFormat tf32(8, 10, 127, 0x3FC00);
  Source single = sources()[10];
  for (const std::string mode : {"rna", "rn", "rz"})
    expectConversion<uint32_t>(
        "cvt." + mode + ".tf32.f32 %z, %a;", single, [&](Real x) {
          return std::isnan(x) ? 0x7FFFFFFF
                               : tf32.encode(x, mode, 0x3FC00) << 13;
        });
}

//===--- Packed -----------------------------------------------------------===//

struct NarrowFormat {
  const char *name;
  const SmallFormat &format;
  unsigned nan, overflow;
};
const NarrowFormat kNarrow[] = {{"e4m3x2", formatE4M3(), 0x7F, 0x7E},
                                {"e5m2x2", formatE5M2(), 0x7F, 0x7B},
                                {"e2m1x2", formatE2M1(), 0x7, 0x7}};

TEST(Pack, FloatsToNarrow) {
  auto v = floats(200);
  std::vector<float> a = v, b(v.rbegin(), v.rend());
  for (const NarrowFormat &f : kNarrow)
    for (bool relu : {false, true})
      expectRows<uint16_t>(
          std::string("cvt.rn.satfinite") + (relu ? ".relu." : ".") + f.name +
              ".f32 %z, %a, %b;",
          [&](float x, float y) {
            auto code = [&](float z) {
              if (std::isnan(z))
                return f.nan;
              return f.format.encode(relu && z <= 0 ? 0 : z, "rn", f.overflow);
            };
            return code(x) << f.format.bits | code(y);
          },
          a, b);
}

TEST(Pack, NarrowToHalves) {
  for (const NarrowFormat &f : kNarrow) {
    std::vector<uint16_t> v;
    unsigned bits = unsigned(f.format.bits), codes = 1u << bits;
    for (unsigned code = 0; code < codes; ++code)
      v.push_back(uint16_t(code << bits | ((code * 7 + 3) & (codes - 1))));
    expectRows<uint32_t>(
        std::string("cvt.rn.f16x2.") + f.name + " %z, %a;",
        [&](uint16_t x) {
          auto part = [&](unsigned code) -> uint32_t {
            unsigned magnitude = code & (codes / 2 - 1);
            if (magnitude > f.format.largest()) // E5M2 has infinities
              return bits == 8 && f.format.values.size() == 0x7D &&
                             magnitude == 0x7C
                         ? (code & 0x80) << 8 | 0x7C00
                         : 0x7FFF;
            return formatF16().encode(f.format.decode(code), "rn", 0x7C00);
          };
          return part(x >> bits & (codes - 1)) << 16 | part(x & (codes - 1));
        },
        v);
  }
}

TEST(Pack, HalvesToNarrow) {
  std::vector<uint32_t> v;
  for (uint32_t i = 0; i < 65536; i += 13)
    v.push_back(i << 16 | ((i * 31 + 7) & 0xFFFF));
  for (const char *from : {"f16", "bf16"})
    for (const NarrowFormat &f : kNarrow)
      expectRows<uint16_t>(
          std::string("cvt.rn.satfinite.") + f.name + "." + from + "x2 %z, %a;",
          [&](uint32_t x) {
            auto code = [&](uint32_t h) {
              Real value = valueOf(from, h & 0xFFFF);
              return std::isnan(value)
                         ? f.nan
                         : f.format.encode(value, "rn", f.overflow);
            };
            return code(x >> 16) << f.format.bits | code(x);
          },
          v);
}

TEST(Pack, FloatsToHalves) {
  auto v = floats(200);
  std::vector<float> a = v, b(v.rbegin(), v.rend());
  for (const std::string to : {"f16", "bf16"})
    for (const std::string mode : {"rn", "rz"})
      expectRows<uint32_t>(
          "cvt." + mode + "." + to + "x2.f32 %z, %a, %b;",
          [&](float x, float y) {
            return toFloat(x, to, mode) << 16 | toFloat(y, to, mode);
          },
          a, b);
}

/// Powers of two; the sign is lost, zero is the least.
TEST(Pack, Scales) {
  std::vector<float> v;
  for (float x : floats(200))
    v.push_back(std::fabs(x));
  for (const std::string mode : {"rz", "rp"})
    expectRows<uint16_t>(
        "cvt." + mode + ".satfinite.ue8m0x2.f32 %z, %a, %a;",
        [&](float x) {
          unsigned code = 0;
          if (std::isnan(x))
            code = 0xFF;
          else if (x > 0x1p127f)
            code = 254;
          else // the power below, or above if it is not exact
            while (code < 254 &&
                   (mode == "rz" ? std::ldexp(1.0, int(code) + 1 - 127) <= x
                                 : std::ldexp(1.0, int(code) - 127) < x))
              ++code;
          return code << 8 | code;
        },
        v);
  std::vector<uint16_t> codes;
  for (unsigned c = 0; c < 256; ++c)
    codes.push_back(uint16_t(c << 8 | (255 - c)));
  expectRows<uint32_t>(
      "cvt.rn.bf16x2.ue8m0x2 %z, %a;",
      [](uint16_t x) {
        auto part = [](unsigned c) -> uint32_t {
          return c == 255 ? 0x7FFF
                          : formatBF16().encode(
                                std::ldexp(Real(1), int(c) - 127), "rn", 0);
        };
        return part(x >> 8) << 16 | part(x & 255);
      },
      codes);
}

TEST(Pack, Integers) {
  auto v = integers<int32_t>(20);
  v.insert(v.end(), {127, 128, -128, -129, 255, 256, 7, 8, -8, -9, 15, 16,
                     32767, 32768, -32768, -32769, 65535, 65536});
  using S = int32_t;
  auto clamp = [](S x, int bits, bool isSigned) {
    int64_t top = (int64_t(1) << (bits - isSigned)) - 1,
            low = isSigned ? -top - 1 : 0;
    return uint32_t(std::min(std::max(int64_t(x), low), top)) &
           ((1u << bits) - 1);
  };
  for (bool isSigned : {false, true}) {
    std::string t = isSigned ? "s" : "u";
    expectBinary<uint32_t>(
        "cvt.pack.sat." + t + "16.s32 %z, %a, %b;",
        [&](S a, S b) {
          return clamp(a, 16, isSigned) << 16 | clamp(b, 16, isSigned);
        },
        v, v);
    for (int bits : {8, 4, 2})
      expectBinary<uint32_t>(
          "cvt.pack.sat." + t + std::to_string(bits) +
              ".s32.b32 %z, %a, %b, 0x89ABCDEF;",
          [&](S a, S b) {
            return 0x89ABCDEFu << (2 * bits) |
                   clamp(a, bits, isSigned) << bits | clamp(b, bits, isSigned);
          },
          v, v);
  }
}

} // namespace
