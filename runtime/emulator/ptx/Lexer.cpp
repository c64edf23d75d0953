// Words, numbers and signs of PTX text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Lexer.h"

#include <charconv>
#include <cstring>

using namespace nibble::emu::ptx;

static bool isDigit(char c) { return c >= '0' && c <= '9'; }

static bool isFollow(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || isDigit(c) ||
         c == '_' || c == '$';
}

static bool startsWord(char c, char following) {
  return c == '%' ? isFollow(following) : isFollow(c) && !isDigit(c);
}

std::string nibble::emu::ptx::describe(const Token &token) {
  if (token.kind == Token::Kind::End)
    return "the end of the text";
  std::string shown;
  for (char c : token.text.substr(0, 48))
    shown += c >= ' ' && c <= '~' ? c : '?';
  return "'" + shown + (token.text.size() > 48 ? "..." : "") + "'";
}

Lexer::Lexer(std::string_view source)
    : text(source.substr(0, source.find('\0'))) {
  next();
}

void Lexer::fail(uint32_t where, std::string message) {
  if (!failure)
    failure = {where, std::move(message)};
  current = Token();
  current.line = where;
  position = text.size();
}

void Lexer::take(Token::Kind kind, size_t end) {
  current.kind = kind;
  current.text = text.substr(position, end - position);
  position = end;
}

void Lexer::next() {
  skipBlanks();
  current = Token();
  current.line = line;
  if (position >= text.size())
    return;
  char c = text[position], following = at(position + 1);
  if (startsWord(c, following))
    return lexWord(position + 1);
  if (isDigit(c) || (c == '.' && isDigit(following)))
    return lexNumber();
  if (c == '.')
    return lexDotWord();
  return c == '"' ? lexString() : lexSign();
}

void Lexer::skipLine() {
  position = std::min(text.find('\n', position), text.size());
}

void Lexer::skipBlanks() {
  for (; position < text.size(); ++position) {
    char c = text[position];
    if (c == '\n')
      ++line;
    else if (c != ' ' && c != '\t' && c != '\r' && c != '\f' && c != '\v') {
      if (!skipComment() && !skipLineMarker())
        return;
      --position; // What was skipped ends before `position`.
    }
  }
}

/// `// ..`, `/* .. */` and `@@DWARF ..`.
bool Lexer::skipComment() {
  if (text[position] != '/' && text[position] != '@')
    return false;
  std::string_view start = text.substr(position, 7);
  if (start.substr(0, 2) == "//" || start == "@@DWARF") {
    skipLine();
    return true;
  }
  if (start.substr(0, 2) != "/*")
    return false;
  size_t end = text.find("*/", position + 2);
  if (end == std::string_view::npos) {
    fail(line, "the comment that starts here has no end");
    return true;
  }
  for (; position < end + 2; ++position)
    line += text[position] == '\n';
  return true;
}

/// `# 12 "file"` of a preprocessor; other lines with # are errors.
bool Lexer::skipLineMarker() {
  if (text[position] != '#')
    return false;
  size_t digit = text.find_first_not_of(" \t", position + 1);
  if (digit == std::string_view::npos || !isDigit(text[digit]))
    return false;
  skipLine();
  return true;
}

/// Behind a name: `.x`, `::y`, as often as they come.
size_t Lexer::endOfSuffixes(size_t end) const {
  while (true) {
    while (isFollow(at(end)))
      ++end;
    if (at(end) == '.' && isFollow(at(end + 1)))
      end += 1;
    else if (at(end) == ':' && at(end + 1) == ':' && isFollow(at(end + 2)))
      end += 2;
    else
      return end;
  }
}

void Lexer::lexWord(size_t end) { take(Token::Kind::Word, endOfSuffixes(end)); }

void Lexer::lexDotWord() {
  size_t end = position + 1;
  if (!isFollow(at(end)))
    return fail(line, "expected a word behind '.'");
  while (isFollow(at(end)) ||
         (at(end) == ':' && at(end + 1) == ':' && isFollow(at(end + 2))))
    end += at(end) == ':' ? 2 : 1;
  take(Token::Kind::DotWord, end);
}

