// Reading and making values of the reference interpreter.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Reference/RefTensor.h"

#include "Threads.h"

#include <limits>
#include <mutex>

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;
using rt::StorageFormat;

//===----------------------------------------------------------------------===//
// Formats
//===----------------------------------------------------------------------===//

StorageFormat ref::getFormat(Type element) {
  if (element.isIndex())
    return StorageFormat::I64;
  if (auto integer = dyn_cast<IntegerType>(element)) {
    bool isUnsigned = integer.isUnsigned();
    switch (integer.getWidth()) {
    case 1:
      return StorageFormat::Bool;
    case 4:
      return isUnsigned ? StorageFormat::U4 : StorageFormat::I4;
    case 8:
      return isUnsigned ? StorageFormat::U8 : StorageFormat::I8;
    case 16:
      return isUnsigned ? StorageFormat::U16 : StorageFormat::I16;
    case 32:
      return isUnsigned ? StorageFormat::U32 : StorageFormat::I32;
    case 64:
      return isUnsigned ? StorageFormat::U64 : StorageFormat::I64;
    default:
      return StorageFormat::None;
    }
  }
  if (element.isF64())
    return StorageFormat::F64;
  if (element.isF32())
    return StorageFormat::F32;
  if (element.isF16())
    return StorageFormat::F16;
  if (element.isBF16())
    return StorageFormat::BF16;
  if (isa<Float8E4M3FNType>(element))
    return StorageFormat::E4M3FN;
  if (isa<Float8E5M2Type>(element))
    return StorageFormat::E5M2;
  if (isa<Float8E4M3FNUZType>(element))
    return StorageFormat::E4M3FNUZ;
  if (isa<Float8E5M2FNUZType>(element))
    return StorageFormat::E5M2FNUZ;
  if (isa<Float8E8M0FNUType>(element))
    return StorageFormat::E8M0;
  if (isa<Float4E2M1FNType>(element))
    return StorageFormat::E2M1;
  return StorageFormat::None;
}

Rounding ref::getRounding(Type element) {
  return {isa<FloatType>(element) ? getFormat(element) : StorageFormat::None};
}

bool Rounding::isIdentity() const {
  return format == StorageFormat::None || format == StorageFormat::F32 ||
         format == StorageFormat::F64;
}

double Rounding::apply(double x) const {
  apply(&x, 1);
  return x;
}

template <StorageFormat F>
static void roundAll(double *values, int64_t count, rt::Overflow overflow) {
  for (int64_t i = 0; i < count; ++i)
    values[i] = rt::decodeAs<F>(rt::encodeAs<F>(values[i], overflow));
}

void Rounding::apply(double *values, int64_t count) const {
  switch (format) {
  case StorageFormat::F16:
    return roundAll<StorageFormat::F16>(values, count, overflow);
  case StorageFormat::BF16:
    return roundAll<StorageFormat::BF16>(values, count, overflow);
  case StorageFormat::E4M3FN:
    return roundAll<StorageFormat::E4M3FN>(values, count, overflow);
  case StorageFormat::E5M2:
    return roundAll<StorageFormat::E5M2>(values, count, overflow);
  case StorageFormat::E4M3FNUZ:
    return roundAll<StorageFormat::E4M3FNUZ>(values, count, overflow);
  case StorageFormat::E5M2FNUZ:
    return roundAll<StorageFormat::E5M2FNUZ>(values, count, overflow);
  case StorageFormat::E2M1:
    return roundAll<StorageFormat::E2M1>(values, count, overflow);
  case StorageFormat::E8M0:
    for (int64_t i = 0; i < count; ++i)
      values[i] = rt::decodeE8M0(rt::encodeE8M0(values[i], e8m0, overflow));
    return;
  default: // None, F32, F64: unrounded
    return;
  }
}

//===----------------------------------------------------------------------===//
// Storage
//===----------------------------------------------------------------------===//

