// Loading of PTX, shared by modules and libraries.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_LOADING_H
#define NIBBLE_RT_EMULATOR_DRIVER_LOADING_H

#include "driver/Driver.h"

namespace nibble {
namespace emu {

/// Buffers of the caller for what the compiler says; the sizes are updated to
/// what was written.
struct JitLogs {
  char *error = nullptr, *info = nullptr;
  size_t errorBytes = 0, infoBytes = 0;
  void **errorSize = nullptr, **infoSize = nullptr;
  void say(const std::string &text);
};

/// Reads options; those that would change what is computed are refused.
cuda::CUresult readJitOptions(unsigned count, cuda::CUjit_option *options,
                              void **values, JitLogs &logs);

/// Loads zero-terminated PTX text and registers its functions. Cubins and
/// fatbins are refused: they hold machine code.
cuda::CUresult loadImage(Driver &driver, const void *image, JitLogs &logs,
                         const std::shared_ptr<Context> &context,
                         std::shared_ptr<LoadedModule> &module);
/// Unregisters its functions.
void unloadImage(Driver &driver, LoadedModule &module);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_LOADING_H
