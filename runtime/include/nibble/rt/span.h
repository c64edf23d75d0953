// A pointer and a length: what C++20 calls std::span.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_SPAN_H
#define NIBBLE_RT_SPAN_H

#include <cstddef>
#include <vector>

namespace nibble {
namespace rt {

/// Does not own its elements.
template <typename T> class Span {
public:
  Span() = default;
  Span(T *data, size_t size) : first(data), count(size) {}
  template <typename U>
  Span(const std::vector<U> &v) : first(v.data()), count(v.size()) {}

  T *data() const { return first; }
  size_t size() const { return count; }
  bool empty() const { return count == 0; }
  T *begin() const { return first; }
  T *end() const { return first + count; }
  T &operator[](size_t i) const { return first[i]; }

private:
  T *first = nullptr;
  size_t count = 0;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_SPAN_H
