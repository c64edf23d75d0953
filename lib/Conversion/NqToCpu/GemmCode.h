// Short forms for the operations that GEMM kernels are made of.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMCODE_H
#define NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMCODE_H

#include "IntegerCode.h"
#include "nibble/Conversion/NqToCpu/Gemm.h"

#include "mlir/Dialect/MemRef/IR/MemRef.h"
#include "mlir/Dialect/SCF/IR/SCF.h"
#include "mlir/Dialect/Vector/IR/VectorOps.h"

namespace nibble {
namespace cpu {

/// Sixteen columns: columns 0-7 and 8-15 as vector<8xf32>.
struct PanelRow {
  mlir::Value low, high;
  mlir::Value operator[](int half) const { return half ? high : low; }
};

/// A builder that speaks in indices, byte buffers and f32 vectors.
class GemmCode : public IntegerCode<GemmCode> {
public:
  GemmCode(mlir::OpBuilder &builder, mlir::Location loc) : b(loc, builder) {}

  mlir::ImplicitLocOpBuilder b;

  mlir::Type f32() { return b.getF32Type(); }
  mlir::VectorType vec(int64_t lanes, mlir::Type element) {
    return mlir::VectorType::get({lanes}, element);
  }
  mlir::VectorType v8() { return vec(8, f32()); }
  mlir::Type elementType(rt::StorageFormat format);

  // Indices, besides those of IntegerCode.
  mlir::Value constant(int64_t value);
  mlir::Value index(int64_t value) { return constant(value); }
  mlir::Value min(mlir::Value x, mlir::Value y);
  mlir::Value max(mlir::Value x, mlir::Value y);

  /// for (i = from; i < to; i += step) body(i)
  mlir::scf::ForOp loop(mlir::Value from, mlir::Value to, int64_t step,
                        llvm::function_ref<void(mlir::Value)> body);
  void loop(int64_t from, int64_t to, int64_t step,
            llvm::function_ref<void(mlir::Value)> body);
  /// The same with values carried from one iteration to the next.
  using CarryingBody = llvm::function_ref<llvm::SmallVector<mlir::Value>(
      mlir::Value, mlir::ValueRange)>;
  llvm::SmallVector<mlir::Value> loop(mlir::Value from, mlir::Value to,
                                      int64_t step, mlir::ValueRange init,
                                      CarryingBody body);
  llvm::SmallVector<mlir::Value> loop(int64_t from, int64_t to, int64_t step,
                                      mlir::ValueRange init, CarryingBody body);
  /// Forbids LLVM to unroll a loop.
  void keepRolled(mlir::scf::ForOp loop);
  void ifElse(mlir::Value condition, llvm::function_ref<void()> then,
              llvm::function_ref<void()> otherwise = nullptr);

  // Vectors.
  mlir::Value zero();
  mlir::Value splat(mlir::VectorType type, int64_t value);
  mlir::Value splatF(double value);
  mlir::Value broadcast(mlir::Value scalar);
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value sum);
  mlir::Value mulF(mlir::Value x, mlir::Value y);
  mlir::Value bitcast(mlir::Value value, mlir::Type element);
  /// An instruction of x86 by the name of its LLVM intrinsic.
  mlir::Value intrinsic(llvm::StringRef name, mlir::Type result,
                        mlir::ValueRange operands);
  /// lanes [first, first + 8) of a vector.
  mlir::Value slice8(mlir::Value value, int64_t first);
  /// Columns of eight vectors of 8.
  llvm::SmallVector<mlir::Value> transpose8x8(llvm::ArrayRef<mlir::Value> rows);
  /// A float vector (or scalar) as f32, or f32 as `format`.
  mlir::Value toF32(mlir::Value value);
  mlir::Value fromF32(mlir::Value value, rt::StorageFormat format);

  // Memory.
  mlir::Value load(mlir::Value memref, mlir::Value at, int64_t lanes);
  mlir::Value loadScalar(mlir::Value memref, mlir::Value at);
  void store(mlir::Value value, mlir::Value memref, mlir::Value at);
  /// `lanes` elements of `element` at byte `at` of a byte buffer.
  mlir::Value loadBytes(mlir::Value bytes, mlir::Value at, int64_t lanes,
                        mlir::Type element);
  /// One F32, F16 or BF16 at byte `at` as a scalar f32.
  mlir::Value loadNumber(mlir::Value bytes, int64_t at,
                         rt::StorageFormat format);
  /// `count` elements from byte `offset` of the scratch on.
  mlir::Value scratchView(mlir::Value scratch, int64_t offset, int64_t count,
                          mlir::Type element);
  /// f32 elements from byte `offset` of the scratch on.
  mlir::Value scratchF32(mlir::Value scratch, int64_t offset, int64_t count);
};

} // namespace cpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOCPU_GEMMCODE_H
