// Matrix products of tensor cores: exact products, exact sums, one rounding.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The PTX ISA promises "at least single precision" and leaves order and
// rounding open (9.7.14.5.14, 9.7.15.5.2). Here one instruction computes the
// exact sum of its K products and the accumulator and rounds it once, to the
// nearest FP32 or FP16 number, ties to even. What hardware does more roughly is
// an option: Precision.
#ifndef NIBBLE_RT_EMULATOR_TENSOR_DOT_H
#define NIBBLE_RT_EMULATOR_TENSOR_DOT_H

#include "tensor/Element.h"

#include <cstddef>
#include <vector>

namespace nibble {
namespace emu {
namespace tensor {

/// A multiplicand, decoded: `rows` of A, or columns of B, with K values each.
class Factor {
public:
  Factor(Element element, unsigned rows, unsigned k);

  /// Values of a row; call seal() after the last has been written.
  double *row(unsigned r) { return values.data() + size_t(r) * k; }
  const double *row(unsigned r) const { return values.data() + size_t(r) * k; }
  /// With the scale of a block, or a sign, that the value is multiplied by: the
  /// products of elements and scales are exact in double, so block-scaled
  /// multiplication (9.7.14.3) is multiplication of scaled values.
  void set(unsigned r, unsigned column, uint32_t code, double scale = 1) {
    row(r)[column] = decode(element, code) * scale;
    isScaled |= scale != 1 && scale != -1;
  }
  /// The same for the elements of 16 bytes.
  void setChunk(unsigned r, unsigned column, const uint8_t *bytes,
                double scale = 1);
  /// The same for `count` E2M1, two to a byte, the first in its lower half.
  void setPacked(unsigned r, unsigned column, const uint8_t *bytes,
                 unsigned count, double scale = 1);
  /// Says that rows are multiplied by scales in place.
  void noteScales() { isScaled = true; }
  /// Finds which bits the rows use, so that products can tell where double
  /// arithmetic is exact.
  void seal();

  const Element element;
  const unsigned rows, k;
  /// All values of a row are multiples of 2^low, and below 2^high.
  struct Span {
    int high = 0, low = 0;
  };
  std::vector<Span> spans;

private:
  Span spanOf(const double *row) const;

  bool isScaled = false;
  std::vector<double> values;
};

/// How sums of products are rounded.
struct Precision {
  /// 0: exactly, once. Otherwise products and accumulator are aligned to the
  /// largest exponent among them, truncated to this many bits behind its binary
  /// point and added; an FP32 sum is truncated to `result` bits of mantissa, an
  /// FP16 one rounded to nearest. (Not for factors with block scales.)
  unsigned fraction = 0;
  unsigned result = 23;
  static constexpr Precision exact() { return {}; }
  /// What an H100 does for wgmma: 13 bits for FP8, 25 for other formats; its
  /// mma.sync has 25 for all, as has tcgen05. (Xie et al., "MMA-Sim:
  /// Bit-Accurate Reference Model of Tensor Cores and Matrix Cores", 2025.)
  static constexpr Precision hopper(Element element) {
    bool isFp8 = element == Element::E4M3 || element == Element::E5M2;
    return isFp8 ? Precision{13, 13} : truncated();
  }
  static constexpr Precision truncated() { return {25, 23}; }
};

/// d[m][n] += sum over k of a[m][k] b[n][k]; rows of d lie `stride` apart. NaN
/// results are 0x7fffffff. a.k == b.k.
void multiplyAdd(const Factor &a, const Factor &b, float *d, size_t stride,
                 Precision precision = Precision::exact());
/// The same with FP16 accumulators (codes; NaN is 0x7fff).
void multiplyAddHalf(const Factor &a, const Factor &b, uint16_t *d,
                     size_t stride, Precision precision = Precision::exact());
/// Integers: sums of 32 bits that wrap, or saturate once at the end
/// (.satfinite).
void multiplyAddInteger(const Factor &a, const Factor &b, int32_t *d,
                        size_t stride, bool saturate);

} // namespace tensor
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_TENSOR_DOT_H
