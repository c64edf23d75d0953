// Scales that are known at compile time, and what codes become under them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "KnownScales.h"

#include "ConstantData.h"
#include "ScaledMoves.h"

#include "nibble/Reference/RefTensor.h"
#include "nibble/rt/quantize.h"

#include <map>

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using rt::StorageFormat;

using Bytes = std::vector<char>;

static int64_t countScales(RankedTensorType type) {
  return ShapedType::getNumElements(
      getScaledElement(type).getScaleGrid(type.getShape()));
}

//===----------------------------------------------------------------------===//
// Reading operands and attributes
//===----------------------------------------------------------------------===//

/// `numbers` in `format`, one for each of `count` blocks or one for all.
static std::optional<Bytes> encodeScales(ArrayRef<double> numbers,
                                         StorageFormat format, int64_t count) {
  if (static_cast<int64_t>(numbers.size()) != count && numbers.size() != 1)
    return std::nullopt;
  Bytes bytes(rt::formatBytes(format, count));
  for (int64_t i = 0; i < count; ++i)
    rt::encodeArray(format, &numbers[numbers.size() == 1 ? 0 : i], i, 1,
                    bytes.data());
  return bytes;
}

static std::optional<Bytes> encodeZeroPoints(ArrayRef<double> numbers,
                                             ScaledType type, int64_t count) {
  if (static_cast<int64_t>(numbers.size()) != count && numbers.size() != 1)
    return std::nullopt;
  bool nibbles = ref::getFormat(type.getStorage()) == StorageFormat::U4;
  Bytes bytes;
  for (int64_t i = 0; i < count; ++i) {
    auto byte = static_cast<char>(
        static_cast<int64_t>(numbers[numbers.size() == 1 ? 0 : i]));
    bytes.push_back(nibbles ? byte & 15 : byte);
  }
  return bytes;
}

static std::optional<KnownScales> fromOperands(RankedTensorType type,
                                               Value scale, Value global,
                                               Value zeroPoint) {
  KnownScales known{getScaledElement(type), {}, {}, 1};
  int64_t count = countScales(type);
  auto scales = getNumbers(scale);
  if (!scales)
    return std::nullopt;
  auto bytes =
      encodeScales(*scales, ref::getFormat(known.type.getScale()), count);
  if (!bytes)
    return std::nullopt;
  known.scales = std::move(*bytes);
  if (global) {
    auto numbers = getNumbers(global);
    if (!numbers || numbers->size() != 1)
      return std::nullopt;
    known.global =
        rt::roundTo(ref::getFormat(known.type.getGlobal()), numbers->front());
  }
  if (!zeroPoint)
    return known;
  auto zeros = getNumbers(zeroPoint);
  bytes = zeros ? encodeZeroPoints(*zeros, known.type, count) : std::nullopt;
  if (!bytes)
    return std::nullopt;
  known.zeroPoints = std::move(*bytes);
  return known;
}

static std::optional<Bytes> copyBytes(ElementsAttr attr) {
  SmallVector<char> scratch;
  auto bytes = getRawBytes(attr, scratch);
  if (failed(bytes))
    return std::nullopt;
  return Bytes(bytes->begin(), bytes->end());
}

static std::optional<KnownScales> fromConstant(ConstantOp op) {
  KnownScales known{getScaledElement(op.getResult().getType()), {}, {}, 1};
  auto scales = op.getScales() ? copyBytes(*op.getScales()) : std::nullopt;
  if (!known.type || !scales)
    return std::nullopt;
  known.scales = std::move(*scales);
  if (op.getGlobal()) {
    auto global = copyBytes(*op.getGlobal());
    StorageFormat format = ref::getFormat(known.type.getGlobal());
    if (!global)
      return std::nullopt;
    known.global = rt::decode(format, rt::loadCode(format, global->data(), 0));
  }
  if (!op.getZeroPoints())
    return known;
  auto zeros = copyBytes(*op.getZeroPoints());
  if (!zeros)
    return std::nullopt;
  known.zeroPoints = std::move(*zeros);
  return known;
}

/// E8M0 scales may come as i8 bit patterns.
static std::optional<KnownScales> fromAssemble(AssembleOp op) {
  auto type = cast<RankedTensorType>(op.getResult().getType());
  if (!getElementTypeOrSelf(op.getScales()).isInteger())
    return fromOperands(type, op.getScales(), op.getGlobal(),
                        op.getZeroPoint());
  ElementsAttr attr = getPlainConstant(op.getScales());
  auto bytes = attr ? copyBytes(attr) : std::nullopt;
  if (!bytes || static_cast<int64_t>(bytes->size()) != countScales(type))
    return std::nullopt;
  return KnownScales{getScaledElement(type), *bytes, {}, 1};
}

//===----------------------------------------------------------------------===//
// Queries
//===----------------------------------------------------------------------===//

std::optional<KnownScales> nibble::getKnownScales(QuantizeOp op) {
  if (!op.getScale())
    return std::nullopt;
  return fromOperands(cast<RankedTensorType>(op.getResult().getType()),
                      op.getScale(), op.getGlobal(), op.getZeroPoint());
}

