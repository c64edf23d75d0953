// What a PTX text may ask for at most: hostile text must not exhaust memory.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_PTX_LIMITS_H
#define NIBBLE_RT_EMULATOR_PTX_LIMITS_H

#include <cstdint>

namespace nibble {
namespace emu {
namespace ptx {

constexpr uint64_t kMaxTextBytes = 64u << 20;
constexpr uint64_t kMaxInstructions = 2u << 20; ///< of a module
constexpr uint64_t kMaxVariableBytes = uint64_t(1) << 36;
/// Initial values of all variables of a module together.
constexpr uint64_t kMaxInitialBytes = 256u << 20;
/// Registers of a function, those of all its scopes together.
constexpr uint64_t kMaxRegisters = 1u << 20;
constexpr uint64_t kMaxAlign = 1u << 20;
constexpr uint64_t kMaxFiles = 1u << 16;
constexpr uint32_t kMaxDimensions = 16;
constexpr uint32_t kMaxScopes = 64;          ///< { in each other
constexpr uint32_t kMaxExpressionDepth = 64; ///< parentheses and signs
constexpr uint32_t kMaxOperands = 4096; ///< of an instruction, or of a list

} // namespace ptx
} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_PTX_LIMITS_H
