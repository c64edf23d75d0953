// Which entry points are candidates, and the verb that compares them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Candidates.h"

#include "CandidateBench.h"
#include "Execution.h"

#include "nibble/rt/flat_json.h"
#include "nibble/rt/json_writer.h"

#include <algorithm>
#include <fstream>

using namespace nibble::rt;
using namespace nibble::rt::cli;

Result<ScheduleKey> ScheduleKey::parse(std::string_view text) {
  Result<FlatJson> json = FlatJson::parse(text);
  if (!json.ok())
    return json.status();
  ScheduleKey key;
  const std::string *kernel = json->text("kernel");
  if (!kernel)
    return error(Code::Malformed, "lacks the text 'kernel'");
  key.kernel = *kernel;
  std::pair<const char *, uint64_t *> fields[] = {
      {"m", &key.m},
      {"n", &key.n},
      {"k", &key.k},
      {"products", &key.products},
      {"result_bytes", &key.resultBytes}};
  for (auto [name, field] : fields) {
    const double *number = json->number(name);
    if (!number || !(*number >= 1) || !(*number < 1e15))
      return error(Code::Malformed, "lacks a positive number '%s'", name);
    *field = uint64_t(*number);
  }
  return key;
}

static void writeKey(JsonWriter &json, const ScheduleKey &key) {
  json.field("kernel", key.kernel).field("m", key.m).field("n", key.n);
  json.field("k", key.k).field("products", key.products);
  json.field("result_bytes", key.resultBytes);
}

std::string ScheduleKey::json() const {
  JsonWriter json(JsonWriter::Layout::OneLine);
  writeKey(json.beginObject(), *this);
  json.endObject();
  std::string text = json.str();
  text.pop_back(); // the newline
  return text;
}

std::string cli::tuningRow(const ScheduleKey &key, const Candidate &candidate,
                           const std::string &device) {
  auto us = [](double seconds) {
    return double(int64_t(seconds * 1e9 + 0.5)) / 1e3;
  };
  JsonWriter json(JsonWriter::Layout::OneLine);
  writeKey(json.beginObject(), key);
  json.field("schedule", candidate.schedule);
  json.field("us", us(candidate.score()));
  json.field("us_cool", us(candidate.medianCool()));
  json.field("us_hot", us(candidate.medianHot()));
  json.field("device", device).endObject();
  return json.str();
}

static Status notACandidate(const EntryInfo &entry, const std::string &why) {
  return error(Code::InvalidArgument,
               "entry point '%s' is no candidate: %s; --candidates wants an "
               "engine made by nibble compile --candidates N",
               printable(entry.name).c_str(), why.c_str());
}

static bool samePorts(const std::vector<PortInfo> &a,
                      const std::vector<PortInfo> &b) {
  auto same = [](const PortInfo &x, const PortInfo &y) {
    return x.dtype == y.dtype && x.byteSize == y.byteSize &&
           std::equal(x.shape.begin(), x.shape.end(), y.shape.begin(),
                      y.shape.end());
  };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
}

static CandidateGroup &groupOf(std::vector<CandidateGroup> &groups,
                               const std::string &name,
                               const ScheduleKey &key) {
  for (CandidateGroup &group : groups)
    if (group.name == name)
      return group;
  groups.emplace_back();
  groups.back().name = name;
  groups.back().key = key;
  return groups.back();
}

static Status addCandidate(const EngineInfo &info, uint32_t index,
                           std::vector<CandidateGroup> &groups) {
  const EntryInfo &entry = info.entries[index];
  if (entry.launches.size() != 1)
    return notACandidate(entry, std::to_string(entry.launches.size()) +
                                    " launches instead of one");
  const LaunchInfo &launch = entry.launches[0];
  Result<ScheduleKey> key = ScheduleKey::parse(launch.op);
  if (!key.ok())
    return notACandidate(entry, "its key " + key.status().message());
  std::string group(entry.name.substr(0, entry.name.rfind('/')));
  CandidateGroup &into = groupOf(groups, group, *key);
  if (key->json() != into.key.json())
    return notACandidate(entry, "its key is not that of its group");
  if (!into.candidates.empty()) {
    const EntryInfo &first = info.entries[into.candidates[0].entry];
    if (!samePorts(entry.inputs, first.inputs) ||
        !samePorts(entry.outputs, first.outputs))
      return notACandidate(entry, "its ports are not those of its group");
  }
  Candidate candidate;
  candidate.entry = index;
  candidate.name = std::string(entry.name);
  candidate.schedule = std::string(launch.layer);
  into.candidates.push_back(std::move(candidate));
  return Status();
}

