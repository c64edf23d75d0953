// tcgen05 but for the products: allocation, loads and stores, copies, commits,
// fences. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Tcgen05.h"

#include "isa/MatrixMove.h"

#include "isa/Copy.h"
#include "isa/Half.h"
#include "isa/Select.h"
#include "isa/WarpMatrix.h"

#include <cstring>

using namespace nibble::emu;
using ptx::Type;

unsigned tcgen05::takeGroup(Decoder &d) {
  int group = d.words().takeOf({"cta_group::1", "cta_group::2"});
  if (group < 0)
    d.error("needs .cta_group::1 or .cta_group::2");
  return unsigned(group) + 1;
}

std::vector<Cta *> tcgen05::groupOf(Warp &w, unsigned group, int lane) {
  auto &ctas = w.cta.cluster.ctas;
  if (group == 1)
    return {&w.cta};
  unsigned even = w.cta.rank & ~1u;
  if (even + 1 >= ctas.size())
    w.fault(".cta_group::2 in a cluster without a second CTA", lane);
  return {ctas[even].get(), ctas[even + 1].get()};
}

uint32_t tcgen05::queueOf(const std::vector<Cta *> &group) {
  return group[0]->rank + 1;
}

std::string tcgen05::parseDescriptor(uint64_t bits,
                                     tensor::MatrixDescriptor &d) {
  static constexpr uint32_t kSpans[] = {16, 0, 128, 0, 64, 0, 32, 0};
  auto field = [&](unsigned at, unsigned count) {
    return uint32_t(bits >> at & ((uint64_t(1) << count) - 1));
  };
  d.start = field(0, 14) << 4;
  d.leading = field(16, 14) << 4;
  d.stride = field(32, 14) << 4;
  d.base = field(49, 3);
  d.span = kSpans[field(61, 3)];
  d.swizzle = d.span == 128  ? TensorSwizzle::B128
              : d.span == 64 ? TensorSwizzle::B64
              : d.span == 32 ? TensorSwizzle::B32
                             : TensorSwizzle::None;
  if (field(46, 3) != 1)
    return "bits 46 to 48 are " + std::to_string(field(46, 3)) +
           "; tcgen05 has 1 there";
  if (field(14, 2) || field(30, 2) || field(53, 8))
    return "bits are set that mean nothing (14, 15, 30, 31, 53 to 60)";
  if (field(52, 1))
    return "the absolute mode of the leading dimension is for sm_103a";
  if (d.span == 0)
    return "swizzle " + std::to_string(field(61, 3)) + " is not emulated";
  return "";
}

void tcgen05::checkColumns(Warp &w, const std::vector<Cta *> &group,
                           uint32_t column, uint32_t count, int lane) {
  for (Cta *cta : group)
    if (std::string why = cta->tensor.check(column, count); !why.empty())
      w.fault("uses " + why, lane);
}

void tcgen05::checkUnwaited(Warp &w, const Cta &cta, uint32_t column,
                            uint32_t count, bool write, int lane) {
  static constexpr uint8_t kAll = 15;
  if (!w.cta.cluster.launch.checks.tensorWaits)
    return;
  if (cta.tensor.isUnwaited(column, count, true, kAll))
    w.fault("uses tensor memory (columns " + std::to_string(column) + " to " +
                std::to_string(column + count - 1) +
                ") that a tcgen05.st writes, before its tcgen05.wait::st",
            lane);
  if (write && cta.tensor.isUnwaited(column, count, false, kAll))
    w.fault("writes tensor memory (columns " + std::to_string(column) + " to " +
                std::to_string(column + count - 1) +
                ") that a tcgen05.ld reads, before its tcgen05.wait::ld",
            lane);
}

using TensorLog = TensorMemory::ColumnLog;

