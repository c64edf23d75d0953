// Zeroed pages from the operating system.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "HostMemory.h"

#include <cerrno>
#include <cstring>
#include <sys/mman.h>

using namespace nibble::rt;

/// Size 0 still gets an address of its own.
static uint64_t mappedBytes(uint64_t bytes) { return bytes ? bytes : 1; }

Result<void *> HostDevice::allocate(uint64_t bytes) {
  uint64_t length = mappedBytes(bytes);
  ++allocationCount;
  void *memory = ::mmap(nullptr, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED)
    return error(Code::OutOfMemory, "cannot allocate %llu bytes: %s",
                 static_cast<unsigned long long>(bytes), std::strerror(errno));
  // Large pages save most of the first touch.
  if (length >= uint64_t(2) << 20)
    (void)::madvise(memory, length, MADV_HUGEPAGE);
  return memory;
}

void HostDevice::release(void *memory, uint64_t bytes) {
  if (memory)
    ::munmap(memory, mappedBytes(bytes));
}

Status HostDevice::copyIn(void *to, const void *from, uint64_t bytes) {
  if (bytes)
    std::memmove(to, from, bytes);
  return Status();
}

Status HostDevice::copyOut(void *to, const void *from, uint64_t bytes) {
  return copyIn(to, from, bytes);
}

Status HostDevice::copy(void *to, const void *from, uint64_t bytes) {
  return copyIn(to, from, bytes);
}

Result<void *> HostDevice::importConstant(const void *mapped, uint64_t bytes) {
  return const_cast<void *>(mapped);
}
