// The dialect `tile`: registration, types and attributes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Tile/TileOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::tile;

/// Dense shape and element type: "128x256xf32".
static ParseResult parseShaped(AsmParser &parser,
                               SmallVectorImpl<int64_t> &shape, Type &element) {
  return failure(parser.parseDimensionList(shape, /*allowDynamic=*/false) ||
                 parser.parseType(element));
}

static void printShaped(AsmPrinter &printer, ArrayRef<int64_t> shape,
                        Type element) {
  printer.printDimensionList(shape);
  printer << "x" << element;
}

#include "dialects/Tile/TileDialect.cpp.inc"
#include "dialects/Tile/TileEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Tile/TileAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "dialects/Tile/TileTypes.cpp.inc"

using EmitError = function_ref<InFlightDiagnostic()>;

namespace {
/// Prints rings and slots as !ring, !slot: they are long and recur.
struct TileAliases : OpAsmDialectInterface {
  using OpAsmDialectInterface::OpAsmDialectInterface;
  AliasResult getAlias(Type type, raw_ostream &os) const override {
    if (!isa<RingType, SlotType>(type))
      return AliasResult::NoAlias;
    os << (isa<RingType>(type) ? "ring" : "slot");
    return AliasResult::OverridableAlias;
  }
};
} // namespace

void TileDialect::initialize() {
  addInterfaces<TileAliases>();
  registerTypes();
  registerAttributes();
  addOperations<
#define GET_OP_LIST
#include "dialects/Tile/TileOps.cpp.inc"
      >();
}

void TileDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Tile/TileTypes.cpp.inc"
      >();
}

void TileDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Tile/TileAttrs.cpp.inc"
      >();
}

LogicalResult RasterAttr::verify(EmitError emitError, Axis, int64_t group) {
  if (group >= 1)
    return success();
  return emitError() << "a group of " << group << " rows of tiles; at least 1";
}

int64_t SlotType::getElementBits() const {
  return getSpread() ? 8 : getElement().getIntOrFloatBitWidth();
}

int64_t SlotType::getBytes() const {
  return ShapedType::getNumElements(getShape()) * getElementBits() / 8;
}

int64_t SlotType::getLoadedBytes() const {
  return ShapedType::getNumElements(getShape()) *
         getElement().getIntOrFloatBitWidth() / 8;
}

unsigned SlotType::getSharedDim() const {
  for (auto [dim, extent] : llvm::enumerate(getShape()))
    if (extent > 1)
      return dim;
  return 0;
}

int64_t SlotType::getRowBytes() const {
  return getShape().back() * getElementBits() / 8;
}

/// What a tensor map can describe.
static LogicalResult verifyBox(EmitError emitError, ArrayRef<int64_t> shape,
                               Type element) {
  if (!element.isIntOrFloat() ||
      !llvm::is_contained({4u, 8u, 16u, 32u}, element.getIntOrFloatBitWidth()))
    return emitError() << "elements of " << element
                       << "; TMA moves elements of 4, 8, 16 or 32 bits";
  if (shape.empty() || shape.size() > 5)
    return emitError() << "a box of rank " << shape.size()
                       << "; TMA moves boxes of rank 1 to 5";
  for (int64_t extent : shape)
    if (extent < 1 || extent > 256)
      return emitError() << "extent " << extent
                         << " of a box; TMA allows 1 to 256";
  int64_t rowBits = shape.back() * element.getIntOrFloatBitWidth();
  if (rowBits % 128)
    return emitError() << "rows of " << rowBits
                       << " bits; TMA wants a multiple of 16 bytes";
  return success();
}

LogicalResult SlotType::verify(EmitError emitError, ArrayRef<int64_t> shape,
                               Type element, int64_t swizzle, int64_t spread) {
  if (failed(verifyBox(emitError, shape, element)))
    return failure();
  // PTX ISA, "16b4 with padding": boxes of 128 elements.
  if (spread && (!isa<Float4E2M1FNType>(element) || shape.back() != 128))
    return emitError() << "rows of " << shape.back() << " elements of "
                       << element << " are not spread; 128 of 4 bits are";
  if (!llvm::is_contained({0, 32, 64, 128}, swizzle))
    return emitError() << "swizzle " << swizzle << "; there are 32, 64 and 128";
  int64_t bits = spread ? 8 : element.getIntOrFloatBitWidth();
  if (swizzle && shape.back() * bits != swizzle * 8)
    return emitError() << "rows of " << shape.back() * bits / 8
                       << " bytes in a swizzle that spans " << swizzle;
  int64_t bytes = ShapedType::getNumElements(shape) * bits / 8;
  int64_t alignment = swizzle ? 8 * swizzle : 128;
  if (bytes % alignment)
    return emitError() << "a slot of " << bytes
                       << " bytes is not a multiple of its alignment, "
                       << alignment << (swizzle ? " (8 rows)" : "");
  return success();
}

