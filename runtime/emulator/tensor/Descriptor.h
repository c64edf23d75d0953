// Matrix descriptors of wgmma: where in shared memory an element of a matrix
// lies. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_TENSOR_DESCRIPTOR_H
#define NIBBLE_RT_EMULATOR_TENSOR_DESCRIPTOR_H

#include "exec/TensorMap.h"

#include <cstdint>
#include <string>

namespace nibble {
namespace emu {
namespace tensor {

/// Descriptor of a matrix in shared memory for wgmma (PTX ISA
/// 9.7.15.5.1.2.2), fields in bytes.
struct MatrixDescriptor {
  uint32_t start = 0;
  uint32_t leading = 0, stride = 0; ///< byte offsets
  TensorSwizzle swizzle = TensorSwizzle::None;
  uint32_t span = 16; ///< bytes of a row of the swizzle's pattern; 16: none
  uint32_t base = 0;  ///< base offset: (start of the pattern >> 7) & 7

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
