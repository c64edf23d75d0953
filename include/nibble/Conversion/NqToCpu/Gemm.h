// The GEMM family of the CPU target: one kernel function per static shape.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_CONVERSION_NQTOCPU_GEMM_H
#define NIBBLE_CONVERSION_NQTOCPU_GEMM_H

#include "nibble/Conversion/NqToCpu/GemmWeight.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinOps.h"
#include "llvm/ADT/STLFunctionalExtras.h"

namespace nibble {
namespace cpu {

/// One dimension of the batch. Strides are in elements of A, B and C between
/// successive batch indices; 0 broadcasts A or B. B's stride must be 0 for a
/// packed B.
struct GemmBatchDim {
  int64_t extent = 1, strideA = 0, strideB = 0, strideC = 0;
};

/// Where B comes from.
enum class GemmB {
  Packed, ///< constant, as `packGemmWeight` writes it
  RowsK,  ///< row-major [K, N] at run time
  RowsN   ///< row-major [N, K] at run time
};

/// Scales of a quantized A. Codes lie row-major from byte 0 on (4-bit codes two
/// per byte, the first in the low nibble), without gaps between rows.
struct GemmScaledA {
  /// F32 F16 BF16 E4M3 E8M0; None for an A of floats.
  rt::StorageFormat scale = rt::StorageFormat::None;
  /// F32 F16 BF16: the effective scale is RNE_T(scale * global).
  rt::StorageFormat global = rt::StorageFormat::None;
  /// Elements in the order of memory that share a scale: the block along k, or
  /// k for a scale per row; 0 for one scale in all.
  int64_t run = 0;
  /// Offsets in bytes within the buffer of A, and its size.
  int64_t scalesAt = 0, globalAt = 0, bytes = 0;

  bool scaled() const { return scale != rt::StorageFormat::None; }
};

/// What the epilogue hook is called with.
struct GemmTile {
  mlir::Value value;   ///< vector<8xf32> or, at the right edge, vector<1xf32>
  mlir::Value row;     ///< index of the row of C within its batch
  mlir::Value column;  ///< index of the first column
  mlir::Value offsetC; ///< index of the first element within the buffer of C
  mlir::ValueRange extra; ///< the extra arguments of the kernel
  unsigned width() const {
    return mlir::cast<mlir::VectorType>(value.getType()).getDimSize(0);
  }
};

/// Emits code on the f32 accumulators, after scale and bias and before the
/// rounding to C; returns a vector of the same type. Must not read or write
/// beyond `width()` columns.
using GemmEpilogue = llvm::function_ref<mlir::Value(mlir::OpBuilder &,
                                                    mlir::Location, GemmTile)>;

/// C[b][m][n] = epilogue(sum_k A[b][m][k] * B[b][k][n] + bias[n]), rounded
/// once.
struct GemmSpec {
  std::string symbol; ///< of the kernel
  int64_t m = 0, n = 0, k = 0;
  llvm::SmallVector<GemmBatchDim> batch;
  /// F32 F16 BF16, or the codes of a scaled A: E4M3 E5M2 E2M1 I8 U8. The value
  /// code * scale is rounded to f32 once.
  rt::StorageFormat a = rt::StorageFormat::F32;
  GemmScaledA scaledA;
  GemmB bKind = GemmB::Packed;
  /// Formats and scales of a packed B; n and k as above. Otherwise only `code`
  /// counts: F32 F16 BF16.
  GemmWeight weight;
  rt::StorageFormat c = rt::StorageFormat::F32; ///< F32 F16 BF16
  rt::StorageFormat bias =
      rt::StorageFormat::None; ///< F32 F16 BF16, n elements
  /// Elements between rows; 0 means dense (a scaled A is). Rows themselves are
  /// contiguous.
  int64_t strideA = 0, strideB = 0, strideC = 0;
  /// Further buffers that the epilogue reads: static shape, identity layout.
  llvm::SmallVector<mlir::MemRefType> extra;
  /// Threads that a launch should be able to keep busy.
  int64_t threads = 2;
};

/// What the launch of a kernel needs.
struct GemmKernel {
  mlir::func::FuncOp func;
  int64_t extent = 0, grain = 1;
  uint64_t scratchBytes = 0;
  /// "rows6 panel16 kc256 ...", for reports.
  std::string schedule;
};

/// True if there is a kernel that multiplies these operands as integers,
/// exactly within 16 k: both E2M1 with blocks of 16 or 32 along k, A with E4M3
/// or E8M0 scales.
/// `weight.octets` asks for it and is not looked at here.
bool multipliesIntegers(const GemmSpec &spec);

/// "" if `emitGemm` takes this, or what stands in the way.
std::string whyUnsupported(const GemmSpec &spec);

/// The part of it that concerns a scaled A alone.
std::string whyUnsupportedScaledA(const GemmSpec &spec);

/// Appends the kernel to `module`:
///   symbol(A, B, [bias], extra..., C, lo, hi, scratch)
/// with one-dimensional memrefs for A (bytes if scaled), B (bytes if packed),
/// bias and C. The
/// code needs AVX2, FMA and F16C. Fails only where `whyUnsupported` says so.
mlir::FailureOr<GemmKernel> emitGemm(mlir::ModuleOp module, mlir::Location loc,
                                     const GemmSpec &spec,
                                     GemmEpilogue epilogue = nullptr);

/// Dialects whose ops `emitGemm` creates.
void registerGemmDialects(mlir::DialectRegistry &registry);

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_CONVERSION_NQTOCPU_GEMM_H
