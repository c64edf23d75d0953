// Reads the left operand of a GEMM as f32, whatever it is stored as.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMACTIVATION_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMACTIVATION_H

#include "GemmScales.h"

namespace nibble {
namespace cpu {

/// Emits loads of A: dense floats, or codes with scales (`spec.scaledA`) that
/// are multiplied and rounded to f32 once.
class GemmActivation {
public:
  GemmActivation(GemmCode &code, const GemmSpec &spec, mlir::Value buffer)
      : code(code), spec(spec), buffer(buffer) {}

  /// Elements at .. at + lanes (8, or 1 unless codes have 4 bits) as a vector
  /// of f32; they share a scale.
  mlir::Value load(mlir::Value at, int64_t lanes);

  /// Effective scales first .. first + count as a vector of f32, or block
  /// scales without the global one. NaN stays.
  mlir::Value scales(mlir::Value first, int64_t count, bool withGlobal = true);
  /// The global scale as an f32.
  mlir::Value global();

private:
  mlir::Value codes(mlir::Value at, int64_t lanes);
  mlir::Value eightNibbles(mlir::Value at);

  GemmCode &code;
  const GemmSpec &spec;
  mlir::Value buffer;
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMACTIVATION_H
