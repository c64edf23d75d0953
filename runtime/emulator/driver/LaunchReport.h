// What launches did, for NIBBLE_EMU_REPORT: a line of JSON for each.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_LAUNCHREPORT_H
#define NIBBLE_RT_EMULATOR_DRIVER_LAUNCHREPORT_H

#include "driver/Objects.h"
#include "exec/Estimate.h"
#include "exec/Traffic.h"

#include <cstdio>

namespace nibble {
namespace emu {

class LaunchReport {
public:
  /// Begins the file anew; times are those of `arch`, none if its limits are
  /// not known. "" or what is wrong.
  std::string open(const std::string &path, const std::string &arch);
  bool isOpen() const { return file; }
  /// Writes a line (schema nibble.emu-report/1), at once: the process may end
  /// at any time. `fault`: "" or what the kernel did wrong. "" or that the file
  /// cannot be written.
  std::string write(const KernelWork &work, uint64_t launch, uint64_t seed,
                    const Counters &counters, const Traffic &traffic,
                    const std::string &fault);

private:
  std::string path;
  std::FILE *file = nullptr; ///< never closed: programs launch at exit
  Limits limits;
  bool hasLimits = false;
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_LAUNCHREPORT_H