/// Faults if an access to a column has not happened before.
static void expectBefore(Warp &w, const TensorMemory::Access &access,
                         uint32_t column, bool wrote, int lane) {
  if (w.cta.cluster.races.covers(w, access.epoch))
    return;
  w.fault("a race: uses column " + std::to_string(column) +
              " of tensor memory, which the tcgen05 instruction of PTX line " +
              std::to_string(access.line) + (wrote ? " writes" : " reads") +
              "; nothing orders the two",
          lane);
}

void tcgen05::noteOperation(Warp &w, Cta &cta, uint32_t column, uint32_t count,
                            bool write, Epoch as, int lane) {
  if (!as.time)
    return;
  for (uint32_t c = column; c < column + count; ++c) {
    TensorLog &log = cta.tensor.log(c);
    for (unsigned quarter = 0; quarter < 4; ++quarter) {
      expectBefore(w, log.stores[quarter], c, true, lane);
      if (write)
        expectBefore(w, log.loads[quarter], c, false, lane);
    }
    TensorMemory::Access &last = write ? log.written : log.read;
    last.epoch = as;
    last.line = w.inst->line;
  }
}

/// tcgen05.ld or .st of a warp.
static void noteAccess(Warp &w, uint32_t column, uint32_t count, bool write) {
  Races &races = w.cta.cluster.races;
  if (!races.isEnabled())
    return;
  unsigned quarter = w.index % 4;
  for (uint32_t c = column; c < column + count; ++c) {
    TensorLog &log = w.cta.tensor.log(c);
    expectBefore(w, log.written, c, true, -1);
    expectBefore(w, log.stores[quarter], c, true, -1);
    if (write) {
      expectBefore(w, log.read, c, false, -1);
      expectBefore(w, log.loads[quarter], c, false, -1);
    }
    // One by one: GCC 12 makes wrong code of {now(), line} for such a place.
    TensorMemory::Access &last = (write ? log.stores : log.loads)[quarter];
    last.epoch = races.now(w);
    last.line = w.inst->line;
  }
}

namespace {

using namespace nibble::emu::tcgen05;

//===----------------------------------------------------------------------===//
// Allocation
//===----------------------------------------------------------------------===//

/// sub[0]: CTA group. a, imm, ..: where the address is written; b: columns.
void allocate(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  std::vector<Cta *> group = groupOf(w, i.sub[0], 0);
  uint32_t columns = w.lanes<uint32_t>(i.b)[0];
  std::string why;
  // Both CTAs of a pair allocate: each for itself, the results are equal.
  int column = w.cta.tensor.allocate(columns, why);
  if (!why.empty())
    w.fault(why);
  if (column < 0)
    return w.wait(
        [&w, columns] { return w.cta.tensor.hasRoom(columns); },
        [] { return std::string("tcgen05.alloc, tensor memory is full"); });
  uint8_t *at =
      w.cta.resolve(w, Space(i.sub[2]), addressOf(w, i, 0), 4, true, 0);
  uint32_t word = uint32_t(column);
  std::memcpy(at, &word, 4);
  w.next();
}

void release(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  TensorAddress address = TensorAddress::of(w.lanes<uint32_t>(i.a)[0]);
  std::string why =
      w.cta.tensor.release(address.column, w.lanes<uint32_t>(i.b)[0]);
  if (!why.empty())
    w.fault(why);
  w.next();
}

void relinquish(Warp &w, const Inst &, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  w.cta.tensor.relinquish();
  w.next();
}

//===----------------------------------------------------------------------===//
// Loads and stores
//===----------------------------------------------------------------------===//

/// Shapes of tcgen05.ld and .st. What register r of lane l is: a lane and a
/// column relative to the address.
enum Shape : uint8_t { k32x32b, k16x64b, k16x128b, k16x256b, k16x32bx2 };

/// PTX ISA, "Data movement shape": 32x32b: one lane of tensor memory for each
/// thread. 16x..: 16 lanes; a row of 64, 128 or 256 bits lies in 2, 4 or 4
/// threads, as fragments of mma have it (CuTe, copy_traits_sm100.hpp: in 16x64b
/// bit 0 of the thread chooses the upper rows, bit 1 the column).
struct Element {
  unsigned lane, column;
};
Element elementOf(Shape shape, unsigned thread, unsigned r) {
  switch (shape) {
  case k32x32b:
    return {thread, r};
  case k16x64b:
    return {thread / 4 + 8 * (thread & 1), r * 2 + (thread >> 1 & 1)};
  case k16x128b:
    return {thread / 4 + 8 * (r & 1), (r >> 1) * 4 + thread % 4};
  case k16x256b:
    return {thread / 4 + 8 * (r >> 1 & 1),
            (r >> 2) * 8 + thread % 4 * 2 + (r & 1)};
  default: // two halves of the warp, some columns apart
    return {thread % 16, r};
  }
}

/// sub[0]: shape; sub[1]: 1 pack or unpack 16 bits; extras: registers; target:
/// columns to the second half. a, imm: address. Of ld.red: d: result; sub[2]:
/// flags (Reduction).
struct Access {
  Warp &w;
  const Inst &i;
  TensorAddress base;
  unsigned count;

