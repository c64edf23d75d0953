// Libraries and their kernels: modules that belong to no context.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Loading.h"

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult nullPointer(const char *function) {
  return refuse(CUDA_ERROR_INVALID_VALUE,
                std::string(function) + ": a null pointer");
}

static void registerKernels(Driver &driver, Library &library,
                            CUlibrary handle) {
  for (auto &entry : library.module->functions) {
    auto kernel = std::make_shared<Kernel>();
    kernel->function = entry.second;
    kernel->library = handle;
    library.kernels[entry.first] = kernel;
    CUkernel out;
    driver.kernels.put(std::move(kernel), &out);
  }
}

CUresult nibble::cuda::cuLibraryLoadData(CUlibrary *out, const void *image,
                                         CUjit_option *options, void **values,
                                         unsigned count,
                                         CUlibraryOption *libraryOptions,
                                         void **libraryValues,
                                         unsigned libraryCount) {
  return withDriver([&](Driver &driver) {
    if (!out || !image || (libraryCount && !libraryOptions))
      return nullPointer("cuLibraryLoadData");
    for (unsigned i = 0; i < libraryCount; ++i)
      if (libraryOptions[i] != CU_LIBRARY_BINARY_IS_PRESERVED)
        return refuse(CUDA_ERROR_NOT_SUPPORTED,
                      "library option " + std::to_string(libraryOptions[i]) +
                          " is not emulated");
    JitLogs logs;
    if (CUresult wrong = readJitOptions(count, options, values, logs))
      return wrong;
    auto library = std::make_shared<Library>();
    library->broken = loadImage(driver, image, logs, nullptr, library->module);
    library->why = thread().lastText;
    driver.libraries.put(library, out);
    if (library->broken) // told by what uses it: the driver loads lazily
      return CUDA_SUCCESS;
    CUmodule module;
    driver.modules.put(library->module, &module);
    registerKernels(driver, *library, *out);
    return CUDA_SUCCESS;
  });
}

/// The body of a function about a library.
template <typename Body>
static CUresult withLibrary(const char *function, CUlibrary handle, bool valid,
                            Body body) {
  return withDriver([&](Driver &driver) {
    auto library = driver.libraries.find(handle);
    if (!library)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    std::string(function) + ": there is no such library");
    return valid ? body(driver, *library) : nullPointer(function);
  });
}

/// The same for one that needs what is in the library.
template <typename Body>
static CUresult withLoaded(const char *function, CUlibrary handle, bool valid,
                           Body body) {
  return withLibrary(
      function, handle, valid, [&](Driver &driver, Library &library) {
        return library.broken ? refuse(library.broken, library.why)
                              : body(driver, library);
      });
}

CUresult nibble::cuda::cuLibraryUnload(CUlibrary handle) {
  std::lock_guard work(Driver::get().work);
  return withLibrary("cuLibraryUnload", handle, true,
                     [&](Driver &driver, Library &library) {
                       for (auto &entry : library.kernels)
                         driver.kernels.erase(entry.second.get());
                       unloadImage(driver, *library.module);
                       driver.modules.erase(library.module.get());
                       driver.libraries.erase(handle);
                       return CUDA_SUCCESS;
                     });
}

CUresult nibble::cuda::cuLibraryGetKernel(CUkernel *out, CUlibrary handle,
                                          const char *name) {
  return withLoaded("cuLibraryGetKernel", handle, out && name,
                    [&](Driver &, Library &library) {
                      auto found = library.kernels.find(name);
                      if (found == library.kernels.end())
                        return refuse(CUDA_ERROR_NOT_FOUND,
                                      "the library has no kernel '" +
                                          std::string(name) + "'");
                      *out = reinterpret_cast<CUkernel>(found->second.get());
                      return CUDA_SUCCESS;
                    });
}

CUresult nibble::cuda::cuLibraryGetKernelCount(unsigned *count,
                                               CUlibrary handle) {
  return withLoaded("cuLibraryGetKernelCount", handle, count,
                    [&](Driver &, Library &library) {
                      *count = unsigned(library.kernels.size());
                      return CUDA_SUCCESS;
                    });
}

CUresult nibble::cuda::cuLibraryEnumerateKernels(CUkernel *kernels,
                                                 unsigned count,
                                                 CUlibrary handle) {
  return withLoaded("cuLibraryEnumerateKernels", handle, kernels,
                    [&](Driver &, Library &library) {
                      for (auto &entry : library.kernels)
                        if (count > 0) {
                          *kernels++ =
                              reinterpret_cast<CUkernel>(entry.second.get());
                          --count;
                        }
                      return CUDA_SUCCESS;
                    });
}

CUresult nibble::cuda::cuLibraryGetModule(CUmodule *out, CUlibrary handle) {
  return withLoaded("cuLibraryGetModule", handle, out,
                    [&](Driver &, Library &library) {
                      *out = reinterpret_cast<CUmodule>(library.module.get());
                      return CUDA_SUCCESS;
                    });
}

CUresult nibble::cuda::cuLibraryGetGlobal(CUdeviceptr *address, size_t *bytes,
                                          CUlibrary handle, const char *name) {
  CUmodule module;
  CUresult wrong = cuLibraryGetModule(&module, handle);
  return wrong ? wrong : cuModuleGetGlobal_v2(address, bytes, module, name);
}
