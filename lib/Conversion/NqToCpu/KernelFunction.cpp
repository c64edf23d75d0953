// The function on memory that a kernel becomes, and the buffers of its tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelFunction.h"
#include "EmitNest.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace cpu {

KernelFunction::KernelFunction(func::FuncOp kernel, ModuleOp target,
                               StringRef name, bool bytes)
    : KernelBuffers(kernel), name(name.str()) {
  info.extent = 0;
  SmallVector<Type> types;
  for (Type type : kernel.getArgumentTypes()) {
    int64_t size = nq::getStorageRegions(cast<RankedTensorType>(type)).total;
    types.push_back(bytes ? MemRefType::get({size}, b.getI8Type())
                          : bufferType(type));
  }
  for (Type type : kernel.getResultTypes())
    types.push_back(bufferType(type));
  auto scratchType = MemRefType::get({ShapedType::kDynamic}, b.getI8Type());
  types.append({b.getIndexType(), b.getIndexType(), scratchType});
  b.setInsertionPointToEnd(target.getBody());
  function = func::FuncOp::create(b, name, b.getFunctionType(types, {}));
  function->setAttr("nibble.kernel", b.getUnitAttr());
  b.setInsertionPointToStart(function.addEntryBlock());
}

void KernelFunction::finish() {
  b.setInsertionPointToEnd(&function.front());
  func::ReturnOp::create(b);
}

void KernelFunction::bindArguments(KernelGraph &graph,
                                   const KernelStages &stages) {
  KernelBuffers::bindArguments(
      graph, stages, function.getArguments().drop_back(3), function, name);
}

void KernelFunction::bindScratch(Tensor &tensor) {
  int64_t size = bufferSize(tensor);
  tensor.buffer.memref =
      viewOf(getScratch(), index(info.scratchBytes), tensor.element, size);
  info.scratchBytes +=
      llvm::alignTo(nq::getPlainBytes(tensor.element, size), 64);
}

//===----------------------------------------------------------------------===//
// The range of a launch
//===----------------------------------------------------------------------===//

std::pair<Value, Value> KernelFunction::claim(int64_t units, int64_t total) {
  int64_t base = info.extent;
  info.extent += units;
  if (units == total)
    return {getLow(), getHigh()};
  auto shift = [&](Value border) -> Value {
    if (base > 0)
      border = arith::MaxSIOp::create(
          b, arith::SubIOp::create(b, border, index(base)), index(0));
    return arith::MinSIOp::create(b, border, index(units));
  };
  Value low = shift(getLow());
  return {low, shift(getHigh())};
}

void KernelFunction::noteGrain(int64_t grain, int64_t work) {
  if (work < mostWork)
    return;
  mostWork = work;
  info.grain = grain;
}

void KernelFunction::emitUnits(Nest &nest, int64_t total) {
  if (nest.plan.units == 0)
    return;
  noteGrain(nest.plan.grain, nest.plan.work);
  auto [from, to] = claim(nest.plan.units, total);
  cpu::emitUnits(b, nest, from, to);
}

} // namespace cpu
} // namespace nibble
