// tcgen05.mma: products of matrices in shared and tensor memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// PTX ISA, "Tensorcore 5th Generation Matrix multiply and accumulate
// Operations". An instruction is validated when it is issued, and computed when
// its turn in the queue of the tensor core has come.
#include "isa/Tcgen05.h"

#include "isa/Copy.h"
#include "isa/Half.h"
#include "isa/Select.h"
#include "isa/WarpMatrix.h"
#include "tensor/Dot.h"

#include <cstring>

using namespace nibble::emu;
using namespace nibble::emu::tcgen05;
using ptx::Type;
using tensor::Element;

namespace {

enum Kind : uint8_t { F16, TF32, F8F6F4, MxF8F6F4, MxF4, MxF4NvF4 };

bool isScaled(Kind kind) { return kind >= MxF8F6F4; }
bool isPacked(Kind kind) { return kind >= MxF4; } ///< two E2M1 in a byte

/// Elements along K: 32 bytes of them.
unsigned depthOf(Kind kind) {
  static constexpr unsigned kDepths[] = {16, 8, 32, 32, 64, 64};
  return kDepths[kind];
}

//===----------------------------------------------------------------------===//
// Instruction descriptors
//===----------------------------------------------------------------------===//

struct Form {
  Kind kind;
  unsigned group, m, n;
  Element a, b;
  bool halfResult = false, negateA = false, negateB = false;
  bool transA = false, transB = false; ///< MN-major
  unsigned scaleIdA = 0, scaleIdB = 0;
  unsigned block = 0; ///< elements that share a scale
  tensor::Scale scale = tensor::Scale::UE8M0;

  unsigned rows() const { return m / group; } ///< of a CTA
};

uint32_t field(uint32_t bits, unsigned at, unsigned count) {
  return bits >> at & ((1u << count) - 1);
}

std::string number(unsigned value) { return std::to_string(value); }

/// Types of A and B by their codes.
std::string elementsOf(Kind kind, uint32_t bits, Element &a, Element &b) {
  static constexpr Element kSmall[] = {Element::E4M3, Element::E5M2,
                                       Element::E2M3, Element::E3M2,
                                       Element::E2M1};
  uint32_t codeA = field(bits, 7, 3),
           codeB = field(bits, 10, isPacked(kind) ? 2 : 3);
  switch (kind) {
  case F16:
    if (codeA > 1 || codeB > 1)
      return "type codes " + number(codeA) + " and " + number(codeB) +
             " of A and B; kind f16 has 0 and 1";
    a = codeA ? Element::BF16 : Element::F16;
    b = codeB ? Element::BF16 : Element::F16;
    return a == b ? "" : "A and B have different types";
  case TF32:
    a = b = Element::TF32;
    return codeA == 2 && codeB == 2 ? "" : "kind tf32 has type code 2";
  case F8F6F4:
  case MxF8F6F4:
    if (codeA > 5 || codeB > 5 || codeA == 2 || codeB == 2) {
      // codes: E4M3 0, E5M2 1, E2M3 3, E3M2 4, E2M1 5
      return "type codes " + number(codeA) + " and " + number(codeB) +
             " of A and B; there are 0, 1, 3, 4 and 5";
    }
    a = kSmall[codeA > 1 ? codeA - 1 : codeA];
    b = kSmall[codeB > 1 ? codeB - 1 : codeB];
    return "";
  default:
    a = b = Element::E2M1;
    return codeA == 1 && codeB == 1
               ? ""
               : "type codes " + number(codeA) + " and " + number(codeB) +
                     " of A and B; E2M1 is 1 here";
  }
}

std::string checkShape(const Form &f) {
  bool pair = f.group == 2;
  bool okM = pair ? f.m == 128 || f.m == 256
                  : f.m == 128 || (f.m == 64 && !isScaled(f.kind));
  unsigned unit = !pair && (f.m == 64 || isScaled(f.kind)) ? 8 : 16;
  if (!okM)
    return "M = " + number(f.m) + " with .cta_group::" + number(f.group);
  if (f.n < unit || f.n > 256 || f.n % unit)
    return "N = " + number(f.n) + "; it must be a multiple of " + number(unit) +
           " up to 256";
  return "";
}

std::string parseForm(uint32_t bits, Form &f) {
  if (isScaled(f.kind) ? field(bits, 2, 1) : field(bits, 0, 3))
    return "sparse products are not emulated";
  f.n = field(bits, 17, 6) << 3;
  f.negateA = field(bits, 13, 1);
  f.negateB = field(bits, 14, 1);
  f.transA = field(bits, 15, 1);
  f.transB = field(bits, 16, 1);
  if (isScaled(f.kind)) {
    f.m = field(bits, 27, 2) << 7;
    f.scaleIdB = field(bits, 4, 2);
    f.scaleIdA = field(bits, 29, 2);
    f.scale = field(bits, 23, 1) ? tensor::Scale::UE8M0 : tensor::Scale::UE4M3;
  } else {
    f.m = field(bits, 24, 5) << 4;
    uint32_t result = field(bits, 4, 2);
    f.halfResult = result == 0;
    if (result > 1)
      return "type code " + number(result) + " of D";
  }
  if (std::string why = elementsOf(f.kind, bits, f.a, f.b); !why.empty())
    return why;
  if (isPacked(f.kind) && (f.transA || f.transB))
    return "4-bit matrices are K-major only";
  if ((f.kind == MxF8F6F4 || f.kind == MxF4) && f.scale != tensor::Scale::UE8M0)
    return "this kind has scales of type UE8M0 (bit 23)";
  if (f.block == 16 && (f.scaleIdA || f.scaleIdB))
    return "scale ids must be 0 with blocks of 16";
  return checkShape(f);
}

//===----------------------------------------------------------------------===//
// Operands
//===----------------------------------------------------------------------===//

/// A matrix in shared memory, of `rows` rows and K values: its chunks of 16
/// bytes are read at issue (for checks) and at execution.
struct SharedMatrix {
  tensor::MatrixDescriptor descriptor;
  Element element;
  bool packed, transposed;
  unsigned rows, depth;

