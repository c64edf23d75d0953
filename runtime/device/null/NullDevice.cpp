// The null device: accepts every valid engine, computes nothing.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../HostMemory.h"

#include <cstring>

using namespace nibble::rt;

namespace {

class NullModule final : public Module {
public:
  Result<void *> kernel(const std::string &symbol) override {
    // Never called or read, but a null pointer would look like a failure.
    return static_cast<void *>(this);
  }
};

class NullDevice final : public HostDevice {
public:
  const char *name() const override { return "null"; }
  std::string description() const override { return "computes nothing"; }
  Status supports(const EngineInfo &) const override { return Status(); }
  Result<std::unique_ptr<Module>> loadModule(CodeKind, const std::string &,
                                             const void *, uint64_t) override {
    return std::unique_ptr<Module>(new NullModule());
  }
  Status launch(const LaunchParams &params) override;
};

} // namespace

Status NullDevice::launch(const LaunchParams &params) {
  const LaunchInfo &info = *params.info;
  for (size_t i = info.args.size() - info.results; i < info.args.size(); ++i)
    std::memset(params.args[i], kNullPoison,
                params.entry->values[info.args[i]].byteSize);
  return Status();
}

Result<std::shared_ptr<Device>> nibble::rt::createNullDevice() {
  return std::shared_ptr<Device>(std::make_shared<NullDevice>());
}
