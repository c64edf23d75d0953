// Loading of PTX.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Loading.h"

#include <algorithm>
#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

static void put(char *buffer, size_t bytes, void **size,
                const std::string &text) {
  size_t written = 0;
  if (buffer && bytes) {
    written = std::min(text.size(), bytes - 1);
    std::memcpy(buffer, text.data(), written);
    buffer[written++] = 0;
  }
  if (size)
    *size = reinterpret_cast<void *>(written);
}

void JitLogs::say(const std::string &text) {
  put(error, errorBytes, errorSize, text);
  put(info, infoBytes, infoSize, "");
}

/// Options that PTX on the emulator computes the same with.
static bool isHarmless(CUjit_option option) {
  switch (option) {
  case CU_JIT_MAX_REGISTERS:
  case CU_JIT_OPTIMIZATION_LEVEL:
  case CU_JIT_TARGET_FROM_CUCONTEXT:
  case CU_JIT_FALLBACK_STRATEGY:
  case CU_JIT_GENERATE_DEBUG_INFO:
  case CU_JIT_LOG_VERBOSE:
  case CU_JIT_GENERATE_LINE_INFO:
  case CU_JIT_CACHE_MODE:
    return true;
  default:
    return false;
  }
}

CUresult nibble::emu::readJitOptions(unsigned count, CUjit_option *options,
                                     void **values, JitLogs &logs) {
  if (count && (!options || !values))
    return refuse(CUDA_ERROR_INVALID_VALUE, "JIT options: a null pointer");
  for (unsigned i = 0; i < count; ++i) {
    CUjit_option option = options[i];
    if (option == CU_JIT_ERROR_LOG_BUFFER) {
      logs.error = static_cast<char *>(values[i]);
    } else if (option == CU_JIT_INFO_LOG_BUFFER) {
      logs.info = static_cast<char *>(values[i]);
    } else if (option == CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES) {
      logs.errorBytes = unsigned(uintptr_t(values[i]));
      logs.errorSize = &values[i];
    } else if (option == CU_JIT_INFO_LOG_BUFFER_SIZE_BYTES) {
      logs.infoBytes = unsigned(uintptr_t(values[i]));
      logs.infoSize = &values[i];
    } else if (option == CU_JIT_WALL_TIME) {
      float none = 0;
      std::memcpy(&values[i], &none, sizeof none);
    } else if (option < 0 || option >= CU_JIT_NUM_OPTIONS) {
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "unknown JIT option " + std::to_string(option));
    } else if (!isHarmless(option)) {
      return refuse(CUDA_ERROR_NOT_SUPPORTED, "JIT option " +
                                                  std::to_string(option) +
                                                  " is not emulated");
    }
  }
  return CUDA_SUCCESS;
}

/// Refuses what is not PTX text.
static CUresult checkKind(const void *image, std::string &why) {
  uint32_t magic = 0;
  std::memcpy(&magic, image, strnlen(static_cast<const char *>(image), 4));
  if (magic == 0x464C457F || magic == 0xBA55ED50 || magic == 0x466243B1) {
    why = std::string(magic == 0x464C457F ? "a cubin" : "a fatbin") +
          " holds machine code; the emulator runs PTX text: embed PTX "
          "(-gencode arch=compute_90a,code=compute_90a) and load that";
    return CUDA_ERROR_NO_BINARY_FOR_GPU;
  }
  if (std::strstr(static_cast<const char *>(image), ".version"))
    return CUDA_SUCCESS;
  why = "the image is no PTX text: it has no .version";
  return CUDA_ERROR_INVALID_IMAGE;
}

static void registerFunctions(Driver &driver,
                              const std::shared_ptr<LoadedModule> &module) {
  for (const std::string &name : module->module.kernelNames()) {
    auto function = std::make_shared<Function>();
    function->owner = module;
    function->name = name;
    function->kernel = module->module.find(name);
    uint32_t fixed = function->code().sharedEnd;
    function->maxDynamicShared =
        fixed < kSharedDefault ? kSharedDefault - fixed : 0;
    CUfunction handle;
    driver.functions.put(function, &handle);
    module->functions[name] = std::move(function);
  }
}

/// CUDA 13.0 knows PTX up to 9.0. "" or what is wrong.
static std::string checkPtxVersion(const ptx::Module &source) {
  if (source.versionMajor < 9 ||
      (source.versionMajor == 9 && source.versionMinor == 0))
    return "";
  return "PTX " + std::to_string(source.versionMajor) + "." +
         std::to_string(source.versionMinor) +
         " is newer than 9.0, which CUDA 13.0 knows";
}

CUresult nibble::emu::loadImage(Driver &driver, const void *image,
                                JitLogs &logs,
                                const std::shared_ptr<Context> &context,
                                std::shared_ptr<LoadedModule> &module) {
  std::string why;
  CUresult result = checkKind(image, why);
  module = std::make_shared<LoadedModule>(driver.memory);
  module->context = context;
  if (!result) {
    if (ptx::Error error =
            module->module.load(static_cast<const char *>(image)))
      why = "PTX line " + std::to_string(error.line) + ": " + error.message;
    else
      why = checkPtxTarget(*driver.options.target,
                           std::string(module->module.getSource().target));
    result = why.empty() ? CUDA_SUCCESS : CUDA_ERROR_INVALID_PTX;
    if (!result && !(why = checkPtxVersion(module->module.getSource())).empty())
      result = CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
  }
  logs.say(why);
  if (result)
    return refuse(result, why);
  registerFunctions(driver, module);
  return CUDA_SUCCESS;
}

void nibble::emu::unloadImage(Driver &driver, LoadedModule &module) {
  for (auto &entry : module.functions)
    driver.functions.erase(entry.second.get());
}
