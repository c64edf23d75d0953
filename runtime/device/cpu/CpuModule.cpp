// memfd_create + dlopen.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CpuModule.h"

#include "ElfCheck.h"

#include <cerrno>
#include <cstring>
#include <dlfcn.h>
#include <sys/mman.h>
#include <unistd.h>

using namespace nibble::rt;

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

namespace {
class CpuModule final : public Module {
public:
  /// The descriptor stays open: dlopen knows libraries by name, and the number
  /// in /proc/self/fd/N must not come to mean another module meanwhile.
  CpuModule(std::string name, int fd, void *handle)
      : name(std::move(name)), fd(fd), handle(handle) {}
  ~CpuModule() override {
    ::dlclose(handle);
    ::close(fd);
  }

  Result<void *> kernel(const std::string &symbol) override {
    if (void *address = ::dlsym(handle, symbol.c_str()))
      return address;
    return error(Code::Malformed, "the CPU code '%s' has no kernel '%s'",
                 name.c_str(), symbol.c_str());
  }

private:
  std::string name;
  int fd;
  void *handle;
};
} // namespace

static int createMemoryFile(const char *name) {
  // MFD_EXEC is needed where vm.memfd_noexec = 1 and unknown before Linux 6.3.
  int fd = ::memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
  return fd >= 0 ? fd : ::memfd_create(name, MFD_CLOEXEC);
}

static bool writeFully(int fd, const void *data, uint64_t size) {
  const char *at = static_cast<const char *>(data);
  while (size) {
    ssize_t done = ::write(fd, at, size);
    if (done < 0 && errno != EINTR)
      return false;
    if (done > 0) {
      at += done;
      size -= done;
    }
  }
  return true;
}

Result<std::unique_ptr<Module>>
nibble::rt::loadCpuModule(const std::string &name, const void *data,
                          uint64_t size) {
  NIBBLE_RETURN_IF_ERROR(
      checkElf(data, size).withContext("code '" + name + "'"));
  int fd = createMemoryFile("nibble-kernels");
  if (fd < 0 || !writeFully(fd, data, size)) {
    Status status = error(Code::Device,
                          "cannot create a memory file for CPU "
                          "code '%s': %s",
                          name.c_str(), std::strerror(errno));
    if (fd >= 0)
      ::close(fd);
    return status;
  }
  std::string path = "/proc/self/fd/" + std::to_string(fd);
  void *handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) {
    const char *why = ::dlerror();
    ::close(fd);
    return error(Code::Device, "cannot load CPU code '%s': %s", name.c_str(),
                 why ? why : "unknown reason");
  }
  return std::unique_ptr<Module>(new CpuModule(name, fd, handle));
}
