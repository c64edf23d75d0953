// Copies of the body of an epilogue, with FP8 conversions as instructions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Body.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/Dialect/LLVMIR/NVVMDialect.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"
#include "mlir/IR/Matchers.h"

using namespace mlir;
using namespace nibble;
using namespace nibble::sm90;

static bool isFloat8(Type type) {
  return isa<Float8E4M3FNType, Float8E5M2Type>(getElementTypeOrSelf(type));
}

Type nibble::sm90::getStoredType(Type element) {
  return element.getIntOrFloatBitWidth() == 8
             ? Type(IntegerType::get(element.getContext(), 8))
             : element;
}

static SmallVector<Value> unpack(Code &code, Value value) {
  auto vector = dyn_cast<VectorType>(value.getType());
  if (!vector)
    return {value};
  SmallVector<Value> elements;
  for (int64_t i = 0; i < vector.getNumElements(); ++i)
    elements.push_back(vector::ExtractOp::create(code, value, i));
  return elements;
}

/// A scalar, or a vector like `type`.
static Value pack(Code &code, Type type, ArrayRef<Value> elements) {
  if (!isa<VectorType>(type))
    return elements[0];
  auto vector =
      VectorType::get(int64_t(elements.size()), elements[0].getType());
  return vector::FromElementsOp::create(code, vector, elements);
}

static std::optional<double> getBound(Value value) {
  FloatAttr number;
  if (auto broadcast = value.getDefiningOp<vector::BroadcastOp>())
    value = broadcast.getSource();
  Attribute attr;
  if (!matchPattern(value, m_Constant(&attr)))
    return std::nullopt;
  if (auto splat = dyn_cast<SplatElementsAttr>(attr))
    attr = splat.getSplatValue<Attribute>();
  number = dyn_cast<FloatAttr>(attr);
  return number ? std::optional(number.getValueAsDouble()) : std::nullopt;
}

template <typename... Ops>
static std::optional<std::pair<Value, double>> matchBound(Value value) {
  Operation *op = value.getDefiningOp();
  if (!op || !isa<Ops...>(op))
    return std::nullopt;
  for (unsigned i : {0, 1})
    if (auto bound = getBound(op->getOperand(i)))
      return std::make_pair(op->getOperand(1 - i), *bound);
  return std::nullopt;
}

/// min(max(x, -a), b) or max(min(x, b), -a) with a, b up to `largest`.
static bool isClamped(Value value, double largest) {
  auto isUpper = [&](Value v) {
    return matchBound<arith::MinimumFOp, arith::MinNumFOp>(v);
  };
  auto isLower = [&](Value v) {
    return matchBound<arith::MaximumFOp, arith::MaxNumFOp>(v);
  };
  auto upper = isUpper(value), lower = isLower(value);
  if (upper)
    lower = isLower(upper->first);
  else if (lower)
    upper = isUpper(lower->first);
  return upper && lower && upper->second <= largest &&
         lower->second >= -largest;
}

/// `one` if |x| rounds to more than the largest number. The instruction gives
/// the largest; the code after it is NaN (E4M3) or infinity (E5M2).
static Value getOverflow(Code &code, Value x, bool isE5M2, int64_t one) {
  // llvm.intr.fabs would be taken for a call of a library.
  Value bits = LLVM::BitcastOp::create(code, code.i32(), x);
  bits = LLVM::AndOp::create(code, bits, code.get(0x7fffffff));
  Value size = LLVM::BitcastOp::create(code, x.getType(), bits);
  double limit = isE5M2 ? 61440.0 : 464.0; // ties go to even
  Value bound =
      LLVM::ConstantOp::create(code, x.getType(), code.getF32FloatAttr(limit));
  Value over = LLVM::FCmpOp::create(
      code, isE5M2 ? LLVM::FCmpPredicate::oge : LLVM::FCmpPredicate::ogt, size,
      bound);
  return code.selectAny(over, code.constant(code.i16(), one),
                        code.constant(code.i16(), 0));
}

