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
    : b(kernel.getLoc(), kernel.getContext()), kernel(kernel),
      name(name.str()) {
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

Value KernelFunction::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

//===----------------------------------------------------------------------===//
// Buffers
//===----------------------------------------------------------------------===//

MemRefType KernelFunction::bufferType(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  nq::StorageRegions regions = nq::getStorageRegions(tensor);
  if (nq::getScaledElement(type) || isPacked(tensor.getElementType()))
    return MemRefType::get({regions.total}, b.getI8Type());
  nq::LayoutAttr layout = nq::getLayout(type);
  int64_t count = layout ? layout.getStorageSize(tensor.getShape())
                         : tensor.getNumElements();
  return MemRefType::get({count}, storageType(tensor.getElementType()));
}

Value KernelFunction::viewOf(Value bytes, Value offset, Type element,
                             int64_t count) {
  Type type = isPacked(element) ? b.getI8Type() : storageType(element);
  if (isPacked(element))
    count = llvm::divideCeil(count, 2);
  return memref::ViewOp::create(b, MemRefType::get({count}, type), bytes,
                                offset, ValueRange());
}

int64_t bufferSize(const Tensor &tensor) {
  if (tensor.layout)
    return tensor.layout.getStorageSize(tensor.shape);
  if (tensor.blockElements)
    return tensor.blockElements;
  return ShapedType::getNumElements(
      ArrayRef<int64_t>(tensor.shape).drop_front(tensor.rowDims));
}

void KernelFunction::bindPart(Value buffer, Type type, Tensor &tensor,
                              unsigned part) {
  if (!nq::getScaledElement(type)) {
    bool isView = buffer.getType() != bufferType(type);
    tensor.buffer.memref =
        isView ? viewOf(buffer, index(0), tensor.element, bufferSize(tensor))
               : buffer;
    return;
  }
  nq::StorageRegions regions =
      nq::getStorageRegions(cast<RankedTensorType>(type));
  bool hasGlobal = nq::getScaledElement(type).getGlobal() != nullptr;
  int64_t offsets[] = {regions.codes, regions.scales,
                       hasGlobal ? regions.global : regions.zeroPoints,
                       regions.zeroPoints};
  tensor.buffer.memref =
      viewOf(buffer, index(offsets[part]), tensor.element, bufferSize(tensor));
}

void KernelFunction::bindArguments(KernelGraph &graph,
                                   const KernelStages &stages) {
  for (auto [i, argument] : llvm::enumerate(kernel.getArguments()))
    for (auto [part, tensor] : llvm::enumerate(graph.partsOf(argument)))
      bindPart(function.getArgument(i), argument.getType(), *tensor, part);
  unsigned first = kernel.getNumArguments();
  for (const KernelStages::Result &result : stages.results)
    bindPart(function.getArgument(first + result.value),
             kernel.getResultTypes()[result.value], *result.tensor,
             result.part);
  for (auto [i, data] : llvm::enumerate(graph.constants))
    bindConstant(data, i);
}

void KernelFunction::bindScratch(Tensor &tensor) {
  int64_t size = bufferSize(tensor);
  tensor.buffer.memref =
      viewOf(getScratch(), index(info.scratchBytes), tensor.element, size);
  info.scratchBytes +=
      llvm::alignTo(nq::getPlainBytes(tensor.element, size), 64);
}

void KernelFunction::bindConstant(KernelGraph::Data &data, unsigned number) {
  auto type = MemRefType::get({int64_t(data.bytes.size())}, b.getI8Type());
  std::string symbol = (name + "_constant" + Twine(number)).str();
  auto bytes = DenseElementsAttr::getFromRawBuffer(
      RankedTensorType::get(type.getShape(), b.getI8Type()), data.bytes);
  {
    OpBuilder::InsertionGuard guard(b);
    b.setInsertionPoint(function);
    memref::GlobalOp::create(b, symbol, b.getStringAttr("private"), type, bytes,
                             /*constant=*/true, b.getI64IntegerAttr(64));
  }
  Value global = memref::GetGlobalOp::create(b, type, symbol);
  data.tensor->buffer.memref =
      viewOf(global, index(0), data.tensor->element, bufferSize(*data.tensor));
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