struct RefTensor::Storage {
  enum class Kind { Floats, Ints, SplatFloat, SplatInt, Raw, Scaled };

  Kind kind = Kind::Floats;
  Buffer<double> floats;
  Buffer<int64_t> ints;
  double splatFloat = 0;
  int64_t splatInt = 0;

  // Raw, and the codes of Scaled.
  StorageFormat format = StorageFormat::None;
  ArrayRef<char> bytes;
  std::shared_ptr<const void> owner;

  // Scaled.
  StorageFormat scaleFormat = StorageFormat::None;
  StorageFormat globalFormat = StorageFormat::None;
  ArrayRef<char> scales, zeroPoints;
  double global = 1;
  SmallVector<int64_t> shape, block, grid;
  mutable std::once_flag once;
  mutable std::vector<double> effective;

  bool isLazy() const { return kind == Kind::Raw || kind == Kind::Scaled; }
  ArrayRef<double> effectiveScales() const;
  void readScaled(int64_t begin, int64_t count, double *out) const;
  void readRow(int64_t gridRow, int64_t begin, int64_t count,
               double *out) const;
};

ArrayRef<double> RefTensor::Storage::effectiveScales() const {
  std::call_once(once, [&] {
    effective.resize(ShapedType::getNumElements(grid));
    rt::decodeArray(scaleFormat, scales.data(), 0, effective.size(),
                    effective.data());
    if (globalFormat == StorageFormat::None)
      return;
    // The product of two floats is exact in double: one rounding, to T.
    for (double &scale : effective)
      scale = rt::roundTo(globalFormat, scale * global);
  });
  return effective;
}

/// Codes [begin, begin + count) of the last dimension lie in `out` already;
/// `gridRow` is the first scale of their row.
void RefTensor::Storage::readRow(int64_t gridRow, int64_t begin, int64_t count,
                                 double *out) const {
  ArrayRef<double> scale = effectiveScales();
  int64_t extent = block.empty() ? 1 : block.back();
  StorageFormat zero = rt::formatInfo(format).kind == rt::FormatKind::Signed
                           ? StorageFormat::I8
                           : StorageFormat::U8;
  for (int64_t i = 0; i < count;) {
    int64_t column = begin + i;
    int64_t at = gridRow + column / extent;
    int64_t end = std::min(count, (column / extent + 1) * extent - begin);
    double factor = scale[at], offset = 0;
    if (!zeroPoints.empty())
      offset = rt::decode(zero, rt::loadCode(zero, zeroPoints.data(), at));
    for (; i < end; ++i)
      out[i] = (out[i] - offset) * factor;
  }
}

void RefTensor::Storage::readScaled(int64_t begin, int64_t count,
                                    double *out) const {
  rt::decodeArray(format, bytes.data(), begin, count, out);
  int64_t width = shape.empty() ? 1 : shape.back();
  while (count > 0) {
    int64_t row = begin / width, column = begin % width;
    int64_t gridRow = 0, stride = grid.empty() ? 1 : grid.back();
    for (int64_t d = static_cast<int64_t>(shape.size()) - 2; d >= 0; --d) {
      gridRow += (row % shape[d]) / block[d] * stride;
      row /= shape[d];
      stride *= grid[d];
    }
    int64_t n = std::min(count, width - column);
    readRow(gridRow, column, n, out);
    begin += n, count -= n, out += n;
  }
}

//===----------------------------------------------------------------------===//
// Making
//===----------------------------------------------------------------------===//

RefTensor RefTensor::floats(RankedTensorType type, Buffer<double> values) {
  auto storage = std::make_shared<Storage>();
  storage->kind = Storage::Kind::Floats;
  storage->floats = std::move(values);
  return RefTensor(type, std::move(storage));
}

RefTensor RefTensor::ints(RankedTensorType type, Buffer<int64_t> values) {
  auto storage = std::make_shared<Storage>();
  storage->kind = Storage::Kind::Ints;
  storage->ints = std::move(values);
  return RefTensor(type, std::move(storage));
}

