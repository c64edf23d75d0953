// Errors, versions, and functions by name.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

namespace {
struct ErrorInfo {
  CUresult error;
  const char *name, *text;
};
constexpr ErrorInfo kErrors[] = {
#define NIBBLE_DRIVER_ERROR(NAME, VALUE, TEXT) {NAME, #NAME, TEXT},
#include "device/cuda/DriverErrors.def"
};
} // namespace

/// Gives a member of what is known of an error.
static CUresult tellOf(CUresult error, const char *ErrorInfo::*member,
                       const char **text) {
  if (!text)
    return CUDA_ERROR_INVALID_VALUE;
  *text = nullptr;
  for (const ErrorInfo &info : kErrors)
    if (info.error == error)
      *text = info.*member;
  return *text ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult nibble::cuda::cuGetErrorName(CUresult error, const char **text) {
  return tellOf(error, &ErrorInfo::name, text);
}

CUresult nibble::cuda::cuGetErrorString(CUresult error, const char **text) {
  return tellOf(error, &ErrorInfo::text, text);
}

CUresult nibble::cuda::cuInit(unsigned flags) {
  if (flags)
    return refuse(CUDA_ERROR_INVALID_VALUE, "cuInit: flags must be 0");
  Driver &driver = Driver::get();
  std::lock_guard lock(driver.state);
  return driver.initialize();
}

CUresult nibble::cuda::cuDriverGetVersion(int *version) {
  if (!version)
    return CUDA_ERROR_INVALID_VALUE;
  *version = kDriverVersion;
  return CUDA_SUCCESS;
}

namespace {
struct Entry {
  int since;
  const char *name;
  void *function;
};
} // namespace

static const Entry kEntries[] = {
#define NIBBLE_DRIVER(SINCE, NAME, SYMBOL, PARAMETERS)                         \
  {SINCE, #NAME, reinterpret_cast<void *>(&SYMBOL)},
#include "device/cuda/DriverFunctions.def"
    {12000, "cuGraphInstantiate",
     reinterpret_cast<void *>(&cuGraphInstantiateWithFlags)},
};

CUresult
nibble::cuda::cuGetProcAddress_v2(const char *symbol, void **function,
                                  int version, uint64_t flags,
                                  CUdriverProcAddressQueryResult *status) {
  if (!symbol || !function || flags > 2)
    return refuse(CUDA_ERROR_INVALID_VALUE, "cuGetProcAddress: a null pointer "
                                            "or unknown flags");
  *function = nullptr;
  bool known = false;
  for (const Entry &entry : kEntries)
    if (!std::strcmp(entry.name, symbol)) {
      known = true;
      if (entry.since <= version)
        *function = entry.function;
    }
  CUdriverProcAddressQueryResult result =
      *function ? CU_GET_PROC_ADDRESS_SUCCESS
      : known   ? CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT
                : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
  if (status)
    *status = result;
  if (*function || status)
    return CUDA_SUCCESS;
  return refuse(CUDA_ERROR_NOT_FOUND,
                std::string("the emulated driver has no function ") + symbol);
}

const char *nibble::cuda::nibbleEmuLastFault() {
  thread().handedOut = std::move(thread().lastText);
  thread().lastText.clear();
  return thread().handedOut.c_str();
}

CUresult nibble::cuda::nibbleEmuSelect(const char *arch) {
  Driver &driver = Driver::get();
  std::lock_guard lock(driver.state);
  if (!arch || !findTarget(arch))
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  std::string("no machine '") + (arch ? arch : "") +
                      "' to emulate: sm_90a, sm_100a or sm_110a");
  if (driver.initialized && std::string(arch) != driver.options.target->arch)
    return refuse(CUDA_ERROR_ILLEGAL_STATE,
                  std::string("this process emulates ") +
                      driver.options.target->arch + " already, not " + arch);
  driver.selected = arch;
  return CUDA_SUCCESS;
}

const char *nibble::cuda::nibbleEmuTarget() {
  const Target *target = Driver::get().options.target;
  return target ? target->arch : "";
}
