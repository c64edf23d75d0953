// Instructions of tcgen05 and their descriptors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Source of descriptors: PTX ISA 9.0, "tcgen05: instruction descriptor" and
// "shared memory descriptor".
#include "Tcgen05.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm100;
using NVVM::Tcgen05MMAKind;

NVVM::CTAGroupKindAttr sm100::getGroup(Code &code, bool pair) {
  return NVVM::CTAGroupKindAttr::get(code.getContext(),
                                     pair ? NVVM::CTAGroupKind::CTA_2
                                          : NVVM::CTAGroupKind::CTA_1);
}

//===----------------------------------------------------------------------===//
// Tensor memory
//===----------------------------------------------------------------------===//

void sm100::allocate(Code &code, Value slot, int64_t columns, bool pair) {
  auto group = getGroup(code, pair);
  NVVM::Tcgen05AllocOp::create(code, slot, code.get(columns), group);
  NVVM::Tcgen05RelinquishAllocPermitOp::create(code, group);
}

void sm100::release(Code &code, Int address, int64_t columns, bool pair) {
  NVVM::Tcgen05DeallocOp::create(code, getPointer(code, address),
                                 code.get(columns), getGroup(code, pair));
}

Value sm100::getPointer(Code &code, Int address) {
  return LLVM::IntToPtrOp::create(code, code.pointer(6), code.get(address));
}

/// "$first, $first+1, ..."
static std::string listRegisters(int64_t first, int64_t count) {
  std::string list;
  for (int64_t i = first; i < first + count; ++i)
    list += (i > first ? ", $" : "$") + std::to_string(i);
  return list;
}

/// One load for each address, `perLoad` registers each, and the wait.
static SmallVector<Value>
emitLoads(Code &code, ArrayRef<Int> addresses, int64_t perLoad,
          function_ref<std::string(int64_t first)> load, StringRef constraint,
          Type type) {
  std::string text, constraints;
  int64_t words = perLoad * int64_t(addresses.size());
  SmallVector<Value> operands;
  for (auto [i, address] : llvm::enumerate(addresses)) {
    text += load(int64_t(i) * perLoad) + ", [$" +
            std::to_string(words + int64_t(i)) + "];\n";
    operands.push_back(code.get(address));
  }
  text += "tcgen05.wait::ld.sync.aligned;";
  for (int64_t i = 0; i < words; ++i)
    constraints += (i ? "," : "") + constraint.str();
  for (size_t i = 0; i < addresses.size(); ++i)
    constraints += ",r";
  return code.emitAsm(text, constraints, SmallVector<Type>(words, type),
                      operands, /*hasEffects=*/true);
}

SmallVector<Value> sm100::loadColumns(Code &code, ArrayRef<Int> addresses,
                                      int64_t count) {
  auto load = [&](int64_t first) {
    return "tcgen05.ld.sync.aligned.32x32b.x" + std::to_string(count) +
           ".b32 {" + listRegisters(first, count) + "}";
  };
  return emitLoads(code, addresses, count, load, "=r", code.i32());
}

LoadedRow sm100::loadWithMaxima(Code &code, ArrayRef<Int> addresses,
                                int64_t count) {
  auto load = [&](int64_t first) {
    return "tcgen05.ld.red.sync.aligned.32x32b.x" + std::to_string(count) +
           ".max.f32 {" + listRegisters(first, count) + "}, $" +
           std::to_string(first + count);
  };
  LoadedRow row;
  SmallVector<Value> all =
      emitLoads(code, addresses, count + 1, load, "=f", code.getF32Type());
  for (auto [i, value] : llvm::enumerate(all))
    (int64_t(i) % (count + 1) == count ? row.maxima : row.floats)
        .push_back(value);
  return row;
}

void sm100::storeColumns(Code &code, Int address, ValueRange words) {
  int64_t count = words.size();
  SmallVector<Value> operands{code.get(address)};
  llvm::append_range(operands, words);
  std::string constraints = "r";
  for (int64_t i = 0; i < count; ++i)
    constraints += ",r";
  code.emitAsm("tcgen05.st.sync.aligned.32x32b.x" + std::to_string(count) +
                   ".b32 [$0], {" + listRegisters(1, count) + "};",
               constraints + ",~{memory}", {}, operands, /*hasEffects=*/true);
}

void sm100::waitForStores(Code &code) {
  code.emitAsm("tcgen05.wait::st.sync.aligned;", "~{memory}", {}, {},
               /*hasEffects=*/true);
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

uint32_t sm100::getTypeCode(Type type) {
  if (type.isBF16() || isa<Float8E5M2Type>(type))
    return 1;
  return isa<Float4E2M1FNType>(type) ? 5 : 0; // f16, E4M3
}

uint32_t sm100::getProductForm(Type a, Type b, int64_t rows, int64_t columns,
                               bool hasColumnsTogether) {
  return 1u << 4 | getTypeCode(a) << 7 | getTypeCode(b) << 10 |
         uint32_t(hasColumnsTogether) << 16 | uint32_t(columns >> 3) << 17 |
         uint32_t(rows >> 4) << 24;
}

uint64_t sm100::getMatrixForm(int64_t swizzle, int64_t stride,
                              int64_t leading) {
  uint64_t mode = swizzle == 128  ? 2
                  : swizzle == 64 ? 4
                  : swizzle == 32 ? 6
                                  : 0;
  return mode << 61 | 1ull << 46 | uint64_t(stride / 16) << 32 |
         uint64_t(leading / 16) << 16;
}

void sm100::multiply(Code &code, Type elementA, Value target, Value left,
                     Value right, uint32_t form, Value adds, bool pair,
                     Collector keep) {
  auto kind = elementA.getIntOrFloatBitWidth() == 8 ? Tcgen05MMAKind::F8F6F4
                                                    : Tcgen05MMAKind::F16;
  NVVM::Tcgen05MMAOp::create(
      code, NVVM::Tcgen05MMAKindAttr::get(code.getContext(), kind),
      getGroup(code, pair),
      NVVM::Tcgen05MMACollectorOpAttr::get(code.getContext(), keep), UnitAttr(),
      target, left, right, code.get(int32_t(form)), adds, Value(), Value());
}

void sm100::commit(Code &code, Value barrier, bool pair) {
  Value blocks = pair ? code.constant(code.i16(), 3) : Value();
  NVVM::Tcgen05CommitOp::create(code, barrier, blocks, getGroup(code, pair));
}

void sm100::fence(Code &code, bool after) {
  auto kind = after ? NVVM::Tcgen05FenceKind::AFTER_THREAD_SYNC
                    : NVVM::Tcgen05FenceKind::BEFORE_THREAD_SYNC;
  NVVM::Tcgen05FenceOp::create(
      code, NVVM::Tcgen05FenceKindAttr::get(code.getContext(), kind));
}
