// The cpu device: kernels are functions, launches are loops of a thread pool.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "../HostMemory.h"
#include "CpuModule.h"
#include "ThreadPool.h"

#include <system_error>

using namespace nibble::rt;

namespace {

using KernelFunction = void (*)(void *const *args, int64_t lo, int64_t hi,
                                void *scratch);

struct Feature {
  std::string_view name;
  bool present;
};

class CpuDevice final : public HostDevice {
public:
  explicit CpuDevice(unsigned threads) : pool(threads) {}

  const char *name() const override { return "cpu"; }
  std::string description() const override;
  Status supports(const EngineInfo &engine) const override;
  Result<std::unique_ptr<Module>> loadModule(CodeKind kind,
                                             const std::string &name,
                                             const void *data,
                                             uint64_t size) override;
  Status launch(const LaunchParams &params) override;

private:
  ThreadPool pool;
};

} // namespace

#if defined(__x86_64__)
#define NIBBLE_FEATURE(name) {name, bool(__builtin_cpu_supports(name))}
/// The features that matter to vector code, in LLVM's spelling.
static const std::vector<Feature> &hostFeatures() {
  static const std::vector<Feature> features = {
      NIBBLE_FEATURE("sse4.2"),
      NIBBLE_FEATURE("avx"),
      NIBBLE_FEATURE("avx2"),
      NIBBLE_FEATURE("fma"),
      NIBBLE_FEATURE("bmi"),
      NIBBLE_FEATURE("bmi2"),
      NIBBLE_FEATURE("popcnt"),
      NIBBLE_FEATURE("avx512f"),
      NIBBLE_FEATURE("avx512bw"),
      NIBBLE_FEATURE("avx512cd"),
      NIBBLE_FEATURE("avx512dq"),
      NIBBLE_FEATURE("avx512vl"),
      NIBBLE_FEATURE("avx512vnni"),
      NIBBLE_FEATURE("avx512vbmi"),
      NIBBLE_FEATURE("avx512vbmi2"),
      NIBBLE_FEATURE("avx512bf16"),
      // Every CPU with AVX2 has it; not all compilers know the name.
      {"f16c", bool(__builtin_cpu_supports("avx2"))}};
  return features;
}
static constexpr std::string_view kTargetFeatures[] = {"avx2", "fma", "bmi2",
                                                       "f16c"};
#else
static const std::vector<Feature> &hostFeatures() {
  static const std::vector<Feature> features;
  return features;
}
static constexpr std::string_view kTargetFeatures[] = {""};
#endif

static Status requireFeature(std::string_view name) {
  for (const Feature &feature : hostFeatures())
    if (feature.name == name && feature.present)
      return Status();
  if (name.empty())
    return Status();
  return error(Code::Device,
               "the engine needs the CPU feature '%.*s', which this CPU (or "
               "this runtime) does not have: compile with --target cpu",
               int(name.size()), name.data());
}

std::string CpuDevice::description() const {
  std::string text =
      std::to_string(pool.size()) + (pool.size() == 1 ? " thread" : " threads");
  for (const Feature &feature : hostFeatures())
    if (feature.present &&
        (feature.name == "avx2" || feature.name == "avx512f"))
      text += ", " + std::string(feature.name);
  return text;
}

Status CpuDevice::supports(const EngineInfo &engine) const {
  if (engine.target != "cpu" && engine.target.substr(0, 4) != "cpu:")
    return error(Code::Device,
                 "the engine is for target '%s', the device is cpu: compile "
                 "with --target cpu%s%s",
                 std::string(engine.target).c_str(),
                 engine.command.empty() ? "" : "; it was made by: ",
                 std::string(engine.command.substr(0, 4096)).c_str());
  if (engine.cpuFeatures.empty())
    for (std::string_view feature : kTargetFeatures)
      NIBBLE_RETURN_IF_ERROR(requireFeature(feature));
  for (std::string_view feature : engine.cpuFeatures)
    NIBBLE_RETURN_IF_ERROR(requireFeature(feature));
  return Status();
}

Result<std::unique_ptr<Module>> CpuDevice::loadModule(CodeKind kind,
                                                      const std::string &name,
                                                      const void *data,
                                                      uint64_t size) {
  if (kind != CodeKind::CpuObject)
    return error(Code::Device,
                 "code '%s' is %s, which the cpu device cannot run",
                 name.c_str(), codeKindName(kind));
  return loadCpuModule(name, data, size);
}

namespace {
struct Call {
  KernelFunction kernel;
  void *const *args;
};
} // namespace

// UBSan's check of function types reads bytes before the function, which code
// of an engine does not have.
#if defined(__clang__)
__attribute__((no_sanitize("function")))
#endif
static void callKernel(void *context, int64_t lo, int64_t hi, void *scratch) {
  auto *call = static_cast<Call *>(context);
  call->kernel(call->args, lo, hi, scratch);
}

Status CpuDevice::launch(const LaunchParams &params) {
  Call call = {reinterpret_cast<KernelFunction>(params.kernel), params.args};
  return pool.run(params.extent, params.grain, params.split,
                  params.scratchBytes, callKernel, &call);
}

Result<std::shared_ptr<Device>>
nibble::rt::createCpuDevice(const DeviceOptions &options) {
  unsigned threads = options.threads ? options.threads : 2;
  if (threads > 1024)
    return error(Code::InvalidArgument, "%u threads; wanted 1 to 1024",
                 threads);
  // Only the start of a thread can throw here.
  try {
    return std::shared_ptr<Device>(std::make_shared<CpuDevice>(threads));
  } catch (const std::system_error &failure) {
    return error(Code::Device, "cannot start %u threads: %s", threads,
                 failure.what());
  }
}
