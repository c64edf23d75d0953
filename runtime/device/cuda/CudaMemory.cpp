// Memory of the device behind a CUDA driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CudaDevice.h"

using namespace nibble::cuda;
using namespace nibble::rt;

Status CudaContext::check(CUresult result, const char *what,
                          uint64_t bytes) const {
  if (!result)
    return Status();
  return table->check(result, std::string(what) + " " + std::to_string(bytes) +
                                  " bytes");
}

/// Size 0 still gets an address of its own.
static uint64_t allocatedBytes(uint64_t bytes) { return bytes ? bytes : 1; }

Result<void *> CudaDevice::allocate(uint64_t bytes) {
  const DriverTable &driver = context->driver();
  CudaContext::Use use(*context);
  CUdeviceptr address = 0;
  uint64_t size = allocatedBytes(bytes);
  ++allocationCount;
  NIBBLE_RETURN_IF_ERROR(context->check(driver.cuMemAlloc_v2(&address, size),
                                        "allocating", bytes));
  Status zeroed = context->check(
      driver.cuMemsetD8Async(address, 0, size, context->stream()), "zeroing",
      bytes);
  void *memory = reinterpret_cast<void *>(address);
  if (zeroed.ok())
    return memory;
  release(memory, bytes);
  return zeroed;
}

void CudaDevice::release(void *memory, uint64_t) {
  CudaContext::Use use(*context);
  if (memory)
    (void)context->driver().cuMemFree_v2(CUdeviceptr(memory));
}

Result<void *> CudaDevice::allocateHost(uint64_t bytes) {
  CudaContext::Use use(*context);
  void *memory = nullptr;
  ++allocationCount;
  NIBBLE_RETURN_IF_ERROR(context->check(
      context->driver().cuMemHostAlloc(&memory, allocatedBytes(bytes), 0),
      "allocating page-locked host memory of", bytes));
  return memory;
}

void CudaDevice::releaseHost(void *memory, uint64_t) {
  CudaContext::Use use(*context);
  if (memory)
    (void)context->driver().cuMemFreeHost(memory);
}

Status CudaDevice::enqueueCopyIn(void *to, const void *from, uint64_t bytes) {
  if (bytes == 0)
    return Status();
  CudaContext::Use use(*context);
  return context->check(context->driver().cuMemcpyHtoDAsync_v2(
                            CUdeviceptr(to), from, bytes, context->stream()),
                        "copying in", bytes);
}

Status CudaDevice::enqueueCopyOut(void *to, const void *from, uint64_t bytes) {
  if (bytes == 0)
    return Status();
  CudaContext::Use use(*context);
  return context->check(context->driver().cuMemcpyDtoHAsync_v2(
                            to, CUdeviceptr(from), bytes, context->stream()),
                        "copying out", bytes);
}

Status CudaDevice::copyIn(void *to, const void *from, uint64_t bytes) {
  NIBBLE_RETURN_IF_ERROR(enqueueCopyIn(to, from, bytes));
  return bytes ? synchronize() : Status(); // the caller may change its memory
}

Status CudaDevice::copyOut(void *to, const void *from, uint64_t bytes) {
  NIBBLE_RETURN_IF_ERROR(enqueueCopyOut(to, from, bytes));
  return bytes ? synchronize() : Status();
}

Status CudaDevice::copy(void *to, const void *from, uint64_t bytes) {
  if (bytes == 0)
    return Status();
  CudaContext::Use use(*context);
  return context->check(
      context->driver().cuMemcpyDtoDAsync_v2(CUdeviceptr(to), CUdeviceptr(from),
                                             bytes, context->stream()),
      "copying", bytes);
}

Result<void *> CudaDevice::importConstant(const void *mapped, uint64_t bytes) {
  Result<void *> memory = allocate(bytes);
  if (!memory.ok())
    return memory;
  Status copied = copyIn(*memory, mapped, bytes);
  if (copied.ok())
    return memory;
  release(*memory, bytes);
  return copied;
}

void CudaDevice::releaseConstant(void *address, uint64_t bytes) {
  release(address, bytes);
}

Status CudaDevice::fill(void *to, uint8_t byte, uint64_t bytes) {
  if (bytes == 0)
    return Status();
  CudaContext::Use use(*context);
  return context->check(context->driver().cuMemsetD8Async(
                            CUdeviceptr(to), byte, bytes, context->stream()),
                        "filling", bytes);
}

uint64_t CudaDevice::cacheBytes() const {
  return uint64_t(context->attribute(CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE));
}
