// ldmatrix, stmatrix, movmatrix (PTX ISA 9.7.14.5.15 to 17).
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// A matrix is a number of rows of 16 bytes, each at an address that one lane
// gives. All forms are: which lane gives the address of which row, and which
// byte of which row is which byte of which register. Lane l has g = l / 4 and
// t = l % 4; byte b of register r of matrix j is
//   m8n8, m8n16         row 8j + g,               byte 4t + b
//   m8n8.trans          row 8j + 2t + b / 2,      byte 2g + b % 2
//   m16n8.trans (st)    row 8j + 2t + b % 2,      byte g + 8 (b / 2)
//   m16n16.trans (ld)   row 16j + 4t + 2r + b % 2, byte g + 8 (b / 2)
// where row i is at the address of lane i. The last but one is the fragment of
// D of mma, stored with its columns as rows; the last has two registers to a
// matrix (Figures 104 to 110; CuTe's Copy_Traits<SM100_U8x8_LDSM_T>).
#include "isa/MatrixMove.h"

#include "isa/Access.h"
#include "isa/Numbers.h"
#include "isa/WarpMatrix.h"

#include <cstring>

using namespace nibble::emu;

static constexpr unsigned kRowBytes = 16;

void nibble::emu::unpackToBytes(uint8_t *row, unsigned bits) {
  uint8_t packed[kRowBytes + 1] = {};
  std::memcpy(packed, row, 2 * bits);
  for (unsigned i = 0; i < kRowBytes; ++i) {
    unsigned at = i * bits;
    unsigned two = packed[at / 8] | unsigned(packed[at / 8 + 1]) << 8;
    row[i] = uint8_t(two >> (at % 8) & ((1u << bits) - 1));
  }
}

