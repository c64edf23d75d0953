// Results of candidates that add up in different orders.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_BENCH_CANDIDATECOMPARE_H
#define NIBBLE_RT_BENCH_CANDIDATECOMPARE_H

#include "nibble/rt/engine.h"

#include <string>
#include <vector>

namespace nibble {
namespace rt {
namespace cli {

/// Into how many slices a schedule cuts K (" k4" at its end), as text; "" for
/// one. Schedules of as many slices add up in the same order: equal bits.
std::string_view getSlices(std::string_view schedule);

/// "", or how far apart two outputs (CandidateBuffers::read) are that only
/// rounding may tell apart: a hundredth of any element and four thousandths of
/// all, for codes of 8 bits a step of them; scales behind codes are equal.
std::string whyNotClose(const PortInfo &port, const std::vector<uint8_t> &found,
                        const std::vector<uint8_t> &wanted);

} // namespace cli
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_BENCH_CANDIDATECOMPARE_H
