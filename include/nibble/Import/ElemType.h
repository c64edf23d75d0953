// ONNX element types: numbers, names, the MLIR types that carry them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_IMPORT_ELEMTYPE_H
#define NIBBLE_IMPORT_ELEMTYPE_H

#include "mlir/IR/Types.h"
#include "llvm/ADT/StringRef.h"

#include <cstdint>

namespace nibble::onnx {

/// TensorProto.DataType; the numbers are those of the file format.
enum class ElemType : int32_t {
  Undefined = 0,
  Float = 1,
  UInt8 = 2,
  Int8 = 3,
  UInt16 = 4,
  Int16 = 5,
  Int32 = 6,
  Int64 = 7,
  String = 8,
  Bool = 9,
  Float16 = 10,
  Double = 11,
  UInt32 = 12,
  UInt64 = 13,
  Complex64 = 14,
  Complex128 = 15,
  BFloat16 = 16,
  Float8E4M3FN = 17,
  Float8E4M3FNUZ = 18,
  Float8E5M2 = 19,
  Float8E5M2FNUZ = 20,
  UInt4 = 21,
  Int4 = 22,
  Float4E2M1 = 23,
  Float8E8M0 = 24,
  UInt2 = 25,
  Int2 = 26
};

/// Lower-case ONNX spelling ("float", "uint8", "float8e4m3fn", ...), also for
/// numbers that no version of ONNX has ("type 99").
std::string getName(ElemType type);

/// The type whose elements hold those of `type` in the graph: 2-bit integers
/// are held one per byte, sign- or zero-extended, all others as themselves.
ElemType getHeldType(ElemType type);

/// The MLIR element type of the held type (integers signless, bool i1), or null
/// for types that Nibble does not carry: strings, complex numbers.
mlir::Type getMlirType(ElemType type, mlir::MLIRContext *context);

/// The ONNX type of a float MLIR type (f16 -> Float16, ...).
ElemType getFloatElemType(mlir::Type type);

bool isFloat(ElemType type);         ///< any float, FP8 and FP4 included
bool isInteger(ElemType type);       ///< signed or unsigned; not Bool
bool isUnsigned(ElemType type);      ///< UInt*, Bool
bool isWideFloat(ElemType type);     ///< Float or Double
unsigned getBitWidth(ElemType type); ///< bits of one value; Bool 1; 0 if none
/// Bytes that `count` elements take in TensorProto.raw_data (4-bit types two
/// and 2-bit types four per byte, Bool one byte each).
uint64_t getRawBytes(ElemType type, uint64_t count);

} // namespace nibble::onnx

#endif // NIBBLE_IMPORT_ELEMTYPE_H
