// Counters and estimates as JSON.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_REPORT_REPORT_H
#define NIBBLE_RT_EMULATOR_REPORT_REPORT_H

#include "exec/Estimate.h"
#include "exec/Traffic.h"
#include "nibble/rt/json_writer.h"

namespace nibble {
namespace emu {

/// Fields of the object that is being written (docs/emulator.md).
void writeCounters(rt::JsonWriter &json, const Counters &counters);
/// The field "dram": bytes beyond the L2 cache of a machine; `cluster`: CTAs of
/// one.
void writeDram(rt::JsonWriter &json, const Traffic &traffic, uint64_t cluster,
               const Limits &limits);
/// The field "estimate": microseconds, and the part that is the largest.
void writeEstimate(rt::JsonWriter &json, const Counters &counters,
                   const Limits &limits);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_REPORT_REPORT_H
