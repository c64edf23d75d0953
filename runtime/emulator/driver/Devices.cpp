// The device, and its primary context.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

#include <algorithm>
#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult checkDevice(CUdevice device) {
  if (device == 0)
    return CUDA_SUCCESS;
  return refuse(CUDA_ERROR_INVALID_DEVICE,
                "device " + std::to_string(device) + "; there is only 0");
}

static CUresult nullPointer(const char *function) {
  return refuse(CUDA_ERROR_INVALID_VALUE,
                std::string(function) + ": a null pointer");
}

/// The body of a function that asks about the device.
template <typename Body>
static CUresult ask(const char *function, const void *out, CUdevice device,
                    Body body) {
  return withDriver([&](Driver &driver) {
    if (!out)
      return nullPointer(function);
    if (CUresult wrong = checkDevice(device))
      return wrong;
    body(driver, *driver.options.target);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuDeviceGet(CUdevice *device, int ordinal) {
  return ask("cuDeviceGet", device, ordinal,
             [&](Driver &, const Target &) { *device = 0; });
}

CUresult nibble::cuda::cuDeviceGetCount(int *count) {
  return ask("cuDeviceGetCount", count, 0,
             [&](Driver &, const Target &) { *count = 1; });
}

CUresult nibble::cuda::cuDeviceGetName(char *name, int length,
                                       CUdevice device) {
  if (length <= 0)
    return refuse(CUDA_ERROR_INVALID_VALUE, "cuDeviceGetName: no room");
  return ask("cuDeviceGetName", name, device,
             [&](Driver &, const Target &target) {
               std::strncpy(name, target.name, size_t(length));
               name[length - 1] = 0;
             });
}

CUresult nibble::cuda::cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice device) {
  return ask("cuDeviceGetUuid", uuid, device,
             [&](Driver &, const Target &target) {
               *uuid = {};
               std::memcpy(uuid->bytes, "NIBBLE-", 7);
               std::memcpy(uuid->bytes + 7, target.arch,
                           std::min<size_t>(9, std::strlen(target.arch)));
             });
}

CUresult nibble::cuda::cuDeviceTotalMem_v2(size_t *bytes, CUdevice device) {
  return ask(
      "cuDeviceTotalMem", bytes, device,
      [&](Driver &driver, const Target &) { *bytes = driver.options.memory; });
}

CUresult nibble::cuda::cuDeviceGetAttribute(int *value,
                                            CUdevice_attribute attribute,
                                            CUdevice device) {
  CUresult result = CUDA_SUCCESS;
  CUresult asked = ask("cuDeviceGetAttribute", value, device,
                       [&](Driver &, const Target &target) {
                         if (!attributeOf(target, attribute, *value))
                           result = CUDA_ERROR_INVALID_VALUE;
                       });
  if (asked || !result)
    return asked;
  return refuse(result, "device attribute " + std::to_string(attribute) +
                            " is not known to CUDA 13.0");
}

CUresult nibble::cuda::cuDeviceComputeCapability(int *major, int *minor,
                                                 CUdevice device) {
  return ask("cuDeviceComputeCapability", major && minor ? major : nullptr,
             device, [&](Driver &, const Target &target) {
               *major = target.major;
               *minor = target.minor;
             });
}

CUresult nibble::cuda::cuDeviceCanAccessPeer(int *can, CUdevice device,
                                             CUdevice peer) {
  if (CUresult wrong = checkDevice(peer))
    return wrong;
  return ask("cuDeviceCanAccessPeer", can, device,
             [&](Driver &, const Target &) { *can = 0; });
}

CUresult nibble::cuda::cuDeviceGetDefaultMemPool(CUmemoryPool *pool,
                                                 CUdevice device) {
  // The only one there is; nothing can be asked of it.
  return ask("cuDeviceGetDefaultMemPool", pool, device,
             [&](Driver &driver, const Target &) {
               *pool = reinterpret_cast<CUmemoryPool>(&driver.blocks);
             });
}

CUresult nibble::cuda::cuDevicePrimaryCtxRetain(CUcontext *context,
                                                CUdevice device) {
  return withDriver([&](Driver &driver) {
    if (CUresult wrong = checkDevice(device))
      return wrong;
    if (!context)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "cuDevicePrimaryCtxRetain: a null pointer");
    if (CUresult lost = checkLost(driver))
      return lost;
    driver.primary->alive = true;
    ++driver.primary->references;
    *context = reinterpret_cast<CUcontext>(driver.primary.get());
    return CUDA_SUCCESS;
  });
}

/// Takes both locks, since memory goes that a kernel may use.
static CUresult endPrimary(CUdevice device, bool reset) {
  Driver &driver = Driver::get();
  std::lock_guard work(driver.work);
  return withDriver([&](Driver &) {
    if (CUresult wrong = checkDevice(device))
      return wrong;
    Context &primary = *driver.primary;
    if (!reset && primary.references == 0)
      return refuse(CUDA_ERROR_INVALID_CONTEXT,
                    "the primary context is released more often than retained");
    if (!reset && --primary.references > 0)
      return CUDA_SUCCESS;
    driver.clear(primary);
    primary.alive = false;
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuDevicePrimaryCtxRelease_v2(CUdevice device) {
  return endPrimary(device, false);
}

CUresult nibble::cuda::cuDevicePrimaryCtxReset_v2(CUdevice device) {
  return endPrimary(device, true);
}

CUresult nibble::cuda::cuDevicePrimaryCtxGetState(CUdevice device,
                                                  unsigned *flags,
                                                  int *active) {
  return ask("cuDevicePrimaryCtxGetState", flags && active ? active : nullptr,
             device, [&](Driver &driver, const Target &) {
               *flags = driver.primary->flags;
               *active = driver.primary->alive;
             });
}

CUresult nibble::cuda::cuDevicePrimaryCtxSetFlags_v2(CUdevice device,
                                                     unsigned flags) {
  if (flags & ~unsigned(CU_CTX_FLAGS_MASK))
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  "cuDevicePrimaryCtxSetFlags: unknown flags");
  int unused = 0;
  return ask(
      "cuDevicePrimaryCtxSetFlags", &unused, device,
      [&](Driver &driver, const Target &) { driver.primary->flags = flags; });
}
