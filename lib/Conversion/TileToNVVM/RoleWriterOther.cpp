// Ops of a role that are not tile's, and tile.once around them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "RoleWriter.h"

#include "Body.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;

/// The first thread of the role in block 0.
LogicalResult RoleWriter::writeOnce(tile::OnceOp once) {
  const Threads &t = kernel.threads;
  auto isZero = [&](Int value, Value also) {
    Value is = code.equal(value, 0);
    return also ? LLVM::AndOp::create(code, is, also).getResult() : is;
  };
  Value condition = isZero(t.cluster, Value());
  if (kernel.getClusterSize() > 1)
    condition = isZero(t.rank, condition);
  if (!isSingle)
    condition = isZero(code.sub(t.thread, op.getFirstWarp() * 32), condition);
  LogicalResult result = success();
  code.when(condition, [&] { result = writeBlock(once.getBody().front()); });
  return result;
}

bool RoleWriter::hasTileOps(Operation *other) {
  WalkResult inside = other->walk([](Operation *nested) {
    return isa<tile::TileDialect>(nested->getDialect())
               ? WalkResult::interrupt()
               : WalkResult::advance();
  });
  return inside.wasInterrupted();
}

LogicalResult RoleWriter::writeOther(Operation *other) {
  if (hasTileOps(other))
    return refuse(other) << "ops of tile inside '" << other->getName()
                         << "'; scf.for and tile.for_tiles work";
  mapOperands(other);
  writeMemoryOps(other, code.clone(*other, values));
  return success();
}

/// Values from outside that were not needed as an index so far.
void RoleWriter::mapOperands(Operation *other) {
  other->walk([&](Operation *nested) {
    for (Value operand : nested->getOperands())
      if (auto it = ints.find(operand); it != ints.end())
        values.map(operand, code.toIndex(it->second));
  });
}

Int RoleWriter::getInt(Value value) {
  if (auto it = ints.find(value); it != ints.end())
    return it->second;
  APInt number;
  if (matchPattern(value, m_ConstantInt(&number)))
    return number.getSExtValue();
  return code.fromIndex(values.lookup(value));
}

/// Where an element of an argument of the kernel lies.
static Value getAddress(Kernel &kernel, ImplicitLocOpBuilder &b, Value memref,
                        ValueRange indices) {
  auto type = cast<MemRefType>(memref.getType());
  Type i32 = b.getI32Type();
  Value index = LLVM::ConstantOp::create(b, i32, b.getI32IntegerAttr(0));
  for (auto [i, extent] : llvm::zip(indices, type.getShape())) {
    Value size = LLVM::ConstantOp::create(b, i32, b.getI32IntegerAttr(extent));
    index = LLVM::AddOp::create(b, LLVM::MulOp::create(b, index, size),
                                arith::IndexCastUIOp::create(b, i32, i));
  }
  Value base = kernel.params.getPointer(memref);
  return LLVM::GEPOp::create(b, base.getType(),
                             getStoredType(type.getElementType()), base,
                             ArrayRef<LLVM::GEPArg>(index));
}

static Value replaceLoad(Kernel &kernel, memref::LoadOp load) {
  ImplicitLocOpBuilder b(load.getLoc(), load);
  Value address = getAddress(kernel, b, load.getMemRef(), load.getIndices());
  Type stored = getStoredType(load.getType());
  Value value = LLVM::LoadOp::create(b, stored, address);
  if (stored != load.getType())
    value = arith::BitcastOp::create(b, load.getType(), value);
  load.replaceAllUsesWith(value);
  load.erase();
  return value;
}

static void replaceStore(Kernel &kernel, memref::StoreOp store) {
  ImplicitLocOpBuilder b(store.getLoc(), store);
  Value address = getAddress(kernel, b, store.getMemRef(), store.getIndices());
  Value value = store.getValueToStore();
  Type stored = getStoredType(value.getType());
  if (stored != value.getType())
    value = arith::BitcastOp::create(b, stored, value);
  LLVM::StoreOp::create(b, value, address);
  store.erase();
}

void RoleWriter::writeMemoryOps(Operation *original, Operation *clone) {
  SmallVector<Operation *> ops;
  clone->walk([&](Operation *inside) { ops.push_back(inside); });
  for (Operation *inside : ops) {
    if (auto store = dyn_cast<memref::StoreOp>(inside))
      replaceStore(kernel, store);
    auto load = dyn_cast<memref::LoadOp>(inside);
    if (!load)
      continue;
    bool isClone = inside == clone;
    Value value = replaceLoad(kernel, load);
    if (isClone)
      values.map(original->getResult(0), value);
  }
}
