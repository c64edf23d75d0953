// Constant expressions, evaluated as the PTX ISA has it (section 4.5.5): with
// 64 bits, signed or unsigned, or with doubles.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Parser.h"

#include <cstring>

using namespace nibble::emu::ptx;

double Constant::asDouble() const {
  if (isSingle) {
    float value;
    uint32_t half = uint32_t(bits);
    std::memcpy(&value, &half, sizeof(value));
    return value;
  }
  double value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}

Constant Constant::of(double value) {
  Constant made;
  made.isFloat = true;
  std::memcpy(&made.bits, &value, sizeof(value));
  return made;
}

Constant Constant::of(uint64_t bits, bool isUnsigned) {
  Constant made;
  made.bits = bits;
  made.isUnsigned = isUnsigned;
  return made;
}

/// How tightly a sign binds two values; 0: not an operator.
static unsigned precedence(std::string_view sign) {
  static constexpr struct {
    std::string_view sign;
    unsigned precedence;
  } table[] = {{"*", 10}, {"/", 10}, {"%", 10}, {"+", 9}, {"-", 9},
               {"<<", 8}, {">>", 8}, {"<", 7},  {">", 7}, {"<=", 7},
               {">=", 7}, {"==", 6}, {"!=", 6}, {"&", 5}, {"^", 4},
               {"|", 3},  {"&&", 2}, {"||", 1}};
  for (const auto &row : table)
    if (row.sign == sign)
      return row.precedence;
  return 0;
}

Constant Parser::constant() {
  if (++expressionDepth > kMaxExpressionDepth)
    failAt(token().line, "the expression nests too deeply");
  Constant value = binary(unary(), 1);
  if (isSign("?"))
    value = choose(value);
  --expressionDepth;
  return value;
}

Constant Parser::integerConstant(const char *what) {
  uint32_t line = token().line;
  Constant value = constant();
  if (value.isFloat)
    failAt(line, std::string("expected ") + what + ", found a float");
  return value;
}

Constant Parser::choose(Constant condition) {
  expect("?");
  Constant yes = constant();
  expect(":");
  Constant no = constant();
  return condition.bits ? yes : no;
}

Constant Parser::binary(Constant left, unsigned minimum) {
  while (is(Kind::Sign) && precedence(token().text) >= minimum) {
    std::string_view sign = token().text;
    lexer.next();
    Constant right = unary();
    right = binary(right, precedence(sign) + 1);
    left = apply(sign, left, right);
  }
  return left;
}

Constant Parser::unary() {
  if (!isSign("-") && !isSign("+") && !isSign("!") && !isSign("~"))
    return primary();
  std::string_view sign = token().text;
  lexer.next();
  if (++expressionDepth > kMaxExpressionDepth)
    failAt(token().line, "the expression nests too deeply");
  Constant value = signedBy(sign, unary());
  --expressionDepth;
  return value;
}

Constant Parser::signedBy(std::string_view sign, Constant value) {
  if (value.isFloat && (value.isSingle || sign == "~"))
    failAt(token().line, "a float cannot stand behind '" + std::string(sign) +
                             "'" + (value.isSingle ? " as 0f" : ""));
  if (value.isFloat)
    return sign == "-"   ? Constant::of(-value.asDouble())
           : sign == "!" ? Constant::of(!value.asDouble(), false)
                         : value;
  if (sign == "!")
    return Constant::of(!value.bits, false);
  uint64_t bits = sign == "-"   ? 0 - value.bits
                  : sign == "~" ? ~value.bits
                                : value.bits;
  return Constant::of(bits, value.isUnsigned);
}

Constant Parser::primary() {
  Token start = token();
  if (start.kind == Kind::Integer || start.kind == Kind::Float) {
    lexer.next();
    Constant value = Constant::of(start.bits, start.isUnsigned);
    value.isFloat = start.kind == Kind::Float;
    value.isSingle = start.isSingle;
    return value;
  }
  if (start.kind == Kind::Word && start.text == "WARP_SZ") {
    lexer.next();
    return Constant::of(32, false);
  }
  if (!accept("(")) {
    expected("a constant");
    return {};
  }
  if (is(Kind::DotWord))
    return cast();
  Constant value = constant();
  expect(")");
  return value;
}

