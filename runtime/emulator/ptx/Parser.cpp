// Modules: what stands outside functions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Parser.h"

using namespace nibble::emu::ptx;

Error nibble::emu::ptx::parse(std::string text, Module &module) {
  module = Module();
  if (text.size() > kMaxTextBytes)
    return {1, "the text has " + std::to_string(text.size()) +
                   " bytes; the limit is " + std::to_string(kMaxTextBytes)};
  module.source = std::make_unique<const std::string>(std::move(text));
  return Parser(*module.source, module).run();
}

Parser::Parser(std::string_view text, Module &result)
    : lexer(text), module(result) {
  module.files.emplace_back();
}

Error Parser::run() {
  moduleHeader();
  while (more())
    moduleItem();
  return lexer.error();
}

bool Parser::isSign(std::string_view sign) const {
  return is(Kind::Sign) && token().text[0] == sign[0] && token().text == sign;
}

bool Parser::isDotWord(std::string_view word) const {
  return is(Kind::DotWord) && token().text == word;
}

bool Parser::accept(std::string_view sign) {
  bool found = isSign(sign);
  if (found)
    lexer.next();
  return found;
}

bool Parser::acceptDotWord(std::string_view word) {
  bool found = isDotWord(word);
  if (found)
    lexer.next();
  return found;
}

void Parser::expect(std::string_view sign) {
  if (!accept(sign))
    expected("'" + std::string(sign) + "'");
}

void Parser::expected(const std::string &what) {
  failAt(token().line, "expected " + what + ", found " + describe(token()));
}

void Parser::failAt(uint32_t line, std::string message) {
  lexer.fail(line, std::move(message));
}

std::string_view Parser::word(const char *what) {
  std::string_view text = token().text;
  if (is(Kind::Word))
    lexer.next();
  else
    expected(what);
  return text;
}

std::string_view Parser::name(const char *what) {
  if (token().text.find_first_of(".:") != std::string_view::npos)
    expected(what);
  return word(what);
}

std::string_view Parser::string(const char *what) {
  std::string_view text = token().text;
  if (is(Kind::String))
    lexer.next();
  else
    expected(what);
  return text;
}

uint64_t Parser::integer(const char *what, uint64_t limit) {
  uint64_t value = token().bits;
  if (!is(Kind::Integer)) {
    expected(what);
    return 0;
  }
  if (value > limit) {
    failAt(token().line, std::string(what) + " is " + std::to_string(value) +
                             "; the limit is " + std::to_string(limit));
    return 0;
  }
  lexer.next();
  return value;
}

void Parser::moduleHeader() {
  version();
  target();
  if (acceptDotWord(".address_size") && integer("an address size", 64) != 64)
    failAt(token().line, "only addresses of 64 bits are supported");
}

void Parser::version() {
  if (!acceptDotWord(".version"))
    expected("'.version'");
  std::string_view text = token().text;
  size_t dot = text.find('.');
  bool isVersion = is(Kind::Float) && dot != std::string_view::npos &&
                   dot >= 1 && dot <= 4 && text.size() - dot <= 4 &&
                   text.size() > dot + 1;
  for (size_t i = 0; isVersion && i < text.size(); ++i)
    isVersion = i == dot || (text[i] >= '0' && text[i] <= '9');
  if (!isVersion)
    return expected("a version such as 9.0");
  for (size_t i = 0; i < text.size(); ++i)
    if (uint32_t &part = i < dot ? module.versionMajor : module.versionMinor;
        i != dot)
      part = part * 10 + (text[i] - '0');
  lexer.next();
}

void Parser::target() {
  if (!acceptDotWord(".target"))
    expected("'.target'");
  module.target = name("a target such as sm_90a");
  while (accept(","))
    module.targetOptions.push_back(name("an option of the target"));
}

void Parser::moduleItem() {
  if (isDotWord(".file"))
    return file();
  if (isDotWord(".section"))
    return section();
  if (isDotWord(".alias"))
    return alias();
  if (isDotWord(".pragma"))
    return pragma();
  if (isDotWord(".loc"))
    return location();
  linked();
}

/// A variable or function with the words before it.
void Parser::linked() {
  Linkage linkage;
  if (acceptDotWord(".extern"))
    linkage.isExtern = true;
  else if (acceptDotWord(".visible"))
    linkage.isVisible = true;
  else if (acceptDotWord(".weak") || acceptDotWord(".common"))
    linkage.isWeak = true;
  if (acceptDotWord(".entry"))
    return function(linkage, true);
  if (acceptDotWord(".func"))
    return function(linkage, false);
  if (!atDeclaration())
    return expected("a variable, a function or another directive");
  Variable head = declarationHead(linkage);
  if (head.space == Space::Reg || head.space == Space::Local ||
      head.space == Space::Param)
    failAt(head.line, "registers, parameters and local memory belong into "
                      "functions");
  do
    addVariable(declarator(head));
  while (accept(","));
  expect(";");
}

void Parser::addVariable(Variable variable) {
  auto [it, isNew] = symbols.emplace(
      variable.name,
      Symbol{false, uint32_t(module.variables.size()), !variable.isExtern});
  if (isNew) {
    module.variables.push_back(std::move(variable));
    return;
  }
  Symbol &old = it->second;
  if (old.isFunction || (old.isDefined && !variable.isExtern))
    return failAt(variable.line,
                  "'" + std::string(variable.name) + "' is defined twice");
  if (!variable.isExtern) {
    old.isDefined = true;
    module.variables[old.index] = std::move(variable);
  }
}

bool Parser::isModuleName(std::string_view name) const {
  return symbols.count(name) != 0;
}

/// .file 1 "a.cu", time, size
void Parser::file() {
  lexer.next();
  uint64_t index = integer("the number of a file", kMaxFiles);
  std::string_view path = string("the name of a file");
  if (module.files.size() <= index)
    module.files.resize(index + 1);
  module.files[index] = std::string(path);
  while (accept(","))
    integer("the time or size of a file", UINT64_MAX);
}

void Parser::section() {
  lexer.next();
  if (!is(Kind::DotWord) && !is(Kind::Word))
    expected("the name of a section");
  lexer.next();
  if (!isSign("{"))
    return expected("'{'");
  lexer.skipBlock();
}

void Parser::alias() {
  lexer.next();
  Alias made;
  made.name = name("the name of a function");
  expect(",");
  made.aliasee = name("the name of a function");
  module.aliases.push_back(made);
  expect(";");
}

/// Hints to the optimizer of ptxas.
void Parser::pragma() {
  lexer.next();
  do
    string("a string");
  while (accept(","));
  expect(";");
}
