// The buffers of the tensors of a kernel, in the function on memory that it
// becomes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KernelBuffers.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;

namespace nibble {
namespace cpu {

Value KernelBuffers::index(int64_t value) {
  return arith::ConstantIndexOp::create(b, value);
}

MemRefType KernelBuffers::bufferType(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  nq::StorageRegions regions = nq::getStorageRegions(tensor);
  if (nq::getScaledElement(type) || isPacked(tensor.getElementType()))
    return MemRefType::get({regions.total}, b.getI8Type());
  nq::LayoutAttr layout = nq::getLayout(type);
  int64_t count = layout ? layout.getStorageSize(tensor.getShape())
                         : tensor.getNumElements();
  return MemRefType::get({count}, storageType(tensor.getElementType()));
}

Value KernelBuffers::viewOf(Value bytes, Value offset, Type element,
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

void KernelBuffers::bindPart(Value buffer, Type type, Tensor &tensor,
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

void KernelBuffers::bindArguments(KernelGraph &graph,
                                  const KernelStages &stages,
                                  ValueRange arguments, Operation *function,
                                  StringRef symbol) {
  for (auto [i, argument] : llvm::enumerate(kernel.getArguments()))
    for (auto [part, tensor] : llvm::enumerate(graph.partsOf(argument)))
      bindPart(arguments[i], argument.getType(), *tensor, part);
  unsigned first = kernel.getNumArguments();
  for (const KernelStages::Result &result : stages.results)
    bindPart(arguments[first + result.value],
             kernel.getResultTypes()[result.value], *result.tensor,
             result.part);
  for (auto [i, data] : llvm::enumerate(graph.constants))
    bindConstant(data, function,
                 (symbol + "_constant" + Twine(unsigned(i))).str());
}

void KernelBuffers::bindConstant(KernelGraph::Data &data, Operation *function,
                                 StringRef symbol) {
  auto type = MemRefType::get({int64_t(data.bytes.size())}, b.getI8Type());
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

} // namespace cpu
} // namespace nibble