RefTensor RefTensor::floats(RankedTensorType type, ArrayRef<double> values) {
  auto buffer = allocate<double>(values.size());
  llvm::copy(values, buffer.get());
  getRounding(type.getElementType()).apply(buffer.get(), values.size());
  return floats(type, std::move(buffer));
}

RefTensor RefTensor::ints(RankedTensorType type, ArrayRef<int64_t> values) {
  auto buffer = allocate<int64_t>(values.size());
  llvm::copy(values, buffer.get());
  return ints(type, std::move(buffer));
}

RefTensor RefTensor::splat(RankedTensorType type, double value) {
  auto storage = std::make_shared<Storage>();
  storage->kind = Storage::Kind::SplatFloat;
  storage->splatFloat = getRounding(type.getElementType()).apply(value);
  return RefTensor(type, std::move(storage));
}

RefTensor RefTensor::splat(RankedTensorType type, int64_t value) {
  auto storage = std::make_shared<Storage>();
  storage->kind = Storage::Kind::SplatInt;
  storage->splatInt = value;
  return RefTensor(type, std::move(storage));
}

RefTensor RefTensor::undefined(RankedTensorType type) {
  if (auto scaledType = nq::getScaledElement(type)) {
    auto zeros = std::make_shared<std::vector<char>>(
        std::max(scaledType.getCodeBytes(type.getShape()),
                 scaledType.getScaleBytes(type.getShape())));
    ArrayRef<char> all(*zeros);
    ScaledParts parts;
    parts.codes = all.take_front(scaledType.getCodeBytes(type.getShape()));
    parts.scales = all.take_front(scaledType.getScaleBytes(type.getShape()));
    if (scaledType.getZeroPoint())
      parts.zeroPoints = parts.scales.take_front(
          ShapedType::getNumElements(scaledType.getScaleGrid(type.getShape())));
    auto result = scaled(type, parts, zeros, nullptr);
    return succeeded(result) ? *result : RefTensor();
  }
  if (!type.getElementType().isIntOrIndex())
    return splat(type, std::numeric_limits<double>::quiet_NaN());
  unsigned width =
      type.getElementType().isIndex() ? 64 : type.getElementTypeBitWidth();
  uint64_t pattern = 0x5A5A5A5A5A5A5A5A;
  return splat(type, width == 1
                         ? int64_t(0)
                         : static_cast<int64_t>(pattern << (64 - width)) >>
                               (64 - width));
}

/// Reports through `emitError` if there is one.
static LogicalResult complain(EmitError emitError, const Twine &message) {
  if (emitError)
    emitError() << message;
  return failure();
}

static LogicalResult checkBytes(EmitError emitError, StringRef what,
                                int64_t got, int64_t want) {
  if (got >= want)
    return success();
  return complain(emitError, what + " hold " + Twine(got) +
                                 " bytes, the type needs " + Twine(want));
}

FailureOr<RefTensor> RefTensor::raw(RankedTensorType type, ArrayRef<char> bytes,
                                    std::shared_ptr<const void> owner,
                                    EmitError emitError) {
  auto storage = std::make_shared<Storage>();
  storage->kind = Storage::Kind::Raw;
  storage->format = getFormat(type.getElementType());
  if (storage->format == StorageFormat::None) {
    return complain(emitError,
                    "element type is not supported by the reference");
  }
  if (failed(
          checkBytes(emitError, "data", bytes.size(),
                     rt::formatBytes(storage->format, type.getNumElements()))))
    return failure();
  storage->bytes = bytes;
  storage->owner = std::move(owner);
  return RefTensor(type, std::move(storage));
}

