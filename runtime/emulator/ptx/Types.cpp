// Types and sizes of variables.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ast.h"

using namespace nibble::emu::ptx;

namespace {
struct TypeInfo {
  std::string_view name;
  Type type;
  unsigned bits;
};
constexpr TypeInfo kTypes[] = {
    {"pred", Type::Pred, 1},       {"b8", Type::B8, 8},
    {"b16", Type::B16, 16},        {"b32", Type::B32, 32},
    {"b64", Type::B64, 64},        {"b128", Type::B128, 128},
    {"u8", Type::U8, 8},           {"u16", Type::U16, 16},
    {"u32", Type::U32, 32},        {"u64", Type::U64, 64},
    {"s8", Type::S8, 8},           {"s16", Type::S16, 16},
    {"s32", Type::S32, 32},        {"s64", Type::S64, 64},
    {"f16", Type::F16, 16},        {"f16x2", Type::F16x2, 32},
    {"bf16", Type::BF16, 16},      {"bf16x2", Type::BF16x2, 32},
    {"f32", Type::F32, 32},        {"f64", Type::F64, 64},
    {"texref", Type::Opaque, 64},  {"samplerref", Type::Opaque, 64},
    {"surfref", Type::Opaque, 64},
};
} // namespace

unsigned nibble::emu::ptx::bitsOf(Type type) {
  for (const TypeInfo &info : kTypes)
    if (info.type == type)
      return info.bits;
  return 0;
}

bool nibble::emu::ptx::parseType(std::string_view text, Type &type) {
  for (const TypeInfo &info : kTypes)
    if (info.name == text) {
      type = info.type;
      return true;
    }
  return false;
}

uint64_t Variable::byteSize() const {
  return (bitsOf(type) + 7) / 8 * uint64_t(vector) * elements;
}
