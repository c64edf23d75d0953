// Arithmetic of GPUs on numbers of 16 bits, two in a register.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PackedHalves.h"

#include "GpuCode.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace cpu {

//===----------------------------------------------------------------------===//
// Instructions
//===----------------------------------------------------------------------===//

namespace {

class PairCode {
public:
  explicit PairCode(const PackedHalves &pairs)
      : b(*pairs.b), isBf16(pairs.isBf16),
        type(pairs.isBf16 ? "bf16x2" : "f16x2") {}

  Value emit(const Twine &text, StringRef constraints, Type result,
             ValueRange operands) const {
    return emitInstruction(b, b.getLoc(), text, constraints, result, operands);
  }

  /// Both rounded to nearest.
  Value round(Value low, Value high) const {
    return emit("cvt.rn." + type + ".f32 $0, $1, $2;", "=r,f,f", b.getI32Type(),
                {high, low});
  }

  /// The same in one instruction, but with any signs.
  Value largestUnsigned(Value x, Value y) const {
    return emit("max.NaN.xorsign.abs." + type + " $0, $1, $2;", "=r,r,r",
                b.getI32Type(), {x, y});
  }

  /// The larger magnitudes of both halves.
  Value largest(Value x, Value y) const {
    return emit("{ .reg .b32 a, c; abs." + type + " a, $1; abs." + type +
                    " c, $2; max.NaN." + type + " $0, a, c; }",
                "=r,r,r", b.getI32Type(), {x, y});
  }

  /// All bits of a half are set if its magnitude is above the limit.
  Value isAbove(Value x, Value limit) const {
    return emit("{ .reg .b32 a; abs." + type + " a, $1; set.gt.u32." + type +
                    " $0, a, $2; }",
                "=r,r,r", b.getI32Type(), {x, limit});
  }

  /// Both rounded toward zero.
  Value roundDown(Value low, Value high) const {
    if (low == high)
      return emit("cvt.rz." + type + ".f32 $0, $1, $1;", "=r,f", b.getI32Type(),
                  low);
    return emit("cvt.rz." + type + ".f32 $0, $1, $2;", "=r,f,f", b.getI32Type(),
                {high, low});
  }

  /// Both products.
  Value times(Value x, Value y) const {
    return emit("mul.rn." + type + " $0, $1, $2;", "=r,r,r", b.getI32Type(),
                {x, y});
  }

  /// x y + z, rounded toward zero.
  Value fmaDown(Value x, double y, Value z) const {
    return emit("fma.rz.f32 $0, $1, $2, $3;", "=f,f,f,f", b.getF32Type(),
                {x, splatConstant(b, b.getF32Type(), y), z});
  }
  Value timesDown(Value x, Value y) const {
    return emit("mul.rz.f32 $0, $1, $2;", "=f,f,f", b.getF32Type(), {x, y});
  }
  Value timesDown(Value x, double y) const {
    return timesDown(x, splatConstant(b, b.getF32Type(), y));
  }

  /// The bits of an f32 that is one half of a word.
  Value widen(Value word, bool high) const {
    if (isBf16)
      return emit(high ? "and.b32 $0, $1, 0xffff0000;" : "shl.b32 $0, $1, 16;",
                  "=r,r", b.getI32Type(), word);
    return emit(
        Twine("{ .reg .b16 l, h; mov.b32 {l, h}, $1; cvt.f32.f16 $0, ") +
            (high ? "h" : "l") + "; }",
        "=r,r", b.getI32Type(), word);
  }

private:
  ImplicitLocOpBuilder &b;
  bool isBf16;
  std::string type;
};

} // namespace

//===----------------------------------------------------------------------===//
// Finding pairs
//===----------------------------------------------------------------------===//

