// Writes LLVM dialect code with structured control flow.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_TILETONVVM_CODE_H
#define NIBBLE_LIB_CONVERSION_TILETONVVM_CODE_H

#include "Ptx.h"

namespace nibble {
namespace tilecode {

/// An i32: a value, or a constant (which folds).
struct Int {
  mlir::Value value;
  int64_t constant = 0;
  Int(int64_t constant = 0) : constant(constant) {}
  Int(mlir::Value value);
  bool is(int64_t number) const { return !value && constant == number; }
};

/// Appends to a function, always at the end of its last block. Integers are
/// i32 unless said otherwise; constants stand in the entry block.
class Code : public mlir::ImplicitLocOpBuilder {
public:
  Code(mlir::Location loc, mlir::LLVM::LLVMFuncOp function);

  mlir::Value get(Int number);
  mlir::Value constant(mlir::Type type, int64_t number);
  mlir::Type i16() { return getIntegerType(16); }
  mlir::Type i32() { return getI32Type(); }
  mlir::Type i64() { return getI64Type(); }
  mlir::Type pointer(unsigned space) {
    return mlir::LLVM::LLVMPointerType::get(getContext(), space);
  }

  Int add(Int a, Int b);
  Int sub(Int a, Int b);
  Int mul(Int a, Int b);
  Int div(Int a, Int b);
  Int rem(Int a, Int b);
  Int bitAnd(Int a, Int b);
  Int bitOr(Int a, Int b);
  Int bitXor(Int a, Int b);
  Int shl(Int a, Int b);
  Int shr(Int a, Int b);
  /// Unsigned minimum.
  Int min(Int a, Int b);
  mlir::Value compare(mlir::LLVM::ICmpPredicate predicate, Int a, Int b);
  mlir::Value equal(Int a, Int b) {
    return compare(mlir::LLVM::ICmpPredicate::eq, a, b);
  }
  mlir::Value less(Int a, Int b) {
    return compare(mlir::LLVM::ICmpPredicate::ult, a, b);
  }
  mlir::Value select(mlir::Value condition, Int yes, Int no);
  mlir::Value selectAny(mlir::Value condition, mlir::Value yes, mlir::Value no);
  mlir::Value extend64(Int number);
  /// `pointer` plus bytes.
  mlir::Value at(mlir::Value pointer, Int bytes);
  Int fromIndex(mlir::Value index);
  mlir::Value toIndex(Int number);

  /// As in Ptx.h.
  llvm::SmallVector<mlir::Value> emitAsm(const llvm::Twine &text,
                                         llvm::StringRef constraints,
                                         mlir::TypeRange results,
                                         mlir::ValueRange operands,
                                         bool hasEffects = false) {
    return tilecode::emitAsm(*this, text, constraints, results, operands,
                             hasEffects);
  }

  void when(mlir::Value condition, llvm::function_ref<void()> then);
  /// Runs `body` until it returns false, at least once. The cells are carried:
  /// `body` finds the values of this round in them and leaves those of the
  /// next; afterwards they hold the last ones. Not unrolled.
  void loop(llvm::ArrayRef<mlir::Value *> cells,
            llvm::function_ref<mlir::Value()> body);
  /// Asks until the answer is true.
  void spin(llvm::function_ref<mlir::Value()> ask);
  /// Ends the block.
  void jump(mlir::Block *target);
  void startBlock(mlir::Block *block);

private:
  template <typename OpT> Int binary(Int a, Int b) {
    return Int(
        mlir::Value(OpT::create(*this, i32(), get(a), get(b)).getResult()));
  }
  mlir::LLVM::LoopAnnotationAttr getRolled();

  mlir::Region &body;
  mlir::Block *entry;
  llvm::DenseMap<std::pair<mlir::Type, int64_t>, mlir::Value> constants;
};

} // namespace tilecode
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_TILETONVVM_CODE_H