namespace {

enum class Shape : uint8_t { M8N8, M8N8Trans, M8N16, M16N8Trans, M16N16Trans };
enum class Format : uint8_t { Bytes, Six, Four };

/// The instruction, in Inst::target.
struct Form {
  Shape shape;
  Format format;
  uint8_t registers, rows;
};

uint8_t *rowAt(Warp &w, const Inst &i, unsigned lane, bool write) {
  uint64_t address = addressOf(w, i, lane);
  if (Space(i.sub[2]) == Space::Generic && !(address & kSharedWindow))
    w.fault("the address of a matrix row is not in shared memory", int(lane));
  return w.cta.resolve(w, Space(i.sub[2]), address, kRowBytes, write,
                       int(lane));
}

struct Place {
  unsigned row, byte;
};

Place placeOf(Shape shape, unsigned lane, unsigned r, unsigned b) {
  unsigned g = lane / 4, t = lane % 4;
  switch (shape) {
  case Shape::M8N8:
  case Shape::M8N16:
    return {8 * r + g, 4 * t + b};
  case Shape::M8N8Trans:
    return {8 * r + 2 * t + b / 2, 2 * g + b % 2};
  case Shape::M16N8Trans:
    return {8 * r + 2 * t + b % 2, g + 8 * (b / 2)};
  case Shape::M16N16Trans:
    break;
  }
  return {16 * (r / 2) + 4 * t + 2 * (r % 2) + b % 2, g + 8 * (b / 2)};
}

void countRows(Warp &w, const Inst &i, unsigned rows) {
  countBanksOf(w, i, rows == kWarpSize ? kAllLanes : (Lanes(1) << rows) - 1,
               kRowBytes);
}

void load(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  Form form = bitCast<Form>(i.target);
  uint8_t rows[kWarpSize][kRowBytes];
  for (unsigned n = 0; n < form.rows; ++n) {
    std::memcpy(rows[n], rowAt(w, i, n, false), kRowBytes);
    if (form.format != Format::Bytes)
      unpackToBytes(rows[n], form.format == Format::Six ? 6 : 4);
  }
  w.cta.cluster.counters.sharedRead += form.rows * kRowBytes;
  countRows(w, i, form.rows);
  for (unsigned r = 0; r < form.registers; ++r) {
    uint8_t *to = w.lanes<uint8_t>(w.code.refs[i.extra + r]);
    for (unsigned b = 0; b < 4 * kWarpSize; ++b) {
      Place place = placeOf(form.shape, b / 4, r, b % 4);
      to[b] = rows[place.row][place.byte];
    }
  }
  w.next();
}

void store(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  Form form = bitCast<Form>(i.target);
  uint8_t *rows[kWarpSize];
  for (unsigned n = 0; n < form.rows; ++n)
    rows[n] = rowAt(w, i, n, true);
  w.cta.cluster.counters.sharedWritten += form.rows * kRowBytes;
  countRows(w, i, form.rows);
  for (unsigned r = 0; r < form.registers; ++r) {
    const uint8_t *from = w.lanes<uint8_t>(w.code.refs[i.extra + r]);
    for (unsigned b = 0; b < 4 * kWarpSize; ++b) {
      Place place = placeOf(form.shape, b / 4, r, b % 4);
      rows[place.row][place.byte] = from[b];
    }
  }
  w.next();
}

/// d is a transposed: both are m8n8 fragments.
void transpose(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  uint16_t source[8][8];
  std::memcpy(source, w.lanes<uint16_t>(i.a), sizeof source);
  uint16_t *d = w.lanes<uint16_t>(i.d);
  for (unsigned row = 0; row < 8; ++row)
    for (unsigned column = 0; column < 8; ++column)
      d[8 * row + column] = source[column][row];
  w.next();
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

unsigned takeCount(Decoder &d) {
  int count = d.words().takeOf({"x1", "x2", "x4"});
  if (count < 0)
    d.error("needs .x1, .x2 or .x4");
  return 1u << count;
}

/// .b16, .b8, .b8x16.b6x16_p32 or .b8x16.b4x16_p64; false: .b16.
bool takeByteFormat(Decoder &d, Format &format) {
  format = Format::Bytes;
  if (d.words().take("b16"))
    return false;
  if (d.words().take("b8"))
    return true;
  if (!d.words().take("b8x16"))
    d.error("has no type");
  int source = d.words().takeOf({"b6x16_p32", "b4x16_p64"});
  if (source < 0)
    d.error("needs .b6x16_p32 or .b4x16_p64");
  format = source == 0 ? Format::Six : Format::Four;
  return true;
}

void checkLoad(Decoder &d, Form form, bool bytes, unsigned count) {
  bool wide = form.shape == Shape::M8N16 || form.shape == Shape::M16N16Trans;
  if (bytes != wide)
    d.error("this shape has no such elements");
  if (form.shape == Shape::M8N16 && form.format == Format::Bytes)
    d.error(".m8n16 needs elements of 6 or 4 bits");
  if (form.shape == Shape::M16N16Trans && count == 4)
    d.error(".m16n16 is loaded once or twice, not four times");
}

Form takeLoadForm(Decoder &d) {
  Form form{};
  int shape = d.words().takeOf({"m8n8", "m8n16", "m16n16"});
  if (shape < 0)
    d.error("names no shape");
  bool transposed = d.words().take("trans");
  if ((shape == 1 && transposed) || (shape == 2 && !transposed))
    d.error(shape == 1 ? ".m8n16 cannot be transposed"
                       : ".m16n16 needs .trans");
  unsigned count = takeCount(d);
  bool bytes = takeByteFormat(d, form.format);
  form.shape = shape == 2   ? Shape::M16N16Trans
               : shape == 1 ? Shape::M8N16
               : transposed ? Shape::M8N8Trans
                            : Shape::M8N8;
  checkLoad(d, form, bytes, count);
  form.registers = uint8_t(shape == 2 ? 2 * count : count);
  form.rows = uint8_t((shape == 2 ? 16 : 8) * count);
  return form;
}

Form takeStoreForm(Decoder &d) {
  Form form{};
  int shape = d.words().takeOf({"m8n8", "m16n8"});
  if (shape < 0)
    d.error("names no shape");
  bool transposed = d.words().take("trans");
  if (shape == 1 && !transposed)
    d.error(".m16n8 needs .trans");
  form.registers = uint8_t(takeCount(d));
  form.rows = uint8_t(8 * form.registers);
  if (takeByteFormat(d, form.format) != (shape == 1) ||
      form.format != Format::Bytes)
    d.error("this shape has no such elements");
  form.shape = shape == 1   ? Shape::M16N8Trans
               : transposed ? Shape::M8N8Trans
                            : Shape::M8N8;
  return form;
}

void setMove(Decoder &d, Form form, bool isLoad) {
  d.expectOperands(2, 2);
  bool isShared = d.words().takeOf({"shared", "shared::cta"}) >= 0;
  setAddress(d, d.operand(isLoad ? 1 : 0),
             isShared ? Space::Shared : Space::Generic);
  std::vector<Ref> refs =
      registerList(d, isLoad ? 0 : 1, form.registers, "the fragment", isLoad);
  d.inst().extra = d.addRefs(refs);
  d.inst().extras = uint32_t(refs.size());
  d.inst().target = bitCast<uint32_t>(form);
  setWarpWide(d, isLoad ? load : store);
}

} // namespace

namespace nibble {
namespace emu {
namespace matrix {

void ldmatrix(Decoder &d) {
  takeSyncAligned(d);
  setMove(d, takeLoadForm(d), true);
}

void stmatrix(Decoder &d) {
  takeSyncAligned(d);
  setMove(d, takeStoreForm(d), false);
}

void movmatrix(Decoder &d) {
  takeSyncAligned(d);
  for (const char *word : {"m8n8", "trans", "b16"})
    if (!d.words().take(word))
      d.error(std::string("needs .") + word);
  d.expectOperands(2, 2);
  d.inst().a = d.value(1, ptx::Type::B32);
  d.inst().d = d.destination(0, 4);
  setWarpWide(d, transpose);
}

} // namespace matrix
} // namespace emu
} // namespace nibble