std::optional<Widened> findWidened(Value x) {
  auto wide = x.getDefiningOp<arith::ExtFOp>();
  if (!wide)
    return std::nullopt;
  Type element = getElementTypeOrSelf(wide.getIn());
  if (!element.isF16() && !element.isBF16())
    return std::nullopt;
  Widened from{wide.getIn(), {}, element.isBF16()};
  Value narrow = from.halves;
  while (auto bits = narrow.getDefiningOp<arith::BitcastOp>())
    narrow = bits.getIn();
  if (auto rounding = narrow.getDefiningOp<arith::TruncFOp>())
    if (getElementTypeOrSelf(rounding).getIntOrFloatBitWidth() == 16 &&
        getElementTypeOrSelf(rounding.getIn()).isF32())
      from.rounded = rounding.getIn();
  return from;
}

/// Calls `pair` with the numbers of the elements of each pair.
static void forPairs(int64_t count, function_ref<void(int64_t, int64_t)> pair) {
  for (int64_t group = 0; group < count; group += 8)
    for (int64_t j = group; j < group + 4; ++j)
      pair(j, j + 4);
}

/// Rounding takes any two numbers for a pair.
static void roundPairs(PackedHalves &pairs, Value numbers) {
  ImplicitLocOpBuilder &b = *pairs.b;
  int64_t count = cast<VectorType>(numbers.getType()).getNumElements();
  forPairs(count, [&](int64_t low, int64_t high) {
    Value x = vector::ExtractOp::create(b, numbers, low),
          y = vector::ExtractOp::create(b, numbers, high);
    pairs.words.push_back(PairCode(pairs).round(x, y));
  });
}

static void shufflePairs(PackedHalves &pairs, Value halves) {
  ImplicitLocOpBuilder &b = *pairs.b;
  SmallVector<int64_t> order;
  int64_t count = cast<VectorType>(halves.getType()).getNumElements();
  forPairs(count,
           [&](int64_t low, int64_t high) { order.append({low, high}); });
  Value all = vector::BitCastOp::create(
      b, VectorType::get(count / 2, b.getI32Type()),
      vector::ShuffleOp::create(b, halves, halves, order));
  for (int64_t i = 0; i < count / 2; ++i)
    pairs.words.push_back(vector::ExtractOp::create(b, all, i));
}

std::optional<PackedHalves> findPackedHalves(Lanes x) {
  auto type = dyn_cast<VectorType>(x.type());
  if (!type || !type.getElementType().isF32() || type.getRank() != 1 ||
      type.getNumElements() % 8 != 0 || !isGpuCode(*x.b))
    return std::nullopt;
  auto from = findWidened(x.v);
  if (!from)
    return std::nullopt;
  PackedHalves pairs{x.b, {}, from->isBf16};
  if (from->rounded)
    roundPairs(pairs, from->rounded);
  else
    shufflePairs(pairs, from->halves);
  return pairs;
}

//===----------------------------------------------------------------------===//
// Magnitudes
//===----------------------------------------------------------------------===//

namespace {

Value constant(ImplicitLocOpBuilder &b, uint32_t bits) {
  return arith::ConstantOp::create(b, b.getI32IntegerAttr(int32_t(bits)));
}

/// The bits of x that `mask` has, those of y elsewhere.
Value merge(ImplicitLocOpBuilder &b, Value mask, Value x, Value y) {
  Value differ = arith::XOrIOp::create(b, x, y);
  return arith::XOrIOp::create(
      b, y, arith::AndIOp::create(b, differ, mask).getResult());
}

} // namespace

Value largestMagnitude(const PackedHalves &pairs) {
  ImplicitLocOpBuilder &b = *pairs.b;
  PairCode code(pairs);
  bool hasSigns = isBlackwellCode(b);
  Value largest = pairs.words.front();
  for (Value word : ArrayRef(pairs.words).drop_front())
    largest = hasSigns ? code.largestUnsigned(largest, word)
                       : code.largest(largest, word);
  if (hasSigns)
    largest = arith::AndIOp::create(b, largest, constant(b, 0x7fff7fff));
  // As f32, or NaN would be compared as a number.
  Value low = code.widen(largest, false), high = code.widen(largest, true);
  return arith::MaxUIOp::create(b, low, high);
}

//===----------------------------------------------------------------------===//
// Words of codes
//===----------------------------------------------------------------------===//