  /// Values in a chunk of 16 bytes: narrow ones in containers of a byte lie 16
  /// to a chunk, packed at its beginning (PTX ISA, "Packing formats").
  unsigned perChunk() const {
    return packed ? 32 : 16 / tensor::bytesOf(element);
  }
  template <typename F> void forEachChunk(F f) const {
    if (!transposed) {
      for (unsigned r = 0; r < rows; ++r)
        for (unsigned c = 0; c < depth / perChunk(); ++c)
          f(descriptor.chunkKMajor(r, c), r, c * perChunk());
      return;
    }
    for (unsigned k = 0; k < depth; ++k)
      for (unsigned c = 0; c < rows / perChunk(); ++c)
        f(descriptor.chunkMnMajor(c, k), c * perChunk(), k);
  }

  void decode(const uint8_t *chunk, double *values) const {
    tensor::decodePackedChunk(element, chunk, perChunk(), values);
  }

  void read(const Cta &cta, tensor::Factor &factor, unsigned firstRow,
            double sign) const {
    double values[32];
    forEachChunk([&](uint32_t at, unsigned r, unsigned k) {
      if (!transposed && sign == 1)
        return decode(cta.shared.data() + at, factor.row(firstRow + r) + k);
      decode(cta.shared.data() + at, values);
      for (unsigned i = 0; i < perChunk(); ++i)
        if (transposed)
          factor.row(firstRow + r + i)[k] = sign * values[i];
        else
          factor.row(firstRow + r)[k + i] = sign * values[i];
    });
  }
};

/// Of the buffer of A: collector::a::discard, ...
enum Collector : uint8_t { kDiscard, kFill, kUse, kLastUse };

struct Operation {
  Form form;
  Collector collector = kDiscard;
  std::vector<Cta *> group;
  SharedMatrix a, b;
  bool aInTensor = false, accumulate = true;
  TensorAddress d, aAt, scaleA, scaleB;
  uint32_t disabled[8] = {}; ///< lanes of D that are not written
  std::string place;

