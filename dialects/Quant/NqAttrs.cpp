// #nq.layout: syntax, verification, evaluation, inversion, composition.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Dialect/Quant/NqOps.h"

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "llvm/ADT/TypeSwitch.h"
#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;

#include "dialects/Quant/NqEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "dialects/Quant/NqAttrs.cpp.inc"

void NqDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "dialects/Quant/NqAttrs.cpp.inc"
      >();
}

LayoutAttr LayoutAttr::getRowMajor(MLIRContext *context, int64_t rank) {
  SmallVector<DenseI64ArrayAttr> tiles(rank,
                                       DenseI64ArrayAttr::get(context, {}));
  return get(context, tiles, llvm::to_vector(llvm::seq<int64_t>(0, rank)), {},
             LayoutAttr());
}

static ParseResult parseIntegers(AsmParser &parser,
                                 SmallVectorImpl<int64_t> &values) {
  return parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, [&] {
    return parser.parseInteger(values.emplace_back());
  });
}

Attribute LayoutAttr::parse(AsmParser &parser, Type) {
  SmallVector<DenseI64ArrayAttr> tiles;
  SmallVector<int64_t> order, swizzle;
  LayoutAttr scales;
  auto parseTile = [&]() -> ParseResult {
    SmallVector<int64_t> factors;
    if (parseIntegers(parser, factors))
      return failure();
    tiles.push_back(DenseI64ArrayAttr::get(parser.getContext(), factors));
    return success();
  };
  if (parser.parseLess() || parser.parseKeyword("tiles") ||
      parser.parseCommaSeparatedList(AsmParser::Delimiter::Square, parseTile) ||
      parser.parseKeyword("order") || parseIntegers(parser, order))
    return {};
  if (succeeded(parser.parseOptionalKeyword("swizzle")) &&
      parseIntegers(parser, swizzle))
    return {};
  if (succeeded(parser.parseOptionalKeyword("scales"))) {
    scales = dyn_cast_or_null<LayoutAttr>(LayoutAttr::parse(parser, Type()));
    if (!scales)
      return {};
  }
  if (parser.parseGreater())
    return {};
  return parser.getChecked<LayoutAttr>(
      parser.getContext(), ArrayRef<DenseI64ArrayAttr>(tiles),
      ArrayRef<int64_t>(order), ArrayRef<int64_t>(swizzle), scales);
}

static void printIntegers(AsmPrinter &printer, ArrayRef<int64_t> values) {
  printer << "[";
  llvm::interleaveComma(values, printer);
  printer << "]";
}

void LayoutAttr::print(AsmPrinter &printer) const {
  printer << "<tiles [";
  llvm::interleaveComma(getTiles(), printer, [&](DenseI64ArrayAttr tile) {
    printIntegers(printer, tile.asArrayRef());
  });
  printer << "] order ";
  printIntegers(printer, getOrder());
  if (!getSwizzle().empty()) {
    printer << " swizzle ";
    printIntegers(printer, getSwizzle());
  }
  if (getScales()) {
    printer << " scales ";
    getScales().print(printer);
  }
  printer << ">";
}

LogicalResult LayoutAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                 ArrayRef<DenseI64ArrayAttr> tiles,
                                 ArrayRef<int64_t> order,
                                 ArrayRef<int64_t> swizzle, LayoutAttr) {
  size_t digits = tiles.size();
  for (DenseI64ArrayAttr tile : tiles) {
    digits += tile.size();
    for (int64_t factor : tile.asArrayRef())
      if (factor < 1)
        return emitError() << "tile factor " << factor << " is not positive";
  }
  SmallVector<bool> seen(digits, false);
  for (int64_t digit : order) {
    if (digit < 0 || digit >= static_cast<int64_t>(digits) || seen[digit])
      return emitError() << "order is not a permutation of the " << digits
                         << " digits";
    seen[digit] = true;
  }
  if (order.size() != digits)
    return emitError() << "order lists " << order.size() << " of " << digits
                       << " digits";
  if (swizzle.empty())
    return success();
  if ((swizzle.size() != 3 && swizzle.size() != 4) ||
      llvm::any_of(swizzle, [](int64_t v) { return v < 0 || v > 30; }) ||
      swizzle[2] < swizzle[0])
    return emitError() << "swizzle must be [bits, base, shift] with shift >= "
                          "bits, and maybe a code of words";
  if (swizzle.size() == 4 &&
      (swizzle[3] < 1 || swizzle[3] > 2 || swizzle[0] || swizzle[1] < 3))
    return emitError()
           << "code " << swizzle[3]
           << " of words: 1 and 2 work, with bits = 0 and base >= 3";
  return success();
}

