// Mutants of PTX texts that mostly still parse.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_FUZZ_MUTATE_H
#define NIBBLE_TEST_FUZZ_MUTATE_H

#include <cstdint>
#include <string>

/// The text with one to four changes that `seed` chooses: lines dropped,
/// doubled or swapped; registers, numbers and modifiers replaced by others of
/// the same text or by odd ones.
std::string mutate(const std::string &text, uint64_t seed);

#endif // NIBBLE_TEST_FUZZ_MUTATE_H
