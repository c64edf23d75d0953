// Ops of nq that make, convert and take apart scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Eval.h"
#include "Threads.h"

#include "nibble/rt/quantize.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::ref;
using rt::StorageFormat;

namespace {
/// Bytes of a scaled tensor under construction; owns them afterwards.
struct Parts {
  std::vector<char> codes, scales, zeroPoints;
};
} // namespace

static FailureOr<Results> finish(const OpCall &call,
                                 std::shared_ptr<Parts> parts, double global) {
  auto result = RefTensor::scaled(
      call.resultType(),
      {parts->codes, parts->scales, parts->zeroPoints, global}, parts,
      [&] { return call.error(); });
  if (failed(result))
    return failure();
  return Results{*result};
}

/// One byte per scale; a single zero point serves all.
static LogicalResult readZeroPoints(const OpCall &call, Value operand,
                                    int64_t scales, std::vector<char> &bytes) {
  const RefTensor *tensor = call.getOptional(operand);
  if (!tensor)
    return success();
  if (tensor->size() != 1 && tensor->size() != scales)
    return call.error() << "has " << tensor->size() << " zero points for "
                        << scales << " scales";
  if (!tensor->isInteger())
    return call.error() << "has zero points of type "
                        << tensor->getElementType();
  for (int64_t i = 0; i < scales; ++i)
    bytes.push_back(
        static_cast<char>(tensor->intAt(tensor->size() == 1 ? 0 : i)));
  // Unsigned 4-bit numbers lie in 0..15.
  auto scaled = nq::getScaledElement(call.resultType());
  if (getFormat(scaled.getStorage()) == StorageFormat::U4)
    for (char &byte : bytes)
      byte &= 15;
  return success();
}

static int64_t countScales(RankedTensorType type) {
  return ShapedType::getNumElements(
      nq::getScaledElement(type).getScaleGrid(type.getShape()));
}

static FailureOr<Results> evalConstant(const OpCall &call) {
  auto value = RefTensor::fromConstant(cast<nq::ConstantOp>(call.op));
  if (failed(value))
    return failure();
  return Results{*value};
}

static FailureOr<Results> evalDequantize(const OpCall &call) {
  RankedTensorType type = call.resultType();
  return Results{call.operands[0].rounded(
      type, getRounding(type.getElementType()), call.threads)};
}

static FailureOr<Results> evalCast(const OpCall &call) {
  auto op = cast<nq::CastOp>(call.op);
  RankedTensorType type = call.resultType();
  Rounding rounding = getRounding(type.getElementType());
  if (!op.getSaturate())
    rounding.overflow = rt::Overflow::NonFinite;
  if (op.getRoundMode() == "down")
    rounding.e8m0 = rt::E8M0Round::Down;
  else if (op.getRoundMode() == "nearest")
    rounding.e8m0 = rt::E8M0Round::Nearest;
  return Results{call.operands[0].rounded(type, rounding, call.threads)};
}

static FailureOr<Results> evalReformat(const OpCall &call) {
  return Results{call.operands[0].withType(call.resultType())};
}

static FailureOr<Results> evalAssemble(const OpCall &call) {
  auto op = cast<nq::AssembleOp>(call.op);
  auto parts = std::make_shared<Parts>();
  parts->codes = call.get(op.getCodes()).toLinearStorage();
  parts->scales = call.get(op.getScales()).toLinearStorage();
  if (failed(readZeroPoints(call, op.getZeroPoint(),
                            countScales(call.resultType()), parts->zeroPoints)))
    return failure();
  const RefTensor *global = call.getOptional(op.getGlobal());
  return finish(call, parts, global ? global->floatAt(0) : 1);
}

/// The scales that a widened tensor keeps, and those that its codes take.
static std::vector<char> scalesOnes(nq::ScaledType type, int64_t count) {
  StorageFormat format = getFormat(type.getScale());
  std::vector<char> bytes(rt::formatBytes(format, count));
  std::vector<double> ones(count, 1);
  rt::encodeArray(format, ones.data(), 0, count, bytes.data());
  return bytes;
}