FailureOr<RefTensor> RefTensor::scaled(RankedTensorType type,
                                       const ScaledParts &parts,
                                       std::shared_ptr<const void> owner,
                                       EmitError emitError) {
  auto element = nq::getScaledElement(type);
  if (!element) {
    return complain(emitError, "not a scaled tensor type");
  }
  auto storage = std::make_shared<Storage>();
  storage->kind = Storage::Kind::Scaled;
  storage->format = getFormat(element.getStorage());
  storage->scaleFormat = getFormat(element.getScale());
  if (element.getGlobal())
    storage->globalFormat = getFormat(element.getGlobal());
  storage->shape = SmallVector<int64_t>(type.getShape());
  storage->block = element.getBlockFor(type.getShape());
  storage->grid = element.getScaleGrid(type.getShape());
  int64_t scales = ShapedType::getNumElements(storage->grid);
  if (failed(checkBytes(emitError, "codes", parts.codes.size(),
                        element.getCodeBytes(type.getShape()))) ||
      failed(checkBytes(emitError, "scales", parts.scales.size(),
                        element.getScaleBytes(type.getShape()))) ||
      (element.getZeroPoint() &&
       failed(checkBytes(emitError, "zero points", parts.zeroPoints.size(),
                         scales))))
    return failure();
  storage->bytes =
      parts.codes.take_front(element.getCodeBytes(type.getShape()));
  storage->scales =
      parts.scales.take_front(element.getScaleBytes(type.getShape()));
  if (element.getZeroPoint())
    storage->zeroPoints = parts.zeroPoints.take_front(scales);
  storage->global = parts.global;
  storage->owner = std::move(owner);
  return RefTensor(type, std::move(storage));
}

//===----------------------------------------------------------------------===//
// Reading
//===----------------------------------------------------------------------===//

void RefTensor::read(int64_t begin, int64_t count, double *out) const {
  if (count <= 0)
    return;
  switch (storage->kind) {
  case Storage::Kind::Floats:
    std::copy_n(storage->floats.get() + begin, count, out);
    break;
  case Storage::Kind::SplatFloat:
    std::fill_n(out, count, storage->splatFloat);
    break;
  case Storage::Kind::Raw:
    rt::decodeArray(storage->format, storage->bytes.data(), begin, count, out);
    break;
  case Storage::Kind::Scaled:
    storage->readScaled(begin, count, out);
    break;
  case Storage::Kind::Ints:
  case Storage::Kind::SplatInt: // callers go by the type; as numbers, anyway
    for (int64_t i = 0; i < count; ++i)
      out[i] = static_cast<double>(intAt(begin + i));
    break;
  }
  for (const Rounding &rounding : roundings)
    rounding.apply(out, count);
}

template <typename T>
static void widen(const char *bytes, int64_t begin, int64_t count,
                  int64_t *out) {
  for (int64_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, bytes + (begin + i) * sizeof(T), sizeof(T));
    out[i] = static_cast<int64_t>(value);
  }
}

static void readRawInts(StorageFormat format, const char *bytes, int64_t begin,
                        int64_t count, int64_t *out) {
  switch (format) {
  case StorageFormat::Bool:
    for (int64_t i = 0; i < count; ++i)
      out[i] = bytes[begin + i] != 0;
    return;
  case StorageFormat::I4:
  case StorageFormat::U4:
    for (int64_t i = 0; i < count; ++i)
      out[i] =
          static_cast<int64_t>(rt::loadCode(format, bytes, begin + i) << 60) >>
          60;
    return;
  case StorageFormat::I8:
  case StorageFormat::U8:
    return widen<int8_t>(bytes, begin, count, out);
  case StorageFormat::I16:
  case StorageFormat::U16:
    return widen<int16_t>(bytes, begin, count, out);
  case StorageFormat::I32:
  case StorageFormat::U32:
    return widen<int32_t>(bytes, begin, count, out);
  default:
    return widen<int64_t>(bytes, begin, count, out);
  }
}

