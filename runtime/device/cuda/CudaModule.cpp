// Modules of the device behind a CUDA driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CudaDevice.h"

#include <map>

using namespace nibble::cuda;
using namespace nibble::rt;

namespace {

class CudaModule final : public Module {
public:
  explicit CudaModule(std::shared_ptr<CudaContext> context)
      : context(std::move(context)) {}
  ~CudaModule() override {
    CudaContext::Use use(*context);
    if (module)
      (void)context->driver().cuModuleUnload(module);
  }

  Status load(const std::string &name, const void *image);
  Result<void *> kernel(const std::string &symbol) override;

private:
  Status readParams(CudaKernel &kernel) const;

  std::shared_ptr<CudaContext> context;
  CUmodule module = nullptr;
  std::map<std::string, std::unique_ptr<CudaKernel>> kernels;
};

} // namespace

Status CudaModule::load(const std::string &name, const void *image) {
  CudaContext::Use use(*context);
  std::string log(8192, 0);
  CUjit_option options[] = {CU_JIT_ERROR_LOG_BUFFER,
                            CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log.data(), reinterpret_cast<void *>(log.size())};
  CUresult result =
      context->driver().cuModuleLoadDataEx(&module, image, 2, options, values);
  log.resize(log.find('\0') == std::string::npos ? 0 : log.find('\0'));
  bool known = context->driver().isEmulated(); // it says the same itself
  return context->check(result,
                        "loading code '" + name + "'" +
                            (log.empty() || known ? "" : " (" + log + ")"));
}

/// How many parameters a kernel has is found out by asking for one too many.
Status CudaModule::readParams(CudaKernel &kernel) const {
  for (;;) {
    size_t offset = 0, size = 0;
    CUresult result = context->driver().cuFuncGetParamInfo(
        kernel.function, kernel.paramBytes.size(), &offset, &size);
    if (result == CUDA_ERROR_INVALID_VALUE)
      return Status();
    NIBBLE_RETURN_IF_ERROR(
        context->check(result, "parameters of '" + kernel.symbol + "'"));
    kernel.paramBytes.push_back(size);
  }
}

Result<void *> CudaModule::kernel(const std::string &symbol) {
  CudaContext::Use use(*context);
  std::unique_ptr<CudaKernel> &kernel = kernels[symbol];
  if (kernel)
    return static_cast<void *>(kernel.get());
  auto made = std::make_unique<CudaKernel>();
  made->symbol = symbol;
  const DriverTable &driver = context->driver();
  NIBBLE_RETURN_IF_ERROR(context->check(
      driver.cuModuleGetFunction(&made->function, module, symbol.c_str()),
      "kernel '" + symbol + "'"));
  // Now, not lazily while launches are recorded.
  NIBBLE_RETURN_IF_ERROR(context->check(driver.cuFuncLoad(made->function),
                                        "loading kernel '" + symbol + "'"));
  int shared = 0;
  NIBBLE_RETURN_IF_ERROR(context->check(
      driver.cuFuncGetAttribute(&shared,
                                CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                                made->function),
      "kernel '" + symbol + "'"));
  made->shared = uint32_t(shared);
  NIBBLE_RETURN_IF_ERROR(readParams(*made));
  kernel = std::move(made);
  return static_cast<void *>(kernel.get());
}

Result<std::unique_ptr<Module>>
nibble::cuda::loadCudaModule(std::shared_ptr<CudaContext> context,
                             CodeKind kind, const std::string &name,
                             const void *data, uint64_t size) {
  if (kind == CodeKind::CpuObject)
    return error(Code::Device, "code '%s' is %s, which a GPU cannot run",
                 name.c_str(), codeKindName(kind));
  if (kind == CodeKind::Cubin && context->driver().isEmulated())
    return error(Code::Device,
                 "code '%s' is a cubin; the emulated GPU runs PTX",
                 name.c_str());
  auto module = std::make_unique<CudaModule>(std::move(context));
  // PTX must end in a zero; a cubin says how long it is.
  std::string text(static_cast<const char *>(data), size);
  NIBBLE_RETURN_IF_ERROR(module->load(name, text.c_str()));
  return std::unique_ptr<Module>(std::move(module));
}