static LogicalResult verifyMatrix(EmitError emitError, StringRef what,
                                  ArrayRef<int64_t> shape) {
  if (shape.size() == 2 && shape[0] > 0 && shape[1] > 0)
    return success();
  return emitError() << what << " has two dimensions, both positive";
}

LogicalResult AccType::verify(EmitError emitError, ArrayRef<int64_t> shape,
                              Type element) {
  if (!element.isF32() && !element.isF16())
    return emitError() << "accumulators are f32 or f16, not " << element;
  return verifyMatrix(emitError, "an accumulator", shape);
}

LogicalResult ExpandedType::verify(EmitError emitError, ArrayRef<int64_t> shape,
                                   Type element) {
  if (!element.isF16() && !element.isBF16())
    return emitError() << "codes are expanded to f16 or bf16, not " << element;
  return verifyMatrix(emitError, "an expanded operand", shape);
}

LogicalResult OperandType::verify(EmitError emitError, ArrayRef<int64_t> shape,
                                  Type element) {
  if (!element.isF16() && !element.isBF16())
    return emitError() << "operands in tensor memory are f16 or bf16, not "
                       << element;
  return verifyMatrix(emitError, "an operand", shape);
}

LogicalResult FragmentType::verify(EmitError emitError, ArrayRef<int64_t> shape,
                                   Type element) {
  if (!element.isIntOrFloat())
    return emitError() << "a fragment of " << element;
  return verifyMatrix(emitError, "a fragment", shape);
}

LogicalResult ScaleTileType::verify(EmitError emitError,
                                    ArrayRef<int64_t> shape, Type element) {
  if (!isa<Float8E4M3FNType, Float8E8M0FNUType>(element))
    return emitError() << "block scales are f8E4M3FN or f8E8M0FNU, not "
                       << element;
  if (failed(verifyMatrix(emitError, "a tile of scales", shape)))
    return failure();
  if (shape[0] % 128 || shape[1] % 4)
    return emitError() << shape[0] << "x" << shape[1]
                       << " scales are not whole tiles of 128x4";
  return success();
}

bool RingType::isTensorMemory() const {
  return isa<AccType, OperandType>(getSlots()[0]);
}

bool RingType::isOperands() const { return isa<OperandType>(getSlots()[0]); }

int64_t RingType::getColumns() const {
  int64_t columns = 0;
  for (Type slot : getSlots())
    if (auto acc = dyn_cast<AccType>(slot))
      columns += acc.getShape()[1];
    else if (auto operand = dyn_cast<OperandType>(slot))
      columns += operand.getColumns();
  return getStages() * columns;
}

int64_t RingType::getSharedBytes() const {
  int64_t stage = 0, alignment = 1;
  for (Type type : getSlots()) {
    auto slot = dyn_cast<SlotType>(type);
    if (!slot)
      continue;
    stage = llvm::alignTo(stage, slot.getAlignment()) + slot.getBytes();
    alignment = std::max(alignment, slot.getAlignment());
  }
  return getStages() * (llvm::alignTo(stage, alignment) + 16);
}

LogicalResult RingType::verify(EmitError emitError, int64_t stages,
                               ArrayRef<Type> slots) {
  if (stages < 1)
    return emitError() << "a ring of " << stages << " stages; at least 1";
  if (llvm::all_of(slots, llvm::IsaPred<SlotType>) ||
      llvm::all_of(slots, llvm::IsaPred<AccType>) ||
      llvm::all_of(slots, llvm::IsaPred<OperandType>))
    return success();
  return emitError() << "a ring holds boxes of shared memory (!tile.slot), "
                        "accumulators (!tile.acc) or operands (!tile.operand), "
                        "nothing else, of one kind";
}
