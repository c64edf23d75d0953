// Instructions and their operands.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Parser.h"

using namespace nibble::emu::ptx;

void Parser::instruction(Instruction &made, std::string_view opcode) {
  made.source = source;
  if (++instructions > kMaxInstructions)
    failAt(made.line,
           "more than " + std::to_string(kMaxInstructions) + " instructions");
  modifiers(made, opcode);
  bool isCall = made.opcode == "call";
  if (!isSign(";")) {
    do
      made.operands.push_back(operand(isCall));
    while (another(made.operands.size()));
  }
  expect(";");
  for (Operand &operand : made.operands)
    resolve(operand);
  current->body.push_back(std::move(made));
}

/// Splits "mma.sync.aligned" and takes words that stand apart, " .u32".
void Parser::modifiers(Instruction &made, std::string_view opcode) {
  size_t end = opcode.find('.');
  made.opcode = opcode.substr(0, end);
  bool isWord =
      !made.opcode.empty() && made.opcode[0] >= 'a' && made.opcode[0] <= 'z';
  if (!isWord || made.opcode.find(':') != std::string_view::npos)
    failAt(made.line, "'" + std::string(made.opcode.substr(0, 48)) +
                          "' is not an instruction");
  while (end != std::string_view::npos) {
    size_t begin = end + 1;
    end = opcode.find('.', begin);
    made.modifiers.push_back(opcode.substr(begin, end - begin));
  }
  for (; is(Kind::DotWord); lexer.next())
    made.modifiers.push_back(token().text.substr(1));
}

/// A comma, behind `count` operands.
bool Parser::another(size_t count) {
  if (!accept(","))
    return false;
  if (count >= kMaxOperands)
    failAt(token().line,
           "more than " + std::to_string(kMaxOperands) + " operands in a list");
  return true;
}

void Parser::resolve(Operand &operand) {
  if (operand.kind == Operand::Kind::Symbol)
    scopes->resolveLater(operand.text);
  for (Operand &part : operand.parts)
    resolve(part);
}

Operand Parser::operand(bool inCall) {
  if (inCall && accept("("))
    return list(")", true);
  Operand made = isSign("[")   ? address()
                 : accept("{") ? list("}", false)
                               : scalar();
  if (!accept("|"))
    return made;
  Operand pair;
  pair.kind = Operand::Kind::Pair;
  pair.parts.push_back(std::move(made));
  pair.parts.push_back(scalar());
  return pair;
}

Operand Parser::scalar() {
  if (is(Kind::Word) && token().text == "_") {
    lexer.next();
    return Operand();
  }
  if (is(Kind::Word) && token().text != "WARP_SZ")
    return symbol(false);
  if (isSign("!") || isSign("-"))
    return signedOperand();
  if (!is(Kind::Integer) && !is(Kind::Float) && !is(Kind::Word) &&
      !isSign("(") && !isSign("~") && !isSign("+")) {
    expected("an operand");
    return Operand();
  }
  return immediate(constant());
}

/// !p and -x of symbols; else the first sign of a constant.
Operand Parser::signedOperand() {
  std::string_view sign = token().text;
  lexer.next();
  if (is(Kind::Word) && token().text != "WARP_SZ")
    return symbol(true);
  Constant value = binary(signedBy(sign, unary()), 1);
  return immediate(isSign("?") ? choose(value) : value);
}

/// "a", or "a.x" with one word behind it.
static bool isSymbol(std::string_view text) {
  size_t dot = text.find('.');
  if (text.find(':') != std::string_view::npos)
    return false;
  return dot == std::string_view::npos ||
         (text.find('.', dot + 1) == std::string_view::npos &&
          (text[dot + 1] < '0' || text[dot + 1] > '9'));
}

Operand Parser::symbol(bool negated) {
  if (!isSymbol(token().text))
    expected("an operand");
  Operand made;
  made.kind = Operand::Kind::Symbol;
  made.negated = negated;
  made.text = word("a symbol");
  if (accept("+"))
    made.offset = int64_t(integerConstant("an offset").bits);
  if (isSign("["))
    failAt(token().line, "elements of arrays are not supported; write ['" +
                             std::string(made.text.substr(0, 48)) + "+bytes]");
  return made;
}

Operand Parser::immediate(Constant constant) {
  Operand made;
  made.kind = constant.isFloat ? Operand::Kind::Float : Operand::Kind::Integer;
  made.isDouble = constant.isFloat && !constant.isSingle;
  made.bits = constant.bits;
  return made;
}

/// The rest of {a, b} or (a, b).
Operand Parser::list(const char *close, bool mayBeEmpty) {
  Operand made;
  made.kind = Operand::Kind::Vector;
  if (mayBeEmpty && accept(close))
    return made;
  do
    made.parts.push_back(scalar());
  while (another(made.parts.size()));
  expect(close);
  return made;
}

/// [a], [a+4], [map, {x, y}], [texture, sampler, {x}]
Operand Parser::address() {
  Operand made;
  made.kind = Operand::Kind::Address;
  expect("[");
  do
    made.parts.push_back(!made.parts.empty() && accept("{") ? list("}", false)
                                                            : scalar());
  while (another(made.parts.size()));
  expect("]");
  return made;
}
