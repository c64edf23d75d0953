// What a launch has done, counted.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_COUNTERS_H
#define NIBBLE_RT_EMULATOR_EXEC_COUNTERS_H

#include <cstdint>

namespace nibble {
namespace emu {

/// Classes of instructions. Generic accesses count by what the text says, not
/// by where they go.
enum class InstClass : uint8_t {
  Integer,
  Float,
  Conversion,
  Move,
  Generic,
  Global,
  Shared,
  Local,
  Param, ///< parameters and constants
  Copy,  ///< cp.async, bulk and tensor copies
  Control,
  Barrier, ///< bar, barrier, mbarrier, fences
  Warp,    ///< shfl, vote, match, redux, elect
  Tensor,  ///< mma, wgmma, tcgen05, ldmatrix, stmatrix
  Other,
  Count
};
const char *className(InstClass kind);

/// What tensor cores multiply; machines have one speed for each.
enum class TensorKind : uint8_t { F16, TF32, F8, F4, I8, Count };
const char *tensorKindName(TensorKind kind);

/// Threads add theirs at the end: sums, and maxima where it says peak.
struct Counters {
  uint64_t instructions = 0; ///< of warps
  uint64_t byClass[unsigned(InstClass::Count)] = {};
  uint64_t globalRead = 0, globalWritten = 0; ///< bytes, with those of copies
  uint64_t copyRead = 0, copyWritten = 0;     ///< of them: bulk and tensor
  uint64_t sharedRead = 0, sharedWritten = 0; ///< bytes of lanes
  /// Bytes of shared memory that copies and tensor cores read and write.
  uint64_t sharedAsyncRead = 0, sharedAsyncWritten = 0;
  /// A shared memory access of a warp takes a wavefront for each 128 bytes at
  /// best; those beyond are conflicts of banks.
  uint64_t sharedAccesses = 0, wavefronts = 0, conflicts = 0;
  uint64_t multiplies[unsigned(TensorKind::Count)] = {}; ///< multiply-adds
  uint64_t sharedBytes = 0; ///< of a CTA: what the launch gives
  uint64_t sharedPeak = 0;  ///< end of what any CTA has written
  uint64_t tensorPeak = 0;  ///< columns of tensor memory at once, of a CTA
  uint64_t ctas = 0;
  void add(const Counters &other);
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_COUNTERS_H
