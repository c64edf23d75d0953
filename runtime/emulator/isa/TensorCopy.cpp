// cp.async.bulk.tensor and cp.reduce.async.bulk.tensor: boxes of tensors to and
// from shared memory. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Copy.h"
#include "isa/Reduce.h"
#include "isa/Select.h"
#include "isa/TensorBox.h"

#include <cstring>
#include <iterator>

using namespace nibble::emu;
using ptx::Type;

namespace {

/// refs[extra ..]: tensor map (base, offset), shared memory (2), mbarrier (2),
/// mask, then coordinates. sub[0]: dimensions. sub[1] bits: narrow
/// bases. sub[2]: flags below. target: reduction.
constexpr uint8_t kPairOfCtas = 1;

struct Operands {
  WideAddress map, shared, barrier;
  Ref mask;
  const Ref *coordinates;
};
Operands operandsOf(const Warp &w, const Inst &i) {
  const Ref *r = &w.code.refs[i.extra];
  return {{r[0], r[1], bool(i.sub[1] & 1)},
          {r[2], r[3], bool(i.sub[1] & 2)},
          {r[4], r[5], bool(i.sub[1] & 4)},
          r[6],
          r + 7};
}

TensorMap readMap(Warp &w, uint64_t address, int lane) {
  if (address % 64)
    w.fault("a tensor map must lie at a multiple of 64", lane);
  TensorMap map;
  const uint8_t *from =
      w.cta.resolve(w, Space::Generic, address, 64, false, lane);
  w.cta.resolve(w, Space::Generic, address + 64, 64, false, lane);
  std::memcpy(&map, from, sizeof map);
  if (map.mark != TensorMap::kMark)
    w.fault("what lies at the address of the tensor map is none", lane);
  return map;
}

std::vector<int32_t> coordinatesOf(Warp &w, const Operands &o, unsigned rank,
                                   unsigned lane) {
  std::vector<int32_t> coordinates;
  for (unsigned d = 0; d < rank; ++d)
    coordinates.push_back(w.lanes<int32_t>(o.coordinates[d])[lane]);
  return coordinates;
}

void checkRank(Warp &w, const TensorMap &map, unsigned dims, int lane) {
  if (map.rank != dims)
    w.fault("copies a tensor of " + std::to_string(dims) +
                " dimensions with a map of " + std::to_string(map.rank),
            lane);
}

/// First byte in global memory of element `i` of a row.
uint64_t byteOf(const TensorMap &map, uint64_t row, int64_t coordinate,
                int64_t i) {
  return row + uint64_t(coordinate + i) * map.bits() / 8;
}

/// Global memory of a row's elements; a fault with `place` if it is outside.
uint8_t *findRow(Cluster &cluster, const TensorMap &map,
                 const std::vector<int32_t> &at, uint64_t address,
                 uint64_t bytes, bool write, const std::string &place) {
  GlobalMemory &memory = *cluster.launch.memory;
  auto allocation = memory.find(address);
  if (!allocation || address + bytes > allocation->end)
    throw Fault{place + ": " + describeBox(memory, map, at) + ", reaches " +
                    std::to_string(bytes) + " bytes at " +
                    memory.describe(address) +
                    ": the tensor map does not fit the memory" +
                    (write ? " (stores write whole granules of 16 bytes)" : ""),
                FaultKind::Address};
  if (write && !allocation->writable)
    throw Fault{place + ": a tensor's box writes to " + allocation->name +
                    ", which is read-only",
                FaultKind::Address};
  (write ? cluster.counters.globalWritten : cluster.counters.globalRead) +=
      bytes;
  (write ? cluster.counters.copyWritten : cluster.counters.copyRead) += bytes;
  cluster.noteTraffic(address, uint32_t(bytes), write);
  return reinterpret_cast<uint8_t *>(address);
}

/// The mbarrier that each target signals. In a pair of CTAs (.cta_group::2) it
/// may be that of the other one: the parity of the rank decides.
std::vector<MBarrier *> signalled(Warp &w, const Inst &i,
                                  const std::vector<Cta *> &targets,
                                  const SharedPlace &where, bool multicast,
                                  int lane) {
  if (!(i.sub[2] & kPairOfCtas)) {
    if (!multicast && where.cta != targets[0])
      w.fault("copies into one CTA and signals an mbarrier of another without "
              ".cta_group::2",
              lane);
    return barriersOf(w, targets, where, multicast, lane);
  }
  std::vector<MBarrier *> barriers;
  for (Cta *target : targets) {
    unsigned rank = multicast ? (target->rank & ~1u) | (where.cta->rank & 1)
                              : where.cta->rank;
    if (rank / 2 != target->rank / 2)
      w.fault("the mbarrier belongs to another pair of CTAs", lane);
    SharedPlace place = where;
    place.cta = w.cta.cluster.ctas[rank].get();
    barriers.push_back(barriersOf(w, {place.cta}, place, false, lane)[0]);
  }
  return barriers;
}

void finishLoad(Cluster &cluster, const TensorMap &map,
                const std::vector<int32_t> &at,
                const std::vector<Cta *> &targets,
                const std::vector<MBarrier *> &barriers,
                const std::vector<Epoch> &epochs, uint32_t offset,
                const std::string &place) {
  std::vector<uint8_t> row(map.rowBytes());
  TensorBox(map, at.data())
      .forEachRow([&](uint32_t number, uint64_t address, int64_t from,
                      int64_t to) {
        const uint8_t *source = nullptr;
        if (from < to)
          source = findRow(cluster, map, at, byteOf(map, address, at[0], from),
                           uint64_t(to - from) * map.bits() / 8, false, place);
        fillRow(map, row.data(), source, from, to - from);
        for (Cta *cta : targets)
          scatterRow(*cta, map, offset, number, row.data());
      });
  for (size_t t = 0; t < targets.size(); ++t) {
    forEachPiece(map, offset, [&](uint32_t piece, uint32_t bytes) {
      endWrite(*targets[t], piece, bytes);
    });
    completeBytes(barriers[t], map.transactionBytes(), epochs[t], place);
  }
}

void load(Warp &w, const Inst &i, Lanes lanes) {
  Operands o = operandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    TensorMap map = readMap(w, o.map.of(w, l), int(l));
    unsigned dims = i.sub[0] & 7;
    checkRank(w, map, dims, int(l));
    std::vector<int32_t> at = coordinatesOf(w, o, dims, l);
    checkCoordinates(w, map, at, false, int(l));
    SharedPlace place = findSharedForRead(w, o.shared.of(w, l), int(l));
    SharedPlace where = findBarrierPlace(w, o.barrier.of(w, l), int(l));
    std::vector<Cta *> targets{place.cta};
    bool multicast = o.mask.valid();
    if (multicast)
      targets = maskedCtas(w, w.lanes<uint16_t>(o.mask)[l], int(l));
    auto barriers = signalled(w, i, targets, where, multicast, int(l));
    std::vector<Epoch> epochs = tickAll(w, barriers);
    for (size_t t = 0; t < targets.size(); ++t) {
      checkPlace(w, map, place.offset, *targets[t], int(l));
      forEachPiece(map, place.offset, [&](uint32_t piece, uint32_t bytes) {
        beginWrite(w, *targets[t], piece, bytes, int(l), epochs[t]);
      });
    }
    AsyncOp op;
    Cluster *cluster = &w.cta.cluster;
    op.complete = [=, text = w.place(int(l)), offset = place.offset] {
      finishLoad(*cluster, map, at, targets, barriers, epochs, offset, text);
    };
    w.cta.cluster.async.submit(std::move(op));
  });
}

