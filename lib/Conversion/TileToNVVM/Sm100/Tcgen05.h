// Instructions of tcgen05 and their descriptors, as all kernels for Blackwell
// use them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_TCGEN05_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_TCGEN05_H

#include "Code.h"

#include "mlir/Dialect/LLVMIR/NVVMDialect.h"

namespace nibble {
namespace sm100 {
using namespace tilecode;

/// Of one block, or of a pair of blocks. A kernel has one of them everywhere
/// (PTX ISA).
mlir::NVVM::CTAGroupKindAttr getGroup(Code &code, bool pair);

//===----------------------------------------------------------------------===//
// Tensor memory
//===----------------------------------------------------------------------===//

/// By a whole warp, of each block of a pair; the address comes to `slot`, in
/// shared memory. Nobody allocates again.
void allocate(Code &code, mlir::Value slot, int64_t columns, bool pair = false);
void release(Code &code, Int address, int64_t columns, bool pair = false);
/// An address, lane << 16 | column, as products want it.
mlir::Value getPointer(Code &code, Int address);

/// tcgen05.ld of `count` columns from each address on, and one wait for all;
/// by a whole warp. Thread i has lane i of the warp's 32. Words of 32 bits, in
/// order. As one piece of text: registers have no values before the wait.
llvm::SmallVector<mlir::Value>
loadColumns(Code &code, llvm::ArrayRef<Int> addresses, int64_t count);
/// Columns from several addresses on, as f32, and the largest number of each
/// piece; NaN counts only if there is nothing else.
struct LoadedRow {
  llvm::SmallVector<mlir::Value> floats, maxima;
};
/// tcgen05.ld.red.max, of chips that have it (sm_110a; not sm_100a). As
/// loadColumns otherwise.
LoadedRow loadWithMaxima(Code &code, llvm::ArrayRef<Int> addresses,
                         int64_t count);
/// tcgen05.st; read by others after waitForStores.
void storeColumns(Code &code, Int address, mlir::ValueRange words);
void waitForStores(Code &code);

//===----------------------------------------------------------------------===//
// Products
//===----------------------------------------------------------------------===//

/// Bytes of K of one instruction, of every kind.
constexpr int64_t kStepBytes = 32;

/// Codes of element types: of 16-bit floats in kind f16, of 8-bit floats in
/// kinds of these.
uint32_t getTypeCode(mlir::Type type);
/// Instruction descriptor of kinds f16 and f8f6f4: D is f32; A is K-major, and
/// so is B, unless its columns lie together.
uint32_t getProductForm(mlir::Type a, mlir::Type b, int64_t rows,
                        int64_t columns, bool hasColumnsTogether = false);
/// A matrix in shared memory, but for its address / 16. Rows of `swizzle` bytes
/// (16: no swizzle), groups of 8 of them `stride` bytes apart; `leading`: from
/// one row's worth of columns to the next, if these lie together.
uint64_t getMatrixForm(int64_t swizzle, int64_t stride, int64_t leading = 0);

/// What an instruction does with the rows of A that the tensor core keeps:
/// several in a row that have the same A read it once.
using Collector = mlir::NVVM::Tcgen05MMACollectorOp;

/// D (+)= A B of 32 bytes along K, kind f16 or f8f6f4; by one thread. `left`: a
/// matrix descriptor or a pointer to tensor memory.
void multiply(Code &code, mlir::Type elementA, mlir::Value target,
              mlir::Value left, mlir::Value right, uint32_t form,
              mlir::Value adds, bool pair = false,
              Collector keep = Collector::DISCARD);
/// What this thread has issued so far arrives at the barrier when it is done;
/// in a pair, at the same one of both blocks.
void commit(Code &code, mlir::Value barrier, bool pair = false);
/// tcgen05.fence: before or after threads synchronize.
void fence(Code &code, bool after);

} // namespace sm100
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_SM100_TCGEN05_H
