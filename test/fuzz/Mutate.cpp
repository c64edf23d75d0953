// Mutants of PTX texts.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mutate.h"

#include <cctype>
#include <random>
#include <string_view>
#include <vector>

namespace {

using Random = std::mt19937_64;

std::vector<std::string> linesOf(const std::string &text) {
  std::vector<std::string> lines(1);
  for (char c : text)
    if (c == '\n')
      lines.emplace_back();
    else
      lines.back() += c;
  return lines;
}

/// A word of a line: a register, a number, or a modifier with its dot.
struct Word {
  size_t line, at, size;
};

enum class Kind { Register, Number, Modifier };
bool begins(Kind kind, const std::string &line, size_t i) {
  bool after =
      i > 0 && (std::isalnum(static_cast<unsigned char>(line[i - 1])) ||
                line[i - 1] == '_' || line[i - 1] == '%');
  switch (kind) {
  case Kind::Register:
    return line[i] == '%';
  case Kind::Number:
    return !after && std::isdigit(static_cast<unsigned char>(line[i]));
  case Kind::Modifier:
    return line[i] == '.';
  }
  return false;
}

std::vector<Word> wordsOf(const std::vector<std::string> &lines, Kind kind) {
  std::vector<Word> words;
  for (size_t n = 0; n < lines.size(); ++n)
    for (size_t i = 0; i < lines[n].size(); ++i) {
      if (!begins(kind, lines[n], i))
        continue;
      size_t end = i + 1;
      while (end < lines[n].size() &&
             (std::isalnum(static_cast<unsigned char>(lines[n][end])) ||
              lines[n][end] == '_' || lines[n][end] == ':'))
        ++end;
      words.push_back({n, i, end - i});
      i = end - 1;
    }
  return words;
}

const char *const kNumbers[] = {
    "0",          "1",          "2",       "3",          "4",
    "7",          "8",          "15",      "16",         "31",
    "32",         "33",         "64",      "127",        "128",
    "255",        "256",        "1023",    "1024",       "4095",
    "65535",      "65536",      "1048575", "2147483647", "2147483648",
    "4294967295", "4294967296", "-1",      "-16",        "9223372036854775807",
    "0f7FC00000", "0f00000001"};
const char *const kModifiers[] = {
    ".u8",   ".s16",    ".b32", ".f16", ".bf16x2", ".f64",    ".b128",
    ".rz",   ".sat",    ".ftz", ".v2",  ".v4",     ".shared", ".local",
    ".wide", ".param",  ".cta", ".add", ".x4",     ".trans",  ".volatile",
    ".e4m3", ".e4m3x2", ".to",  ".hi"};

template <typename T, size_t N> T pick(const T (&from)[N], Random &random) {
  return from[random() % N];
}

void replaceWord(std::vector<std::string> &lines, Random &random) {
  Kind kind = pick({Kind::Register, Kind::Number, Kind::Modifier}, random);
  std::vector<Word> words = wordsOf(lines, kind);
  if (words.empty())
    return;
  Word to = words[random() % words.size()],
       from = words[random() % words.size()];
  std::string text = lines[from.line].substr(from.at, from.size);
  if (kind == Kind::Number && random() % 4)
    text = pick(kNumbers, random);
  if (kind == Kind::Modifier && random() % 4 == 0)
    text = pick(kModifiers, random);
  lines[to.line].replace(to.at, to.size, text);
}

void changeLine(std::vector<std::string> &lines, Random &random) {
  size_t a = random() % lines.size(), b = random() % lines.size();
  switch (random() % 4) {
  case 0:
    lines.erase(lines.begin() + long(a));
    break;
  case 1:
    lines.insert(lines.begin() + long(b), std::string(lines[a]));
    break;
  case 2:
    std::swap(lines[a], lines[b]);
    break;
  default:
    lines[b] = lines[a];
  }
  if (lines.empty())
    lines.emplace_back();
}

} // namespace

std::string mutate(const std::string &text, uint64_t seed) {
  Random random(seed);
  std::vector<std::string> lines = linesOf(text);
  for (uint64_t n = 1 + random() % 4; n > 0; --n)
    random() % 4 ? replaceWord(lines, random) : changeLine(lines, random);
  std::string result;
  for (const std::string &line : lines)
    result += line + "\n";
  result.pop_back();
  return result;
}
