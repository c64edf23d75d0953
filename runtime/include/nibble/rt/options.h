// Small option texts: "a=1,b=x", numbers, durations.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_OPTIONS_H
#define NIBBLE_RT_OPTIONS_H

#include "nibble/rt/status.h"

#include <string>
#include <vector>

namespace nibble {
namespace rt {

struct KeyValue {
  std::string key, value;
};

/// Parses "a=1,b=x" (an empty text has no pairs). A pair without '=' or a key
/// given twice is an error.
Result<std::vector<KeyValue>> parseKeyValues(const std::string &text);

/// Splits "NAME=REST" at the first '='. Both must be non-empty.
Result<KeyValue> parseKeyValue(const std::string &text);

/// The whole text as a number, independent of the locale.
Result<double> parseNumber(const std::string &text);
Result<uint64_t> parseCount(const std::string &text);

/// Seconds of "200ms", "3s", "1.5" (seconds), "50us", "1m".
Result<double> parseDuration(const std::string &text);

/// "50,90,99" as numbers.
Result<std::vector<double>> parseNumbers(const std::string &text);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_OPTIONS_H
