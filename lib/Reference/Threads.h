// A loop whose ranges run on several threads.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_LIB_REFERENCE_THREADS_H
#define NIBBLE_LIB_REFERENCE_THREADS_H

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace nibble::ref {

/// Calls body(begin, end) on disjoint ranges of at most `grain` that cover
/// [0, count); ranges go to whichever thread is free. The caller is one of the
/// `threads`.
template <typename Body>
void parallelFor(unsigned threads, int64_t count, int64_t grain, Body body) {
  std::atomic<int64_t> next{0};
  auto work = [&] {
    for (int64_t i; (i = next.fetch_add(grain)) < count;)
      body(i, std::min(i + grain, count));
  };
  int64_t ranges = (count + grain - 1) / grain;
  std::vector<std::thread> helpers;
  for (int64_t t = 1; t < std::min<int64_t>(threads, ranges); ++t)
    helpers.emplace_back(work);
  work();
  for (std::thread &helper : helpers)
    helper.join();
}

} // namespace nibble::ref

#endif // NIBBLE_LIB_REFERENCE_THREADS_H