SmallVector<int64_t>
LayoutAttr::getDigitExtents(ArrayRef<int64_t> shape) const {
  SmallVector<int64_t> extents;
  for (auto [tile, dim] : llvm::zip(getTiles(), shape)) {
    int64_t inner = 1;
    for (int64_t factor : tile.asArrayRef())
      inner *= factor;
    extents.push_back(llvm::divideCeil(dim, inner));
    llvm::append_range(extents, tile.asArrayRef());
  }
  return extents;
}

int64_t LayoutAttr::getStorageSize(ArrayRef<int64_t> shape) const {
  int64_t size = ShapedType::getNumElements(getDigitExtents(shape));
  if (getSwizzle().empty())
    return size;
  // The swizzle permutes whole windows of this many elements.
  int64_t window = int64_t(1)
                   << (getSwizzle()[0] + getSwizzle()[1] + getSwizzle()[2]);
  return llvm::alignTo(size, window);
}

static int64_t applySwizzle(ArrayRef<int64_t> swizzle, int64_t offset) {
  if (swizzle.empty())
    return offset;
  int64_t mask = (int64_t(1) << swizzle[0]) - 1;
  int64_t source = (offset >> (swizzle[1] + swizzle[2])) & mask;
  return offset ^ (source << swizzle[1]);
}

int64_t LayoutAttr::getOffset(ArrayRef<int64_t> index,
                              ArrayRef<int64_t> shape) const {
  SmallVector<int64_t> extents = getDigitExtents(shape);
  SmallVector<int64_t> digits(extents.size());
  size_t next = 0;
  for (auto [tile, position] : llvm::zip(getTiles(), index)) {
    int64_t rest = position;
    for (size_t i = tile.size(); i > 0; --i) {
      digits[next + i] = rest % tile[i - 1];
      rest /= tile[i - 1];
    }
    digits[next] = rest;
    next += tile.size() + 1;
  }
  int64_t offset = 0;
  for (int64_t digit : getOrder())
    offset = offset * extents[digit] + digits[digit];
  return applySwizzle(getSwizzle(), offset);
}

SmallVector<int64_t> LayoutAttr::getIndex(int64_t offset,
                                          ArrayRef<int64_t> shape) const {
  // The XOR source bits do not change (shift >= bits): it is an involution.
  offset = applySwizzle(getSwizzle(), offset);
  SmallVector<int64_t> extents = getDigitExtents(shape);
  SmallVector<int64_t> digits(extents.size());
  for (int64_t digit : llvm::reverse(getOrder())) {
    digits[digit] = offset % extents[digit];
    offset /= extents[digit];
  }
  SmallVector<int64_t> index;
  size_t next = 0;
  for (DenseI64ArrayAttr tile : getTiles()) {
    int64_t position = digits[next++];
    for (int64_t factor : tile.asArrayRef())
      position = position * factor + digits[next++];
    index.push_back(position);
  }
  // What lies beyond the last digit (swizzle padding) is padding: at or beyond
  // the padded extent of the first dimension.
  if (offset && !index.empty()) {
    int64_t padded = extents[0];
    for (int64_t factor : getTiles().front().asArrayRef())
      padded *= factor;
    index.front() += offset * padded;
  }
  return index;
}

LayoutAttr LayoutAttr::permute(ArrayRef<int64_t> perm) const {
  // First digit of each old dimension, then of each new one.
  SmallVector<int64_t> first;
  int64_t next = 0;
  for (DenseI64ArrayAttr tile : getTiles()) {
    first.push_back(next);
    next += tile.size() + 1;
  }
  SmallVector<int64_t> renumber(next);
  SmallVector<DenseI64ArrayAttr> tiles;
  next = 0;
  for (int64_t dim : perm) {
    tiles.push_back(getTiles()[dim]);
    for (int64_t i = 0; i <= getTiles()[dim].size(); ++i)
      renumber[first[dim] + i] = next++;
  }
  SmallVector<int64_t> order;
  for (int64_t digit : getOrder())
    order.push_back(renumber[digit]);
  return get(getContext(), tiles, order, getSwizzle(),
             getScales() ? getScales().permute(perm) : LayoutAttr());
}

bool LayoutAttr::isRowMajor() const {
  return getSwizzle().empty() && llvm::is_sorted(getOrder()) &&
         (!getScales() || getScales().isRowMajor()) &&
         llvm::all_of(getTiles(),
                      [](DenseI64ArrayAttr tile) { return tile.empty(); });
}