Value packNibbles(ImplicitLocOpBuilder &b, Value codes) {
  int64_t count = cast<VectorType>(codes.getType()).getNumElements();
  auto type = VectorType::get({count / 8}, b.getI32Type());
  if (auto wide = codes.getDefiningOp<arith::ExtUIOp>())
    if (getElementTypeOrSelf(wide.getIn()).isInteger(4))
      return vector::BitCastOp::create(b, type, wide.getIn());
  SmallVector<Value> words;
  for (int64_t i = 0; i < count; ++i) {
    Lanes code{&b, vector::ExtractOp::create(b, codes, i)};
    Lanes placed = (code.resize(32) & 15) << (i % 8 * 4);
    if (i % 8 == 0)
      words.push_back(placed.v);
    else
      words.back() = (placed.wrap(words.back()) | placed).v;
  }
  return vector::FromElementsOp::create(b, type, words);
}

Value unpackNibbles(ImplicitLocOpBuilder &b, Value words) {
  int64_t count = cast<VectorType>(words.getType()).getNumElements() * 8;
  Value nibbles = vector::BitCastOp::create(
      b, VectorType::get({count}, b.getIntegerType(4)), words);
  return arith::ExtUIOp::create(b, VectorType::get({count}, b.getI8Type()),
                                nibbles);
}

std::optional<Lanes> widenNibbles(Lanes codes) {
  auto wide = codes.v.getDefiningOp<arith::ExtUIOp>();
  auto nibbles =
      wide ? wide.getIn().getDefiningOp<vector::BitCastOp>() : nullptr;
  if (!nibbles || !getElementTypeOrSelf(nibbles.getType()).isInteger(4))
    return std::nullopt;
  ImplicitLocOpBuilder &b = *codes.b;
  SmallVector<Value> list;
  for (int64_t i = 0; i < nibbles.getType().getNumElements(); ++i) {
    Value word = vector::ExtractOp::create(b, nibbles.getSource(), i / 8);
    list.push_back(((codes.wrap(word) >> (i % 8 * 4)) & 15).v);
  }
  return codes.wrap(vector::FromElementsOp::create(b, codes.intType(32), list));
}

//===----------------------------------------------------------------------===//
// E2M1
//===----------------------------------------------------------------------===//

namespace {

/// The largest numbers of 16 bits that have codes below k = 1 .. 7, in both
/// halves of words.
///
/// x has a code of at least k if x / s, rounded to f32, is beyond the border b
/// of two codes, or equal to it where that rounds to the upper one, as it does
/// if k is even. So x / s itself is above b + u (k odd), or not below b - u,
/// where u is half an ulp of b. s (b - u) has more than 24 significant bits, as
/// b / u - 1 is an odd number of 25 bits: x is never equal to it, and in all
/// cases x must be above s (b + u) or s (b - u), rounded down to 16 bits;
/// rounding down to f32 before does not change that. b = 1/4: s (b + u) and
/// s b round down to the same. Borders whose quotient is a power of two share
/// what was rounded.
class E2m1Borders {
public:
  /// Of both scales, which may be one. `anySize`: bf16 has numbers next to
  /// which scales below 2^-80 have to be made larger first.
  E2m1Borders(const PairCode &code, Lanes low, Lanes high,
              bool anySize = false) {
    auto of = [&](Lanes s) {
      return anySize ? getAnyBorders(code, s) : getBorders(code, s);
    };
    SmallVector<Value> ofLow = of(low),
                       ofHigh = low.v == high.v ? ofLow : of(high);
    for (auto [x, y] : llvm::zip(ofLow, ofHigh))
      borders.push_back(code.roundDown(x, y));
  }
  Value below(int k) const { return borders[k - 1]; }

private:
  static SmallVector<Value> getBorders(const PairCode &code, Lanes s) {
    Value ulp = (s * 0x1p-24).v, minus = (s * -0x1p-24).v;
    Value five = code.fmaDown(s.v, 1.25, ulp),
          six = code.fmaDown(s.v, 1.5, minus),
          seven = code.fmaDown(s.v, 1.75, minus);
    return {(s * 0.25).v,
            code.timesDown(six, 0.5),
            five,
            seven,
            code.timesDown(five, 2),
            code.timesDown(seven, 2),
            code.timesDown(five, 4)};
  }

