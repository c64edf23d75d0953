// nq.matmul kernels -> the GEMM family.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOCPU_MATMULKERNEL_H
#define NIBBLE_CONVERSION_NQTOCPU_MATMULKERNEL_H

#include "nibble/Conversion/NqToCpu/Gemm.h"
#include "nibble/Dialect/Quant/NqOps.h"

namespace nibble {
namespace cpu {

/// True if a block holds one nq.matmul and nothing else but scalar constants
/// for its epilogue.
bool isMatmulAlone(mlir::Block &body);
/// True if the kernel function holds one nq.matmul and nothing else.
bool isMatmulKernel(mlir::func::FuncOp kernel);

/// Appends the GEMM of a matmul kernel to `module`, under the name of the
/// kernel. An error at the matmul if no GEMM of the family covers it.
mlir::FailureOr<GemmKernel> lowerMatmulKernel(mlir::func::FuncOp kernel,
                                              mlir::ModuleOp module);

/// A matmul as the GEMM family describes it, without a symbol and an epilogue.
GemmSpec describeGemm(mlir::Operation *matmul);

/// "" if GEMMs read A of this matmul as it is stored (always if it has no
/// scales), or what stands in the way.
std::string whyNoScaledActivation(nq::MatmulOp op);

/// "" if GEMMs read the constant B of this matmul once it is packed (always if
/// it has no scales), or what stands in the way.
std::string whyNoScaledWeight(nq::MatmulOp op);

/// True if a constant B of this matmul should lie in groups of 8 k
/// (GemmWeight::octets), for the kernels that multiply 4-bit codes as integers.
bool wantsOctets(nq::MatmulOp op);

/// "" if the CPU target has a GEMM for this matmul, or what stands in the way.
std::string whyNoGemm(mlir::Operation *matmul);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOCPU_MATMULKERNEL_H
