// Scaled element types: syntax, verification, block arithmetic.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

#define GET_TYPEDEF_CLASSES
#include "dialects/Quant/NqTypes.cpp.inc"

void NqDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "dialects/Quant/NqTypes.cpp.inc"
      >();
}

ScaledType ScaledType::getNvfp4(MLIRContext *context) {
  return get(context, Float4E2M1FNType::get(context),
             Float8E4M3FNType::get(context), {1, 16}, Float32Type::get(context),
             false);
}
ScaledType ScaledType::getMxfp4(MLIRContext *context) {
  return get(context, Float4E2M1FNType::get(context),
             Float8E8M0FNUType::get(context), {1, 32}, Type(), false);
}
ScaledType ScaledType::getMxfp8(MLIRContext *context) {
  return get(context, Float8E4M3FNType::get(context),
             Float8E8M0FNUType::get(context), {1, 32}, Type(), false);
}
ScaledType ScaledType::getFp8(MLIRContext *context) {
  return get(context, Float8E4M3FNType::get(context), Float32Type::get(context),
             {}, Type(), false);
}

Type NqDialect::parseType(DialectAsmParser &parser) const {
  StringRef mnemonic;
  Type type;
  OptionalParseResult result = generatedTypeParser(parser, &mnemonic, type);
  if (result.has_value())
    return type;
  MLIRContext *context = getContext();
  type = llvm::StringSwitch<Type>(mnemonic)
             .Case("nvfp4", ScaledType::getNvfp4(context))
             .Case("mxfp4", ScaledType::getMxfp4(context))
             .Case("mxfp8", ScaledType::getMxfp8(context))
             .Case("fp8", ScaledType::getFp8(context))
             .Default(Type());
  if (!type)
    parser.emitError(parser.getNameLoc())
        << "unknown nq type '" << mnemonic
        << "'; expected scaled, nvfp4, mxfp4, mxfp8 or fp8";
  return type;
}

void NqDialect::printType(Type type, DialectAsmPrinter &printer) const {
  MLIRContext *context = getContext();
  if (type == ScaledType::getNvfp4(context))
    printer << "nvfp4";
  else if (type == ScaledType::getMxfp4(context))
    printer << "mxfp4";
  else if (type == ScaledType::getMxfp8(context))
    printer << "mxfp8";
  else if (type == ScaledType::getFp8(context))
    printer << "fp8";
  else
    (void)generatedTypePrinter(type, printer);
}

/// `per tensor` or `per 1x16`, `?` standing for the full extent.
static ParseResult parseBlock(AsmParser &parser,
                              SmallVectorImpl<int64_t> &block) {
  if (parser.parseKeyword("per"))
    return failure();
  if (succeeded(parser.parseOptionalKeyword("tensor")))
    return success();
  return parser.parseDimensionList(block, /*allowDynamic=*/true,
                                   /*withTrailingX=*/false);
}

Type ScaledType::parse(AsmParser &parser) {
  Type storage, scale, global;
  SmallVector<int64_t> block;
  bool zeroPoint = false;
  if (parser.parseLess() || parser.parseType(storage) || parser.parseComma() ||
      parser.parseType(scale) || parseBlock(parser, block))
    return {};
  while (succeeded(parser.parseOptionalComma())) {
    if (succeeded(parser.parseOptionalKeyword("global"))) {
      if (parser.parseType(global))
        return {};
    } else if (succeeded(parser.parseOptionalKeyword("zero_point"))) {
      zeroPoint = true;
    } else {
      parser.emitError(parser.getCurrentLocation(),
                       "expected 'global' or 'zero_point'");
      return {};
    }
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<ScaledType>(parser.getContext(), storage, scale,
                                       ArrayRef<int64_t>(block), global,
                                       zeroPoint);
}

void ScaledType::print(AsmPrinter &printer) const {
  printer << "<" << getStorage() << ", " << getScale() << " per ";
  if (isPerTensor())
    printer << "tensor";
  else
    printer.printDimensionList(getBlock());
  if (getGlobal())
    printer << ", global " << getGlobal();
  if (getZeroPoint())
    printer << ", zero_point";
  printer << ">";
}

static bool isStorage(Type type) {
  if (isa<Float4E2M1FNType, Float8E4M3FNType, Float8E5M2Type, Float16Type,
          BFloat16Type>(type))
    return true;
  auto integer = dyn_cast<IntegerType>(type);
  return integer && !integer.isSignless() &&
         (integer.getWidth() == 4 || integer.getWidth() == 8);
}

LogicalResult ScaledType::verify(function_ref<InFlightDiagnostic()> emitError,
                                 Type storage, Type scale,
                                 ArrayRef<int64_t> block, Type global,
                                 bool zeroPoint) {
  if (!isStorage(storage))
    return emitError() << "storage type " << storage
                       << " is not one of f4E2M1FN, f8E4M3FN, f8E5M2, si4, "
                          "ui4, si8, ui8, f16, bf16";
  if (!isa<Float32Type, Float16Type, BFloat16Type, Float8E4M3FNType,
           Float8E8M0FNUType>(scale))
    return emitError() << "scale type " << scale
                       << " is not one of f32, f16, bf16, f8E4M3FN, f8E8M0FNU";
  for (int64_t extent : block)
    if (!ShapedType::isDynamic(extent) && extent < 1)
      return emitError() << "block extent " << extent << " is not positive";
  if (global && !isa<Float32Type, Float16Type, BFloat16Type>(global))
    return emitError() << "global scale type " << global
                       << " is not one of f32, f16, bf16";
  if (zeroPoint && !isa<IntegerType>(storage))
    return emitError() << "zero_point needs an integer storage type, not "
                       << storage;
  return success();
}

SmallVector<int64_t> ScaledType::getBlockFor(ArrayRef<int64_t> shape) const {
  if (isPerTensor())
    return SmallVector<int64_t>(shape);
  SmallVector<int64_t> result(shape.size(), 1);
  ArrayRef<int64_t> block = getBlock();
  for (size_t i = 0; i < block.size() && i < shape.size(); ++i) {
    size_t dim = shape.size() - 1 - i;
    int64_t extent = block[block.size() - 1 - i];
    result[dim] = ShapedType::isDynamic(extent) ? shape[dim] : extent;
  }
  return result;
}

SmallVector<int64_t> ScaledType::getScaleGrid(ArrayRef<int64_t> shape) const {
  SmallVector<int64_t> grid = getBlockFor(shape);
  for (auto [extent, dim] : llvm::zip(grid, shape))
    extent = extent ? llvm::divideCeil(dim, extent) : 0;
  return grid;
}

int64_t ScaledType::getCodeBytes(ArrayRef<int64_t> shape) const {
  return llvm::divideCeil(ShapedType::getNumElements(shape) * getStorageBits(),
                          8);
}

int64_t ScaledType::getScaleBytes(ArrayRef<int64_t> shape) const {
  return getPlainBytes(getScale(),
                       ShapedType::getNumElements(getScaleGrid(shape)));
}