void Lexer::failNumber() {
  current.text = text.substr(
      position, text.find_first_of(" \t\r\n,;])}", position) - position);
  fail(line, describe([&] {
               Token word = current;
               word.kind = Token::Kind::Word;
               return word;
             }()) +
                 " is not a number");
}

void Lexer::lexNumber() {
  char c = text[position], kind = at(position + 1) | 0x20;
  if (c == '0' && kind == 'x')
    return lexRadix(16, position + 2);
  if (c == '0' && kind == 'b')
    return lexRadix(2, position + 2);
  if (c == '0' && kind == 'f')
    return lexFloatBits(8);
  if (c == '0' && kind == 'd')
    return lexFloatBits(16);
  size_t end = position;
  while (isDigit(at(end)))
    ++end;
  if (at(end) == '.' || (at(end) | 0x20) == 'e')
    return lexDecimalFloat();
  lexRadix(c == '0' && end > position + 1 ? 8 : 10, position);
}

void Lexer::lexRadix(unsigned radix, size_t digits) {
  const char *last = text.data() + text.size();
  auto [end, status] =
      std::from_chars(text.data() + digits, last, current.bits, radix);
  size_t stop = end - text.data();
  if (status == std::errc::invalid_argument || stop == digits)
    return failNumber();
  if (status != std::errc())
    return fail(line, "the number has more than 64 bits");
  current.isUnsigned = at(stop) == 'U' || current.bits >> 63;
  stop += at(stop) == 'U';
  if (isFollow(at(stop)))
    return failNumber();
  take(Token::Kind::Integer, stop);
}

void Lexer::lexFloatBits(size_t count) {
  const char *first = text.data() + position + 2;
  const char *last = text.data() + std::min(position + 2 + count, text.size());
  auto [end, status] = std::from_chars(first, last, current.bits, 16);
  size_t stop = position + 2 + count;
  if (status != std::errc() || size_t(end - first) != count ||
      isFollow(at(stop)))
    return failNumber();
  current.isSingle = count == 8;
  take(Token::Kind::Float, stop);
}

void Lexer::lexDecimalFloat() {
  double value = 0;
  const char *last = text.data() + text.size();
  auto [end, status] = std::from_chars(text.data() + position, last, value);
  size_t stop = end - text.data();
  if (status == std::errc::result_out_of_range)
    return fail(line, "the number is out of the range of a double");
  if (status != std::errc() || isFollow(at(stop)))
    return failNumber();
  std::memcpy(&current.bits, &value, sizeof(value));
  take(Token::Kind::Float, stop);
}

void Lexer::lexString() {
  size_t end = text.find_first_of("\"\n", position + 1);
  if (at(end) != '"')
    return fail(line, "the string that starts here has no end");
  take(Token::Kind::String, end + 1);
  current.text = current.text.substr(1, current.text.size() - 2);
}

void Lexer::lexSign() {
  static const char *const pairs[] = {
      "<<", ">>", "<=", ">=", "==", "!=", "&&", "||"};
  for (const char *pair : pairs)
    if (text[position] == pair[0] && at(position + 1) == pair[1])
      return take(Token::Kind::Sign, position + 2);
  if (!std::strchr("+-*/%<>=!~&|^?:,;()[]{}@", text[position])) {
    take(Token::Kind::Sign, position + 1);
    return fail(line, "unexpected character " + describe(current));
  }
  take(Token::Kind::Sign, position + 1);
}

void Lexer::skipBlock() {
  uint32_t start = current.line;
  for (; position < text.size() && text[position] != '}'; ++position) {
    line += text[position] == '\n';
    if (text[position] == '/' && at(position + 1) == '/') {
      skipLine();
      --position;
    }
  }
  if (position >= text.size())
    return fail(start, "the block that starts here has no end");
  ++position;
  next();
}
