// The limits of machines.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "report/Limits.h"

#include "EmbeddedLimits.h"

#include <utility>

using namespace nibble::emu;

std::string nibble::emu::checkSchema(const Json &json,
                                     const std::string &schema,
                                     const std::string &path) {
  const Json *found = json.find("schema");
  return found && found->text == schema
             ? ""
             : path + ": field 'schema' is not '" + schema + "'";
}

static std::string takeLimits(const Json &json, const std::string &path,
                              Limits &limits) {
  std::string problem = checkSchema(json, "nibble.emu-target/1", path);
  if (!problem.empty())
    return problem;
  const std::pair<const char *, double *> numbers[] = {
      {"sms", &limits.sms},
      {"clock_ghz", &limits.clockGHz},
      {"issue_per_clock", &limits.issuePerClock},
      {"shared_bytes_per_clock", &limits.sharedBytesPerClock},
      {"dram_gb_per_s", &limits.dramGBs}};
  for (auto &[name, into] : numbers) {
    const Json *value = json.find(name);
    if (!value || value->number <= 0)
      return path + ": field '" + name + "' is not a number above 0";
    *into = value->number;
  }
  if (const Json *name = json.find("name"))
    limits.name = name->text;
  const Json *model = json.find("model");
  if (const Json *cache = model ? model->find("l2_mib") : nullptr)
    limits.l2MiB = cache->number;
  const Json *speeds = json.find("multiply_adds_per_clock");
  for (unsigned k = 0; speeds && k < unsigned(TensorKind::Count); ++k)
    if (const Json *speed = speeds->find(tensorKindName(TensorKind(k))))
      limits.multiplies[k] = speed->number;
  return "";
}

std::string nibble::emu::readLimits(const std::string &path, Limits &limits) {
  Json json;
  std::string problem = readJson(path, json);
  return problem.empty() ? takeLimits(json, path, limits) : problem;
}

bool nibble::emu::findLimits(const std::string &arch, Limits &limits) {
  for (const EmbeddedLimits &machine : kEmbeddedLimits) {
    Json json;
    if (arch == machine.arch)
      return parseJson(machine.text, json).empty() &&
             takeLimits(json, machine.arch, limits).empty();
  }
  return false;
}
