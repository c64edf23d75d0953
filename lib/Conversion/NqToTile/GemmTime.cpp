// The time of a product by a schedule, predicted.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Conversion/NqToTile/GemmTime.h"

#include "GemmTiles.h"

using namespace nibble;
using llvm::divideCeil;

namespace {

/// K of one instruction is 32 bytes in all formats.
constexpr double kAtomBytes = 32;
/// Instructions: of 16 k of a row whose codes are expanded, and of an element
/// of gelu(gate) * up, and of one that is quantized in blocks.
constexpr double kLaneExpansion = 60, kActivation = 20, kBlockCodes = 16;
/// The last two where a thread has a row, and those of codes with one scale, as
/// the assembler wrote them for sm_110a (docs/thor-target.md).
constexpr double kRowActivation = 8, kE2M1Codes = 8, kMxCodes = 4,
                 kStaticCodes = 5.5;

/// Bytes of a stage in a block: what it loads of weights and of rows, and what
/// comes from the other block of a pair. Of a pair each has one half of the
/// rows on N, and loads one half of the scales for both. Scales come in tiles
/// of 128 rows.
struct Sides {
  double weights, rows, received;
  double scales; ///< of all these, which are copied on to tensor memory
};

Sides getSides(const GemmSchedule &s, const GemmShape &shape) {
  double scales = shape.scaleBlock ? shape.getTileK() / shape.scaleBlock : 0;
  double bytesOfWeight = shape.getWeightBytes(),
         bytesOfRow = shape.getRowBytes();
  double scalesOnN = getScaleTiles(s.tileN) * 128 * scales / (s.pair ? 2 : 1);
  auto onM = [&](double bytes) { return s.tileM * (bytes + scales); };
  auto onN = [&](double bytes) { return s.getLoadedN() * bytes + scalesOnN; };
  double weights = s.swapped ? onM(bytesOfWeight) : onN(bytesOfWeight);
  int64_t onNs = s.swapped ? 1 : shape.products;
  return {weights * shape.products,
          s.swapped ? onN(bytesOfRow) : onM(bytesOfRow),
          s.pair ? scalesOnN * onNs : 0,
          s.tileM * scales * (s.swapped ? shape.products : 1) +
              scalesOnN * onNs * (s.pair ? 2 : 1)};
}

/// Clocks and shared memory of the matrix unit: instructions of 64 rows on
/// Hopper, of 128 on Blackwell, by the columns of a tile, each for 32 bytes of
/// K, from shared memory but for an operand A that was expanded.
void countProducts(const GemmSchedule &s, const GemmShape &shape,
                   const TimeMachine &machine, TileWork &work) {
  double rows = shape.tensorMemory ? 128 : 64;
  double count = divideCeil(s.tileM, int64_t(rows)) * shape.products *
                 shape.getRowBytes() / kAtomBytes;
  work.tensorClocks = count * rows * s.tileN * 16 / machine.f16PerClock;
  // Blackwell reads A once for all products that have the same.
  double readA = shape.expandedBytes                ? 0
                 : shape.tensorMemory && !s.swapped ? rows / shape.products
                                                    : rows;
  work.sharedBytes += count * (s.getLoadedN() + readA) * kAtomBytes;
}

void countLoads(const GemmSchedule &s, const GemmShape &shape, TileWork &work) {
  Sides sides = getSides(s, shape);
  double weights = sides.weights, rows = sides.rows;
  // Blocks along M of a cluster share what lies on N, and reverse.
  double sharing[] = {double(s.clusterN), s.pair ? 1 : double(s.clusterM)};
  work.l2Bytes = weights / sharing[!s.swapped] + rows / sharing[s.swapped];
  work.sharedBytes += weights + rows + sides.received + sides.scales;
  if (shape.expandedBytes)
    work.sharedBytes += weights;
}

/// Of a block of K, of the warps that finish tiles beside the products of other
/// blocks: a multiply-add for two sums, what their scales take, and waiting.
double countPromotion(const GemmSchedule &s, const GemmShape &shape) {
  constexpr double kWaits = 80;
  double sums = double(s.tileN) * shape.products;
  return sums * (hasColumnScales(s, shape) ? 2.5 : 0.75) + kWaits;
}

/// Expansion of codes, and sums that are scaled: instructions as the assembler
/// wrote them for sm_90a (docs/gpu-target.md, docs/performance.md).
void countInstructions(const GemmSchedule &s, const GemmShape &shape,
                       TileWork &work) {
  double weights = (s.swapped ? s.tileM : s.tileN) * shape.products;
  double sums = double(s.tileM) * s.tileN * shape.products / 128;
  if (shape.expandedBytes && shape.tensorMemory)
    work.instructions =
        shape.getTileK() / 16.0 * weights / 128 * kLaneExpansion;
  else if (shape.expandedBytes)
    // A warpgroup by itself takes longer (measured on an H200).
    work.instructions =
        shape.getTileK() / 16.0 * std::max(82.0, weights / 64 * 28);
  if (shape.promotedK) {
    work.instructions += countPromotion(s, shape) / shape.getPromotedStages();
    return;
  }
  if (s.late)
    work.instructions += sums + 35 * s.getTeam();
  else if (shape.promotes)
    work.serial =
        sums * (shape.scaledColumns == 1 ? 2.5 : 1) + 56 * s.getTeam();
}

double countCodes(const GemmShape &shape) {
  if (!shape.tensorMemory)
    return shape.blockColumns ? kBlockCodes : 0;
  if (shape.blockColumns)
    return shape.packedResults ? kE2M1Codes : kMxCodes;
  return shape.getResultBytes() == 1 ? kStaticCodes : 0;
}

/// A scale and a conversion for each element; with two products, an activation
/// and a product.
void countEpilogue(const GemmSchedule &s, const GemmShape &shape,
                   TileWork &work) {
  double elements = double(s.tileM) * s.getPartN();
  double activation = shape.tensorMemory ? kRowActivation : kActivation;
  work.epilogue = elements / 128 *
                  (2 * shape.products + (shape.products > 1 ? activation : 0) +
                   countCodes(shape));
  work.storedBytes = elements * shape.getResultBytes();
  if (s.pingPong)
    work.epiloguesBeside = s.warpgroups;
  else if (shape.tensorMemory && !shape.promotedK && s.getAccStages(shape) > 1)
    work.epiloguesBeside = 1;
  if (s.splits > 1) {
    work.waits = true;
    work.exchange =
        double(s.tileM) * s.getPartN() * s.splits * shape.products * 4;
  }
}

double getDramBytes(const GemmShape &shape, const TimeMachine &machine) {
  double perK = (shape.getWeightBytes() +
                 (shape.scaleBlock ? shape.getTileK() / shape.scaleBlock : 0)) /
                double(shape.getTileK());
  if (shape.promotedBytes)
    perK += double(shape.promotedBytes) / double(shape.promotedK);
  double weights = double(shape.n) * shape.products * shape.k * perK;
  double others = double(shape.m) * shape.k * shape.operandBits / 8 +
                  double(shape.m) * shape.n * shape.getResultBytes();
  return weights + std::max(0.0, others - machine.l2MiB * (1 << 19));
}

} // namespace

