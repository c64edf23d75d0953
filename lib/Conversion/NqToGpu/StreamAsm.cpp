// Instructions of PTX for kernels that stream weights, on 32-bit registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "StreamAsm.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/IR/SymbolTable.h"

using namespace mlir;

namespace nibble {
namespace gpu {

//===----------------------------------------------------------------------===//
// Integers
//===----------------------------------------------------------------------===//

Value StreamAsm::constant(int64_t value) {
  return arith::ConstantOp::create(b, b.getI32IntegerAttr(int32_t(value)));
}
Value StreamAsm::bitAnd(Value x, int64_t y) {
  return binary<arith::AndIOp>(x, constant(y));
}
Value StreamAsm::bitOr(Value x, Value y) { return binary<arith::OrIOp>(x, y); }
Value StreamAsm::bitXor(Value x, Value y) {
  return binary<arith::XOrIOp>(x, y);
}
Value StreamAsm::shl(Value x, int64_t y) {
  return binary<arith::ShLIOp>(x, constant(y));
}
Value StreamAsm::shr(Value x, int64_t y) {
  return binary<arith::ShRUIOp>(x, constant(y));
}
Value StreamAsm::equal(Value x, int64_t y) {
  return arith::CmpIOp::create(b, arith::CmpIPredicate::eq, x, constant(y));
}
Value StreamAsm::select(Value condition, Value x, Value y) {
  return arith::SelectOp::create(b, condition, x, y);
}
Value StreamAsm::fromIndex(Value index) {
  return arith::IndexCastUIOp::create(b, b.getI32Type(), index);
}
Value StreamAsm::toIndex(Value value) {
  return arith::IndexCastUIOp::create(b, b.getIndexType(), value);
}

//===----------------------------------------------------------------------===//
// Memory
//===----------------------------------------------------------------------===//

SmallVector<Value> StreamAsm::emit(StringRef text, StringRef constraints,
                                   TypeRange results, ValueRange operands,
                                   bool hasEffects) {
  return sm90::emitAsm(b, text, constraints, results, operands, hasEffects);
}

/// The array that dynamic shared memory is; one for all kernels of a module.
static LLVM::GlobalOp getDynamicMemory(Operation *module, Location loc) {
  constexpr StringLiteral kName = "nibble_dynamic_memory";
  if (auto found = dyn_cast_or_null<LLVM::GlobalOp>(
          SymbolTable::lookupSymbolIn(module, kName)))
    return found;
  OpBuilder builder = OpBuilder::atBlockBegin(&module->getRegion(0).front());
  auto type = LLVM::LLVMArrayType::get(builder.getI8Type(), 0);
  return LLVM::GlobalOp::create(builder, loc, type, /*isConstant=*/false,
                                LLVM::Linkage::External, kName, Attribute(),
                                /*alignment=*/1024, /*addrSpace=*/3);
}

Value StreamAsm::getShared() {
  LLVM::GlobalOp memory =
      getDynamicMemory(function.function->getParentOp(), b.getLoc());
  Value address = LLVM::AddressOfOp::create(b, memory);
  return LLVM::PtrToIntOp::create(b, b.getI32Type(), address);
}

Value StreamAsm::getGlobal(unsigned number, int64_t offset) {
  // What a memref becomes; casts of it fold.
  MLIRContext *context = b.getContext();
  Type pointer = LLVM::LLVMPointerType::get(context);
  Type one = LLVM::LLVMArrayType::get(b.getI32Type(), 1);
  Type descriptor = LLVM::LLVMStructType::getLiteral(
      context, {pointer, pointer, b.getI32Type(), one, one});
  Value memref = function.function.getArgument(number);
  Value unpacked =
      UnrealizedConversionCastOp::create(b, descriptor, memref).getResult(0);
  Value base = LLVM::ExtractValueOp::create(b, unpacked, 1);
  Value global = LLVM::AddrSpaceCastOp::create(
      b, LLVM::LLVMPointerType::get(context, 1), base);
  Value address = LLVM::PtrToIntOp::create(b, b.getI64Type(), global);
  return b.createOrFold<arith::AddIOp>(
      address, arith::ConstantOp::create(b, b.getI64IntegerAttr(offset)));
}

Value StreamAsm::advance(Value global, Value bytes) {
  Value wide = arith::ExtUIOp::create(b, b.getI64Type(), bytes);
  return arith::AddIOp::create(b, global, wide);
}

Value StreamAsm::advance(Value global, Value count, int64_t size) {
  Value wide = arith::ExtUIOp::create(b, b.getI64Type(), count);
  Value by = arith::ConstantOp::create(b, b.getI64IntegerAttr(size));
  return arith::AddIOp::create(b, global, arith::MulIOp::create(b, wide, by));
}

void StreamAsm::initBarrier(Value barrier) {
  emit("mbarrier.init.shared.b64 [$0], 1;", "r", {}, barrier, true);
}

void StreamAsm::fenceBarriers() {
  emit("fence.mbarrier_init.release.cluster;", "~{memory}", {}, {}, true);
}

void StreamAsm::arrive(Value barrier, Value bytes) {
  emit("mbarrier.arrive.expect_tx.shared.b64 _, [$0], $1;", "r,r", {},
       {barrier, bytes}, true);
}

void StreamAsm::waitFor(Value barrier, Value parity) {
  emit("{\n.reg .pred p;\nagain:\n"
       "mbarrier.try_wait.parity.shared.b64 p, [$0], $1;\n"
       "@p bra done;\nbra again;\ndone:\n}",
       "r,r,~{memory}", {}, {barrier, parity}, true);
}

void StreamAsm::copyBox(Value shared, Value map, Value x, Value y,
                        Value barrier) {
  emit("cp.async.bulk.tensor.2d.shared::cluster.global.tile"
       ".mbarrier::complete_tx::bytes [$0], [$1, {$2, $3}], [$4];",
       "r,l,r,r,r,~{memory}", {}, {shared, map, x, y, barrier}, true);
}

void StreamAsm::copy16(Value condition, Value shared, Value global,
                       int64_t offset) {
  std::string behind = "+" + std::to_string(offset);
  emit("@$2 cp.async.cg.shared.global [$0" + behind + "], [$1" + behind +
           "], 16;",
       "r,l,b,~{memory}", {}, {shared, global, condition}, true);
}

void StreamAsm::commitCopies() {
  emit("cp.async.commit_group;", "~{memory}", {}, {}, true);
}

void StreamAsm::waitForCopies(int64_t pending) {
  emit("cp.async.wait_group " + std::to_string(pending) + ";", "~{memory}", {},
       {}, true);
}

void StreamAsm::syncWarp() {
  emit("bar.warp.sync 0xffffffff;", "~{memory}", {}, {}, true);
}

void StreamAsm::waitForPrevious() {
  for (auto kind : {NVVM::GridDepActionKind::wait,
                    NVVM::GridDepActionKind::launch_dependents})
    NVVM::GriddepcontrolOp::create(b, kind);
}

Value StreamAsm::loadByte(Value shared) {
  return emitOne("ld.shared.u8 $0, [$1];", "=r,r", b.getI32Type(), shared,
                 true);
}

void StreamAsm::storeFloat(Value shared, Value value) {
  emit("st.shared.f32 [$0], $1;", "r,f", {}, {shared, value}, true);
}

void StreamAsm::storeWord(Value shared, Value value) {
  emit("st.shared.b32 [$0], $1;", "r,r,~{memory}", {}, {shared, value}, true);
}

Value StreamAsm::countRound(Value global, int64_t count) {
  return emitOne("atom.acq_rel.gpu.global.inc.u32 $0, [$1], $2;",
                 "=r,l,r,~{memory}", b.getI32Type(),
                 {global, constant(count - 1)}, true);
}

Value StreamAsm::exchange(Value global, int64_t value) {
  return emitOne("atom.acq_rel.gpu.global.exch.b32 $0, [$1], $2;",
                 "=r,l,r,~{memory}", b.getI32Type(), {global, constant(value)},
                 true);
}

Value StreamAsm::replace(Value global, int64_t old, int64_t value) {
  return emitOne("atom.acq_rel.gpu.global.cas.b32 $0, [$1], $2, $3;",
                 "=r,l,r,r,~{memory}", b.getI32Type(),
                 {global, constant(old), constant(value)}, true);
}

Value StreamAsm::waitForWord(Value global, int64_t value, int64_t most) {
  std::string text = "{\n.reg .pred p;\n.reg .b32 n;\nmov.b32 n, 0;\nagain:\n"
                     "ld.acquire.gpu.global.b32 $0, [$1];\n"
                     "setp.eq.u32 p, $0, " +
                     std::to_string(value) +
                     ";\n@p bra done;\nadd.u32 n, n, 1;\n"
                     "setp.lt.u32 p, n, " +
                     std::to_string(most) + ";\n@p bra again;\ndone:\n}";
  return emitOne(text, "=&r,l,~{memory}", b.getI32Type(), {global}, true);
}

void StreamAsm::storeGlobal(Value global, Value value) {
  emit("st.global.b32 [$0], $1;", "l,r,~{memory}", {}, {global, value}, true);
}

Value StreamAsm::loadFloats(Value shared, int64_t count, Value rank) {
  std::string space = "shared";
  if (rank) {
    shared = emitOne("mapa.shared::cluster.u32 $0, $1, $2;", "=r,r,r",
                     b.getI32Type(), {shared, rank});
    space = "shared::cluster";
  }
  SmallVector<Type> types(count, b.getF32Type());
  if (count == 1)
    return emitOne("ld." + space + ".f32 $0, [$1];", "=f,r", types[0], shared,
                   true);
  SmallVector<Value> values;
  for (int64_t i = 0; i < count; i += 4) {
    std::string at = i ? " + " + std::to_string(4 * i) : "";
    llvm::append_range(
        values,
        emit("ld." + space + ".v4.f32 {$0, $1, $2, $3}, [$4" + at + "];",
             "=f,=f,=f,=f,r", ArrayRef(types).take_front(4), shared, true));
  }
  return vector::FromElementsOp::create(
      b, VectorType::get({count}, b.getF32Type()), values);
}

void StreamAsm::clusterBarrier() {
  emit("barrier.cluster.arrive.release.aligned;\n"
       "barrier.cluster.wait.acquire.aligned;",
       "~{memory}", {}, {}, true);
}

//===----------------------------------------------------------------------===//
// Numbers
//===----------------------------------------------------------------------===//

Value StreamAsm::mulByHalf(Value x, Value y, bool high, bool bf16) {
  // As halves, which the instruction selects itself.
  std::string half = high ? "h" : "l";
  return emitOne("{\n.reg .b16 l, h;\n.reg .b32 t;\nmov.b32 {l, h}, $2;\n"
                 "mov.b32 t, {" +
                     half + ", " + half + "};\nmul.rn." +
                     (bf16 ? "bf16x2" : "f16x2") + " $0, $1, t;\n}",
                 "=r,r,r", b.getI32Type(), {x, y});
}

SmallVector<Value> StreamAsm::multiply(ValueRange a, ValueRange b2,
                                       ValueRange sums, bool bf16) {
  SmallVector<Value> operands;
  llvm::append_range(operands, a);
  llvm::append_range(operands, b2);
  llvm::append_range(operands, sums);
  SmallVector<Type> types(4, b.getF32Type());
  std::string type = bf16 ? "bf16" : "f16";
  return emit("mma.sync.aligned.m16n8k16.row.col.f32." + type + "." + type +
                  ".f32 {$0, $1, $2, $3}, {$4, $5, $6, $7}, {$8, $9}, "
                  "{$10, $11, $12, $13};",
              "=f,=f,=f,=f,r,r,r,r,r,r,f,f,f,f", types, operands, false);
}

//===----------------------------------------------------------------------===//
// Products of warpgroups
//===----------------------------------------------------------------------===//

SmallVector<Value> StreamAsm::loadMatrices(Value shared) {
  SmallVector<Type> types(4, b.getI32Type());
  return emit("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {$0, $1, $2, $3}, "
              "[$4];",
              "=r,=r,=r,=r,r", types, shared, true);
}

void StreamAsm::commitProducts() { NVVM::WgmmaGroupSyncAlignedOp::create(b); }
void StreamAsm::waitForProducts(int64_t pending) {
  NVVM::WgmmaWaitGroupSyncOp::create(b, uint64_t(pending));
}

/// "=f,=r,...,0,1,...": results that begin as operands.
static std::string tied(ValueRange values) {
  std::string text;
  for (Value value : values)
    text += value.getType().isF32() ? "=f," : "=r,";
  for (size_t i = 0; i < values.size(); ++i)
    text += (i ? "," : "") + std::to_string(i);
  return text;
}

SmallVector<Value> StreamAsm::pass(StringRef text, ValueRange values) {
  return emit(text, tied(values) + ",~{memory}",
              SmallVector<Type>(values.getTypes()), values, true);
}

SmallVector<Value> StreamAsm::fenceProducts(ValueRange values) {
  return pass("wgmma.fence.sync.aligned;", values);
}

SmallVector<Value> StreamAsm::finishProducts(ValueRange sums) {
  return pass("wgmma.wait_group.sync.aligned 0;", sums);
}

SmallVector<Value> StreamAsm::multiplyWide(ValueRange a, Value descriptor,
                                           ValueRange sums, bool bf16) {
  size_t count = sums.size();
  std::string type = bf16 ? "bf16" : "f16", list;
  for (size_t i = 0; i < count; ++i)
    list += (i ? ", $" : "$") + std::to_string(i);
  auto operand = [&](size_t i) { return "$" + std::to_string(2 * count + i); };
  std::string text = "wgmma.mma_async.sync.aligned.m64n" +
                     std::to_string(count * 2) + "k16.f32." + type + "." +
                     type + " {" + list + "}, {" + operand(0) + ", " +
                     operand(1) + ", " + operand(2) + ", " + operand(3) +
                     "}, " + operand(4) + ", 1, 1, 1, 0;";
  SmallVector<Value> operands(sums);
  llvm::append_range(operands, a);
  operands.push_back(descriptor);
  SmallVector<Type> types(count, b.getF32Type());
  return emit(text, tied(sums) + ",r,r,r,r,l", types, operands, true);
}

/// PTX ISA, "Matrix Descriptor Format": address / 16, 1024 bytes from eight
/// rows to the next, a swizzle of 128 bytes.
Value StreamAsm::getDescriptor(Value shared) {
  Value low = bitOr(bitAnd(shr(shared, 4), 0x3FFF), constant(1 << 16));
  Value wide = arith::ExtUIOp::create(b, b.getI64Type(), low);
  Value rest = arith::ConstantOp::create(
      b, b.getI64IntegerAttr(int64_t(64) << 32 | int64_t(1) << 62));
  return arith::OrIOp::create(b, wide, rest);
}

Value StreamAsm::advanceDescriptor(Value descriptor, int64_t bytes) {
  return b.createOrFold<arith::AddIOp>(
      descriptor,
      arith::ConstantOp::create(b, b.getI64IntegerAttr(bytes / 16)));
}

} // namespace gpu
} // namespace nibble
