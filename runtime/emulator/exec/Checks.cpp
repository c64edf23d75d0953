// Switches of the checks.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Checks.h"

#include <algorithm>
#include <cstdlib>
#include <iterator>

using namespace nibble::emu;

static constexpr const char *kNames[] = {
    "uninitialized", "registers", "pending",     "proxies",
    "waits",         "races",     "tensor-waits"};

static bool setOne(Checks &checks, const std::string &name, bool on) {
  bool *switches[] = {&checks.uninitialized, &checks.registers, &checks.pending,
                      &checks.proxies,       &checks.waits,     &checks.races,
                      &checks.tensorWaits};
  bool known = false;
  for (unsigned i = 0; i < std::size(kNames); ++i)
    if (name == kNames[i] || name == "all") {
      *switches[i] = on;
      known = true;
    }
  return known;
}

static std::string setAll(Checks &checks, const std::string &names, bool on) {
  for (size_t at = 0; at <= names.size();) {
    size_t end = std::min(names.find(',', at), names.size());
    std::string name = names.substr(at, end - at);
    if (!setOne(checks, name, on)) {
      std::string known;
      for (const char *each : kNames)
        known += std::string(each) + ", ";
      return "'" + name + "' is no check; there are " + known + "and all";
    }
    at = end + 1;
  }
  return "";
}

std::string Checks::disable(const std::string &names) {
  return setAll(*this, names, false);
}
std::string Checks::enable(const std::string &names) {
  return setAll(*this, names, true);
}

std::string Checks::readEnvironment() {
  for (bool on : {true, false}) {
    const char *variable = on ? "NIBBLE_EMU_CHECK" : "NIBBLE_EMU_NO_CHECK";
    const char *names = std::getenv(variable);
    if (!names || !*names)
      continue;
    if (std::string why = setAll(*this, names, on); !why.empty())
      return std::string(variable) + ": " + why;
  }
  return "";
}