//===--- Stores and reductions --------------------------------------------===

/// A store is an exchange whose old value nobody wants.
void writeRow(AtomicOp op, TensorType type, uint8_t *to, const uint8_t *from,
              uint64_t bytes) {
  static constexpr Type kTypes[] = {Type::U8,  Type::U16, Type::U32, Type::S32,
                                    Type::U64, Type::S64, Type::F16, Type::F32,
                                    Type::F64, Type::BF16};
  if (op == kExch)
    std::memcpy(to, from, bytes);
  else if (size_t(type) >= std::size(kTypes) ||
           !reduceElements(op, kTypes[size_t(type)], to, from, bytes))
    throw Fault{"tensors of this type have no such reduction"};
}

/// Where the tensor ends within 16 bytes, the rest of these is written too
/// (measured, for stores; reductions are taken to do the same).
int64_t granuleEnd(const TensorMap &map, int64_t coordinate, int64_t end) {
  int64_t unit = 16 * 8 / map.bits(), at = coordinate + end;
  return (at + unit - 1) / unit * unit - coordinate;
}

void finishStore(Cluster &cluster, const TensorMap &map,
                 const std::vector<int32_t> &at,
                 const std::vector<uint8_t> &box, AtomicOp op,
                 const std::string &place) {
  TensorBox(map, at.data())
      .forEachRow([&](uint32_t number, uint64_t address, int64_t from,
                      int64_t to) {
        if (from >= to)
          return;
        uint64_t bytes =
            uint64_t(granuleEnd(map, at[0], to) - from) * map.bits() / 8;
        uint8_t *target =
            findRow(cluster, map, at, byteOf(map, address, at[0], from), bytes,
                    true, place);
        writeRow(op, map.type, target,
                 &box[number * map.rowBytes() + size_t(from) * map.bits() / 8],
                 bytes);
      });
}

