// The functions of a CUDA driver library.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverTable.h"

#include <cstdlib>
#include <dlfcn.h>
#include <unistd.h>
#include <vector>

using namespace nibble::cuda;
using namespace nibble::rt;

DriverTable::~DriverTable() {
  if (handle)
    ::dlclose(handle);
}

template <typename Function>
static void find(void *handle, const char *symbol, Function &function) {
  function = reinterpret_cast<Function>(::dlsym(handle, symbol));
}

static std::string versionOf(const DriverFunctions &driver) {
  int version = 0;
  if (!driver.cuDriverGetVersion || driver.cuDriverGetVersion(&version))
    return "";
  return std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 10);
}

static Status tooOld(const DriverTable &driver,
                     const std::vector<std::string> &missing) {
  std::string version = versionOf(driver), names;
  constexpr size_t kNamed = 3;
  for (size_t i = 0; i < missing.size() && i < kNamed; ++i)
    names += (i ? ", " : "") + missing[i];
  if (missing.size() > kNamed)
    names += " and " + std::to_string(missing.size() - kNamed) + " more";
  return error(Code::Device,
               "the driver %s%s is too old: it lacks %s; install a driver for "
               "CUDA 13.0 (580) or newer",
               driver.path().c_str(),
               version.empty() ? "" : (" (CUDA " + version + ")").c_str(),
               names.c_str());
}

Result<std::shared_ptr<const DriverTable>>
DriverTable::open(const std::string &file) {
  std::shared_ptr<DriverTable> table(new DriverTable());
  table->file = file;
  table->handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!table->handle)
    return error(Code::Device, "cannot load %s: %s", file.c_str(), ::dlerror());
  std::vector<std::string> missing;
#define NIBBLE_DRIVER(SINCE, NAME, SYMBOL, PARAMETERS)                         \
  find(table->handle, #SYMBOL, table->SYMBOL);                                 \
  if (!table->SYMBOL)                                                          \
    missing.push_back(#SYMBOL);
#include "DriverFunctions.def"
  if (!missing.empty())
    return tooOld(*table, missing);
  find(table->handle, "nibbleEmuLastFault", table->lastFault);
  find(table->handle, "nibbleEmuSelect", table->select);
  find(table->handle, "nibbleEmuTarget", table->target);
  return std::shared_ptr<const DriverTable>(std::move(table));
}

Result<std::shared_ptr<const DriverTable>> DriverTable::openReal() {
  auto table = open("libcuda.so.1");
  if (!table.ok())
    return Status(table.status())
        .withContext("--device cuda needs an NVIDIA driver on this machine; "
                     "without one, --device emu runs the same engine slowly");
  if ((*table)->isEmulated())
    return error(Code::Device,
                 "libcuda.so.1 is the emulated driver in this process (from "
                 "LD_LIBRARY_PATH, or loaded before): use --device emu");
  return table;
}

static std::string executableFolder() {
  std::string path(4096, 0);
  ssize_t length = ::readlink("/proc/self/exe", path.data(), path.size());
  path.resize(length > 0 ? size_t(length) : 0);
  return path.substr(0, path.rfind('/'));
}

/// lib/emu of an installation or of a build tree, whose programs lie up to a
/// few folders deep.
static std::string findEmulated() {
  std::string folder = executableFolder();
  for (int up = 0; up < 5 && !folder.empty(); ++up) {
    for (const char *below : {"/emu/libcuda.so.1", "/lib/emu/libcuda.so.1"})
      if (::access((folder + below).c_str(), R_OK) == 0)
        return folder + below;
    folder = folder.substr(0, folder.rfind('/'));
  }
  return "";
}

Result<std::shared_ptr<const DriverTable>> DriverTable::openEmulated() {
  const char *given = std::getenv("NIBBLE_EMU_LIBRARY");
  std::string file = given && *given ? given : findEmulated();
  if (file.empty())
    return error(Code::Device,
                 "--device emu needs the emulated driver, and there is no "
                 "emu/libcuda.so.1 or lib/emu/libcuda.so.1 in %s or the "
                 "folders above: set NIBBLE_EMU_LIBRARY to its file",
                 executableFolder().c_str());
  auto table = open(file);
  if (table.ok() && !(*table)->isEmulated())
    return error(Code::Device, "%s is no emulated driver (NIBBLE_EMU_LIBRARY)",
                 file.c_str());
  return table;
}

/// What to do about a failure; "" where the text says it all.
static std::string adviceFor(CUresult result, const DriverFunctions &driver) {
  switch (result) {
  case CUDA_ERROR_NO_DEVICE:
    return "; is there a GPU (nvidia-smi), and does CUDA_VISIBLE_DEVICES allow "
           "it?";
  case CUDA_ERROR_UNSUPPORTED_PTX_VERSION:
    return "; the driver is for CUDA " + versionOf(driver) +
           " and too old for this code: install a newer one";
  case CUDA_ERROR_OUT_OF_MEMORY: {
    size_t free = 0, total = 0;
    if (driver.cuMemGetInfo_v2(&free, &total))
      return "";
    return "; " + std::to_string(free >> 20) + " of " +
           std::to_string(total >> 20) + " MiB are free";
  }
  case CUDA_ERROR_ILLEGAL_ADDRESS:
  case CUDA_ERROR_MISALIGNED_ADDRESS:
  case CUDA_ERROR_ILLEGAL_INSTRUCTION:
  case CUDA_ERROR_ASSERT:
  case CUDA_ERROR_LAUNCH_TIMEOUT:
  case CUDA_ERROR_LAUNCH_FAILED:
    return "; a kernel of this run or of one before has failed, and this "
           "process cannot use the GPU any more (nibble verify ENGINE "
           "--layers-only names the layer)";
  default:
    return "";
  }
}

Status DriverTable::check(CUresult result, const std::string &what) const {
  if (result == CUDA_SUCCESS)
    return Status();
  const char *name = nullptr, *text = nullptr;
  (void)cuGetErrorName(result, &name);
  (void)cuGetErrorString(result, &text);
  std::string message = what + ": " +
                        (name ? name : "error " + std::to_string(result)) +
                        (text ? ", " + std::string(text) : "");
  std::string more = lastFault ? lastFault() : ""; // before another call
  message += adviceFor(result, *this);
  if (!more.empty())
    message += ": " + more;
  Code code =
      result == CUDA_ERROR_OUT_OF_MEMORY ? Code::OutOfMemory : Code::Device;
  return Status(code, message);
}

Status DriverTable::selectMachine(const std::string &arch) const {
  if (!select || arch.empty())
    return Status();
  return check(select(arch.c_str()), "choosing the emulated machine");
}
