// Emission of quantize and dequantize in Q/DQ notation, with all checks.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_IMPORT_OPS_QUANTBUILD_H
#define NIBBLE_LIB_IMPORT_OPS_QUANTBUILD_H

#include "QuantLayout.h"

namespace nibble::onnx {

/// The scaled tensor type; null if the storage or scale type cannot be one.
mlir::RankedTensorType
getScaledTensor(NodeContext &n, llvm::ArrayRef<int64_t> shape, ElemType storage,
                ElemType scale, const BlockLayout &layout,
                ElemType global = ElemType::Undefined, bool zeroPoint = false);

/// True for the types that codes of scaled tensors have: FP8, FP4, 4 and 8-bit
/// integers. Others are (de)quantized by plain arithmetic.
bool isCodeType(ElemType type);

/// Refuses constant scales that are NaN, infinite, negative or zero. With
/// `codes`, zero is let through (with a warning) where all codes of the block
/// are zero (R19). Scales made by a DequantizeLinear are checked at their
/// source. Unknown (computed) scales pass.
mlir::LogicalResult checkScales(NodeContext &n, Tensor scale, Tensor codes,
                                const BlockLayout &layout);

/// Refuses constant scales that `precision` rounds to zero or infinity.
mlir::LogicalResult checkScalesIn(NodeContext &n, Tensor scale,
                                  ElemType precision);

/// Zero points of `codeType`: null if absent or all zero; checked for type and
/// shape and brought to the grid. FP8 and FP4 only take zeros.
mlir::FailureOr<Tensor> prepareZeroPoint(NodeContext &n, Tensor zeroPoint,
                                         ElemType codeType,
                                         const BlockLayout &layout);

/// Codes of x under given scales. UInt8 scales are E8M0 bits.
mlir::FailureOr<Tensor> emitQuantize(NodeContext &n, Tensor x, Tensor scale,
                                     Tensor zeroPoint, ElemType codeType,
                                     LayoutAttrs attrs, bool saturate);

/// Quotients x / scale as a file may ask for them: x, scales and results
/// rounded to `precision`, float16 or bfloat16. Quantizing them with scales of
/// one does the rest.
mlir::FailureOr<Tensor> emitQuotients(NodeContext &n, Tensor x, Tensor scale,
                                      LayoutAttrs attrs, ElemType precision);

/// Values of codes, rounded once to `result`. UInt8 scales are E8M0 bits.
mlir::FailureOr<Tensor> emitDequantize(NodeContext &n, Tensor codes,
                                       Tensor scale, Tensor zeroPoint,
                                       LayoutAttrs attrs, ElemType result);

/// Both with a layout given rather than deduced.
mlir::FailureOr<Tensor> emitQuantize(NodeContext &n, Tensor x, Tensor scale,
                                     Tensor zeroPoint, ElemType codeType,
                                     const BlockLayout &layout, bool saturate);
mlir::FailureOr<Tensor> emitDequantize(NodeContext &n, Tensor codes,
                                       Tensor scale, Tensor zeroPoint,
                                       const BlockLayout &layout,
                                       ElemType result);

/// nq.quantize with a recipe; `global` may be null.
mlir::Value emitDynamicQuantize(NodeContext &n, Tensor x, Tensor global,
                                llvm::StringRef recipe,
                                mlir::RankedTensorType type);
/// Its parts, as ONNX values. `scaleType` UInt8 gives E8M0 bits.
Tensor emitCodes(NodeContext &n, mlir::Value scaled, ElemType codeType);
Tensor emitScales(NodeContext &n, mlir::Value scaled, ElemType scaleType);

} // namespace nibble::onnx

#endif // NIBBLE_LIB_IMPORT_OPS_QUANTBUILD_H
