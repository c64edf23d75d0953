// Counters and estimates as JSON.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "report/Report.h"

using namespace nibble::emu;
using nibble::rt::JsonWriter;

void nibble::emu::writeCounters(JsonWriter &json, const Counters &c) {
  json.field("ctas", c.ctas).field("instructions", c.instructions);
  json.key("by_class").beginObject();
  for (unsigned i = 0; i < unsigned(InstClass::Count); ++i)
    json.field(className(InstClass(i)), c.byClass[i]);
  json.endObject();
  json.field("global_read", c.globalRead)
      .field("global_written", c.globalWritten)
      .field("copy_read", c.copyRead)
      .field("copy_written", c.copyWritten)
      .field("shared_read", c.sharedRead)
      .field("shared_written", c.sharedWritten)
      .field("shared_async_read", c.sharedAsyncRead)
      .field("shared_async_written", c.sharedAsyncWritten)
      .field("shared_accesses", c.sharedAccesses)
      .field("shared_wavefronts", c.wavefronts)
      .field("bank_conflicts", c.conflicts)
      .field("shared_bytes", c.sharedBytes)
      .field("shared_peak", c.sharedPeak)
      .field("tensor_columns_peak", c.tensorPeak);
  json.key("multiply_adds").beginObject();
  for (unsigned i = 0; i < unsigned(TensorKind::Count); ++i)
    json.field(tensorKindName(TensorKind(i)), c.multiplies[i]);
  json.endObject();
}

void nibble::emu::writeDram(JsonWriter &json, const Traffic &traffic,
                            uint64_t cluster, const Limits &limits) {
  unsigned slots = unsigned(limits.sms / double(cluster));
  DramBytes dram = traffic.replay(slots, uint64_t(limits.l2MiB * (1 << 20)));
  json.key("dram").beginObject();
  json.field("read", dram.read)
      .field("written", dram.written)
      .field("read_once", dram.readOnce)
      .field("written_once", dram.writtenOnce);
  json.endObject();
}

void nibble::emu::writeEstimate(JsonWriter &json, const Counters &c,
                                const Limits &limits) {
  Estimate e = estimate(c, limits);
  json.key("estimate").beginObject();
  json.field("target", limits.name);
  json.field("tensor_cycles", e.tensorCycles)
      .field("tensor_known", e.tensorKnown);
  json.field("issue_us", e.issue)
      .field("tensor_us", e.tensor)
      .field("shared_us", e.shared)
      .field("dram_us", e.dram)
      .field("total_us", e.total());
  json.field("bound", e.bound());
  json.endObject();
}
