// Constants joined along one dimension: codes, scales, zero points.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "JoinConstants.h"
#include "../Canonical/ConstantData.h"

#include "mlir/Dialect/Arith/IR/Arith.h"
#include "mlir/IR/AsmState.h"
#include "mlir/IR/DialectResourceBlobManager.h"

using namespace mlir;
using namespace nibble;
using fuse::ConstantParts;

std::optional<ConstantParts> ConstantParts::of(Value value) {
  auto type = dyn_cast<RankedTensorType>(value.getType());
  Operation *op = value.getDefiningOp();
  if (auto constant = dyn_cast_if_present<nq::ConstantOp>(op))
    return ConstantParts{type, constant.getCodes(),
                         constant.getScales().value_or(ElementsAttr()),
                         constant.getGlobal().value_or(ElementsAttr()),
                         constant.getZeroPoints().value_or(ElementsAttr())};
  ElementsAttr data;
  if (auto constant = dyn_cast_if_present<arith::ConstantOp>(op))
    data = dyn_cast<ElementsAttr>(constant.getValue());
  if (!data || !type)
    return std::nullopt;
  return ConstantParts{type, data, {}, {}, {}};
}

Value ConstantParts::create(OpBuilder &builder, Location loc) const {
  return nq::ConstantOp::create(builder, loc, type, codes, scales, global,
                                zeroPoints);
}

//===----------------------------------------------------------------------===//
// Bytes
//===----------------------------------------------------------------------===//

namespace {
/// One part of a joined array: `run` elements that lie together, `times` of
/// them for every index of the dimensions in front. With `isRepeated`, the part
/// is one element, `run` times.
struct Piece {
  ElementsAttr data;
  int64_t run;
  bool isRepeated = false;
};

class Joiner {
public:
  Joiner(ArrayRef<Piece> pieces, int64_t outer, unsigned bits)
      : pieces(pieces), outer(outer), bits(bits) {}

  /// Null if a resource has no data.
  ElementsAttr run(RankedTensorType type) {
    int64_t elements = 0;
    for (const Piece &piece : pieces)
      elements += outer * piece.run;
    blob = HeapAsmResourceBlob::allocate(llvm::divideCeil(elements * bits, 8),
                                         64, /*dataIsMutable=*/true);
    to = blob.getMutableData().data();
    std::fill_n(to, blob.getData().size(), 0);
    int64_t first = 0;
    for (const Piece &piece : pieces) {
      SmallVector<char> scratch;
      auto bytes = nq::getRawBytes(piece.data, scratch);
      if (failed(bytes))
        return {};
      for (int64_t i = 0; i < outer; ++i)
        copy(piece, bytes->data(), i * piece.run, first + i * rowOf());
      first += piece.run;
    }
    return DenseResourceElementsAttr::get(type, nameOf(pieces.front().data),
                                          std::move(blob));
  }

private:
  int64_t rowOf() const {
    int64_t row = 0;
    for (const Piece &piece : pieces)
      row += piece.run;
    return row;
  }

  void copy(const Piece &piece, const char *from, int64_t first, int64_t at) {
    if (bits == 4)
      return copyNibbles(piece, from, first, at);
    int64_t size = bits / 8;
    if (!piece.isRepeated) {
      std::memcpy(to + at * size, from + first * size, piece.run * size);
      return;
    }
    for (int64_t i = 0; i < piece.run; ++i)
      std::memcpy(to + (at + i) * size, from, size);
  }

  /// Element 2i is in the low half of a byte.
  void copyNibbles(const Piece &piece, const char *from, int64_t first,
                   int64_t at) {
    if (first % 2 == 0 && at % 2 == 0 && piece.run % 2 == 0) {
      std::memcpy(to + at / 2, from + first / 2, piece.run / 2);
      return;
    }
    for (int64_t i = 0; i < piece.run; ++i) {
      char code = (from[(first + i) / 2] >> ((first + i) % 2 * 4)) & 15;
      to[(at + i) / 2] |= code << ((at + i) % 2 * 4);
    }
  }

  static std::string nameOf(ElementsAttr data) {
    auto resource = dyn_cast<DenseResourceElementsAttr>(data);
    return (resource ? resource.getRawHandle().getKey().str() : "constant") +
           ".joined";
  }

  ArrayRef<Piece> pieces;
  int64_t outer;
  unsigned bits;
  AsmResourceBlob blob;
  char *to = nullptr;
};

int64_t countBefore(ArrayRef<int64_t> shape, int64_t dim) {
  return ShapedType::getNumElements(shape.take_front(dim));
}
int64_t countFrom(ArrayRef<int64_t> shape, int64_t dim) {
  return ShapedType::getNumElements(shape.drop_front(dim));
}

//===----------------------------------------------------------------------===//
// Constants
//===----------------------------------------------------------------------===//

class ConstantJoin {
public:
  ConstantJoin(ArrayRef<ConstantParts> parts, int64_t dim)
      : parts(parts), dim(dim), first(parts.front()),
        scaled(nq::getScaledElement(first.type)) {}

  std::string whyNot() const {
    for (const ConstantParts &part : parts)
      if (std::string why = whyNot(part); !why.empty())
        return why;
    if (!scaled && !llvm::is_contained({8u, 16u, 32u, 64u}, plainBits()))
      return "elements of " + std::to_string(plainBits()) + " bits";
    return scaled ? whyNotBlocks() : "";
  }

