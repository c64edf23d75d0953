// Parsing of small option texts.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/options.h"

#include <algorithm>
#include <cmath>
#include <locale>
#include <sstream>

using namespace nibble::rt;

static std::vector<std::string> splitAtCommas(const std::string &text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    size_t end = std::min(text.find(',', begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Result<KeyValue> nibble::rt::parseKeyValue(const std::string &text) {
  size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    return error(Code::InvalidArgument, "'%s' is not of the form NAME=VALUE",
                 text.c_str());
  return KeyValue{text.substr(0, equals), text.substr(equals + 1)};
}

Result<std::vector<KeyValue>>
nibble::rt::parseKeyValues(const std::string &text) {
  std::vector<KeyValue> pairs;
  if (text.empty())
    return pairs;
  for (const std::string &part : splitAtCommas(text)) {
    Result<KeyValue> pair = parseKeyValue(part);
    if (!pair.ok())
      return pair.status();
    for (const KeyValue &other : pairs)
      if (other.key == pair->key)
        return error(Code::InvalidArgument, "'%s' is given twice",
                     pair->key.c_str());
    pairs.push_back(*pair);
  }
  return pairs;
}

Result<double> nibble::rt::parseNumber(const std::string &text) {
  std::istringstream in(text);
  in.imbue(std::locale::classic());
  double value = 0;
  // The stream would skip spaces.
  bool plain = text.find_first_not_of("0123456789+-.eE") == std::string::npos;
  if (!plain || !(in >> value) || !in.eof())
    return error(Code::InvalidArgument, "'%s' is not a number", text.c_str());
  return value;
}

Result<uint64_t> nibble::rt::parseCount(const std::string &text) {
  uint64_t value = 0;
  bool valid = !text.empty() && text.size() <= 20;
  for (char c : text)
    valid = valid && c >= '0' && c <= '9' &&
            !__builtin_mul_overflow(value, uint64_t(10), &value) &&
            !__builtin_add_overflow(value, uint64_t(c - '0'), &value);
  if (!valid)
    return error(Code::InvalidArgument, "'%s' is not a whole number",
                 text.c_str());
  return value;
}

Result<double> nibble::rt::parseDuration(const std::string &text) {
  size_t unit = text.find_first_not_of("0123456789.");
  std::string suffix = unit == std::string::npos ? "s" : text.substr(unit);
  double scale = suffix == "s"    ? 1
                 : suffix == "ms" ? 1e-3
                 : suffix == "us" ? 1e-6
                 : suffix == "m"  ? 60
                                  : 0;
  Result<double> value = parseNumber(text.substr(0, unit));
  if (scale == 0 || !value.ok())
    return error(Code::InvalidArgument,
                 "'%s' is not a duration: wanted 200ms, 3s, 50us, 1m",
                 text.c_str());
  return *value * scale;
}

Result<std::vector<double>> nibble::rt::parseNumbers(const std::string &text) {
  std::vector<double> numbers;
  for (const std::string &part : splitAtCommas(text)) {
    Result<double> value = parseNumber(part);
    if (!value.ok())
      return value.status();
    numbers.push_back(*value);
  }
  return numbers;
}
