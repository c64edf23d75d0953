// Matrix descriptors of wgmma.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "tensor/Descriptor.h"

using namespace nibble::emu;
using namespace nibble::emu::tensor;

static uint32_t field(uint64_t bits, unsigned at, unsigned count) {
  return uint32_t(bits >> at & ((uint64_t(1) << count) - 1));
}

std::string MatrixDescriptor::parse(uint64_t bits,
                                    MatrixDescriptor &descriptor) {
  static constexpr uint32_t kSpans[] = {16, 128, 64, 32};
  static constexpr TensorSwizzle kSwizzles[] = {
      TensorSwizzle::None, TensorSwizzle::B128, TensorSwizzle::B64,
      TensorSwizzle::B32};
  MatrixDescriptor &d = descriptor;
  d.start = field(bits, 0, 14) << 4;
  d.leading = field(bits, 16, 14) << 4;
  d.stride = field(bits, 32, 14) << 4;
  d.base = field(bits, 49, 3);
  d.span = kSpans[field(bits, 62, 2)];
  d.swizzle = kSwizzles[field(bits, 62, 2)];
  if (field(bits, 46, 3))
    return "bits 46 to 48 are set: that is a descriptor for tcgen05";
  if (field(bits, 14, 2) || field(bits, 30, 2) || field(bits, 52, 10))
    return "bits are set that mean nothing (14, 15, 30, 31, 52 to 61)";
  if (d.base && d.span == 16)
    return "there is a base offset without a swizzle";
  return "";
}

/// Swizzles an address. The pattern of the swizzle starts at multiples of 1024
/// bytes (128-byte swizzle; 512 and 256 for the others) or, with a base offset,
/// that many times 128 bytes behind.
uint32_t MatrixDescriptor::place(uint32_t address) const {
  uint32_t back = base << 7;
  return swizzleAddress(swizzle, address - back) + back;
}

/// ((8,m),(T,2k)) : ((span,stride),(1,16)), in bytes; the chunks of K lie
/// `leading` apart if there is no swizzle.
uint32_t MatrixDescriptor::chunkKMajor(unsigned row, unsigned chunk) const {
  uint32_t along = chunk * (span == 16 ? leading : 16);
  return place(start + row % 8 * span + row / 8 * stride + along);
}

/// ((T,s,m),(8,k)) : ((1,16,leading),(span,stride)), s = span / 16, in bytes;
/// without a swizzle the two offsets change roles.
uint32_t MatrixDescriptor::chunkMnMajor(unsigned chunk, unsigned k) const {
  unsigned s = span / 16;
  uint32_t further = span == 16 ? stride : leading;
  uint32_t deeper = span == 16 ? leading : stride;
  return place(start + chunk % s * 16 + chunk / s * further + k % 8 * span +
               k / 8 * deeper);
}
