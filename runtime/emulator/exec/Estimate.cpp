// A first estimate of the time of a kernel.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Estimate.h"

#include <algorithm>
#include <cmath>

using namespace nibble::emu;

double Estimate::total() const {
  return std::max({issue, tensor, shared, dram});
}

const char *Estimate::bound() const {
  return total() == dram     ? "dram"
         : total() == tensor ? "tensor"
         : total() == shared ? "shared"
                             : "issue";
}

Estimate nibble::emu::estimate(const Counters &c, const Limits &limits) {
  Estimate e;
  // The share of the busiest SM.
  double ctas = std::max<double>(double(c.ctas), 1);
  double share = std::ceil(ctas / limits.sms) / ctas;
  double perUs = limits.clockGHz * 1e3;
  e.issue = double(c.instructions) * share / limits.issuePerClock / perUs;
  for (unsigned k = 0; k < unsigned(TensorKind::Count); ++k) {
    if (!c.multiplies[k])
      continue;
    if (limits.multiplies[k] > 0)
      e.tensorCycles += double(c.multiplies[k]) * share / limits.multiplies[k];
    else
      e.tensorKnown = false;
  }
  e.tensor = e.tensorCycles / perUs;
  constexpr double kWavefront = 128;
  double bytes = double(c.wavefronts) * kWavefront +
                 double(c.sharedAsyncRead + c.sharedAsyncWritten);
  e.shared = bytes * share / limits.sharedBytesPerClock / perUs;
  e.dram = double(c.globalRead + c.globalWritten) / (limits.dramGBs * 1e3);
  return e;
}
