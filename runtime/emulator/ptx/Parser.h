// The parser of PTX text, by topic: modules, declarations, initial values,
// functions, bodies, operands, constants.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_PTX_PARSER_H
#define NIBBLE_RT_EMULATOR_PTX_PARSER_H

#include "Lexer.h"
#include "Limits.h"
#include "Scopes.h"

#include <unordered_map>

namespace nibble {
namespace emu {
namespace ptx {

/// Value of a constant expression: 64 bits or a double.
struct Constant {
  bool isFloat = false, isUnsigned = false;
  bool isSingle = false; ///< a literal 0f........: `bits` are of a float
  uint64_t bits = 0;

  double asDouble() const;
  static Constant of(double value);
  static Constant of(uint64_t bits, bool isUnsigned);
};

/// After an error every token is the end of the text: no step is checked, every
/// loop asks more().
class Parser {
public:
  Parser(std::string_view text, Module &module);
  Error run();

private:
  using Kind = Token::Kind;
  struct Symbol {
    bool isFunction;
    uint32_t index;
    bool isDefined;
  };
  struct Linkage {
    bool isExtern = false, isVisible = false, isWeak = false;
  };

  // Tokens.
  const Token &token() const { return lexer.token(); }
  bool more() const { return token().kind != Kind::End; }
  bool is(Kind kind) const { return token().kind == kind; }
  bool isSign(std::string_view sign) const;
  bool isDotWord(std::string_view word) const;
  bool accept(std::string_view sign);
  bool acceptDotWord(std::string_view word);
  void expect(std::string_view sign);
  void expected(const std::string &what);
  void failAt(uint32_t line, std::string message);
  std::string_view word(const char *what);
  std::string_view name(const char *what); ///< a word without dots
  std::string_view string(const char *what);
  uint64_t integer(const char *what, uint64_t limit);

  // Constants.
  Constant constant();
  Constant integerConstant(const char *what);
  Constant binary(Constant left, unsigned minimum);
  Constant unary();
  Constant primary();
  Constant cast();
  Constant signedBy(std::string_view sign, Constant value);
  Constant choose(Constant condition);
  Constant apply(std::string_view sign, Constant a, Constant b);
  Constant applyFloats(std::string_view sign, Constant a, Constant b);
  Constant divide(std::string_view sign, Constant a, Constant b);
  Constant shift(std::string_view sign, Constant a, Constant b);

  // Modules.
  void moduleHeader();
  void version();
  void target();
  void moduleItem();
  void linked();
  void file();
  void section();
  void alias();
  void pragma();
  void addVariable(Variable variable);
  bool isModuleName(std::string_view name) const;

  // Declarations.
  bool atDeclaration() const;
  Variable declarationHead(Linkage linkage);
  void attribute(Variable &variable);
  uint64_t alignment();
  void typeOf(Variable &variable);
  void checkType(const Variable &variable);
  void registerCount(Variable &variable);
  void dimensions(Variable &variable, std::vector<uint64_t> &extents);
  Variable declarator(const Variable &head);
  Variable parameter();
  void pointerNotes();
  std::vector<Variable> parameterList();

  // Initial values.
  void initializer(Variable &variable, std::vector<uint64_t> &extents);
  uint64_t values(Variable &variable, const std::vector<uint64_t> &extents,
                  size_t level, uint64_t at);
  void value(Variable &variable, uint64_t at);
  void reference(Variable &variable, uint64_t at);
  void maskedReference(Variable &variable, uint64_t at, Constant mask);
  void symbolOf(Variable::Reference &reference);
  void store(Variable &variable, uint64_t at, Constant constant);
  void skipBraces();

  // Functions.
  void function(Linkage linkage, bool isEntry);
  void functionDirectives(Function &function);
  void directive(Function &function);
  void addFunction(Function function);
  void body();

  // Statements of a body.
  void statement();
  void closeScope();
  void openScope();
  void local();
  void localName(Variable &variable);
  void location();
  void inlinedAt();
  void label(std::string_view name, uint32_t line);
  std::string_view declaredLabel(std::string_view name, uint32_t line);
  void targets(std::string_view name, uint32_t line);
  void prototype(std::string_view name, uint32_t line);
  void guarded();
  void instruction(Instruction &made, std::string_view opcode);
  void modifiers(Instruction &made, std::string_view opcode);

  // Operands.
  Operand operand(bool inCall);
  Operand scalar();
  Operand symbol(bool negated);
  Operand signedOperand();
  Operand immediate(Constant constant);
  Operand list(const char *close, bool mayBeEmpty);
  Operand address();
  bool another(size_t count);
  void resolve(Operand &operand);

  Lexer lexer;
  Module &module;
  std::unordered_map<std::string_view, Symbol> symbols;
  uint64_t initialBytes = 0;
  uint32_t expressionDepth = 0;

  Function *current = nullptr; ///< the function whose body is read
  std::unique_ptr<Scopes> scopes;
  SourceLine source;
  uint64_t registers = 0;    ///< of that function
  uint64_t instructions = 0; ///< of the module
};

} // namespace ptx
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_PTX_PARSER_H
