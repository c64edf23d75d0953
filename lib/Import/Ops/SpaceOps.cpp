// Rearrangements of images: DepthToSpace, SpaceToDepth, Col2Im.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Indexing.h"
#include "Ops.h"

using namespace mlir;
using namespace nibble::onnx;

//===----------------------------------------------------------------------===//
// Depth and space
//===----------------------------------------------------------------------===//

static FailureOr<int64_t> getBlock(NodeContext &n, Tensor x) {
  auto block = n.requireIntAttr("blocksize");
  if (failed(block))
    return failure();
  if (x.rank() != 4)
    return n.fail("input " + toString(x.shape()) + " is not [N, C, H, W]");
  if (*block < 1 || *block > (int64_t(1) << 20))
    return n.fail("blocksize " + Twine(*block) + " is not possible");
  std::string mode = n.stringAttr("mode", "DCR");
  if (mode != "DCR" && mode != "CRD")
    return n.fail("mode '" + mode + "' is not DCR or CRD");
  return *block;
}

static LogicalResult importDepthToSpace(NodeContext &n) {
  Tensor x = n.input(0);
  auto block = getBlock(n, x);
  if (failed(block))
    return failure();
  int64_t b = *block, c = x.dim(1) / (b * b), h = x.dim(2), w = x.dim(3);
  if (c * b * b != x.dim(1))
    return n.fail("channels " + Twine(x.dim(1)) +
                  " are not a multiple of blocksize^2");
  bool depthFirst = n.stringAttr("mode", "DCR") == "DCR";
  Shape split = depthFirst ? Shape{x.dim(0), b, b, c, h, w}
                           : Shape{x.dim(0), c, b, b, h, w};
  Shape perm = depthFirst ? Shape{0, 3, 4, 1, 5, 2} : Shape{0, 1, 4, 2, 5, 3};
  Tensor y = n.build.transpose(n.build.reshape(x, split), perm);
  return n.setOutput(0, n.build.reshape(y, {x.dim(0), c, h * b, w * b}));
}

static LogicalResult importSpaceToDepth(NodeContext &n) {
  Tensor x = n.input(0);
  auto block = getBlock(n, x);
  if (failed(block))
    return failure();
  int64_t b = *block, c = x.dim(1), h = x.dim(2) / b, w = x.dim(3) / b;
  if (h * b != x.dim(2) || w * b != x.dim(3))
    return n.fail("height and width of " + toString(x.shape()) +
                  " are not multiples of blocksize");
  bool depthFirst = n.stringAttr("mode", "DCR") == "DCR";
  Shape perm = depthFirst ? Shape{0, 3, 5, 1, 2, 4} : Shape{0, 1, 3, 5, 2, 4};
  Tensor y =
      n.build.transpose(n.build.reshape(x, {x.dim(0), c, h, b, w, b}), perm);
  return n.setOutput(0, n.build.reshape(y, {x.dim(0), c * b * b, h, w}));
}

//===----------------------------------------------------------------------===//
// Col2Im
//===----------------------------------------------------------------------===//

namespace {
struct Col2ImDims {
  Shape image, block, strides, dilations, pads, blocks;
};
} // namespace

static FailureOr<Col2ImDims> getCol2ImDims(NodeContext &n, Tensor x) {
  auto image = n.requireInts(1, "image_shape");
  auto block = n.requireInts(2, "block_shape");
  if (failed(image) || failed(block))
    return failure();
  size_t rank = image->size();
  Col2ImDims d{Shape(*image),
               Shape(*block),
               Shape(n.intsAttr("strides").value_or(Shape(rank, 1))),
               Shape(n.intsAttr("dilations").value_or(Shape(rank, 1))),
               Shape(n.intsAttr("pads").value_or(Shape(2 * rank, 0))),
               {}};
  bool fits = x.rank() == 3 && d.block.size() == rank &&
              d.strides.size() == rank && d.dilations.size() == rank &&
              d.pads.size() == 2 * rank;
  auto isSmall = [](int64_t v) { return v >= 0 && v < (int64_t(1) << 31); };
  for (ArrayRef<int64_t> list :
       {ArrayRef<int64_t>(d.image), ArrayRef<int64_t>(d.block),
        ArrayRef<int64_t>(d.strides), ArrayRef<int64_t>(d.dilations),
        ArrayRef<int64_t>(d.pads)})
    fits = fits && llvm::all_of(list, isSmall);
  for (size_t i = 0; fits && i < rank; ++i) {
    fits = d.strides[i] > 0 && d.block[i] > 0;
    int64_t room = d.image[i] + d.pads[i] + d.pads[rank + i] -
                   d.dilations[i] * (d.block[i] - 1) - 1;
    fits = fits && room >= 0;
    d.blocks.push_back(fits ? room / d.strides[i] + 1 : 0);
  }
  if (fits && !exceeds(d.block, 1 << 30) && x.dim(1) % product(d.block) == 0 &&
      x.dim(2) == product(d.blocks))
    return d;
  return n.fail("input " + toString(x.shape()) +
                " does not hold the blocks of image_shape " + toString(*image) +
                " and block_shape " + toString(*block));
}

/// Every pixel sums the elements of all blocks that cover it.
static LogicalResult importCol2Im(NodeContext &n) {
  Tensor x = n.input(0);
  auto dims = getCol2ImDims(n, x);
  if (failed(dims))
    return failure();
  const Col2ImDims &d = *dims;
  size_t rank = d.image.size();
  int64_t channels = x.dim(1) / product(d.block);
  Shape split{x.dim(0), channels};
  llvm::append_range(split, d.block);
  llvm::append_range(split, d.blocks);
  Tensor columns = n.build.reshape(x, split);
  Shape space{x.dim(0), channels};
  llvm::append_range(space, d.image);
  llvm::append_range(space, d.block);
  ElemType acc = getAccumulator(x.type);
  Tensor y = n.build.reduceLoops(
      space, rank + 2, acc, 0, [&](ScalarBuilder &s, ValueRange at, Value sum) {
        ScalarBuilder i = asSigned(s);
        SmallVector<Value> from(at.take_front(2)), blocks;
        llvm::append_range(from, at.take_back(rank));
        Value hit;
        for (size_t r = 0; r < rank; ++r) {
          // pixel + pad = block * stride + offset * dilation
          Value offset = i.mul(at[2 + rank + r], i.index(d.dilations[r]));
          Value place = i.sub(i.add(at[2 + r], i.index(d.pads[r])), offset);
          Value stride = i.index(d.strides[r]);
          Value block = i.div(place, stride);
          Value ok = i.bitAnd(i.eq(i.mul(block, stride), place),
                              inRange(s, block, 0, d.blocks[r]));
          ok = i.bitAnd(ok, i.ge(place, i.index(0)));
          hit = hit ? i.bitAnd(hit, ok) : ok;
          from.push_back(clampIndex(s, block, d.blocks[r]));
        }
        Value value = s.convert(s.load(columns, from), sum.getType(),
                                s.unsignedInts, s.unsignedInts);
        return s.select(hit, s.add(sum, value), sum);
      });
  return n.setOutput(0, n.build.cast(y, x.type));
}

void nibble::onnx::registerSpaceOps(OpRegistry &r) {
  r.add("", "DepthToSpace", importDepthToSpace);
  r.add("", "SpaceToDepth", importSpaceToDepth);
  r.add("", "Col2Im", importCol2Im, 3);
}
