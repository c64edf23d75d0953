// Parameters of a kernel: tensor maps, pointers, scalars.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Params.h"

#include "nibble/Dialect/Exec/ExecOps.h"
#include "nibble/Dialect/Tile/TileTarget.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/MemRef/IR/MemRef.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::tilecode;
using nibble::gpu::KernelArg;
using nibble::gpu::TensorMap;

InFlightDiagnostic nibble::tilecode::refuse(Operation *op) {
  StringRef layer = getLayerName(op->getLoc());
  auto kernel =
      isa<tile::KernelOp>(op) ? cast<tile::KernelOp>(op) : tile::getKernel(op);
  if (layer.empty() && kernel)
    layer = kernel.getSymName();
  return op->emitError() << "layer '" << layer << "': not lowered for "
                         << (kernel ? kernel.getTarget() : "this target")
                         << ": ";
}

static int64_t getElementBytes(ShapedType type) {
  return type.getElementTypeBitWidth() / 8;
}

/// Elements of 4 bits are mapped as bytes, two in each.
static int64_t getPerUnit(Type element) {
  return element.getIntOrFloatBitWidth() == 4 ? 2 : 1;
}

Box nibble::tilecode::getLoadBox(tile::LoadOp load) {
  tile::SlotType slot = load.getSlot().getType();
  Box box{llvm::to_vector(slot.getShape()), slot.getSwizzle(),
          slot.getSpread() != 0};
  if (!box.spread)
    box.extents.back() /= getPerUnit(slot.getElement());
  if (auto axis = load.getMulticast())
    box.extents[slot.getSharedDim()] /=
        tile::getKernel(load).getBlocks(unsigned(*axis));
  return box;
}

Box nibble::tilecode::getStoreBox(tile::StoreOp store) {
  int64_t bytes = getElementBytes(store.getDest().getType());
  int64_t panel = store.getPanel();
  // A warp has 32 lanes of tensor memory, or 16 rows of a product of wgmma.
  bool isTensorMemory = tile::getTargetOf(store)->hasTensorMemory();
  // Rows of 16 bytes have no swizzle: they lie side by side.
  if (!store.getTransposed())
    return {{isTensorMemory ? 32 : 16, panel},
            panel * bytes > 16 ? panel * bytes : 0};
  // Or up to 128 bytes of the 64 rows of a warpgroup.
  int64_t rows = isTensorMemory ? 32 : std::min<int64_t>(64, 128 / bytes);
  return {{panel, rows}, rows * bytes};
}

static FailureOr<int64_t> getMapType(Operation *op, Type element) {
  if (element.isF16())
    return TensorMap::F16;
  if (element.isBF16())
    return TensorMap::BF16;
  if (element.isF32())
    return TensorMap::F32;
  if (element.isInteger(32))
    return TensorMap::U32;
  if (llvm::is_contained({4, 8}, element.getIntOrFloatBitWidth()))
    return TensorMap::U8;
  return refuse(op) << "tensor maps of " << element
                    << "; f32, f16, bf16, i32, 4 and 8 bits work";
}

static int64_t getSwizzle(int64_t bytes) {
  return bytes == 0    ? TensorMap::None
         : bytes == 32 ? TensorMap::Bytes32
         : bytes == 64 ? TensorMap::Bytes64
                       : TensorMap::Bytes128;
}

static TensorMap makeMap(MemRefType type, int64_t element, const Box &box) {
  TensorMap map;
  map.type = box.spread ? int64_t(TensorMap::U4x16Spread) : element;
  map.swizzle = getSwizzle(box.swizzle);
  map.sizes = llvm::to_vector(llvm::reverse(type.getShape()));
  int64_t perUnit = getPerUnit(type.getElementType());
  if (!box.spread)
    map.sizes.front() /= perUnit;
  map.box = llvm::to_vector(llvm::reverse(box.extents));
  SmallVector<int64_t> strides = type.getStridesAndOffset().first;
  for (int64_t stride : llvm::drop_begin(llvm::reverse(strides)))
    map.strides.push_back(stride * type.getElementTypeBitWidth() / 8);
  return map;
}

static bool fits(const KernelArg &arg, unsigned value, const Box &box) {
  return arg.kind == KernelArg::Map && arg.value == value &&
         arg.map.swizzle == getSwizzle(box.swizzle) &&
         (arg.map.type == TensorMap::U4x16Spread) == box.spread &&
         llvm::equal(arg.map.box, llvm::reverse(box.extents));
}

/// The argument of the kernel, or failure with an error.
static FailureOr<unsigned> getArgument(Operation *op, Value memref) {
  auto argument = dyn_cast<BlockArgument>(memref);
  if (argument && isa<tile::KernelOp>(argument.getOwner()->getParentOp()))
    return argument.getArgNumber();
  return refuse(op) << "memory that is not an argument of the kernel";
}

LogicalResult Params::addMap(Operation *op, Value memref, const Box &box) {
  FailureOr<unsigned> value = getArgument(op, memref);
  if (failed(value))
    return failure();
  auto type = cast<MemRefType>(memref.getType());
  FailureOr<int64_t> element = getMapType(op, type.getElementType());
  if (failed(element))
    return failure();
  if (llvm::none_of(args, [&](auto &arg) { return fits(arg, *value, box); }))
    args.push_back(KernelArg::tensorMap(*value, makeMap(type, *element, box)));
  return success();
}

