// Codes by the conversions that Blackwell has.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "BlackwellCodes.h"

#include "GpuCode.h"
#include "GpuQuotients.h"
#include "PackedHalves.h"

#include "mlir/Dialect/Vector/IR/VectorOps.h"

#include <limits>

using namespace mlir;

namespace nibble {
namespace cpu {

static Value emit(ImplicitLocOpBuilder &b, const Twine &text,
                  StringRef constraints, Type result, ValueRange operands) {
  return emitInstruction(b, b.getLoc(), text, constraints, result, operands);
}

static int64_t lanesOf(Lanes x) {
  auto type = dyn_cast<VectorType>(x.type());
  return type && type.getRank() == 1 ? type.getNumElements() : 1;
}

static Value at(Lanes x, int64_t i) {
  return vector::ExtractOp::create(*x.b, x.v, i);
}

static VectorType wordsOf(ImplicitLocOpBuilder &b, int64_t count) {
  return VectorType::get(count, b.getI32Type());
}

static Lanes fma(Lanes x, Lanes y, Lanes z) {
  return x.wrap(math::FmaOp::create(*x.b, x.v, y.v, z.v));
}

static Lanes isBelow(Lanes x, double y) {
  return compareFloat(arith::CmpFPredicate::OLT, x, x.c(y));
}

/// NaN becomes a bound.
static Lanes clamp(Lanes x, double low, double high) {
  x = x.wrap(arith::MaxNumFOp::create(*x.b, x.v, x.c(low).v));
  return x.wrap(arith::MinNumFOp::create(*x.b, x.v, x.c(high).v));
}

//===----------------------------------------------------------------------===//
// Words of codes
//===----------------------------------------------------------------------===//

/// The assembler merges the four conversions into one register.
static Value e2m1Word(Lanes x, int64_t first) {
  SmallVector<Value> numbers;
  for (int64_t i = 0; i < 8; ++i)
    numbers.push_back(at(x, first + i));
  return emit(*x.b,
              "{ .reg .b8 a, b, c, d; "
              "cvt.rn.satfinite.e2m1x2.f32 a, $2, $1; "
              "cvt.rn.satfinite.e2m1x2.f32 b, $4, $3; "
              "cvt.rn.satfinite.e2m1x2.f32 c, $6, $5; "
              "cvt.rn.satfinite.e2m1x2.f32 d, $8, $7; "
              "mov.b32 $0, {a, b, c, d}; }",
              "=r,f,f,f,f,f,f,f,f", x.b->getI32Type(), numbers);
}

std::optional<Lanes> e2m1ByConversion(Lanes x) {
  int64_t count = lanesOf(x);
  if (count % 8 || !x.element().isF32() || !isBlackwellCode(*x.b))
    return std::nullopt;
  SmallVector<Value> words;
  for (int64_t i = 0; i < count; i += 8)
    words.push_back(e2m1Word(x, i));
  return x.wrap(unpackNibbles(
      *x.b,
      vector::FromElementsOp::create(*x.b, wordsOf(*x.b, count / 8), words)));
}

Lanes keepCodes(Lanes codes, Lanes keep, int64_t bits) {
  ImplicitLocOpBuilder &b = *codes.b;
  VectorType type = wordsOf(b, lanesOf(codes) * bits / 32);
  Value words = bits == 4
                    ? packNibbles(b, codes.v)
                    : vector::BitCastOp::create(b, type, codes.v).getResult();
  Lanes none{&b, splatConstant(b, b.getI32Type(), 0)};
  Lanes mask = select(keep, none.c(-1), none);
  words = arith::AndIOp::create(b, words,
                                vector::BroadcastOp::create(b, type, mask.v));
  return codes.wrap(bits == 4 ? unpackNibbles(b, words)
                              : vector::BitCastOp::create(
                                    b, cast<VectorType>(codes.type()), words)
                                    .getResult());
}

//===----------------------------------------------------------------------===//
// E2M1
//===----------------------------------------------------------------------===//

/// For numbers of 16 bits, s in [2^-90, 2^70]. `high` is a little below 1 / s,
/// and the sum above it by less than 2^-40 of it, which changes no code: of all
/// quotients of such numbers only 1 / (1 - 2^-24) is that near to what rounds
/// in f32 to the border of two codes or to its neighbour, and it is above.
static Reciprocal reciprocalForHalves(Lanes s) {
  Lanes rough = roughReciprocal(s);
  Lanes high = (rough.asInt() - int64_t(2)).asF32(),
        above = (rough.asInt() + int64_t(8)).asF32();
  Lanes minus = s.wrap(arith::NegFOp::create(*s.b, high.v));
  return {high, fma(minus, s, s.c(1.0)) * above};
}

/// Numbers of bf16 times a power of two that bf16 has, as f32: one instruction
/// each, as widening them is.
static Lanes scaleHalves(Lanes like, Value halves, Lanes power) {
  ImplicitLocOpBuilder &b = *like.b;
  int64_t count = lanesOf(like);
  Value words = vector::BitCastOp::create(b, wordsOf(b, count / 2), halves);
  Value factor = (power.asInt() >> 16).resize(16).v;
  SmallVector<Value> numbers;
  for (int64_t i = 0; i < count; ++i)
    numbers.push_back(
        emit(b,
             Twine("{ .reg .b16 l, h; mov.b32 {l, h}, $1; "
                   "fma.rn.f32.bf16 $0, ") +
                 (i % 2 ? "h" : "l") + ", $2, 0f80000000; }",
             "=f,r,h", b.getF32Type(),
             {vector::ExtractOp::create(b, words, i / 2), factor}));
  return like.wrap(vector::FromElementsOp::create(
      b, cast<VectorType>(like.type()), numbers));
}

/// Numbers of f16 leave no scale between the bounds: codes of others are those
/// of zero or of the largest number.
std::optional<Lanes> e2m1OfQuotients(Lanes x, Lanes scale) {
  if (lanesOf(x) % 8 || !x.element().isF32() || !isBlackwellCode(*x.b))
    return std::nullopt;
  auto from = findWidened(x.v);
  Lanes s = scale;
  if (from && !from->isBf16) {
    s = clamp(s, 0x1p-60, 0x1p60);
  } else {
    Lanes isLarge = compareFloat(arith::CmpFPredicate::OGT, s, s.c(0x1p60));
    Lanes power = select(isBelow(s, 0x1p-60), s.c(0x1p64),
                         select(isLarge, s.c(0x1p-64), s.c(1.0)));
    s = clamp(s * power, 0x1p-90, 0x1p70);
    Lanes powers = x.wrap(vector::BroadcastOp::create(*x.b, x.type(), power.v));
    x = from ? scaleHalves(x, from->halves, power) : x * powers;
  }
  Reciprocal reciprocal = from ? reciprocalForHalves(s) : quickReciprocal(s);
  // Infinity divided by infinity is no number: infinity times zero.
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Lanes low = reciprocal.low;
  reciprocal.low = select(isBelow(scale, kInfinity), low, low.c(0.0));
  Lanes codes = *e2m1ByConversion(reciprocal.times(x));
  Lanes usable = compareFloat(arith::CmpFPredicate::OGT, scale, scale.c(0.0));
  return keepCodes(codes, usable, 4);
}

//===----------------------------------------------------------------------===//
// Block scales
//===----------------------------------------------------------------------===//

static bool isOfHalf(Lanes x) {
  Value number = x.v;
  while (auto bits = number.getDefiningOp<arith::BitcastOp>())
    number = bits.getIn();
  auto wide = number.getDefiningOp<arith::ExtFOp>();
  return wide &&
         getElementTypeOrSelf(wide.getIn()).getIntOrFloatBitWidth() == 16;
}

/// x / 6, rounded: what is left of the first quotient corrects it, also where
/// results are denormal, as a sixth of 16 bits is no tie. Infinity less
/// infinity is no number, and the other one is taken.
static Lanes exactSixth(Lanes x) {
  double sixth = 1.0f / 6.0f;
  Lanes q = x * sixth;
  Lanes rest = fma(q.wrap(arith::NegFOp::create(*q.b, q.v)), q.c(6.0), x);
  Lanes better = fma(rest, q.c(sixth), q);
  return q.wrap(arith::MaxNumFOp::create(*q.b, better.v, (x * (sixth / 2)).v));
}

/// What depends on the scale alone is computed once, before all blocks.
std::optional<Lanes> sixthOfHalf(Lanes x, Lanes s) {
  if (isa<VectorType>(x.type()) || isa<VectorType>(s.type()) ||
      !isBlackwellCode(*x.b) || !isOfHalf(x))
    return std::nullopt;
  Lanes size = s.wrap(math::AbsFOp::create(*s.b, s.v));
  Lanes isLarge = compareFloat(arith::CmpFPredicate::OGT, size, s.c(0x1p60));
  Lanes power = select(isBelow(size, 0x1p-60), s.c(0x1p64),
                       select(isLarge, s.c(0x1p-64), s.c(1.0)));
  return anyReciprocal(s * power).times(exactSixth(x) * power);
}

/// ceil(log2(x / largest)) + 127: a mantissa above that of `largest` carries.
/// The first number above what has code 0 has it, too: its quotient is rounded
/// down, where numbers of f32 are denormal.
std::optional<Lanes> e8m0OfQuotient(Lanes x, double largest) {
  if (!isBlackwellCode(*x.b))
    return std::nullopt;
  uint32_t limit = llvm::bit_cast<uint32_t>(float(largest));
  int64_t mantissa = limit & 0x7fffff, power = int64_t(limit >> 23) - 127;
  int64_t least = (power << 23) + mantissa;
  Lanes bits = x.asInt();
  Lanes code = ((bits + (0x7fffff - mantissa)) >> 23) - power;
  code = maxInt(code, 0);
  code = select(bits == least + 1, code.c(0), code);
  Lanes isNan = bits > 0x7f800000;
  code =
      select(bits >= 0x7f800000, select(isNan, code.c(255), code.c(254)), code);
  return code.resize(8);
}

} // namespace cpu
} // namespace nibble
