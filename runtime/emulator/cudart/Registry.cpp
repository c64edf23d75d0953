// Fat binaries, kernels, variables: registered by nvcc's code, found by symbol.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/Registry.h"

#include "cudart/Call.h"
#include "cudart/FatBinary.h"

#include <cstdio>
#include <cstring>

using namespace nibble::cuda;

namespace {
/// The struct that the handle of nvcc's code points to.
struct FatWrapper {
  uint32_t magic, version;
  const void *data;
  const void *more;
};
using Lock = std::lock_guard<std::mutex>;
} // namespace

// Never destroyed: programs unregister from their own exit handlers.
Registry &Registry::get() {
  static auto *registry = new Registry;
  return *registry;
}

Registry::Binary *Registry::add(const void *wrapper) {
  Lock lock(mutex);
  auto binary = std::make_unique<Binary>();
  binary->wrapper = wrapper;
  Binary *handle = binary.get();
  binaries.emplace(handle, std::move(binary));
  return handle;
}

void Registry::remove(Binary *binary) {
  Lock lock(mutex);
  auto drop = [&](std::map<const void *, Symbol> &symbols) {
    for (auto it = symbols.begin(); it != symbols.end();)
      it = it->second.binary == binary ? symbols.erase(it) : std::next(it);
  };
  drop(kernels);
  drop(variables);
  binaries.erase(binary);
}

void Registry::addKernel(Binary *binary, const void *symbol, const char *name) {
  Lock lock(mutex);
  kernels[symbol] = {binary, name};
}

void Registry::addVariable(Binary *binary, const void *symbol, const char *name,
                           size_t bytes, void **managed) {
  Lock lock(mutex);
  variables[symbol] = {binary, name, bytes, managed};
}

cudaError_t Registry::explain(Binary &binary, cudaError_t result,
                              std::string why) {
  if (binary.why.empty())
    std::fprintf(stderr, "nibble-emu: error: the program's fat binary: %s\n",
                 why.c_str());
  binary.why = std::move(why);
  return result;
}

/// The text of the best PTX of a fat binary for the emulated machine.
static cudaError_t findPtx(const void *wrapper, std::string &text,
                           std::string &why) {
  FatWrapper fat;
  std::memcpy(&fat, wrapper, sizeof(fat));
  if (fat.magic != nibble::emu::kFatWrapperMagic || fat.version != 1) {
    why = "it was linked with -rdc (version " + std::to_string(fat.version) +
          "), which is not emulated. Compile without -rdc";
    return cudaErrorInvalidKernelImage;
  }
  std::vector<nibble::emu::FatEntry> entries;
  if (!nibble::emu::readFatBinary(fat.data, ~0ull, entries, why))
    return cudaErrorInvalidKernelImage;
  return nibble::emu::choosePtx(entries, nibbleEmuTarget(), text, why)
             ? cudaSuccess
             : cudaErrorNoKernelImageForDevice;
}

cudaError_t Registry::loadLocked(Binary &binary) {
  if (binary.library)
    return cudaSuccess;
  std::string text, why;
  if (cudaError_t result = findPtx(binary.wrapper, text, why))
    return explain(binary, result, why);
  CUresult result = cuLibraryLoadData(&binary.library, text.c_str(), nullptr,
                                      nullptr, 0, nullptr, nullptr, 0);
  unsigned count; // what is wrong with a library is told by what uses it
  if (!result)
    result = cuLibraryGetKernelCount(&count, binary.library);
  if (result)
    return explain(binary, cudaError_t(result), nibbleEmuLastFault());
  placeManaged(binary);
  return cudaSuccess;
}

void Registry::placeManaged(Binary &binary) {
  for (auto &[symbol, variable] : variables) {
    CUdeviceptr begin = 0;
    size_t bytes = 0;
    if (variable.binary == &binary && variable.managed &&
        !cuLibraryGetGlobal(&begin, &bytes, binary.library,
                            variable.name.c_str()))
      *variable.managed = reinterpret_cast<void *>(begin);
  }
}

cudaError_t Registry::load(Binary *binary) {
  Lock lock(mutex);
  return loadLocked(*binary);
}

cudaError_t Registry::findKernel(const void *symbol, CUkernel &kernel) {
  Lock lock(mutex);
  auto found = kernels.find(symbol);
  if (found == kernels.end()) {
    kernel = static_cast<CUkernel>(const_cast<void *>(symbol));
    return handles.count(symbol) ? cudaSuccess : cudaErrorInvalidDeviceFunction;
  }
  Symbol &entry = found->second;
  if (!entry.kernel) {
    if (cudaError_t result = loadLocked(*entry.binary))
      return result;
    if (cuLibraryGetKernel(&entry.kernel, entry.binary->library,
                           entry.name.c_str()))
      return cudaErrorInvalidDeviceFunction;
    handles.insert(entry.kernel);
  }
  kernel = entry.kernel;
  return cudaSuccess;
}

cudaError_t Registry::findFunction(const void *symbol, CUfunction &function) {
  CUkernel kernel;
  if (cudaError_t result = findKernel(symbol, kernel))
    return result;
  return cudaError_t(cuKernelGetFunction(&function, kernel));
}

cudaError_t Registry::findVariable(const void *symbol, CUdeviceptr &begin,
                                   size_t &bytes) {
  Lock lock(mutex);
  auto found = variables.find(symbol);
  if (found == variables.end())
    return cudaErrorInvalidSymbol;
  Symbol &entry = found->second;
  if (cudaError_t result = loadLocked(*entry.binary))
    return result;
  return cuLibraryGetGlobal(&begin, &bytes, entry.binary->library,
                            entry.name.c_str())
             ? cudaErrorInvalidSymbol
             : cudaSuccess;
}

void Registry::forgetLoaded() {
  Lock lock(mutex);
  for (auto &[handle, binary] : binaries)
    binary->library = nullptr;
  for (auto &[symbol, entry] : kernels)
    entry.kernel = nullptr;
  handles.clear();
}
