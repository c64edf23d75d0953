// A trace of runs for chrome://tracing and ui.perfetto.dev.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Trace.h"

#include "nibble/rt/json_writer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

using namespace nibble::rt;

void Trace::add(Track track, std::string name, double begin, double seconds) {
  spans.push_back({track, std::move(name), "", begin, seconds});
}

void Trace::add(const LaunchInfo &launch, uint32_t index, double begin,
                double seconds) {
  spans.push_back({Launches, std::string(launch.layer), std::string(launch.op),
                   begin, seconds, int64_t(index), launch.bytes, launch.flops});
}

/// Names of the process and of the tracks.
static void writeName(JsonWriter &json, const char *what, int track,
                      const std::string &name) {
  json.beginObject().field("ph", "M").field("pid", 1).field("tid", track);
  json.field("name", what).key("args").beginObject().field("name", name);
  json.endObject().endObject();
}

Status Trace::write(const std::string &file, const std::string &process) const {
  double begin = spans.empty() ? 0 : spans[0].begin;
  for (const Span &span : spans)
    begin = std::min(begin, span.begin);
  JsonWriter json;
  json.beginObject().field("displayTimeUnit", "ns");
  json.key("traceEvents").beginArray();
  writeName(json, "process_name", 0, process);
  writeName(json, "thread_name", Host, "host");
  writeName(json, "thread_name", Run, "device: copies and launches");
  writeName(json, "thread_name", Launches, "device: layers");
  for (const Span &span : spans) {
    json.beginObject().field("ph", "X").field("pid", 1);
    json.field("tid", int(span.track)).field("name", span.name);
    json.field("ts", (span.begin - begin) * 1e6)
        .field("dur", span.seconds * 1e6);
    if (span.launch >= 0) {
      json.field("cat", span.op).key("args").beginObject();
      json.field("launch", span.launch).field("op", span.op);
      json.field("bytes", span.bytes).field("flops", span.flops).endObject();
    }
    json.endObject();
  }
  json.endArray().endObject();
  std::ofstream out(file, std::ios::binary);
  out << json.str();
  out.close();
  if (out)
    return Status();
  return error(Code::Io, "cannot write '%s': %s", file.c_str(),
               std::strerror(errno));
}
