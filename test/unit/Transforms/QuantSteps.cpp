// Steps of random graphs that make and read scaled tensors.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMaker.h"

#include "nibble/rt/recipes.h"

#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

constexpr int64_t whole = ShapedType::kDynamic;

//===----------------------------------------------------------------------===//
// Scaled types
//===----------------------------------------------------------------------===//

Type GraphMaker::pickStorage() {
  if (random.chance(70))
    return floatType(random.pick({4u, 4u, 4u, 5u, 6u}));
  auto sign = random.chance(50) ? IntegerType::Signed : IntegerType::Unsigned;
  return IntegerType::get(builder.getContext(), random.chance(60) ? 8 : 4,
                          sign);
}

nq::ScaledType GraphMaker::pickStaticType(int64_t rank) {
  MLIRContext *context = builder.getContext();
  static const std::vector<SmallVector<int64_t>> blocks = {
      {16},       {whole},    {8},    {3},    {1, 16}, {1, 16},
      {1, whole}, {whole, 1}, {2, 4}, {4, 8}, {1, 1},  {2, 1}};
  SmallVector<int64_t> block;
  if (rank > 0 && random.chance(50))
    do
      block = random.pick(blocks);
    while (static_cast<int64_t>(block.size()) > rank);
  Type storage = pickStorage();
  if (random.chance(15)) // two levels of scales
    return nq::ScaledType::get(context, storage, floatType(4), block,
                               floatType(random.pick({0u, 0u, 1u, 2u})), false);
  Type scale = floatType(random.pick({0u, 0u, 0u, 1u, 2u, 7u}));
  bool zeroPoint = isa<IntegerType>(storage) && random.chance(60);
  return nq::ScaledType::get(context, storage, scale, block, Type(), zeroPoint);
}

/// Types that recipes exist for.
nq::ScaledType GraphMaker::pickDynamicType() {
  MLIRContext *context = builder.getContext();
  if (random.chance(60)) {
    SmallVector<int64_t> block{1, random.pick<int64_t>({16, 16, 16, 8})};
    return nq::ScaledType::get(context, floatType(6), floatType(4), block,
                               floatType(random.pick({0u, 0u, 1u})), false);
  }
  SmallVector<int64_t> block{1, random.pick<int64_t>({32, 32, 16})};
  return nq::ScaledType::get(context, floatType(random.between(4, 6)),
                             floatType(7), block, Type(), false);
}

//===----------------------------------------------------------------------===//
// Scales and codes
//===----------------------------------------------------------------------===//

/// A positive number: short mantissas and moderate size if `isShort`, else
/// anything between subnormal and huge now and then.
static double makeScale(Random &random, bool isShort) {
  double mantissa = isShort ? 1 + random.below(8) / 8.0 : 1 + random.uniform();
  int exponent = random.between(-7, 2);
  if (!isShort && random.chance(6))
    exponent = random.pick({-149, -140, -126, -20, 10, 100, 125});
  return std::ldexp(mantissa, exponent);
}

StaticQuant GraphMaker::makeScales(RankedTensorType result, bool shortScales) {
  auto scaled = nq::getScaledElement(result);
  Shape grid = scaled.getScaleGrid(result.getShape());
  int64_t count = ShapedType::getNumElements(grid);
  if (count == 1 && random.chance(70))
    grid = random.chance(50) ? Shape{} : Shape{1};
  auto round = [&](Type type, std::vector<double> values) {
    auto tensor = RankedTensorType::get(grid, type);
    return Data{tensor, ref::RefTensor::floats(tensor, values).toFloats()};
  };
  // Scales that round to zero in their format make NaN of 0 / 0.
  auto positive = [&](Type type) {
    for (;;) {
      double x = makeScale(random, shortScales);
      rt::StorageFormat format = ref::getFormat(type);
      double rounded = rt::roundTo(format, x);
      if (rounded > 0 && rounded <= rt::formatInfo(format).maxFinite)
        return rounded;
    }
  };
  std::vector<double> values(count);
  for (double &x : values)
    x = positive(scaled.getScale());
  if (random.chance(30))
    std::fill(values.begin(), values.end(), values[0]);
  StaticQuant quant{Value(), round(scaled.getScale(), values), {}, {}};
  if (scaled.getGlobal())
    quant.global =
        Data{RankedTensorType::get({}, scaled.getGlobal()),
             {std::ldexp(1.0 + random.below(8) / 8.0, random.between(-6, 1))}};
  if (scaled.getZeroPoint()) {
    unsigned bits = scaled.getStorageBits();
    std::vector<double> zeros(count);
    for (double &zero : zeros)
      zero = random.between(-(1 << (bits - 1)), (1 << (bits - 1)) - 1);
    quant.zeroPoint = Data{RankedTensorType::get(quant.scale.type.getShape(),
                                                 builder.getIntegerType(bits)),
                           zeros};
  }
  return quant;
}