void RefTensor::read(int64_t begin, int64_t count, int64_t *out) const {
  if (count <= 0)
    return;
  switch (storage->kind) {
  case Storage::Kind::Ints:
    std::copy_n(storage->ints.get() + begin, count, out);
    return;
  case Storage::Kind::SplatInt:
    std::fill_n(out, count, storage->splatInt);
    return;
  default:
    return readRawInts(storage->format, storage->bytes.data(), begin, count,
                       out);
  }
}

double RefTensor::floatAt(int64_t index) const {
  if (storage->kind == Storage::Kind::Floats)
    return storage->floats[index];
  double value;
  read(index, 1, &value);
  return value;
}

int64_t RefTensor::intAt(int64_t index) const {
  if (storage->kind == Storage::Kind::Ints)
    return storage->ints[index];
  int64_t value;
  read(index, 1, &value);
  return value;
}

std::vector<double> RefTensor::toFloats() const {
  std::vector<double> values(size());
  read(0, size(), values.data());
  return values;
}

std::vector<int64_t> RefTensor::toInts() const {
  std::vector<int64_t> values(size());
  read(0, size(), values.data());
  return values;
}

const double *RefTensor::denseFloats() const { return storage->floats.get(); }
const int64_t *RefTensor::denseInts() const { return storage->ints.get(); }
ArrayRef<char> RefTensor::rawBytes() const {
  bool same = storage->kind == Storage::Kind::Raw && roundings.empty() &&
              storage->format == getFormat(type.getElementType());
  if (!same)
    return {};
  return storage->bytes.take_front(rt::formatBytes(storage->format, size()));
}
bool RefTensor::isLazy() const { return storage->isLazy(); }
bool RefTensor::isSplat() const {
  return storage->kind == Storage::Kind::SplatFloat ||
         storage->kind == Storage::Kind::SplatInt;
}

constexpr int64_t decodeGrain = 1 << 15;

RefTensor RefTensor::decoded(unsigned threads) const {
  if (denseFloats() || denseInts())
    return *this;
  if (isInteger()) {
    auto values = allocate<int64_t>(size());
    read(0, size(), values.get());
    return ints(type, values);
  }
  auto values = allocate<double>(size());
  parallelFor(threads, size(), decodeGrain, [&](int64_t begin, int64_t end) {
    read(begin, end - begin, values.get() + begin);
  });
  auto resultType = type;
  if (isScaled())
    resultType =
        RankedTensorType::get(getShape(), Float64Type::get(type.getContext()));
  return floats(resultType, values);
}

RefTensor RefTensor::withType(RankedTensorType newType) const {
  if (isScaled() && nq::getScaledElement(newType)) {
    auto result = scaled(newType, getScaledParts(), storage, nullptr);
    return succeeded(result) ? *result : RefTensor();
  }
  RefTensor result = *this;
  result.type = newType;
  return result;
}

RefTensor RefTensor::rounded(RankedTensorType newType, Rounding rounding,
                             unsigned threads) const {
  RefTensor result = *this;
  result.type = newType;
  if (rounding.isIdentity())
    return result;
  if (storage->kind == Storage::Kind::SplatFloat)
    return splat(newType, rounding.apply(storage->splatFloat));
  if (isLazy()) {
    result.roundings.push_back(rounding);
    return result;
  }
  auto values = allocate<double>(size());
  parallelFor(threads, size(), decodeGrain, [&](int64_t begin, int64_t end) {
    read(begin, end - begin, values.get() + begin);
    rounding.apply(values.get() + begin, end - begin);
  });
  return floats(newType, values);
}

RefTensor::ScaledParts RefTensor::getScaledParts() const {
  return {storage->bytes, storage->scales, storage->zeroPoints,
          storage->global};
}

std::vector<double> RefTensor::getBlockScales() const {
  std::vector<double> values(ShapedType::getNumElements(storage->grid));
  rt::decodeArray(storage->scaleFormat, storage->scales.data(), 0,
                  values.size(), values.data());
  return values;
}

ArrayRef<double> RefTensor::getEffectiveScales() const {
  return storage->effectiveScales();
}