/// Codes, times block scales that become part of them, are read as the values
/// of a tensor without the other scales.
static FailureOr<Results> evalWiden(const OpCall &call) {
  auto op = cast<nq::WidenOp>(call.op);
  const RefTensor &input = call.operands[0];
  auto from = nq::getScaledElement(op.getInput().getType()),
       to = nq::getScaledElement(op.getResult().getType());
  RefTensor::ScaledParts source = input.getScaledParts();
  auto parts = std::make_shared<Parts>(), unscaled = std::make_shared<Parts>();
  bool taken = nq::WidenOp::takesScales(from);
  unscaled->codes.assign(source.codes.begin(), source.codes.end());
  unscaled->zeroPoints.assign(source.zeroPoints.begin(),
                              source.zeroPoints.end());
  unscaled->scales =
      taken ? std::vector<char>(source.scales.begin(), source.scales.end())
            : scalesOnes(from, countScales(input.getType()));
  auto plain = RankedTensorType::get(
      input.getShape(),
      nq::ScaledType::get(from.getContext(), from.getStorage(), from.getScale(),
                          from.getBlock(), Type(), from.getZeroPoint()));
  auto codes = RefTensor::scaled(
      plain, {unscaled->codes, unscaled->scales, unscaled->zeroPoints, 1},
      unscaled, [&] { return call.error(); });
  if (failed(codes))
    return failure();
  auto wide = RankedTensorType::get(input.getShape(), to.getStorage());
  parts->codes =
      codes->rounded(wide, getRounding(to.getStorage()), call.threads)
          .toLinearStorage();
  if (!taken) {
    parts->scales.assign(source.scales.begin(), source.scales.end());
  } else {
    parts->scales.resize(sizeof(float));
    rt::encodeArray(StorageFormat::F32, &source.global, 0, 1,
                    parts->scales.data());
  }
  return finish(call, parts, 1);
}

/// Codes or block scales as a plain tensor of `type`, which has as many bits.
static FailureOr<Results> takeBytes(const OpCall &call, ArrayRef<char> bytes) {
  auto owner = std::make_shared<std::vector<char>>(bytes.begin(), bytes.end());
  auto result = RefTensor::raw(call.resultType(), *owner, owner,
                               [&] { return call.error(); });
  if (failed(result))
    return failure();
  return Results{*result};
}

static FailureOr<Results> evalCodes(const OpCall &call) {
  return takeBytes(call, call.operands[0].getScaledParts().codes);
}
static FailureOr<Results> evalScales(const OpCall &call) {
  return takeBytes(call, call.operands[0].getScaledParts().scales);
}

//===----------------------------------------------------------------------===//
// Quantize
//===----------------------------------------------------------------------===//

namespace {

/// All that the loop over blocks needs. Block boundaries follow the last
/// dimension; the other dimensions of a block are walked by an index.
class Quantizer {
public:
  Quantizer(const OpCall &call, nq::QuantizeOp op)
      : call(call), op(op), type(call.resultType()),
        scaled(nq::getScaledElement(type)),
        storage(getFormat(scaled.getStorage())),
        scaleFormat(getFormat(scaled.getScale())),
        grid(scaled.getScaleGrid(type.getShape())),
        block(scaled.getBlockFor(type.getShape())),
        input(call.get(op.getInput())), parts(std::make_shared<Parts>()) {}

  FailureOr<Results> run();

private:
  LogicalResult runStatic();
  LogicalResult runDynamic();
  void quantizeSymmetric(const float *x, int64_t count, int64_t at,
                         uint8_t *codes);
  template <typename QuantizeBlock> void forRows(QuantizeBlock quantizeBlock);

