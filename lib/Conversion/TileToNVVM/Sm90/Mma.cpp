// Products of matrices by warpgroups, in registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mma.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
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
  Type typeA = op.getElementA();
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
  auto typeA = cast<tile::SlotType>(op.getA().getType());
  tile::SlotType typeB = op.getB().getType();
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

//===----------------------------------------------------------------------===//
// A from registers
//===----------------------------------------------------------------------===//

Int Mma::getRowTile(int64_t parts, int64_t part) {
  Int first = code.add(code.mul(warpgroup, 4 * parts), 4 * part);
  return code.add(first, code.bitAnd(kernel.threads.warp, 3));
}

/// NVVM's op takes descriptors only.
Value Mma::issueExpanded(tile::MmaOp op, Value acc, ArrayRef<Value> a, Value b,
                         bool overwrites) {
  auto type = cast<LLVM::LLVMStructType>(acc.getType());
  int64_t count = type.getBody().size();
  SmallVector<Value> operands;
  std::string list, outputs, inputs;
  for (int64_t i = 0; i < count; ++i) {
    operands.push_back(
        LLVM::ExtractValueOp::create(code, acc, ArrayRef<int64_t>(i)));
    list += (i ? ", $" : "$") + std::to_string(i);
    outputs += i ? ",=f" : "=f";
    inputs += "," + std::to_string(i);
  }
  llvm::append_range(operands, a);
  operands.push_back(b);
  auto name = [&](int64_t i) { return "$" + std::to_string(2 * count + i); };
  std::string format = op.getElementA().isBF16() ? "bf16" : "f16";
  std::string text =
      "{\n.reg .pred p;\nsetp.ne.b32 p, " + std::to_string(!overwrites) +
      ", 0;\nwgmma.mma_async.sync.aligned.m64n" + std::to_string(2 * count) +
      "k16.f32." + format + "." + format + " {" + list + "}, {" + name(0) +
      ", " + name(1) + ", " + name(2) + ", " + name(3) + "}, " + name(4) +
      ", p, 1, 1, 0;\n}";
  return code
      .emitAsm(text, outputs + inputs + ",r,r,r,r,l", type, operands,
               /*hasEffects=*/true)
      .front();
}

/// Steps whose products may be under way while fragments of the next are made:
/// those of all of them are alive.
static constexpr int64_t kUnderWay = 3;

/// With one step or more in reserve, the matrix unit does not wait for the
/// fragments of a warpgroup that works alone.
Acc Mma::multiply(tile::MmaOp op, const Acc &acc, const ExpandedOperand &a,
                  const Slot &b) {
  Acc result;
  result.parts = acc.parts;
  int64_t parts = acc.parts.size(), steps = op.getShapeA()[1] / 16;
  SmallVector<Fragments> sources;
  for (int64_t i = 0; i < parts; ++i)
    sources.emplace_back(kernel, a, getRowTile(parts, i));
  auto make = [&](int64_t step) {
    return llvm::map_to_vector(
        sources, [&](Fragments &source) { return source.make(step); });
  };
  auto next = make(0);
  for (int64_t step = 0; step < steps; ++step) {
    auto fragments = next;
    Value right = getDescriptor(b, op.getB().getType(), step * kStepBytes);
    NVVM::WgmmaFenceAlignedOp::create(code);
    for (auto [part, fragment] : llvm::zip(result.parts, fragments))
      part = issueExpanded(op, part, fragment, right, acc.isZero && step == 0);
    NVVM::WgmmaGroupSyncAlignedOp::create(code);
    // A stage later, the same registers are written again.
    NVVM::WgmmaWaitGroupSyncOp::create(
        code, uint64_t(std::min(kUnderWay, steps - 1)));
    if (step + 1 < steps)
      next = make(step + 1);
  }
  rings.countProducts(steps);
  return result;
}

Acc Mma::promote(const Acc &acc, const Acc &partial,
                 ArrayRef<SmallVector<Value, 2>> rows,
                 ArrayRef<Value> columns) {
  Acc result;
  for (auto [i, part] : llvm::enumerate(partial.parts)) {
    auto type = cast<LLVM::LLVMStructType>(part.getType());
    Value all = acc.parts[i];
    for (int64_t e = 0, count = type.getBody().size(); e < count; ++e) {
      ArrayRef<int64_t> at(e);
      Value x = LLVM::ExtractValueOp::create(code, part, at);
      Value scale = rows.empty() ? Value() : rows[i][e / 2 % 2];
      if (!columns.empty()) {
        Value column = columns[columns.size() == 1 ? 0 : e / 4 * 2 + e % 2];
        scale =
            scale ? Value(LLVM::FMulOp::create(code, scale, column)) : column;
      }
      Value sum;
      if (acc.isZero)
        sum = LLVM::FMulOp::create(code, x, scale);
      else
        sum = LLVM::FMAOp::create(code, x, scale,
                                  LLVM::ExtractValueOp::create(code, all, at));
      all = LLVM::InsertValueOp::create(code, all, sum, at);
    }
    result.parts.push_back(all);
  }
  return result;
}

//===----------------------------------------------------------------------===//
// Waiting
//===----------------------------------------------------------------------===//

/// The registers pass through the wait, so that no use moves above it.
Value Mma::settlePart(Value part, bool isFirst, int64_t groups) {
  auto type = cast<LLVM::LLVMStructType>(part.getType());
  SmallVector<Value> registers;
  std::string outputs, inputs;
  std::string wait = "wgmma.wait_group.sync.aligned " + std::to_string(groups);
  for (auto [i, element] : llvm::enumerate(type.getBody())) {
    registers.push_back(
        LLVM::ExtractValueOp::create(code, part, ArrayRef<int64_t>(i)));
    outputs += (i ? ",=f" : "=f");
    inputs += "," + std::to_string(i);
  }
  return code
      .emitAsm(isFirst ? wait + ";" : "// waited", outputs + inputs, type,
               registers, /*hasEffects=*/true)
      .front();
}

Acc Mma::settle(const Acc &acc, int64_t groups) {
  Acc result;
  for (auto [i, part] : llvm::enumerate(acc.parts))
    result.parts.push_back(settlePart(part, i == 0, groups));
  result.isSettled = true;
  return result;
}
