// Facts about ONNX element types, in one table.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Import/ElemType.h"

#include "mlir/IR/BuiltinTypes.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::onnx;

namespace {
enum class Kind { None, Float, Signed, Unsigned, Bool };
struct Facts {
  const char *name;
  Kind kind;
  unsigned bits;
};
} // namespace

/// Indexed by the number of the type.
static const Facts table[] = {
    {"undefined", Kind::None, 0},       {"float", Kind::Float, 32},
    {"uint8", Kind::Unsigned, 8},       {"int8", Kind::Signed, 8},
    {"uint16", Kind::Unsigned, 16},     {"int16", Kind::Signed, 16},
    {"int32", Kind::Signed, 32},        {"int64", Kind::Signed, 64},
    {"string", Kind::None, 0},          {"bool", Kind::Bool, 1},
    {"float16", Kind::Float, 16},       {"double", Kind::Float, 64},
    {"uint32", Kind::Unsigned, 32},     {"uint64", Kind::Unsigned, 64},
    {"complex64", Kind::None, 64},      {"complex128", Kind::None, 128},
    {"bfloat16", Kind::Float, 16},      {"float8e4m3fn", Kind::Float, 8},
    {"float8e4m3fnuz", Kind::Float, 8}, {"float8e5m2", Kind::Float, 8},
    {"float8e5m2fnuz", Kind::Float, 8}, {"uint4", Kind::Unsigned, 4},
    {"int4", Kind::Signed, 4},          {"float4e2m1", Kind::Float, 4},
    {"float8e8m0", Kind::Float, 8},     {"uint2", Kind::Unsigned, 2},
    {"int2", Kind::Signed, 2},
};

static const Facts &lookUp(ElemType type) {
  auto number = static_cast<int32_t>(type);
  bool known = number >= 0 && number < int32_t(std::size(table));
  return table[known ? number : 0];
}

std::string nibble::onnx::getName(ElemType type) {
  auto number = static_cast<int32_t>(type);
  if (number < 0 || number >= int32_t(std::size(table)))
    return "type " + std::to_string(number);
  return table[number].name;
}

static Type getFloatType(ElemType type, MLIRContext *context) {
  switch (type) {
  case ElemType::Float:
    return Float32Type::get(context);
  case ElemType::Double:
    return Float64Type::get(context);
  case ElemType::Float16:
    return Float16Type::get(context);
  case ElemType::BFloat16:
    return BFloat16Type::get(context);
  case ElemType::Float8E4M3FN:
    return Float8E4M3FNType::get(context);
  case ElemType::Float8E5M2:
    return Float8E5M2Type::get(context);
  case ElemType::Float8E4M3FNUZ:
    return Float8E4M3FNUZType::get(context);
  case ElemType::Float8E5M2FNUZ:
    return Float8E5M2FNUZType::get(context);
  case ElemType::Float4E2M1:
    return Float4E2M1FNType::get(context);
  case ElemType::Float8E8M0:
    return Float8E8M0FNUType::get(context);
  default:
    return {};
  }
}

ElemType nibble::onnx::getHeldType(ElemType type) {
  if (type == ElemType::Int2)
    return ElemType::Int8;
  return type == ElemType::UInt2 ? ElemType::UInt8 : type;
}

Type nibble::onnx::getMlirType(ElemType type, MLIRContext *context) {
  const Facts &facts = lookUp(getHeldType(type));
  switch (facts.kind) {
  case Kind::Float:
    return getFloatType(type, context);
  case Kind::Signed:
  case Kind::Unsigned:
    return IntegerType::get(context, facts.bits);
  case Kind::Bool:
    return IntegerType::get(context, 1);
  case Kind::None:
    break;
  }
  return {};
}

ElemType nibble::onnx::getFloatElemType(Type type) {
  for (int32_t i = 1; i < int32_t(std::size(table)); ++i)
    if (table[i].kind == Kind::Float &&
        getFloatType(ElemType(i), type.getContext()) == type)
      return ElemType(i);
  return ElemType::Undefined;
}

bool nibble::onnx::isFloat(ElemType type) {
  return lookUp(type).kind == Kind::Float;
}

bool nibble::onnx::isInteger(ElemType type) {
  return lookUp(type).kind == Kind::Signed ||
         lookUp(type).kind == Kind::Unsigned;
}

bool nibble::onnx::isUnsigned(ElemType type) {
  return lookUp(type).kind == Kind::Unsigned || lookUp(type).kind == Kind::Bool;
}

bool nibble::onnx::isWideFloat(ElemType type) {
  return type == ElemType::Float || type == ElemType::Double;
}

unsigned nibble::onnx::getBitWidth(ElemType type) { return lookUp(type).bits; }

uint64_t nibble::onnx::getRawBytes(ElemType type, uint64_t count) {
  unsigned bits = lookUp(type).bits;
  if (bits == 2 || bits == 4)
    return llvm::divideCeil(count, 8 / bits);
  return bits < 8 ? count : count * (bits / 8);
}
