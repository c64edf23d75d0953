// Sanity of an ELF shared object before the dynamic linker sees it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DEVICE_CPU_ELFCHECK_H
#define NIBBLE_RT_DEVICE_CPU_ELFCHECK_H

#include "nibble/rt/status.h"

#include <cstdint>

namespace nibble {
namespace rt {

/// The dynamic linker trusts what it loads, so a corrupt object could crash the
/// process. Refuses what is not a complete, self-contained shared object for
/// this machine: wrong class or machine, segments outside of the file, needed
/// libraries, constructors, an interpreter.
/// (Code that passes is native code nevertheless: load engines you trust.)
Status checkElf(const void *data, uint64_t size);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_CPU_ELFCHECK_H
