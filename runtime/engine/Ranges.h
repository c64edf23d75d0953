// NVTX ranges: what a profiler shows beside kernels.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// NVTX is a protocol, not a library that must be there: a profiler names a
// library in NVTX_INJECTION64_PATH, which is loaded and fills a table of
// functions (nvtx3's headers do the same). Without one, libnvToolsExt.so.1 is
// used if the program has loaded it; else ranges cost a test of a flag.
#ifndef NIBBLE_RT_ENGINE_RANGES_H
#define NIBBLE_RT_ENGINE_RANGES_H

#include <string_view>

namespace nibble {
namespace rt {

/// A range of this thread, "NAME" or "NAME (OP)", while it lives.
class Range {
public:
  explicit Range(std::string_view name, std::string_view op = {});
  ~Range();
  Range(const Range &) = delete;

private:
  bool pushed = false;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_ENGINE_RANGES_H