/// The rows of a box from shared memory, one behind the other.
void takeBox(Cta &cta, const TensorMap &map, uint32_t offset, uint8_t *box) {
  for (uint32_t row = 0; row < map.rowCount(); ++row)
    gatherRow(cta, map, offset, row, box + row * map.rowBytes());
  forEachPiece(map, offset, [&](uint32_t piece, uint32_t bytes) {
    endRead(cta, piece, bytes);
  });
}

void store(Warp &w, const Inst &i, Lanes lanes) {
  Operands o = operandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    TensorMap map = readMap(w, o.map.of(w, l), int(l));
    unsigned dims = i.sub[0] & 7;
    checkRank(w, map, dims, int(l));
    if (map.isPadded())
      w.fault("tensors of this type can only be loaded", int(l));
    std::vector<int32_t> at = coordinatesOf(w, o, dims, l);
    checkCoordinates(w, map, at, true, int(l));
    SharedPlace from = findSharedForRead(w, o.shared.of(w, l), int(l));
    checkPlace(w, map, from.offset, *from.cta, int(l));
    Epoch epoch = w.cta.cluster.races.tickCopies(w, true);
    forEachPiece(map, from.offset, [&](uint32_t piece, uint32_t bytes) {
      beginRead(w, *from.cta, piece, bytes, int(l), epoch);
    });
    auto box =
        std::make_shared<std::vector<uint8_t>>(map.rowCount() * map.rowBytes());
    Cluster *cluster = &w.cta.cluster;
    AsyncOp op;
    op.read = [=] { takeBox(*from.cta, map, from.offset, box->data()); };
    op.complete = [=, text = w.place(int(l)), how = AtomicOp(i.target)] {
      finishStore(*cluster, map, at, *box, how, text);
    };
    addToGroup(w, l, w.cta.cluster.async.submit(std::move(op)), true, epoch);
  });
}

void prefetched(Warp &w, const Inst &i, Lanes lanes) {
  Operands o = operandsOf(w, i);
  forLanes(lanes, [&](unsigned l) {
    checkRank(w, readMap(w, o.map.of(w, l), int(l)), i.sub[0] & 7, int(l));
  });
}

//===----------------------------------------------------------------------===//
// Decoding
//===----------------------------------------------------------------------===//

unsigned takeDims(Decoder &d) {
  int dims = d.words().takeOf({"1d", "2d", "3d", "4d", "5d"});
  if (dims < 0)
    d.error("names no number of dimensions");
  return unsigned(dims) + 1;
}

/// [map, {x, y, ..}]: the first part of the address, and the coordinates.
ptx::Operand mapOperand(Decoder &d, const ptx::Operand &operand, unsigned dims,
                        std::vector<Ref> &coordinates) {
  if (operand.kind != ptx::Operand::Kind::Address || operand.parts.size() != 2)
    d.error("expected [tensor map, {coordinates}]");
  const ptx::Operand &list = operand.parts[1];
  size_t n = list.kind == ptx::Operand::Kind::Vector ? list.parts.size() : 1;
  if (n != dims)
    d.error("has " + std::to_string(n) + " coordinates for " +
            std::to_string(dims) + " dimensions");
  for (size_t c = 0; c < n; ++c)
    coordinates.push_back(d.value(
        list.kind == ptx::Operand::Kind::Vector ? list.parts[c] : list, 4));
  ptx::Operand map = operand;
  map.parts.resize(1);
  return map;
}

