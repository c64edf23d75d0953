// What is known of an address.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "device/cuda/DriverAbi.h"
#include "driver/Driver.h"

#include <cstring>

using namespace nibble::cuda;
using namespace nibble::emu;

namespace {
/// A block, or a variable of a module.
struct Known {
  bool any = false, host = false, managed = false;
  uint64_t begin = 0, bytes = 0, id = 0;
  CUcontext context = nullptr;
};
} // namespace

static Known lookUp(const Driver &driver, CUdeviceptr address,
                    const std::shared_ptr<Context> &current) {
  Known known;
  if (const Block *block = driver.blocks.find(address)) {
    known = {true,
             block->onHost(),
             block->kind == Block::Managed,
             block->begin,
             block->bytes,
             block->id,
             reinterpret_cast<CUcontext>(block->context.lock().get())};
  } else if (auto variable = driver.memory.find(address)) {
    known = {true,
             false,
             false,
             variable->begin,
             variable->end - variable->begin,
             0,
             reinterpret_cast<CUcontext>(current.get())};
  }
  return known;
}

template <typename T> static CUresult store(void *out, T value) {
  std::memcpy(out, &value, sizeof value);
  return CUDA_SUCCESS;
}

static CUresult answer(void *out, CUpointer_attribute attribute,
                       CUdeviceptr address, const Known &known) {
  switch (attribute) {
  case CU_POINTER_ATTRIBUTE_CONTEXT:
    return store(out, known.context);
  case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
    return store(out, !known.any   ? 0u
                      : known.host ? unsigned(CU_MEMORYTYPE_HOST)
                                   : unsigned(CU_MEMORYTYPE_DEVICE));
  case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
    return store(out, known.any ? address : 0);
  case CU_POINTER_ATTRIBUTE_HOST_POINTER:
    return store(out, known.host || known.managed ? address : 0);
  case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    return store(out, (unsigned long long)known.id);
  case CU_POINTER_ATTRIBUTE_IS_MANAGED:
    return store(out, unsigned(known.managed));
  case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
    return store(out, known.any ? 0 : -2);
  case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    return store(out, CUdeviceptr(known.begin));
  case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    return store(out, size_t(known.bytes));
  case CU_POINTER_ATTRIBUTE_MAPPED:
    return store(out, unsigned(known.any));
  }
  return refuse(CUDA_ERROR_NOT_SUPPORTED, "pointer attribute " +
                                              std::to_string(attribute) +
                                              " is not emulated");
}

CUresult nibble::cuda::cuPointerGetAttribute(void *out,
                                             CUpointer_attribute attribute,
                                             CUdeviceptr address) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    Known known = lookUp(driver, address, context);
    if (!out || !known.any)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "cuPointerGetAttribute: memory that the driver does not "
                    "know: " +
                        driver.memory.describe(address));
    return answer(out, attribute, address, known);
  });
}

CUresult nibble::cuda::cuPointerGetAttributes(unsigned count,
                                              CUpointer_attribute *attributes,
                                              void **out, CUdeviceptr address) {
  return withContext([&](Driver &driver, std::shared_ptr<Context> &context) {
    if (!attributes || !out || count == 0)
      return refuse(CUDA_ERROR_INVALID_VALUE,
                    "cuPointerGetAttributes: a null pointer, or no attribute");
    // Unknown memory is no error here; it gets zeros.
    Known known = lookUp(driver, address, context);
    for (unsigned i = 0; i < count; ++i)
      if (CUresult wrong = answer(out[i], attributes[i], address, known))
        return wrong;
    return CUDA_SUCCESS;
  });
}
