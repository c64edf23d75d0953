// Uses of values that compilers do not see through.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_CONVERSION_NQTOGPU_HIDDENUSE_H
#define NIBBLE_LIB_CONVERSION_NQTOGPU_HIDDENUSE_H

#include "mlir/IR/ImplicitLocOpBuilder.h"

namespace nibble {
namespace gpu {

/// The assembler moves reads down to where their values are used, behind
/// branches and barriers, to save registers; then their latencies add up. What
/// has to wait for a read before that keeps it early.
class HiddenUse {
public:
  explicit HiddenUse(mlir::ImplicitLocOpBuilder &b) : b(b) {}

  /// All words of 16 bytes are read at once: one of each is taken. Nothing of
  /// what is no number of 16 or 32 bits, and no vector of whole words.
  void add(mlir::Value value);
  bool empty() const { return !all; }
  void clear() { all = {}; }

  /// An i32 of 0 that depends on all that was added.
  mlir::Value zero() const;
  /// The same number of 32 bits, which depends on that as well.
  mlir::Value tie(mlir::Value number) const;
  /// The same i32, of which LLVM knows nothing.
  mlir::Value hide(mlir::Value number) const;

private:
  void addWord(mlir::Value word);

  mlir::ImplicitLocOpBuilder &b;
  mlir::Value all;
};

} // namespace gpu
} // namespace nibble

#endif // NIBBLE_LIB_CONVERSION_NQTOGPU_HIDDENUSE_H
