// Limits of contexts.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

using namespace nibble::cuda;
using namespace nibble::emu;

namespace {
struct Limit {
  int id;
  size_t value;
};
} // namespace
/// Those that mean something here; kernels have as much stack as they need.
static constexpr Limit kLimits[] = {{CU_LIMIT_STACK_SIZE, 1024},
                                    {CU_LIMIT_PRINTF_FIFO_SIZE, 7 << 20},
                                    {CU_LIMIT_MALLOC_HEAP_SIZE, 8 << 20},
                                    {CU_LIMIT_MAX_L2_FETCH_GRANULARITY, 64},
                                    {CU_LIMIT_PERSISTING_L2_CACHE_SIZE, 0}};

template <typename Body> static CUresult withLimit(CUlimit limit, Body body) {
  return withContext([&](Driver &, std::shared_ptr<Context> &context) {
    for (const Limit &known : kLimits)
      if (known.id == limit) {
        auto place = context->limits.emplace(known.id, known.value).first;
        body(place->second);
        return CUDA_SUCCESS;
      }
    return refuse(CUDA_ERROR_UNSUPPORTED_LIMIT,
                  "limit " + std::to_string(limit) + " is not emulated");
  });
}

CUresult nibble::cuda::cuCtxGetLimit(size_t *value, CUlimit limit) {
  if (!value)
    return refuse(CUDA_ERROR_INVALID_VALUE, "cuCtxGetLimit: a null pointer");
  return withLimit(limit, [&](size_t &stored) { *value = stored; });
}

CUresult nibble::cuda::cuCtxSetLimit(CUlimit limit, size_t value) {
  return withLimit(limit, [&](size_t &stored) { stored = value; });
}
