// Packs constants into their layout, piece by piece.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Engine/PackLayout.h"

#include <cstring>

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using nibble::rt::Status;

namespace {

/// Collects elements and hands them on a mebibyte at a time.
class PackedStream {
public:
  PackedStream(unsigned bits, const AppendBytes &append)
      : bits(bits), append(append) {
    buffer.reserve(kChunk + 16);
  }

  void putNibble(unsigned code) {
    if (!halfFull)
      buffer.push_back(code);
    else
      buffer.back() |= code << 4;
    halfFull = !halfFull;
  }
  void putBytes(const char *data, size_t size) {
    buffer.insert(buffer.end(), data, data + size);
  }
  /// Between elements of different rows of the innermost digit.
  Status flushIfFull() {
    return buffer.size() >= kChunk && !halfFull ? flush() : Status();
  }
  Status flush() {
    Status status = append(buffer.data(), buffer.size());
    buffer.clear();
    return status;
  }
  const unsigned bits;

private:
  static constexpr size_t kChunk = 1 << 20;
  const AppendBytes &append;
  std::vector<char> buffer;
  bool halfFull = false;
};

/// One digit of the layout in storage order.
struct Digit {
  int64_t dim;    ///< logical dimension it is part of
  int64_t weight; ///< what one step adds to the index of that dimension
  int64_t extent;
};

/// Walks all storage positions, slowest digit first.
class LayoutWalker {
public:
  LayoutWalker(ArrayRef<char> linear, ArrayRef<int64_t> shape,
               LayoutAttr layout, PackedStream &stream)
      : linear(linear), shape(shape), stream(stream), index(shape.size(), 0),
        strides(shape.size(), 1) {
    for (size_t i = shape.size(); i > 1; --i)
      strides[i - 2] = strides[i - 1] * shape[i - 1];
    SmallVector<Digit> numbered;
    SmallVector<int64_t> extents = layout.getDigitExtents(shape);
    for (auto [dim, tile] : llvm::enumerate(layout.getTiles())) {
      int64_t weight = 1;
      for (int64_t factor : tile.asArrayRef())
        weight *= factor;
      numbered.push_back({int64_t(dim), weight, extents[numbered.size()]});
      for (int64_t factor : tile.asArrayRef()) {
        weight /= factor;
        numbered.push_back({int64_t(dim), weight, factor});
      }
    }
    for (int64_t digit : layout.getOrder())
      digits.push_back(numbered[digit]);
  }

  Status walk(size_t level = 0) {
    if (level + 1 >= digits.size()) {
      innermost();
      return stream.flushIfFull();
    }
    const Digit &digit = digits[level];
    for (int64_t i = 0; i < digit.extent; ++i) {
      if (Status status = walk(level + 1); !status.ok())
        return status;
      index[digit.dim] += digit.weight;
    }
    index[digit.dim] -= digit.extent * digit.weight;
    return Status();
  }

private:
  /// The innermost digit: `valid` of its positions hold elements, a stride
  /// apart; the rest is padding.
  void innermost() {
    Digit digit = digits.empty() ? Digit{-1, 0, 1} : digits.back();
    int64_t offset = 0;
    bool inside = true;
    for (size_t d = 0; d < shape.size(); ++d) {
      offset += index[d] * strides[d];
      inside &= index[d] < shape[d];
    }
    int64_t valid = digit.extent, stride = 0;
    if (digit.dim >= 0) {
      int64_t room = shape[digit.dim] - index[digit.dim];
      valid =
          std::min<int64_t>(valid, llvm::divideCeil(std::max<int64_t>(room, 0),
                                                    uint64_t(digit.weight)));
      stride = digit.weight * strides[digit.dim];
    }
    if (!inside)
      valid = 0;
    put(offset, stride, valid, digit.extent);
  }

  void put(int64_t offset, int64_t stride, int64_t valid, int64_t extent) {
    if (stream.bits == 4) {
      for (int64_t i = 0; i < valid; ++i, offset += stride)
        stream.putNibble((uint8_t(linear[offset / 2]) >> (4 * (offset & 1))) &
                         15);
      for (int64_t i = valid; i < extent; ++i)
        stream.putNibble(0);
      return;
    }
    size_t size = stream.bits / 8;
    const char *source = linear.data() + offset * size;
    if (stride == 1) {
      stream.putBytes(source, valid * size);
    } else {
      for (int64_t i = 0; i < valid; ++i, source += stride * size)
        stream.putBytes(source, size);
    }
    static const char zeros[8] = {};
    for (int64_t i = valid; i < extent; ++i)
      stream.putBytes(zeros, size);
  }

