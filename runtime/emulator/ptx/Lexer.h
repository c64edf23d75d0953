// Words, numbers and signs of PTX text.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_PTX_LEXER_H
#define NIBBLE_RT_EMULATOR_PTX_LEXER_H

#include "Ast.h"

namespace nibble {
namespace emu {
namespace ptx {

struct Token {
  enum class Kind : uint8_t {
    End,
    Word,    ///< with what follows behind dots: "mov.u32", "%tid.x", "a$1"
    DotWord, ///< ".reg", "shared::cta" behind a dot
    Integer, ///< `bits`
    Float,   ///< `bits`: of a float if `isSingle`, else of a double
    String,  ///< text without the quotes
    Sign     ///< one or two characters
  };
  Kind kind = Kind::End;
  bool isUnsigned = false; ///< written with U, or too large for 63 bits
  bool isSingle = false;   ///< 0f........
  uint32_t line = 1;
  std::string_view text; ///< as written, a DotWord with its dot
  uint64_t bits = 0;
};

/// Reads tokens; the first error stays, and only End follows it, so that a
/// parser runs out without checking every step.
class Lexer {
public:
  explicit Lexer(std::string_view text);

  const Token &token() const { return current; }
  void next();
  /// The rest of a block whose opening brace is the token, and the token behind
  /// its closing one. Blocks of debug sections do not nest.
  void skipBlock();

  void fail(uint32_t line, std::string message);
  const Error &error() const { return failure; }

private:
  char at(size_t index) const { return index < text.size() ? text[index] : 0; }
  void skipBlanks();
  bool skipComment();
  bool skipLineMarker();
  void skipLine();
  void lexWord(size_t end);
  void lexDotWord();
  void lexNumber();
  void lexRadix(unsigned radix, size_t digits);
  void lexFloatBits(size_t count);
  void lexDecimalFloat();
  void lexString();
  void lexSign();
  void take(Token::Kind kind, size_t end);
  size_t endOfSuffixes(size_t end) const;
  void failNumber();

  std::string_view text;
  size_t position = 0;
  uint32_t line = 1;
  Token current;
  Error failure;
};

/// 'x' of a token for a message, shortened and made printable.
std::string describe(const Token &token);

} // namespace ptx
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_PTX_LEXER_H
