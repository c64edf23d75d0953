// The bytes of a packed constant on their way to the file.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_ENGINE_PACKEDSTREAM_H
#define NIBBLE_LIB_ENGINE_PACKEDSTREAM_H

#include "nibble/Dialect/Quant/WordCode.h"
#include "nibble/Engine/PackLayout.h"

#include <vector>

namespace nibble {

/// Collects elements in storage order, swizzles whole windows and hands them on
/// about a mebibyte at a time.
class PackedStream {
public:
  /// `bits` of an element: 4 or a multiple of 8. `swizzle` as in
  /// nq::LayoutAttr, may be empty.
  PackedStream(unsigned bits, llvm::ArrayRef<int64_t> swizzle,
               const AppendBytes &append);

  /// One 4-bit code.
  void putNibble(unsigned code) {
    if (halfFull)
      buffer.back() |= code << 4;
    else
      buffer.push_back(code);
    halfFull = !halfFull;
  }
  /// Room for `size` bytes more, to be filled by the caller; null if a 4-bit
  /// element has left half a byte.
  char *extend(size_t size) {
    if (halfFull)
      return nullptr;
    buffer.resize(buffer.size() + size);
    return buffer.data() + buffer.size() - size;
  }

  rt::Status flushIfFull() {
    return buffer.size() < kChunk || halfFull ? rt::Status() : flush(false);
  }
  /// Pads the storage with zeros to `elements` in all and hands on the rest.
  rt::Status finish(int64_t elements);

private:
  static constexpr size_t kChunk = 1 << 20;

  rt::Status flush(bool everything);
  void swizzleWindow(char *window);

  unsigned bits;
  size_t windowBytes;                ///< 1 without swizzle
  std::vector<uint32_t> permutation; ///< storage position of each element
  nq::WordCode words = nq::WordCode::Plain;
  const AppendBytes &append;
  std::vector<char> buffer, scratch;
  uint64_t done = 0; ///< bytes handed on
  bool halfFull = false;
};

} // namespace nibble

#endif // NIBBLE_LIB_ENGINE_PACKEDSTREAM_H