  ArrayRef<char> linear;
  ArrayRef<int64_t> shape;
  PackedStream &stream;
  SmallVector<int64_t> index, strides;
  SmallVector<Digit> digits;
};

/// Counts what has been written and pads up to the start of a region.
class RegionWriter {
public:
  explicit RegionWriter(const AppendBytes &append) : append(append) {}

  AppendBytes counted() {
    return [this](const void *data, uint64_t size) {
      written += size;
      return append(data, size);
    };
  }
  Status padTo(uint64_t offset) {
    static const char zeros[64] = {};
    while (written < offset) {
      uint64_t size = std::min<uint64_t>(offset - written, sizeof zeros);
      if (Status status = counted()(zeros, size); !status.ok())
        return status;
    }
    return Status();
  }

private:
  const AppendBytes &append;
  uint64_t written = 0;
};

} // namespace

Status nibble::packLayout(ArrayRef<char> linear, unsigned bits,
                          ArrayRef<int64_t> shape, LayoutAttr layout,
                          const AppendBytes &append) {
  if (!layout || layout.isRowMajor())
    return append(linear.data(), linear.size());
  if (!layout.getSwizzle().empty())
    return Status(rt::Code::Unsupported,
                  "constants with a swizzled layout are not packed yet");
  PackedStream stream(bits, append);
  if (ShapedType::getNumElements(shape) == 0)
    return Status();
  LayoutWalker walker(linear, shape, layout, stream);
  if (Status status = walker.walk(); !status.ok())
    return status;
  return stream.flush();
}

/// Packs one attribute; `what` is for the message.
static Status packAttr(ElementsAttr attr, unsigned bits,
                       ArrayRef<int64_t> shape, LayoutAttr layout,
                       const char *what, const AppendBytes &append) {
  SmallVector<char> scratch;
  FailureOr<ArrayRef<char>> bytes = getRawBytes(attr, scratch);
  if (failed(bytes))
    return Status(rt::Code::InvalidArgument,
                  std::string("the ") + what + " of a constant have no data");
  return packLayout(*bytes, bits, shape, layout, append);
}

Status nibble::packConstant(RankedTensorType type, ElementsAttr codes,
                            ElementsAttr scales, ElementsAttr global,
                            ElementsAttr zeroPoints,
                            const AppendBytes &append) {
  LayoutAttr layout = getLayout(type);
  StorageRegions regions = getStorageRegions(type);
  RegionWriter writer(append);
  ScaledType scaled = getScaledElement(type);
  unsigned bits = scaled ? scaled.getStorageBits()
                         : std::max(8u, type.getElementTypeBitWidth());
  if (!scaled && type.getElementTypeBitWidth() == 4)
    bits = 4;
  if (Status s = packAttr(codes, bits, type.getShape(), layout, "codes",
                          writer.counted());
      !s.ok() || !scaled)
    return s;
  SmallVector<int64_t> grid = scaled.getScaleGrid(type.getShape());
  LayoutAttr scaleLayout = layout ? layout.getScales() : LayoutAttr();
  if (Status s = writer.padTo(regions.scales); !s.ok())
    return s;
  if (Status s = packAttr(scales, scaled.getScale().getIntOrFloatBitWidth(),
                          grid, scaleLayout, "scales", writer.counted());
      !s.ok())
    return s;
  if (global) {
    if (Status s = writer.padTo(regions.global); !s.ok())
      return s;
    if (Status s =
            packAttr(global, global.getElementType().getIntOrFloatBitWidth(),
                     {1}, LayoutAttr(), "global scale", writer.counted());
        !s.ok())
      return s;
  }
  if (zeroPoints) {
    if (Status s = writer.padTo(regions.zeroPoints); !s.ok())
      return s;
    if (Status s = packAttr(zeroPoints, 8, grid, scaleLayout, "zero points",
                            writer.counted());
        !s.ok())
      return s;
  }
  return writer.padTo(regions.total);
}