/// (.s64) or (.u64) behind its parenthesis, and the value.
Constant Parser::cast() {
  bool isUnsigned = isDotWord(".u64");
  if (!acceptDotWord(".u64") && !acceptDotWord(".s64"))
    expected("'.s64' or '.u64'");
  expect(")");
  if (++expressionDepth > kMaxExpressionDepth)
    failAt(token().line, "the expression nests too deeply");
  Constant value = unary();
  --expressionDepth;
  if (value.isFloat)
    failAt(token().line, "a float cannot be cast");
  return Constant::of(value.bits, isUnsigned);
}

Constant Parser::apply(std::string_view sign, Constant a, Constant b) {
  if (a.isFloat != b.isFloat)
    failAt(token().line,
           "a float and an integer meet at '" + std::string(sign) + "'");
  if (a.isFloat)
    return applyFloats(sign, a, b);
  bool isUnsigned = a.isUnsigned || b.isUnsigned;
  if (sign == "<<" || sign == ">>")
    return shift(sign, a, b);
  if (sign == "/" || sign == "%")
    return divide(sign, a, b);
  uint64_t bias = isUnsigned ? 0 : uint64_t(1) << 63;
  bool less = (a.bits ^ bias) < (b.bits ^ bias), equal = a.bits == b.bits;
  switch (sign[0]) {
  case '*':
    return Constant::of(a.bits * b.bits, isUnsigned);
  case '+':
    return Constant::of(a.bits + b.bits, isUnsigned);
  case '-':
    return Constant::of(a.bits - b.bits, isUnsigned);
  case '^':
    return Constant::of(a.bits ^ b.bits, isUnsigned);
  case '&':
    return sign == "&&" ? Constant::of(a.bits && b.bits, false)
                        : Constant::of(a.bits & b.bits, isUnsigned);
  case '|':
    return sign == "||" ? Constant::of(a.bits || b.bits, false)
                        : Constant::of(a.bits | b.bits, isUnsigned);
  case '<':
    return Constant::of(less || (sign == "<=" && equal), false);
  case '>':
    return Constant::of((!less && !equal) || (sign == ">=" && equal), false);
  default:
    return Constant::of(equal == (sign == "=="), false);
  }
}

Constant Parser::divide(std::string_view sign, Constant a, Constant b) {
  bool isUnsigned = a.isUnsigned || b.isUnsigned, wantsRest = sign == "%";
  if (!b.bits) {
    failAt(token().line, "a constant is divided by zero");
    return a;
  }
  if (isUnsigned)
    return Constant::of(wantsRest ? a.bits % b.bits : a.bits / b.bits, true);
  if (b.bits == ~uint64_t(0)) // The one quotient that may not fit.
    return Constant::of(wantsRest ? 0 : 0 - a.bits, false);
  int64_t left = int64_t(a.bits), right = int64_t(b.bits);
  return Constant::of(uint64_t(wantsRest ? left % right : left / right), false);
}

Constant Parser::shift(std::string_view sign, Constant a, Constant b) {
  if (b.bits > 63) {
    failAt(token().line, "a constant is shifted by " +
                             std::to_string(int64_t(b.bits)) + " bits");
    return a;
  }
  if (sign == "<<")
    return Constant::of(a.bits << b.bits, a.isUnsigned);
  uint64_t shifted =
      a.isUnsigned ? a.bits >> b.bits : uint64_t(int64_t(a.bits) >> b.bits);
  return Constant::of(shifted, a.isUnsigned);
}

Constant Parser::applyFloats(std::string_view sign, Constant a, Constant b) {
  double x = a.asDouble(), y = b.asDouble();
  if (sign == "+" || sign == "-" || sign == "*" || sign == "/")
    return Constant::of(sign == "+"   ? x + y
                        : sign == "-" ? x - y
                        : sign == "*" ? x * y
                                      : x / y);
  bool holds = sign == "<"    ? x < y
               : sign == ">"  ? x > y
               : sign == "<=" ? x <= y
               : sign == ">=" ? x >= y
               : sign == "==" ? x == y
                              : x != y;
  static const std::string_view comparisons[] = {
      "<", ">", "<=", ">=", "==", "!="};
  for (std::string_view comparison : comparisons)
    if (sign == comparison)
      return Constant::of(holds, false);
  failAt(token().line,
         "floats cannot stand beside '" + std::string(sign) + "'");
  return a;
}
