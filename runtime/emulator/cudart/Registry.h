// What programs register before main: fat binaries, kernels, variables.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_CUDART_REGISTRY_H
#define NIBBLE_RT_EMULATOR_CUDART_REGISTRY_H

#include "cudart/RuntimeTypes.h"

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

namespace nibble {
namespace cuda {

/// All fat binaries of the process. Their PTX is loaded when something of it is
/// first used, into the primary context. Thread-safe.
class Registry {
public:
  static Registry &get();

  struct Binary {
    const void *wrapper;
    CUlibrary library = nullptr;
    std::string why; ///< it cannot be loaded
  };
  /// What nvcc's code hands to __cudaRegisterFatBinary.
  Binary *add(const void *wrapper);
  void remove(Binary *binary);
  void addKernel(Binary *binary, const void *symbol, const char *name);
  /// `managed`: where the program keeps the address of a __managed__ variable.
  void addVariable(Binary *binary, const void *symbol, const char *name,
                   size_t bytes, void **managed);
  /// Loads it and tells the program where its managed variables are.
  cudaError_t load(Binary *binary);

  /// The kernel behind the address of a __global__ function, or behind a handle
  /// that this function gave. cudaErrorInvalidDeviceFunction if there is none.
  cudaError_t findKernel(const void *symbol, CUkernel &kernel);
  cudaError_t findFunction(const void *symbol, CUfunction &function);
  /// cudaErrorInvalidSymbol if it is not a variable on the device.
  cudaError_t findVariable(const void *symbol, CUdeviceptr &begin,
                           size_t &bytes);
  /// After the context was destroyed: everything is loaded anew when used.
  void forgetLoaded();

private:
  struct Symbol {
    Binary *binary;
    std::string name;
    size_t bytes = 0;
    void **managed = nullptr;
    CUkernel kernel = nullptr;
  };
  cudaError_t loadLocked(Binary &binary);
  void placeManaged(Binary &binary);
  cudaError_t explain(Binary &binary, cudaError_t result, std::string why);

  std::mutex mutex;
  std::map<Binary *, std::unique_ptr<Binary>> binaries;
  std::map<const void *, Symbol> kernels, variables;
  std::set<const void *> handles; ///< kernels that were given out
};

} // namespace cuda
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_CUDART_REGISTRY_H
