// What every function of the CUDA runtime does first and last.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_CUDART_CALL_H
#define NIBBLE_RT_EMULATOR_CUDART_CALL_H

#include "cudart/RuntimeTypes.h"

namespace nibble {
namespace cuda {

/// Makes the primary context of this thread's device current, unless the
/// program has set a context of its own.
CUresult useContext();
/// This thread's device; cudaSetDevice changes it.
int &currentDevice();
/// Keeps an error as this thread's last one and returns it.
cudaError_t note(int result);

/// Calls the driver with a context.
template <typename Body> cudaError_t call(Body body) {
  CUresult result = useContext();
  return note(result ? result : body());
}

/// A device address from a pointer of the program.
inline CUdeviceptr address(const void *pointer) {
  return reinterpret_cast<CUdeviceptr>(pointer);
}
inline CUdeviceptr *address(void **pointer) {
  return reinterpret_cast<CUdeviceptr *>(pointer);
}

} // namespace cuda
} // namespace nibble

/// Defines a function of the API that is one call of the driver.
#define NIBBLE_CUDART(NAME, PARAMETERS, CALL)                                  \
  extern "C" cudaError_t NAME PARAMETERS {                                     \
    return call([&] { return CALL; });                                         \
  }

#endif // NIBBLE_RT_EMULATOR_CUDART_CALL_H
