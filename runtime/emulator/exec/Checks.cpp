// Switches of the checks.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "exec/Checks.h"

#include <cstdlib>

using namespace nibble::emu;

static constexpr const char *kNames[] = {
    "uninitialized", "registers", "pending", "proxies", "waits", "races"};

static bool disableOne(Checks &checks, const std::string &name) {
  bool *switches[] = {&checks.uninitialized, &checks.registers, &checks.pending,
                      &checks.proxies,       &checks.waits,     &checks.races};
  bool known = false;
  for (unsigned i = 0; i < 6; ++i)
    if (name == kNames[i] || name == "all") {
      *switches[i] = false;
      known = true;
    }
  return known;
}

std::string Checks::disable(const std::string &names) {
  for (size_t at = 0; at <= names.size();) {
    size_t end = std::min(names.find(',', at), names.size());
    std::string name = names.substr(at, end - at);
    if (!disableOne(*this, name)) {
      std::string known;
      for (const char *each : kNames)
        known += std::string(each) + ", ";
      return "'" + name + "' is no check; there are " + known + "and all";
    }
    at = end + 1;
  }
  return "";
}

std::string Checks::disableFromEnvironment() {
  const char *names = std::getenv("NIBBLE_EMU_NO_CHECK");
  if (!names || !*names)
    return "";
  std::string why = disable(names);
  return why.empty() ? "" : "NIBBLE_EMU_NO_CHECK: " + why;
}
