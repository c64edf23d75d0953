// A reader of JSON.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "report/Json.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <sstream>

using namespace nibble::emu;

namespace {

constexpr unsigned kMaxDepth = 64;

class Reader {
public:
  explicit Reader(const std::string &text) : text(text) {}

  std::string read(Json &value) {
    if (!element(value, 0))
      return where() + problem;
    space();
    return at == text.size() ? "" : where() + "text behind the value";
  }

private:
  std::string where() const {
    return "line " +
           std::to_string(
               1 + std::count(text.begin(), text.begin() + long(at), '\n')) +
           ": ";
  }
  bool fail(const char *what) {
    problem = what;
    return false;
  }
  void space() {
    while (at < text.size() && std::isspace(uint8_t(text[at])))
      ++at;
  }
  bool take(char c) {
    space();
    if (at >= text.size() || text[at] != c)
      return false;
    ++at;
    return true;
  }
  bool word(const char *name) {
    std::string wanted = name;
    if (text.compare(at, wanted.size(), wanted))
      return false;
    at += wanted.size();
    return true;
  }

  bool element(Json &value, unsigned depth) {
    space();
    if (depth > kMaxDepth)
      return fail("nested too deep");
    char c = at < text.size() ? text[at] : 0;
    if (c == '{')
      return object(value, depth);
    if (c == '[')
      return array(value, depth);
    if (c == '"') {
      value.kind = Json::Kind::String;
      return string(value.text);
    }
    value.flag = c == 't';
    value.kind = c == 'n' ? Json::Kind::Null : Json::Kind::Bool;
    if (word("true") || word("false") || word("null"))
      return true;
    return number(value);
  }

  bool number(Json &value) {
    char *end = nullptr;
    value.kind = Json::Kind::Number;
    value.number = std::strtod(text.c_str() + at, &end);
    size_t stop = size_t(end - text.c_str());
    if (stop == at || !(std::isdigit(uint8_t(text[at])) || text[at] == '-'))
      return fail("expected a value");
    value.text = text.substr(at, stop - at);
    at = stop;
    return true;
  }

  bool string(std::string &into) {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] != '\\') {
        into += text[at];
        continue;
      }
      static constexpr char kFrom[] = "\"\\/nt", kTo[] = "\"\\/\n\t";
      const char *found = ++at < text.size() && text[at]
                              ? std::find(kFrom, kFrom + 5, text[at])
                              : kFrom + 5;
      if (found == kFrom + 5)
        return fail("an escape that is not read here");
      into += kTo[found - kFrom];
    }
    if (at >= text.size())
      return fail("a string without an end");
    ++at;
    return true;
  }

  bool array(Json &value, unsigned depth) {
    value.kind = Json::Kind::Array;
    ++at;
    if (take(']'))
      return true;
    do {
      value.items.emplace_back();
      if (!element(value.items.back(), depth + 1))
        return false;
    } while (take(','));
    return take(']') || fail("expected , or ]");
  }

  bool object(Json &value, unsigned depth) {
    value.kind = Json::Kind::Object;
    ++at;
    if (take('}'))
      return true;
    do {
      space();
      std::string name;
      if (at >= text.size() || text[at] != '"' || !string(name))
        return fail("expected the name of a field");
      if (!take(':'))
        return fail("expected :");
      if (value.fields.count(name))
        return fail("a field that is there twice");
      if (!element(value.fields[name], depth + 1))
        return false;
    } while (take(','));
    return take('}') || fail("expected , or }");
  }

  const std::string &text;
  size_t at = 0;
  std::string problem;
};

} // namespace

std::string nibble::emu::parseJson(const std::string &text, Json &value) {
  return Reader(text).read(value);
}

std::string nibble::emu::readJson(const std::string &path, Json &value) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file)
    return "cannot read '" + path + "'";
  std::string problem = parseJson(text.str(), value);
  return problem.empty() ? "" : path + ": " + problem;
}
