// Streams by handle.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_STREAMS_H
#define NIBBLE_RT_EMULATOR_DRIVER_STREAMS_H

#include "driver/Driver.h"

namespace nibble {
namespace emu {

/// The body of a function about a stream.
template <typename Body>
cuda::CUresult withStream(const char *name, cuda::CUstream handle, bool valid,
                          Body body) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    auto stream = driver.findStream(*context, handle);
    if (!stream)
      return refuse(cuda::CUDA_ERROR_INVALID_HANDLE,
                    std::string(name) + ": there is no such stream");
    if (!valid)
      return refuse(cuda::CUDA_ERROR_INVALID_VALUE,
                    std::string(name) + ": a null pointer or unknown flags");
    return body(driver, *stream);
  });
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_STREAMS_H
