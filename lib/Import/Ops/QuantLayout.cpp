// Deduction of block shapes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "QuantLayout.h"

#include "llvm/Support/MathExtras.h"

using namespace mlir;
using namespace nibble::onnx;

static constexpr int64_t full = ShapedType::kDynamic;

static int64_t countOf(ArrayRef<int64_t> shape) {
  return ShapedType::getNumElements(shape);
}

SmallVector<int64_t> nibble::onnx::getTypeBlocks(const BlockLayout &layout) {
  ArrayRef<int64_t> blocks = layout.blocks;
  while (blocks.size() > 2 && blocks.front() == 1)
    blocks = blocks.drop_front();
  return SmallVector<int64_t>(blocks);
}

/// Grid of scales of explicit blocks.
static Shape getGrid(ArrayRef<int64_t> x, ArrayRef<int64_t> blocks) {
  Shape grid;
  for (auto [dim, block] : llvm::zip(x, blocks))
    grid.push_back(block == full ? (dim ? 1 : 0)
                                 : int64_t(llvm::divideCeil(dim, block)));
  return grid;
}

static std::string describe(ArrayRef<int64_t> x, ArrayRef<int64_t> scale) {
  return "scales " + toString(scale) + " do not fit a tensor of shape " +
         toString(x);
}

//===----------------------------------------------------------------------===//
// Per axis
//===----------------------------------------------------------------------===//

/// The dimension that a vector of `length` scales runs along.
static FailureOr<int64_t> findAxis(NodeContext &n, ArrayRef<int64_t> x,
                                   int64_t length,
                                   std::optional<int64_t> said) {
  int64_t rank = x.size();
  int64_t axis = said.value_or(1);
  axis += axis < 0 ? rank : 0;
  if (axis >= 0 && axis < rank && x[axis] == length)
    return axis;
  SmallVector<int64_t> candidates;
  for (int64_t d = 0; d < rank; ++d)
    if (x[d] == length)
      candidates.push_back(d);
  if (candidates.size() != 1)
    return n.fail(describe(x, length) + " along axis " + Twine(axis) +
                  "; one scale per index of that axis is needed");
  if (said && rank > 1)
    n.warn("axis " + Twine(*said) + " contradicts the " + Twine(length) +
           " scales of a tensor of shape " + toString(x) +
           "; following the shapes: axis " + Twine(candidates[0]));
  return candidates[0];
}

static BlockLayout makePerAxis(ArrayRef<int64_t> x, int64_t axis) {
  BlockLayout layout;
  layout.blocks.assign(x.size(), full);
  layout.blocks[axis] = 1;
  layout.grid.assign(x.size(), 1);
  layout.grid[axis] = x[axis];
  return layout;
}

//===----------------------------------------------------------------------===//
// Blocked
//===----------------------------------------------------------------------===//

/// Block extent such that ceil(dim / block) == count; 0 if the shapes leave
/// several choices and none is a power of two alone.
static int64_t deduceBlock(int64_t dim, int64_t count) {
  if (count == dim)
    return 1;
  if (count == 1)
    return full;
  if (count < 1 || count > dim)
    return 0;
  if (dim % count == 0)
    return dim / count;
  int64_t low = llvm::divideCeil(dim, count);
  int64_t high = int64_t(llvm::divideCeil(dim, count - 1)) - 1;
  int64_t found = 0;
  for (int64_t block = low; block <= high; ++block)
    if (low == high || llvm::isPowerOf2_64(block)) {
      if (found)
        return 0;
      found = block;
    }
  return found;
}

/// True if blocks of `size` along `axis` alone give the grid `scale`.
static bool fitsAxis(ArrayRef<int64_t> x, ArrayRef<int64_t> scale, int64_t axis,
                     int64_t size) {
  for (int64_t d = 0, rank = x.size(); d < rank; ++d)
    if (scale[d] != (d == axis ? int64_t(llvm::divideCeil(x[d], size)) : x[d]))
      return false;
  return true;
}

/// The one axis along which blocks of `size` fit; -1 if there is none.
static int64_t findBlockedAxis(ArrayRef<int64_t> x, ArrayRef<int64_t> scale,
                               int64_t size) {
  // The last axis first: that is where weights [N, K] are blocked.
  for (int64_t d = x.size(); d-- > 0;)
    if (fitsAxis(x, scale, d, size))
      return d;
  return -1;
}

static BlockLayout makeBlocked(ArrayRef<int64_t> x, int64_t axis,
                               int64_t size) {
  BlockLayout layout;
  layout.blocks.assign(x.size(), 1);
  layout.blocks[axis] = size;
  layout.grid = getGrid(x, layout.blocks);
  return layout;
}