  Access(Warp &w, const Inst &i) : w(w), i(i), count(i.extras) {
    uint32_t word = w.lanes<uint32_t>(i.a)[0] + uint32_t(i.imm);
    for (unsigned l = 1; l < kWarpSize; ++l)
      if (w.lanes<uint32_t>(i.a)[l] != w.lanes<uint32_t>(i.a)[0])
        w.fault("lanes come with different addresses of tensor memory", int(l));
    base = TensorAddress::of(word);
    unsigned quadrant = w.index % 4 * 32, inside = base.lane % 32;
    if (base.lane / 32 * 32 != quadrant)
      w.fault("warp " + std::to_string(w.index) + " can reach lanes " +
              std::to_string(quadrant) + " to " +
              std::to_string(quadrant + 31) + " of tensor memory, not " +
              std::to_string(base.lane));
    if (inside && (i.sub[0] == k32x32b || inside != 16))
      w.fault("the address begins at lane " + std::to_string(base.lane));
    checkColumns(w, {&w.cta}, base.column, columns(), 0);
  }

  unsigned perWord() const { return i.sub[1] & 1 ? 2 : 1; }
  /// The last thread has the last column of the last register.
  unsigned columns() const {
    return where(kWarpSize - 1, count - 1, perWord() - 1).column - base.column +
           1;
  }
  /// What half `h` of register r is; packed registers hold two columns.
  Element where(unsigned l, unsigned r, unsigned h) const {
    Element e = elementOf(Shape(i.sub[0]), l, r);
    unsigned split = i.sub[0] == k16x32bx2 && l >= 16 ? i.target : 0;
    return {base.lane + e.lane, base.column + e.column * perWord() + h + split};
  }
  uint32_t *reg(unsigned r) {
    return w.lanes<uint32_t>(w.code.refs[i.extra + r]);
  }
};

/// One's own loads and stores are done when they are issued; that a program
/// may not count on it before their wait is checked. Other quarters of the
/// lanes belong to other warps.
void beginAccess(Access &a, bool write) {
  Warp &w = a.w;
  TensorMemory &memory = w.cta.tensor;
  uint8_t quarter = uint8_t(1u << w.index % 4);
  bool conflict =
      memory.isUnwaited(a.base.column, a.columns(), !write, quarter);
  if (conflict && w.cta.cluster.launch.checks.tensorWaits)
    w.fault(write ? "writes tensor memory that a tcgen05.ld reads, before its "
                    "tcgen05.wait::ld"
                  : "reads tensor memory that a tcgen05.st writes, before its "
                    "tcgen05.wait::st");
  noteAccess(w, a.base.column, a.columns(), write);
  memory.beginUnwaited(a.base.column, a.columns(), write, quarter);
}

/// tcgen05.ld.red: the least or largest of what a thread has loaded. As min and
/// max do: numbers win over NaNs unless .NaN, and -0 < +0.
enum Reduction : uint8_t {
  kReduces = 1,
  kLargest = 2,
  kMagnitude = 4,
  kKeepsNan = 8,
  kIsFloat = 16,
  kIsSigned = 32
};
bool isLess(uint32_t a, uint32_t b, uint8_t how) {
  if (how & kIsFloat) {
    float x = bitCast<float>(a), y = bitCast<float>(b);
    return x < y || (x == y && std::signbit(x) && !std::signbit(y));
  }
  return how & kIsSigned ? int32_t(a) < int32_t(b) : a < b;
}
uint32_t reduceTwo(uint32_t a, uint32_t b, uint8_t how) {
  auto isNan = [how](uint32_t x) {
    return (how & kIsFloat) && std::isnan(bitCast<float>(x));
  };
  if (isNan(a) || isNan(b))
    return (how & kKeepsNan) || (isNan(a) && isNan(b)) ? kFloatNan
           : isNan(a)                                  ? b
                                                       : a;
  return isLess(a, b, how) == !(how & kLargest) ? a : b;
}
void reduceLoaded(Access &a) {
  uint8_t how = a.i.sub[2];
  uint32_t mask = how & kMagnitude ? 0x7FFFFFFF : ~0u;
  uint32_t *d = a.w.lanes<uint32_t>(a.i.d);
  for (unsigned l = 0; l < kWarpSize; ++l) {
    d[l] = a.reg(0)[l] & mask;
    for (unsigned r = 1; r < a.count; ++r)
      d[l] = reduceTwo(d[l], a.reg(r)[l] & mask, how);
  }
}

void loadTensor(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  Access a(w, i);
  const Checks &checks = w.cta.cluster.launch.checks;
  beginAccess(a, false);
  if (checks.tensorWaits)
    w.registers.beginLoad(i);
  if (checks.pending &&
      w.cta.tensor.hasPendingWrite(a.base.column, a.columns()))
    w.fault("reads tensor memory that operations in flight write: nothing has "
            "been waited for that says they are done");
  for (unsigned r = 0; r < a.count; ++r)
    for (unsigned l = 0; l < kWarpSize; ++l) {
      uint32_t value = 0;
      for (unsigned h = 0; h < a.perWord(); ++h) {
        Element e = a.where(l, r, h);
        if (checks.uninitialized &&
            !w.cta.tensor.isWritten(e.lane, e.column, 1))
          w.fault("reads lane " + std::to_string(e.lane) + ", column " +
                      std::to_string(e.column) +
                      " of tensor memory, which nobody has written",
                  int(l));
        uint32_t word = w.cta.tensor.at(e.lane, e.column);
        value |= a.perWord() == 2 ? (word & 0xFFFF) << (16 * h) : word;
      }
      a.reg(r)[l] = value;
    }
  if (i.sub[2] & kReduces)
    reduceLoaded(a);
  w.next();
}

void storeTensor(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  Access a(w, i);
  const Checks &checks = w.cta.cluster.launch.checks;
  beginAccess(a, true);
  if (checks.pending &&
      (w.cta.tensor.hasPendingWrite(a.base.column, a.columns()) ||
       w.cta.tensor.hasPendingRead(a.base.column, a.columns())))
    w.fault("writes tensor memory that operations in flight use");
  for (unsigned r = 0; r < a.count; ++r)
    for (unsigned l = 0; l < kWarpSize; ++l)
      for (unsigned h = 0; h < a.perWord(); ++h) {
        uint32_t value = a.reg(r)[l];
        Element e = a.where(l, r, h);
        w.cta.tensor.at(e.lane, e.column) =
            a.perWord() == 2 ? (value >> (16 * h)) & 0xFFFF : value;
        w.cta.tensor.setWritten(e.lane, e.column, 1);
      }
  w.next();
}

/// sub[0]: 1 wait::st, 0 wait::ld.
void waitForAccess(Warp &w, const Inst &i, Lanes lanes) {
  if (!wholeWarp(w, lanes))
    return;
  w.cta.tensor.endUnwaited(i.sub[0], uint8_t(1u << w.index % 4));
  if (!i.sub[0])
    w.registers.endLoads();
  w.next();
}
void nothing(Warp &, const Inst &, Lanes) {}

//===----------------------------------------------------------------------===//
// Copies from shared memory
//===----------------------------------------------------------------------===//

/// Rows (lanes) and 16-byte chunks of a copy, and where else it goes. With
/// multicast to pairs of warps each gets one half of the rows (PTX ISA,
/// tcgen05.cp; CuTe, SM100_UTCCP_2x64dp128bitlw0213 and 0123).
struct CopyShape {
  std::string_view word, multicast;
  uint8_t rows, chunks;
  uint8_t copies; ///< how many times, `apart` lanes each
  uint8_t apart;
  uint8_t half; ///< lanes that the rows from 32 on lie further
};
constexpr CopyShape kCopyShapes[] = {
    {"128x256b", "", 128, 2, 1, 0, 0},
    {"4x256b", "", 4, 2, 1, 0, 0},
    {"128x128b", "", 128, 1, 1, 0, 0},
    {"32x128b", "warpx4", 32, 1, 4, 32, 0},
    {"64x128b", "warpx2::02_13", 64, 1, 2, 64, 0},
    {"64x128b", "warpx2::01_23", 64, 1, 2, 32, 32}};

/// sub[0]: group; sub[1]: bits of elements that are unpacked, or 0; target:
/// shape. a, imm: address of tensor memory; b: descriptor.
void copyToTensor(Warp &w, const Inst &i, Lanes lanes) {
  const CopyShape &shape = kCopyShapes[i.target];
  const unsigned bits = i.sub[1];
  const uint32_t used =
      bits ? 2 * bits : 16; // of 16 bytes; the rest is padding
  forLanes(lanes, [&](unsigned l) {
    std::vector<Cta *> group = groupOf(w, i.sub[0], int(l));
    TensorAddress to =
        TensorAddress::of(w.lanes<uint32_t>(i.a)[l] + uint32_t(i.imm));
    tensor::MatrixDescriptor from;
    std::string why = parseDescriptor(w.lanes<uint64_t>(i.b)[l], from);
    if (!why.empty())
      w.fault("the descriptor of the copy: " + why, int(l));
    checkColumns(w, group, to.column, shape.chunks * 4u, int(l));
    Epoch epoch = w.cta.cluster.races.tickTensor(group[0]->rank);
    for (Cta *cta : group) {
      for (unsigned r = 0; r < shape.rows; ++r)
        for (unsigned c = 0; c < shape.chunks; ++c)
          beginRead(w, *cta, from.chunkKMajor(r, c), used, int(l), epoch);
      checkUnwaited(w, *cta, to.column, shape.chunks * 4u, true, int(l));
      noteOperation(w, *cta, to.column, shape.chunks * 4u, true, epoch, int(l));
      cta->tensor.begin(to.column, shape.chunks * 4u, true);
    }
    AsyncOp op;
    op.queue = queueOf(group);
    op.complete = [=] {
      for (Cta *cta : group) {
        for (unsigned r = 0; r < shape.rows; ++r)
          for (unsigned c = 0; c < shape.chunks; ++c) {
            uint32_t at = from.chunkKMajor(r, c), words[4];
            std::memcpy(words, cta->shared.data() + at, 16);
            endRead(*cta, at, used);
            if (bits)
              unpackToBytes(reinterpret_cast<uint8_t *>(words), bits);
            for (unsigned n = 0; n < shape.copies; ++n) {
              unsigned lane =
                  to.lane + r + n * shape.apart + (r >= 32 ? shape.half : 0);
              for (unsigned k = 0; k < 4; ++k)
                cta->tensor.at(lane, to.column + c * 4 + k) = words[k];
              cta->tensor.setWritten(lane, to.column + c * 4, 4);
            }
          }
        cta->tensor.end(to.column, shape.chunks * 4u, true);
      }
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

//===----------------------------------------------------------------------===//
// Commit
//===----------------------------------------------------------------------===//

/// An arrival when all earlier work of the queue is done. sub[0]: group; c:
/// multicast mask.
void commit(Warp &w, const Inst &i, Lanes lanes) {
  forLanes(lanes, [&](unsigned l) {
    std::vector<Cta *> group = groupOf(w, i.sub[0], int(l));
    SharedPlace where = findBarrierPlace(w, i, l);
    std::vector<Cta *> targets{where.cta};
    if (i.c.valid())
      targets = maskedCtas(w, w.lanes<uint16_t>(i.c)[l], int(l));
    auto barriers = barriersOf(w, targets, where, i.c.valid(), int(l));
    AsyncOp op;
    op.queue = queueOf(group);
    // It tells that the operations are done, and orders what came before.
    Clock done;
    w.cta.cluster.races.release(w, done);
    done.join(w.cta.cluster.races.lastTensor(group[0]->rank));
    op.complete = [barriers, done, place = w.place(int(l))] {
      for (MBarrier *barrier : barriers) {
        barrier->gathered.join(done);
        arriveAt(barrier, place);
      }
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

void decodeAlloc(Decoder &d) {
  d.inst().sub[0] = uint8_t(takeGroup(d));
  takeSyncAligned(d);
  Space space = takeSharedSpace(d);
  takeType(d);
  d.expectOperands(2, 2);
  setAddress(d, d.operand(0), space);
  d.inst().b = d.value(d.operand(1), 4);
  setWarpWide(d, allocate);
}

void decodeDealloc(Decoder &d) {
  d.inst().sub[0] = uint8_t(takeGroup(d));
  takeSyncAligned(d);
  takeType(d);
  d.expectOperands(2, 2);
  d.inst().a = d.value(d.operand(0), 4);
  d.inst().b = d.value(d.operand(1), 4);
  setWarpWide(d, release);
}

void decodeRelinquish(Decoder &d) {
  takeGroup(d);
  takeSyncAligned(d);
  d.expectOperands(0, 0);
  setWarpWide(d, relinquish);
}

void setTensorAddress(Decoder &d, const ptx::Operand &operand) {
  Decoder::Address address = d.address(operand);
  if (address.bytes != 4 || !address.symbol.empty())
    d.error("an address of tensor memory has 32 bits");
  d.inst().a = address.base;
  d.inst().imm = uint64_t(address.offset);
}

unsigned takeRepeat(Decoder &d) {
  int repeat =
      d.words().takeOf({"x1", "x2", "x4", "x8", "x16", "x32", "x64", "x128"});
  if (repeat < 0)
    d.error("names no number of repetitions");
  return 1u << repeat;
}

/// The words of .red, and its result. `fits`: what is loaded can be reduced.
void takeReduction(Decoder &d, bool fits) {
  int op = d.words().takeOf({"min", "max"});
  uint8_t how = uint8_t(kReduces | (op == 1 ? kLargest : 0) |
                        (d.words().take("abs") ? kMagnitude : 0) |
                        (d.words().take("NaN") ? kKeepsNan : 0));
  Type type = takeType(d);
  bool isFloat = type == Type::F32;
  if (op < 0 || (!isFloat && type != Type::U32 && type != Type::S32) ||
      (!isFloat && how & (kMagnitude | kKeepsNan)))
    d.error("has no such reduction");
  if (!fits)
    d.unsupported("a reduction of this shape"); // across which lanes?
  d.inst().sub[2] = uint8_t(how | (isFloat ? kIsFloat : 0) |
                            (type == Type::S32 ? kIsSigned : 0));
  d.inst().d = d.destination(1, 4);
}

void decodeAccess(Decoder &d, bool isStore) {
  bool reduces = !isStore && d.words().take("red");
  takeSyncAligned(d);
  int shape =
      d.words().takeOf({"32x32b", "16x64b", "16x128b", "16x256b", "16x32bx2"});
  if (shape < 0)
    d.error("names no shape");
  static constexpr unsigned kRegisters[] = {1, 1, 2, 4, 1};
  unsigned count = takeRepeat(d) * kRegisters[shape];
  bool packs = d.words().takeOf({"pack::16b", "unpack::16b"}) >= 0;
  if (reduces)
    takeReduction(d, shape == k32x32b && count > 1 && !packs);
  else
    takeType(d);
  bool split = shape == k16x32bx2;
  d.expectOperands(2 + split + reduces, 2 + split + reduces);
  size_t at = isStore ? 0 : 1 + reduces,
         registers = isStore ? (split ? 2 : 1) : 0;
  setTensorAddress(d, d.operand(at));
  if (split)
    d.inst().target = uint32_t(d.operand(at + 1).bits);
  d.inst().extra =
      d.addRefs(registerList(d, registers, count, "the data", !isStore));
  d.inst().extras = count;
  d.inst().sub[0] = uint8_t(shape);
  d.inst().sub[1] = packs;
  setWarpWide(d, isStore ? storeTensor : loadTensor);
}

void decodeCopy(Decoder &d) {
  d.inst().sub[0] = uint8_t(takeGroup(d));
  int shape = -1;
  for (unsigned s = 0; s < std::size(kCopyShapes); ++s) {
    const CopyShape &each = kCopyShapes[s];
    if (d.words().has(each.word) &&
        (each.multicast.empty() || d.words().take(each.multicast)))
      shape = int(s);
  }
  if (shape < 0)
    d.error("has no such shape, or not with this multicast");
  d.words().take(kCopyShapes[shape].word);
  if (d.words().take("b8x16")) {
    int source = d.words().takeOf({"b4x16_p64", "b6x16_p32"});
    if (source < 0)
      d.error("needs .b6x16_p32 or .b4x16_p64");
    d.inst().sub[1] = source ? 6 : 4;
  }
  d.expectOperands(2, 2);
  setTensorAddress(d, d.operand(0));
  d.inst().b = d.value(d.operand(1), 8);
  d.inst().target = uint32_t(shape);
  d.inst().run = copyToTensor;
}

void decodeCommit(Decoder &d) {
  d.inst().sub[0] = uint8_t(takeGroup(d));
  d.words().take("mbarrier::arrive::one");
  Space space = takeSharedSpace(d);
  bool multicast = d.words().take("multicast::cluster");
  takeType(d);
  d.expectOperands(1 + multicast, 1 + multicast);
  setAddress(d, d.operand(0), space);
  if (multicast)
    d.inst().c = d.value(d.operand(1), 2);
  d.inst().run = commit;
}

void decodeWait(Decoder &d, bool stores) {
  takeSyncAligned(d);
  d.expectOperands(0, 0);
  d.inst().sub[0] = stores;
  setWarpWide(d, waitForAccess);
}

} // namespace

void tcgen05::decode(Decoder &d) {
  switch (d.words().takeOf({"alloc", "dealloc", "relinquish_alloc_permit", "ld",
                            "st", "cp", "commit", "wait::ld", "wait::st",
                            "fence::before_thread_sync",
                            "fence::after_thread_sync", "mma"})) {
  case 0:
    return decodeAlloc(d);
  case 1:
    return decodeDealloc(d);
  case 2:
    return decodeRelinquish(d);
  case 3:
    return decodeAccess(d, false);
  case 4:
    return decodeAccess(d, true);
  case 5:
    return decodeCopy(d);
  case 6:
    return decodeCommit(d);
  case 7:
    return decodeWait(d, false);
  case 8:
    return decodeWait(d, true);
  case 9:
  case 10:
    d.inst().run = nothing;
    return;
  case 11:
    return decodeMma(d);
  default:
    d.unsupported("this operation");
  }
}
