// Modules.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Loading.h"

#include <fstream>
#include <sstream>

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult nullPointer(const char *function) {
  return refuse(CUDA_ERROR_INVALID_VALUE,
                std::string(function) + ": a null pointer");
}

CUresult nibble::cuda::cuModuleLoadDataEx(CUmodule *out, const void *image,
                                          unsigned count, CUjit_option *options,
                                          void **values) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    if (!out || !image)
      return nullPointer("cuModuleLoadData");
    JitLogs logs;
    if (CUresult wrong = readJitOptions(count, options, values, logs))
      return wrong;
    std::shared_ptr<LoadedModule> module;
    if (CUresult wrong = loadImage(driver, image, logs, context, module))
      return wrong;
    driver.modules.put(std::move(module), out);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuModuleLoadData(CUmodule *out, const void *image) {
  return cuModuleLoadDataEx(out, image, 0, nullptr, nullptr);
}

CUresult nibble::cuda::cuModuleLoad(CUmodule *out, const char *path) {
  if (!out || !path)
    return nullPointer("cuModuleLoad");
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (!file)
    return refuse(CUDA_ERROR_FILE_NOT_FOUND,
                  std::string("cuModuleLoad: cannot read ") + path);
  return cuModuleLoadData(out, text.str().c_str());
}

CUresult nibble::cuda::cuModuleLoadFatBinary(CUmodule *out, const void *image) {
  return cuModuleLoadData(out, image);
}

CUresult nibble::cuda::cuModuleUnload(CUmodule handle) {
  Driver &driver = Driver::get();
  std::lock_guard work(driver.work); // a kernel of it may run
  return withContext([&](Driver &, std::shared_ptr<Context> &) {
    auto module = driver.modules.find(handle);
    if (!module || module->context.expired())
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    "cuModuleUnload: there is no such module");
    unloadImage(driver, *module);
    driver.modules.erase(handle);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuModuleGetLoadingMode(CUmoduleLoadingMode *mode) {
  if (!mode)
    return nullPointer("cuModuleGetLoadingMode");
  *mode = CU_MODULE_EAGER_LOADING;
  return CUDA_SUCCESS;
}

/// The body of a function about a module.
template <typename Body>
static CUresult withModule(const char *function, CUmodule handle, bool valid,
                           Body body) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    auto module = driver.modules.find(handle);
    if (!module)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    std::string(function) + ": there is no such module");
    return valid ? body(*module) : nullPointer(function);
  });
}

static std::string known(const LoadedModule &module) {
  std::string names;
  for (auto &entry : module.functions)
    names += " " + entry.first;
  return names.empty() ? " it has none" : " it has" + names;
}

CUresult nibble::cuda::cuModuleGetFunction(CUfunction *out, CUmodule handle,
                                           const char *name) {
  return withModule(
      "cuModuleGetFunction", handle, out && name, [&](LoadedModule &module) {
        auto found = module.functions.find(name);
        if (found == module.functions.end())
          return refuse(CUDA_ERROR_NOT_FOUND, "the module has no kernel '" +
                                                  std::string(name) + "';" +
                                                  known(module));
        *out = reinterpret_cast<CUfunction>(found->second.get());
        return CUDA_SUCCESS;
      });
}

CUresult nibble::cuda::cuModuleGetFunctionCount(unsigned *count,
                                                CUmodule handle) {
  return withModule("cuModuleGetFunctionCount", handle, count,
                    [&](LoadedModule &module) {
                      *count = unsigned(module.functions.size());
                      return CUDA_SUCCESS;
                    });
}

CUresult nibble::cuda::cuModuleEnumerateFunctions(CUfunction *functions,
                                                  unsigned count,
                                                  CUmodule handle) {
  return withModule("cuModuleEnumerateFunctions", handle, functions,
                    [&](LoadedModule &module) {
                      for (auto &entry : module.functions)
                        if (count > 0) {
                          *functions++ =
                              reinterpret_cast<CUfunction>(entry.second.get());
                          --count;
                        }
                      return CUDA_SUCCESS;
                    });
}

CUresult nibble::cuda::cuModuleGetGlobal_v2(CUdeviceptr *address, size_t *bytes,
                                            CUmodule handle, const char *name) {
  return withModule("cuModuleGetGlobal", handle, name && (address || bytes),
                    [&](LoadedModule &module) {
                      uint64_t begin, size;
                      if (!module.module.variable(name, begin, size))
                        return refuse(CUDA_ERROR_NOT_FOUND,
                                      "the module has no variable '" +
                                          std::string(name) + "'");
                      if (address)
                        *address = begin;
                      if (bytes)
                        *bytes = size;
                      return CUDA_SUCCESS;
                    });
}
