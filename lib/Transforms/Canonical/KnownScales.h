// Scales that are known at compile time, and what codes become under them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_TRANSFORMS_CANONICAL_KNOWNSCALES_H
#define NIBBLE_LIB_TRANSFORMS_CANONICAL_KNOWNSCALES_H

#include "nibble/Dialect/Quant/NqOps.h"
#include "nibble/rt/formats.h"

#include <optional>
#include <vector>

namespace nibble {

/// Block scales, zero points and global scale of a scaled tensor, as stored:
/// block scales packed in their format, one byte per zero point, both over the
/// grid in row-major order.
struct KnownScales {
  nq::ScaledType type;
  std::vector<char> scales, zeroPoints;
  double global = 1;

  /// A pair that serves at least one block: `effective` is RNE_T(scale *
  /// global), what codes are multiplied by.
  struct Pair {
    double effective;
    int zeroPoint;
  };
  /// All different pairs.
  std::vector<Pair> getPairs() const;

  bool operator==(const KnownScales &other) const {
    return type == other.type && scales == other.scales &&
           zeroPoints == other.zeroPoints && global == other.global;
  }
};

/// The scales of `scaled`, looking through ops that only move elements where
/// one scale serves all of them; nothing if they depend on data or arguments.
std::optional<KnownScales> getKnownScales(mlir::Value scaled);

/// The scales that a static quantize gives its result, from its constant
/// operands; nothing if it is dynamic or they are not constant.
std::optional<KnownScales> getKnownScales(nq::QuantizeOp op);

/// True if the scales of both are provably equal, block by block: by value, or
/// because both were quantized by the same SSA values.
bool hasSameScales(mlir::Value a, mlir::Value b);

/// True if the types are equal and so are, provably, the global scales.
bool hasSameGlobal(mlir::Value a, mlir::Value b);

/// Real value of a code: (code - zero_point) * effective, exact in double.
double decodeCode(nq::ScaledType type, KnownScales::Pair pair, uint64_t code);

/// The codes that elements of `scaled` can have: all of its storage format,
/// or those that its static quantize can write.
std::vector<uint64_t> getPossibleCodes(mlir::Value scaled);

} // namespace nibble

#endif // NIBBLE_LIB_TRANSFORMS_CANONICAL_KNOWNSCALES_H
