// Sorting that keeps equal elements in order.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_SUPPORT_STABLESORT_H
#define NIBBLE_SUPPORT_STABLESORT_H

#include "llvm/ADT/STLExtras.h"

#include <utility>
#include <vector>

namespace nibble {

/// Sorts by `less`; equal elements stay in the order in which they were, so the
/// result does not depend on how it is sorted. That of libstdc++ 12 uses what
/// C++17 deprecates, and compilers warn where it is used.
template <typename Range, typename Less>
void stableSort(Range &range, Less less) {
  using Element = std::decay_t<decltype(*std::begin(range))>;
  std::vector<std::pair<Element, size_t>> numbered;
  for (Element &element : range)
    numbered.emplace_back(std::move(element), numbered.size());
  llvm::sort(numbered, [&](const auto &x, const auto &y) {
    return less(x.first, y.first) ||
           (x.second < y.second && !less(y.first, x.first));
  });
  for (auto [element, sorted] : llvm::zip_equal(range, numbered))
    element = std::move(sorted.first);
}

} // namespace nibble

#endif // NIBBLE_SUPPORT_STABLESORT_H
