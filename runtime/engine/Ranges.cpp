// NVTX ranges: what a profiler shows beside kernels.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Ranges.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <dlfcn.h>
#include <string>

using namespace nibble::rt;

namespace {

using Function = void (*)();
using Push = int (*)(const char *);
using Pop = int (*)();

/// Numbers of the protocol: modules, functions of the core, tables.
constexpr unsigned kModules = 7, kCore = 1, kFunctions = 24, kPush = 9,
                   kPop = 11;
/// How many functions each module has, one more than the last number.
constexpr unsigned kSizes[kModules] = {0, 16, 9, 15, 7, 16, 7};
constexpr uint32_t kCallbacks = 1, kVersionInfo = 3;

/// What a profiler fills: functions[module][number].
Function functions[kModules][kFunctions];
/// The same as it is handed out: addresses of the entries.
Function *tables[kModules][kFunctions];

int getModule(int module, Function ***table, unsigned *size) {
  if (module < 1 || module >= int(kModules))
    return 0;
  if (table)
    *table = tables[module];
  if (size)
    *size = kSizes[module];
  return 1;
}

void setVersion(uint32_t) {}

struct Callbacks {
  size_t bytes = sizeof(Callbacks);
  int (*get)(int, Function ***, unsigned *) = getModule;
};
struct VersionInfo {
  size_t bytes = sizeof(VersionInfo);
  uint32_t version = 3, reserved = 0;
  void (*set)(uint32_t) = setVersion;
};

const void *getTable(uint32_t number) {
  static const Callbacks callbacks;
  static VersionInfo version;
  return number == kCallbacks     ? static_cast<const void *>(&callbacks)
         : number == kVersionInfo ? &version
                                  : nullptr;
}

struct Tool {
  Push push = nullptr;
  Pop pop = nullptr;
  Tool();
  bool injected();
};

} // namespace

bool Tool::injected() {
  const char *path = std::getenv("NVTX_INJECTION64_PATH");
  void *library = path && *path ? ::dlopen(path, RTLD_LAZY) : nullptr;
  if (!library)
    return false;
  auto initialize = reinterpret_cast<int (*)(const void *(*)(uint32_t))>(
      ::dlsym(library, "InitializeInjectionNvtx2"));
  for (unsigned module = 1; module < kModules; ++module)
    for (unsigned i = 1; i < kSizes[module]; ++i)
      tables[module][i] = &functions[module][i];
  if (!initialize || !initialize(getTable))
    return false;
  push = reinterpret_cast<Push>(functions[kCore][kPush]);
  pop = reinterpret_cast<Pop>(functions[kCore][kPop]);
  return true;
}

Tool::Tool() {
  if (injected())
    return;
  // Only if somebody wanted it: loading it costs and shows nothing by itself.
  void *library = ::dlopen("libnvToolsExt.so.1", RTLD_LAZY | RTLD_NOLOAD);
  if (!library)
    return;
  push = reinterpret_cast<Push>(::dlsym(library, "nvtxRangePushA"));
  pop = reinterpret_cast<Pop>(::dlsym(library, "nvtxRangePop"));
}

static const Tool &theTool() {
  static const Tool tool;
  return tool;
}

Range::Range(std::string_view name, std::string_view op) {
  const Tool &tool = theTool();
  if (!tool.push || !tool.pop)
    return;
  std::string text(name);
  if (!op.empty())
    text.append(" (").append(op).append(")");
  tool.push(text.c_str());
  pushed = true;
}

Range::~Range() {
  if (pushed)
    theTool().pop();
}
