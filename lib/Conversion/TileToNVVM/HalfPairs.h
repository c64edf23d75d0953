// Pairs of f16 or bf16 in registers, and the codes that become some.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_HALFPAIRS_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_HALFPAIRS_H

#include "Ptx.h"

namespace nibble {
namespace tilecode {

/// Two f16 or bf16 in an i32. Codes come eight to a word: bits 4 i and 4 i + 16
/// are pair i. What is exact is said by tile::ExpandOp::getExactExponent.
class HalfPairs {
public:
  HalfPairs(mlir::ImplicitLocOpBuilder &b, bool isBf16)
      : b(b), isBf16(isBf16) {}

  mlir::Value multiply(mlir::Value x, mlir::Value y);
  mlir::Value subtract(mlir::Value x, mlir::Value y);
  /// Bytes of (x, y) by the digits of `selector` (PTX ISA, "prmt").
  mlir::Value permute(mlir::Value x, mlir::Value y, int64_t selector);

  /// Exponent and mantissa of E2M1 where those of the format end: 2^-14 of the
  /// values as f16, 2^-126 as bf16.
  llvm::SmallVector<mlir::Value> fromE2M1(mlir::Value word);
  /// 4-bit integers.
  llvm::SmallVector<mlir::Value> fromIntegers(mlir::Value word, bool isSigned);
  /// Two 8-bit floats, in the low half of x.
  mlir::Value fromBytes(mlir::Value x, bool isE5M2);
  /// Two 8-bit integers, in the low half of x.
  mlir::Value fromByteIntegers(mlir::Value x, bool isSigned);
  /// Two codes of 8 bits, floats or integers, in the low half of x.
  mlir::Value fromByteCodes(mlir::Value x, mlir::Type format);
  /// Two E4M3, in the low half of x, times what makes products with `fromE2M1`
  /// exact: 2^7 as f16, 2^118 as bf16.
  mlir::Value fromScales(mlir::Value x);
  /// Times 2^126: of bf16 from `fromE2M1`, the values.
  mlir::Value toValues(mlir::Value x);

  /// The low or the high half as f32.
  mlir::Value lowToFloat(mlir::Value x);
  mlir::Value highToFloat(mlir::Value x);

private:
  llvm::SmallVector<mlir::Value> fromE2M1ByBytes(mlir::Value word);
  mlir::Value arithmetic(llvm::StringRef name, mlir::Value x, mlir::Value y);
  mlir::Value constant(int64_t bits);
  mlir::Value bitAnd(mlir::Value x, int64_t bits);
  mlir::Value bitOr(mlir::Value x, mlir::Value y);
  /// Left, or right by the negative.
  mlir::Value shift(mlir::Value x, int64_t left);

  mlir::ImplicitLocOpBuilder &b;
  bool isBf16;
};

/// An i32 as f32.
mlir::Value asFloat(mlir::ImplicitLocOpBuilder &b, mlir::Value bits);
/// E8M0 in an i32: bits of 2^(x - 127) as f32. 2^-127 is no normal number, 255
/// is NaN.
mlir::Value powerOfTwo(mlir::ImplicitLocOpBuilder &b, mlir::Value x);

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_HALFPAIRS_H