  /// What is rounded down twice is rounded down.
  static SmallVector<Value> getAnyBorders(const PairCode &code, Lanes s) {
    Lanes isTiny = compareFloat(arith::CmpFPredicate::OLT, s, s.c(0x1p-80));
    Lanes back = select(isTiny, s.c(0x1p-64), s.c(1.0));
    SmallVector<Value> borders =
        getBorders(code, select(isTiny, s * 0x1p64, s));
    for (Value &border : borders)
      border = code.timesDown(border, back.v);
    return borders;
  }

  SmallVector<Value, 7> borders;
};

/// The bits 2, 1 and 0 of codes, each in all bits of a half.
struct CodeBits {
  Value four, two, one;
};

CodeBits search(ImplicitLocOpBuilder &b, const PairCode &code,
                const E2m1Borders &borders, Value x) {
  CodeBits bits;
  bits.four = code.isAbove(x, borders.below(4));
  bits.two =
      code.isAbove(x, merge(b, bits.four, borders.below(6), borders.below(2)));
  Value upper = merge(b, bits.two, borders.below(7), borders.below(5)),
        lower = merge(b, bits.two, borders.below(3), borders.below(1));
  bits.one = code.isAbove(x, merge(b, bits.four, upper, lower));
  return bits;
}

/// Nibble j of both halves of a word: element j or j + 4.
uint32_t nibbles(int j, uint32_t bits) { return (bits | bits << 16) << 4 * j; }

/// The codes of the eight elements of four words.
Value encodeGroup(ImplicitLocOpBuilder &b, const PairCode &code,
                  const E2m1Borders &borders, ArrayRef<Value> words,
                  Value signs) {
  Value result;
  auto add = [&](Value bits, uint32_t mask) {
    Value part = arith::AndIOp::create(b, bits, constant(b, mask));
    result = result ? arith::OrIOp::create(b, result, part).getResult() : part;
  };
  for (int j = 0; j < 4; ++j) {
    Value sign = words[j];
    if (j < 3)
      sign = arith::ShRUIOp::create(b, sign, constant(b, 12 - 4 * j));
    add(sign, nibbles(j, 8));
  }
  result = arith::AndIOp::create(b, result, signs);
  for (int j = 0; j < 4; ++j) {
    CodeBits bits = search(b, code, borders, words[j]);
    add(bits.one, nibbles(j, 1));
    add(bits.two, nibbles(j, 2));
    add(bits.four, nibbles(j, 4));
  }
  return result;
}

} // namespace

SmallVector<Value> e2m1Words(const PackedHalves &pairs, Lanes s) {
  ImplicitLocOpBuilder &b = *pairs.b;
  PairCode code(pairs);
  // Nothing is above NaN.
  Lanes isZero = compareFloat(arith::CmpFPredicate::OEQ, s, s.c(0.0));
  Lanes nan = s.c(std::numeric_limits<double>::quiet_NaN());
  Lanes divisor = select(isZero, nan, s);
  E2m1Borders borders(code, divisor, divisor);
  Value signs = arith::SelectOp::create(b, isZero.v, constant(b, 0),
                                        constant(b, 0x88888888));
  SmallVector<Value> result;
  for (size_t group = 0; group < pairs.words.size(); group += 4)
    result.push_back(encodeGroup(b, code, borders,
                                 ArrayRef(pairs.words).slice(group, 4), signs));
  return result;
}

//===----------------------------------------------------------------------===//
// Pairs of codes
//===----------------------------------------------------------------------===//

static Value wordOf(ImplicitLocOpBuilder &b, Value pair) {
  auto type = VectorType::get(1, b.getI32Type());
  return vector::ExtractOp::create(b, vector::BitCastOp::create(b, type, pair),
                                   0);
}

