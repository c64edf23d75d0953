// Steps of random graphs on plain tensors: casts, arithmetic, products.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "GraphMaker.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/Linalg/IR/Linalg.h"
#include "mlir/Dialect/Math/IR/Math.h"
#include "mlir/Dialect/Tensor/IR/Tensor.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::test;

static bool isWide(Type type) {
  return isa<Float16Type, BFloat16Type, Float32Type, Float64Type>(type);
}

/// The reference rounds results of this type.
static bool isRounded(Type type) { return !type.isF32() && !type.isF64(); }

void GraphMaker::addArgument() {
  Type element =
      random.chance(90) ? pickWide() : floatType(random.between(4, 6));
  add({block.addArgument(RankedTensorType::get(pickShape(1, 3), element),
                         loc)});
}

void GraphMaker::addConstant() {
  Type element =
      random.chance(90) ? pickWide() : floatType(random.between(4, 6));
  constants.push_back(
      makeData(RankedTensorType::get(pickShape(0, 3), element)));
  add({makeConstant(constants.back()), /*constant=*/true});
}

void GraphMaker::repeatConstant() {
  if (constants.empty())
    return addConstant();
  Data data = random.pick(constants);
  add({makeConstant(data), /*constant=*/true});
}

//===----------------------------------------------------------------------===//
// Casts
//===----------------------------------------------------------------------===//

Value GraphMaker::castTo(Value value, Type element) {
  StringAttr mode;
  if (isa<Float8E8M0FNUType>(element) && random.chance(60))
    mode = builder.getStringAttr(
        random.pick<const char *>({"up", "down", "nearest"}));
  return nq::CastOp::create(builder, loc, withElement(value, element), value,
                            builder.getBoolAttr(random.chance(60)), mode);
}

void GraphMaker::addCast() {
  if (const Entry *from = pickPlain()) {
    Entry entry = *from;
    Type element = pickFloat();
    add(derive(entry, castTo(entry.value, element), isRounded(element)));
  }
}

void GraphMaker::addCastChain() {
  const Entry *from = pickPlain();
  if (!from)
    return;
  Entry entry = *from;
  Type first = tensorOf(entry.value).getElementType();
  for (int64_t i = random.between(2, 3); i > 0; --i) {
    // There and back again is what exporters write.
    Type element = i == 1 && random.chance(50) ? first : pickFloat();
    entry = derive(entry, castTo(entry.value, element), isRounded(element));
    if (random.chance(20))
      add(entry);
  }
  add(entry);
}

/// A linalg.generic that converts through `elements`; f16 <-> bf16 is no
/// single arith op.
Value GraphMaker::genericCast(Value value, ArrayRef<Type> elements) {
  auto type = withElement(value, elements.back());
  auto map = builder.getMultiDimIdentityMap(type.getRank());
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, type, value, makeEmpty(type),
             ArrayRef<AffineMap>{map, map}, loops,
             [&](OpBuilder &b, Location l, ValueRange args) {
               Value x = args[0];
               for (Type to : elements) {
                 unsigned in = x.getType().getIntOrFloatBitWidth(),
                          out = to.getIntOrFloatBitWidth();
                 if (out > in)
                   x = arith::ExtFOp::create(b, l, to, x);
                 else if (out < in)
                   x = arith::TruncFOp::create(b, l, to, x);
               }
               linalg::YieldOp::create(b, l, x);
             })
      ->getResult(0);
}

void GraphMaker::addGenericCast() {
  const Entry *from = pickArithmetic();
  if (!from)
    return;
  Entry entry = *from;
  Type previous = tensorOf(entry.value).getElementType();
  SmallVector<Type> elements;
  bool rounds = false;
  for (int64_t i = random.between(1, 3); i > 0; --i) {
    Type next = pickWide();
    if (next.getIntOrFloatBitWidth() == previous.getIntOrFloatBitWidth())
      continue;
    elements.push_back(previous = next);
    rounds |= isRounded(next);
  }
  if (!elements.empty())
    add(derive(entry, genericCast(entry.value, elements), rounds));
}

//===----------------------------------------------------------------------===//
// Arithmetic
//===----------------------------------------------------------------------===//

