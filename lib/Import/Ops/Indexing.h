// Index arithmetic and small conventions that operator importers share.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_OPS_INDEXING_H
#define NIBBLE_LIB_IMPORT_OPS_INDEXING_H

#include "nibble/Import/OpImporter.h"

namespace nibble::onnx {

/// Most steps (elements times loop length) that an operator with a quadratic
/// lowering may take before it is refused.
constexpr int64_t maxLoopSteps = int64_t(1) << 33;

/// True if the product of `factors` (none negative) exceeds `limit`.
bool exceeds(llvm::ArrayRef<int64_t> factors, int64_t limit);
int64_t product(llvm::ArrayRef<int64_t> factors); ///< 1 for no factors

/// Type that sums and products over `type` are computed in: Float for floats
/// below 32 bits, else `type` itself.
ElemType getAccumulator(ElemType type);
/// Neutral element of max: the lowest value of `type` (saturates in ints).
double getLowest(ElemType type);

/// The same body with comparisons and divisions of the signedness of `type`.
ScalarBuilder withInts(ScalarBuilder &s, ElemType type);
/// Signed arithmetic, as index values want it.
ScalarBuilder asSigned(ScalarBuilder &s);

/// Element of `tensor`, floats below 32 bits widened to f32.
mlir::Value loadWide(ScalarBuilder &s, Tensor tensor, mlir::ValueRange indices);
/// Element of an integer tensor as a (signed) index value.
mlir::Value loadIndex(ScalarBuilder &s, Tensor tensor,
                      mlir::ValueRange indices);
/// Into [0, extent - 1]; extent > 0.
mlir::Value clampIndex(ScalarBuilder &s, mlir::Value index, int64_t extent);
/// i + extent for negative i (ONNX counts from the back).
mlir::Value wrapIndex(ScalarBuilder &s, mlir::Value index, int64_t extent);
/// lo <= index < hi.
mlir::Value inRange(ScalarBuilder &s, mlir::Value index, int64_t lo,
                    int64_t hi);

/// Elements indices[i] along `axis`; every index is in range.
Tensor take(GraphBuilder &build, Tensor x, int64_t axis,
            llvm::ArrayRef<int64_t> indices);
/// result[i..] = x[map(i..)]: data movement with an affine pattern.
Tensor gatherAffine(GraphBuilder &build, Tensor x, mlir::AffineMap map,
                    llvm::ArrayRef<int64_t> shape);

/// Fails unless every constant index lies in [-extent, extent). Unknown indices
/// pass: at run time they are clamped, so that memory stays safe.
mlir::LogicalResult checkIndices(NodeContext &n, size_t input, int64_t extent);

/// Row-major strides in elements.
Shape getStrides(llvm::ArrayRef<int64_t> shape);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_OPS_INDEXING_H
