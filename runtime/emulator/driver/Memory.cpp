// Allocation.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

static CUresult invalid(const std::string &why) {
  return refuse(CUDA_ERROR_INVALID_VALUE, why);
}

/// The body of a function that waits for the device or changes its memory:
/// nothing that may happen while streams capture.
template <typename Body>
static CUresult change(const char *function, Body body) {
  return withWork([&](Driver &driver, std::shared_ptr<Context> &context) {
    std::lock_guard work(driver.work); // a kernel may use the memory
    std::lock_guard lock(driver.state);
    if (driver.breaksCapture())
      return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                    std::string(function) + ": a stream captures");
    return body(driver, context);
  });
}

static CUresult allocate(const char *function, Block::Kind kind, uint64_t bytes,
                         unsigned flags, uint64_t &address) {
  return change(function, [&](Driver &driver,
                              std::shared_ptr<Context> &context) {
    if (bytes == 0)
      return invalid(std::string(function) + ": 0 bytes");
    const Block *block = driver.blocks.allocate(kind, bytes, flags, context);
    if (!block)
      return refuse(CUDA_ERROR_OUT_OF_MEMORY,
                    std::string(function) + ": " + std::to_string(bytes) +
                        " bytes; " + std::to_string(driver.blocks.used) +
                        " of " + std::to_string(driver.blocks.limit) +
                        " are in use (NIBBLE_EMU_MEMORY)");
    address = block->begin;
    return CUDA_SUCCESS;
  });
}

static CUresult release(const char *function, uint64_t address,
                        std::initializer_list<Block::Kind> kinds) {
  return change(function, [&](Driver &driver, std::shared_ptr<Context> &) {
    if (driver.blocks.release(address, kinds))
      return CUDA_SUCCESS;
    return invalid(std::string(function) +
                   ": not the begin of such an allocation: " +
                   driver.memory.describe(address));
  });
}

CUresult nibble::cuda::cuMemGetInfo_v2(size_t *free, size_t *total) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    if (!free || !total)
      return invalid("cuMemGetInfo: a null pointer");
    *total = driver.blocks.limit;
    *free = driver.blocks.limit - driver.blocks.used;
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
  if (!address)
    return invalid("cuMemAlloc: a null pointer");
  uint64_t begin = 0;
  CUresult result = allocate("cuMemAlloc", Block::Device, bytes, 0, begin);
  *address = begin;
  return result;
}

CUresult nibble::cuda::cuMemAllocPitch_v2(CUdeviceptr *address, size_t *pitch,
                                          size_t width, size_t height,
                                          unsigned elementBytes) {
  if (!address || !pitch || width == 0 || height == 0 ||
      width > (size_t(1) << 40) || height > (size_t(1) << 40) / width)
    return invalid("cuMemAllocPitch: a null pointer or a senseless size");
  if (elementBytes != 4 && elementBytes != 8 && elementBytes != 16)
    return invalid("cuMemAllocPitch: elements of 4, 8 or 16 bytes");
  *pitch = (width + 511) / 512 * 512;
  return cuMemAlloc_v2(address, *pitch * height);
}

CUresult nibble::cuda::cuMemFree_v2(CUdeviceptr address) {
  if (!address)
    return CUDA_SUCCESS;
  return release("cuMemFree", address, {Block::Device, Block::Managed});
}

CUresult nibble::cuda::cuMemGetAddressRange_v2(CUdeviceptr *begin,
                                               size_t *bytes,
                                               CUdeviceptr address) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    auto found = driver.memory.find(address);
    if (!found)
      return refuse(CUDA_ERROR_NOT_FOUND,
                    "cuMemGetAddressRange: " + driver.memory.describe(address));
    if (begin)
      *begin = found->begin;
    if (bytes)
      *bytes = found->end - found->begin;
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuMemHostAlloc(void **address, size_t bytes,
                                      unsigned flags) {
  if (!address || flags & ~kMemHostAllocFlags)
    return invalid("cuMemHostAlloc: a null pointer or unknown flags");
  uint64_t begin = 0;
  CUresult result =
      allocate("cuMemHostAlloc", Block::Host, bytes, flags, begin);
  *address = reinterpret_cast<void *>(begin);
  return result;
}