/// One linalg.generic over tensors of one shape, or vectors along the last
/// dimension.
static Value makeMap(OpBuilder &builder, Location loc, RankedTensorType type,
                     Value init, ValueRange inputs,
                     llvm::function_ref<Value(OpBuilder &, ValueRange)> body) {
  SmallVector<AffineMap> maps;
  for (Value input : inputs) {
    int64_t rank = cast<RankedTensorType>(input.getType()).getRank();
    maps.push_back(AffineMap::getMinorIdentityMap(type.getRank(), rank,
                                                  builder.getContext()));
  }
  maps.push_back(builder.getMultiDimIdentityMap(type.getRank()));
  SmallVector<utils::IteratorType> loops(type.getRank(),
                                         utils::IteratorType::parallel);
  return linalg::GenericOp::create(
             builder, loc, type, inputs, init, maps, loops,
             [&](OpBuilder &b, Location l, ValueRange args) {
               linalg::YieldOp::create(b, l, body(b, args));
             })
      ->getResult(0);
}

void GraphMaker::addUnary() {
  const Entry *from = pickArithmetic();
  if (!from)
    return;
  Entry entry = *from;
  auto type = tensorOf(entry.value);
  bool exact = entry.constant && !isRounded(type.getElementType());
  unsigned kind = random.below(exact ? 2 : 4);
  Value result =
      makeMap(builder, loc, type, makeEmpty(type), entry.value,
              [&](OpBuilder &b, ValueRange args) -> Value {
                switch (kind) {
                case 0:
                  return arith::NegFOp::create(b, loc, args[0]);
                case 1:
                  return math::AbsFOp::create(b, loc, args[0]);
                case 2:
                  return math::TanhOp::create(b, loc, args[0]);
                default:
                  return arith::MulFOp::create(b, loc, args[0], args[0]);
                }
              });
  add({result, entry.constant});
}

void GraphMaker::addBinary() {
  const Entry *from = pickArithmetic();
  if (!from)
    return;
  Entry a = *from;
  auto type = tensorOf(a.value);
  const Entry *found = pick([&](const Entry &entry) {
    auto other = tensorOf(entry.value);
    return other.getElementType() == type.getElementType() &&
           (other.getShape() == type.getShape() ||
            (other.getRank() == 1 && type.getRank() > 1 &&
             other.getShape().back() == type.getShape().back()));
  });
  Entry b = *found; // `a` itself fits
  bool constant = a.constant && b.constant;
  bool exact = constant && !isRounded(type.getElementType());
  unsigned kind = random.below(exact ? 2 : 5);
  Value result =
      makeMap(builder, loc, type, makeEmpty(type), {a.value, b.value},
              [&](OpBuilder &m, ValueRange args) -> Value {
                Value x = args[0], y = args[1];
                switch (kind) {
                case 0:
                  return arith::MaximumFOp::create(m, loc, x, y);
                case 1:
                  return arith::MinimumFOp::create(m, loc, x, y);
                case 2:
                  return arith::AddFOp::create(m, loc, x, y);
                case 3:
                  return arith::SubFOp::create(m, loc, x, y);
                default:
                  return arith::MulFOp::create(m, loc, x, y);
                }
              });
  add({result, constant});
}

void GraphMaker::addNorm() {
  if (const Entry *from = pickArithmetic(1))
    add(normalize(*from));
}

/// A norm of the last dimension.
Entry GraphMaker::normalize(const Entry &from) {
  Entry entry = from;
  auto type = tensorOf(entry.value);
  Type element = entry.constant ? floatType(random.between(1, 2)) : pickWide();
  Value scale, bias;
  auto row = RankedTensorType::get(type.getShape().take_back(1),
                                   random.chance(50) ? type.getElementType()
                                                     : pickWide());
  if (random.chance(70))
    scale = makeConstant(makeData(row));
  if (random.chance(40))
    bias = makeConstant(makeData(row));
  auto kind = random.chance(50) ? nq::NormKind::rms : nq::NormKind::layer;
  Value result = nq::NormOp::create(
      builder, loc, withElement(entry.value, element),
      nq::NormKindAttr::get(builder.getContext(), kind), entry.value, scale,
      bias, builder.getI64IntegerAttr(type.getRank() - 1),
      builder.getF64FloatAttr(1e-5));
  return {result, entry.constant};
}

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

