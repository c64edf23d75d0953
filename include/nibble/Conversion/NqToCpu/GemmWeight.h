// How a constant matrix lies in memory for the CPU GEMM, and how to pack it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOCPU_GEMMWEIGHT_H
#define NIBBLE_CONVERSION_NQTOCPU_GEMMWEIGHT_H

#include "nibble/rt/formats.h"
#include "nibble/rt/status.h"

#include <cstdint>
#include <functional>
#include <string>

namespace nibble {
namespace cpu {

/// Columns of a panel: two 8-lane f32 registers of AVX2.
constexpr int64_t kPanelColumns = 16;

/// The constant operand W[n][k] of C[m][n] = sum_k A[m][k] * W[n][k].
struct GemmWeight {
  int64_t n = 0, k = 0;
  /// The source is row-major [K, N] instead of [N, K].
  bool kn = false;
  /// F32 F16 BF16 (no scale), or E4M3 E5M2 E2M1 I4 U4 I8 U8 (with scale).
  rt::StorageFormat code = rt::StorageFormat::F32;
  /// F32 F16 BF16 E4M3 E8M0; None for a dense weight.
  rt::StorageFormat scale = rt::StorageFormat::None;
  /// Extent of a scale block along each dimension; 0 is the full extent.
  int64_t blockN = 0, blockK = 0;
  /// F32 F16 BF16: the effective scale is RNE_T(scale * global).
  rt::StorageFormat global = rt::StorageFormat::None;
  /// Codes are offset by one integer (a byte) per scale.
  bool zeroPoint = false;
  /// 4-bit codes in groups of 8 k, for kernels that multiply integers.
  bool octets = false;
  /// E4M3 codes may be NaN (0x7F, 0xFF); costs some speed.
  bool nanCodes = false;

  bool scaled() const { return scale != rt::StorageFormat::None; }
  bool fourBit() const { return rt::formatBits(code) == 4; }
  int64_t panels() const { return (n + kPanelColumns - 1) / kPanelColumns; }
  int64_t scaleBlockN() const { return blockN ? blockN : n; }
  int64_t scaleBlockK() const { return blockK ? blockK : k; }
  int64_t gridN() const { return (n + scaleBlockN() - 1) / scaleBlockN(); }
  int64_t gridK() const { return (k + scaleBlockK() - 1) / scaleBlockK(); }
  /// One scale per column (and k block): scales are packed in panels too.
  bool scalePerColumn() const { return scaled() && blockN == 1; }
  /// The scale changes along k.
  bool scaleAlongK() const { return scaled() && gridK() > 1; }
};

/// "" if kernels exist for this weight, or what stands in the way.
std::string whyUnsupported(const GemmWeight &weight);

/// Byte offsets and sizes of the packed weight. Each section begins at a
/// multiple of 64.
///
/// codes, panel by panel (n / 16), `panelBytes` each:
///   8 bits and more: order (n/16, k, n%16);
///   4 bits: order (n/16, k/4, n/4%2, k%2, n%4, n/8%2, k/2%2), two per byte,
///   the first in the low nibble: 32 bytes hold 4 k of 16 columns so that byte
///   shuffles and interleaves give f32 vectors of columns without a permute;
///   4 bits in octets: order (n/16, k/8, n%16, k%8), two per byte: 4 bytes of a
///   column are one 32-bit lane of a product of bytes.
/// scales: per column: order (n/16, k block, n%16); otherwise row-major over
///   the grid in the order of the source ([N, K] or [K, N]).
/// global: one element. zeroPoints: one byte each, in the order of the scales.
/// Columns beyond N and 4-bit k beyond K are zero.
struct GemmPanels {
  uint64_t codes = 0, codesBytes = 0, panelBytes = 0;
  uint64_t scales = 0, scalesBytes = 0;
  uint64_t global = 0, globalBytes = 0;
  uint64_t zeroPoints = 0, zeroPointsBytes = 0;
  uint64_t total = 0;
};
GemmPanels gemmPanels(const GemmWeight &weight);

/// Offset in bytes, within a panel, of the byte of a 4-bit code; the code is in
/// its high nibble if `high`. Not for octets.
struct NibblePlace {
  int64_t byte;
  bool high;
};
NibblePlace nibblePlace(int64_t k, int64_t column);

/// The weight in linear storage: codes row-major (4-bit: two per byte over the
/// flattened array), scales and zero points row-major over the grid.
struct GemmWeightData {
  const void *codes = nullptr;
  uint64_t codesBytes = 0;
  const void *scales = nullptr;
  uint64_t scalesBytes = 0;
  const void *global = nullptr;
  uint64_t globalBytes = 0;
  const void *zeroPoints = nullptr;
  uint64_t zeroPointsBytes = 0;
};

/// Receives consecutive pieces of the packed weight; false stops.
using ByteSink = std::function<bool(const void *, uint64_t)>;

/// Writes `gemmPanels(weight).total` bytes in order, one panel in memory at a
/// time. Fails on sizes that do not match the weight.
rt::Status packGemmWeight(const GemmWeight &weight, const GemmWeightData &data,
                          const ByteSink &sink);

/// True if a code is a NaN (for `GemmWeight::nanCodes`).
bool hasNanCodes(const GemmWeight &weight, const void *codes, uint64_t bytes);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOCPU_GEMMWEIGHT_H