/// Any code but those of infinities and NaNs.
std::vector<char> GraphMaker::makeCodes(RankedTensorType type) {
  auto scaled = nq::getScaledElement(type);
  rt::StorageFormat format = ref::getFormat(scaled.getStorage());
  std::vector<char> bytes(scaled.getCodeBytes(type.getShape()));
  for (int64_t i = 0, e = type.getNumElements(); i < e; ++i) {
    uint64_t code;
    do
      code = random.below(uint64_t(1) << scaled.getStorageBits());
    while (!std::isfinite(rt::decode(format, code)));
    rt::storeCode(format, bytes.data(), i, code);
  }
  return bytes;
}

Value GraphMaker::makeScaledConstant(RankedTensorType type) {
  StaticQuant quant = makeScales(type, /*shortScales=*/true);
  auto raw = [&](std::vector<char> bytes) {
    auto bytesType = RankedTensorType::get({int64_t(bytes.size())},
                                           builder.getIntegerType(8));
    if (random.chance(50))
      return makeAttr(bytesType, std::move(bytes));
    return cast<ElementsAttr>(
        DenseElementsAttr::getFromRawBuffer(bytesType, bytes));
  };
  std::vector<char> scales =
      ref::RefTensor::floats(quant.scale.type, quant.scale.values).toStorage();
  ElementsAttr global, zeros;
  if (quant.global)
    global = ref::RefTensor::floats(quant.global->type, quant.global->values)
                 .toAttr();
  if (quant.zeroPoint) {
    bool isSigned = nq::getScaledElement(type).getStorage().isSignedInteger();
    std::vector<char> bytes;
    for (double zero : quant.zeroPoint->values)
      bytes.push_back(static_cast<char>(
          isSigned
              ? static_cast<int>(zero)
              : static_cast<int>(zero) &
                    ((1 << nq::getScaledElement(type).getStorageBits()) - 1)));
    zeros = raw(bytes);
  }
  auto constant = nq::ConstantOp::create(
      builder, loc, type, raw(makeCodes(type)), raw(scales), global, zeros);
  weights.push_back(constant);
  return constant;
}

