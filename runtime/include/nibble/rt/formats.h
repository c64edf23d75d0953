// Storage formats of single numbers: names, ranges, exact decoding, correctly
// rounded encoding.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Everything here is exact or rounded once, to nearest, ties to even, whatever
// the source: encoding a double never goes through float. A "code" is the bit
// pattern of a number, right-aligned in an unsigned integer.
//
//              exponent bias  max       min normal / subnormal  Inf   NaN
//   E4M3FN     7              448 (7E)  2^-6  / 2^-9            -     7F FF
//   E5M2       15             57344     2^-14 / 2^-16           7C    7D-7F
//   E4M3FNUZ   8              240 (7F)  2^-7  / 2^-10           -     80, no -0
//   E5M2FNUZ   16             57344 (7F) 2^-15 / 2^-17          -     80, no -0
//   E2M1       1              6 (7)     1     / 0.5             -     -
//   E8M0       127            2^127     2^-127, no zero, no sign -    FF
#ifndef NIBBLE_RT_FORMATS_H
#define NIBBLE_RT_FORMATS_H

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace nibble {
namespace rt {

/// Types of one stored number. `None` is "no type", for optional fields.
enum class StorageFormat : uint8_t {
  None,
  F64,
  F32,
  F16,
  BF16,
  E4M3FN,
  E5M2,
  E4M3FNUZ,
  E5M2FNUZ,
  E8M0,
  E2M1,
  Bool,
  I4,
  I8,
  I16,
  I32,
  I64,
  U4,
  U8,
  U16,
  U32,
  U64,
  E4M3 = E4M3FN, ///< the only E4M3 there is here
};
constexpr unsigned kNumFormats = 22;

enum class FormatKind : uint8_t {
  None,
  Float,
  Exponent,
  Signed,
  Unsigned,
  Bool
};

/// What is known about a format at compile time.
struct FormatInfo {
  const char *name;     ///< spelling in MLIR: "f8E4M3FN", "si8", "i1"
  const char *onnxName; ///< name in TensorProto.DataType: "FLOAT8E4M3FN"
  uint8_t onnxType;     ///< number in TensorProto.DataType
  uint8_t bits;         ///< in memory; 8 for Bool
  FormatKind kind;
  int8_t manBits; ///< stored mantissa bits of a float
  int16_t bias;   ///< exponent bias of a float
  bool hasInf;
  bool hasNan;
  uint64_t maxCode;          ///< code of the largest finite number
  double maxFinite;          ///< nearest double of a 64-bit integer's maximum
  double minPositive;        ///< smallest number above zero (subnormal, or 1)
  bool unsignedZero = false; ///< the code of -0 is the only NaN ("UZ")
};

constexpr FormatInfo kFormatInfo[kNumFormats] = {
    {"none", "UNDEFINED", 0, 0, FormatKind::None, 0, 0, false, false, 0, 0, 0},
    {"f64", "DOUBLE", 11, 64, FormatKind::Float, 52, 1023, true, true,
     0x7fefffffffffffffull, 0x1.fffffffffffffp1023, 0x1p-1074},
    {"f32", "FLOAT", 1, 32, FormatKind::Float, 23, 127, true, true, 0x7f7fffff,
     0x1.fffffep127, 0x1p-149},
    {"f16", "FLOAT16", 10, 16, FormatKind::Float, 10, 15, true, true, 0x7bff,
     65504, 0x1p-24},
    {"bf16", "BFLOAT16", 16, 16, FormatKind::Float, 7, 127, true, true, 0x7f7f,
     0x1.fep127, 0x1p-133},
    {"f8E4M3FN", "FLOAT8E4M3FN", 17, 8, FormatKind::Float, 3, 7, false, true,
     0x7e, 448, 0x1p-9},
    {"f8E5M2", "FLOAT8E5M2", 19, 8, FormatKind::Float, 2, 15, true, true, 0x7b,
     57344, 0x1p-16},
    {"f8E4M3FNUZ", "FLOAT8E4M3FNUZ", 18, 8, FormatKind::Float, 3, 8, false,
     true, 0x7f, 240, 0x1p-10, true},
    {"f8E5M2FNUZ", "FLOAT8E5M2FNUZ", 20, 8, FormatKind::Float, 2, 16, false,
     true, 0x7f, 57344, 0x1p-17, true},
    {"f8E8M0FNU", "FLOAT8E8M0", 24, 8, FormatKind::Exponent, 0, 127, false,
     true, 0xfe, 0x1p127, 0x1p-127},
    {"f4E2M1FN", "FLOAT4E2M1", 23, 4, FormatKind::Float, 1, 1, false, false, 7,
     6, 0.5},
    {"i1", "BOOL", 9, 8, FormatKind::Bool, 0, 0, false, false, 1, 1, 1},
    {"si4", "INT4", 22, 4, FormatKind::Signed, 0, 0, false, false, 7, 7, 1},
    {"si8", "INT8", 3, 8, FormatKind::Signed, 0, 0, false, false, 0x7f, 127, 1},
    {"si16", "INT16", 5, 16, FormatKind::Signed, 0, 0, false, false, 0x7fff,
     32767, 1},
    {"si32", "INT32", 6, 32, FormatKind::Signed, 0, 0, false, false, 0x7fffffff,
     2147483647.0, 1},
    {"si64", "INT64", 7, 64, FormatKind::Signed, 0, 0, false, false,
     0x7fffffffffffffffull, 0x1p63, 1},
    {"ui4", "UINT4", 21, 4, FormatKind::Unsigned, 0, 0, false, false, 15, 15,
     1},
    {"ui8", "UINT8", 2, 8, FormatKind::Unsigned, 0, 0, false, false, 0xff, 255,
     1},
    {"ui16", "UINT16", 4, 16, FormatKind::Unsigned, 0, 0, false, false, 0xffff,
     65535, 1},
    {"ui32", "UINT32", 12, 32, FormatKind::Unsigned, 0, 0, false, false,
     0xffffffff, 4294967295.0, 1},
    {"ui64", "UINT64", 13, 64, FormatKind::Unsigned, 0, 0, false, false,
     0xffffffffffffffffull, 0x1p64, 1},
};

constexpr const FormatInfo &formatInfo(StorageFormat format) {
  return kFormatInfo[static_cast<unsigned>(format)];
}
constexpr const char *formatName(StorageFormat format) {
  return formatInfo(format).name;
}
constexpr unsigned formatBits(StorageFormat format) {
  return formatInfo(format).bits;
}
/// Bytes of `count` packed numbers: ceil(count * bits / 8).
constexpr size_t formatBytes(StorageFormat format, size_t count) {
  return formatBits(format) == 4 ? count / 2 + count % 2
                                 : count * (formatBits(format) / 8);
}
/// True for formats with a fractional part, E8M0 among them.
constexpr bool isFloatFormat(StorageFormat format) {
  return formatInfo(format).kind == FormatKind::Float ||
         formatInfo(format).kind == FormatKind::Exponent;
}
constexpr bool isIntFormat(StorageFormat format) {
  return formatInfo(format).kind == FormatKind::Signed ||
         formatInfo(format).kind == FormatKind::Unsigned;
}

/// The format of a MLIR spelling ("f8E4M3FN", "si8"), a signless integer type
/// ("i8" is si8, "i1" Bool) or an ONNX name ("FLOAT8E4M3FN"); None otherwise.
StorageFormat formatFromName(std::string_view name);
/// The format of a number of TensorProto.DataType; None if there is no such
/// format here (strings, complex numbers, 2-bit integers).
StorageFormat formatFromOnnx(int64_t dataType);

/// What happens to numbers above the largest finite one (after rounding).
/// FP4 and integers always saturate; F16, BF16, F32 and F64 always go to
/// infinity: the choice is for FP8 and E8M0 (ONNX attribute `saturate`).
enum class Overflow : uint8_t {
  Saturate, ///< +-max; E8M0 below its range gives its minimum
  NonFinite ///< E5M2: +-Inf, E4M3FN, FNUZ and E8M0: NaN
};

/// ONNX `round_mode`; E8M0 only. Nearest is by value: 1.5 * 2^k goes up.
enum class E8M0Round : uint8_t { Up, Down, Nearest };

/// The number that a code stands for; exact, except that 64-bit integers beyond
/// 2^53 are rounded. Bool: any code but 0 is 1. Unused high bits are ignored.
double decode(StorageFormat format, uint64_t code);

/// The code of x.
///   NaN       the format's quiet NaN with x's sign; E2M1: +6; integers: 0
///   Inf       as overflow
///   -0.0      keeps its sign (E2M1: code 8); E8M0 and FNUZ as +0.0
///   E8M0      0 gives 2^-127, or NaN with Overflow::NonFinite; negative
///             numbers NaN; rounds up
///   integers  nearest, ties to even, saturating; Bool: x != 0
uint64_t encode(StorageFormat format, double x,
                Overflow overflow = Overflow::Saturate);
uint64_t encode(StorageFormat format, float x,
                Overflow overflow = Overflow::Saturate);

/// decode(encode(x)): x rounded to `format`.
double roundTo(StorageFormat format, double x,
               Overflow overflow = Overflow::Saturate);

/// Element `index` of packed row-major data; 4-bit element 2i is the low nibble
/// of byte i.
uint64_t loadCode(StorageFormat format, const void *data, size_t index);
void storeCode(StorageFormat format, void *data, size_t index, uint64_t code);

/// Elements [first, first + count) of packed data as numbers. Rounds once where
/// the target is narrower than the format (F64, I32, U32 and wider to float).
void decodeArray(StorageFormat format, const void *data, size_t first,
                 size_t count, float *out);
void decodeArray(StorageFormat format, const void *data, size_t first,
                 size_t count, double *out);

/// Encodes numbers into elements [first, first + count) of packed data. The
/// other nibble of a byte at the border of a 4-bit range is kept, so that
/// ranges that share a byte must not be written at the same time.
void encodeArray(StorageFormat format, const float *in, size_t first,
                 size_t count, void *data,
                 Overflow overflow = Overflow::Saturate);
void encodeArray(StorageFormat format, const double *in, size_t first,
                 size_t count, void *data,
                 Overflow overflow = Overflow::Saturate);

/// Two codes (one per byte, high nibbles ignored) per byte, the first one in
/// the low nibble; the last high nibble of an odd count is 0. `packed` has
/// ceil(count / 2) bytes and may be `codes` itself.
void packNibbles(const uint8_t *codes, size_t count, uint8_t *packed);
/// The inverse; `codes` has `count` bytes 0..15 and is not `packed`.
void unpackNibbles(const uint8_t *packed, size_t count, uint8_t *codes);

} // namespace rt
} // namespace nibble

#include "nibble/rt/float_codec.h"

#endif // NIBBLE_RT_FORMATS_H