Result<std::vector<CandidateGroup>>
cli::findCandidates(const EngineInfo &info, const std::string &only,
                    const std::vector<std::string> &except) {
  std::vector<CandidateGroup> groups;
  std::string names;
  for (uint32_t i = 0; i < info.entries.size(); ++i) {
    std::string name(info.entries[i].name);
    if (std::find(except.begin(), except.end(), name) == except.end())
      NIBBLE_RETURN_IF_ERROR(addCandidate(info, i, groups));
  }
  for (const std::string &name : except)
    if (std::none_of(info.entries.begin(), info.entries.end(),
                     [&](const EntryInfo &e) { return e.name == name; }))
      return error(Code::NotFound, "--except '%s': no such entry point",
                   name.c_str());
  for (const CandidateGroup &group : groups)
    names += (names.empty() ? "" : ", ") + printable(group.name);
  if (!only.empty())
    groups.erase(
        std::remove_if(groups.begin(), groups.end(),
                       [&](const CandidateGroup &g) { return g.name != only; }),
        groups.end());
  if (groups.empty())
    return error(Code::NotFound, "no group '%s' of candidates; there are: %s",
                 only.c_str(), names.c_str());
  return groups;
}

static Status addPeer(const std::string &line,
                      std::vector<CandidateGroup> &groups) {
  Result<ScheduleKey> key = ScheduleKey::parse(line);
  if (!key.ok())
    return key.status();
  FlatJson json = *FlatJson::parse(line);
  const std::string *name = json.text("peer");
  const double *cool = json.number("us_cool"), *hot = json.number("us_hot");
  if (!name || !cool || !hot)
    return error(Code::Malformed,
                 "lacks one of 'peer' (a text), 'us_cool', 'us_hot'");
  for (CandidateGroup &group : groups)
    if (group.key.json() == key->json())
      group.peers.push_back({*name, *cool * 1e-6, *hot * 1e-6});
  return Status();
}

Status cli::readPeers(const std::string &path,
                      std::vector<CandidateGroup> &groups) {
  std::ifstream file(path);
  if (!file)
    return error(Code::NotFound, "cannot read '%s'", path.c_str());
  std::string line;
  for (unsigned number = 1; std::getline(file, line); ++number)
    if (line.find_first_not_of(" \t\r") != std::string::npos)
      NIBBLE_RETURN_IF_ERROR(
          addPeer(line, groups)
              .withContext(path + ":" + std::to_string(number)));
  return Status();
}

/// The name before the first comma: "NVIDIA H100 80GB HBM3".
static std::string deviceName(const Device &device) {
  std::string text = device.description();
  std::string name = text.substr(0, text.find(','));
  return std::string(device.name()) == "cuda"
             ? name
             : std::string(device.name()) + ": " + name;
}

static Status writeRows(const std::string &path,
                        const CandidateResults &results,
                        const std::string &device) {
  std::ofstream file(path, std::ios::app);
  for (const CandidateGroup &group : results.groups)
    if (!group.candidates.empty() && group.candidates[0].wrong.empty())
      file << tuningRow(group.key, group.candidates[0], device);
  file.flush();
  return file ? Status()
              : error(Code::Io, "cannot write rows to '%s'", path.c_str());
}

static Status measure(const BenchOptions &options, Streams streams,
                      CandidateResults &results) {
  if (!options.candidates.rounds)
    return error(Code::InvalidArgument, "--rounds 0 measures nothing");
  Execution e;
  NIBBLE_RETURN_IF_ERROR(open(options, e));
  auto groups = findCandidates(e.engine->info(), options.entry,
                               options.candidates.except);
  if (!groups.ok())
    return groups.status();
  results.groups = std::move(*groups);
  if (!options.candidates.peers.empty())
    NIBBLE_RETURN_IF_ERROR(readPeers(options.candidates.peers, results.groups));
  results.engine = options.engine;
  results.device = e.device->name();
  results.description = e.device->description();
  if (results.device != "cuda")
    results.warnings.push_back(
        "device " + results.device +
        ": results are compared, but the times say nothing about a GPU");
  CandidateBench bench(*e.context, options.candidates, streams);
  for (CandidateGroup &group : results.groups)
    NIBBLE_RETURN_IF_ERROR(
        bench.run(group).withContext("candidates of " + group.name));
  if (options.candidates.rows.empty())
    return Status();
  return writeRows(options.candidates.rows, results, deviceName(*e.device));
}

int cli::benchCandidates(const BenchOptions &options, Streams streams) {
  CandidateResults results;
  Status status = measure(options, streams, results);
  if (!status.ok())
    return fail(status, streams);
  streams.data << (options.json ? results.json() : results.text());
  for (const std::string &warning : results.warnings)
    streams.talk << "warning: " << warning << "\n";
  return results.allRight() ? 0 : exitCode(Code::Mismatch);
}
