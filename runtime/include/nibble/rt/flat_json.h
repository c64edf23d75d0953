// FlatJson: one JSON object of texts and numbers on a line, as the keys of
// schedules and the rows of tuning files are.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_FLAT_JSON_H
#define NIBBLE_RT_FLAT_JSON_H

#include "nibble/rt/status.h"

#include <string>
#include <string_view>
#include <vector>

namespace nibble {
namespace rt {

class FlatJson {
public:
  /// An object, with nothing but white space around it. Values are texts
  /// without escapes other than \" and \\, numbers, true, false and null;
  /// anything else is an error that says where.
  static Result<FlatJson> parse(std::string_view text);

  /// A text, or null.
  const std::string *text(std::string_view key) const;
  /// A number, or null.
  const double *number(std::string_view key) const;

private:
  struct Field {
    std::string key, text;
    double number = 0;
    bool isText = false, isNumber = false;
  };
  class Parser;
  const Field *find(std::string_view key) const;
  std::vector<Field> fields;
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_FLAT_JSON_H