/// A weight again, with copies of its bytes, or some other scales under the
/// same codes.
Value GraphMaker::repeatWeight() {
  nq::ConstantOp op = random.pick(weights);
  auto type = tensorOf(op.getResult());
  auto copy = [&](ElementsAttr attr) -> ElementsAttr {
    SmallVector<char> scratch;
    auto bytes = nq::getRawBytes(attr, scratch);
    return makeAttr(cast<RankedTensorType>(attr.getType()),
                    std::vector<char>(bytes->begin(), bytes->end()));
  };
  auto other = makeScaledConstant(type).getDefiningOp<nq::ConstantOp>();
  bool newScales = random.chance(30), newGlobal = random.chance(30);
  other.setCodesAttr(copy(op.getCodes()));
  if (!newScales)
    other.setScalesAttr(copy(*op.getScales()));
  if (op.getGlobal() && !newGlobal)
    other.setGlobalAttr(*op.getGlobal());
  if (op.getZeroPoints() && !newScales)
    other.setZeroPointsAttr(copy(*op.getZeroPoints()));
  return other.getResult();
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// With constants of its own that have the bytes of `like`.
Value GraphMaker::quantizeAs(Value input, const StaticQuant &like,
                             RankedTensorType type) {
  Value scale = makeConstant(like.scale);
  Value global = like.global ? makeConstant(*like.global) : Value();
  Value zero = like.zeroPoint ? makeConstant(*like.zeroPoint) : Value();
  return nq::QuantizeOp::create(builder, loc, type, input, scale, global, zero,
                                StringAttr(), random.chance(75));
}

void GraphMaker::addStaticQuantize() {
  const Entry *from = pickArithmetic();
  if (!from)
    return;
  Entry entry = *from;
  auto type =
      withElement(entry.value, pickStaticType(tensorOf(entry.value).getRank()));
  StaticQuant quant = makeScales(type, entry.constant);
  quant.result = quantizeAs(entry.value, quant, type);
  quants.push_back(quant);
  add({quant.result, entry.constant});
}

void GraphMaker::addDynamicQuantize() {
  const Entry *from = pickArithmetic(2);
  if (!from)
    return;
  Entry entry = *from;
  nq::ScaledType scaled = pickDynamicType();
  Value global;
  const char *recipe;
  if (scaled.getGlobal()) {
    recipe = rt::recipeName(
        static_cast<rt::Nvfp4Recipe>(random.below(rt::kNumNvfp4Recipes)));
    constants.push_back(
        {RankedTensorType::get({}, scaled.getGlobal()),
         {std::ldexp(1.0 + random.below(8) / 8.0, random.between(-8, -2))}});
    global = makeConstant(constants.back());
  } else {
    recipe = rt::recipeName(
        static_cast<rt::MxRecipe>(random.below(rt::kNumMxRecipes)));
  }
  Value result = nq::QuantizeOp::create(
      builder, loc, withElement(entry.value, scaled), entry.value, Value(),
      global, Value(), builder.getStringAttr(recipe), true);
  add({result, entry.constant});
}

bool GraphMaker::isConstant(Value value) const {
  auto entry = llvm::find_if(
      entries, [&](const Entry &entry) { return entry.value == value; });
  return entry != entries.end() && entry->constant;
}

/// The same quantize once more, with copies of its constants.
void GraphMaker::repeatQuantize() {
  if (quants.empty())
    return;
  StaticQuant quant = random.pick(quants);
  auto op = quant.result.getDefiningOp<nq::QuantizeOp>();
  add({quantizeAs(op.getInput(), quant, tensorOf(quant.result)),
       isConstant(quant.result)});
}

static bool isScaled(const Entry &entry) {
  return bool(nq::getScaledElement(entry.value.getType()));
}

void GraphMaker::addDequantize() {
  const Entry *from = pick(isScaled);
  if (!from)
    return;
  Entry entry = *from;
  Type element = pickWide();
  Value result = nq::DequantizeOp::create(
      builder, loc, withElement(entry.value, element), entry.value);
  bool rounded = element.isF16() || element.isBF16();
  Entry wide{result, entry.constant, /*dequantized=*/true, rounded};
  Value moved = random.chance(40) ? move(result) : Value();
  if (!moved || random.chance(25))
    add(wide);
  if (moved)
    add(derive(wide, moved, /*rounds=*/false));
}

/// concat of dequantized tensors of one type, with equal scales or with others.
void GraphMaker::addConcatOfDequantized() {
  if (quants.empty())
    return;
  StaticQuant quant = random.pick(quants);
  auto type = tensorOf(quant.result);
  if (type.getRank() == 0)
    return;
  int64_t dim = random.below(type.getRank());
  Shape shape(type.getShape());
  shape[dim] *= 2;
  if (!fits(shape))
    return;
  auto op = quant.result.getDefiningOp<nq::QuantizeOp>();
  Entry other = *pickArithmetic(); // there is always an argument
  bool reuse = tensorOf(other.value).getShape() == type.getShape();
  Value input = reuse && random.chance(70) ? other.value : op.getInput();
  bool constant =
      isConstant(quant.result) && (input != other.value || other.constant);
  StaticQuant second = random.chance(60) ? quant : makeScales(type, constant);
  Type element = pickWide();
  Value a = nq::DequantizeOp::create(builder, loc, withElement(input, element),
                                     quant.result);
  Value b = nq::DequantizeOp::create(builder, loc, withElement(input, element),
                                     quantizeAs(input, second, type));
  bool rounded = element.isF16() || element.isBF16();
  add({tensor::ConcatOp::create(builder, loc,
                                RankedTensorType::get(shape, element), dim,
                                ValueRange{a, b}),
       constant, /*dequantized=*/true, rounded});
}

/// dequantize, maybe casts and moves, quantize with equal scales.
void GraphMaker::addRequantize() {
  if (quants.empty())
    return;
  StaticQuant quant = random.pick(quants);
  bool constant = isConstant(quant.result);
  nq::ScaledType scaled = nq::getScaledElement(quant.result.getType());
  Value value = nq::DequantizeOp::create(
      builder, loc, withElement(quant.result, pickWide()), quant.result);
  for (int64_t i = random.below(4); i > 0; --i) {
    if (random.chance(30)) {
      value = castTo(value, pickWide());
      continue;
    }
    Value moved =
        scaled.isPerTensor() || random.chance(50) ? move(value) : Value();
    if (moved)
      value = moved;
  }
  Shape shape(tensorOf(value).getShape());
  if (static_cast<int64_t>(scaled.getBlock().size()) >
      static_cast<int64_t>(shape.size()))
    return;
  // The scales must still cover the grid.
  auto type = withElement(value, scaled);
  bool same = scaled.getScaleGrid(shape) ==
              scaled.getScaleGrid(tensorOf(quant.result).getShape());
  if (random.chance(20))
    same = false; // other scales: no pair
  else if (!same &&
           ShapedType::getNumElements(quant.scale.type.getShape()) == 1 &&
           ShapedType::getNumElements(scaled.getScaleGrid(shape)) == 1)
    same = true;
  StaticQuant again = same ? quant : makeScales(type, constant);
  again.result = quantizeAs(value, again, type);
  quants.push_back(again);
  add({again.result, constant});
}

/// Q/DQ notation: codes leave a tensor and are bound to a copy of its scales.
void GraphMaker::addNotation() {
  if (quants.empty())
    return;
  StaticQuant quant = random.pick(quants);
  auto type = tensorOf(quant.result);
  nq::ScaledType scaled = nq::getScaledElement(type);
  Type storage = scaled.getStorage();
  if (auto integer = dyn_cast<IntegerType>(storage))
    storage = builder.getIntegerType(integer.getWidth());
  Value codes = nq::CodesOp::create(
      builder, loc, withElement(quant.result, storage), quant.result);
  StaticQuant scales = quant;
  if (random.chance(30)) { // no pair: one of them differs
    StaticQuant other = makeScales(type, isConstant(quant.result));
    if (other.zeroPoint && random.chance(50))
      scales.zeroPoint = Data{quant.zeroPoint->type, other.zeroPoint->values};
    else if (other.global && random.chance(50))
      scales.global = other.global;
    else
      scales.scale = Data{quant.scale.type, other.scale.values};
  }
  Value global = scales.global ? makeConstant(*scales.global) : Value();
  Value zero = scales.zeroPoint ? makeConstant(*scales.zeroPoint) : Value();
  Value bound = nq::AssembleOp::create(
      builder, loc, type, codes, makeConstant(scales.scale), global, zero);
  add({bound, isConstant(quant.result)});
}

void GraphMaker::addScaledWeight() {
  if (!weights.empty() && random.chance(60))
    return add({repeatWeight(), /*constant=*/true});
  Shape shape = pickShape(2, 3);
  nq::ScaledType type = random.chance(60)
                            ? pickStaticType(int64_t(shape.size()))
                            : pickDynamicType();
  add({makeScaledConstant(RankedTensorType::get(shape, type)),
       /*constant=*/true});
}
