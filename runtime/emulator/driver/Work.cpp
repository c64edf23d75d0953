// What streams and graphs do: kernels, copies, fills.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "driver/Driver.h"

#include <algorithm>
#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

static void perform(const CopyWork &copy) {
  for (uint64_t z = 0; z < copy.depth; ++z)
    for (uint64_t y = 0; y < copy.height; ++y) {
      auto at = [&](const CopyWork::Side &side) {
        return reinterpret_cast<void *>(side.address + z * side.slice +
                                        y * side.pitch);
      };
      if (copy.width)
        std::memmove(at(copy.to), at(copy.from), copy.width);
    }
}

template <typename T> static void fillRows(const FillWork &fill) {
  for (uint64_t y = 0; y < fill.height; ++y)
    std::fill_n(reinterpret_cast<T *>(fill.address + y * fill.pitch),
                fill.width, T(fill.value));
}

static void perform(const FillWork &fill) {
  if (fill.elementBytes == 1)
    fillRows<uint8_t>(fill);
  else if (fill.elementBytes == 2)
    fillRows<uint16_t>(fill);
  else
    fillRows<uint32_t>(fill);
}

static CUresult resultOf(FaultKind kind) {
  switch (kind) {
  case FaultKind::Address:
    return CUDA_ERROR_ILLEGAL_ADDRESS;
  case FaultKind::Misaligned:
    return CUDA_ERROR_MISALIGNED_ADDRESS;
  case FaultKind::IllegalInstruction:
    return CUDA_ERROR_ILLEGAL_INSTRUCTION;
  case FaultKind::Assert:
    return CUDA_ERROR_ASSERT;
  case FaultKind::Deadlock:
    return CUDA_ERROR_LAUNCH_TIMEOUT;
  case FaultKind::TensorLeak:
    return CUDA_ERROR_TENSOR_MEMORY_LEAK;
  default:
    return CUDA_ERROR_LAUNCH_FAILED;
  }
}

/// A fault is told by the next call, as on a device.
static CUresult fail(Driver &driver, Context &context, CUresult result,
                     const std::string &text) {
  reportFault(result, text);
  std::lock_guard lock(driver.state);
  context.sticky = result;
  context.faultText = text;
  if (!driver.lost)
    driver.lost = result;
  return CUDA_SUCCESS;
}

static CUresult finish(Driver &driver, Context &context, FaultKind kind,
                       const std::string &text) {
  if (text.empty())
    return CUDA_SUCCESS;
  if (kind == FaultKind::None)
    return refuse(CUDA_ERROR_INVALID_VALUE, text);
  return fail(driver, context, resultOf(kind), text);
}

static CUresult run(Driver &driver, Context &context, const KernelWork &work) {
  Module::LaunchConfig config;
  config.grid = work.grid;
  config.block = work.block;
  config.cluster = work.cluster;
  config.dynamicShared = work.dynamicShared;
  uint64_t launch = driver.launches++;
  config.seed = driver.options.seed + launch;
  config.threads = driver.options.threads;
  Counters counters;
  Traffic traffic;
  if (driver.report.isOpen())
    config.traffic = &traffic;
  FaultKind kind = FaultKind::None;
  std::string text = work.module->module.launch(
      *work.function->kernel, config, work.params.data(), counters, &kind);
  if (driver.report.isOpen())
    if (std::string wrong = driver.report.write(work, launch, config.seed,
                                                counters, traffic, text);
        !wrong.empty())
      return fail(driver, context, CUDA_ERROR_OPERATING_SYSTEM, wrong);
  return finish(driver, context, kind, text);
}

template <typename T>
static CUresult checked(Driver &driver, Context &context, const T &work) {
  // Memory of a graph may have gone since.
  if (std::string wrong = checkWork(driver, work); !wrong.empty())
    return fail(driver, context, CUDA_ERROR_ILLEGAL_ADDRESS, wrong);
  perform(work);
  return CUDA_SUCCESS;
}

CUresult nibble::emu::execute(Driver &driver, Context &context,
                              const Work &work) {
  std::lock_guard lock(driver.work);
  if (auto *kernel = std::get_if<KernelWork>(&work))
    return run(driver, context, *kernel);
  if (auto *copy = std::get_if<CopyWork>(&work))
    return checked(driver, context, *copy);
  if (auto *fill = std::get_if<FillWork>(&work))
    return checked(driver, context, *fill);
  if (auto *host = std::get_if<HostWork>(&work))
    host->function(host->data);
  return CUDA_SUCCESS;
}

/// The legacy stream waits for all blocking streams, which a capture cannot.
static CUresult checkLegacy(Driver &driver, const Context &context) {
  bool implicit = false;
  driver.streams.each([&](Stream &stream) {
    if (stream.capture && !(stream.flags & CU_STREAM_NON_BLOCKING) &&
        stream.context.lock().get() == &context) {
      driver.invalidate(*stream.capture);
      implicit = true;
    }
  });
  if (!implicit)
    return CUDA_SUCCESS;
  return refuse(CUDA_ERROR_STREAM_CAPTURE_IMPLICIT,
                "work on the legacy stream while a blocking stream captures");
}

CUresult nibble::emu::submit(Driver &driver,
                             const std::shared_ptr<Context> &context,
                             CUstream handle, Work work) {
  {
    std::lock_guard lock(driver.state);
    auto stream = driver.findStream(*context, handle);
    if (!stream || stream->context.lock() != context)
      return refuse(CUDA_ERROR_INVALID_HANDLE,
                    "there is no such stream in the current context");
    if (stream->capture) {
      if (stream->capture->invalid)
        return refuse(CUDA_ERROR_STREAM_CAPTURE_INVALIDATED,
                      "the capture failed before");
      auto node = std::make_shared<Node>();
      node->graph = stream->capture->graph.get();
      node->work = std::move(work);
      node->after = stream->last;
      stream->last = {node.get()};
      stream->capture->graph->nodes.push_back(std::move(node));
      return CUDA_SUCCESS;
    }
    if (stream->builtIn && stream->id == 1)
      if (CUresult wrong = checkLegacy(driver, *context))
        return wrong;
  }
  return execute(driver, *context, work);
}