  const OpCall &call;
  nq::QuantizeOp op;
  RankedTensorType type;
  nq::ScaledType scaled;
  StorageFormat storage, scaleFormat;
  SmallVector<int64_t> grid, block;
  const RefTensor &input;
  std::shared_ptr<Parts> parts;
  double global = 1;
};

/// The given scales are stored as the result's (they are of its type, or are
/// rounded to it); the division uses what is stored, the global one included.
LogicalResult Quantizer::runStatic() {
  const RefTensor &scale = call.get(op.getScale());
  int64_t scales = parts->scales.size() * 8 / rt::formatBits(scaleFormat);
  if (scale.size() != 1 && scale.size() != scales)
    return call.error() << "has " << scale.size() << " scales for " << scales
                        << " blocks";
  std::vector<float> divisors(scales);
  for (int64_t i = 0; i < scales; ++i) {
    double value = scale.floatAt(scale.size() == 1 ? 0 : i);
    rt::encodeArray(scaleFormat, &value, i, 1, parts->scales.data());
    rt::decodeArray(scaleFormat, parts->scales.data(), i, 1, &divisors[i]);
    if (scaled.getGlobal())
      divisors[i] = rt::effectiveScale(divisors[i], static_cast<float>(global),
                                       getFormat(scaled.getGlobal()));
  }
  bool isSigned = rt::formatInfo(storage).kind == rt::FormatKind::Signed;
  rt::Overflow overflow =
      op.getSaturate() ? rt::Overflow::Saturate : rt::Overflow::NonFinite;
  int64_t width = type.getRank() ? type.getShape().back() : 1;
  forRows([&](const float *row, int64_t gridRow, uint8_t *codes) {
    int64_t extent = block.empty() ? 1 : block.back();
    for (int64_t i = 0; i < width; ++i) {
      int64_t at = gridRow + i / extent;
      int zero = 0;
      if (!parts->zeroPoints.empty())
        zero = isSigned ? static_cast<int8_t>(parts->zeroPoints[at])
                        : static_cast<uint8_t>(parts->zeroPoints[at]);
      codes[i] = rt::staticCode(row[i], divisors[at], zero, storage, overflow);
    }
  });
  return success();
}

/// A scale in float is amax over the largest code, as it is stored.
void Quantizer::quantizeSymmetric(const float *x, int64_t count, int64_t at,
                                  uint8_t *codes) {
  float amax;
  rt::blockAmax(x, {1, count, 1, count}, &amax);
  double value = rt::symmetricScale(amax, storage);
  float scale;
  rt::encodeArray(scaleFormat, &value, at, 1, parts->scales.data());
  rt::decodeArray(scaleFormat, parts->scales.data(), at, 1, &scale);
  for (int64_t i = 0; i < count; ++i)
    codes[i] = rt::staticCode(x[i], scale, 0, storage, rt::Overflow::Saturate);
}

/// Recipes are defined on blocks along the last dimension.
LogicalResult Quantizer::runDynamic() {
  std::string name = op.getRecipe()->str();
  auto nvfp4 = rt::parseNvfp4Recipe(name);
  auto mx = rt::parseMxRecipe(name);
  bool isNvfp4 = storage == StorageFormat::E2M1 &&
                 scaleFormat == StorageFormat::E4M3FN && scaled.getGlobal();
  bool isMx = scaleFormat == StorageFormat::E8M0 && !scaled.getGlobal() &&
              rt::isFloatFormat(storage);
  bool isFloat = rt::formatBits(scaleFormat) >= 16 && !scaled.getGlobal() &&
                 !scaled.getZeroPoint();
  bool flat =
      llvm::all_of(ArrayRef<int64_t>(block).drop_back(block.empty() ? 0 : 1),
                   [](int64_t extent) { return extent == 1; });
  if (!flat || block.empty() ||
      !((isNvfp4 && nvfp4) || (isMx && mx) || isFloat))
    return call.error()
           << "has no recipe '" << name << "' for " << scaled
           << "; recipes are " << rt::nvfp4RecipeNames()
           << " (E2M1 with E4M3 and global scales), " << rt::mxRecipeNames()
           << " (E8M0 scales), any with scales in float; in blocks "
              "along the last dimension";
  // The operand is what dequantizing multiplies by; two recipes divide.
  auto factor = static_cast<float>(global);
  if (isNvfp4 && rt::globalDivides(*nvfp4))
    factor = 1.0f / factor;
  int64_t width = type.getShape().back(), extent = block.back();
  forRows([&](const float *row, int64_t gridRow, uint8_t *codes) {
    for (int64_t i = 0, at = gridRow; i < width; i += extent, ++at) {
      int64_t count = std::min(extent, width - i);
      if (isFloat) {
        quantizeSymmetric(row + i, count, at, codes + i);
        continue;
      }
      parts->scales[at] =
          isNvfp4
              ? rt::quantizeNvfp4Block(row + i, count, factor, *nvfp4,
                                       codes + i)
              : rt::quantizeMxBlock(row + i, count, storage, *mx, codes + i);
    }
  });
  return success();
}

/// Calls quantizeBlock(row in f32, its first scale, where its codes go) for
/// each row of the last dimension, then packs.
template <typename QuantizeBlock>
void Quantizer::forRows(QuantizeBlock quantizeBlock) {
  ArrayRef<int64_t> shape = type.getShape();
  int64_t width = shape.empty() ? 1 : shape.back();
  int64_t rows = width ? type.getNumElements() / width : 0;
  bool packed = rt::formatBits(storage) == 4;
  // Ranges start at even rows, so that no two share a byte.
  int64_t grain = 2 * std::max<int64_t>(1, 8192 / std::max<int64_t>(width, 1));
  parallelFor(call.threads, rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<double> exact(width);
    std::vector<float> row(width);
    std::vector<uint8_t> codes((end - begin) * width);
    for (int64_t r = begin; r < end; ++r) {
      input.read(r * width, width, exact.data());
      for (int64_t i = 0; i < width; ++i)
        row[i] = static_cast<float>(exact[i]);
      int64_t gridRow = 0, stride = grid.empty() ? 1 : grid.back();
      int64_t rest = r;
      for (int64_t d = static_cast<int64_t>(shape.size()) - 2; d >= 0; --d) {
        gridRow += rest % shape[d] / block[d] * stride;
        rest /= shape[d];
        stride *= grid[d];
      }
      quantizeBlock(row.data(), gridRow, codes.data() + (r - begin) * width);
    }
    auto *to = reinterpret_cast<uint8_t *>(parts->codes.data());
    if (packed)
      rt::packNibbles(codes.data(), codes.size(), to + begin * width / 2);
    else
      llvm::copy(codes, to + begin * width);
  });
}

FailureOr<Results> Quantizer::run() {
  parts->codes.resize(scaled.getCodeBytes(type.getShape()));
  parts->scales.resize(scaled.getScaleBytes(type.getShape()));
  if (const RefTensor *tensor = call.getOptional(op.getGlobal()))
    global = Rounding{getFormat(scaled.getGlobal())}.apply(tensor->floatAt(0));
  if (failed(readZeroPoints(call, op.getZeroPoint(), countScales(type),
                            parts->zeroPoints)) ||
      failed(op.getScale() ? runStatic() : runDynamic()))
    return failure();
  return finish(call, parts, global);
}

} // namespace

static FailureOr<Results> evalQuantize(const OpCall &call) {
  return Quantizer(call, cast<nq::QuantizeOp>(call.op)).run();
}

void nibble::ref::addQuantEvals(EvalTable &table) {
  table["nq.constant"] = evalConstant;
  table["nq.quantize"] = evalQuantize;
  table["nq.dequantize"] = evalDequantize;
  table["nq.cast"] = evalCast;
  table["nq.widen"] = evalWiden;
  table["nq.reformat"] = evalReformat;
  table["nq.assemble"] = evalAssemble;
  table["nq.codes"] = evalCodes;
  table["nq.scales"] = evalScales;
}
