// A reader of JSON for launches and machines: small, strict, no numbers beyond
// doubles. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_REPORT_JSON_H
#define NIBBLE_RT_EMULATOR_REPORT_JSON_H

#include <map>
#include <string>
#include <vector>

namespace nibble {
namespace emu {

struct Json {
  enum class Kind { Null, Bool, Number, String, Array, Object };
  Kind kind = Kind::Null;
  bool flag = false;
  double number = 0;
  std::string text; ///< of strings; of numbers as they are written
  std::vector<Json> items;
  std::map<std::string, Json> fields;

  /// The field of an object, or null.
  const Json *find(const std::string &name) const {
    auto found = fields.find(name);
    return found == fields.end() ? nullptr : &found->second;
  }
};

/// "" or "line N: what is wrong".
std::string parseJson(const std::string &text, Json &value);
/// The same for a file.
std::string readJson(const std::string &path, Json &value);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_REPORT_JSON_H
