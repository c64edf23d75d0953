// The device behind a CUDA driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// One context (the primary one), one stream. Everything is enqueued to that
// stream, so launches and copies are ordered as they are issued, by whatever
// thread. The same code runs on the real and on the emulated driver.
#ifndef NIBBLE_RT_DEVICE_CUDA_CUDADEVICE_H
#define NIBBLE_RT_DEVICE_CUDA_CUDADEVICE_H

#include "DriverTable.h"

#include "nibble/rt/device.h"

#include <mutex>
#include <vector>

namespace nibble {
namespace cuda {

/// A context with a stream, and the functions to use them.
class CudaContext {
public:
  /// `stream`: of the caller, or null.
  static rt::Result<std::shared_ptr<CudaContext>>
  create(std::shared_ptr<const DriverTable> table, void *stream);
  ~CudaContext();

  const DriverTable &driver() const { return *table; }
  CUstream stream() const { return theStream; }
  int attribute(CUdevice_attribute which) const;
  /// "sm_90a".
  std::string arch() const;
  std::string deviceName() const;
  rt::Status check(CUresult result, const std::string &what) const {
    return table->check(result, what);
  }
  /// The same where it is called for every run: no string is made unless it
  /// failed. `bytes` follow `what` if they are given.
  rt::Status check(CUresult result, const char *what) const {
    return result ? table->check(result, what) : rt::Status();
  }
  rt::Status check(CUresult result, const char *what, uint64_t bytes) const;

  /// Makes the context current on this thread while it lives.
  class Current {
  public:
    explicit Current(CudaContext &context);
    ~Current();
    Current(const Current &) = delete;

  private:
    CudaContext &context;
  };

  /// The same, and keeps other threads from the stream: what they issue must
  /// not fall into a recording.
  class Use {
  public:
    explicit Use(CudaContext &context)
        : lock(context.mutex), current(context) {}

  private:
    std::lock_guard<std::recursive_mutex> lock;
    Current current;
  };

private:
  explicit CudaContext(std::shared_ptr<const DriverTable> table)
      : table(std::move(table)) {}
  rt::Status open(void *stream);

  std::shared_ptr<const DriverTable> table;
  CUdevice device = 0;
  CUcontext context = nullptr;
  CUstream theStream = nullptr;
  bool ownsStream = false;
  std::recursive_mutex mutex;
};

/// A kernel as Device::launch gets it. Attributes are raised when a launch
/// needs more than the default.
struct CudaKernel {
  CUfunction function = nullptr;
  std::string symbol;
  std::vector<uint64_t> paramBytes; ///< of each parameter, in order
  uint32_t shared = 0;              ///< dynamic bytes that are allowed
  bool nonPortableCluster = false;
};

/// Loads PTX (compiled by the driver) or a cubin.
rt::Result<std::unique_ptr<rt::Module>>
loadCudaModule(std::shared_ptr<CudaContext> context, rt::CodeKind kind,
               const std::string &name, const void *data, uint64_t size);

/// Enqueues a kernel as its metadata says. Tensor maps are encoded here, for
/// the addresses at hand.
rt::Status launchCuda(CudaContext &context, const rt::LaunchParams &params);

class CudaDevice final : public rt::Device {
public:
  CudaDevice(std::shared_ptr<CudaContext> context,
             const rt::DeviceOptions &options)
      : context(std::move(context)), graphs(options.graphs) {}

  const char *name() const override;
  std::string description() const override;
  rt::DeviceLimits limits() const override;
  rt::Status supports(const rt::EngineInfo &engine) const override;
  bool hostAccessible() const override { return false; }

  rt::Result<void *> allocate(uint64_t bytes) override;
  void release(void *memory, uint64_t bytes) override;
  rt::Status copyIn(void *to, const void *from, uint64_t bytes) override;
  rt::Status copyOut(void *to, const void *from, uint64_t bytes) override;
  rt::Status copy(void *to, const void *from, uint64_t bytes) override;
  rt::Result<void *> allocateHost(uint64_t bytes) override;
  void releaseHost(void *memory, uint64_t bytes) override;
  rt::Status enqueueCopyIn(void *to, const void *from, uint64_t bytes) override;
  rt::Status enqueueCopyOut(void *to, const void *from,
                            uint64_t bytes) override;
  rt::Result<void *> importConstant(const void *mapped,
                                    uint64_t bytes) override;
  void releaseConstant(void *address, uint64_t bytes) override;

  rt::Result<std::unique_ptr<rt::Module>> loadModule(rt::CodeKind kind,
                                                     const std::string &name,
                                                     const void *data,
                                                     uint64_t size) override;
  rt::Status launch(const rt::LaunchParams &params) override;
  rt::Status synchronize() override;
  bool canRecord() const override { return graphs; }
  rt::Result<std::unique_ptr<rt::Recording>>
  record(const std::function<rt::Status()> &issue) override;
  rt::Status fill(void *to, uint8_t byte, uint64_t bytes) override;
  rt::Result<double> time(const std::function<rt::Status()> &issue) override;
  rt::Result<std::unique_ptr<rt::Timeline>>
  createTimeline(size_t points) override;
  uint64_t cacheBytes() const override;

private:
  std::shared_ptr<CudaContext> context;
  bool graphs;
};

} // namespace cuda
} // namespace nibble

#endif // NIBBLE_RT_DEVICE_CUDA_CUDADEVICE_H
