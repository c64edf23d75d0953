// The state of the emulated driver.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Driver.h"

#include <cstdio>
#include <unistd.h>

using namespace nibble::cuda;
using namespace nibble::emu;

Driver &Driver::get() {
  static Driver *driver = new Driver();
  return *driver;
}

namespace {
/// The main thread keeps its state to the very end: programs free memory in
/// destructors that run after those of its thread-local objects.
struct StateOwner {
  ThreadState *state = new ThreadState();
  ~StateOwner() {
    if (::gettid() == ::getpid())
      return;
    delete state;
    state = nullptr;
  }
};
} // namespace

ThreadState &nibble::emu::thread() {
  static thread_local StateOwner owner;
  return *owner.state;
}

CUresult nibble::emu::refuse(CUresult result, const std::string &why) {
  thread().lastText = why;
  if (Driver::get().options.verbose)
    std::fprintf(stderr, "nibble-emu: refused: %s\n", why.c_str());
  return result;
}

CUresult nibble::emu::reportFault(CUresult result, const std::string &why) {
  thread().lastText = why;
  std::fprintf(stderr, "nibble-emu: fault: %s\n", why.c_str());
  return result;
}

CUresult Driver::initialize() {
  if (initialized)
    return CUDA_SUCCESS;
  if (std::string wrong = readOptions(selected, options); !wrong.empty())
    return reportFault(CUDA_ERROR_NO_DEVICE, wrong);
  if (!options.report.empty() && !report.isOpen())
    if (std::string wrong = report.open(options.report, options.target->arch);
        !wrong.empty())
      return reportFault(CUDA_ERROR_NO_DEVICE, wrong);
  blocks.limit = options.memory;
  primary->primary = true;
  primary->alive = false;
  primary->id = ids++;
  CUcontext handle;
  contexts.put(primary, &handle);
  initialized = true;
  return CUDA_SUCCESS;
}

void Driver::clear(Context &context) {
  auto mine = [&](auto &object) {
    return object.context.lock().get() == &context;
  };
  functions.eraseIf([&](Function &function) {
    auto owner = function.owner.lock();
    return !owner || mine(*owner);
  });
  execs.eraseIf(mine);
  modules.eraseIf(mine);
  streams.eraseIf(mine);
  events.eraseIf(mine);
  for (auto it = builtIn.begin(); it != builtIn.end();)
    it = it->first.first == &context ? builtIn.erase(it) : std::next(it);
  blocks.purge(context);
  context.sticky = CUDA_SUCCESS;
  context.limits.clear();
}

CUresult nibble::emu::checkLost(const Driver &driver) {
  return driver.lost ? refuse(driver.lost, "a kernel failed before; only a new "
                                           "process can use the device again")
                     : CUDA_SUCCESS;
}

CUresult nibble::emu::current(std::shared_ptr<Context> &context) {
  if (!Driver::get().initialized)
    return refuse(CUDA_ERROR_NOT_INITIALIZED, "cuInit was not called");
  auto &stack = thread().stack;
  if (stack.empty() || !stack.back())
    return refuse(CUDA_ERROR_INVALID_CONTEXT,
                  "this thread has no current context: cuCtxSetCurrent");
  context = stack.back();
  if (!context->alive)
    return refuse(CUDA_ERROR_CONTEXT_IS_DESTROYED,
                  "the current context was destroyed");
  if (context->sticky)
    return refuse(context->sticky, context->faultText);
  return checkLost(Driver::get());
}

std::shared_ptr<Stream> Driver::findStream(const Context &context,
                                           CUstream handle) {
  auto number = uintptr_t(handle);
  if (number > 2)
    return streams.find(handle);
  unsigned which = number == 2 ? 2 : 1;
  auto &stream = builtIn[{&context, which}];
  if (!stream) {
    stream = std::make_shared<Stream>();
    stream->builtIn = true;
    stream->id = which;
    stream->context = contexts.find(&context);
  }
  return stream;
}

bool Driver::breaksCapture() {
  bool breaks = false;
  if (thread().mode == CU_STREAM_CAPTURE_MODE_RELAXED)
    return false;
  streams.each([&](Stream &stream) {
    Capture *capture = stream.capture.get();
    if (!capture || capture->mode == CU_STREAM_CAPTURE_MODE_RELAXED)
      return;
    bool own = capture->thread == &thread();
    if (!own && (capture->mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL ||
                 thread().mode == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
      return;
    invalidate(*capture);
    breaks = true;
  });
  return breaks;
}

bool Driver::contains(uint64_t address, uint64_t bytes) const {
  auto allocation = memory.find(address);
  return allocation && bytes <= allocation->end - address;
}