CUresult nibble::cuda::cuMemAllocHost_v2(void **address, size_t bytes) {
  return cuMemHostAlloc(address, bytes, 0);
}

CUresult nibble::cuda::cuMemFreeHost(void *address) {
  return release("cuMemFreeHost", uint64_t(address), {Block::Host});
}

CUresult nibble::cuda::cuMemAllocManaged(CUdeviceptr *address, size_t bytes,
                                         unsigned flags) {
  if (!address ||
      (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST))
    return invalid("cuMemAllocManaged: a null pointer or unknown flags");
  uint64_t begin = 0;
  CUresult result =
      allocate("cuMemAllocManaged", Block::Managed, bytes, flags, begin);
  *address = begin;
  return result;
}

CUresult nibble::cuda::cuMemHostRegister_v2(void *address, size_t bytes,
                                            unsigned flags) {
  if (!address || bytes == 0 || flags & ~kMemHostRegisterFlags)
    return invalid("cuMemHostRegister: null, 0 bytes or unknown flags");
  return change("cuMemHostRegister", [&](Driver &driver,
                                         std::shared_ptr<Context> &context) {
    if (driver.blocks.registerHost(address, bytes, flags, context))
      return CUDA_SUCCESS;
    return refuse(CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED,
                  "cuMemHostRegister: a part of it is registered already");
  });
}

CUresult nibble::cuda::cuMemHostUnregister(void *address) {
  return change(
      "cuMemHostUnregister", [&](Driver &driver, std::shared_ptr<Context> &) {
        if (driver.blocks.release(uint64_t(address), {Block::Registered}))
          return CUDA_SUCCESS;
        return refuse(CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED,
                      "cuMemHostUnregister: not registered");
      });
}

/// The body of a function about host memory that the driver knows.
template <typename Body>
static CUresult withHostBlock(const char *function, void *address, bool valid,
                              Body body) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &) {
    const Block *block = driver.blocks.find(uint64_t(address));
    if (!valid || !block || !block->onHost())
      return invalid(std::string(function) +
                     ": no pinned or registered host memory");
    body(*block);
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuMemHostGetDevicePointer_v2(CUdeviceptr *out,
                                                    void *address,
                                                    unsigned flags) {
  return withHostBlock("cuMemHostGetDevicePointer", address, out && !flags,
                       [&](const Block &) { *out = CUdeviceptr(address); });
}

CUresult nibble::cuda::cuMemHostGetFlags(unsigned *flags, void *address) {
  return withHostBlock("cuMemHostGetFlags", address, flags,
                       [&](const Block &block) { *flags = block.flags; });
}

/// Allocation in the order of a stream; the stream must exist and not capture.
static CUresult checkPoolStream(CUstream handle) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    auto stream = driver.findStream(*context, handle);
    if (!stream)
      return refuse(CUDA_ERROR_INVALID_HANDLE, "there is no such stream");
    if (stream->capture)
      return refuse(CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
                    "allocations in graphs are not emulated");
    return CUDA_SUCCESS;
  });
}

CUresult nibble::cuda::cuMemAllocAsync(CUdeviceptr *address, size_t bytes,
                                       CUstream stream) {
  CUresult wrong = checkPoolStream(stream);
  return wrong ? wrong : cuMemAlloc_v2(address, bytes);
}

CUresult nibble::cuda::cuMemFreeAsync(CUdeviceptr address, CUstream stream) {
  CUresult wrong = checkPoolStream(stream);
  if (wrong || address)
    return wrong ? wrong : cuMemFree_v2(address);
  return invalid("cuMemFreeAsync: a null pointer");
}
