// Instructions of PTX for kernels that stream weights, on 32-bit registers.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMASM_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMASM_H

#include "HalfPairs.h"
#include "IntegerCode.h"
#include "ProductFunction.h"

namespace nibble {
namespace gpu {

/// i32 values; pairs of f16 or bf16 are one. Addresses of shared memory are
/// i32, of global memory i64.
class StreamAsm : public cpu::IntegerCode<StreamAsm> {
public:
  explicit StreamAsm(ProductFunction &function)
      : function(function), b(function.code.b) {}

  mlir::Value constant(int64_t value);
  mlir::Value bitAnd(mlir::Value x, int64_t y);
  mlir::Value bitOr(mlir::Value x, mlir::Value y);
  mlir::Value bitXor(mlir::Value x, mlir::Value y);
  mlir::Value shl(mlir::Value x, int64_t y);
  mlir::Value shr(mlir::Value x, int64_t y);
  mlir::Value equal(mlir::Value x, int64_t y);
  mlir::Value select(mlir::Value condition, mlir::Value x, mlir::Value y);
  mlir::Value fromIndex(mlir::Value index);
  mlir::Value toIndex(mlir::Value value);

  /// Begin of dynamic shared memory, aligned to 16.
  mlir::Value getShared();
  /// Address of byte `offset` of parameter `number`.
  mlir::Value getGlobal(unsigned number, int64_t offset);
  mlir::Value advance(mlir::Value global, mlir::Value bytes);
  /// By `count` times `size` bytes.
  mlir::Value advance(mlir::Value global, mlir::Value count, int64_t size);

  /// Barriers of shared memory: one arrival, and bytes that copies bring.
  void initBarrier(mlir::Value barrier);
  void fenceBarriers();
  void arrive(mlir::Value barrier, mlir::Value bytes);
  /// Until the phase of this parity is complete.
  void waitFor(mlir::Value barrier, mlir::Value parity);
  /// The box at (x, y) of a tensor map.
  void copyBox(mlir::Value shared, mlir::Value map, mlir::Value x,
               mlir::Value y, mlir::Value barrier);
  /// 16 bytes from global to shared memory, `offset` behind both addresses, if
  /// `condition` is true. Copies of a thread come in groups; all but its last
  /// `pending` groups are there after a wait.
  void copy16(mlir::Value condition, mlir::Value shared, mlir::Value global,
              int64_t offset = 0);
  void commitCopies();
  void waitForCopies(int64_t pending);
  void syncWarp();
  /// Until launches before this one are done; from then on those behind it may
  /// begin.
  void waitForPrevious();
  /// 1, 2 or 4 registers.
  llvm::SmallVector<mlir::Value> load(mlir::Value shared, int64_t count) {
    return sm90::loadWords(b, shared, count);
  }
  mlir::Value loadHalf(mlir::Value shared) { return sm90::loadHalf(b, shared); }
  mlir::Value loadByte(mlir::Value shared); ///< zero-extended
  void storeFloat(mlir::Value shared, mlir::Value value);
  void storeWord(mlir::Value shared, mlir::Value value);
  /// Counts from 0 to `count` - 1 and begins again: what was there before.
  /// What this block wrote before a barrier is seen by those that count later,
  /// behind a barrier.
  mlir::Value countRound(mlir::Value global, int64_t count);
  /// The same order: exchanges a word; replaces it if it is `old`. Both return
  /// what was there.
  mlir::Value exchange(mlir::Value global, int64_t value);
  mlir::Value replace(mlir::Value global, int64_t old, int64_t value);
  /// A word when it is `value`, or what it is after `most` looks.
  mlir::Value waitForWord(mlir::Value global, int64_t value, int64_t most);
  void storeGlobal(mlir::Value global, mlir::Value value);
  /// `count` (1, or a multiple of 4) f32, of this block's memory, or of block
  /// `rank` of the cluster.
  mlir::Value loadFloats(mlir::Value shared, int64_t count, mlir::Value rank);
  void clusterBarrier();

  /// Pairs of f16 or bf16, and codes that become some.
  sm90::HalfPairs pairs(bool bf16) { return {b, bf16}; }
  mlir::Value asFloat(mlir::Value bits) { return sm90::asFloat(b, bits); }
  /// E8M0 as f32.
  mlir::Value powerOfTwo(mlir::Value exponent) {
    return asFloat(sm90::powerOfTwo(b, exponent));
  }
  /// x times the low or the high half of y.
  mlir::Value mulByHalf(mlir::Value x, mlir::Value y, bool high, bool bf16);

  /// Four matrices of 8 rows of 16 bytes; the address of row i % 8 of matrix
  /// i / 8 is lane i's.
  llvm::SmallVector<mlir::Value> loadMatrices(mlir::Value shared);
  /// sums (4) + A (4) * B (2), m16n8k16.
  llvm::SmallVector<mlir::Value> multiply(mlir::ValueRange a,
                                          mlir::ValueRange b2,
                                          mlir::ValueRange sums, bool bf16);

  /// Products of warpgroups: sums (n / 2) + A (4) * B, m64n<n>k16, B as the
  /// descriptor says. Registers of A and sums are free after a wait that leaves
  /// as many groups pending as were committed since.
  /// The same values, in front of products that take them.
  llvm::SmallVector<mlir::Value> fenceProducts(mlir::ValueRange values);
  llvm::SmallVector<mlir::Value> multiplyWide(mlir::ValueRange a,
                                              mlir::Value descriptor,
                                              mlir::ValueRange sums, bool bf16);
  void commitProducts();
  void waitForProducts(int64_t pending);
  /// The same sums, when all is done.
  llvm::SmallVector<mlir::Value> finishProducts(mlir::ValueRange sums);
  /// Of rows of 128 bytes at `shared`, swizzled, eight after eight.
  mlir::Value getDescriptor(mlir::Value shared);
  mlir::Value advanceDescriptor(mlir::Value descriptor, int64_t bytes);

private:
  friend IntegerCode;
  llvm::SmallVector<mlir::Value>
  emit(llvm::StringRef text, llvm::StringRef constraints,
       mlir::TypeRange results, mlir::ValueRange operands, bool hasEffects);
  /// Values that pass through an instruction, lest what computes or uses them
  /// moves to its other side.
  llvm::SmallVector<mlir::Value> pass(llvm::StringRef text,
                                      mlir::ValueRange values);
  mlir::Value emitOne(const std::string &text, llvm::StringRef constraints,
                      mlir::Type result, mlir::ValueRange operands,
                      bool hasEffects = false) {
    return emit(text, constraints, result, operands, hasEffects).front();
  }

  ProductFunction &function;
  mlir::ImplicitLocOpBuilder &b;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_STREAMASM_H