LogicalResult Params::addPointer(Operation *op, Value memref) {
  FailureOr<unsigned> value = getArgument(op, memref);
  if (failed(value))
    return failure();
  auto type = cast<MemRefType>(memref.getType());
  if (!type.getLayout().isIdentity() || type.getElementTypeBitWidth() % 8 ||
      type.getNumElements() > INT32_MAX)
    return refuse(op) << "reads from " << type
                      << "; row-major, whole bytes, less than 2^31 elements";
  if (llvm::none_of(args, [&](const KernelArg &arg) {
        return arg.kind == KernelArg::Pointer && arg.value == *value;
      }))
    args.push_back(KernelArg::pointer(*value));
  return success();
}

LogicalResult Params::addOperation(Operation *op) {
  if (auto load = dyn_cast<tile::LoadOp>(op))
    return addMap(op, load.getSource(), getLoadBox(load));
  if (auto store = dyn_cast<tile::StoreOp>(op)) {
    written.insert(store.getDest());
    return addMap(op, store.getDest(), getStoreBox(store));
  }
  if (auto store = dyn_cast<tile::StoreBlocksOp>(op)) {
    written.insert(store.getDest());
    return addPointer(op, store.getDest());
  }
  for (Value operand : op->getOperands())
    if (isa<MemRefType>(operand.getType())) {
      bool isStore =
          isa<memref::StoreOp>(op) && op->getParentOfType<tile::OnceOp>();
      if (!isStore &&
          !isa<tile::EpilogueOp, tile::PromoteOp, memref::LoadOp>(op))
        return refuse(op) << "'" << op->getName()
                          << "' on memory; memref.load works, and memref.store "
                             "in a tile.once";
      if (isStore)
        written.insert(operand);
      if (failed(addPointer(op, operand)))
        return failure();
    }
  return success();
}

LogicalResult Params::addScalar(tile::KernelOp kernel, BlockArgument argument) {
  Type type = argument.getType();
  if (isa<MemRefType>(type))
    return success();
  if (type.isIndex())
    type = IntegerType::get(type.getContext(), 64);
  if (!isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(type) &&
      !type.isSignlessInteger(32) && !type.isSignlessInteger(64))
    return refuse(kernel) << "a scalar argument of " << type
                          << "; f16, bf16, f32, f64, i32, i64 and index work";
  KernelArg arg;
  arg.kind = KernelArg::Bytes;
  arg.value = argument.getArgNumber();
  args.push_back(arg);
  scalars[arg.value] = type;
  return success();
}

LogicalResult Params::collect(tile::KernelOp kernel) {
  WalkResult result = kernel.getBody().walk([&](Operation *op) {
    return failed(addOperation(op)) ? WalkResult::interrupt()
                                    : WalkResult::advance();
  });
  if (result.wasInterrupted())
    return failure();
  for (BlockArgument argument : kernel.getBody().getArguments())
    if (failed(addScalar(kernel, argument)))
      return failure();
  sort(kernel.getBody().getNumArguments());
  return success();
}

/// By argument; maps before the pointer.
void Params::sort(unsigned arguments) {
  std::vector<KernelArg> sorted;
  for (unsigned value = 0; value < arguments; ++value)
    for (bool isMap : {true, false})
      for (const KernelArg &arg : args)
        if (arg.value == value && (arg.kind == KernelArg::Map) == isMap)
          sorted.push_back(arg);
  args = std::move(sorted);
}

SmallVector<Type> Params::getTypes(MLIRContext *context) const {
  SmallVector<Type> types;
  for (const KernelArg &arg : args)
    types.push_back(arg.kind == KernelArg::Bytes ? scalars.lookup(arg.value)
                    : arg.kind == KernelArg::Map
                        ? LLVM::LLVMPointerType::get(context)
                        : LLVM::LLVMPointerType::get(context, 1));
  return types;
}

/// Maps are passed by value, in constant memory.
void Params::bind(LLVM::LLVMFuncOp func) {
  function = func;
  Builder builder(func.getContext());
  auto bytes = LLVM::LLVMArrayType::get(builder.getI8Type(), 128);
  for (auto [i, arg] : llvm::enumerate(args)) {
    if (arg.kind != KernelArg::Map)
      continue;
    func.setArgAttr(i, NVVM::NVVMDialect::getGridConstantAttrName(),
                    builder.getUnitAttr());
    func.setArgAttr(i, LLVM::LLVMDialect::getByValAttrName(),
                    TypeAttr::get(bytes));
    func.setArgAttr(i, LLVM::LLVMDialect::getAlignAttrName(),
                    builder.getI64IntegerAttr(64));
  }
}

Value Params::find(function_ref<bool(const KernelArg &)> is) const {
  auto it = llvm::find_if(args, is);
  LLVM::LLVMFuncOp func = function;
  return func.getArgument(it - args.begin());
}

Value Params::getMap(Value memref, const Box &box) const {
  unsigned value = cast<BlockArgument>(memref).getArgNumber();
  return find([&](const KernelArg &arg) { return fits(arg, value, box); });
}

Value Params::getPointer(Value memref) const {
  unsigned value = cast<BlockArgument>(memref).getArgNumber();
  return find([&](const KernelArg &arg) {
    return arg.kind == KernelArg::Pointer && arg.value == value;
  });
}

Value Params::getScalar(Value scalar) const {
  unsigned value = cast<BlockArgument>(scalar).getArgNumber();
  return find([&](const KernelArg &arg) {
    return arg.kind == KernelArg::Bytes && arg.value == value;
  });
}

SmallVector<Value> Params::getMaps() const {
  SmallVector<Value> maps;
  LLVM::LLVMFuncOp func = function;
  for (auto [i, arg] : llvm::enumerate(args))
    if (arg.kind == KernelArg::Map)
      maps.push_back(func.getArgument(i));
  return maps;
}
