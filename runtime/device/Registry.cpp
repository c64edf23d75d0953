// Devices by name.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "nibble/rt/device.h"

using namespace nibble::rt;

Result<std::shared_ptr<Device>>
nibble::rt::createDevice(const std::string &name,
                         const DeviceOptions &options) {
  if (name == "cpu")
    return createCpuDevice(options);
  if (name == "null")
    return createNullDevice();
  if (name == "cuda" || name == "emu")
    return createCudaDevice(options, name == "emu");
  return error(Code::InvalidArgument,
               "unknown device '%s': wanted cpu, null, cuda or emu",
               name.c_str());
}

Result<std::unique_ptr<Recording>>
Device::record(const std::function<Status()> &) {
  return error(Code::Unsupported, "the %s device records nothing", name());
}
