// Candidates as a table and as JSON.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Candidates.h"
#include "Execution.h"

#include "nibble/rt/bench.h"
#include "nibble/rt/json_writer.h"

#include <algorithm>
#include <cstdio>

using namespace nibble::rt;
using namespace nibble::rt::cli;

bool CandidateResults::allRight() const {
  for (const CandidateGroup &group : groups)
    for (const Candidate &candidate : group.candidates)
      if (!candidate.wrong.empty())
        return false;
  return true;
}

static double tera(const ScheduleKey &key, double seconds) {
  return seconds > 0 ? key.flops() / seconds * 1e-12 : 0;
}

static std::string headline(const CandidateGroup &group) {
  const ScheduleKey &key = group.key;
  char text[320];
  std::snprintf(
      text, sizeof text,
      "%s: %s, %llux%llux%llu, products %llu, result bytes %llu; %zu "
      "candidates; inputs of %.1f MiB in %llu copies; %llu launches cool, "
      "%llu hot\n",
      printable(group.name).c_str(), printable(key.kernel).c_str(),
      (unsigned long long)key.m, (unsigned long long)key.n,
      (unsigned long long)key.k, (unsigned long long)key.products,
      (unsigned long long)key.resultBytes, group.candidates.size(),
      double(group.rotatedBytes) / (1 << 20), (unsigned long long)group.copies,
      (unsigned long long)group.coolLaunches,
      (unsigned long long)group.hotLaunches);
  return text;
}

static std::string row(const ScheduleKey &key, double cool, double hot,
                       size_t rounds) {
  char text[120];
  std::snprintf(text, sizeof text, "%10.2f %8.1f %10.2f %8.1f %6zu  ",
                cool * 1e6, tera(key, cool), hot * 1e6, tera(key, hot), rounds);
  return text;
}

static std::string ratios(const CandidateGroup &group, const Candidate &c) {
  std::string text;
  for (const Peer &peer : group.peers) {
    char ratio[80];
    std::snprintf(ratio, sizeof ratio, "  %.3f / %.3f of ",
                  peer.cool / c.medianCool(), peer.hot / c.medianHot());
    text += ratio + printable(peer.name);
  }
  return text;
}

static std::string table(const CandidateGroup &group) {
  std::string text = headline(group);
  text += "   us cool  TFLOP/s     us hot  TFLOP/s rounds  schedule\n";
  for (const Candidate &c : group.candidates) {
    text += row(group.key, c.medianCool(), c.medianHot(), c.cool.size());
    text += printable(c.schedule) + " (" + printable(c.name) + ")";
    text += c.wrong.empty() ? ratios(group, c) : "  WRONG, " + c.wrong;
    text += "\n";
  }
  for (const Peer &peer : group.peers)
    text +=
        row(group.key, peer.cool, peer.hot, 0) + printable(peer.name) + "\n";
  return text;
}

std::string CandidateResults::text() const {
  std::string text =
      "engine  " + engine + "\ndevice  " + device + ", " + description + "\n";
  for (const CandidateGroup &group : groups)
    text += "\n" + table(group);
  return text;
}

static void writeTimes(JsonWriter &json, const char *name,
                       const std::vector<double> &seconds) {
  Statistics s = statistics(seconds, {});
  json.key(name).beginObject();
  json.field("median", s.median * 1e6).field("min", s.min * 1e6);
  json.field("max", s.max * 1e6).endObject();
}

static void writeCandidate(JsonWriter &json, const Candidate &c) {
  json.beginObject().field("entry", c.name).field("schedule", c.schedule);
  json.field("right", c.wrong.empty());
  if (!c.wrong.empty())
    json.field("wrong", c.wrong);
  json.field("rounds", uint64_t(c.cool.size())).field("dropped", c.dropped);
  json.field("us", c.score() * 1e6);
  writeTimes(json, "us_cool", c.cool);
  writeTimes(json, "us_hot", c.hot);
  json.endObject();
}

static void writeGroup(JsonWriter &json, const CandidateGroup &group) {
  const ScheduleKey &key = group.key;
  json.beginObject().field("group", group.name).field("kernel", key.kernel);
  json.field("m", key.m).field("n", key.n).field("k", key.k);
  json.field("products", key.products).field("result_bytes", key.resultBytes);
  json.field("flops", key.flops());
  json.field("copies", group.copies).field("copied_bytes", group.rotatedBytes);
  json.field("launches_cool", group.coolLaunches);
  json.field("launches_hot", group.hotLaunches);
  json.key("candidates").beginArray();
  for (const Candidate &candidate : group.candidates)
    writeCandidate(json, candidate);
  json.endArray();
  json.key("peers").beginArray();
  for (const Peer &peer : group.peers)
    json.beginObject()
        .field("peer", peer.name)
        .field("us_cool", peer.cool * 1e6)
        .field("us_hot", peer.hot * 1e6)
        .endObject();
  json.endArray().endObject();
}

std::string CandidateResults::json() const {
  JsonWriter json;
  json.beginObject().field("schema", "nibble.candidates/1");
  json.field("engine", engine).field("device", device);
  json.field("device_description", description);
  json.field("right", allRight());
  json.key("groups").beginArray();
  for (const CandidateGroup &group : groups)
    writeGroup(json, group);
  json.endArray().key("warnings").beginArray();
  for (const std::string &warning : warnings)
    json.value(warning);
  json.endArray().endObject();
  return json.str();
}
