// Memory functions of devices whose memory is the host's.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_DEVICE_HOSTMEMORY_H
#define NIBBLE_RT_DEVICE_HOSTMEMORY_H

#include "nibble/rt/device.h"

namespace nibble {
namespace rt {

/// Base of cpu and null: device addresses are host pointers.
class HostDevice : public Device {
public:
  bool hostAccessible() const override { return true; }
  Result<void *> allocate(uint64_t bytes) override;
  void release(void *memory, uint64_t bytes) override;
  Status copyIn(void *to, const void *from, uint64_t bytes) override;
  Status copyOut(void *to, const void *from, uint64_t bytes) override;
  Status copy(void *to, const void *from, uint64_t bytes) override;
  Result<void *> importConstant(const void *mapped, uint64_t bytes) override;
  void releaseConstant(void *address, uint64_t bytes) override {}
  Status synchronize() override { return Status(); }
};

} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_HOSTMEMORY_H