  unsigned columns() const {
    return form.m / form.group == 64 && form.group == 2 ? form.n / 2 : form.n;
  }
  unsigned scaleColumns(unsigned rows) const { return (rows + 31) / 32; }
};

/// Value of a scale: byte `k` of row `r`, which lies in lane r % 32 of each
/// quarter of the lanes.
double scaleOf(const Operation &op, Cta &cta, TensorAddress at, unsigned r,
               unsigned byte) {
  uint32_t word = cta.tensor.at(r % 32, at.column + r / 32);
  if (!cta.tensor.isWritten(r % 32, at.column + r / 32, 1))
    throw Fault{op.place + ": multiplies with a scale in lane " +
                std::to_string(r % 32) + ", column " +
                std::to_string(at.column + r / 32) +
                " of tensor memory, which nobody has written"};
  for (unsigned quarter = 1; quarter < 4; ++quarter)
    if (cta.tensor.at(quarter * 32 + r % 32, at.column + r / 32) != word)
      throw Fault{op.place +
                  ": the scales in the four quarters of tensor "
                  "memory differ (column " +
                  std::to_string(at.column + r / 32) + ")"};
  return tensor::decodeScale(op.form.scale, uint8_t(word >> (8 * byte)));
}

/// Multiplies rows by their scales. Rows of B: each CTA holds all of them.
void applyScales(const Operation &op, Cta &cta, tensor::Factor &factor,
                 TensorAddress at, unsigned firstRow, unsigned rows,
                 unsigned firstScale, unsigned id) {
  factor.noteScales();
  unsigned block = op.form.block, blocks = depthOf(op.form.kind) / block;
  for (unsigned r = 0; r < rows; ++r)
    for (unsigned k = 0; k < blocks; ++k) {
      double scale = scaleOf(op, cta, at, firstScale + r, id + k);
      double *values = factor.row(firstRow + r) + k * block;
      for (unsigned i = 0; i < block; ++i)
        values[i] *= scale;
    }
}

/// A from tensor memory: lane = row, 32 bits of packed K after 32 bits.
void readTensorA(const Operation &op, Cta &cta, tensor::Factor &a) {
  unsigned words = 8; // 32 bytes of K
  for (unsigned r = 0; r < op.form.rows(); ++r) {
    uint8_t bytes[32];
    for (unsigned c = 0; c < words; ++c)
      std::memcpy(bytes + 4 * c, &cta.tensor.at(r, op.aAt.column + c), 4);
    double values[32];
    for (unsigned chunk = 0; chunk < 2; ++chunk) {
      op.a.decode(bytes + 16 * chunk, values);
      for (unsigned i = 0; i < op.a.perChunk(); ++i)
        a.row(r)[chunk * op.a.perChunk() + i] =
            values[i] * (op.form.negateA ? -1 : 1);
    }
  }
}

//===----------------------------------------------------------------------===//
// Execution
//===----------------------------------------------------------------------===//

/// Lane and column (relative) of an element of D in its CTA: PTX ISA, "Data
/// path layout organization": A to G.
struct Place {
  unsigned lane, column;
};
Place placeOf(const Form &f, unsigned row, unsigned n) {
  unsigned rows = f.rows();
  if (rows == 128)
    return {row, n};
  if (f.group == 1) // M = 64: 16 lanes of each quarter
    return {row / 16 * 32 + row % 16, n};
  // M = 128 over a pair: the halves of N lie in the halves of the lanes.
  return n < f.n / 2 ? Place{row, n} : Place{row + 64, n - f.n / 2};
}

/// Columns of a row of D that lie side by side: `f(lane, column, n, count)`,
/// relative; n is the first one's.
template <typename F> void forEachRun(const Form &form, unsigned row, F f) {
  bool isHalved = form.group == 2 && form.rows() != 128;
  unsigned count = isHalved ? form.n / 2 : form.n;
  for (unsigned n = 0; n < form.n; n += count) {
    Place p = placeOf(form, row, n);
    f(p.lane, p.column, n, count);
  }
}

void multiply(const Operation &op, Cta &cta, const tensor::Factor &a,
              const tensor::Factor &b) {
  const Form &f = op.form;
  unsigned rows = f.rows();
  std::vector<float> sums(size_t(rows) * f.n);
  std::vector<uint16_t> halves(f.halfResult ? size_t(rows) * f.n : 0);
  auto wordsAt = [&](unsigned lane, unsigned column) {
    return &cta.tensor.at(op.d.lane + lane, op.d.column + column);
  };
  for (unsigned r = 0; op.accumulate && r < rows; ++r)
    forEachRun(f, r,
               [&](unsigned lane, unsigned column, unsigned n, unsigned count) {
                 const uint32_t *from = wordsAt(lane, column);
                 if (f.halfResult)
                   std::transform(from, from + count, &halves[r * f.n + n],
                                  [](uint32_t word) { return uint16_t(word); });
                 else
                   std::memcpy(&sums[r * f.n + n], from, count * sizeof *from);
               });
  if (f.halfResult)
    tensor::multiplyAddHalf(a, b, halves.data(), f.n);
  else
    tensor::multiplyAdd(a, b, sums.data(), f.n);
  for (unsigned r = 0; r < rows; ++r)
    forEachRun(
        f, r, [&](unsigned lane, unsigned column, unsigned n, unsigned count) {
          if (op.disabled[lane / 32] >> (lane % 32) & 1)
            return;
          uint32_t *to = wordsAt(lane, column);
          if (f.halfResult)
            std::copy_n(&halves[r * f.n + n], count, to);
          else
            std::memcpy(to, &sums[r * f.n + n], count * sizeof *to);
          cta.tensor.setWritten(op.d.lane + lane, op.d.column + column, count);
        });
}

void checkAccumulator(const Operation &op, Cta &cta) {
  if (!op.accumulate)
    return;
  for (unsigned r : {0u, op.form.rows() - 1}) {
    Place p = placeOf(op.form, r, 0);
    if (!cta.tensor.isWritten(op.d.lane + p.lane, op.d.column, 1))
      throw Fault{op.place +
                  ": adds to an accumulator that nobody has written"};
  }
}

void execute(const Operation &op) {
  const Form &f = op.form;
  unsigned depth = depthOf(f.kind), rowsOfB = f.n / f.group;
  tensor::Factor b(f.b, f.n, depth);
  for (unsigned c = 0; c < f.group; ++c)
    op.b.read(*op.group[c], b, c * rowsOfB, f.negateB ? -1 : 1);
  for (unsigned c = 0; c < f.group; ++c) {
    Cta &cta = *op.group[c];
    checkAccumulator(op, cta);
    tensor::Factor a(f.a, f.rows(), depth), scaledB = b;
    if (op.aInTensor)
      readTensorA(op, cta, a);
    else
      op.a.read(cta, a, 0, f.negateA ? -1 : 1);
    if (isScaled(f.kind)) {
      applyScales(op, cta, a, op.scaleA, 0, f.rows(), 0, f.scaleIdA);
      applyScales(op, cta, scaledB, op.scaleB, 0, f.n, 0, f.scaleIdB);
    }
    a.seal();
    scaledB.seal();
    multiply(op, cta, a, scaledB);
  }
}

/// A from the buffer is that of the instruction before, at the same place.
void checkCollector(Warp &w, const Operation &op, uint64_t a, int lane) {
  uint64_t &collected = op.group[0]->tensor.collected;
  bool uses = op.collector == kUse || op.collector == kLastUse;
  if (uses && collected != a)
    w.fault(collected ? "uses another A than collector::a::fill has kept"
                      : "uses an A that no collector::a::fill has kept",
            lane);
  collected = op.collector == kFill || op.collector == kUse ? a : 0;
}

/// What the operation has in hand until it is done.
void take(Warp &w, const Operation &op, int lane) {
  Epoch epoch = w.cta.cluster.races.tickTensor(op.group[0]->rank);
  for (Cta *cta : op.group) {
    auto read = [&](uint32_t at, unsigned, unsigned) {
      if (at + 16 > cta->shared.size())
        w.fault("a matrix descriptor reaches beyond shared memory (offset " +
                    std::to_string(at) + ")",
                lane);
      beginRead(w, *cta, at, 16, lane, epoch);
    };
    uint64_t &bytes = w.cta.cluster.counters.sharedAsyncRead, before = bytes;
    if (!op.aInTensor)
      op.a.forEachChunk(read);
    if (op.collector == kUse || op.collector == kLastUse)
      bytes = before; // not read again
    op.b.forEachChunk(read);
    auto use = [&](TensorAddress at, uint32_t count, bool write) {
      checkUnwaited(w, *cta, at.column, count, write, lane);
      noteOperation(w, *cta, at.column, count, write, epoch, lane);
    };
    use(op.d, op.columns(), true);
    if (op.aInTensor)
      use(op.aAt, 8, false);
    if (isScaled(op.form.kind)) {
      use(op.scaleA, op.scaleColumns(op.form.rows()), false);
      use(op.scaleB, op.scaleColumns(op.form.n), false);
    }
    cta->tensor.begin(op.d.column, op.columns(), true);
  }
}
void giveBack(const Operation &op) {
  for (Cta *cta : op.group) {
    auto done = [&](uint32_t at, unsigned, unsigned) { endRead(*cta, at, 16); };
    if (!op.aInTensor)
      op.a.forEachChunk(done);
    op.b.forEachChunk(done);
    cta->tensor.end(op.d.column, op.columns(), true);
  }
}

/// refs[extra ..]: D, A (address or descriptor), descriptor of B, instruction
/// descriptor, scales of A and B, then lanes that are disabled. Offsets of the
/// addresses: refs after those. sub[0]: kind; sub[1]: group; sub[2] bit 0: A in
/// tensor memory, bit 1: block 16; p: accumulate, negated by bit 2.
void mma(Warp &w, const Inst &i, Lanes lanes) {
  const Ref *r = &w.code.refs[i.extra];
  forLanes(lanes, [&](unsigned l) {
    auto word = [&](unsigned n) { return w.lanes<uint32_t>(r[n])[l]; };
    auto address = [&](unsigned n) {
      return TensorAddress::of(word(n) +
                               uint32_t(w.lanes<uint64_t>(r[n + 8])[0]));
    };
    Operation op;
    op.form.kind = Kind(i.sub[0]);
    op.form.group = i.sub[1];
    op.form.block = i.imm;
    op.place = w.place(int(l));
    if (std::string why = parseForm(word(3), op.form); !why.empty())
      w.fault("the instruction descriptor " + std::to_string(word(3)) + ": " +
                  why,
              int(l));
    op.group = groupOf(w, i.sub[1], int(l));
    op.aInTensor = i.sub[2] & 1;
    op.d = address(0);
    bool packed = isPacked(op.form.kind);
    unsigned depth = depthOf(op.form.kind);
    op.a = {{}, op.form.a, packed, op.form.transA, op.form.rows(), depth};
    op.b = {{},   op.form.b, packed, op.form.transB, op.form.n / op.form.group,
            depth};
    std::string why =
        parseDescriptor(w.lanes<uint64_t>(r[2])[l], op.b.descriptor);
    if (op.aInTensor)
      op.aAt = address(1);
    else if (why.empty())
      why = parseDescriptor(w.lanes<uint64_t>(r[1])[l], op.a.descriptor);
    if (!why.empty())
      w.fault("a matrix descriptor: " + why, int(l));
    if (isScaled(op.form.kind)) {
      op.scaleA = address(4);
      op.scaleB = address(5);
      checkColumns(w, op.group, op.scaleA.column,
                   op.scaleColumns(op.form.rows()), int(l));
      checkColumns(w, op.group, op.scaleB.column, op.scaleColumns(op.form.n),
                   int(l));
    }
    checkColumns(w, op.group, op.d.column, op.columns(), int(l));
    bool p = i.p < 0 || (w.pred(i.p) >> l & 1);
    op.accumulate = i.sub[2] & 4 ? !p : p;
    for (unsigned n = 0; n < i.extras; ++n)
      op.disabled[n] = word(16 + n);
    op.collector = Collector(i.sub[2] >> 3);
    checkCollector(w, op,
                   op.aInTensor ? uint64_t(1) << 32 | word(1)
                                : w.lanes<uint64_t>(r[1])[l],
                   int(l));
    take(w, op, int(l));
    uint64_t products = uint64_t(op.form.m) * op.form.n * depth;
    if (packed) // kinds with two elements to a byte
      w.cta.cluster.counters.multiplies[unsigned(TensorKind::F4)] += products;
    else
      countMultiplies(w, op.form.a, products);
    AsyncOp async;
    async.queue = queueOf(op.group);
    async.complete = [op = std::move(op)] {
      execute(op);
      giveBack(op);
    };
    w.cta.cluster.async.submit(std::move(async));
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

unsigned takeBlock(Decoder &d, Kind kind) {
  int vector = d.words().takeOf({"block16", "block32", "scale_vec::1X",
                                 "scale_vec::2X", "scale_vec::4X"});
  unsigned natural = 32;
  switch (kind) {
  case MxF8F6F4:
    if (vector >= 0 && vector != 1 && vector != 2)
      d.error("kind mxf8f6f4 has blocks of 32");
    return natural;
  case MxF4:
    if (vector >= 0 && vector != 1 && vector != 3)
      d.error("kind mxf4 has blocks of 32");
    return natural;
  default:
    if (vector < 0)
      d.error("kind mxf4nvf4 needs .block16, .block32 or .scale_vec");
    return vector == 0 || vector == 4 ? 16 : 32;
  }
}

} // namespace

void tcgen05::decodeMma(Decoder &d) {
  if (d.words().has("sp") || d.words().has("ws"))
    d.unsupported("the sparse or weight-stationary form");
  unsigned group = takeGroup(d);
  int kind =
      d.words().takeOf({"kind::f16", "kind::tf32", "kind::f8f6f4",
                        "kind::mxf8f6f4", "kind::mxf4", "kind::mxf4nvf4"});
  if (kind < 0)
    d.unsupported("this kind");
  bool scaled = isScaled(Kind(kind));
  if (d.words().take("block_scale") != scaled)
    d.error(scaled ? "needs .block_scale" : "has .block_scale without scales");
  Inst &inst = d.inst();
  inst.imm = scaled ? takeBlock(d, Kind(kind)) : 0;
  int collector =
      d.words().takeOf({"collector::a::discard", "collector::a::fill",
                        "collector::a::use", "collector::a::lastuse"});
  size_t n = d.source().operands.size(), next = 4;
  std::vector<Ref> refs(8), offsets(8, d.constant(0, 8));
  auto address = [&](size_t operand, size_t slot) {
    Decoder::Address a = d.address(d.operand(operand));
    if (a.bytes != 4 || !a.symbol.empty())
      d.error("an address of tensor memory has 32 bits");
    refs[slot] = a.base;
    offsets[slot] = d.constant(uint64_t(a.offset), 8);
  };
  address(0, 0);
  bool inTensor = d.operand(1).kind == ptx::Operand::Kind::Address;
  if (inTensor)
    address(1, 1);
  else
    refs[1] = d.value(d.operand(1), 8);
  refs[2] = d.value(d.operand(2), 8);
  refs[3] = d.value(d.operand(3), 4);
  if (scaled) {
    address(4, 4);
    address(5, 5);
    next = 6;
  }
  refs.insert(refs.end(), offsets.begin(), offsets.end());
  if (!scaled && n > next &&
      d.operand(next).kind == ptx::Operand::Kind::Vector) {
    for (const ptx::Operand &part : d.operand(next).parts)
      refs.push_back(d.value(part, 4));
    inst.extras = uint32_t(refs.size() - 16);
    if (inst.extras != 4 * group)
      d.error("has " + std::to_string(inst.extras) + " masks of lanes, not " +
              std::to_string(4 * group));
    ++next;
  }
  if (n > next + 1)
    d.unsupported("scale-input-d");
  const ptx::Operand &enable = d.operand(next);
  inst.p = d.predicate(enable);
  inst.sub[0] = uint8_t(kind);
  inst.sub[1] = uint8_t(group);
  inst.sub[2] = uint8_t((inTensor ? 1 : 0) | (enable.negated ? 4 : 0) |
                        std::max(collector, int(kDiscard)) << 3);
  inst.extra = d.addRefs(refs);
  inst.run = mma;
}
