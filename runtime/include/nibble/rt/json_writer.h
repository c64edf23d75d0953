// JsonWriter: JSON text, written front to back.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_JSON_WRITER_H
#define NIBBLE_RT_JSON_WRITER_H

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {
namespace rt {

/// Indented by two spaces, or all on one line. Numbers are written so that they
/// read back to the same double; NaN and infinities, which JSON lacks, become
/// null. Bytes that are not UTF-8 become U+FFFD.
class JsonWriter {
public:
  enum class Layout { Indented, OneLine };
  explicit JsonWriter(Layout layout = Layout::Indented) : layout(layout) {}

  JsonWriter &beginObject();
  JsonWriter &endObject();
  JsonWriter &beginArray();
  JsonWriter &endArray();
  JsonWriter &key(std::string_view name);

  JsonWriter &value(std::string_view text);
  JsonWriter &value(const char *text) { return value(std::string_view(text)); }
  JsonWriter &value(double number);
  JsonWriter &value(int64_t number);
  JsonWriter &value(uint64_t number);
  JsonWriter &value(int number) { return value(int64_t(number)); }
  JsonWriter &value(unsigned number) { return value(uint64_t(number)); }
  JsonWriter &value(bool flag);
  JsonWriter &null();

  template <typename T> JsonWriter &field(std::string_view name, T &&v) {
    return key(name).value(v);
  }

  /// The document, with a newline at its end.
  std::string str() const { return text + "\n"; }

private:
  void separate();
  void newline();

  Layout layout;
  std::string text;
  std::vector<bool> hasItems; ///< per open object or array
  bool afterKey = false;
};

/// `text` as a JSON string literal, with the quotes.
std::string quoteJson(std::string_view text);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_JSON_WRITER_H