static FailureOr<BlockLayout> deduceBlocked(NodeContext &n, ArrayRef<int64_t> x,
                                            ArrayRef<int64_t> scale,
                                            LayoutAttrs attrs) {
  int64_t rank = x.size(), axis = attrs.axis.value_or(rank - 1);
  axis += axis < 0 ? rank : 0;
  if (attrs.blockSize > 0) {
    if (fitsAxis(x, scale, axis, attrs.blockSize))
      return makeBlocked(x, axis, attrs.blockSize);
    int64_t other = findBlockedAxis(x, scale, attrs.blockSize);
    if (other < 0)
      return n.fail(describe(x, scale) + " in blocks of " +
                    Twine(attrs.blockSize) +
                    "; there must be ceil(elements / block_size) scales along "
                    "one axis and one per index of the others");
    if (attrs.axis)
      n.warn("axis " + Twine(*attrs.axis) + " contradicts scales " +
             toString(scale) + " of a tensor of shape " + toString(x) +
             "; following the shapes: axis " + Twine(other));
    return makeBlocked(x, other, attrs.blockSize);
  }
  BlockLayout layout;
  for (auto [dim, count] : llvm::zip(x, scale)) {
    layout.blocks.push_back(deduceBlock(dim, count));
    if (layout.blocks.back() == 0)
      return n.fail(describe(x, scale) +
                    "; per dimension there must be one scale, as many as "
                    "elements, or ceil(elements / block_size)");
  }
  layout.grid = getGrid(x, layout.blocks);
  return layout;
}

/// R11: a block_size that the shapes do not show is not followed.
static void warnOfBlockSize(NodeContext &n, LayoutAttrs attrs,
                            const Twine &instead) {
  if (attrs.blockSize > 0)
    n.warn("block_size " + Twine(attrs.blockSize) +
           " contradicts the shape of the scales; following the shapes: " +
           instead);
}

FailureOr<BlockLayout> nibble::onnx::deduceLayout(NodeContext &n,
                                                  ArrayRef<int64_t> x,
                                                  ArrayRef<int64_t> scale,
                                                  LayoutAttrs attrs) {
  if (attrs.blockSize < 0)
    return n.fail("block_size " + Twine(attrs.blockSize) + " is negative");
  bool blocked = attrs.blockSize > 0 && scale.size() == x.size();
  if (attrs.axis && !x.empty() && scale.size() == 1 && scale[0] == 1)
    attrs.axis.reset(); // per tensor: no axis is meant
  if (attrs.axis && !x.empty() && !scale.empty() &&
      failed(n.normalizeAxis(*attrs.axis, x.size())))
    return failure();
  // A single block is still a block if the file says so: [1, 16] of NVFP4.
  bool oneBlock = blocked && findBlockedAxis(x, scale, attrs.blockSize) >= 0;
  if (countOf(scale) == 1 && !oneBlock) {
    warnOfBlockSize(n, attrs, "one scale for the tensor");
    return BlockLayout();
  }
  if (scale.size() == 1 && !blocked) {
    auto axis = findAxis(n, x, scale[0], attrs.axis);
    if (failed(axis))
      return failure();
    warnOfBlockSize(n, attrs, "one scale per index of axis " + Twine(*axis));
    return makePerAxis(x, *axis);
  }
  if (scale.size() != x.size())
    return n.fail(describe(x, scale) + ": they have " + Twine(scale.size()) +
                  " dimensions; 0, 1 or " + Twine(x.size()) + " are possible");
  return deduceBlocked(n, x, scale, attrs);
}

FailureOr<BlockLayout> nibble::onnx::makeBlockedLayout(NodeContext &n,
                                                       ArrayRef<int64_t> x,
                                                       int64_t axis,
                                                       int64_t blockSize) {
  auto normalized = n.normalizeAxis(axis, x.size());
  if (failed(normalized))
    return failure();
  if (blockSize < 1)
    return n.fail("block_size " + Twine(blockSize) + " is not positive");
  return makeBlocked(x, *normalized, blockSize);
}

FailureOr<BlockLayout> nibble::onnx::makeLayout(NodeContext &n,
                                                ArrayRef<int64_t> x,
                                                ArrayRef<int64_t> blockShape) {
  if (blockShape.size() != x.size())
    return n.fail("block_shape " + toString(blockShape) +
                  " does not fit a tensor of shape " + toString(x));
  BlockLayout layout;
  for (int64_t extent : blockShape) {
    if (extent < 1 && extent != -1)
      return n.fail("block_shape " + toString(blockShape) +
                    " has an extent that is neither positive nor -1");
    layout.blocks.push_back(extent == -1 ? full : extent);
  }
  layout.grid = getGrid(x, layout.blocks);
  if (llvm::all_of(layout.blocks, [](int64_t b) { return b == full; }))
    return BlockLayout();
  return layout;
}
