// Where buffers go in an arena: static addresses from lifetimes.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_ANALYSIS_PACKBUFFERS_H
#define NIBBLE_ANALYSIS_PACKBUFFERS_H

#include "llvm/ADT/ArrayRef.h"

#include <cstdint>

namespace nibble {

/// A buffer of `size` bytes that lives during steps [first, last], both
/// included. Two buffers may share addresses if no step is in both lives.
struct Lifetime {
  int64_t size = 0;
  int64_t first = 0, last = 0;
  int64_t offset = -1; ///< set by packBuffers
};

/// The most bytes that live at one step: no placement needs less. If `step` is
/// given, it becomes the first step of that many.
int64_t getLivenessBound(llvm::ArrayRef<Lifetime> buffers,
                         int64_t *step = nullptr);

struct PackOptions {
  /// How much work the local search may do, in pairs of overlapping buffers
  /// looked at. It ends early where the bound is met.
  int64_t searchBudget = 1 << 21;
};

/// Sets the offsets of all buffers and returns the size of the arena. Buffers
/// that live at the same step do not overlap. Offsets are sums of sizes, so
/// they are multiples of whatever all sizes are multiples of.
///
/// Finding the smallest arena is NP-hard. This places the buffers one by one,
/// in several orders (largest, longest, first, most bytes times steps, the
/// fullest step first), each at the lowest address or in the tightest gap, and
/// improves the best order by moving the buffers at the top of the arena
/// forward. The result depends on the input only: no clock, no random seed from
/// outside.
int64_t packBuffers(llvm::MutableArrayRef<Lifetime> buffers,
                    const PackOptions &options = {});

} // namespace nibble

#endif // NIBBLE_ANALYSIS_PACKBUFFERS_H
