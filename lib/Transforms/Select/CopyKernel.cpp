// Finds or makes the copy kernel of a type.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CopyKernel.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;

/// Marks the kernels made here.
static constexpr llvm::StringLiteral kCopyAttr = "nibble.copy";

static func::FuncOp findKernel(ModuleOp module, FunctionType type) {
  for (auto function : module.getOps<func::FuncOp>())
    if (function->hasAttr(kCopyAttr) && function.getFunctionType() == type)
      return function;
  return {};
}

/// The value itself for a scaled tensor, whose codes and scales move as they
/// are; else an elementwise copy.
static Value copyIn(OpBuilder &builder, Location loc, Value value) {
  auto type = cast<RankedTensorType>(value.getType());
  if (nq::getScaledElement(type))
    return value;
  Value init = tensor::EmptyOp::create(builder, loc, type.getShape(),
                                       type.getElementType());
  AffineMap map = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, type, value, init, ArrayRef<AffineMap>{map, map},
             loops,
             [](OpBuilder &b, Location loc, ValueRange args) {
               linalg::YieldOp::create(b, loc, args[0]);
             })
      .getResult(0);
}

static func::FuncOp makeKernel(ModuleOp module, FunctionType type) {
  OpBuilder builder = OpBuilder::atBlockEnd(module.getBody());
  Location loc = builder.getUnknownLoc();
  std::string name;
  for (unsigned i = 0; name.empty() || module.lookupSymbol(name); ++i)
    name = "copy" + std::to_string(i);
  auto kernel = func::FuncOp::create(builder, loc, name, type);
  kernel.setPrivate();
  kernel->setAttr(kKernelAttr, builder.getUnitAttr());
  kernel->setAttr(kCopyAttr, builder.getUnitAttr());
  Block *body = kernel.addEntryBlock();
  builder.setInsertionPointToEnd(body);
  Value copy = copyIn(builder, loc, body->getArgument(0));
  func::ReturnOp::create(builder, loc, copy);
  return kernel;
}

exec::LaunchOp nibble::createCopy(OpBuilder &builder, ModuleOp module,
                                  Value value, StringRef layer) {
  auto type = builder.getFunctionType(value.getType(), value.getType());
  func::FuncOp kernel = findKernel(module, type);
  if (!kernel)
    kernel = makeKernel(module, type);
  Location loc = NameLoc::get(builder.getStringAttr(layer));
  return exec::LaunchOp::create(builder, loc, value.getType(),
                                FlatSymbolRefAttr::get(kernel.getSymNameAttr()),
                                value, layer, "copy");
}
