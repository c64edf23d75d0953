// Which instructions a target has.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The "Target ISA Notes" of PTX ISA 9.0; test/unit/Emulator/targets.txt holds
// them against ptxas 13.0.
#ifndef NIBBLE_RT_EMULATOR_ISA_TARGETS_H
#define NIBBLE_RT_EMULATOR_ISA_TARGETS_H

#include "ptx/Ast.h"

namespace nibble {
namespace emu {

/// "sm_110a": architecture 110, suffix 'a' (that one only), 'f' (its family) or
/// 0 (all later ones).
struct TargetName {
  unsigned arch = 0;
  char suffix = 0;
};
TargetName parseTarget(std::string_view name);

/// "", or what a target needs to have for an instruction that this one lacks:
/// ".cta_group needs sm_100a, sm_110a or another of that kind".
std::string missingOn(const TargetName &target,
                      const ptx::Instruction &instruction);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_ISA_TARGETS_H
