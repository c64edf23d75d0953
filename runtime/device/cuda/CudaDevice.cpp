// The device behind a CUDA driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "CudaDevice.h"

using namespace nibble::cuda;
using namespace nibble::rt;

Result<std::shared_ptr<CudaContext>>
CudaContext::create(std::shared_ptr<const DriverTable> table, void *stream) {
  std::shared_ptr<CudaContext> context(new CudaContext(std::move(table)));
  NIBBLE_RETURN_IF_ERROR(context->open(stream));
  return context;
}

Status CudaContext::open(void *stream) {
  NIBBLE_RETURN_IF_ERROR(check(table->cuInit(0), "cuInit"));
  NIBBLE_RETURN_IF_ERROR(check(table->cuDeviceGet(&device, 0), "device 0"));
  NIBBLE_RETURN_IF_ERROR(check(
      table->cuDevicePrimaryCtxRetain(&context, device), "making a context"));
  theStream = static_cast<CUstream>(stream);
  if (stream)
    return Status();
  ownsStream = true;
  Use use(*this);
  return check(table->cuStreamCreate(&theStream, CU_STREAM_NON_BLOCKING),
               "making a stream");
}

CudaContext::~CudaContext() {
  if (!context)
    return;
  if (ownsStream && theStream) {
    Use use(*this);
    (void)table->cuStreamDestroy_v2(theStream);
  }
  (void)table->cuDevicePrimaryCtxRelease_v2(device);
}

// A failure here is the failure of what is called next.
CudaContext::Current::Current(CudaContext &context) : context(context) {
  (void)context.table->cuCtxPushCurrent_v2(context.context);
}

CudaContext::Current::~Current() {
  CUcontext unused;
  (void)context.table->cuCtxPopCurrent_v2(&unused);
}

int CudaContext::attribute(CUdevice_attribute which) const {
  int value = 0;
  (void)table->cuDeviceGetAttribute(&value, which, device);
  return value;
}

std::string CudaContext::arch() const {
  if (table->isEmulated())
    return table->machine();
  int major = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR),
      minor = attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
  // Architecture-specific features exist from 9.0 on.
  return "sm_" + std::to_string(major) + std::to_string(minor) +
         (major >= 9 ? "a" : "");
}

std::string CudaContext::deviceName() const {
  char name[256] = "";
  (void)table->cuDeviceGetName(name, sizeof name, device);
  return name;
}

const char *CudaDevice::name() const {
  return context->driver().isEmulated() ? "emu" : "cuda";
}

std::string CudaDevice::description() const {
  int version = 0;
  (void)context->driver().cuDriverGetVersion(&version);
  return context->deviceName() + ", " + context->arch() + ", " +
         std::to_string(
             context->attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)) +
         " SMs, CUDA " + std::to_string(version / 1000) + "." +
         std::to_string(version % 1000 / 10);
}

/// Memory moves data twice per clock.
DeviceLimits CudaDevice::limits() const {
  DeviceLimits limits;
  limits.name = context->deviceName();
  limits.emulated = context->driver().isEmulated();
  limits.multiprocessors =
      unsigned(context->attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT));
  double kilohertz = context->attribute(CU_DEVICE_ATTRIBUTE_MEMORY_CLOCK_RATE),
         bits = context->attribute(CU_DEVICE_ATTRIBUTE_GLOBAL_MEMORY_BUS_WIDTH);
  limits.memoryBytesPerSecond = 2 * kilohertz * 1e3 * bits / 8;
  return limits;
}

Status CudaDevice::supports(const EngineInfo &engine) const {
  if (engine.target == context->arch())
    return Status();
  std::string target(engine.target), made(engine.command.substr(0, 4096));
  return error(Code::Device,
               "the engine is for target '%s', the device is %s (%s): compile "
               "with --target %s%s%s%s",
               target.c_str(), context->arch().c_str(),
               context->deviceName().c_str(), context->arch().c_str(),
               context->driver().isEmulated()
                   ? ", or choose the machine with NIBBLE_EMU_TARGET"
                   : "",
               made.empty() ? "" : "; it was made by: ", made.c_str());
}

Result<std::unique_ptr<Module>> CudaDevice::loadModule(CodeKind kind,
                                                       const std::string &name,
                                                       const void *data,
                                                       uint64_t size) {
  return loadCudaModule(context, kind, name, data, size);
}

Status CudaDevice::launch(const LaunchParams &params) {
  CudaContext::Use use(*context);
  return launchCuda(*context, params);
}

Status CudaDevice::synchronize() {
  CudaContext::Use use(*context);
  return context->check(
      context->driver().cuStreamSynchronize(context->stream()),
      "waiting for the device");
}

namespace {

class CudaGraph final : public Recording {
public:
  explicit CudaGraph(std::shared_ptr<CudaContext> context)
      : context(std::move(context)) {}
  ~CudaGraph() override {
    CudaContext::Use use(*context);
    if (exec)
      (void)context->driver().cuGraphExecDestroy(exec);
  }

  Status capture(const std::function<Status()> &issue) {
    const DriverTable &driver = context->driver();
    CudaContext::Use use(*context);
    NIBBLE_RETURN_IF_ERROR(context->check(
        driver.cuStreamBeginCapture_v2(context->stream(),
                                       CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
        "recording"));
    Status issued = issue();
    CUgraph graph = nullptr;
    Status ended = context->check(
        driver.cuStreamEndCapture(context->stream(), &graph), "recording");
    Status made = issued.ok() && ended.ok() ? instantiate(graph) : Status();
    if (graph)
      (void)driver.cuGraphDestroy(graph);
    return !issued.ok() ? issued : !ended.ok() ? ended : made;
  }

  Status replay() override {
    CudaContext::Use use(*context);
    return context->check(
        context->driver().cuGraphLaunch(exec, context->stream()),
        "replaying the launches of an entry point");
  }

private:
  Status instantiate(CUgraph graph) {
    return context->check(
        context->driver().cuGraphInstantiateWithFlags(&exec, graph, 0),
        "making a graph of the recorded launches");
  }

  std::shared_ptr<CudaContext> context;
  CUgraphExec exec = nullptr;
};

} // namespace

Result<std::unique_ptr<Recording>>
CudaDevice::record(const std::function<Status()> &issue) {
  auto graph = std::make_unique<CudaGraph>(context);
  NIBBLE_RETURN_IF_ERROR(graph->capture(issue));
  return std::unique_ptr<Recording>(std::move(graph));
}

Result<std::shared_ptr<Device>>
nibble::rt::createCudaDevice(const DeviceOptions &options, bool emulated) {
  auto table = emulated ? DriverTable::openEmulated() : DriverTable::openReal();
  if (!table.ok())
    return table.status();
  // An engine for something else is refused by supports().
  if (options.target.substr(0, 3) == "sm_")
    NIBBLE_RETURN_IF_ERROR((*table)->selectMachine(options.target));
  auto context = CudaContext::create(*table, options.stream);
  if (!context.ok())
    return Status(context.status())
        .withContext("device " + std::string(emulated ? "emu" : "cuda") +
                     " with " + (*table)->path());
  return std::shared_ptr<Device>(
      std::make_shared<CudaDevice>(*context, options));
}
