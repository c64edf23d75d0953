// The limits of machines as documents: schema nibble.emu-target/1.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_REPORT_LIMITS_H
#define NIBBLE_RT_EMULATOR_REPORT_LIMITS_H

#include "exec/Estimate.h"
#include "report/Json.h"

namespace nibble {
namespace emu {

/// "" or that the document called `path` has another schema.
std::string checkSchema(const Json &json, const std::string &schema,
                        const std::string &path);

/// "" or what is wrong with the file.
std::string readLimits(const std::string &path, Limits &limits);

/// Those of `arch` ("sm_90a") from runtime/emulator/targets. False if there are
/// none.
bool findLimits(const std::string &arch, Limits &limits);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_REPORT_LIMITS_H
