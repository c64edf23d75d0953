// Graphs by handle.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_GRAPHS_H
#define NIBBLE_RT_EMULATOR_DRIVER_GRAPHS_H

#include "driver/Driver.h"

namespace nibble {
namespace emu {

/// The body of a function about a graph.
template <typename Body>
cuda::CUresult withGraph(const char *name, cuda::CUgraph handle, bool valid,
                         Body body) {
  return withDriver([&](Driver &driver) {
    auto graph = driver.graphs.find(handle);
    if (!graph || !valid)
      return refuse(cuda::CUDA_ERROR_INVALID_VALUE,
                    std::string(name) + ": no such graph, or a null pointer");
    return body(driver, *graph);
  });
}

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_GRAPHS_H