static Value pairOf(ImplicitLocOpBuilder &b, Value word, Type element) {
  Value one = vector::FromElementsOp::create(
      b, VectorType::get(1, b.getI32Type()), word);
  return vector::BitCastOp::create(b, VectorType::get(2, element), one);
}

/// The code is the bits 9 to 11 and 15: those of a number of f16 that is 2^-14
/// times what the code stands for.
static constexpr int kCodeShift = 9, kSignShift = 12;

std::optional<Lanes> e2m1PairCodes(Lanes x, Lanes s) {
  auto type = dyn_cast<VectorType>(x.type());
  auto from = findWidened(x.v);
  if (!type || type.getNumElements() != 2 || s.type() != type || !from ||
      !isGpuCode(*x.b))
    return std::nullopt;
  ImplicitLocOpBuilder &b = *x.b;
  PackedHalves pairs{x.b, {wordOf(b, from->halves)}, from->isBf16};
  PairCode code(pairs);
  // Nothing is above NaN; codes of unusable scales are 0, without signs.
  Lanes usable = compareFloat(arith::CmpFPredicate::OGT, s, s.c(0.0));
  Lanes divisor =
      select(usable, s, s.c(std::numeric_limits<double>::quiet_NaN()));
  auto at = [&](int64_t i) {
    return x.wrap(vector::ExtractOp::create(b, divisor.v, i));
  };
  CodeBits bits = search(b, code, E2m1Borders(code, at(0), at(1), pairs.isBf16),
                         pairs.words[0]);
  Lanes half{&b, splatConstant(b, VectorType::get(2, b.getI16Type()), 0x8000)};
  Value result = arith::AndIOp::create(
      b, pairs.words[0], wordOf(b, select(usable, half, half.c(0)).v));
  auto add = [&](Value mask, uint32_t bit) {
    Value part = arith::AndIOp::create(b, mask, constant(b, bit | bit << 16));
    result = arith::OrIOp::create(b, result, part);
  };
  add(bits.one, 1 << kCodeShift);
  add(bits.two, 2 << kCodeShift);
  add(bits.four, 4 << kCodeShift);
  Lanes halves = x.wrap(pairOf(b, result, b.getI16Type()));
  return (((halves >> kCodeShift) & 7) | ((halves >> kSignShift) & 8))
      .resize(8);
}

/// The halves that e2m1PairCodes made codes of.
static Value findCodeHalves(Value codes) {
  auto narrow = codes.getDefiningOp<arith::TruncIOp>();
  auto both = narrow ? narrow.getIn().getDefiningOp<arith::OrIOp>() : nullptr;
  auto code = both ? both.getLhs().getDefiningOp<arith::AndIOp>() : nullptr;
  auto shift = code ? code.getLhs().getDefiningOp<arith::ShRUIOp>() : nullptr;
  auto bits =
      shift ? shift.getLhs().getDefiningOp<vector::BitCastOp>() : nullptr;
  return bits ? shift.getLhs() : Value();
}

/// Products of two pairs of f16, as f32.
static Lanes multiplyPairs(Lanes like, Value x, Value y) {
  ImplicitLocOpBuilder &b = *like.b;
  Value product = PairCode({&b, {}, /*isBf16=*/false}).times(x, y);
  return like.wrap(pairOf(b, product, b.getF16Type())).extend(b.getF32Type());
}

std::optional<Lanes> decodePairCodes(Lanes codes) {
  Value halves = findCodeHalves(codes.v);
  if (!halves)
    return std::nullopt;
  constexpr uint32_t kPower = 0x7400; // 2^14
  return multiplyPairs(codes, wordOf(*codes.b, halves),
                       constant(*codes.b, kPower | kPower << 16));
}

std::optional<Lanes> multiplyAsF16(Lanes x, Lanes y) {
  auto type = dyn_cast<VectorType>(x.type());
  if (!type || type.getNumElements() != 2 || mayBranch(*x.b))
    return std::nullopt;
  Type half = x.b->getF16Type();
  return multiplyPairs(x, wordOf(*x.b, x.truncate(half).v),
                       wordOf(*x.b, y.truncate(half).v));
}

} // namespace cpu
} // namespace nibble
