// CPU code of an engine, loaded.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DEVICE_CPU_CPUMODULE_H
#define NIBBLE_RT_DEVICE_CPU_CPUMODULE_H

#include "nibble/rt/device.h"

namespace nibble {
namespace rt {

/// Loads a self-contained ELF shared object from memory: into an anonymous
/// memory file, then through the system's dynamic linker. No file is written
/// and no linker or compiler is needed.
Result<std::unique_ptr<Module>> loadCpuModule(const std::string &name,
                                              const void *data, uint64_t size);

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_CPU_CPUMODULE_H
