// Reads flat JSON objects.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/flat_json.h"

#include "nibble/rt/options.h"

using namespace nibble::rt;

class FlatJson::Parser {
public:
  explicit Parser(std::string_view text) : rest(text), size(text.size()) {}
  Status parse(std::vector<Field> &fields);

private:
  void skipSpace() {
    while (!rest.empty() &&
           std::string_view(" \t\r\n").find(rest[0]) != std::string_view::npos)
      rest.remove_prefix(1);
  }
  bool take(char c) {
    skipSpace();
    if (rest.empty() || rest[0] != c)
      return false;
    rest.remove_prefix(1);
    return true;
  }
  Status expected(const char *what) const {
    return error(Code::Malformed, "JSON object: wanted %s at character %zu",
                 what, size - rest.size() + 1);
  }
  Status parseText(std::string &out);
  Status parseValue(Field &field);

  std::string_view rest;
  size_t size;
};

Status FlatJson::Parser::parseText(std::string &out) {
  if (!take('"'))
    return expected("a text");
  while (!rest.empty() && rest[0] != '"') {
    if (rest[0] == '\\') {
      rest.remove_prefix(1);
      if (rest.empty() || (rest[0] != '"' && rest[0] != '\\'))
        return expected("\\\" or \\\\");
    }
    out += rest[0];
    rest.remove_prefix(1);
  }
  return take('"') ? Status() : expected("the end of a text");
}

Status FlatJson::Parser::parseValue(Field &field) {
  skipSpace();
  if (!rest.empty() && rest[0] == '"') {
    field.isText = true;
    return parseText(field.text);
  }
  std::string_view word = rest.substr(0, rest.find_first_of(",} \t\r\n"));
  if (word != "true" && word != "false" && word != "null") {
    Result<double> number = parseNumber(std::string(word));
    if (!number.ok())
      return expected("a text or a number");
    field.isNumber = true;
    field.number = *number;
  }
  rest.remove_prefix(word.size());
  return Status();
}

Status FlatJson::Parser::parse(std::vector<Field> &fields) {
  if (!take('{'))
    return expected("'{'");
  bool more = !take('}');
  while (more) {
    Field field;
    NIBBLE_RETURN_IF_ERROR(parseText(field.key));
    if (!take(':'))
      return expected("':'");
    NIBBLE_RETURN_IF_ERROR(parseValue(field));
    fields.push_back(std::move(field));
    more = take(',');
    if (!more && !take('}'))
      return expected("',' or '}'");
  }
  skipSpace();
  return rest.empty() ? Status() : expected("the end");
}

Result<FlatJson> FlatJson::parse(std::string_view text) {
  FlatJson json;
  NIBBLE_RETURN_IF_ERROR(Parser(text).parse(json.fields));
  return json;
}

const FlatJson::Field *FlatJson::find(std::string_view key) const {
  for (const Field &field : fields)
    if (field.key == key)
      return &field;
  return nullptr;
}

const std::string *FlatJson::text(std::string_view key) const {
  const Field *field = find(key);
  return field && field->isText ? &field->text : nullptr;
}

const double *FlatJson::number(std::string_view key) const {
  const Field *field = find(key);
  return field && field->isNumber ? &field->number : nullptr;
}
