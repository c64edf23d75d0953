// mma.sync (PTX ISA 9.7.14.5.14).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Mma.h"

#include "isa/Half.h"
#include "isa/Numbers.h"
#include "isa/WarpMatrix.h"

using namespace nibble::emu;
using tensor::Element;
using tensor::Factor;

namespace {
constexpr unsigned kM = 16, kN = 8;

/// The instruction, in Inst::imm. Registers from refs[extra] on: D, A, B, C.
struct Form {
  Element a, b;
  Accumulator d;
  uint8_t k, saturate;
  uint8_t unused[3];

  unsigned registersD() const { return accumulatorRegisters(d, kN); }
  unsigned registersA() const { return k * tensor::bytesOf(a) / 8; }
  unsigned registersB() const { return k * tensor::bytesOf(b) / 16; }
};

/// Accumulators from C, products added, results to D.
template <typename Value, typename Multiply>
void accumulate(Warp &w, const Ref *d, const Ref *c, Multiply multiply) {
  Value tile[kM * kN];
  readAccumulators(w, c, kN, tile);
  multiply(tile);
  writeAccumulators(w, d, kN, tile);
}

tensor::Precision precisionOf(const Warp &w) {
  return w.cta.cluster.launch.hopperSums ? tensor::Precision::truncated()
                                         : tensor::Precision::exact();
}

bool isFp8(Element e) { return e == Element::E4M3 || e == Element::E5M2; }

/// D += A B' by multiplyAdd of its kind.
void add(const Factor &a, const Factor &b, float *d, tensor::Precision p) {
  multiplyAdd(a, b, d, kN, p);
}
void add(const Factor &a, const Factor &b, uint16_t *d, tensor::Precision p) {
  multiplyAddHalf(a, b, d, kN, p);
}
float sumOf(float x, float y) {
  float sum = x + y;
  return sum == sum ? sum : bitCast<float>(kFloatNan);
}
uint16_t sumOf(uint16_t x, uint16_t y) {
  return toHalf(double(halfToFloat(x)) + double(halfToFloat(y)));
}

/// The columns 4i and 4i + 1 (half 0), or 4i + 2 and 4i + 3, as FP16.
Factor halfOf(const Factor &from, unsigned half) {
  Factor to(Element::F16, from.rows, from.k / 2);
  for (unsigned r = 0; r < from.rows; ++r)
    for (unsigned k = 0; k < to.k; ++k)
      to.row(r)[k] = from.row(r)[k / 2 * 4 + 2 * half + k % 2];
  to.seal();
  return to;
}

/// An H100 has no mma of FP8: ptxas converts to FP16 the lower halves of the
/// registers, then the upper ones, multiplies each, one after the other from
/// zero on, and adds C at the end, to nearest. (Seen in machine code; results
/// of a device agree.)
template <typename Value>
void addFp8AsHopper(const Factor &a, const Factor &b, Value *tile) {
  Value sums[kM * kN] = {};
  for (unsigned half = 0; half < 2; ++half)
    add(halfOf(a, half), halfOf(b, half), sums, tensor::Precision::truncated());
  for (unsigned i = 0; i < kM * kN; ++i)
    tile[i] = sumOf(tile[i], sums[i]);
}

template <typename Value>
void addProducts(const Warp &w, const Factor &a, const Factor &b, Value *tile) {
  if (w.cta.cluster.launch.hopperSums && isFp8(a.element))
    addFp8AsHopper(a, b, tile);
  else
    add(a, b, tile, precisionOf(w));
}

void multiply(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  Form form = bitCast<Form>(i.imm);
  const Ref *refD = &w.code.refs[i.extra], *refA = refD + form.registersD();
  const Ref *refB = refA + form.registersA(), *refC = refB + form.registersB();
  Factor a(form.a, kM, form.k), b(form.b, kN, form.k);
  countMultiplies(w, form.a, uint64_t(kM) * kN * form.k);
  readFragmentA(w, refA, a);
  readFragmentB(w, refB, b);
  if (form.d == Accumulator::F32)
    accumulate<float>(w, refD, refC,
                      [&](float *t) { addProducts(w, a, b, t); });
  else if (form.d == Accumulator::F16)
    accumulate<uint16_t>(w, refD, refC,
                         [&](uint16_t *t) { addProducts(w, a, b, t); });
  else
    accumulate<int32_t>(w, refD, refC, [&](int32_t *t) {
      multiplyAddInteger(a, b, t, kN, form.saturate);
    });
  w.next();
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

bool isOneOf(unsigned k, std::initializer_list<unsigned> choices) {
  for (unsigned choice : choices)
    if (k == choice)
      return true;
  return false;
}

/// K that a type has (Syntax, 9.7.14.5.14).
bool hasDepth(Element element, unsigned k) {
  switch (element) {
  case Element::F16:
  case Element::BF16:
    return isOneOf(k, {8, 16});
  case Element::TF32:
    return isOneOf(k, {4, 8});
  case Element::E4M3:
  case Element::E5M2:
  case Element::S8:
  case Element::U8:
    return isOneOf(k, {16, 32});
  default:
    return false;
  }
}

bool mayMix(Element a, Element b) {
  return a == b || (isFp8(a) && isFp8(b)) ||
         (tensor::isInteger(a) && tensor::isInteger(b));
}

/// 6- and 4-bit types come with .kind only, which no sm_90a or sm_110a has.
void check(Decoder &d, const Form &form) {
  Element a = form.a;
  std::string name = std::string(".") + tensor::elementName(a);
  if (a == Element::E2M3 || a == Element::E3M2 || a == Element::E2M1)
    d.unsupported("type " + name + ", which only sm_120a has,");
  if (!mayMix(a, form.b))
    d.error("cannot multiply " + name + " by ." + tensor::elementName(form.b));
  if (!hasDepth(a, form.k))
    d.unsupported("k = " + std::to_string(form.k) + " for type " + name);
  bool halfAllowed = a == Element::F16 || tensor::bytesOf(a) == 1;
  if (tensor::isInteger(a) != (form.d == Accumulator::S32) ||
      (form.d == Accumulator::F16 && !halfAllowed))
    d.error("type " + name + " has no such accumulators");
  if (form.saturate && form.d != Accumulator::S32)
    d.error(".satfinite is for integers");
}

unsigned takeDepth(Decoder &d) {
  static constexpr unsigned kDepths[] = {4, 8, 16, 32};
  int shape = d.words().takeOf({"m16n8k4", "m16n8k8", "m16n8k16", "m16n8k32"});
  if (shape < 0)
    d.unsupported("shape ." + std::string(d.words().rest()));
  return kDepths[shape];
}

void refuseOthers(Decoder &d) {
  if (d.words().has("sp") || d.words().has("sp::ordered_metadata"))
    d.unsupported("multiplication of sparse matrices");
  if (d.words().has("block_scale"))
    d.unsupported("block scaling, which only sm_120a has,");
  if (d.words().has("kind::f8f6f4"))
    d.unsupported("kind::f8f6f4, which only sm_120a has,");
}

Form takeForm(Decoder &d) {
  Form form{};
  form.k = uint8_t(takeDepth(d));
  if (!d.words().take("row") || !d.words().take("col"))
    d.error("needs .row.col");
  form.saturate = d.words().take("satfinite");
  form.d = takeAccumulator(d);
  form.a = takeElement(d);
  form.b = takeElement(d);
  if (takeAccumulator(d) != form.d)
    d.error("C and D must have one type");
  check(d, form);
  return form;
}

} // namespace

void nibble::emu::matrix::mma(Decoder &d) {
  if (d.words().has("f64"))
    return mmaDouble(d);
  refuseOthers(d);
  takeSyncAligned(d);
  Form form = takeForm(d);
  d.expectOperands(4, 4);
  std::vector<Ref> refs = registerList(d, 0, form.registersD(), "D", true);
  auto append = [&](size_t index, unsigned count, const char *what) {
    for (Ref ref : registerList(d, index, count, what, false))
      refs.push_back(ref);
  };
  append(1, form.registersA(), "A");
  append(2, form.registersB(), "B");
  append(3, form.registersD(), "C");
  d.inst().extra = d.addRefs(refs);
  d.inst().extras = uint32_t(refs.size());
  d.inst().imm = bitCast<uint64_t>(form);
  setWarpWide(d, multiply);
}
