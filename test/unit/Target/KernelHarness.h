// Compiles kernels from MLIR text and runs them in this process.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_TARGET_KERNELHARNESS_H
#define NIBBLE_TEST_UNIT_TARGET_KERNELHARNESS_H

#include "nibble/Target/Cpu/CpuTarget.h"

#include "mlir/Dialect/Func/IR/FuncOps.h"
#include "mlir/Parser/Parser.h"

#include <dlfcn.h>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

namespace nibble {
namespace test {

using Kernel = void (*)(void *const *args, int64_t lo, int64_t hi,
                        void *scratch);

/// A shared object loaded through a memory file, as the runtime does. The file
/// stays open: dlopen takes equal names for the same object.
class LoadedCode {
public:
  explicit LoadedCode(const std::string &bytes) {
    fd = memfd_create("kernels", MFD_CLOEXEC);
    if (write(fd, bytes.data(), bytes.size()) != ssize_t(bytes.size()))
      return;
    std::string path = "/proc/self/fd/" + std::to_string(fd);
    handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle)
      fprintf(stderr, "dlopen: %s\n", dlerror());
  }
  LoadedCode(const LoadedCode &) = delete;
  ~LoadedCode() {
    if (handle)
      dlclose(handle);
    close(fd);
  }
  Kernel kernel(const char *name) const {
    return handle ? reinterpret_cast<Kernel>(dlsym(handle, name)) : nullptr;
  }

private:
  int fd = -1;
  void *handle = nullptr;
};

/// Context with everything that kernels are made of.
inline std::unique_ptr<mlir::MLIRContext> makeContext() {
  mlir::DialectRegistry registry;
  cpu::registerCpuTarget(registry);
  registry.insert<mlir::arith::ArithDialect, mlir::func::FuncDialect,
                  mlir::math::MathDialect, mlir::memref::MemRefDialect,
                  mlir::scf::SCFDialect, mlir::vector::VectorDialect>();
  auto context = std::make_unique<mlir::MLIRContext>(
      registry, mlir::MLIRContext::Threading::DISABLED);
  context->loadAllAvailableDialects();
  return context;
}

/// The shared object, or "" and the message in `error`.
inline std::string compileText(const std::string &text,
                               const cpu::CpuTargetOptions &options,
                               std::string &error) {
  auto context = makeContext();
  auto module = mlir::parseSourceString<mlir::ModuleOp>(text, context.get());
  if (!module) {
    error = "parse error";
    return "";
  }
  auto code = cpu::compileToSharedObject(*module, options);
  if (code)
    return *code;
  error = llvm::toString(code.takeError());
  return "";
}

} // namespace test
} // namespace nibble

#endif // NIBBLE_TEST_UNIT_TARGET_KERNELHARNESS_H