TileWork nibble::getTileWork(const GemmSchedule &s, const GemmShape &shape,
                             const TimeMachine &machine) {
  TileWork work;
  work.tiles = countTiles(s, shape);
  work.tilesAtOnce = getWave(s, int64_t(machine.sms));
  work.steps = divideCeil(divideCeil(shape.k, shape.getTileK()), s.splits);
  work.stages = s.stages;
  countProducts(s, shape, machine, work);
  countLoads(s, shape, work);
  countInstructions(s, shape, work);
  countEpilogue(s, shape, work);
  work.dramBytes = getDramBytes(shape, machine);
  return work;
}

TileTime nibble::predictTime(const GemmSchedule &s, const GemmShape &shape,
                             const TimeMachine &machine) {
  return predictTiles(getTileWork(s, shape, machine), machine);
}

double nibble::estimateSeconds(const GemmSchedule &s, const GemmShape &shape,
                               int64_t multiprocessors) {
  llvm::StringRef target = "sm_90a";
  if (shape.tensorMemory)
    target = multiprocessors < 64 ? "sm_110a" : "sm_100a";
  const TimeMachine *machine = getTimeMachine(target);
  if (machine->sms == double(multiprocessors))
    return predictTime(s, shape, *machine).seconds;
  TimeMachine other = *machine;
  other.sms = double(multiprocessors);
  return predictTime(s, shape, other).seconds;
}

//===----------------------------------------------------------------------===//
// Rows
//===----------------------------------------------------------------------===//

std::optional<GemmShape> nibble::getRowShape(llvm::StringRef kernel,
                                             const GemmShape &sizes) {
  GemmShape shape = sizes;
  llvm::StringRef name = kernel;
  if (!name.consume_front("gemm."))
    return std::nullopt;
  shape.tensorMemory = name.consume_front("tcgen05.");
  if (!shape.tensorMemory && !name.consume_front("wgmma."))
    return std::nullopt;
  auto [format, rest] = name.split('.');
  shape.operandBits = format.ends_with("f16")      ? 16
                      : format.starts_with("mxf4") ? 4
                                                   : 8;
  if (format.starts_with("mxf"))
    shape.scaleBlock = format == "mxf4nvf4" ? 16 : 32;
  // Results of a byte or less are quantized as the operands are.
  if (shape.scaleBlock && shape.getResultBytes() == 1)
    shape.blockColumns = shape.scaleBlock;
  if (shape.blockColumns && shape.operandBits == 4) {
    shape.results.clear();
    shape.packedResults = 1;
  }
  if (rest == "block128") {
    shape.promotes = true;
    shape.scaledColumns = 128;
    shape.promotedK = shape.tensorMemory ? 128 : 0;
  } else if (rest.starts_with("expand")) {
    shape.expandedBits = rest.ends_with("8") ? 8 : 4;
    shape.tileK = 64;
    shape.expandedBytes = shape.expandedBits == 8 ? 64 : 32 + 64 / 16;
  } else if (rest == "promote32" && shape.tensorMemory) {
    shape.promotes = true;
    shape.expandedBits = 4;
    shape.tileK = shape.promotedK = 32;
    shape.expandedBytes = 16;
    shape.promotedBytes = 1;
  } else if (!rest.empty()) {
    return std::nullopt;
  }
  return shape;
}
