// nq.update kernels: rows copied into a buffer, in place.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToCpu/UpdateKernel.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/ImplicitLocOpBuilder.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::cpu;

/// Bytes that one vector operation of the code moves.
static constexpr int64_t kVectorBytes = 64;
/// Bytes that are worth a task of their own.
static constexpr int64_t kGrainBytes = 16384;

bool cpu::isUpdateKernel(func::FuncOp kernel) {
  Block &body = kernel.front();
  return llvm::hasNItems(body, 2) && isa<nq::UpdateOp>(body.front());
}

namespace {

class UpdateEmitter {
public:
  UpdateEmitter(func::FuncOp kernel, ModuleOp module)
      : kernel(kernel), b(kernel.getLoc(), kernel.getContext()),
        op(cast<nq::UpdateOp>(kernel.front().front())) {
    b.setInsertionPointToEnd(module.getBody());
    auto shape = typeOf(op.getInput()).getShape();
    extent = shape[op.getAxis()];
    count = typeOf(op.getRows()).getDimSize(op.getAxis());
    before = ShapedType::getNumElements(shape.take_front(op.getAxis()));
    inner = ShapedType::getNumElements(shape.drop_front(op.getAxis() + 1));
    bits = typeOf(op.getInput()).getElementType().getIntOrFloatBitWidth();
  }

  KernelInfo run() {
    makeFunction();
    emit();
    KernelInfo info;
    info.extent = before * count;
    info.grain = std::max<int64_t>(
        1, kGrainBytes / std::max<int64_t>(inner * bits / 8, 1));
    return info;
  }

private:
  static RankedTensorType typeOf(Value value) {
    return cast<RankedTensorType>(value.getType());
  }
  Value index(int64_t value) {
    return arith::ConstantIndexOp::create(b, value);
  }

  /// Elements move as integers: a copy has no need of their type.
  MemRefType bufferOf(Type type, unsigned width) {
    return MemRefType::get({cast<RankedTensorType>(type).getNumElements()},
                           b.getIntegerType(width));
  }

  void makeFunction() {
    SmallVector<Type> types;
    unsigned positionBits =
        typeOf(op.getPosition()).getElementType().getIntOrFloatBitWidth();
    for (BlockArgument argument : kernel.getArguments())
      types.push_back(bufferOf(argument.getType(), argument == op.getPosition()
                                                       ? positionBits
                                                       : bits));
    types.push_back(bufferOf(op.getResult().getType(), bits));
    types.append({b.getIndexType(), b.getIndexType(),
                  MemRefType::get({ShapedType::kDynamic}, b.getI8Type())});
    function =
        func::FuncOp::create(b, kernel.getName(), b.getFunctionType(types, {}));
    function->setAttr("nibble.kernel", b.getUnitAttr());
    b.setInsertionPointToStart(function.addEntryBlock());
  }

  Value bufferFor(Value value) {
    return function.getArgument(cast<BlockArgument>(value).getArgNumber());
  }

  void emit() {
    unsigned arguments = function.getNumArguments();
    Value position =
        memref::LoadOp::create(b, bufferFor(op.getPosition()), index(0));
    position = arith::IndexCastOp::create(b, b.getIndexType(), position);
    auto loop =
        scf::ForOp::create(b, function.getArgument(arguments - 3),
                           function.getArgument(arguments - 2), index(1));
    {
      OpBuilder::InsertionGuard guard(b);
      b.setInsertionPoint(loop.getBody()->getTerminator());
      emitRow(loop.getInductionVar(), position);
    }
    func::ReturnOp::create(b);
  }

  void emitRow(Value unit, Value position) {
    Value row = arith::RemUIOp::create(b, unit, index(count));
    Value outer = arith::DivUIOp::create(b, unit, index(count));
    Value at = arith::AddIOp::create(b, position, row);
    // Unsigned: one comparison for both ends, and for sums that wrap around.
    Value inside =
        arith::CmpIOp::create(b, arith::CmpIPredicate::ult, at, index(extent));
    auto guard = scf::IfOp::create(b, inside, /*withElseRegion=*/false);
    b.setInsertionPoint(guard.thenYield());
    Value slice = arith::AddIOp::create(
        b, arith::MulIOp::create(b, outer, index(extent)), at);
    copyRow(arith::MulIOp::create(b, unit, index(inner)),
            arith::MulIOp::create(b, slice, index(inner)));
  }

  /// `inner` consecutive elements, in vectors and a rest.
  void copyRow(Value from, Value to) {
    int64_t width = kVectorBytes * 8 / bits, whole = inner / width * width;
    auto vector = VectorType::get({width}, b.getIntegerType(bits));
    Value rows = bufferFor(op.getRows());
    Value result = function.getArgument(kernel.getNumArguments());
    forRange(0, whole, width, [&](Value i) {
      Value source = arith::AddIOp::create(b, from, i);
      Value data = vector::LoadOp::create(b, vector, rows, source);
      Value target = arith::AddIOp::create(b, to, i);
      vector::StoreOp::create(b, data, result, target);
    });
    forRange(whole, inner, 1, [&](Value i) {
      Value source = arith::AddIOp::create(b, from, i);
      Value data = memref::LoadOp::create(b, rows, source);
      Value target = arith::AddIOp::create(b, to, i);
      memref::StoreOp::create(b, data, result, target);
    });
  }

  void forRange(int64_t low, int64_t high, int64_t step,
                function_ref<void(Value)> body) {
    if (low == high)
      return;
    auto loop = scf::ForOp::create(b, index(low), index(high), index(step));
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(loop.getBody()->getTerminator());
    body(loop.getInductionVar());
  }

  func::FuncOp kernel;
  ImplicitLocOpBuilder b;
  nq::UpdateOp op;
  func::FuncOp function;
  int64_t extent, count; ///< slices along the axis of the buffer, of the rows
  int64_t before, inner; ///< elements of the dimensions before and after it
  unsigned bits;
};

} // namespace

KernelInfo cpu::lowerUpdateKernel(func::FuncOp kernel, ModuleOp module) {
  return UpdateEmitter(kernel, module).run();
}
