// JSON text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/json_writer.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>

using namespace nibble::rt;

/// Length of the valid UTF-8 sequence at the start of `text`, 0 if invalid.
static size_t utf8Length(std::string_view text) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  unsigned char lead = byte(0);
  size_t length = lead < 0x80                   ? 1
                  : lead >= 0xc2 && lead < 0xe0 ? 2
                  : lead >= 0xe0 && lead < 0xf0 ? 3
                  : lead >= 0xf0 && lead < 0xf5 ? 4
                                                : 0;
  if (length == 0 || length > text.size())
    return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80)
      return 0;
  // Overlong forms, surrogates and numbers beyond U+10FFFF.
  if ((lead == 0xe0 && byte(1) < 0xa0) || (lead == 0xed && byte(1) >= 0xa0) ||
      (lead == 0xf0 && byte(1) < 0x90) || (lead == 0xf4 && byte(1) >= 0x90))
    return 0;
  return length;
}

static void appendEscaped(std::string &out, char c) {
  switch (c) {
  case '"':
    out += "\\\"";
    return;
  case '\\':
    out += "\\\\";
    return;
  case '\n':
    out += "\\n";
    return;
  case '\t':
    out += "\\t";
    return;
  default:
    break;
  }
  if (static_cast<unsigned char>(c) >= 32 && c != 127) {
    out += c;
    return;
  }
  char code[8];
  std::snprintf(code, sizeof(code), "\\u%04x", c);
  out += code;
}

std::string nibble::rt::quoteJson(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    size_t length = utf8Length(text);
    if (length == 1)
      appendEscaped(out, text[0]);
    else if (length > 1)
      out += text.substr(0, length);
    else
      out += "\\ufffd";
    text.remove_prefix(length ? length : 1);
  }
  return out + "\"";
}

void JsonWriter::newline() {
  if (layout == Layout::OneLine) {
    if (text.back() == ',')
      text += ' ';
    return;
  }
  text += '\n';
  text.append(2 * hasItems.size(), ' ');
}

/// What stands between an item and the one before it.
void JsonWriter::separate() {
  if (afterKey) {
    afterKey = false;
    return;
  }
  if (hasItems.empty())
    return;
  if (hasItems.back())
    text += ',';
  hasItems.back() = true;
  newline();
}

JsonWriter &JsonWriter::beginObject() {
  separate();
  text += '{';
  hasItems.push_back(false);
  return *this;
}

JsonWriter &JsonWriter::endObject() {
  bool items = hasItems.back();
  hasItems.pop_back();
  if (items)
    newline();
  text += '}';
  return *this;
}

JsonWriter &JsonWriter::beginArray() {
  separate();
  text += '[';
  hasItems.push_back(false);
  return *this;
}

JsonWriter &JsonWriter::endArray() {
  bool items = hasItems.back();
  hasItems.pop_back();
  if (items)
    newline();
  text += ']';
  return *this;
}

JsonWriter &JsonWriter::key(std::string_view name) {
  separate();
  text += quoteJson(name) + ": ";
  afterKey = true;
  return *this;
}

JsonWriter &JsonWriter::value(std::string_view v) {
  separate();
  text += quoteJson(v);
  return *this;
}

JsonWriter &JsonWriter::value(double number) {
  if (!std::isfinite(number))
    return null();
  separate();
  // The shortest of the usual precisions that reads back to the same number.
  char digits[40];
  for (int precision : {6, 9, 15, 17}) {
    std::snprintf(digits, sizeof(digits), "%.*g", precision, number);
    if (std::strtod(digits, nullptr) == number)
      break;
  }
  text += digits;
  return *this;
}

JsonWriter &JsonWriter::value(int64_t number) {
  separate();
  text += std::to_string(number);
  return *this;
}

JsonWriter &JsonWriter::value(uint64_t number) {
  separate();
  text += std::to_string(number);
  return *this;
}

JsonWriter &JsonWriter::value(bool flag) {
  separate();
  text += flag ? "true" : "false";
  return *this;
}

JsonWriter &JsonWriter::null() {
  separate();
  text += "null";
  return *this;
}
