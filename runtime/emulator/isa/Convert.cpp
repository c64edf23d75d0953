// cvt: between integers, floats, and packed narrow floats.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Half.h"
#include "isa/Move.h"
#include "isa/Select.h"

#include <limits>

using namespace nibble::emu;
using namespace nibble;
using ptx::Type;
using rt::StorageFormat;

namespace {

//===----------------------------------------------------------------------===//
// Scalars
//===----------------------------------------------------------------------===//

enum class Kind : uint8_t { Signed, Unsigned, Float };

/// sub[0], sub[1]: destination and source Type. sub[2] bits 0-2: rounding;
/// 3: to an integral value; 4: sat; 5: ftz; 6: satfinite; 7: relu. target:
/// bytes of the destination register; extra: bytes of the source register.
constexpr uint8_t kIntegral = 8, kSat = 16, kFtz = 32, kFinite = 64,
                  kRelu = 128;

Kind kindOf(Type type) {
  switch (type) {
  case Type::S8:
  case Type::S16:
  case Type::S32:
  case Type::S64:
    return Kind::Signed;
  case Type::F16:
  case Type::BF16:
  case Type::F32:
  case Type::F64:
    return Kind::Float;
  default:
    return Kind::Unsigned;
  }
}

int64_t readInteger(const uint8_t *from, Type type) {
  uint64_t bits = 0;
  unsigned width = ptx::bitsOf(type);
  std::memcpy(&bits, from, width / 8);
  if (kindOf(type) == Kind::Signed && width < 64)
    return int64_t(bits << (64 - width)) >> (64 - width);
  return int64_t(bits);
}

double readFloat(const uint8_t *from, Type type) {
  uint16_t half;
  float single;
  double wide;
  switch (type) {
  case Type::F16:
    std::memcpy(&half, from, 2);
    return halfToFloat(half);
  case Type::BF16:
    std::memcpy(&half, from, 2);
    return bfloatToFloat(half);
  case Type::F32:
    std::memcpy(&single, from, 4);
    return single;
  default:
    std::memcpy(&wide, from, 8);
    return wide;
  }
}

struct FloatShape {
  int mantissa, minExponent;
  double largest;
};
FloatShape shapeOf(Type type) {
  switch (type) {
  case Type::F16:
    return {10, -14, 65504};
  case Type::BF16:
    return {7, -126, 0x1.fep127};
  case Type::F32:
    return {23, -126, std::numeric_limits<float>::max()};
  default:
    return {52, -1022, std::numeric_limits<double>::max()};
  }
}

double flushSubnormal(double x, Type type) {
  bool single = type == Type::F32;
  return single && std::fabs(x) < 0x1p-126 ? std::copysign(0.0, x) : x;
}

void writeFloat(uint8_t *to, double x, Type type) {
  uint16_t half;
  float single;
  switch (type) {
  case Type::F16:
    half = toHalf(x);
    std::memcpy(to, &half, 2);
    return;
  case Type::BF16:
    half = toBFloat(x);
    std::memcpy(to, &half, 2);
    return;
  case Type::F32:
    single = std::isnan(x) ? bitCast<float>(kFloatNan) : float(x);
    std::memcpy(to, &single, 4);
    return;
  default:
    std::memcpy(to, &x, 8);
  }
}

double integral(double x, Round mode) {
  switch (mode) {
  case Round::Zero:
    return std::trunc(x);
  case Round::Down:
    return std::floor(x);
  case Round::Up:
    return std::ceil(x);
  default:
    return std::nearbyint(x);
  }
}

/// Floats beyond an integer type give its nearest number. NaN gives 0, or the
/// topmost bit alone if either side has 64 bits.
uint64_t floatToInteger(double x, Type from, Type type, Round mode) {
  unsigned width = ptx::bitsOf(type);
  bool isSigned = kindOf(type) == Kind::Signed;
  if (std::isnan(x))
    return width == 64 || from == Type::F64 ? uint64_t(1) << (width - 1) : 0;
  x = integral(x, mode);
  double end = std::ldexp(1.0, int(width) - (isSigned ? 1 : 0));
  uint64_t top = ~uint64_t(0) >> (64 - width + (isSigned ? 1 : 0));
  if (x >= end)
    return top;
  if (isSigned)
    return x < -end ? ~top : uint64_t(int64_t(x));
  return x <= 0 ? 0 : uint64_t(x);
}

uint64_t saturateInteger(int64_t value, bool fromUnsigned, Type type) {
  unsigned width = ptx::bitsOf(type);
  bool isSigned = kindOf(type) == Kind::Signed;
  bool huge = fromUnsigned && value < 0; // beyond 2^63
  uint64_t top = ~uint64_t(0) >> (64 - width + (isSigned ? 1 : 0));
  if (huge)
    return width == 64 && !isSigned ? uint64_t(value) : top;
  if (!isSigned)
    return value < 0 ? 0 : std::min(uint64_t(value), top);
  return uint64_t(std::max(std::min(value, int64_t(top)), ~int64_t(top)));
}

/// From a 64-bit integer with one rounding: long double holds all of them.
double roundInteger(int64_t value, bool isUnsigned, Type type, Round mode) {
  static_assert(std::numeric_limits<long double>::digits >= 64, "");
  long double exact =
      isUnsigned ? (long double)uint64_t(value) : (long double)value;
  FloatShape shape = shapeOf(type);
  return clampOverflow(
      double(roundBits(exact, shape.mantissa, shape.minExponent, mode)),
      shape.largest, mode);
}

double narrowFloat(double x, Type from, Type to, uint8_t flags) {
  Round mode = Round(flags & 7);
  if (flags & kFtz)
    x = flushSubnormal(x, from);
  if (flags & kIntegral)
    x = integral(x, mode);
  FloatShape shape = shapeOf(to);
  if (ptx::bitsOf(to) < ptx::bitsOf(from) || to == Type::BF16 ||
      (from == Type::BF16 && to == Type::F16))
    x = clampOverflow(roundBits(x, shape.mantissa, shape.minExponent, mode),
                      shape.largest, mode);
  if (flags & kRelu)
    x = x <= 0 ? 0 : x; // +0 for -0 too
  if (flags & kFinite && std::isinf(x))
    x = std::copysign(shape.largest, x);
  if (flags & kSat)
    x = x > 0 ? std::min(x, 1.0) : 0; // NaN and -0 too
  if (flags & kFtz)
    x = flushSubnormal(x, to);
  return x;
}

void convertOne(const Inst &i, uint8_t *to, const uint8_t *from) {
  Type d = Type(i.sub[0]), a = Type(i.sub[1]);
  uint8_t flags = i.sub[2];
  Round mode = Round(flags & 7);
  uint64_t result = 0;
  if (kindOf(a) == Kind::Float) {
    double x = readFloat(from, a);
    if (kindOf(d) == Kind::Float)
      return writeFloat(to, narrowFloat(x, a, d, flags), d);
    if (flags & kFtz)
      x = flushSubnormal(x, a);
    result = floatToInteger(x, a, d, mode);
  } else {
    int64_t x = readInteger(from, a);
    bool isUnsigned = kindOf(a) == Kind::Unsigned;
    if (kindOf(d) == Kind::Float) {
      double y = roundInteger(x, isUnsigned, d, mode);
      return writeFloat(to, flags & kSat ? std::min(std::max(y, 0.0), 1.0) : y,
                        d);
    }
    result = flags & kSat ? saturateInteger(x, isUnsigned, d) : uint64_t(x);
  }
  // Narrow results fill a wider register by their sign.
  unsigned width = ptx::bitsOf(d);
  if (width < 64)
    result = kindOf(d) == Kind::Signed
                 ? uint64_t(int64_t(result << (64 - width)) >> (64 - width))
                 : result & ((uint64_t(1) << width) - 1);
  std::memcpy(to, &result, i.target);
}

void convert(Warp &w, const Inst &i, Lanes lanes) {
  uint8_t *d = w.lanes<uint8_t>(i.d);
  const uint8_t *a = w.lanes<uint8_t>(i.a);
  forLanes(lanes, [&](unsigned l) {
    uint64_t source = 0; // the destination may be the same register
    std::memcpy(&source, a + l * i.extra, i.extra);
    convertOne(i, d + l * i.target, reinterpret_cast<uint8_t *>(&source));
  });
}

//===----------------------------------------------------------------------===//
// Packed narrow floats
//===----------------------------------------------------------------------===//

struct Narrow {
  std::string_view word; ///< "e4m3x2"
  StorageFormat format;
};
constexpr Narrow kNarrow[] = {
    {"e4m3x2", StorageFormat::E4M3FN}, {"e5m2x2", StorageFormat::E5M2},
    {"e2m1x2", StorageFormat::E2M1},   {"ue8m0x2", StorageFormat::E8M0},
    {"f16x2", StorageFormat::F16},     {"bf16x2", StorageFormat::BF16}};

/// The NaN that conversions to E4M3 and E5M2 give.
constexpr uint64_t kByteNan = 0x7F;

/// Codes of two numbers, the first operand in the upper half. sub[0]: format
/// of the result; sub[2]: flags as above.
uint64_t encodeNarrow(double x, StorageFormat format, uint8_t flags) {
  if (flags & kRelu)
    x = x <= 0 ? 0 : x;
  Round mode = Round(flags & 7);
  switch (format) {
  case StorageFormat::F16:
  case StorageFormat::BF16: {
    Type type = format == StorageFormat::F16 ? Type::F16 : Type::BF16;
    FloatShape shape = shapeOf(type);
    x = clampOverflow(roundBits(x, shape.mantissa, shape.minExponent, mode),
                      shape.largest, mode);
    if (flags & kFinite && std::isinf(x))
      x = std::copysign(shape.largest, x);
    return type == Type::F16 ? toHalf(x) : toBFloat(x);
  }
  case StorageFormat::E8M0: {
    if (std::isnan(x))
      return 0xFF;
    return rt::encodeE8M0(std::fabs(x),
                          mode == Round::Up ? rt::E8M0Round::Up
                                            : rt::E8M0Round::Down,
                          rt::Overflow::Saturate);
  }
  case StorageFormat::E4M3FN:
    return std::isnan(x)
               ? kByteNan
               : rt::encodeAs<StorageFormat::E4M3FN>(x, rt::Overflow::Saturate);
  case StorageFormat::E5M2:
    return std::isnan(x)
               ? kByteNan
               : rt::encodeAs<StorageFormat::E5M2>(x, rt::Overflow::Saturate);
  default: // E2M1: NaN becomes the largest number
    return std::isnan(x)
               ? 7
               : rt::encodeAs<StorageFormat::E2M1>(x, rt::Overflow::Saturate);
  }
}

double decodeNarrow(uint64_t code, StorageFormat format) {
  switch (format) {
  case StorageFormat::F16:
    return halfToFloat(uint16_t(code));
  case StorageFormat::BF16:
    return bfloatToFloat(uint16_t(code));
  case StorageFormat::E8M0:
    return rt::decodeAs<StorageFormat::E8M0>(code);
  case StorageFormat::E4M3FN:
    return rt::decodeAs<StorageFormat::E4M3FN>(code);
  case StorageFormat::E5M2:
    return rt::decodeAs<StorageFormat::E5M2>(code);
  default:
    return rt::decodeAs<StorageFormat::E2M1>(code);
  }
}

/// d = {a, b} in a narrow format; a, b: f32. target: bytes of the register.
void narrowPair(Warp &w, const Inst &i, Lanes lanes) {
  StorageFormat format = StorageFormat(i.sub[0]);
  unsigned bits = rt::formatBits(format);
  uint8_t *d = w.lanes<uint8_t>(i.d);
  const float *a = w.lanes<float>(i.a), *b = w.lanes<float>(i.b);
  forLanes(lanes, [&](unsigned l) {
    float x = a[l], y = b[l];
    if (i.sub[2] & kFtz)
      x = float(flushSubnormal(x, Type::F32)),
      y = float(flushSubnormal(y, Type::F32));
    uint64_t codes = encodeNarrow(x, format, i.sub[2]) << bits |
                     encodeNarrow(y, format, i.sub[2]);
    std::memcpy(d + l * i.target, &codes, i.target);
  });
}

/// Two numbers of one narrow format in another. extra: bytes of the source.
void pairToPair(Warp &w, const Inst &i, Lanes lanes) {
  StorageFormat to = StorageFormat(i.sub[0]), from = StorageFormat(i.sub[1]);
  unsigned toBits = rt::formatBits(to), fromBits = rt::formatBits(from);
  uint8_t *d = w.lanes<uint8_t>(i.d);
  const uint8_t *a = w.lanes<uint8_t>(i.a);
  forLanes(lanes, [&](unsigned l) {
    uint64_t source = 0, codes = 0;
    std::memcpy(&source, a + l * i.extra, i.extra);
    for (unsigned n = 0; n < 2; ++n) {
      uint64_t code =
          source >> (n * fromBits) & ((uint64_t(1) << fromBits) - 1);
      codes |= encodeNarrow(decodeNarrow(code, from), to, i.sub[2])
               << (n * toBits);
    }
    std::memcpy(d + l * i.target, &codes, i.target);
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

const Narrow *takeNarrow(Decoder &d) {
  // In the order that they are written: the result first.
  for (std::string_view word : d.source().modifiers)
    for (const Narrow &narrow : kNarrow)
      if (word == narrow.word && d.words().take(word))
        return &narrow;
  return nullptr;
}

bool hasNarrow(Decoder &d) {
  for (const Narrow &narrow : kNarrow)
    if (d.words().has(narrow.word))
      return true;
  return d.words().has("e2m3x2") || d.words().has("e3m2x2");
}

void takeFlags(Decoder &d) {
  static constexpr Round kModes[] = {
      Round::Nearest, Round::Zero, Round::Down, Round::Up, Round::NearestAway,
      Round::Nearest, Round::Zero, Round::Down, Round::Up};
  int mode = d.words().takeOf(
      {"rn", "rz", "rm", "rp", "rna", "rni", "rzi", "rmi", "rpi"});
  uint8_t flags = mode < 0 ? 0 : uint8_t(kModes[mode]);
  flags |= mode >= 5 ? kIntegral : 0;
  flags |= d.words().take("sat") ? kSat : 0;
  flags |= d.words().take("ftz") ? kFtz : 0;
  flags |= d.words().take("satfinite") ? kFinite : 0;
  flags |= d.words().take("relu") ? kRelu : 0;
  d.inst().sub[2] = flags;
}

/// e2m1x2 lies in 8 bits, which have no register: the operand is a 16-bit
/// register whose upper half is not touched, or comes from mov.b16 {b, _}.
unsigned registerSize(const Narrow &narrow) {
  unsigned bits = 2 * rt::formatBits(narrow.format);
  return std::max(bits / 8, 1u);
}

void convertPair(Decoder &d) {
  const Narrow *to = takeNarrow(d), *from = takeNarrow(d);
  if (!to)
    d.unsupported("this narrow format");
  Type source = Type::F32;
  bool fromFloats = !from;
  if (fromFloats && (!d.words().takeType(source) || source != Type::F32))
    d.unsupported("this source");
  d.expectOperands(fromFloats ? 3 : 2, fromFloats ? 3 : 2);
  Inst &inst = d.inst();
  inst.sub[0] = uint8_t(to->format);
  inst.target = registerSize(*to);
  inst.d = d.destination(0, std::max(inst.target, 2u));
  if (inst.target < 2)
    inst.target = 2;
  if (fromFloats) {
    inst.a = d.value(1, Type::F32);
    inst.b = d.value(2, Type::F32);
    inst.run = narrowPair;
    return;
  }
  inst.sub[1] = uint8_t(from->format);
  inst.extra = std::max(registerSize(*from), 2u);
  inst.a = d.value(d.operand(1), inst.extra);
  inst.run = pairToPair;
}

//===----------------------------------------------------------------------===//
// tf32, packed integers
//===----------------------------------------------------------------------===//

/// f32 with the mantissa of 10 bits that tf32 has.
void toTf32(Warp &w, const Inst &i, Lanes lanes) {
  float *d = w.lanes<float>(i.d);
  const float *a = w.lanes<float>(i.a);
  constexpr double kLargest = 0x1.ffcp127;
  forLanes(lanes, [=, flags = i.sub[2]](unsigned l) {
    Round mode = Round(flags & 7);
    double x =
        clampOverflow(roundBits(double(a[l]), 10, -126, mode), kLargest, mode);
    if (flags & kRelu && x <= 0)
      x = 0;
    if (flags & kFinite && std::isinf(x))
      x = std::copysign(kLargest, x);
    d[l] = std::isnan(x) ? bitCast<float>(kFloatNan) : float(x);
  });
}

void convertToTf32(Decoder &d) {
  Type from = takeType(d);
  if (from != Type::F32)
    d.error("tf32 comes from f32");
  d.expectOperands(2, 2);
  d.inst().a = d.value(1, Type::F32);
  d.inst().d = d.destination(0, 4);
  d.inst().run = toTf32;
}

/// d = {c, a, b} in integers of sub[0] bits, signed if sub[1].
void packIntegers(Warp &w, const Inst &i, Lanes lanes) {
  uint32_t *d = w.lanes<uint32_t>(i.d);
  const int32_t *a = w.lanes<int32_t>(i.a), *b = w.lanes<int32_t>(i.b);
  const uint32_t *c = i.c.valid() ? w.lanes<uint32_t>(i.c) : nullptr;
  const unsigned bits = i.sub[0];
  const int32_t top = (1 << (bits - i.sub[1])) - 1;
  const int32_t least = i.sub[1] ? -top - 1 : 0;
  const uint32_t mask = (1u << bits) - 1;
  forLanes(lanes, [=](unsigned l) {
    uint32_t high = uint32_t(std::min(std::max(a[l], least), top)) & mask;
    uint32_t low = uint32_t(std::min(std::max(b[l], least), top)) & mask;
    uint64_t rest = c ? uint64_t(c[l]) << (2 * bits) : 0;
    d[l] = uint32_t(rest) | high << bits | low;
  });
}

void convertPack(Decoder &d) {
  static constexpr unsigned kBits[] = {16, 16, 8, 8, 4, 4, 2, 2};
  d.words().take("pack");
  if (!d.words().take("sat"))
    d.error("needs .sat");
  int kind =
      d.words().takeOf({"u16", "s16", "u8", "s8", "u4", "s4", "u2", "s2"});
  if (kind < 0 || !d.words().take("s32"))
    d.error("packs s32 as u16, s16, u8, s8, u4, s4, u2 or s2");
  bool third = kind >= 2;
  if (third && !d.words().take("b32"))
    d.error("needs .b32 for the operand c");
  d.expectOperands(third ? 4 : 3, third ? 4 : 3);
  d.inst().sub[0] = uint8_t(kBits[kind]);
  d.inst().sub[1] = uint8_t(kind & 1);
  d.inst().a = d.value(1, Type::S32);
  d.inst().b = d.value(2, Type::S32);
  if (third)
    d.inst().c = d.value(3, Type::B32);
  d.inst().d = d.destination(0, 4);
  d.inst().run = packIntegers;
}

} // namespace

void nibble::emu::move::cvt(Decoder &d) {
  if (d.words().has("pack"))
    return convertPack(d);
  if (d.words().has("rs"))
    d.unsupported("stochastic rounding");
  takeFlags(d);
  if (d.words().take("tf32"))
    return convertToTf32(d);
  if (hasNarrow(d))
    return convertPair(d);
  Type to = takeType(d), from = takeType(d);
  d.expectOperands(2, 2);
  Inst &inst = d.inst();
  inst.sub[0] = uint8_t(to);
  inst.sub[1] = uint8_t(from);
  auto sizeOf = [&](const ptx::Operand &operand, Type type) {
    unsigned bytes = std::max(2u, Decoder::bytesOf(type));
    return d.isRegister(operand) ? std::max(bytes, d.registerBytes(operand))
                                 : bytes;
  };
  inst.target = sizeOf(d.operand(0), to);
  inst.extra = sizeOf(d.operand(1), from);
  inst.a = d.value(d.operand(1), inst.extra);
  inst.d = d.destination(0, inst.target);
  inst.run = convert;
}
