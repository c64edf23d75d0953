// Sizes of an attention kernel: how rows, keys and heads are cut into blocks.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "AttentionPlan.h"
#include "GemmEmitter.h"

using namespace mlir;

namespace nibble {
namespace cpu {

constexpr int64_t kTileRows = 6;
constexpr int64_t kMostTiles = 16;
/// Scores of a row block: long ones stream through the L2 cache, a row or some
/// keys of all rows at a time.
constexpr int64_t kScoreBytes = 768 << 10;
/// Keys and values of one head that are packed at a time; reading them from the
/// L3 cache costs less than packing them again for every row block.
constexpr int64_t kPackedBytes = 16 << 20;
/// Keys whose part of a panel of V stays in the L1 cache for all rows.
constexpr int64_t kGoodKeys = 256;
/// A tile's scores of more keys than this are no scratch any more.
constexpr int64_t kMostKeys = 1 << 18;
/// Columns that a block of the ops behind may have.
constexpr int64_t kMostColumns = 2048;
constexpr int64_t kThreads = 2;
/// Packing an element of K costs about as much as 8 rows that take it
/// unpacked; if it must be widened for every row, as 4.
constexpr int64_t kDirectRows = 8, kDirectNarrowRows = 4;

static RankedTensorType typeOf(Value value) {
  return cast<RankedTensorType>(value.getType());
}

static bool isFloat(Type type) {
  return type.isF32() || type.isF16() || type.isBF16();
}

static std::string describe(Type type) {
  std::string text;
  llvm::raw_string_ostream(text) << type;
  return text;
}

std::string whyNoAttention(nq::AttentionOp op) {
  for (Value value : {op.getQ(), op.getK(), op.getV(), op.getResult()}) {
    RankedTensorType type = typeOf(value);
    if (!isFloat(type.getElementType()))
      return "operands and results are f32, f16 or bf16, not " +
             describe(type.getElementType());
    if (nq::getLayout(type))
      return "an operand has a layout";
    if (type.getNumElements() == 0)
      return "there is nothing to compute";
  }
  if (Value mask = op.getMask()) {
    Type element = typeOf(mask).getElementType();
    if (!isFloat(element) && !element.isInteger(1))
      return "masks are f32, f16, bf16 or i1, not " + describe(element);
  }
  if (typeOf(op.getK()).getDimSize(2) > kMostKeys)
    return "scores of a few rows do not fit into the scratch";
  return "";
}

/// Strides of a mask over [B, Hq, S, T]; 0 where it repeats.
static SmallVector<int64_t, 4> broadcastStrides(ArrayRef<int64_t> shape) {
  SmallVector<int64_t, 4> strides(4, 0);
  int64_t stride = 1;
  for (size_t i = 1; i <= shape.size(); ++i) {
    int64_t extent = shape[shape.size() - i];
    strides[4 - i] = extent == 1 ? 0 : stride;
    stride *= extent;
  }
  return strides;
}

static int64_t roundUpBytes(int64_t floats) { return roundUp(floats * 4, 64); }

AttentionPlan::AttentionPlan(nq::AttentionOp op) : op(op) {
  ArrayRef<int64_t> q = typeOf(op.getQ()).getShape(),
                    v = typeOf(op.getV()).getShape();
  batch = q[0], heads = q[1], queries = q[2], depth = q[3];
  kvHeads = v[1], keys = v[2], width = v[3];
  scale = op.getScale().convertToDouble();
  softcap = op.getSoftcap().convertToDouble();
  causal = op.getCausal();
  shift = op.getBottomRight() ? keys - queries : 0;
  lengths = op.getLengths() ? typeOf(op.getLengths()).getNumElements() : 0;
  followsLength = lengths && op.getBottomRight();
  codes = op.getWeightCodes();
  if (op.getMask())
    maskStrides = broadcastStrides(typeOf(op.getMask()).getShape());

  panels = ceilDiv(keys, kPanelColumns);
  columns = roundUp(width, kPanelColumns);
  // Rows a multiple of the page apart would share sets of the L1 cache.
  pitch = panels * kPanelColumns + kPanelColumns;
  int64_t most =
      std::clamp<int64_t>(kScoreBytes / (pitch * 4 * kTileRows), 1, kMostTiles);

  int64_t group = heads / kvHeads;
  stack = 1;
  for (int64_t n = 2; n <= group; ++n)
    if (group % n == 0 && n * queries <= most * kTileRows &&
        n * width <= kMostColumns && batch * heads / n >= kThreads)
      stack = n;
  rows = stack * queries;
  tiles = ceilDiv(rows, kTileRows);
  tileRows = ceilDiv(rows, tiles);
  bigTiles = rows - tiles * (tileRows - 1);
  tilesPerBlock = ceilDiv(tiles, ceilDiv(tiles, most));
  int64_t stacks = batch * heads / stack;
  while (stack == 1 && tilesPerBlock > 1 &&
         stacks * ceilDiv(tiles, tilesPerBlock) < 2 * kThreads)
    tilesPerBlock = ceilDiv(tilesPerBlock, 2);
  rowBlocks = ceilDiv(tiles, tilesPerBlock);
  rowsPerBlock = std::min(rows, tilesPerBlock * tileRows);

  bool isWide = typeOf(op.getK()).getElementType().isF32() &&
                typeOf(op.getV()).getElementType().isF32();
  isDirect = rows <= (isWide ? kDirectRows : kDirectNarrowRows) &&
             depth % 8 == 0 && width % 8 == 0;

  int64_t panelBytes = kPanelColumns * (depth + columns) * 4;
  chunks = ceilDiv(panels, std::max<int64_t>(kPackedBytes / panelBytes, 1));
  panelsPerChunk = ceilDiv(panels, chunks);
  chunks = ceilDiv(panels, panelsPerChunk);

  int64_t packed = isDirect ? 0 : panelsPerChunk * kPanelColumns;
  int64_t pieces = std::max<int64_t>(keys / kGoodKeys, 1);
  keysPerSum = roundUp(ceilDiv(keys, pieces), 8);
  keysAt = typeOf(op.getQ()).getElementType().isF32()
               ? 0
               : roundUpBytes(rowsPerBlock * depth);
  valuesAt = keysAt + roundUpBytes(packed * depth);
  scoresAt = valuesAt + roundUpBytes(packed * columns);
  sumsAt = scoresAt + roundUpBytes(rowsPerBlock * pitch);
  scratchBytes = sumsAt + roundUpBytes(rowsPerBlock * columns);
}

} // namespace cpu
} // namespace nibble
