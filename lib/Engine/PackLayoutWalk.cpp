// packLayout: row-major elements in the storage order of a layout.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PackedStream.h"

#include <cstring>

using namespace mlir;
using namespace nibble;
using namespace nibble::nq;
using nibble::rt::Status;

namespace {

/// Swizzle windows beyond this many elements are no layout of any kernel.
constexpr int64_t kLargestWindowBits = 20;

/// One digit of the layout in storage order.
struct Digit {
  int64_t dim;    ///< logical dimension it is part of
  int64_t weight; ///< what one step adds to the index of that dimension
  int64_t extent;
};

SmallVector<Digit> getDigits(LayoutAttr layout, ArrayRef<int64_t> shape) {
  SmallVector<Digit> numbered, ordered;
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
    ordered.push_back(numbered[digit]);
  return ordered;
}

/// The fastest digits, up to some thousand elements: the same pattern of
/// distances at every place where the slow digits stand, so it is made once.
class Block {
public:
  Block(ArrayRef<Digit> digits, ArrayRef<int64_t> strides)
      : digits(digits), reach(strides.size(), 0) {
    forEach([&](ArrayRef<int64_t> index) {
      int64_t offset = 0;
      for (auto [i, stride] : llvm::zip(index, strides))
        offset += i * stride;
      offsets.push_back(offset);
    });
    for (const Digit &digit : digits)
      reach[digit.dim] += (digit.extent - 1) * digit.weight;
    pairs = offsets.size() % 2 == 0;
    for (size_t i = 0; pairs && i < offsets.size(); i += 2)
      pairs = offsets[i] % 2 == 0 && offsets[i + 1] == offsets[i] + 1;
    findRuns();
  }

  /// Calls `visit` with the index of each element relative to the block.
  void forEach(function_ref<void(ArrayRef<int64_t>)> visit) const {
    SmallVector<int64_t> index(reach.size(), 0);
    walk(0, index, visit);
  }

  struct Run {
    int64_t offset, length;
  };
  ArrayRef<Digit> digits;
  SmallVector<int64_t> reach;   ///< largest index of each dimension
  std::vector<int64_t> offsets; ///< of each element, in linear elements
  std::vector<Run> runs;        ///< the same as runs of neighbours
  bool pairs;                   ///< 4-bit elements stay together in bytes

private:
  void walk(size_t level, SmallVectorImpl<int64_t> &index,
            function_ref<void(ArrayRef<int64_t>)> visit) const {
    if (level == digits.size())
      return visit(index);
    const Digit &digit = digits[level];
    for (int64_t i = 0; i < digit.extent; ++i, index[digit.dim] += digit.weight)
      walk(level + 1, index, visit);
    index[digit.dim] -= digit.extent * digit.weight;
  }

  void findRuns() {
    for (int64_t offset : offsets)
      if (!runs.empty() && offset == runs.back().offset + runs.back().length)
        ++runs.back().length;
      else
        runs.push_back({offset, 1});
  }
};

class LayoutPacker {
public:
  LayoutPacker(ArrayRef<char> linear, unsigned bits, ArrayRef<int64_t> shape,
               LayoutAttr layout, PackedStream &stream)
      : linear(linear), bits(bits), shape(shape), stream(stream),
        digits(getDigits(layout, shape)), strides(shape.size(), 1),
        index(shape.size(), 0), slow(countSlow(digits)), block(makeBlock()) {}

  Status pack(size_t level = 0) {
    if (level == slow) {
      putBlock();
      return stream.flushIfFull();
    }
    const Digit &digit = digits[level];
    for (int64_t i = 0; i < digit.extent; ++i) {
      if (Status status = pack(level + 1); !status.ok())
        return status;
      index[digit.dim] += digit.weight;
    }
    index[digit.dim] -= digit.extent * digit.weight;
    return Status();
  }

private:
  /// A block of several digits stays in the first level cache; one digit may
  /// be longer.
  static constexpr int64_t kBlock = 4096, kDigit = 1 << 20;

