// Declarations of variables, registers and parameters.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Parser.h"

using namespace nibble::emu::ptx;

static bool parseSpace(std::string_view word, Space &space) {
  static constexpr struct {
    std::string_view word;
    Space space;
  } table[] = {{".reg", Space::Reg},       {".global", Space::Global},
               {".shared", Space::Shared}, {".const", Space::Const},
               {".local", Space::Local},   {".param", Space::Param}};
  for (const auto &row : table)
    if (row.word == word) {
      space = row.space;
      return true;
    }
  return false;
}

bool Parser::atDeclaration() const {
  Space space;
  return is(Kind::DotWord) &&
         (parseSpace(token().text, space) || token().text == ".align" ||
          token().text == ".attribute");
}

/// All of a declaration that stands before its names.
Variable Parser::declarationHead(Linkage linkage) {
  Variable head;
  head.line = token().line;
  head.isExtern = linkage.isExtern;
  head.isVisible = linkage.isVisible;
  head.isWeak = linkage.isWeak;
  bool hasSpace = false;
  while (more()) {
    if (acceptDotWord(".align"))
      head.align = uint32_t(alignment());
    else if (acceptDotWord(".attribute"))
      attribute(head);
    else if (is(Kind::DotWord) && parseSpace(token().text, head.space) &&
             !hasSpace) {
      hasSpace = true;
      lexer.next();
    } else
      break;
  }
  if (!hasSpace)
    expected("a state space");
  typeOf(head);
  return head;
}

uint64_t Parser::alignment() {
  uint32_t line = token().line;
  uint64_t align = integer("an alignment", kMaxAlign);
  if (!align || (align & (align - 1)))
    failAt(line,
           "the alignment " + std::to_string(align) + " is not a power of two");
  return align;
}

/// (.managed), (.unified(1, 2)), or both.
void Parser::attribute(Variable &variable) {
  expect("(");
  do {
    if (acceptDotWord(".managed")) {
      variable.isManaged = true;
      continue;
    }
    if (!acceptDotWord(".unified"))
      expected("'.managed' or '.unified'");
    expect("(");
    integer("half of an identifier", UINT64_MAX);
    expect(",");
    integer("half of an identifier", UINT64_MAX);
    expect(")");
  } while (accept(","));
  expect(")");
}

void Parser::typeOf(Variable &variable) {
  if (acceptDotWord(".v2"))
    variable.vector = 2;
  else if (acceptDotWord(".v4"))
    variable.vector = 4;
  if (!is(Kind::DotWord) || !parseType(token().text.substr(1), variable.type))
    return expected("a type");
  checkType(variable);
  lexer.next();
}

/// What ptxas has against the type that is the token.
void Parser::checkType(const Variable &variable) {
  unsigned bits = bitsOf(variable.type);
  bool isRegister = variable.space == Space::Reg;
  if (variable.type == Type::BF16 || variable.type == Type::BF16x2)
    expected("a type of variables");
  else if (variable.type == Type::Pred && !isRegister)
    expected("a type that can be in memory");
  else if (variable.vector > 1 && bits * variable.vector > 128 && !isRegister)
    failAt(token().line, "a vector has at most 128 bits");
}

/// <13> behind the name of registers. <0>: no elements.
void Parser::registerCount(Variable &variable) {
  uint32_t line = token().line;
  if (!accept("<"))
    return;
  if (variable.space != Space::Reg)
    failAt(line, "only registers come in sets");
  variable.count = uint32_t(integer("the number of registers", kMaxRegisters));
  variable.elements = variable.count != 0;
  expect(">");
}

/// [2][3] behind a name: multiplied, and in `extents`; 0 for [].
void Parser::dimensions(Variable &variable, std::vector<uint64_t> &extents) {
  uint32_t line = token().line;
  while (accept("[")) {
    bool isOpen = isSign("]");
    if (isOpen && !extents.empty())
      expected("a size");
    Constant size = isOpen ? Constant() : integerConstant("a size");
    uint64_t elements = isOpen ? 1 : size.bits;
    expect("]");
    if (!elements && !variable.isExtern)
      failAt(line, "an array without elements");
    if (__builtin_mul_overflow(variable.elements, elements,
                               &variable.elements) ||
        variable.elements > kMaxVariableBytes ||
        extents.size() == kMaxDimensions)
      return failAt(line, "the array is too large");
    extents.push_back(isOpen ? 0 : elements);
    variable.isArray = true;
    variable.unsized |= isOpen;
  }
  if (variable.isArray && variable.space == Space::Reg)
    failAt(line, "registers cannot be arrays");
}

/// A name with what belongs to it alone; the rest is in `head`.
Variable Parser::declarator(const Variable &head) {
  Variable made = head;
  std::vector<uint64_t> extents;
  made.line = token().line;
  made.name = name("a name");
  registerCount(made);
  dimensions(made, extents);
  if (accept("="))
    initializer(made, extents);
  else if (made.unsized && !made.isExtern)
    failAt(made.line, "only what is .extern, or has initial values, can have "
                      "no size");
  made.elements = made.unsized ? 0 : made.elements;
  if (made.byteSize() > kMaxVariableBytes)
    failAt(made.line, "'" + std::string(made.name) + "' is too large");
  return made;
}

/// .param .u64 .ptr .global .align 8 x; .param .align 4 .b8 x[12]; .reg .b32 x
Variable Parser::parameter() {
  if (!isDotWord(".param") && !isDotWord(".reg") && !isDotWord(".align"))
    expected("a parameter");
  Variable made = declarationHead({});
  if (made.space != Space::Param && made.space != Space::Reg)
    failAt(made.line, "parameters are .param or .reg");
  pointerNotes();
  std::vector<uint64_t> extents;
  made.name = name("a name");
  made.isExtern = true; // Parameters may have no size: x[].
  dimensions(made, extents);
  made.isExtern = false;
  made.elements = made.unsized ? 0 : made.elements;
  return made;
}

/// .ptr .global .align 8: says what a pointer points to.
void Parser::pointerNotes() {
  if (!acceptDotWord(".ptr"))
    return;
  Space space;
  if (is(Kind::DotWord) && parseSpace(token().text, space))
    lexer.next();
  if (acceptDotWord(".align"))
    alignment();
}

std::vector<Variable> Parser::parameterList() {
  std::vector<Variable> list;
  expect("(");
  if (accept(")"))
    return list;
  do
    list.push_back(parameter());
  while (accept(","));
  expect(")");
  return list;
}
