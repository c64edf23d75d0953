// A first estimate of the time of a kernel: what each part of a machine needs
// at least. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// CTAs are dealt out evenly, the machine is as slow as its busiest SM, and each
// unit does its work at full speed beside the others: the largest part is a
// bound from below, not a prediction. Latencies, occupancy, caches and clocks
// that fall under load are not in it.
#ifndef NIBBLE_RT_EMULATOR_EXEC_ESTIMATE_H
#define NIBBLE_RT_EMULATOR_EXEC_ESTIMATE_H

#include "exec/Counters.h"

#include <string>

namespace nibble {
namespace emu {

/// The limits of a machine: runtime/emulator/targets has them as files.
struct Limits {
  std::string name;
  double sms = 0, clockGHz = 0;
  double issuePerClock = 0;       ///< instructions of warps per SM
  double sharedBytesPerClock = 0; ///< per SM
  double dramGBs = 0;
  double l2MiB = 0; ///< 0: not known
  /// Multiply-adds per clock and SM; 0: not known, or the machine has none.
  double multiplies[unsigned(TensorKind::Count)] = {};
};

/// Microseconds.
struct Estimate {
  double issue = 0, tensor = 0, shared = 0, dram = 0;
  double tensorCycles = 0; ///< of the busiest SM
  bool tensorKnown = true; ///< false: products that the limits do not cover
  double total() const;
  const char *bound() const; ///< the part that is the largest
};
Estimate estimate(const Counters &counters, const Limits &limits);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_ESTIMATE_H
