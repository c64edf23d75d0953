// Conversions between reference values, attributes and run-time storage.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Reference/RefTensor.h"

#include "nibble/Dialect/Quant/WordCode.h"

#include "mlir/IR/BuiltinAttributes.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;
using rt::StorageFormat;

//===----------------------------------------------------------------------===//
// Attributes
//===----------------------------------------------------------------------===//

/// A splat keeps one element whatever the size of the tensor.
static FailureOr<RefTensor> fromSplat(DenseElementsAttr dense,
                                      RankedTensorType type,
                                      StorageFormat format) {
  if (type.getElementType().isIntOrIndex()) {
    auto value = dense.getSplatValue<APInt>();
    return RefTensor::splat(type, value.getBitWidth() == 1
                                      ? int64_t(value.getZExtValue())
                                      : value.getSExtValue());
  }
  return RefTensor::splat(
      type,
      rt::decode(format, rt::loadCode(format, dense.getRawData().data(), 0)));
}

FailureOr<RefTensor> RefTensor::fromAttr(ElementsAttr attr,
                                         EmitError emitError) {
  auto shaped = cast<ShapedType>(attr.getType());
  auto type = RankedTensorType::get(shaped.getShape(), shaped.getElementType());
  StorageFormat format = getFormat(type.getElementType());
  if (format == StorageFormat::None) {
    emitError() << "elements of type " << type.getElementType()
                << " are not supported by the reference";
    return failure();
  }
  auto dense = dyn_cast<DenseElementsAttr>(attr);
  if (dense && dense.isSplat() && dense.getNumElements() > 0)
    return fromSplat(dense, type, format);
  auto scratch = std::make_shared<SmallVector<char, 0>>();
  auto bytes = nq::getRawBytes(attr, *scratch);
  if (failed(bytes)) {
    emitError() << "constant has no data: its resource was not loaded";
    return failure();
  }
  return raw(type, *bytes, scratch, emitError);
}

FailureOr<RefTensor> RefTensor::fromConstant(nq::ConstantOp op) {
  auto emitError = [&] { return op.emitOpError(); };
  auto type = cast<RankedTensorType>(op.getResult().getType());
  if (!nq::getScaledElement(type)) {
    auto plain = fromAttr(op.getCodes(), emitError);
    if (failed(plain))
      return failure();
    return plain->withType(type);
  }
  auto scratch = std::make_shared<std::array<SmallVector<char, 0>, 3>>();
  auto bytesOf = [&](std::optional<ElementsAttr> attr, int slot) {
    return attr ? nq::getRawBytes(*attr, (*scratch)[slot])
                : FailureOr<ArrayRef<char>>(ArrayRef<char>());
  };
  auto codes = bytesOf(op.getCodes(), 0), scales = bytesOf(op.getScales(), 1),
       zeroPoints = bytesOf(op.getZeroPoints(), 2);
  if (failed(codes) || failed(scales) || failed(zeroPoints)) {
    emitError() << "has no data: its resource was not loaded";
    return failure();
  }
  ScaledParts parts{*codes, *scales, *zeroPoints, 1};
  if (auto global = op.getGlobal()) {
    auto value = fromAttr(*global, emitError);
    if (failed(value))
      return failure();
    parts.global = value->floatAt(0);
  }
  return scaled(type, parts, scratch, emitError);
}

ElementsAttr RefTensor::toAttr() const {
  RankedTensorType linear = getLinearType();
  if (isSplat() && size() > 0) {
    if (isInteger()) {
      unsigned width =
          getElementType().isIndex() ? 64 : type.getElementTypeBitWidth();
      return DenseElementsAttr::get(linear,
                                    APInt(width, intAt(0), /*isSigned=*/true,
                                          /*implicitTrunc=*/true));
    }
    APFloat value(floatAt(0));
    bool lost;
    value.convert(cast<FloatType>(getElementType()).getFloatSemantics(),
                  APFloat::rmNearestTiesToEven, &lost);
    return DenseElementsAttr::get(linear, value);
  }
  std::vector<char> bytes = toLinearStorage();
  // Attributes keep 4-bit elements one per byte.
  if (type.getElementTypeBitWidth() == 4) {
    std::vector<char> wide(size());
    rt::unpackNibbles(reinterpret_cast<const uint8_t *>(bytes.data()), size(),
                      reinterpret_cast<uint8_t *>(wide.data()));
    bytes = std::move(wide);
  }
  if (getElementType().isInteger(1)) {
    SmallVector<bool> bits(bytes.begin(), bytes.end());
    return DenseElementsAttr::get(linear, bits);
  }
  return DenseElementsAttr::getFromRawBuffer(linear, bytes);
}

