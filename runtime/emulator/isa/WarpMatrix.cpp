// What the matrix instructions of warps share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/WarpMatrix.h"

#include <cctype>
#include <cstring>

using namespace nibble::emu;
using tensor::Factor;

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

void nibble::emu::takeSyncAligned(Decoder &d) {
  if (!d.words().take("sync") || !d.words().take("aligned"))
    d.error("needs .sync.aligned");
}

std::string_view nibble::emu::takeNext(Decoder &d, const char *what) {
  std::string_view word = d.words().rest();
  if (word.empty())
    d.error(std::string("names no ") + what);
  d.words().take(word);
  return word;
}

Accumulator nibble::emu::takeAccumulator(Decoder &d) {
  std::string_view word = takeNext(d, "type of D or C");
  if (word == "f32")
    return Accumulator::F32;
  if (word == "f16")
    return Accumulator::F16;
  if (word == "s32")
    return Accumulator::S32;
  d.unsupported("type ." + std::string(word) + " of accumulators");
}

tensor::Element nibble::emu::takeElement(Decoder &d) {
  std::string_view word = takeNext(d, "type of A or B");
  tensor::Element element;
  if (!tensor::parseElement(word, element))
    d.unsupported("type ." + std::string(word) + " of A or B");
  return element;
}

std::vector<Ref> nibble::emu::registerList(Decoder &d, size_t index,
                                           size_t count, const char *what,
                                           bool written) {
  using Kind = ptx::Operand::Kind;
  const ptx::Operand &operand = d.operand(index);
  const std::vector<ptx::Operand> one{operand};
  const std::vector<ptx::Operand> &parts =
      operand.kind == Kind::Vector ? operand.parts : one;
  if (parts.size() != count)
    d.error(std::string(what) + " has " + std::to_string(parts.size()) +
            " registers, not " + std::to_string(count));
  std::vector<Ref> refs;
  for (const ptx::Operand &part : parts) {
    if (written && part.kind == Kind::Sink) {
      refs.push_back(d.scratch(4));
      continue;
    }
    if (written && !d.isRegister(part))
      d.error(std::string(what) + " is written, but is not all registers");
    refs.push_back(d.value(part, 4));
  }
  return refs;
}

void nibble::emu::setWarpWide(Decoder &d, Handler run) {
  d.inst().run = run;
  d.inst().flags |= Inst::Ends | Inst::Collective;
}

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

bool nibble::emu::wholeWarp(Warp &w, Lanes lanes) {
  if (lanes != w.current.lanes)
    w.fault("a guard excludes lanes from an .aligned instruction of the warp",
            __builtin_ctz(w.current.lanes & ~lanes));
  if (w.live != kAllLanes)
    w.fault("needs all lanes of the warp, and one has exited",
            __builtin_ctz(~w.live));
  return w.gather(kAllLanes);
}

void nibble::emu::countMultiplies(Warp &w, tensor::Element a, uint64_t count) {
  TensorKind kind = tensor::isInteger(a)         ? TensorKind::I8
                    : a == tensor::Element::TF32 ? TensorKind::TF32
                    : a == tensor::Element::F16 || a == tensor::Element::BF16
                        ? TensorKind::F16
                        : TensorKind::F8;
  w.cta.cluster.counters.multiplies[unsigned(kind)] += count;
}

/// Calls f(register, lane, element, line, k) for all elements of A (rows 16) or
/// B (rows 8).
template <typename F> static void forFragment(const Factor &factor, F f) {
  unsigned bytes = tensor::bytesOf(factor.element), perRegister = 4 / bytes;
  unsigned halves = factor.rows / 8;
  unsigned count = factor.k / (4 * perRegister) * halves;
  for (unsigned r = 0; r < count; ++r)
    for (unsigned lane = 0; lane < kWarpSize; ++lane)
      for (unsigned e = 0; e < perRegister; ++e)
        f(r, lane, e, lane / 4 + 8 * (r % halves),
          4 * perRegister * (r / halves) + lane % 4 * perRegister + e);
}

static void readFragment(Warp &w, const Ref *refs, Factor &factor,
                         double sign) {
  unsigned bytes = tensor::bytesOf(factor.element);
  forFragment(factor, [&](unsigned r, unsigned lane, unsigned e, unsigned line,
                          unsigned k) {
    uint32_t word = w.lanes<uint32_t>(refs[r])[lane] >> (8 * bytes * e);
    factor.set(line, k, word, sign);
  });
  factor.seal();
}

void nibble::emu::readFragmentA(Warp &w, const Ref *refs, Factor &a,
                                double sign) {
  readFragment(w, refs, a, sign);
}

void nibble::emu::readFragmentB(Warp &w, const Ref *refs, Factor &b) {
  readFragment(w, refs, b, 1);
}

/// Calls f(address of a value in a register, row, column) for all of 16 x n.
template <typename Value, typename F>
static void forAccumulators(Warp &w, const Ref *refs, unsigned n, F f) {
  constexpr unsigned kPer = 4 / sizeof(Value);    ///< values of a register
  for (unsigned pair = 0; pair < n / 4; ++pair) { // two columns of eight rows
    unsigned row = 8 * (pair % 2), column = 8 * (pair / 2);
    for (unsigned i = 0; i < 2; ++i) {
      Value *values = w.lanes<Value>(refs[(2 * pair + i) / kPer]);
      for (unsigned lane = 0; lane < kWarpSize; ++lane)
        f(values[lane * kPer + i % kPer], row + lane / 4,
          column + lane % 4 * 2 + i);
    }
  }
}

template <typename Value>
void nibble::emu::readAccumulators(Warp &w, const Ref *refs, unsigned n,
                                   Value *tile) {
  forAccumulators<Value>(w, refs, n,
                         [&](Value &value, unsigned row, unsigned column) {
                           tile[row * n + column] = value;
                         });
}

template <typename Value>
void nibble::emu::writeAccumulators(Warp &w, const Ref *refs, unsigned n,
                                    const Value *tile) {
  forAccumulators<Value>(w, refs, n,
                         [&](Value &value, unsigned row, unsigned column) {
                           value = tile[row * n + column];
                         });
}

namespace nibble {
namespace emu {
template void readAccumulators(Warp &, const Ref *, unsigned, float *);
template void readAccumulators(Warp &, const Ref *, unsigned, int32_t *);
template void readAccumulators(Warp &, const Ref *, unsigned, uint16_t *);
template void writeAccumulators(Warp &, const Ref *, unsigned, const float *);
template void writeAccumulators(Warp &, const Ref *, unsigned, const int32_t *);
template void writeAccumulators(Warp &, const Ref *, unsigned,
                                const uint16_t *);
} // namespace emu
} // namespace nibble
