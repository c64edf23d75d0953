// Statements of function bodies.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Parser.h"

using namespace nibble::emu::ptx;

void Parser::statement() {
  if (isSign("{"))
    return openScope();
  if (isSign("}"))
    return closeScope();
  if (isSign("@"))
    return guarded();
  if (atDeclaration())
    return local();
  if (isDotWord(".loc"))
    return location();
  if (isDotWord(".pragma"))
    return pragma();
  Token start = token();
  if (!is(Kind::Word))
    return expected("an instruction, a declaration or '}'");
  lexer.next();
  if (accept(":"))
    return label(start.text, start.line);
  if (isDotWord(".branchtargets") || isDotWord(".calltargets") ||
      isDotWord(".callprototype"))
    return expected("':'");
  Instruction made;
  made.line = start.line;
  instruction(made, start.text);
}

void Parser::openScope() {
  if (scopes->depth() == kMaxScopes)
    return failAt(token().line, "scopes nest too deeply");
  lexer.next();
  scopes->open();
}

void Parser::closeScope() {
  scopes->close();
  lexer.next();
}

void Parser::local() {
  Variable head = declarationHead({});
  do {
    Variable made = declarator(head);
    if (made.space == Space::Reg && !made.elements)
      continue;
    localName(made);
    current->variables.push_back(std::move(made));
  } while (accept(","));
  expect(";");
}

void Parser::localName(Variable &variable) {
  bool isSet = variable.space == Space::Reg && variable.count;
  registers += variable.space == Space::Reg ? std::max(variable.count, 1u) : 0;
  if (registers > kMaxRegisters)
    failAt(variable.line, "the function has more than " +
                              std::to_string(kMaxRegisters) + " registers");
  std::string_view name = variable.name;
  if (!scopes->declare(name, isSet ? variable.count : 0, isModuleName(name),
                       variable.name))
    failAt(variable.line, "'" + std::string(name) + "' is declared twice");
}

/// .loc 1 22 3, function_name $L__info_string0, inlined_at 1 11 3
void Parser::location() {
  lexer.next();
  source.file = uint32_t(integer("the number of a file", kMaxFiles));
  source.line = uint32_t(integer("a line", UINT32_MAX));
  source.column = uint32_t(integer("a column", UINT32_MAX));
  while (accept(","))
    inlinedAt();
}

void Parser::inlinedAt() {
  std::string_view what = word("'function_name' or 'inlined_at'");
  if (what == "function_name") {
    word("a label");
    if (accept("+"))
      integer("an offset", UINT32_MAX);
  } else if (what == "inlined_at") {
    integer("the number of a file", kMaxFiles);
    integer("a line", UINT32_MAX);
    integer("a column", UINT32_MAX);
  } else
    expected("'function_name' or 'inlined_at' before it");
}

void Parser::label(std::string_view name, uint32_t line) {
  if (name.find_first_of(".:") != std::string_view::npos)
    return failAt(line, "a label has no dots");
  if (isDotWord(".branchtargets") || isDotWord(".calltargets"))
    return targets(name, line);
  if (isDotWord(".callprototype"))
    return prototype(name, line);
  current->labels.push_back(
      {declaredLabel(name, line), uint32_t(current->body.size())});
}

std::string_view Parser::declaredLabel(std::string_view name, uint32_t line) {
  std::string_view unique = name;
  if (!scopes->declareLabel(name, isModuleName(name), unique))
    failAt(line, "'" + std::string(name) + "' is declared twice");
  return unique;
}

void Parser::targets(std::string_view name, uint32_t line) {
  Function::Targets made;
  made.name = declaredLabel(name, line);
  lexer.next();
  do
    made.symbols.push_back(this->name("a label"));
  while (accept(","));
  expect(";");
  for (std::string_view &symbol : made.symbols)
    scopes->resolveLater(symbol);
  current->targets.push_back(std::move(made));
}

/// p: .callprototype (.param .b32 _) _ (.param .b32 _);
void Parser::prototype(std::string_view name, uint32_t line) {
  Function made;
  made.name = declaredLabel(name, line);
  lexer.next();
  if (isSign("("))
    made.results = parameterList();
  word("'_'");
  if (isSign("("))
    made.parameters = parameterList();
  functionDirectives(made);
  expect(";");
  current->prototypes.push_back(
      {made.name, std::move(made.results), std::move(made.parameters)});
}

void Parser::guarded() {
  Instruction made;
  lexer.next();
  made.guardNegated = accept("!");
  made.guard = word("a predicate register");
  if (!made.guard.empty())
    scopes->resolve(made.guard);
  made.line = token().line;
  std::string_view opcode = word("an instruction");
  if (isSign(":"))
    return failAt(made.line, "a guard needs an instruction, not a label");
  instruction(made, opcode);
}
