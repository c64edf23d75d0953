// Products of matrices by warpgroups, in registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mma.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm90;
using NVVM::WGMMATypes;

/// Bytes of K that one instruction takes.
static constexpr int64_t kStepBytes = 32;

static Type getPartType(tile::AccType type) {
  SmallVector<Type> registers(type.getShape()[1] / 2, type.getElement());
  return LLVM::LLVMStructType::getLiteral(type.getContext(), registers);
}

static WGMMATypes getFormat(Type type) {
  return type.isF16()                ? WGMMATypes::f16
         : type.isBF16()             ? WGMMATypes::bf16
         : isa<Float8E5M2Type>(type) ? WGMMATypes::e5m2
                                     : WGMMATypes::e4m3;
}

Acc Mma::getZero(tile::AccType type) {
  Value none = LLVM::UndefOp::create(code, getPartType(type));
  Acc acc;
  acc.parts.assign(getParts(type), none);
  acc.isZero = true;
  return acc;
}

/// PTX ISA, "matrix descriptor": address and pitch of 8 rows, both / 16; the
/// swizzle (1: 128 bytes, 2: 64, 3: 32) in bits 62 and 63. K is contiguous.
Value Mma::getDescriptor(const Slot &slot, tile::SlotType type, Int bytes) {
  Value base = LLVM::PtrToIntOp::create(code, code.i32(), kernel.memory);
  Int address = code.add(code.shr(base, 4), (slot.offset >> 4));
  address = code.add(address, code.shr(bytes, 4));
  int64_t pitch = slot.ring->layout->stageBytes >> 4;
  address = code.add(address, code.mul(slot.stage, pitch));
  int64_t swizzle = type.getSwizzle();
  uint64_t mode = swizzle == 128 ? 1 : swizzle == 64 ? 2 : 3;
  uint64_t fixed = mode << 62 | uint64_t(8 * swizzle / 16) << 32;
  return LLVM::OrOp::create(code, code.extend64(address),
                            code.constant(code.i64(), int64_t(fixed)));
}

static Value issue(Code &code, tile::MmaOp op, Value acc, Value a, Value b,
                   bool overwrites) {
  Type typeA = op.getA().getType().getElement();
  Type typeB = op.getB().getType().getElement();
  int64_t k = kStepBytes * 8 / typeA.getIntOrFloatBitWidth();
  auto shape = NVVM::MMAShapeAttr::get(
      code.getContext(), 64, int(op.getAcc().getType().getShape()[1]), int(k));
  return NVVM::WgmmaMmaAsyncOp::create(
      code, acc.getType(), acc, a, b, shape, getFormat(typeA), getFormat(typeB),
      WGMMATypes::f32,
      overwrites ? NVVM::WGMMAScaleOut::zero : NVVM::WGMMAScaleOut::one,
      NVVM::WGMMAScaleIn::one, NVVM::WGMMAScaleIn::one, NVVM::MMALayout::row,
      NVVM::MMALayout::col, NVVM::MMAIntOverflowAttr());
}

Acc Mma::multiply(tile::MmaOp op, const Acc &acc, const Slot &a,
                  const Slot &b) {
  tile::SlotType typeA = op.getA().getType(), typeB = op.getB().getType();
  int64_t partBytes = 64 * typeA.getRowBytes();
  Int rows = code.mul(warpgroup, partBytes * acc.parts.size());
  Acc result;
  result.parts = acc.parts;
  NVVM::WgmmaFenceAlignedOp::create(code);
  for (int64_t k = 0; k < typeA.getRowBytes(); k += kStepBytes) {
    Value right = getDescriptor(b, typeB, k);
    for (auto [i, part] : llvm::enumerate(result.parts)) {
      Value left =
          getDescriptor(a, typeA, code.add(rows, k + partBytes * int64_t(i)));
      part = issue(code, op, part, left, right, acc.isZero && k == 0);
    }
  }
  NVVM::WgmmaGroupSyncAlignedOp::create(code);
  rings.countProducts();
  return result;
}

/// The registers pass through the wait, so that no use moves above it.
Value Mma::settlePart(Value part, bool isFirst) {
  auto type = cast<LLVM::LLVMStructType>(part.getType());
  SmallVector<Value> registers;
  std::string outputs, inputs;
  for (auto [i, element] : llvm::enumerate(type.getBody())) {
    registers.push_back(
        LLVM::ExtractValueOp::create(code, part, ArrayRef<int64_t>(i)));
    outputs += (i ? ",=f" : "=f");
    inputs += "," + std::to_string(i);
  }
  return LLVM::InlineAsmOp::create(
             code, type, registers,
             isFirst ? "wgmma.wait_group.sync.aligned 0;" : "// waited",
             outputs + inputs, /*has_side_effects=*/true,
             /*is_align_stack=*/false, LLVM::tailcallkind::TailCallKind::None,
             LLVM::AsmDialectAttr::get(code.getContext(),
                                       LLVM::AsmDialect::AD_ATT),
             ArrayAttr())
      .getResult(0);
}

Acc Mma::settle(const Acc &acc) {
  Acc result;
  for (auto [i, part] : llvm::enumerate(acc.parts))
    result.parts.push_back(settlePart(part, i == 0));
  result.isSettled = true;
  return result;
}