static bool mayMultiply(const Entry &entry) {
  auto type = cast<RankedTensorType>(entry.value.getType());
  if (type.getRank() < 2)
    return false;
  return nq::getScaledElement(type) || (isWide(type.getElementType()) &&
                                        !(entry.dequantized && entry.rounded));
}

/// A matrix [N, k] to multiply with, as a constant, as its dequantized and
/// transposed form, or any value that fits.
std::optional<Entry> GraphMaker::pickWeight(int64_t k) {
  int64_t n = random.pick({1, 2, 3, 5, 8, 16, 17});
  if (random.chance(25)) {
    const Entry *found = pick([&](const Entry &entry) {
      auto type = tensorOf(entry.value);
      return mayMultiply(entry) && type.getRank() == 2 &&
             type.getShape().back() == k;
    });
    if (found)
      return *found;
  }
  if (!fits({n, k}))
    return std::nullopt;
  if (random.chance(25)) {
    Data data = makeData(RankedTensorType::get({n, k}, pickWide()));
    return Entry{makeConstant(data), /*constant=*/true};
  }
  nq::ScaledType type =
      random.chance(60) ? pickStaticType(2) : pickDynamicType();
  Entry weight{makeScaledConstant(RankedTensorType::get({n, k}, type)),
               /*constant=*/true};
  if (random.chance(50))
    return weight;
  // In f32, which the reference does not round.
  Value wide = nq::DequantizeOp::create(
      builder, loc, withElement(weight.value, builder.getF32Type()),
      weight.value);
  return Entry{wide, true, true, false};
}

void GraphMaker::addMatmul() {
  const Entry *from = pick(mayMultiply);
  if (!from)
    return;
  Entry a = *from;
  auto type = tensorOf(a.value);
  auto weight = pickWeight(type.getShape().back());
  if (!weight)
    return;
  Value b = weight->value;
  bool transposed = true;
  if (!nq::getScaledElement(b.getType()) && random.chance(40)) {
    auto shape = tensorOf(b).getShape();
    Value init = makeEmpty(RankedTensorType::get({shape[1], shape[0]},
                                                 tensorOf(b).getElementType()));
    SmallVector<int64_t> perm{1, 0};
    b = linalg::TransposeOp::create(builder, loc, b, init, perm)->getResult(0);
    transposed = false;
  }
  auto shape = nq::MatmulOp::inferShape(type.getShape(), tensorOf(b).getShape(),
                                        transposed);
  if (failed(shape) || !fits(*shape))
    return;
  bool constant = a.constant && weight->constant;
  Type element = constant ? floatType(random.between(1, 2)) : pickWide();
  Value result =
      nq::MatmulOp::create(builder, loc, RankedTensorType::get(*shape, element),
                           a.value, b, transposed);
  add({result, constant});
}

/// What attention and MLP of a decoder end in: y = x w + residual, maybe in
/// another shape, read by one norm or two.
void GraphMaker::addNormedProduct() {
  size_t before = entries.size();
  addMatmul();
  if (entries.size() == before || entries.back().constant)
    return;
  Entry product = entries.back();
  auto type = tensorOf(product.value);
  Value y = product.value;
  if (random.chance(70)) {
    Value residual = block.addArgument(type, loc);
    y = makeMap(builder, loc, type, makeEmpty(type), {y, residual},
                [&](OpBuilder &m, ValueRange args) -> Value {
                  return arith::AddFOp::create(m, loc, args[0], args[1]);
                });
    add({y});
  }
  if (type.getRank() == 2 && random.chance(40)) {
    SmallVector<ReassociationIndices> groups{{0, 1}, {2}};
    auto wide = RankedTensorType::get(
        {1, type.getDimSize(0), type.getDimSize(1)}, type.getElementType());
    y = tensor::ExpandShapeOp::create(builder, loc, wide, y, groups);
    add({y});
  }
  for (int64_t norms = random.between(1, 2); norms > 0; --norms)
    add(normalize({y}));
}
