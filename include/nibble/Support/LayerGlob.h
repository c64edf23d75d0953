// LayerGlob: a pattern over layer names.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_SUPPORT_LAYERGLOB_H
#define NIBBLE_SUPPORT_LAYERGLOB_H

#include "llvm/Support/Error.h"
#include "llvm/Support/GlobPattern.h"

#include <memory>
#include <string>

namespace nibble {

/// `*` any text, also across '/'; `?` one character; `[a-c]`, `[!a-c]`;
/// `{x,y}`; `\` takes the next character as it is. Owns its text, which
/// llvm::GlobPattern only refers to.
class LayerGlob {
public:
  static llvm::Expected<LayerGlob> create(llvm::StringRef text) {
    auto owned = std::make_shared<const std::string>(text);
    auto pattern = llvm::GlobPattern::create(*owned, /*MaxSubPatterns=*/1024);
    if (!pattern)
      return pattern.takeError();
    return LayerGlob(std::move(owned), std::move(*pattern));
  }

  bool match(llvm::StringRef layer) const { return pattern.match(layer); }
  llvm::StringRef getText() const { return *text; }

private:
  LayerGlob(std::shared_ptr<const std::string> text, llvm::GlobPattern pattern)
      : text(std::move(text)), pattern(std::move(pattern)) {}

  std::shared_ptr<const std::string> text;
  llvm::GlobPattern pattern;
};

} // namespace nibble

#endif // NIBBLE_SUPPORT_LAYERGLOB_H