/// Where the elements of a scaled tensor with one scale come from.
static Value lookThroughMoves(Value scaled) {
  while (Operation *op = scaled.getDefiningOp()) {
    if (!isMove(op) || !getScaledElement(scaled.getType()).isPerTensor())
      break;
    scaled = getMoved(op).front();
  }
  return scaled;
}

std::optional<KnownScales> nibble::getKnownScales(Value scaled) {
  scaled = lookThroughMoves(scaled);
  Operation *op = scaled.getDefiningOp();
  if (auto quantize = dyn_cast_if_present<QuantizeOp>(op))
    return getKnownScales(quantize);
  if (auto constant = dyn_cast_if_present<ConstantOp>(op))
    return fromConstant(constant);
  if (auto assemble = dyn_cast_if_present<AssembleOp>(op))
    return fromAssemble(assemble);
  return std::nullopt;
}

bool nibble::hasSameScales(Value a, Value b) {
  a = lookThroughMoves(a), b = lookThroughMoves(b);
  if (a == b)
    return true;
  if (getScaledElement(a.getType()) != getScaledElement(b.getType()))
    return false;
  auto x = a.getDefiningOp<QuantizeOp>(), y = b.getDefiningOp<QuantizeOp>();
  if (x && y && x.getScale() && y.getScale() &&
      isSameValue(x.getScale(), y.getScale()) &&
      isSameValue(x.getGlobal(), y.getGlobal()) &&
      isSameValue(x.getZeroPoint(), y.getZeroPoint()))
    return true;
  auto known = getKnownScales(a);
  return known && known == getKnownScales(b);
}

/// The value or the number of the global scale.
static std::pair<Value, std::optional<double>> getGlobalOf(Value scaled) {
  while (Operation *op = scaled.getDefiningOp()) {
    if (!isMove(op))
      break;
    scaled = getMoved(op).front();
  }
  Value global;
  if (auto quantize = scaled.getDefiningOp<QuantizeOp>())
    global = quantize.getGlobal();
  if (auto assemble = scaled.getDefiningOp<AssembleOp>())
    global = assemble.getGlobal();
  if (global)
    if (auto numbers = getNumbers(global))
      return {global, numbers->front()};
  if (auto constant = scaled.getDefiningOp<ConstantOp>())
    if (auto known = fromConstant(constant))
      return {global, known->global};
  return {global, std::nullopt};
}

bool nibble::hasSameGlobal(Value a, Value b) {
  ScaledType type = getScaledElement(a.getType());
  if (type != getScaledElement(b.getType()))
    return false;
  if (!type.getGlobal() || a == b)
    return true;
  auto [valueA, numberA] = getGlobalOf(a);
  auto [valueB, numberB] = getGlobalOf(b);
  return (valueA && valueA == valueB) || (numberA && numberA == numberB);
}

//===----------------------------------------------------------------------===//
// Codes
//===----------------------------------------------------------------------===//

std::vector<KnownScales::Pair> KnownScales::getPairs() const {
  StorageFormat format = ref::getFormat(type.getScale());
  bool isSigned = type.getStorage().isSignedInteger();
  // By bits: the two zeros and the NaNs are different scales, too.
  std::map<std::pair<uint64_t, int>, Pair> pairs;
  for (size_t i = 0, e = scales.size() * 8 / rt::formatBits(format); i < e;
       ++i) {
    uint64_t code = rt::loadCode(format, scales.data(), i);
    double scale = rt::decode(format, code);
    if (type.getGlobal())
      scale = rt::roundTo(ref::getFormat(type.getGlobal()), scale * global);
    int zero = 0;
    if (!zeroPoints.empty())
      zero = isSigned ? static_cast<int8_t>(zeroPoints[i])
                      : static_cast<uint8_t>(zeroPoints[i]);
    pairs.try_emplace({code, zero}, Pair{scale, zero});
  }
  std::vector<Pair> result;
  for (const auto &entry : pairs)
    result.push_back(entry.second);
  return result;
}

double nibble::decodeCode(ScaledType type, KnownScales::Pair pair,
                          uint64_t code) {
  double value = rt::decode(ref::getFormat(type.getStorage()), code);
  return (value - pair.zeroPoint) * pair.effective;
}

std::vector<uint64_t> nibble::getPossibleCodes(Value scaled) {
  ScaledType type = getScaledElement(scaled.getType());
  StorageFormat format = ref::getFormat(type.getStorage());
  auto quantize = lookThroughMoves(scaled).getDefiningOp<QuantizeOp>();
  rt::Overflow overflow = quantize && !quantize.getSaturate()
                              ? rt::Overflow::NonFinite
                              : rt::Overflow::Saturate;
  std::vector<uint64_t> codes;
  for (uint64_t code = 0, e = uint64_t(1) << rt::formatBits(format); code < e;
       ++code)
    // What rounding wrote once, it writes again.
    if (!quantize || !rt::isFloatFormat(format) ||
        rt::encode(format, rt::decode(format, code), overflow) == code)
      codes.push_back(code);
  return codes;
}