/// Codes of two numbers, as an i16 with that of `low` in the low byte.
static Value encodePair(Code &code, Value low, Value high, Type format,
                        bool isInRange) {
  Value zero = high ? high
                    : LLVM::ConstantOp::create(code, code.getF32Type(),
                                               code.getF32FloatAttr(0));
  Value pair = NVVM::ConvertF32x2ToF8x2Op::create(
      code, code.i16(), zero, low, NVVM::FPRoundingMode::RN,
      NVVM::SaturationMode::SATFINITE, false, format);
  if (isInRange)
    return pair;
  bool isE5M2 = isa<Float8E5M2Type>(format);
  pair = LLVM::AddOp::create(code, pair, getOverflow(code, low, isE5M2, 1));
  if (high)
    pair =
        LLVM::AddOp::create(code, pair, getOverflow(code, high, isE5M2, 256));
  return pair;
}

static Value toFloat8(Code &code, Value source, Type type, bool isInRange) {
  Type format = getElementTypeOrSelf(type);
  SmallVector<Value> numbers = unpack(code, source), bytes;
  for (size_t i = 0; i < numbers.size(); i += 2) {
    Value high = i + 1 < numbers.size() ? numbers[i + 1] : Value();
    Value pair = encodePair(code, numbers[i], high, format, isInRange);
    auto two = VectorType::get(2, code.getI8Type());
    Value codes = LLVM::BitcastOp::create(code, two, pair);
    for (int64_t e = 0; e < (high ? 2 : 1); ++e)
      bytes.push_back(vector::ExtractOp::create(code, codes, e));
  }
  return arith::BitcastOp::create(code, type, pack(code, type, bytes));
}

static Value fromFloat8(Code &code, Value source, Type type) {
  Type format = getElementTypeOrSelf(source.getType());
  Type wide = getElementTypeOrSelf(type);
  Type stored = code.getI8Type();
  if (auto vector = dyn_cast<VectorType>(source.getType()))
    stored = vector.clone(stored);
  SmallVector<Value> bytes =
      unpack(code, arith::BitcastOp::create(code, stored, source));
  SmallVector<Value> numbers;
  for (size_t i = 0; i < bytes.size(); i += 2) {
    Value pair[] = {bytes[i], bytes[std::min(i + 1, bytes.size() - 1)]};
    Value codes = vector::FromElementsOp::create(
        code, VectorType::get(2, code.getI8Type()), pair);
    Value halves = NVVM::ConvertF8x2ToF16x2Op::create(
        code, VectorType::get(2, code.getF16Type()), codes, false, format);
    for (int64_t e = 0; e < 2 && i + e < bytes.size(); ++e)
      numbers.push_back(vector::ExtractOp::create(code, halves, e));
  }
  for (Value &number : numbers) {
    if (!wide.isF16())
      number = arith::ExtFOp::create(code, code.getF32Type(), number);
    if (wide.isBF16()) // exact
      number = arith::TruncFOp::create(code, wide, number);
  }
  return pack(code, type, numbers);
}

static void copyOp(Code &code, Operation &op, IRMapping &values) {
  auto isF32 = [](Value value) {
    return getElementTypeOrSelf(value.getType()).isF32();
  };
  if (auto trunc = dyn_cast<arith::TruncFOp>(op);
      trunc && isFloat8(trunc.getType()) && isF32(trunc.getIn())) {
    bool isE5M2 = isa<Float8E5M2Type>(getElementTypeOrSelf(trunc.getType()));
    values.map(trunc.getResult(),
               toFloat8(code, values.lookup(trunc.getIn()), trunc.getType(),
                        isClamped(trunc.getIn(), isE5M2 ? 57344 : 448)));
    return;
  }
  if (auto ext = dyn_cast<arith::ExtFOp>(op);
      ext && isFloat8(ext.getIn().getType())) {
    values.map(ext.getResult(),
               fromFloat8(code, values.lookup(ext.getIn()), ext.getType()));
    return;
  }
  code.clone(op, values);
}

SmallVector<Value> nibble::sm90::copyBody(Code &code, tile::EpilogueOp op,
                                          ArrayRef<Value> args,
                                          const IRMapping &outside) {
  IRMapping values(outside);
  Block &body = op.getBody().front();
  values.map(body.getArguments(), args);
  for (Operation &inside : body.without_terminator())
    copyOp(code, inside, values);
  SmallVector<Value> results;
  for (Value yielded : body.back().getOperands()) {
    Value result = values.lookup(yielded);
    auto type = cast<VectorType>(result.getType());
    Type stored = type.clone(getStoredType(type.getElementType()));
    if (stored != type)
      result = arith::BitcastOp::create(code, stored, result);
    results.push_back(result);
  }
  return results;
}
