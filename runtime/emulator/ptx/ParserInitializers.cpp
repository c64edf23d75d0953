// Initial values of variables.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Parser.h"

#include <cstring>

using namespace nibble::emu::ptx;

void Parser::initializer(Variable &variable, std::vector<uint64_t> &extents) {
  if (variable.isExtern ||
      (variable.space != Space::Global && variable.space != Space::Const))
    return failAt(variable.line, "'" + std::string(variable.name) +
                                     "' can have no initial value");
  if (variable.type == Type::Opaque)
    return skipBraces();
  if (variable.vector > 1)
    extents.push_back(variable.vector);
  uint64_t count = values(variable, extents, 0, 0);
  if (!variable.unsized)
    return;
  variable.elements *= count;
  variable.unsized = false;
  if (!count)
    failAt(variable.line, "an array without elements");
}

/// The part of an initial value from byte `at` on, with the extents from
/// `level` on. How many items it has.
uint64_t Parser::values(Variable &variable,
                        const std::vector<uint64_t> &extents, size_t level,
                        uint64_t at) {
  if (level == extents.size()) {
    value(variable, at);
    return 1;
  }
  uint64_t step = (bitsOf(variable.type) + 7) / 8, count = 0;
  for (size_t i = level + 1; i < extents.size(); ++i)
    step *= extents[i];
  if (at > kMaxVariableBytes)
    failAt(token().line, "the array is too large");
  expect("{");
  if (accept("}"))
    return 0;
  do {
    if (extents[level] && count == extents[level])
      failAt(token().line,
             "more than " + std::to_string(count) + " values in braces");
    values(variable, extents, level + 1, at + count++ * step);
  } while (accept(","));
  expect("}");
  return count;
}

/// A number, an address, or a byte of an address.
void Parser::value(Variable &variable, uint64_t at) {
  if (is(Kind::Word) && token().text != "WARP_SZ")
    return reference(variable, at);
  Constant made = constant();
  if (isSign("("))
    return maskedReference(variable, at, made);
  store(variable, at, made);
}

/// x, x + 4, generic(x) + 4
void Parser::symbolOf(Variable::Reference &made) {
  made.symbol = name("a symbol");
  if (made.symbol == "generic" && accept("(")) {
    made.generic = true;
    made.symbol = name("a symbol");
    expect(")");
  }
  uint32_t line = token().line;
  if (!isModuleName(made.symbol) &&
      !(scopes && scopes->depth() && scopes->resolve(made.symbol)))
    failAt(line, "'" + std::string(made.symbol) + "' is not declared");
  if (accept("+"))
    made.offset = int64_t(integerConstant("an offset").bits);
}

void Parser::reference(Variable &variable, uint64_t at) {
  Variable::Reference made;
  uint32_t line = token().line;
  made.at = at;
  made.size = bitsOf(variable.type) / 8;
  if (made.size < 4 || made.size > 8)
    failAt(line, "an address needs a variable of 32 or 64 bits");
  symbolOf(made);
  variable.references.push_back(made);
}

/// 0xff00(x): the byte of the address of x that the mask selects.
void Parser::maskedReference(Variable &variable, uint64_t at, Constant mask) {
  Variable::Reference made;
  uint32_t line = token().line;
  made.at = at;
  made.size = 1;
  while (made.shift < 64 && mask.bits != uint64_t(0xff) << made.shift)
    made.shift += 8;
  if (mask.isFloat || made.shift == 64 || bitsOf(variable.type) != 8)
    failAt(line, "a mask selects one byte, for a variable of bytes");
  expect("(");
  symbolOf(made);
  expect(")");
  variable.references.push_back(made);
}

static bool takesFloat(Type type) {
  return type == Type::F32 || type == Type::F64 || type == Type::B32 ||
         type == Type::B64;
}

void Parser::store(Variable &variable, uint64_t at, Constant constant) {
  Type type = variable.type;
  bool isFloat = type == Type::F32 || type == Type::F64;
  bool hasValues = type < Type::F16 || isFloat;
  if (!hasValues || (constant.isFloat ? !takesFloat(type) : isFloat))
    return failAt(token().line, "the initial value does not fit the type");
  unsigned size = bitsOf(type) / 8;
  uint64_t bits = constant.bits;
  if (constant.isFloat && size == 4 && !constant.isSingle) {
    float narrow = float(constant.asDouble());
    uint32_t half;
    std::memcpy(&half, &narrow, sizeof(half));
    bits = half;
  } else if (constant.isFloat && size == 8)
    bits = Constant::of(constant.asDouble()).bits;
  uint64_t end = at + size, old = variable.bytes.size();
  if (end > kMaxInitialBytes || initialBytes + end - old > kMaxInitialBytes)
    return failAt(token().line, "too many bytes of initial values");
  initialBytes += end - old;
  variable.bytes.resize(end);
  for (unsigned i = 0; i < size && i < 16; ++i)
    variable.bytes[at + i] =
        i < 8 ? uint8_t(bits >> 8 * i)
              : (int64_t(bits) < 0 && !constant.isUnsigned ? 0xff : 0);
}

/// The fields of a sampler or texture.
void Parser::skipBraces() {
  if (!isSign("{"))
    return expected("'{'");
  for (uint64_t open = 0; more();) {
    open += isSign("{");
    open -= isSign("}");
    lexer.next();
    if (!open)
      return;
  }
  expected("'}'");
}
