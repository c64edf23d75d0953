// Names of a function body and of the scopes in it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Scopes.h"

using namespace nibble::emu::ptx;

/// Digits behind a prefix; registers are at most seven digits long.
static constexpr size_t kMaxDigits = 7;

/// Calls `visit(prefix, number)` for every way to read a name as a register of
/// a set: "r12" as 12 of "r" and as 2 of "r1", "r02" as 2 of "r0".
template <typename Visit>
static void forSplits(std::string_view name, Visit visit) {
  uint64_t number = 0, scale = 1;
  for (size_t digits = 1; digits <= kMaxDigits && digits < name.size();
       ++digits, scale *= 10) {
    char c = name[name.size() - digits];
    if (c < '0' || c > '9')
      return;
    number += (c - '0') * scale;
    if (c != '0' || digits == 1)
      visit(name.substr(0, name.size() - digits), number);
  }
}

static bool endsInDigit(std::string_view name) {
  return !name.empty() && name.back() >= '0' && name.back() <= '9';
}

void Scopes::open() { scopes.push_back({{}, {}, pending.size()}); }

void Scopes::close() {
  Scope &scope = scopes.back();
  for (auto &[table, name] : scope.declared) {
    int32_t &top = table->find(name)->second;
    top = entries[top].shadowed;
  }
  if (!scope.labels.empty()) {
    size_t kept = scope.uses;
    for (size_t i = scope.uses; i < pending.size(); ++i) {
      auto label = scope.labels.find(*pending[i]);
      if (label == scope.labels.end())
        pending[kept++] = pending[i];
      else
        *pending[i] = label->second;
    }
    pending.resize(kept);
  }
  scopes.pop_back();
}

const Scopes::Entry *Scopes::find(const Table &table,
                                  std::string_view name) const {
  auto it = table.find(name);
  return it == table.end() || it->second < 0 ? nullptr : &entries[it->second];
}

std::string_view Scopes::keep(std::string text) {
  auto it = madeNames.find(text);
  if (it != madeNames.end())
    return *it;
  made.push_back(std::make_unique<std::string>(std::move(text)));
  return *madeNames.insert(*made.back()).first;
}

/// No text can spell a name with #, so that numbers alone make it unique.
std::string_view Scopes::fresh(std::string_view name, const char *end) {
  return keep(std::string(name) + "#" + std::to_string(++copies[name] + 1) +
              end);
}

bool Scopes::isOccupied(std::string_view name, uint32_t count) const {
  bool occupied = count ? usedSets.count(name) || usedPrefixes.count(name)
                        : usedNames.count(name) != 0;
  if (!usedSets.empty())
    forSplits(name, [&](std::string_view prefix, uint64_t number) {
      auto set = usedSets.find(prefix);
      occupied |= set != usedSets.end() && (count || number < set->second);
    });
  return occupied;
}

void Scopes::occupy(std::string_view name, uint32_t count) {
  if (!count)
    usedNames.insert(name);
  else if (uint32_t &most = usedSets[name]; most < count)
    most = count;
  forSplits(name, [&](std::string_view prefix, uint64_t) {
    usedPrefixes.insert(prefix);
  });
}

void Scopes::enter(Table &table, std::string_view name, Entry entry) {
  int32_t &top = table.emplace(name, -1).first->second;
  entry.shadowed = top;
  top = int32_t(entries.size());
  entries.push_back(entry);
  scopes.back().declared.push_back({&table, name});
}

bool Scopes::declare(std::string_view name, uint32_t count, bool taken,
                     std::string_view &unique) {
  Table &table = count ? sets : singles;
  const Entry *top = find(table, name);
  bool isHere = top && top->depth == depth();
  if (!count)
    forSplits(name, [&](std::string_view prefix, uint64_t number) {
      const Entry *set = find(sets, prefix);
      isHere |= set && set->depth == depth() && number < set->count;
    });
  if (isHere || (!count && scopes.back().labels.count(name)))
    return false;
  bool occupied = taken || isOccupied(name, count);
  occupy(name, count);
  unique = occupied ? fresh(name, count ? "_" : "") : name;
  setsEndInDigits |= count && endsInDigit(name);
  enter(table, name, {depth(), count, unique, -1});
  return true;
}

bool Scopes::declareLabel(std::string_view name, bool taken,
                          std::string_view &unique) {
  const Entry *top = find(singles, name);
  if (scopes.back().labels.count(name) || (top && top->depth == depth()))
    return false;
  unique = taken || isOccupied(name, 0) ? fresh(name, "") : name;
  occupy(name, 0);
  scopes.back().labels.emplace(name, unique);
  return true;
}

std::string_view Scopes::registerName(const Entry &set, std::string_view prefix,
                                      std::string_view name) {
  if (set.unique.data() == prefix.data() || set.unique == prefix)
    return name;
  return keep(std::string(set.unique) +
              std::string(name.substr(prefix.size())));
}

bool Scopes::resolve(std::string_view &name) {
  std::string_view base = name.substr(0, name.find('.'));
  const Entry *best = find(singles, base);
  std::string_view prefix;
  size_t digits = setsEndInDigits ? 0 : base.find_last_not_of("0123456789") + 1;
  forSplits(base, [&](std::string_view candidate, uint64_t number) {
    if (digits && candidate.size() != digits)
      return;
    const Entry *set = find(sets, candidate);
    while (set && number >= set->count)
      set = set->shadowed < 0 ? nullptr : &entries[set->shadowed];
    if (set && (!best || set->depth > best->depth))
      best = set, prefix = candidate;
  });
  if (!best)
    return false;
  std::string_view unique =
      prefix.empty() ? best->unique : registerName(*best, prefix, base);
  if (unique != base)
    name =
        base.size() == name.size()
            ? unique
            : keep(std::string(unique) + std::string(name.substr(base.size())));
  return true;
}

void Scopes::resolveLater(std::string_view &name) {
  if (!resolve(name))
    pending.push_back(&name);
}