  std::optional<ConstantParts> run(std::string &why) {
    SmallVector<int64_t> shape(first.type.getShape());
    shape[dim] = 0;
    for (const ConstantParts &part : parts)
      shape[dim] += part.type.getDimSize(dim);
    ConstantParts joined;
    joined.type = RankedTensorType::get(shape, getElement());
    joined.global = first.global;
    joined.codes = joinCodes(joined.type);
    if (scaled)
      joinScales(joined);
    bool isLoaded = joined.codes && bool(joined.scales) == bool(first.scales) &&
                    bool(joined.zeroPoints) == bool(first.zeroPoints);
    if (!isLoaded)
      why = "the data of a constant is not loaded";
    return isLoaded ? std::optional(joined) : std::nullopt;
  }

private:
  unsigned plainBits() const {
    Type element = first.type.getElementType();
    return element.isIntOrFloat() ? element.getIntOrFloatBitWidth() : 0;
  }

  std::string whyNot(const ConstantParts &part) const {
    if (part.type.getElementType() != first.type.getElementType())
      return "the weights have different formats";
    if (part.type.getEncoding())
      return "a weight has a layout of its own";
    for (auto [d, extent] : llvm::enumerate(part.type.getShape()))
      if (int64_t(d) != dim && extent != first.type.getDimSize(d))
        return "the weights have different shapes";
    if (part.global && !hasSameBytes(part.global, first.global))
      return "their global scales differ: a tensor has one, which is part of "
             "the scale of each block, rounded";
    return "";
  }

  int64_t blockOf(const ConstantParts &part) const {
    return scaled.getBlockFor(part.type.getShape())[dim];
  }

  std::string whyNotBlocks() const {
    if (scaled.isPerTensor())
      return "";
    for (const ConstantParts &part : parts.drop_back())
      if (part.type.getDimSize(dim) % blockOf(part))
        return "a block of scales would lie in two weights";
    for (const ConstantParts &part : parts)
      if (blockOf(part) != blockOf(first) ||
          ShapedType::isDynamic(scaled.getBlock()[scaled.getBlock().size() -
                                                  first.type.getRank() + dim]))
        return "a scale serves all columns of a weight, and part of K";
    return "";
  }

  /// One scale per tensor, and not the same in all.
  bool becomesChannels() const {
    if (!scaled || !scaled.isPerTensor())
      return false;
    return !llvm::all_of(parts, [&](const ConstantParts &part) {
      return hasSameBytes(part.scales, first.scales) &&
             (!part.zeroPoints ||
              hasSameBytes(part.zeroPoints, first.zeroPoints));
    });
  }

  Type getElement() const {
    if (!becomesChannels())
      return first.type.getElementType();
    SmallVector<int64_t> block(first.type.getRank(), ShapedType::kDynamic);
    block[dim] = 1;
    return nq::ScaledType::get(first.type.getContext(), scaled.getStorage(),
                               scaled.getScale(), block, scaled.getGlobal(),
                               scaled.getZeroPoint());
  }

  static RankedTensorType bytesType(MLIRContext *context, int64_t count) {
    return RankedTensorType::get({count}, IntegerType::get(context, 8));
  }

  ElementsAttr joinCodes(RankedTensorType type) {
    SmallVector<Piece> pieces;
    for (const ConstantParts &part : parts)
      pieces.push_back({part.codes, countFrom(part.type.getShape(), dim)});
    RankedTensorType data = type;
    if (scaled)
      data = bytesType(type.getContext(), scaled.getCodeBytes(type.getShape()));
    return Joiner(pieces, countBefore(type.getShape(), dim),
                  scaled ? scaled.getStorageBits() : plainBits())
        .run(data);
  }

  void joinScales(ConstantParts &joined) {
    if (scaled.isPerTensor() && !becomesChannels()) {
      joined.scales = first.scales;
      joined.zeroPoints = first.zeroPoints;
      return;
    }
    joined.scales = joinGrid(joined, &ConstantParts::scales,
                             scaled.getScale().getIntOrFloatBitWidth());
    if (first.zeroPoints)
      joined.zeroPoints = joinGrid(joined, &ConstantParts::zeroPoints, 8);
  }

  /// One value per block.
  ElementsAttr joinGrid(const ConstantParts &joined,
                        ElementsAttr ConstantParts::*field, unsigned bits) {
    bool repeats = becomesChannels();
    SmallVector<Piece> pieces;
    for (const ConstantParts &part : parts) {
      ArrayRef<int64_t> shape = part.type.getShape();
      int64_t run =
          repeats ? shape[dim] : countFrom(scaled.getScaleGrid(shape), dim);
      pieces.push_back({part.*field, run, repeats});
    }
    auto element = nq::getScaledElement(joined.type);
    SmallVector<int64_t> grid = element.getScaleGrid(joined.type.getShape());
    int64_t count = ShapedType::getNumElements(grid);
    return Joiner(pieces, repeats ? 1 : countBefore(grid, dim), bits)
        .run(bytesType(joined.type.getContext(), count * bits / 8));
  }

  ArrayRef<ConstantParts> parts;
  int64_t dim;
  const ConstantParts &first;
  nq::ScaledType scaled;
};
} // namespace

std::optional<ConstantParts>
fuse::joinConstants(ArrayRef<Value> parts, int64_t dim, std::string &why) {
  SmallVector<ConstantParts> read;
  for (Value value : parts) {
    std::optional<ConstantParts> part = ConstantParts::of(value);
    if (!part ||
        part->type.getRank() !=
            cast<RankedTensorType>(parts.front().getType()).getRank()) {
      why = "a weight is no constant, or of another rank";
      return std::nullopt;
    }
    read.push_back(*part);
  }
  ConstantJoin join(read, dim);
  why = join.whyNot();
  return why.empty() ? join.run(why) : std::nullopt;
}
