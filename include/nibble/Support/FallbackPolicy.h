// FallbackPolicy: which layers may fall to which format, as --allow-fallback
// says.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_SUPPORT_FALLBACKPOLICY_H
#define NIBBLE_SUPPORT_FALLBACKPOLICY_H

#include "nibble/Support/LayerGlob.h"

#include "llvm/ADT/ArrayRef.h"
#include "llvm/ADT/SmallVector.h"
#include "llvm/ADT/StringRef.h"
#include "llvm/Support/Error.h"

#include <mutex>
#include <string>
#include <vector>

namespace nibble {

/// An ordered list of permissions `GLOB:FORMAT`; the glob is over layer names
/// (LayerGlob.h), the format any word that the stage that asks knows: f32,
/// bf16, fp8, ...
///
/// One object serves all stages of a compile, so that permissions nobody needed
/// can be reported at its end. Thread-safe.
class FallbackPolicy {
public:
  FallbackPolicy() = default;
  FallbackPolicy(FallbackPolicy &&other)
      : permissions(std::move(other.permissions)) {}
  FallbackPolicy &operator=(FallbackPolicy &&other) {
    permissions = std::move(other.permissions);
    return *this;
  }

  /// Fails on text without a ':', an empty or malformed glob, or a format that
  /// is not among `formats`.
  static llvm::Expected<FallbackPolicy>
  parse(llvm::ArrayRef<std::string> texts,
        llvm::ArrayRef<llvm::StringRef> formats);

  /// Formats that a layer may fall to, in the order of the command line. Does
  /// not count as use.
  llvm::SmallVector<llvm::StringRef> formatsFor(llvm::StringRef layer) const;

  /// True if `layer` may fall to `format`. The permission counts as used: ask
  /// when the layer falls, not before.
  bool permits(llvm::StringRef layer, llvm::StringRef format);

  /// Texts of the permissions that no layer needed.
  std::vector<std::string> unused() const;

private:
  struct Permission {
    std::string text, format;
    LayerGlob glob;
    bool used = false;
  };
  mutable std::mutex mutex;
  std::vector<Permission> permissions;
};

} // namespace nibble

#endif // NIBBLE_SUPPORT_FALLBACKPOLICY_H
