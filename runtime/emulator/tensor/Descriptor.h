// Matrix descriptors of wgmma: where in shared memory an element of a matrix
// lies. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_TENSOR_DESCRIPTOR_H
#define NIBBLE_RT_EMULATOR_TENSOR_DESCRIPTOR_H

#include <cstdint>
#include <string>

namespace nibble {
namespace emu {
namespace tensor {

/// A swizzle: chunks of 16 bytes trade places. Bits 4 and up of the address,
/// log2(span / 16) of them, are XORed with the bits from 7 on (Swizzle<n,4,3>
/// of 9.7.15.5.1.2.1.3). `span`: 16 (none), 32, 64, 128.
inline uint32_t swizzle(uint32_t address, unsigned span) {
  return address ^ ((address >> 7 & (span / 16 - 1)) << 4);
}

/// Descriptor of a matrix in shared memory for wgmma (PTX ISA
/// 9.7.15.5.1.2.2), fields in bytes.
struct MatrixDescriptor {
  uint32_t start = 0;
  uint32_t leading = 0, stride = 0; ///< byte offsets
  uint32_t span = 16;               ///< of the swizzle; 16: none
  uint32_t base = 0; ///< base offset: (start of the pattern >> 7) & 7

  /// "" or what is wrong with a field.
  static std::string parse(uint64_t bits, MatrixDescriptor &descriptor);

  /// Address of a chunk of 16 bytes in the shared memory of the CTA. A matrix
  /// is rows (of A; columns of B) times K; T = 16 / (bytes of an element)
  /// elements lie side by side.
  /// K-major: T values of K of one row: `chunk` counts them along K.
  uint32_t chunkKMajor(unsigned row, unsigned chunk) const;
  /// MN-major: T rows at one k: `chunk` counts them along the rows.
  uint32_t chunkMnMajor(unsigned chunk, unsigned k) const;

private:
  uint32_t place(uint32_t address) const;
};

} // namespace tensor
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_TENSOR_DESCRIPTOR_H
