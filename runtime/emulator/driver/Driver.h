// The state of the emulated driver, and what every one of its functions does
// first. SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
// Work of streams is done when it is issued, by the thread that issues it; one
// piece at a time (`Driver::work`). So streams are ordered, and a
// synchronization never waits. `Driver::state` guards everything else; a thread
// that holds it never waits for `work`.
#ifndef NIBBLE_RT_EMULATOR_DRIVER_DRIVER_H
#define NIBBLE_RT_EMULATOR_DRIVER_DRIVER_H

#include "driver/Blocks.h"
#include "driver/LaunchReport.h"
#include "driver/Target.h"

#include <mutex>

namespace nibble {
namespace emu {

class Driver {
public:
  /// The one of this process. Never destroyed: programs call at exit.
  static Driver &get();

  std::recursive_mutex state;
  std::mutex work;

  bool initialized = false;
  std::string selected; ///< by nibbleEmuSelect
  Options options;
  LaunchReport report; ///< `work` guards it
  GlobalMemory memory;
  Blocks blocks{memory};
  std::shared_ptr<Context> primary = std::make_shared<Context>();
  Handles<Context> contexts;
  Handles<LoadedModule> modules;
  Handles<Library> libraries;
  Handles<Kernel> kernels;
  Handles<Function> functions;
  Handles<Stream> streams;
  Handles<Event> events;
  Handles<Graph> graphs;
  Handles<Node> nodes;
  Handles<GraphExec> execs;
  std::atomic<uint64_t> launches{0}, ids{1};
  /// Of the first kernel that left the process without a usable device.
  std::atomic<cuda::CUresult> lost{cuda::CUDA_SUCCESS};

  /// CUDA_SUCCESS, or NO_DEVICE with the reason on stderr.
  cuda::CUresult initialize();
  /// Ends everything that belongs to a context.
  void clear(Context &context);
  /// The stream of a handle; 0, 1 and 2 are built in. Null if there is none.
  std::shared_ptr<Stream> findStream(const Context &context,
                                     cuda::CUstream handle);
  /// Invalidates the captures that this call would break: those that are not
  /// relaxed, of this thread or, in global mode, of any. True if there are any.
  bool breaksCapture();
  void invalidate(Capture &capture) { capture.invalid = true; }
  /// An address range that lies within one allocation.
  bool contains(uint64_t address, uint64_t bytes) const;

private:
  Driver() = default;
  std::map<std::pair<const Context *, unsigned>, std::shared_ptr<Stream>>
      builtIn;
};

/// What belongs to a thread of the program.
struct ThreadState {
  std::vector<std::shared_ptr<Context>> stack; ///< the current one last
  std::string lastText;                        ///< why a call failed
  std::string handedOut;                       ///< by nibbleEmuLastFault
  cuda::CUstreamCaptureMode mode = cuda::CU_STREAM_CAPTURE_MODE_GLOBAL;
};
ThreadState &thread();

/// `result`, with words for nibbleEmuLastFault.
cuda::CUresult refuse(cuda::CUresult result, const std::string &why);
/// The same for a fault of the program: always also on stderr.
cuda::CUresult reportFault(cuda::CUresult result, const std::string &why);

/// What no reset mends: after most faults every call gives the fault until the
/// process ends, as with the driver. Only an assertion costs just its context.
cuda::CUresult checkLost(const Driver &driver);

/// The current context, or why there is none: NOT_INITIALIZED,
/// INVALID_CONTEXT, CONTEXT_IS_DESTROYED, or its sticky fault.
cuda::CUresult current(std::shared_ptr<Context> &context);

/// Runs the body of a function that needs `cuInit`, with the state locked.
/// Nothing is thrown out of a driver.
template <typename Body> cuda::CUresult withDriver(Body body) noexcept {
  try {
    Driver &driver = Driver::get();
    std::lock_guard lock(driver.state);
    if (!driver.initialized)
      return refuse(cuda::CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called");
    return body(driver);
  } catch (const std::bad_alloc &) {
    return cuda::CUDA_ERROR_OUT_OF_MEMORY;
  } catch (...) {
    return cuda::CUDA_ERROR_UNKNOWN;
  }
}

/// The same for one that also needs a current context without a fault.
template <typename Body> cuda::CUresult withContext(Body body) noexcept {
  return withDriver([&](Driver &driver) {
    std::shared_ptr<Context> context;
    if (cuda::CUresult result = current(context))
      return result;
    return body(driver, context);
  });
}

/// The same without a lock, for functions that do work: body(driver, context)
/// takes the locks that it needs.
template <typename Body> cuda::CUresult withWork(Body body) noexcept {
  try {
    Driver &driver = Driver::get();
    std::shared_ptr<Context> context;
    {
      std::lock_guard lock(driver.state);
      if (cuda::CUresult result = current(context))
        return result;
    }
    return body(driver, context);
  } catch (const std::bad_alloc &) {
    return cuda::CUDA_ERROR_OUT_OF_MEMORY;
  } catch (...) {
    return cuda::CUDA_ERROR_UNKNOWN;
  }
}

/// Issues work to a stream: appended to its graph if it captures, else done.
cuda::CUresult submit(Driver &driver, const std::shared_ptr<Context> &context,
                      cuda::CUstream stream, Work work);
/// Does work now. Takes Driver::work.
cuda::CUresult execute(Driver &driver, Context &context, const Work &work);
/// Whether a copy or a fill touches memory that exists. "" or what is wrong.
std::string checkWork(const Driver &driver, const CopyWork &copy);
std::string checkWork(const Driver &driver, const FillWork &fill);

/// One side of a copy, `offset` bytes behind the address that its kind tells.
/// False for arrays and unknown kinds.
bool makeSide(const Driver &driver, cuda::CUmemorytype type,
              const void *hostAddress, cuda::CUdeviceptr deviceAddress,
              uint64_t offset, uint64_t pitch, CopyWork::Side &side);

/// A launch as work. Refuses what a device refuses.
cuda::CUresult prepareLaunch(Driver &driver, cuda::CUfunction function,
                             const cuda::CUlaunchConfig &config,
                             void **kernelParams, void **extra,
                             KernelWork &work);
/// The function of a CUfunction or of a CUkernel in its place.
std::shared_ptr<Function> findFunction(Driver &driver, cuda::CUfunction handle);
/// Runs `body` on a function; refused without one, or if the arguments of the
/// call `name` are not `valid`, with `why`.
template <typename Body>
cuda::CUresult onFunction(Driver &driver, const char *name,
                          cuda::CUfunction handle, bool valid, const char *why,
                          Body body) {
  auto function = findFunction(driver, handle);
  if (!function)
    return refuse(cuda::CUDA_ERROR_INVALID_HANDLE,
                  std::string(name) + ": there is no such function");
  if (!valid)
    return refuse(cuda::CUDA_ERROR_INVALID_VALUE,
                  std::string(name) + ": " + why);
  return body(driver, *function);
}
/// CTAs of `threads` threads that a multiprocessor holds at a time.
int blocksPerSm(const Target &target, const Function &function,
                uint64_t threads, uint64_t dynamicShared);
/// Registers of a thread as far as launch bounds limit them: PTX has no
/// physical registers.
int registersOf(const Code &code);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_DRIVER_H