//===----------------------------------------------------------------------===//
// Run-time storage
//===----------------------------------------------------------------------===//

/// Moves elements between row-major order and a layout. A 64-bit code holds any
/// element.
static void permute(nq::LayoutAttr layout, ArrayRef<int64_t> shape,
                    StorageFormat format, const char *from, char *to,
                    bool pack) {
  SmallVector<int64_t> index(shape.size(), 0);
  for (int64_t i = 0, e = ShapedType::getNumElements(shape); i < e; ++i) {
    int64_t offset = layout.getOffset(index, shape);
    rt::storeCode(format, to, pack ? offset : i,
                  rt::loadCode(format, from, pack ? i : offset));
    for (int64_t d = shape.size() - 1; d >= 0 && ++index[d] == shape[d]; --d)
      index[d] = 0;
  }
}

static size_t getStorageBytes(nq::LayoutAttr layout, ArrayRef<int64_t> shape,
                              StorageFormat format) {
  return rt::formatBytes(format, layout.getStorageSize(shape));
}

static void packInto(nq::LayoutAttr layout, ArrayRef<int64_t> shape,
                     StorageFormat format, const char *from, char *to) {
  permute(layout, shape, format, from, to, /*pack=*/true);
  nq::mixWords(nq::getWordCode(layout),
               {to, getStorageBytes(layout, shape, format)});
}

static void unpackFrom(nq::LayoutAttr layout, ArrayRef<int64_t> shape,
                       StorageFormat format, const char *from, char *to) {
  std::vector<char> plain;
  if (nq::getWordCode(layout) != nq::WordCode::Plain) {
    plain.assign(from, from + getStorageBytes(layout, shape, format));
    nq::unmixWords(nq::getWordCode(layout), plain);
    from = plain.data();
  }
  permute(layout, shape, format, from, to, /*pack=*/false);
}

/// Packs row-major `bytes` into `to`, or copies them if there is no layout.
static void place(nq::LayoutAttr layout, ArrayRef<int64_t> shape,
                  StorageFormat format, ArrayRef<char> bytes, char *to) {
  if (layout && !layout.isRowMajor())
    packInto(layout, shape, format, bytes.data(), to);
  else
    llvm::copy(bytes.take_front(
                   rt::formatBytes(format, ShapedType::getNumElements(shape))),
               to);
}

static void fetch(nq::LayoutAttr layout, ArrayRef<int64_t> shape,
                  StorageFormat format, const char *from,
                  std::vector<char> &bytes) {
  bytes.resize(rt::formatBytes(format, ShapedType::getNumElements(shape)));
  if (layout && !layout.isRowMajor())
    unpackFrom(layout, shape, format, from, bytes.data());
  else
    std::copy_n(from, bytes.size(), bytes.data());
}

/// What the regions of a value hold.
struct RegionFormats {
  nq::LayoutAttr layout, scaleLayout;
  StorageFormat codes = StorageFormat::None, scales = StorageFormat::None,
                global = StorageFormat::None;
  SmallVector<int64_t> grid;
  bool zeroPoints = false;

