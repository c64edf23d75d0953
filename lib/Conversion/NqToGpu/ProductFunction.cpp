// A gpu.func that is being written for a product, and its buffers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "ProductFunction.h"

#include "Ptx.h"

#include "mlir/Dialect/LLVMIR/LLVMDialect.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

using namespace mlir;

namespace nibble {
namespace gpu {

ProductGraph::ProductGraph(func::FuncOp part)
    : part(part), graph(part.getContext()), stages(graph) {
  for (Operation &op : part.front())
    if (isa<nq::MatmulOp, nq::AttentionOp>(op))
      product = &op;
}

LogicalResult ProductGraph::read() {
  if (failed(graph.read(part.front(), /*products=*/true)))
    return failure();
  for (cpu::Tensor &tensor : graph.tensors) {
    tensor.stored = !tensor.isComputed();
    tensor.buffer.element = tensor.element;
    if (tensor.reduction)
      return product->emitError() << "an operand is a sum that was not "
                                     "computed before the product";
  }
  return success();
}

static mlir::gpu::GPUFuncOp createFunction(ProductGraph &product,
                                           mlir::gpu::GPUModuleOp target,
                                           const Twine &symbol,
                                           ArrayRef<Type> types,
                                           int64_t threads, int64_t blocks) {
  OpBuilder b = OpBuilder::atBlockEnd(target.getBody());
  auto function = mlir::gpu::GPUFuncOp::create(
      b, product.product->getLoc(), symbol.str(),
      FunctionType::get(target.getContext(), types, {}));
  function->setAttr(mlir::gpu::GPUDialect::getKernelFuncAttrName(),
                    b.getUnitAttr());
  function.setKnownBlockSizeAttr(
      b.getDenseI32ArrayAttr({int32_t(threads), 1, 1}));
  function->setAttr(NVVM::NVVMDialect::getMinctasmAttrName(),
                    b.getI32IntegerAttr(int32_t(blocks)));
  return function;
}

static SmallVector<Type> parameterTypes(cpu::KernelBuffers &buffers,
                                        func::FuncOp part, int64_t floats,
                                        unsigned maps, int64_t counters) {
  SmallVector<Type> types;
  for (Type type : part.getArgumentTypes())
    types.push_back(buffers.bufferType(type));
  for (Type type : part.getResultTypes())
    types.push_back(buffers.bufferType(type));
  if (floats)
    types.push_back(MemRefType::get({floats}, buffers.b.getF32Type()));
  if (counters)
    types.push_back(MemRefType::get({counters}, buffers.b.getI32Type()));
  types.append(maps, LLVM::LLVMPointerType::get(part.getContext()));
  return types;
}

ProductFunction::ProductFunction(ProductGraph &product,
                                 mlir::gpu::GPUModuleOp target,
                                 const Twine &symbol, int64_t threads,
                                 int64_t blocks, int64_t workspaceFloats,
                                 unsigned maps, int64_t counters)
    : KernelBuffers(product.part),
      function(createFunction(
          product, target, symbol,
          parameterTypes(*this, product.part, workspaceFloats, maps, counters),
          threads, blocks)),
      code(b, product.product->getLoc()), threads(threads), maps(maps),
      hasCounters(counters) {
  b.setInsertionPointToEnd(&function.getBody().front());
  bindArguments(product.graph, product.stages, function.getArguments(),
                function, function.getName());
  code.b.setInsertionPointToEnd(&function.getBody().front());
}

Value ProductFunction::addShared(int64_t count) {
  auto space = mlir::gpu::AddressSpaceAttr::get(
      function.getContext(), mlir::gpu::AddressSpace::Workgroup);
  auto type = MemRefType::get({count}, b.getF32Type(),
                              MemRefLayoutAttrInterface(), space);
  unsigned number = function.getNumWorkgroupAttributions();
  Value memory = function.addWorkgroupAttribution(type, function.getLoc());
  function.setWorkgroupAttributionAttr(
      number, LLVM::LLVMDialect::getAlignAttrName(), b.getI64IntegerAttr(16));
  return memory;
}

void ProductFunction::barrier() { mlir::gpu::BarrierOp::create(code.b); }

SmallVector<Value> ProductFunction::pin(ValueRange values) {
  return llvm::map_to_vector(values, [&](Value value) -> Value {
    return tilecode::emitAsm(code.b, "mov.b32 $0, $1;", "=f,f", value.getType(),
                             value, /*hasEffects=*/true)
        .front();
  });
}

Value ProductFunction::thread() {
  return mlir::gpu::ThreadIdOp::create(code.b, mlir::gpu::Dimension::x);
}

Value ProductFunction::block() {
  return mlir::gpu::BlockIdOp::create(code.b, mlir::gpu::Dimension::x);
}

Value ProductFunction::constant(double value) {
  return arith::ConstantOp::create(code.b, code.b.getF32FloatAttr(value));
}

KernelLaunch ProductFunction::finish(int64_t blocks) {
  code.b.setInsertionPointToEnd(&function.getBody().front());
  mlir::gpu::ReturnOp::create(code.b);
  KernelLaunch launch;
  launch.symbol = function.getName().str();
  launch.grid = {blocks, 1, 1};
  launch.block = {threads, 1, 1};
  for (unsigned i = 0; i < function.getFunctionType().getNumInputs() - maps;
       ++i)
    launch.args.push_back(KernelArg::pointer(i));
  return launch;
}

} // namespace gpu
} // namespace nibble
