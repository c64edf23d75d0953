// Kernels and functions.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Parser.h"

using namespace nibble::emu::ptx;

void Parser::function(Linkage linkage, bool isEntry) {
  Function made;
  made.line = token().line;
  made.isEntry = isEntry;
  made.isExtern = linkage.isExtern;
  made.isVisible = linkage.isVisible;
  made.isWeak = linkage.isWeak;
  if (Variable ignored; acceptDotWord(".attribute"))
    attribute(ignored);
  if (!isEntry && isSign("("))
    made.results = parameterList();
  made.name = name("the name of a function");
  if (isSign("("))
    made.parameters = parameterList();
  for (const Variable &parameter : made.parameters)
    if (isEntry && parameter.space != Space::Param)
      failAt(parameter.line, "parameter '" + std::string(parameter.name) +
                                 "' of a kernel must be .param");
  functionDirectives(made);
  made.hasBody = isSign("{");
  if (!made.hasBody)
    expect(";");
  addFunction(std::move(made));
}

namespace {
struct DirectiveInfo {
  std::string_view word;
  unsigned least, most; ///< numbers behind it
};
constexpr DirectiveInfo kDirectives[] = {
    {".maxntid", 1, 3},         {".reqntid", 1, 3},
    {".minnctapersm", 1, 1},    {".maxnctapersm", 1, 1},
    {".maxnreg", 1, 1},         {".noreturn", 0, 0},
    {".explicitcluster", 0, 0}, {".reqnctapercluster", 1, 3},
    {".maxclusterrank", 1, 1},  {".blocksareclusters", 0, 0},
    {".abi_preserve", 1, 1},    {".abi_preserve_control", 1, 1},
};
} // namespace

void Parser::functionDirectives(Function &function) {
  while (is(Kind::DotWord)) {
    if (isDotWord(".pragma"))
      pragma();
    else
      directive(function);
  }
}

void Parser::directive(Function &function) {
  for (const DirectiveInfo &info : kDirectives) {
    if (!acceptDotWord(info.word))
      continue;
    Directive made;
    made.name = info.word.substr(1);
    while (made.values.size() < info.least ||
           (made.values.size() < info.most && isSign(","))) {
      if (!made.values.empty())
        expect(",");
      made.values.push_back(integer("a number", UINT32_MAX));
    }
    function.directives.push_back(std::move(made));
    return;
  }
  expected("a body or a directive of a function");
}

/// Enters a function, in place of its earlier declaration, and reads its body.
void Parser::addFunction(Function made) {
  auto [it, isNew] = symbols.emplace(
      made.name, Symbol{true, uint32_t(module.functions.size()), made.hasBody});
  Symbol &symbol = it->second;
  if (!isNew && (!symbol.isFunction || (symbol.isDefined && made.hasBody)))
    return failAt(made.line,
                  "'" + std::string(made.name) + "' is defined twice");
  bool hasBody = made.hasBody;
  if (isNew)
    module.functions.push_back(std::move(made));
  else if (hasBody)
    module.functions[symbol.index] = std::move(made);
  symbol.isDefined |= hasBody;
  if (!hasBody)
    return;
  current = &module.functions[symbol.index];
  body();
}

void Parser::body() {
  scopes = std::make_unique<Scopes>(module.made);
  registers = 0;
  source = SourceLine();
  scopes->open();
  for (auto *list : {&current->results, &current->parameters})
    for (Variable &parameter : *list)
      if (std::string_view unique;
          parameter.name != "_" &&
          !scopes->declare(parameter.name, 0, false, unique))
        failAt(parameter.line,
               "'" + std::string(parameter.name) + "' is declared twice");
  expect("{");
  while (more() && scopes->depth())
    statement();
  if (scopes->depth())
    expected("'}' of the function '" + std::string(current->name) + "'");
}
