// Which instructions a target has: a table of rules.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Targets.h"

#include <algorithm>

using namespace nibble::emu;
using ptx::Instruction;

TargetName nibble::emu::parseTarget(std::string_view name) {
  TargetName target;
  for (char c : name.substr(std::min<size_t>(3, name.size())))
    if (c >= '0' && c <= '9')
      target.arch = target.arch * 10 + unsigned(c - '0');
    else
      target.suffix = c;
  return target;
}

namespace {

/// A set of targets, and how an error names it.
struct Has {
  bool (*test)(const TargetName &);
  const char *name;
};

/// Machines with tensor memory; sm_101 is the old name of sm_110.
bool isDataCenter(unsigned arch) {
  return arch == 100 || arch == 101 || arch == 103 || arch == 110;
}

const Has kFrom80 = {[](const TargetName &t) { return t.arch >= 80; },
                     "sm_80 or later"};
const Has kFrom89 = {[](const TargetName &t) { return t.arch >= 89; },
                     "sm_89 or later"};
const Has kFrom90 = {[](const TargetName &t) { return t.arch >= 90; },
                     "sm_90 or later"};
const Has kFrom100 = {[](const TargetName &t) { return t.arch >= 100; },
                      "sm_100 or later"};
const Has kHopper = {
    [](const TargetName &t) { return t.arch == 90 && t.suffix == 'a'; },
    "sm_90a"};
const Has kOwn90 = {
    [](const TargetName &t) { return t.arch >= 90 && t.suffix; },
    "sm_90a, or a later target with a suffix"};
const Has kOwn100 = {
    [](const TargetName &t) { return t.arch >= 100 && t.suffix; },
    "sm_100a, or a later target with a suffix"};
const Has kTensorMemory = {
    [](const TargetName &t) { return isDataCenter(t.arch) && t.suffix; },
    "sm_100a, sm_103a, sm_110a or their families"};
const Has kTensorMemoryExact = {
    [](const TargetName &t) { return isDataCenter(t.arch) && t.suffix == 'a'; },
    "sm_100a, sm_103a or sm_110a"};
const Has kLoadReduce = {[](const TargetName &t) {
                           return isDataCenter(t.arch) && t.arch != 100 &&
                                  t.suffix;
                         },
                         "sm_103a, sm_110a or their families"};
const Has kServer = {[](const TargetName &t) {
                       return (t.arch == 100 || t.arch == 103) && t.suffix;
                     },
                     "sm_100a, sm_103a or their families"};
const Has kServerExact = {[](const TargetName &t) {
                            return (t.arch == 100 || t.arch == 103) &&
                                   t.suffix == 'a';
                          },
                          "sm_100a or sm_103a"};

bool hasWord(const Instruction &i, std::string_view word) {
  return std::find(i.modifiers.begin(), i.modifiers.end(), word) !=
         i.modifiers.end();
}
bool startsWith(std::string_view text, std::string_view with) {
  return text.substr(0, with.size()) == with;
}
bool hasPrefix(const Instruction &i, std::string_view prefix) {
  return std::any_of(
      i.modifiers.begin(), i.modifiers.end(),
      [=](std::string_view word) { return startsWith(word, prefix); });
}

/// What an instruction with `opcode` and `words` needs. Words end with * where
/// they are only the begin of one.
struct Rule {
  std::string_view opcode;
  std::vector<std::string_view> words;
  const Has &needs;
};

const std::vector<Rule> &rules() {
  static const std::vector<Rule> kRules = {
      {"wgmma", {}, kHopper},
      {"setmaxnreg", {}, kOwn90},
      {"elect", {}, kFrom90},
      {"mapa", {}, kFrom90},
      {"getctarank", {}, kFrom90},
      {"griddepcontrol", {}, kFrom90},
      {"stmatrix", {}, kFrom90},
      {"barrier", {"cluster"}, kFrom90},
      {"mbarrier", {}, kFrom80},
      {"cp", {"async"}, kFrom80},
      {"cp", {"bulk"}, kFrom90},
      {"cp", {"cta_group*"}, kTensorMemory},
      {"cp", {"tile::gather4"}, kFrom100},
      {"cp", {"tile::scatter4"}, kFrom100},
      {"clusterlaunchcontrol", {}, kFrom100},
      {"clusterlaunchcontrol", {"multicast*"}, kOwn100},
      {"tensormap", {}, kOwn90},
      {"tcgen05", {}, kTensorMemory},
      {"tcgen05", {"mma", "scale_vec*"}, kTensorMemoryExact},
      {"tcgen05", {"mma", "sp", "kind::mxf4nvf4"}, kTensorMemoryExact},
      {"tcgen05", {"mma", "sp", "kind::mxf4"}, kTensorMemoryExact},
      {"tcgen05", {"shift"}, kTensorMemoryExact},
      {"tcgen05", {"ld", "red"}, kLoadReduce},
      {"cvt", {"e4m3*"}, kFrom89},
      {"cvt", {"e5m2*"}, kFrom89},
      {"mma", {"e4m3"}, kFrom89},
      {"mma", {"e5m2"}, kFrom89},
      {"cvt", {"e2m1*"}, kOwn100},
      {"cvt", {"e2m3*"}, kOwn100},
      {"cvt", {"e3m2*"}, kOwn100},
      {"cvt", {"ue8m0*"}, kOwn100},
      {"cvt", {"rs"}, kServerExact},
      {"redux", {"f32"}, kServer},
      {"ldmatrix", {"m16n16"}, kOwn100},
      {"ldmatrix", {"m8n16"}, kOwn100},
      {"stmatrix", {"m16n8"}, kOwn100},
      {"add", {"f32x2"}, kFrom100},
      {"sub", {"f32x2"}, kFrom100},
      {"mul", {"f32x2"}, kFrom100},
      {"fma", {"f32x2"}, kFrom100},
      {"fma", {"f32", "f16"}, kFrom100},
      {"fma", {"f32", "bf16"}, kFrom100},
      {"add", {"f32", "f16"}, kFrom100},
      {"add", {"f32", "bf16"}, kFrom100},
      {"sub", {"f32", "f16"}, kFrom100},
      {"sub", {"f32", "bf16"}, kFrom100},
      {"ld", {"v8"}, kFrom100},
      {"st", {"v8"}, kFrom100},
      {"ld", {"v4", "b64"}, kFrom100},
      {"st", {"v4", "b64"}, kFrom100},
  };
  return kRules;
}

bool matches(const Rule &rule, const Instruction &i) {
  return rule.opcode == i.opcode &&
         std::all_of(
             rule.words.begin(), rule.words.end(), [&](std::string_view word) {
               bool prefix = word.back() == '*';
               return prefix ? hasPrefix(i, word.substr(0, word.size() - 1))
                             : hasWord(i, word);
             });
}

std::string nameOf(const Rule &rule) {
  std::string text(rule.opcode);
  for (std::string_view word : rule.words)
    text += "." + std::string(word);
  return text;
}

/// min and max of three numbers.
bool takesThree(const Instruction &i) {
  return (i.opcode == "min" || i.opcode == "max") && i.operands.size() == 4;
}

std::string needs(std::string what, const Has &has) {
  return what + " needs " + has.name;
}

} // namespace

std::string nibble::emu::missingOn(const TargetName &target,
                                   const Instruction &instruction) {
  for (const Rule &rule : rules())
    if (matches(rule, instruction) && !rule.needs.test(target))
      return needs(nameOf(rule), rule.needs);
  if (takesThree(instruction) && !kFrom100.test(target))
    return needs("three operands", kFrom100);
  return "";
}
