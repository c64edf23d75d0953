// The plan dialect `exec`: registration and verifiers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Exec/ExecOps.h"

#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::exec;

#include "dialects/Exec/ExecDialect.cpp.inc"
#define GET_OP_CLASSES
#include "dialects/Exec/ExecOps.cpp.inc"

void ExecDialect::initialize() {
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "dialects/Exec/ExecOps.cpp.inc"
      >();
}

Value exec::getRoot(Value value) {
  while (auto alias = value.getDefiningOp<AliasOp>())
    value = alias.getInput();
  return value;
}

StringRef nibble::getLayerName(Location loc) {
  if (auto name = dyn_cast<NameLoc>(loc))
    return name.getName();
  if (auto fused = dyn_cast<FusedLoc>(loc)) {
    // The last op of a fused chain names the kernel.
    for (Location inner : llvm::reverse(fused.getLocations()))
      if (StringRef name = getLayerName(inner); !name.empty())
        return name;
  }
  if (auto call = dyn_cast<CallSiteLoc>(loc))
    return getLayerName(call.getCallee());
  return {};
}

void LaunchOp::build(OpBuilder &builder, OperationState &state,
                     TypeRange results, FlatSymbolRefAttr kernel,
                     ValueRange inputs, StringRef layer, StringRef kind) {
  state.addTypes(results);
  state.addOperands(inputs);
  auto &properties = state.getOrAddProperties<Properties>();
  properties.kernel = kernel;
  properties.layer = builder.getStringAttr(layer);
  properties.kind = builder.getStringAttr(kind);
}

Value LaunchOp::getInPlaceOperand(unsigned i) {
  if (!getInPlace() || (*getInPlace())[i] < 0)
    return Value();
  return getInputs()[(*getInPlace())[i]];
}

/// Parameters name values of the launch; a workspace must have a size.
LogicalResult LaunchOp::verifyGpu() {
  for (auto launch : getGpu()->getAsRange<GpuLaunchAttr>())
    for (auto [i, arg] : llvm::enumerate(launch.getArgs())) {
      int64_t count = getWorkspaceValue() + (getWorkspace() ? 1 : 0) +
                      (getCounters() ? 1 : 0);
      if (arg.getBytes().empty() &&
          (arg.getValue() < 0 || arg.getValue() >= count))
        return emitOpError()
               << "parameter " << i << " of '" << launch.getSymbol()
               << "' is value " << arg.getValue() << " of " << count;
      if (!arg.getBytes().empty() && arg.getMap())
        return emitOpError()
               << "parameter " << i << " of '" << launch.getSymbol()
               << "' is bytes and a tensor map";
    }
  return success();
}

LogicalResult LaunchOp::verify() {
  if (getGpu() && failed(verifyGpu()))
    return failure();
  if (getOffsets() && getOffsets()->size() != getNumResults())
    return emitOpError() << "has " << getOffsets()->size() << " offsets for "
                         << getNumResults() << " results";
  if (!getInPlace())
    return success();
  if (getInPlace()->size() != getNumResults())
    return emitOpError() << "has " << getInPlace()->size()
                         << " in_place operands for " << getNumResults()
                         << " results";
  ArrayRef<int64_t> operands = *getInPlace();
  for (int64_t operand : operands)
    if (operand < -1 || operand >= int64_t(getInputs().size()))
      return emitOpError() << "in_place operand " << operand << " of "
                           << getInputs().size();
  return success();
}

LogicalResult LaunchOp::verifySymbolUses(SymbolTableCollection &symbols) {
  auto kernel =
      symbols.lookupNearestSymbolFrom<func::FuncOp>(*this, getKernelAttr());
  if (!kernel)
    return emitOpError() << "layer '" << getLayer() << "': kernel "
                         << getKernelAttr() << " is not a function";
  FunctionType type = kernel.getFunctionType();
  if (!llvm::equal(type.getInputs(), getInputs().getTypes()) ||
      !llvm::equal(type.getResults(), getResultTypes()))
    return emitOpError() << "layer '" << getLayer()
                         << "': operands do not match "
                         << kernel.getFunctionType() << " of "
                         << getKernelAttr();
  return success();
}

LogicalResult AliasOp::verify() {
  auto input = cast<RankedTensorType>(getInput().getType());
  auto result = cast<RankedTensorType>(getResult().getType());
  if (input.getElementType() != result.getElementType() ||
      input.getNumElements() != result.getNumElements())
    return emitOpError() << result << " is not a reshape of " << input;
  if (nq::getLayout(input) || nq::getLayout(result))
    return emitOpError() << "only row-major storage can be reshaped in place";
  return success();
}
