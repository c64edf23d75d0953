// Session: code and constants of an engine on a device.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "SessionImpl.h"

using namespace nibble::rt;

Session::Session() : impl(std::make_unique<Impl>()) {}

Session::~Session() {
  const EngineInfo &info = impl->engine->info();
  for (size_t i = 0; i < impl->constants.size(); ++i)
    impl->device->releaseConstant(impl->constants[i], info.constants[i].size);
}

/// The blob, or its alternative if the device cannot load it: a cubin is for
/// one architecture, PTX is compiled by the driver.
Result<std::unique_ptr<Module>> Session::Impl::loadBlob(uint32_t index) {
  NIBBLE_RETURN_IF_ERROR(engine->checkCode(index));
  const BlobInfo &code = engine->info().code[index];
  auto module = device->loadModule(code.kind, std::string(code.name),
                                   engine->codeData(index), code.size);
  if (module.ok() || code.alternative == kNoCode)
    return module;
  auto other = loadBlob(code.alternative);
  if (other.ok())
    return other;
  return Status(other.status())
      .withContext("after " + std::string(codeKindName(code.kind)) +
                   " code failed (" + module.status().message() + ")");
}

Status Session::Impl::loadCode() {
  const EngineInfo &info = engine->info();
  modules.resize(info.code.size());
  for (const KernelInfo &kernel : info.kernels) {
    if (!modules[kernel.code]) {
      auto module = loadBlob(kernel.code);
      if (!module.ok())
        return module.status();
      modules[kernel.code] = std::move(*module);
    }
    auto address = modules[kernel.code]->kernel(std::string(kernel.symbol));
    if (!address.ok())
      return address.status();
    kernels.push_back(*address);
  }
  return Status();
}

Status Session::Impl::importConstants() {
  const EngineInfo &info = engine->info();
  for (uint32_t i = 0; i < info.constants.size(); ++i) {
    auto address =
        device->importConstant(engine->constantData(i), info.constants[i].size);
    if (!address.ok())
      return Status(address.status())
          .withContext("constant '" + std::string(info.constants[i].name) +
                       "'");
    constants.push_back(*address);
  }
  return Status();
}

Result<std::shared_ptr<Session>>
Session::create(std::shared_ptr<const Engine> engine,
                std::shared_ptr<Device> device) {
  std::string where =
      "engine '" + engine->path() + "' on device " + device->name();
  std::shared_ptr<Session> session(new Session());
  session->impl->engine = std::move(engine);
  session->impl->device = std::move(device);
  NIBBLE_RETURN_IF_ERROR(
      session->device().supports(session->info()).withContext(where));
  NIBBLE_RETURN_IF_ERROR(session->impl->loadCode().withContext(where));
  NIBBLE_RETURN_IF_ERROR(session->impl->importConstants().withContext(where));
  return session;
}

const Engine &Session::engine() const { return *impl->engine; }
const EngineInfo &Session::info() const { return impl->engine->info(); }
Device &Session::device() const { return *impl->device; }