void setOperands(Decoder &d, const ptx::Operand &map,
                 const ptx::Operand *shared, const ptx::Operand *barrier,
                 const ptx::Operand *mask, unsigned dims) {
  std::vector<Ref> refs, coordinates;
  ptx::Operand base = mapOperand(d, map, dims, coordinates);
  uint8_t &narrow = d.inst().sub[1];
  narrow |= addWideAddress(d, base, false, refs) ? 1 : 0;
  if (shared)
    narrow |= addWideAddress(d, *shared, true, refs) ? 2 : 0;
  refs.resize(4);
  if (barrier)
    narrow |= addWideAddress(d, *barrier, true, refs) ? 4 : 0;
  refs.resize(6);
  refs.push_back(mask ? d.value(*mask, 2) : Ref());
  refs.insert(refs.end(), coordinates.begin(), coordinates.end());
  d.inst().extra = d.addRefs(refs);
  d.inst().sub[0] = uint8_t(dims);
}

void takeMode(Decoder &d) {
  d.words().take("tile");
  for (std::string_view mode :
       {"im2col", "im2col_no_offs", "im2col::w", "im2col::w::128",
        "tile::gather4", "tile::scatter4"})
    if (d.words().has(mode))
      d.unsupported("mode ." + std::string(mode));
}

void decodeLoad(Decoder &d, unsigned dims) {
  d.words().takeOf({"shared::cluster", "shared::cta"});
  d.words().take("global");
  takeMode(d);
  d.words().take("mbarrier::complete_tx::bytes");
  bool multicast = d.words().take("multicast::cluster");
  int group = d.words().takeOf({"cta_group::1", "cta_group::2"});
  bool policy = d.words().take("L2::cache_hint");
  d.expectOperands(3 + multicast + policy, 3 + multicast + policy);
  setOperands(d, d.operand(1), &d.operand(0), &d.operand(2),
              multicast ? &d.operand(3) : nullptr, dims);
  d.inst().sub[2] = group == 1 ? kPairOfCtas : 0;
  d.inst().run = load;
}

void decodeStore(Decoder &d, unsigned dims, AtomicOp op) {
  d.words().take("global");
  d.words().take("shared::cta");
  takeMode(d);
  if (!d.words().take("bulk_group"))
    d.error("needs .bulk_group");
  bool policy = d.words().take("L2::cache_hint");
  d.expectOperands(2 + policy, 2 + policy);
  setOperands(d, d.operand(0), &d.operand(1), nullptr, nullptr, dims);
  d.inst().target = op;
  d.inst().run = store;
}

void decodePrefetch(Decoder &d, unsigned dims) {
  d.words().take("L2");
  d.words().take("global");
  takeMode(d);
  bool policy = d.words().take("L2::cache_hint");
  d.expectOperands(1 + policy, 1 + policy);
  setOperands(d, d.operand(0), nullptr, nullptr, nullptr, dims);
  d.inst().run = prefetched;
}

} // namespace

void nibble::emu::tensorCopy(Decoder &d, bool reduces) {
  bool prefetch = d.words().take("prefetch");
  unsigned dims = takeDims(d);
  if (prefetch)
    return decodePrefetch(d, dims);
  // Into shared memory the operand of an mbarrier is third.
  bool isLoad = !reduces && d.source().operands.size() > 1 &&
                d.operand(0).parts.size() == 1;
  if (isLoad)
    return decodeLoad(d, dims);
  int op =
      d.words().takeOf({"add", "min", "max", "inc", "dec", "and", "or", "xor"});
  if ((op >= 0) != reduces)
    d.error(reduces ? "names no operation" : "names an operation");
  decodeStore(d, dims, reduces ? AtomicOp(op) : kExch);
}
