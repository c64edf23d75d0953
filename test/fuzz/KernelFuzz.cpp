// Any text given to the emulator: decoded, and its kernels run on two CTAs. An
// error or a fault, never a crash or a hang. SPDX-License-Identifier:
// Apache-2.0 WITH LLVM-exception
#include "Mutate.h"

#include "exec/Module.h"
#include "exec/TensorMap.h"

#include <algorithm>
#include <cstring>
#include <unistd.h>

using namespace nibble::emu;

namespace {

/// Bytes of buffers, instructions of a cluster, seconds of one text.
constexpr size_t kBytes = 1 << 16;
constexpr uint64_t kInstructions = 20000;
constexpr unsigned kSeconds = 30;

/// A map of 64 x 32 words over a buffer.
TensorMap mapOver(void *buffer) {
  TensorMap map;
  map.mark = TensorMap::kMark;
  map.address = uint64_t(buffer);
  map.type = TensorType::U32;
  map.rank = 2;
  map.sizes[0] = 64;
  map.sizes[1] = 32;
  map.strides[0] = 256;
  map.box[0] = 32;
  map.box[1] = 8;
  for (uint8_t &step : map.elementStrides)
    step = 1;
  map.swizzle = uint8_t(TensorSwizzle::B128);
  return map;
}

/// By their size: tensor maps, buffers, small numbers.
std::vector<uint8_t> argumentsOf(const Code &code, void *buffer) {
  std::vector<uint8_t> bytes(code.paramBytes + 1);
  TensorMap map = mapOver(buffer);
  uint64_t address = uint64_t(buffer);
  uint32_t number = 2;
  for (const ParamInfo &param : code.params)
    if (param.size == 128)
      std::memcpy(&bytes[param.offset], &map, sizeof map);
    else if (param.size == 8)
      std::memcpy(&bytes[param.offset], &address, 8);
    else if (param.size == 4)
      std::memcpy(&bytes[param.offset], &number, 4);
  return bytes;
}

void run(Module &module, const Module::Kernel &kernel, void *buffer) {
  const Code &code = kernel.code;
  Module::LaunchConfig config;
  config.grid.x = std::max(code.requiredCluster[0], 2u);
  config.grid.y = std::max(code.requiredCluster[1], 1u);
  config.grid.z = std::max(code.requiredCluster[2], 1u);
  if (config.grid.count() > kMaxCluster)
    config.grid = {2, 1, 1};
  config.block.x = code.requiredThreads[0] ? code.requiredThreads[0] : 128;
  config.dynamicShared = 16384;
  config.threads = 1;
  config.maxInstructions = kInstructions;
  std::vector<uint8_t> arguments = argumentsOf(code, buffer);
  Counters counters;
  (void)module.launch(kernel, config, arguments.data(), counters);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  alarm(kSeconds); // a hang ends the process
  GlobalMemory memory;
  Module module(memory);
  ptx::Error error =
      module.load(std::string(reinterpret_cast<const char *>(data), size));
  if (error) {
    if (error.message.empty())
      abort();
    alarm(0);
    return 0;
  }
  void *buffer = memory.allocate(kBytes, "the buffer");
  for (size_t i = 0; i < kBytes; ++i)
    static_cast<uint8_t *>(buffer)[i] = uint8_t(i * 37 >> 3);
  for (const std::string &name : module.kernelNames())
    run(module, *module.find(name), buffer);
  alarm(0);
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
#ifdef NIBBLE_LIBFUZZER
/// Lines and words change mostly, bytes sometimes.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size,
                                          size_t most, unsigned seed) {
  if (seed % 8 == 0)
    return LLVMFuzzerMutate(data, size, most);
  std::string text =
      mutate(std::string(reinterpret_cast<const char *>(data), size), seed);
  size_t count = std::min(text.size(), most);
  std::memcpy(data, text.data(), count);
  return count;
}
#endif
