// PTX as it is written: modules, variables, functions, instructions with their
// words and operands. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Syntax only. What an instruction means, and whether its modifiers and
// operands fit together, is decided by the decoder (isa/). All text is a view
// into the source, which the module keeps.
#ifndef NIBBLE_RT_EMULATOR_PTX_AST_H
#define NIBBLE_RT_EMULATOR_PTX_AST_H

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace nibble {
namespace emu {
namespace ptx {

/// Types of variables, parameters and registers.
enum class Type : uint8_t {
  Pred,
  B8,
  B16,
  B32,
  B64,
  B128,
  U8,
  U16,
  U32,
  U64,
  S8,
  S16,
  S32,
  S64,
  F16,
  F16x2,
  BF16,
  BF16x2,
  F32,
  F64,
  Opaque /* .texref and the like */
};
/// Bits of a value; 1 for predicates.
unsigned bitsOf(Type type);
/// ".b32" without the dot to a type; false if there is no such type.
bool parseType(std::string_view text, Type &type);

enum class Space : uint8_t { Reg, Global, Shared, Const, Local, Param };

/// Place in a source file, from the last .loc before an instruction.
struct SourceLine {
  uint32_t file = 0, line = 0, column = 0; ///< file 0: unknown
};

/// One operand. Brackets, braces and pairs nest.
struct Operand {
  enum class Kind : uint8_t {
    Symbol,  ///< register, variable, label or function: `text`, with what
             ///< selects a part of it ("%tid.x", "v.x", "a.b1"); with `offset`
             ///< if written symbol+4
    Integer, ///< `bits` (two's complement of 64)
    Float,   ///< 0f/0d: `bits`, `isDouble`; decimal floats are doubles
    Vector,  ///< {a, b, ..}, and the lists of a call, (a, b): `parts`
    Address, ///< [base], [base+offset], [tensorMap, {x, y}], ...: `parts`; the
             ///< first part carries the offset of the address
    Pair,    ///< a|b: `parts`
    Sink     ///< _
  };
  Kind kind = Kind::Sink;
  bool negated = false; ///< !p or -x of a symbol
  bool isDouble = false;
  std::string_view text;
  uint64_t bits = 0;
  int64_t offset = 0;
  std::vector<Operand> parts;
};

/// `@!p mma.sync.aligned a, b;` The opcode is the first word; the modifiers are
/// the words behind dots, with `::` kept: "shared::cta".
struct Instruction {
  std::string_view opcode;
  std::vector<std::string_view> modifiers;
  std::string_view guard; ///< predicate register, or empty
  bool guardNegated = false;
  std::vector<Operand> operands;
  uint32_t line = 0; ///< of the PTX text, from 1
  SourceLine source;
};

/// A variable, register set or parameter.
struct Variable {
  std::string_view name;
  Space space = Space::Reg;
  Type type = Type::B32;
  uint32_t vector = 1;   ///< 1, 2, 4, 8: .v2 ..
  uint32_t count = 0;    ///< registers: %r<count>; 0: one register `name`;
                         ///< %r<0> declares nothing and is not listed
  uint32_t align = 0;    ///< bytes; 0: that of the type
  uint64_t elements = 1; ///< of an array, all dimensions multiplied; 0: unsized
  bool isArray = false;  ///< written with brackets
  bool unsized = false;  ///< `x[]`: extern shared
  bool isExtern = false, isVisible = false, isWeak = false, isManaged = false;
  /// Initial value: bytes (little-endian), zero beyond them; and addresses of
  /// other symbols in it.
  std::vector<uint8_t> bytes;
  struct Reference {
    uint64_t at = 0; ///< byte offset in the variable
    std::string_view symbol;
    int64_t offset = 0;
    bool generic = false; ///< generic(x): the generic address
    uint32_t size = 0;    ///< bytes that are stored
    uint32_t shift = 0;   ///< 0xff00(x): bits that the address is shifted right
  };
  std::vector<Reference> references;
  uint32_t line = 0;

  uint64_t byteSize() const; ///< of registers: of one
};

/// `.maxntid 128, 1, 1` and other words between parameters and body.
struct Directive {
  std::string_view name; ///< "maxntid"
  std::vector<uint64_t> values;
};

struct Function {
  std::string_view name;
  bool isEntry = false, isExtern = false, isVisible = false, isWeak = false;
  bool hasBody = false;
  std::vector<Variable> results, parameters; ///< results: of .func
  std::vector<Directive> directives;
  /// Registers and variables of all scopes of the body. A name that an inner
  /// scope declares anew, or that a module has too, is made unique where it is
  /// declared and used: "name#2", which no text can spell; a set %r<4> becomes
  /// "%r#2_" with registers "%r#2_0". Labels, targets and prototypes alike.
  std::vector<Variable> variables;
  std::vector<Instruction> body;
  struct Label {
    std::string_view name;
    uint32_t index; ///< of the instruction that follows; may be body.size()
  };
  std::vector<Label> labels;
  /// `.branchtargets` and `.calltargets` lists; prototypes of indirect calls.
  struct Targets {
    std::string_view name;
    std::vector<std::string_view> symbols;
  };
  std::vector<Targets> targets;
  struct Prototype {
    std::string_view name;
    std::vector<Variable> results, parameters;
  };
  std::vector<Prototype> prototypes;
  uint32_t line = 0;
};

/// `.alias name, aliasee;`
struct Alias {
  std::string_view name, aliasee;
};

/// Every name is there once: of a declaration and a definition, the definition.
struct Module {
  uint32_t versionMajor = 0, versionMinor = 0;
  std::string_view target; ///< "sm_110a"
  std::vector<std::string_view> targetOptions;
  std::vector<Variable> variables;
  std::vector<Function> functions;
  std::vector<Alias> aliases;
  std::vector<std::string> files;            ///< .file names; index 0 is empty
  std::unique_ptr<const std::string> source; ///< what all views point into
  /// Names that the parser made ("name#2").
  std::vector<std::unique_ptr<std::string>> made;
};

struct Error {
  uint32_t line = 0;   ///< 0: no error
  std::string message; ///< what is wrong, with the word found
  explicit operator bool() const { return line != 0; }
};

/// Parses PTX text. Never fails otherwise than by an error: nesting, counts and
/// sizes are limited (Limits.h), and a NUL ends the text as ptxas has it. What
/// is only for debuggers and optimizers is read and dropped: sections, names
/// and places of inlined functions, .pragma, the .ptr notes of parameters,
/// .unified; so are the initial values of samplers and textures. On error
/// `module` is unspecified.
Error parse(std::string text, Module &module);

} // namespace ptx
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_PTX_AST_H