  explicit RegionFormats(RankedTensorType type)
      : layout(nq::getLayout(type)),
        scaleLayout(layout ? layout.getScales() : nq::LayoutAttr()) {
    auto element = nq::getScaledElement(type);
    codes = getFormat(element ? element.getStorage() : type.getElementType());
    if (!element)
      return;
    scales = getFormat(element.getScale());
    if (element.getGlobal())
      global = getFormat(element.getGlobal());
    grid = element.getScaleGrid(type.getShape());
    zeroPoints = element.getZeroPoint();
  }
};

/// Row-major bytes of a plain tensor.
static std::vector<char> encodePlain(const RefTensor &tensor,
                                     StorageFormat format) {
  if (ArrayRef<char> same = tensor.rawBytes(); !same.empty())
    return std::vector<char>(same.begin(), same.end());
  std::vector<char> bytes(rt::formatBytes(format, tensor.size()));
  constexpr int64_t chunk = 1 << 15; // even: 4-bit elements share no byte
  std::vector<double> floats(chunk);
  std::vector<int64_t> ints(chunk);
  for (int64_t i = 0; i < tensor.size(); i += chunk) {
    int64_t n = std::min(chunk, tensor.size() - i);
    if (!tensor.isInteger()) {
      tensor.read(i, n, floats.data());
      // Values are on the format already; infinities stay.
      rt::encodeArray(format, floats.data(), i, n, bytes.data(),
                      rt::Overflow::NonFinite);
      continue;
    }
    tensor.read(i, n, ints.data());
    for (int64_t j = 0; j < n; ++j)
      rt::storeCode(format, bytes.data(), i + j, ints[j]);
  }
  return bytes;
}

std::vector<char> RefTensor::toStorage(RankedTensorType wanted) const {
  RegionFormats formats(wanted);
  nq::StorageRegions regions = nq::getStorageRegions(wanted);
  std::vector<char> result(regions.total, 0);
  if (formats.scales == StorageFormat::None) {
    place(formats.layout, getShape(), formats.codes,
          encodePlain(*this, formats.codes), result.data());
    return result;
  }
  ScaledParts parts = getScaledParts();
  place(formats.layout, getShape(), formats.codes, parts.codes, result.data());
  place(formats.scaleLayout, formats.grid, formats.scales, parts.scales,
        result.data() + regions.scales);
  if (formats.global != StorageFormat::None)
    rt::storeCode(formats.global, result.data() + regions.global, 0,
                  rt::encode(formats.global, parts.global));
  if (formats.zeroPoints)
    place(formats.scaleLayout, formats.grid, StorageFormat::U8,
          parts.zeroPoints, result.data() + regions.zeroPoints);
  return result;
}

FailureOr<RefTensor> RefTensor::fromStorage(RankedTensorType type,
                                            ArrayRef<char> bytes,
                                            EmitError emitError) {
  RegionFormats formats(type);
  nq::StorageRegions regions = nq::getStorageRegions(type);
  if (formats.codes == StorageFormat::None) {
    emitError() << "elements of type " << type.getElementType()
                << " are not supported by the reference";
    return failure();
  }
  if (static_cast<int64_t>(bytes.size()) < regions.total) {
    emitError() << "storage of " << type << " needs " << regions.total
                << " bytes, got " << bytes.size();
    return failure();
  }
  auto owner = std::make_shared<std::array<std::vector<char>, 3>>();
  auto &[codes, scales, zeroPoints] = *owner;
  fetch(formats.layout, type.getShape(), formats.codes, bytes.data(), codes);
  if (formats.scales == StorageFormat::None)
    return raw(type, codes, owner, emitError);
  fetch(formats.scaleLayout, formats.grid, formats.scales,
        bytes.data() + regions.scales, scales);
  ScaledParts parts{codes, scales, {}, 1};
  if (formats.global != StorageFormat::None)
    parts.global = rt::decode(
        formats.global,
        rt::loadCode(formats.global, bytes.data() + regions.global, 0));
  if (formats.zeroPoints) {
    fetch(formats.scaleLayout, formats.grid, StorageFormat::U8,
          bytes.data() + regions.zeroPoints, zeroPoints);
    parts.zeroPoints = zeroPoints;
  }
  return scaled(type, parts, owner, emitError);
}
