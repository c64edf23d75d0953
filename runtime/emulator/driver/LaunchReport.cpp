// What launches did, line by line.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/LaunchReport.h"

#include "report/Limits.h"
#include "report/Report.h"

#include <cerrno>
#include <cstring>

using namespace nibble::emu;
using nibble::rt::JsonWriter;

std::string LaunchReport::open(const std::string &wanted,
                               const std::string &arch) {
  path = wanted;
  file = std::fopen(path.c_str(), "w");
  hasLimits = findLimits(arch, limits);
  return file ? ""
              : "NIBBLE_EMU_REPORT: cannot write '" + path +
                    "': " + std::strerror(errno);
}

static void writeDim(JsonWriter &json, const char *name, Dim3 d) {
  json.key(name).beginArray().value(d.x).value(d.y).value(d.z).endArray();
}

std::string LaunchReport::write(const KernelWork &work, uint64_t launch,
                                uint64_t seed, const Counters &counters,
                                const Traffic &traffic,
                                const std::string &fault) {
  JsonWriter json(JsonWriter::Layout::OneLine);
  json.beginObject().field("schema", "nibble.emu-report/1");
  json.field("launch", launch).field("kernel", work.function->name);
  writeDim(json, "grid", work.grid);
  writeDim(json, "block", work.block);
  writeDim(json, "cluster", work.cluster);
  json.field("dynamic_shared", work.dynamicShared).field("seed", seed);
  if (!fault.empty())
    json.field("fault", fault);
  writeCounters(json, counters);
  if (hasLimits && limits.l2MiB > 0)
    writeDram(json, traffic, work.cluster.count(), limits);
  if (hasLimits)
    writeEstimate(json, counters, limits);
  json.endObject();
  bool written =
      std::fputs(json.str().c_str(), file) >= 0 && !std::fflush(file);
  return written ? ""
                 : "NIBBLE_EMU_REPORT: cannot write '" + path +
                       "': " + std::strerror(errno);
}
