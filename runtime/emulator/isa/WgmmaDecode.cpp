// wgmma: decoding and issue (PTX ISA 9.7.15.5.2, 9.7.15.7).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Numbers.h"
#include "isa/Wgmma.h"

#include <charconv>

using namespace nibble::emu;
using tensor::Element;

namespace {
constexpr unsigned kWarps = 4;

//===----------------------------------------------------------------------===//
// Issue
//===----------------------------------------------------------------------===//

/// All warps of the warpgroup take part; here: they exist.
void checkWarpgroup(Warp &w) {
  size_t first = w.index / kWarps * kWarps;
  if (first + kWarps > w.cta.warps.size())
    w.fault("wgmma needs a warpgroup of 4 warps, but the CTA ends within it");
}

/// The value that all lanes must have.
uint64_t uniform(Warp &w, Ref ref, const char *what) {
  const uint64_t *values = w.lanes<uint64_t>(ref);
  for (unsigned lane = 1; lane < kWarpSize; ++lane)
    if (values[lane] != values[0])
      w.fault(std::string("lanes come with different descriptors of ") + what,
              int(lane));
  return values[0];
}

/// Inst::sub[0]: scale-d, if it is an immediate; otherwise predicate q.
bool scaleOf(Warp &w, const Inst &i, const WgmmaForm &form) {
  if (i.q < 0)
    return i.sub[0];
  Lanes scale = w.pred(i.q);
  if (scale != 0 && scale != kAllLanes)
    w.fault("lanes come with different values of scale-d");
  return (scale != 0) != form.has(WgmmaForm::ScaleNegated);
}

void issue(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  checkWarpgroup(w);
  WgmmaOperation op{};
  op.warp = &w;
  op.inst = &i;
  op.form = bitCast<WgmmaForm>(i.imm);
  if (!op.form.has(WgmmaForm::RegistersA))
    op.descriptorA = uniform(w, i.a, "A");
  op.descriptorB = uniform(w, i.b, "B");
  op.accumulate = scaleOf(w, i, op.form);
  submitWgmma(op);
  w.next();
}

/// Inst::sub[0]: the order; imm: groups of a wait.
void order(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  checkWarpgroup(w);
  if (orderWgmma(w, WgmmaOrder(i.sub[0]), uint32_t(i.imm)))
    w.next();
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

/// "m64n128k16".
void takeShape(Decoder &d, WgmmaForm &form) {
  std::string_view word = takeNext(d, "shape");
  const char *end = word.data() + word.size();
  unsigned n = 0, k = 0;
  bool ok = word.substr(0, 4) == "m64n";
  if (ok) {
    auto [at, error] = std::from_chars(word.data() + 4, end, n);
    ok = error == std::errc() && at != end && *at == 'k';
    auto [last, second] = std::from_chars(ok ? at + 1 : end, end, k);
    ok = ok && second == std::errc() && last == end;
  }
  if (!ok || n < 8 || n > 256 || n % 8 || k > 32)
    d.unsupported("shape ." + std::string(word));
  form.n = uint16_t(n);
  form.k = uint8_t(k);
}

bool isByteFloat(Element e) { return e == Element::E4M3 || e == Element::E5M2; }
bool is16Bit(Element e) { return e == Element::F16 || e == Element::BF16; }

/// Types and shapes that go together (9.7.15.2, 9.7.15.3).
void checkForm(Decoder &d, const WgmmaForm &form) {
  std::string name = std::string(".") + tensor::elementName(form.a);
  bool isInteger = tensor::isInteger(form.a);
  bool known = isInteger || isByteFloat(form.a) || is16Bit(form.a) ||
               form.a == Element::TF32;
  bool mixes = form.a == form.b || (isInteger && tensor::isInteger(form.b)) ||
               (isByteFloat(form.a) && isByteFloat(form.b));
  if (!known || !mixes)
    d.error("cannot multiply " + name + " by ." + tensor::elementName(form.b));
  if (form.k != 32 / tensor::bytesOf(form.a))
    d.error("k = " + std::to_string(form.k) + " is not that of type " + name);
  bool halfAllowed = form.a == Element::F16 || isByteFloat(form.a);
  if (isInteger != (form.d == Accumulator::S32) ||
      (form.d == Accumulator::F16 && !halfAllowed))
    d.error("type " + name + " has no such accumulators");
  if (isInteger && form.n > 32 && form.n % 16)
    d.error("integers have no n = " + std::to_string(form.n));
  if (form.has(WgmmaForm::Saturate) && !isInteger)
    d.error(".satfinite is for integers");
}

WgmmaForm takeForm(Decoder &d) {
  WgmmaForm form{};
  if (d.words().take("satfinite"))
    form.flags |= WgmmaForm::Saturate;
  takeShape(d, form);
  form.d = takeAccumulator(d);
  form.a = takeElement(d);
  form.b = takeElement(d);
  checkForm(d, form);
  return form;
}

/// An immediate that must be `low` or `high`; true if `high`.
bool takeChoice(Decoder &d, size_t index, int64_t low, int64_t high,
                const char *what) {
  const ptx::Operand &operand = d.operand(index);
  auto value = int64_t(operand.bits);
  if (operand.kind != ptx::Operand::Kind::Integer ||
      (value != low && value != high))
    d.error(std::string(what) + " must be " + std::to_string(low) + " or " +
            std::to_string(high));
  return value == high;
}

void setScale(Decoder &d, size_t index, WgmmaForm &form) {
  const ptx::Operand &operand = d.operand(index);
  if (operand.kind == ptx::Operand::Kind::Integer) {
    d.inst().sub[0] = takeChoice(d, index, 0, 1, "scale-d");
    return;
  }
  d.inst().q = d.predicate(operand);
  if (d.inst().q < 0)
    d.error("scale-d must be a predicate, 0 or 1");
  if (operand.negated)
    form.flags |= WgmmaForm::ScaleNegated;
}

/// What stands behind scale-d: signs of floats, transposition of 16-bit types
/// (of A only in shared memory).
void setImmediates(Decoder &d, WgmmaForm &form) {
  bool inRegisters = form.has(WgmmaForm::RegistersA);
  size_t signs = tensor::isInteger(form.a) ? 0 : 2;
  size_t transposes = !is16Bit(form.a) ? 0 : inRegisters ? 1 : 2;
  d.expectOperands(4 + signs + transposes, 4 + signs + transposes);
  if (signs && takeChoice(d, 4, 1, -1, "imm-scale-a"))
    form.flags |= WgmmaForm::NegateA;
  if (signs && takeChoice(d, 5, 1, -1, "imm-scale-b"))
    form.flags |= WgmmaForm::NegateB;
  if (transposes == 2 && takeChoice(d, 6, 0, 1, "imm-trans-a"))
    form.flags |= WgmmaForm::TransA;
  if (transposes && takeChoice(d, 5 + transposes, 0, 1, "imm-trans-b"))
    form.flags |= WgmmaForm::TransB;
}

void decodeMultiply(Decoder &d) {
  takeSyncAligned(d);
  WgmmaForm form = takeForm(d);
  d.expectOperands(4, 8);
  std::vector<Ref> refs =
      registerList(d, 0, accumulatorRegisters(form.d, form.n), "D", true);
  if (d.operand(1).kind == ptx::Operand::Kind::Vector) {
    form.flags |= WgmmaForm::RegistersA;
    for (Ref ref : registerList(d, 1, 4, "A", false))
      refs.push_back(ref);
  } else {
    d.inst().a = d.value(d.operand(1), 8);
  }
  d.inst().b = d.value(d.operand(2), 8);
  setScale(d, 3, form);
  setImmediates(d, form);
  d.inst().extra = d.addRefs(refs);
  d.inst().extras = uint32_t(refs.size());
  d.inst().imm = bitCast<uint64_t>(form);
  setWarpWide(d, issue);
}

void decodeOrder(Decoder &d, WgmmaOrder kind) {
  takeSyncAligned(d);
  size_t operands = kind == WgmmaOrder::Wait ? 1 : 0;
  d.expectOperands(operands, operands);
  if (operands && d.operand(0).kind != ptx::Operand::Kind::Integer)
    d.error("waits for a number of groups that is no constant");
  d.inst().sub[0] = uint8_t(kind);
  d.inst().imm = operands ? d.operand(0).bits : 0;
  setWarpWide(d, order);
}
} // namespace

void nibble::emu::matrix::wgmma(Decoder &d) {
  static constexpr WgmmaOrder kOrders[] = {
      WgmmaOrder::Fence, WgmmaOrder::Commit, WgmmaOrder::Wait};
  int order = d.words().takeOf({"fence", "commit_group", "wait_group"});
  if (order >= 0)
    return decodeOrder(d, kOrders[order]);
  if (!d.words().take("mma_async"))
    d.error("needs .mma_async, .fence, .commit_group or .wait_group");
  if (d.words().has("sp"))
    d.unsupported("multiplication of sparse matrices");
  decodeMultiply(d);
}
