// The CUDA driver API: its functions as types and as declarations.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// The symbols are versioned as the library exports them: cuMemAlloc_v2. Users
// of a real driver fill a DriverTable; who links the emulated library calls the
// functions declared here.
#ifndef NIBBLE_RT_DEVICE_CUDA_DRIVERABI_H
#define NIBBLE_RT_DEVICE_CUDA_DRIVERABI_H

#include "DriverTypes.h"

namespace nibble {
namespace cuda {

extern "C" {
#define NIBBLE_DRIVER(SINCE, NAME, SYMBOL, PARAMETERS)                         \
  CUresult SYMBOL PARAMETERS;
#include "DriverFunctions.def"

// Only the emulated library has these.

/// The full text of the first fault of a program, or why the last refused call
/// of this thread was refused; "" if there was none. Valid until the next call
/// of this function by this thread.
const char *nibbleEmuLastFault();
/// Chooses the machine, before cuInit; NIBBLE_EMU_TARGET has the last word.
/// Refused if there is none such, or cuInit has chosen another already.
CUresult nibbleEmuSelect(const char *arch);
/// The machine that is emulated.
const char *nibbleEmuTarget(); ///< "sm_90a"
}

} // namespace cuda
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_CUDA_DRIVERABI_H
