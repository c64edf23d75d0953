// FallbackPolicy: parsing and look-up.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/Support/FallbackPolicy.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"

using namespace nibble;
using llvm::StringRef;

static llvm::Error makeError(StringRef text, const llvm::Twine &what) {
  return llvm::createStringError("--allow-fallback '" + text + "' " + what);
}

llvm::Expected<FallbackPolicy>
FallbackPolicy::parse(llvm::ArrayRef<std::string> texts,
                      llvm::ArrayRef<StringRef> formats) {
  FallbackPolicy policy;
  for (const std::string &text : texts) {
    auto [glob, format] = StringRef(text).rsplit(':');
    if (glob.empty() || format.empty())
      return makeError(text, "is not GLOB:FORMAT");
    if (!llvm::is_contained(formats, format))
      return makeError(text, "names an unknown format; formats are " +
                                 llvm::join(formats, ", "));
    auto pattern = LayerGlob::create(glob);
    if (!pattern)
      return makeError(text, "has a bad glob: " +
                                 llvm::toString(pattern.takeError()));
    policy.permissions.push_back({text, format.str(), std::move(*pattern)});
  }
  return policy;
}

llvm::SmallVector<StringRef> FallbackPolicy::formatsFor(StringRef layer) const {
  llvm::SmallVector<StringRef> formats;
  for (const Permission &permission : permissions)
    if (permission.glob.match(layer))
      formats.push_back(permission.format);
  return formats;
}

bool FallbackPolicy::permits(StringRef layer, StringRef format) {
  std::lock_guard<std::mutex> lock(mutex);
  for (Permission &permission : permissions)
    if (permission.format == format && permission.glob.match(layer))
      return permission.used = true;
  return false;
}

std::vector<std::string> FallbackPolicy::unused() const {
  std::lock_guard<std::mutex> lock(mutex);
  std::vector<std::string> texts;
  for (const Permission &permission : permissions)
    if (!permission.used)
      texts.push_back(permission.text);
  return texts;
}
