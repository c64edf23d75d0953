// Short forms for the operations that GEMM kernels are made of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GemmCode.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"

using namespace mlir;

namespace nibble {
namespace cpu {

Type GemmCode::elementType(rt::StorageFormat format) {
  switch (format) {
  case rt::StorageFormat::F16:
    return b.getF16Type();
  case rt::StorageFormat::BF16:
    return b.getBF16Type();
  case rt::StorageFormat::F32:
    return f32();
  default:
    return b.getI8Type();
  }
}

Value GemmCode::constant(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}
Value GemmCode::min(Value x, Value y) {
  return b.createOrFold<arith::MinSIOp>(x, y);
}
Value GemmCode::max(Value x, Value y) {
  return b.createOrFold<arith::MaxSIOp>(x, y);
}
scf::ForOp GemmCode::loop(Value from, Value to, int64_t step,
                          llvm::function_ref<void(Value)> body) {
  auto loop = scf::ForOp::create(b, from, to, index(step));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  body(loop.getInductionVar());
  return loop;
}

void GemmCode::loop(int64_t from, int64_t to, int64_t step,
                    llvm::function_ref<void(Value)> body) {
  loop(index(from), index(to), step, body);
}

SmallVector<Value> GemmCode::loop(int64_t from, int64_t to, int64_t step,
                                  ValueRange init, CarryingBody body) {
  if (from >= to)
    return SmallVector<Value>(init);
  return loop(index(from), index(to), step, init, body);
}

SmallVector<Value> GemmCode::loop(Value from, Value to, int64_t step,
                                  ValueRange init, CarryingBody body) {
  auto loop = scf::ForOp::create(b, from, to, index(step), init);
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(loop.getBody());
  SmallVector<Value> next =
      body(loop.getInductionVar(), loop.getRegionIterArgs());
  scf::YieldOp::create(b, next);
  return SmallVector<Value>(loop.getResults());
}

void GemmCode::keepRolled(scf::ForOp loop) {
  MLIRContext *context = b.getContext();
  auto unroll = LLVM::LoopUnrollAttr::get(
      context, /*disable=*/b.getBoolAttr(true), {}, {}, {}, {}, {}, {});
  loop->setAttr("llvm.loop_annotation",
                LLVM::LoopAnnotationAttr::get(context, {}, {}, {}, unroll, {},
                                              {}, {}, {}, {}, {}, {}, {}, {},
                                              {}, {}));
}

void GemmCode::ifElse(Value condition, llvm::function_ref<void()> then,
                      llvm::function_ref<void()> otherwise) {
  auto branch =
      scf::IfOp::create(b, condition, /*withElseRegion=*/bool(otherwise));
  OpBuilder::InsertionGuard guard(b);
  b.setInsertionPointToStart(branch.thenBlock());
  then();
  if (!otherwise)
    return;
  b.setInsertionPointToStart(branch.elseBlock());
  otherwise();
}

Value GemmCode::zero() { return splatF(0); }
Value GemmCode::splat(VectorType type, int64_t value) {
  auto element = cast<IntegerType>(type.getElementType());
  APInt bits(element.getWidth(), uint64_t(value), /*isSigned=*/false,
             /*implicitTrunc=*/true);
  return arith::ConstantOp::create(
      b, DenseElementsAttr::get(type, IntegerAttr::get(element, bits)));
}
Value GemmCode::splatF(double value) {
  return arith::ConstantOp::create(
      b, DenseElementsAttr::get(v8(), b.getF32FloatAttr(value)));
}
Value GemmCode::broadcast(Value scalar) {
  return vector::BroadcastOp::create(b, vec(8, scalar.getType()), scalar);
}
Value GemmCode::fma(Value x, Value y, Value sum) {
  return vector::FMAOp::create(b, x, y, sum);
}
Value GemmCode::mulF(Value x, Value y) {
  return arith::MulFOp::create(b, x, y);
}
Value GemmCode::bitcast(Value value, Type element) {
  auto type = cast<VectorType>(value.getType());
  int64_t bits = type.getDimSize(0) * type.getElementTypeBitWidth();
  auto to = vec(bits / element.getIntOrFloatBitWidth(), element);
  return to == type ? value : vector::BitCastOp::create(b, to, value);
}
Value GemmCode::intrinsic(StringRef name, Type result, ValueRange operands) {
  auto call =
      LLVM::CallIntrinsicOp::create(b, result, b.getStringAttr(name), operands);
  return call.getResult(0);
}
Value GemmCode::slice8(Value value, int64_t first) {
  return vector::ExtractStridedSliceOp::create(
      b, value, ArrayRef<int64_t>{first}, ArrayRef<int64_t>{8},
      ArrayRef<int64_t>{1});
}

SmallVector<Value> GemmCode::transpose8x8(ArrayRef<Value> r) {
  auto shuffle = [&](Value x, Value y, ArrayRef<int64_t> order) -> Value {
    return vector::ShuffleOp::create(b, x, y, order);
  };
  SmallVector<Value> t, u, out(8);
  for (int i = 0; i < 8; i += 2) {
    t.push_back(shuffle(r[i], r[i + 1], {0, 8, 1, 9, 4, 12, 5, 13}));
    t.push_back(shuffle(r[i], r[i + 1], {2, 10, 3, 11, 6, 14, 7, 15}));
  }
  for (int i : {0, 4})
    for (int j : {0, 1}) {
      u.push_back(shuffle(t[i + j], t[i + j + 2], {0, 1, 8, 9, 4, 5, 12, 13}));
      u.push_back(
          shuffle(t[i + j], t[i + j + 2], {2, 3, 10, 11, 6, 7, 14, 15}));
    }
  for (int i = 0; i < 4; ++i) {
    out[i] = shuffle(u[i], u[i + 4], {0, 1, 2, 3, 8, 9, 10, 11});
    out[i + 4] = shuffle(u[i], u[i + 4], {4, 5, 6, 7, 12, 13, 14, 15});
  }
  return out;
}

static Type sameShape(Type like, Type element) {
  if (auto vector = dyn_cast<VectorType>(like))
    return vector.clone(element);
  return element;
}
Value GemmCode::toF32(Value value) {
  if (getElementTypeOrSelf(value).isF32())
    return value;
  return arith::ExtFOp::create(b, sameShape(value.getType(), f32()), value);
}
Value GemmCode::fromF32(Value value, rt::StorageFormat format) {
  Type element = elementType(format);
  if (element.isF32())
    return value;
  return arith::TruncFOp::create(b, sameShape(value.getType(), element), value);
}

Value GemmCode::load(Value memref, Value at, int64_t lanes) {
  Type element = cast<MemRefType>(memref.getType()).getElementType();
  return vector::LoadOp::create(b, vec(lanes, element), memref, at);
}
Value GemmCode::loadScalar(Value memref, Value at) {
  return memref::LoadOp::create(b, memref, at);
}
void GemmCode::store(Value value, Value memref, Value at) {
  if (isa<VectorType>(value.getType()))
    vector::StoreOp::create(b, value, memref, at);
  else
    memref::StoreOp::create(b, value, memref, at);
}
Value GemmCode::loadBytes(Value bytes, Value at, int64_t lanes, Type element) {
  int64_t count = lanes * element.getIntOrFloatBitWidth() / 8;
  return bitcast(load(bytes, at, count), element);
}
Value GemmCode::loadNumber(Value bytes, int64_t at, rt::StorageFormat format) {
  Value raw = loadBytes(bytes, index(at), 1, elementType(format));
  return toF32(vector::ExtractOp::create(b, raw, int64_t(0)));
}
Value GemmCode::scratchView(Value scratch, int64_t offset, int64_t count,
                            Type element) {
  auto type = MemRefType::get({count}, element);
  return memref::ViewOp::create(b, type, scratch, index(offset), ValueRange{});
}
Value GemmCode::scratchF32(Value scratch, int64_t offset, int64_t count) {
  return scratchView(scratch, offset, count, f32());
}

} // namespace cpu
} // namespace nibble
