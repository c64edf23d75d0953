// Names of a function body and of the scopes in it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_PTX_SCOPES_H
#define NIBBLE_RT_EMULATOR_PTX_SCOPES_H

#include "Ast.h"

#include <unordered_map>
#include <unordered_set>

namespace nibble {
namespace emu {
namespace ptx {

/// Gives what is declared in nested scopes names that are unique in a function,
/// and finds them again where they are used. Variables and registers are found
/// from their declaration on, the innermost first; labels also before it, for
/// which uses are kept until their scope closes.
class Scopes {
public:
  using Made = std::vector<std::unique_ptr<std::string>>;
  explicit Scopes(Made &made) : made(made) {}

  void open();
  void close();
  uint32_t depth() const { return uint32_t(scopes.size()); }

  /// Declares a register set (count > 0) or anything else, and gives its unique
  /// name. `taken`: the module uses the name. False: the scope has it already.
  bool declare(std::string_view name, uint32_t count, bool taken,
               std::string_view &unique);
  bool declareLabel(std::string_view name, bool taken,
                    std::string_view &unique);

  /// Replaces a name by the unique one of what it means. False: no variable.
  bool resolve(std::string_view &name);
  /// The same; if it may be a label, `name` is replaced when scopes close: it
  /// must stay where it is.
  void resolveLater(std::string_view &name);

private:
  struct Entry {
    uint32_t depth, count;
    std::string_view unique;
    int32_t shadowed; ///< entry of an outer scope, or -1
  };
  using Table = std::unordered_map<std::string_view, int32_t>;
  struct Scope {
    std::vector<std::pair<Table *, std::string_view>> declared;
    std::unordered_map<std::string_view, std::string_view> labels;
    size_t uses; ///< the first of its `pending`
  };

  const Entry *find(const Table &table, std::string_view name) const;
  std::string_view registerName(const Entry &set, std::string_view prefix,
                                std::string_view name);
  bool isOccupied(std::string_view name, uint32_t count) const;
  void occupy(std::string_view name, uint32_t count);
  void enter(Table &table, std::string_view name, Entry entry);
  std::string_view fresh(std::string_view name, const char *end);
  std::string_view keep(std::string text);

  Made &made;
  std::vector<Scope> scopes;
  std::vector<Entry> entries;
  Table singles, sets;
  std::vector<std::string_view *> pending;
  bool setsEndInDigits = false;
  /// Names that the function has given away: sets with their largest count, the
  /// beginnings of names that end in digits, how often a name was made unique.
  std::unordered_set<std::string_view> usedNames, usedPrefixes;
  std::unordered_map<std::string_view, uint32_t> usedSets, copies;
  std::unordered_set<std::string_view> madeNames;
};

} // namespace ptx
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_PTX_SCOPES_H
