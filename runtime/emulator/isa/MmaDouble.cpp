// mma.sync of f64: m8n8k4, m16n8k4, k8 and k16 (PTX ISA 9.7.14.5.2, .8, .9,
// .11, .14). SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Lane l has g = l / 4 and t = l % 4, a register one element:
//   A, register r: row g + 8 (r & 1), k = 4 (r >> 1) + t; of m8: row g, k = t
//   B, register r: column g, k = 4 r + t
//   C and D, register r: row g + 8 (r >> 1), column 2 t + (r & 1)
// A sum is a chain of fma, the least k first.
#include "isa/Mma.h"

#include "isa/Rounding.h"
#include "isa/WarpMatrix.h"

using namespace nibble::emu;

namespace {

/// sub[0]: rounding; sub[1]: rows; sub[2]: K. Registers from refs[extra] on: D,
/// A, B, C.
struct Form {
  unsigned rows, k;
  explicit Form(const Inst &i) : rows(i.sub[1]), k(i.sub[2]) {}
  Form(unsigned rows, unsigned k) : rows(rows), k(k) {}
  unsigned registersA() const { return rows / 8 * k / 4; }
  unsigned registersB() const { return k / 4; }
  unsigned registersD() const { return rows / 4; }
};

/// The element of A in row m at k, and of B in column n at k.
double elementA(Warp &w, const Ref *refs, const Form &f, unsigned m,
                unsigned k) {
  unsigned r = f.rows == 8 ? 0 : k / 4 * 2 + m / 8;
  return w.lanes<double>(refs[r])[m % 8 * 4 + k % 4];
}
double elementB(Warp &w, const Ref *refs, unsigned n, unsigned k) {
  return w.lanes<double>(refs[k / 4])[n * 4 + k % 4];
}

void multiply(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  Form f(i);
  const Ref *d = &w.code.refs[i.extra], *a = d + f.registersD(),
            *b = a + f.registersA(), *c = b + f.registersB();
  double sums[16][8];
  {
    Direction direction(Round(i.sub[0]));
    for (unsigned m = 0; m < f.rows; ++m)
      for (unsigned n = 0; n < 8; ++n) {
        unsigned r = m / 8 * 2 + n % 2, lane = m % 8 * 4 + n / 2;
        double sum = w.lanes<double>(c[r])[lane];
        for (unsigned k = 0; k < f.k; ++k)
          sum = keep(std::fma(keep(elementA(w, a, f, m, k)),
                              keep(elementB(w, b, n, k)), keep(sum)));
        sums[m][n] = sum;
      }
  }
  for (unsigned m = 0; m < f.rows; ++m)
    for (unsigned n = 0; n < 8; ++n)
      w.lanes<double>(d[m / 8 * 2 + n % 2])[m % 8 * 4 + n / 2] = sums[m][n];
  w.next();
}

/// {r, ...} of 8 bytes each, or one register.
void append(Decoder &d, size_t index, unsigned count, bool written,
            std::vector<Ref> &refs) {
  const ptx::Operand &operand = d.operand(index);
  if (operand.kind != ptx::Operand::Kind::Vector ||
      operand.parts.size() != count)
    d.error("operand " + std::to_string(index + 1) + " must have " +
            std::to_string(count) + " registers");
  for (const ptx::Operand &part : operand.parts) {
    if (written && !d.isRegister(part))
      d.error("writes to something that is no register");
    refs.push_back(d.value(part, 8));
  }
}

} // namespace

void nibble::emu::matrix::mmaDouble(Decoder &d) {
  static constexpr unsigned kRows[] = {8, 16, 16, 16},
                            kDepths[] = {4, 4, 8, 16};
  takeSyncAligned(d);
  int shape = d.words().takeOf({"m8n8k4", "m16n8k4", "m16n8k8", "m16n8k16"});
  if (shape < 0)
    d.error("has no such shape of f64");
  if (!d.words().take("row") || !d.words().take("col"))
    d.error("needs .row.col");
  for (int n = 0; n < 4; ++n)
    if (!d.words().take("f64"))
      d.error("needs .f64.f64.f64.f64");
  int round = d.words().takeOf({"rn", "rz", "rm", "rp"});
  d.expectOperands(4, 4);
  Form form(kRows[shape], kDepths[shape]);
  std::vector<Ref> refs;
  append(d, 0, form.registersD(), true, refs);
  append(d, 1, form.registersA(), false, refs);
  append(d, 2, form.registersB(), false, refs);
  append(d, 3, form.registersD(), false, refs);
  d.inst().extra = d.addRefs(refs);
  d.inst().extras = uint32_t(refs.size());
  d.inst().sub[0] = uint8_t(round < 0 ? Round::Nearest : Round(round));
  d.inst().sub[1] = uint8_t(form.rows);
  d.inst().sub[2] = uint8_t(form.k);
  setWarpWide(d, multiply);
}
