// Copies and fills.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

/// A side that must be memory of the device (or known to it).
static CopyWork::Side deviceSide(uint64_t address) { return {address}; }

/// A side that may be any memory of the host; what the driver knows is checked.
static CopyWork::Side hostSide(const Driver &driver, const void *address) {
  return {uint64_t(address), !driver.memory.find(uint64_t(address))};
}

/// Checks work and issues it. A synchronous call uses the legacy stream.
template <typename T>
static CUresult issue(const char *function, Driver &driver,
                      std::shared_ptr<Context> &context, const T &work,
                      const CUstream *stream) {
  if (std::string wrong = checkWork(driver, work); !wrong.empty())
    return refuse(CUDA_ERROR_INVALID_VALUE,
                  std::string(function) + ": " + wrong);
  if (stream)
    return submit(driver, context, *stream, work);
  // Captures of other streams do not mind it, as with the driver (580, CUDA
  // 13.0): those of blocking ones do, which submit() sees.
  CUresult result = submit(driver, context, streamLegacy(), work);
  if (result)
    return result;
  return context->sticky.load();
}

template <typename MakeFrom, typename MakeTo>
static CUresult copy(const char *function, size_t bytes, MakeFrom makeFrom,
                     MakeTo makeTo, const CUstream *stream) {
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    CopyWork work;
    work.from = makeFrom(driver);
    work.to = makeTo(driver);
    work.width = bytes;
    return issue(function, driver, context, work, stream);
  });
}

static auto device(CUdeviceptr address) {
  return [=](Driver &) { return deviceSide(address); };
}
static auto host(const void *address) {
  return [=](Driver &driver) { return hostSide(driver, address); };
}
static auto either(CUdeviceptr address) {
  return host(reinterpret_cast<const void *>(address));
}

CUresult nibble::cuda::cuMemcpy(CUdeviceptr to, CUdeviceptr from,
                                size_t bytes) {
  return copy("cuMemcpy", bytes, either(from), either(to), nullptr);
}
CUresult nibble::cuda::cuMemcpyAsync(CUdeviceptr to, CUdeviceptr from,
                                     size_t bytes, CUstream stream) {
  return copy("cuMemcpyAsync", bytes, either(from), either(to), &stream);
}
CUresult nibble::cuda::cuMemcpyHtoD_v2(CUdeviceptr to, const void *from,
                                       size_t bytes) {
  return copy("cuMemcpyHtoD", bytes, host(from), device(to), nullptr);
}
CUresult nibble::cuda::cuMemcpyDtoH_v2(void *to, CUdeviceptr from,
                                       size_t bytes) {
  return copy("cuMemcpyDtoH", bytes, device(from), host(to), nullptr);
}
CUresult nibble::cuda::cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from,
                                       size_t bytes) {
  return copy("cuMemcpyDtoD", bytes, device(from), device(to), nullptr);
}
CUresult nibble::cuda::cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from,
                                            size_t bytes, CUstream stream) {
  return copy("cuMemcpyHtoDAsync", bytes, host(from), device(to), &stream);
}
CUresult nibble::cuda::cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from,
                                            size_t bytes, CUstream stream) {
  return copy("cuMemcpyDtoHAsync", bytes, device(from), host(to), &stream);
}
CUresult nibble::cuda::cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from,
                                            size_t bytes, CUstream stream) {
  return copy("cuMemcpyDtoDAsync", bytes, device(from), device(to), &stream);
}

bool nibble::emu::makeSide(const Driver &driver, CUmemorytype type,
                           const void *hostAddress, CUdeviceptr deviceAddress,
                           uint64_t offset, uint64_t pitch,
                           CopyWork::Side &side) {
  if (type == CU_MEMORYTYPE_HOST)
    side = hostSide(driver, hostAddress);
  else if (type == CU_MEMORYTYPE_DEVICE)
    side = deviceSide(deviceAddress);
  else if (type == CU_MEMORYTYPE_UNIFIED)
    side = hostSide(driver, reinterpret_cast<const void *>(deviceAddress));
  else
    return false;
  side.address += offset;
  side.pitch = pitch;
  return true;
}

static CUresult copy2D(const char *function, const CUDA_MEMCPY2D *c,
                       const CUstream *stream) {
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    CopyWork work;
    if (!c ||
        !makeSide(driver, c->srcMemoryType, c->srcHost, c->srcDevice,
                  c->srcY * c->srcPitch + c->srcXInBytes, c->srcPitch,
                  work.from) ||
        !makeSide(driver, c->dstMemoryType, c->dstHost, c->dstDevice,
                  c->dstY * c->dstPitch + c->dstXInBytes, c->dstPitch, work.to))
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    std::string(function) +
                        ": null, or memory of a kind that is not emulated");
    work.width = c->WidthInBytes;
    work.height = c->Height;
    return issue(function, driver, context, work, stream);
  });
}

CUresult nibble::cuda::cuMemcpy2D_v2(const CUDA_MEMCPY2D *c) {
  return copy2D("cuMemcpy2D", c, nullptr);
}
CUresult nibble::cuda::cuMemcpy2DUnaligned_v2(const CUDA_MEMCPY2D *c) {
  return copy2D("cuMemcpy2DUnaligned", c, nullptr);
}
CUresult nibble::cuda::cuMemcpy2DAsync_v2(const CUDA_MEMCPY2D *c,
                                          CUstream stream) {
  return copy2D("cuMemcpy2DAsync", c, &stream);
}

static CUresult fill(const char *function, CUdeviceptr address, size_t pitch,
                     uint32_t value, uint32_t elementBytes, size_t width,
                     size_t height, const CUstream *stream) {
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    FillWork work = {address, pitch, value, elementBytes, width, height};
    return issue(function, driver, context, work, stream);
  });
}

#define FILL(NAME, TYPE, BYTES)                                                \
  CUresult nibble::cuda::cuMemset##NAME##_v2(CUdeviceptr to, TYPE value,       \
                                             size_t count) {                   \
    return fill("cuMemset" #NAME, to, 0, value, BYTES, count, 1, nullptr);     \
  }                                                                            \
  CUresult nibble::cuda::cuMemset##NAME##Async(CUdeviceptr to, TYPE value,     \
                                               size_t count, CUstream s) {     \
    return fill("cuMemset" #NAME "Async", to, 0, value, BYTES, count, 1, &s);  \
  }
#define FILL_2D(NAME, TYPE, BYTES)                                             \
  CUresult nibble::cuda::cuMemset##NAME##_v2(                                  \
      CUdeviceptr to, size_t pitch, TYPE value, size_t width, size_t height) { \
    return fill("cuMemset" #NAME, to, pitch, value, BYTES, width, height,      \
                nullptr);                                                      \
  }                                                                            \
  CUresult nibble::cuda::cuMemset##NAME##Async(CUdeviceptr to, size_t pitch,   \
                                               TYPE value, size_t width,       \
                                               size_t height, CUstream s) {    \
    return fill("cuMemset" #NAME "Async", to, pitch, value, BYTES, width,      \
                height, &s);                                                   \
  }
FILL(D8, unsigned char, 1)
FILL(D16, unsigned short, 2)
FILL(D32, unsigned, 4)
FILL_2D(D2D8, unsigned char, 1)
FILL_2D(D2D16, unsigned short, 2)
FILL_2D(D2D32, unsigned, 4)
