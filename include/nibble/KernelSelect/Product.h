// What a region multiplies: the facts that kernel classes decide on.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_KERNELSELECT_PRODUCT_H
#define NIBBLE_KERNELSELECT_PRODUCT_H

#include "nibble/Dialect/Quant/NqOps.h"

namespace nibble {

/// Storage formats that kernels tell apart.
enum class OperandFormat {
  F64,
  F32,
  F16,
  BF16,
  Fp8Tensor,  ///< E4M3 or E5M2, one scale per tensor
  Fp8Channel, ///< one scale per row of [.., K] (column of a weight)
  Fp8Block,   ///< 128x128 weights, 1x128 activations
  Nvfp4,      ///< E2M1, E4M3 scale per 16 along K, global scale
  Nvfp4Wide,  ///< the same with another block size along K (32)
  Mxfp4,      ///< E2M1, E8M0 per 32
  Mxfp8,      ///< E4M3 or E5M2, E8M0 per 32
  Int4,
  Int8,
  F16Codes,  ///< codes of few bits as f16 numbers; a scale for all of k
  Bf16Codes, ///< the same in bf16
  Other
};
llvm::StringRef getFormatName(OperandFormat format);
bool isFourBit(OperandFormat format);
bool isQuantized(OperandFormat format);

/// What is multiplied: the storage type of a scaled tensor, or the element
/// type.
mlir::Type getCodeType(mlir::RankedTensorType type);

/// Format of an operand of a matmul; `kDim` is its dimension along K.
OperandFormat classifyOperand(mlir::RankedTensorType type, int64_t kDim);

/// One matmul of a region.
struct Product {
  nq::MatmulOp op;
  OperandFormat a, b;
  OperandFormat narrowA;  ///< that of A before its codes were widened
  bool constantB;         ///< the weight is a constant of the plan
  int64_t m, n, k, batch; ///< rows of all batches if B is a matrix (batch 1)
};

/// The matmuls of a region, in order.
llvm::SmallVector<Product> getProducts(nq::RegionOp region);
/// "fp8 x nvfp4", or "nvfp4" if both are: what the model holds, of the first
/// product. Widened codes (nq.widen) count as what they were. Formats without a
/// name of their own are spelled as element types.
std::string describeOperands(llvm::ArrayRef<Product> products);
/// The same before the target widened operands: a dequantized operand counts as
/// what it was.
std::string describeSources(llvm::ArrayRef<Product> products);
/// 2 m n k, all batches and products; attention counts both of its products,
/// nq.statistics its sums.
int64_t getFlops(nq::RegionOp region);
/// Bytes that a kernel must move: every operand and result once, as stored; of
/// an operand that is only sliced or looked up, the elements read; of a value
/// that nq.update makes in place, the new rows written.
struct Traffic {
  int64_t read = 0, written = 0;
};
Traffic getTraffic(nq::RegionOp region);

} // namespace nibble

#endif // NIBBLE_KERNELSELECT_PRODUCT_H