  static size_t countSlow(ArrayRef<Digit> digits) {
    size_t slow = digits.size();
    for (int64_t size = 1; slow > 0; --slow) {
      size *= digits[slow - 1].extent;
      if (size > (slow == digits.size() ? kDigit : kBlock))
        break;
    }
    return slow;
  }
  Block makeBlock() {
    for (size_t i = shape.size(); i > 1; --i)
      strides[i - 2] = strides[i - 1] * shape[i - 1];
    return Block(ArrayRef(digits).drop_front(slow), strides);
  }

  void putBlock() {
    int64_t base = 0;
    bool inside = true;
    for (size_t d = 0; d < shape.size(); ++d) {
      base += index[d] * strides[d];
      inside &= index[d] + block.reach[d] < shape[d];
    }
    if (!inside || !(bits == 4 ? putCodes(base) : putWholeBytes(base)))
      putEach();
  }

  /// False if this block does not start or end with a byte.
  bool putCodes(int64_t base) {
    size_t count = block.offsets.size();
    char *out = count % 2 ? nullptr : stream.extend(count / 2);
    if (!out)
      return false;
    const int64_t *offsets = block.offsets.data();
    if (block.pairs && base % 2 == 0) {
      const char *source = linear.data() + base / 2;
      for (size_t i = 0; i < count; i += 2)
        *out++ = source[offsets[i] / 2];
      return true;
    }
    for (size_t i = 0; i < count; i += 2)
      *out++ = getCode(base + offsets[i]) | getCode(base + offsets[i + 1]) << 4;
    return true;
  }

  bool putWholeBytes(int64_t base) {
    size_t size = bits / 8;
    char *out = stream.extend(block.offsets.size() * size);
    for (Block::Run run : block.runs) {
      std::memcpy(out, linear.data() + (base + run.offset) * size,
                  run.length * size);
      out += run.length * size;
    }
    return true;
  }

  /// At the border: what lies outside is zero.
  void putEach() {
    block.forEach([&](ArrayRef<int64_t> within) {
      int64_t offset = 0;
      bool inside = true;
      for (size_t d = 0; d < shape.size(); ++d) {
        inside &= index[d] + within[d] < shape[d];
        offset += (index[d] + within[d]) * strides[d];
      }
      if (bits == 4)
        return stream.putNibble(inside ? getCode(offset) : 0);
      size_t size = bits / 8;
      if (char *out = stream.extend(size); inside) // zero at first
        std::memcpy(out, linear.data() + offset * size, size);
    });
  }

  unsigned getCode(int64_t offset) const {
    return (uint8_t(linear[offset / 2]) >> (offset % 2 * 4)) & 15;
  }

  ArrayRef<char> linear;
  unsigned bits;
  ArrayRef<int64_t> shape;
  PackedStream &stream;
  SmallVector<Digit> digits;
  SmallVector<int64_t> strides, index;
  size_t slow; ///< digits outside the block
  Block block;
};

} // namespace

Status nibble::packLayout(ArrayRef<char> linear, unsigned bits,
                          ArrayRef<int64_t> shape, LayoutAttr layout,
                          const AppendBytes &append) {
  if (!layout || layout.isRowMajor())
    return append(linear.data(), linear.size());
  ArrayRef<int64_t> swizzle = layout.getSwizzle();
  if (!swizzle.empty() &&
      swizzle[0] + swizzle[1] + swizzle[2] > kLargestWindowBits)
    return Status(rt::Code::Unsupported,
                  "a swizzle of a constant reaches over more than 2^20 "
                  "elements; choose fewer bits");
  if (ShapedType::getNumElements(shape) == 0)
    return Status();
  PackedStream stream(bits, swizzle, append);
  LayoutPacker packer(linear, bits, shape, layout, stream);
  if (Status status = packer.pack(); !status.ok())
    return status;
  return stream.finish(layout.getStorageSize(shape));
}
