// Memory: allocations, copies, fills, variables.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "cudart/Call.h"
#include "cudart/Registry.h"

using namespace nibble::cuda;

extern "C" cudaError_t cudaMalloc(void **pointer, size_t bytes) {
  return call([&] {
    *pointer = nullptr;
    return bytes ? cuMemAlloc_v2(address(pointer), bytes) : CUDA_SUCCESS;
  });
}
NIBBLE_CUDART(cudaFree, (void *pointer),
              pointer ? cuMemFree_v2(address(pointer)) : CUDA_SUCCESS)
NIBBLE_CUDART(cudaMallocAsync, (void **pointer, size_t bytes, CUstream stream),
              cuMemAllocAsync(address(pointer), bytes, stream))
NIBBLE_CUDART(cudaFreeAsync, (void *pointer, CUstream stream),
              cuMemFreeAsync(address(pointer), stream))
NIBBLE_CUDART(cudaMallocManaged, (void **pointer, size_t bytes, unsigned flags),
              cuMemAllocManaged(address(pointer), bytes, flags))
NIBBLE_CUDART(cudaMallocPitch,
              (void **pointer, size_t *pitch, size_t width, size_t height),
              cuMemAllocPitch_v2(address(pointer), pitch, width, height, 4))
NIBBLE_CUDART(cudaMallocHost, (void **pointer, size_t bytes),
              cuMemAllocHost_v2(pointer, bytes))
NIBBLE_CUDART(cudaHostAlloc, (void **pointer, size_t bytes, unsigned flags),
              cuMemHostAlloc(pointer, bytes, flags))
NIBBLE_CUDART(cudaFreeHost, (void *pointer),
              pointer ? cuMemFreeHost(pointer) : CUDA_SUCCESS)
NIBBLE_CUDART(cudaHostRegister, (void *pointer, size_t bytes, unsigned flags),
              cuMemHostRegister_v2(pointer, bytes, flags))
NIBBLE_CUDART(cudaHostUnregister, (void *pointer), cuMemHostUnregister(pointer))
NIBBLE_CUDART(cudaHostGetDevicePointer,
              (void **device, void *host, unsigned flags),
              cuMemHostGetDevicePointer_v2(address(device), host, flags))
NIBBLE_CUDART(cudaMemGetInfo, (size_t *free, size_t *total),
              cuMemGetInfo_v2(free, total))

static bool isKind(cudaMemcpyKind kind) {
  return kind >= cudaMemcpyHostToHost && kind <= cudaMemcpyDefault;
}

static CUresult copy(void *to, const void *from, size_t bytes,
                     cudaMemcpyKind kind) {
  if (!isKind(kind))
    return CUresult(cudaErrorInvalidMemcpyDirection);
  switch (kind) {
  case cudaMemcpyHostToDevice:
    return cuMemcpyHtoD_v2(address(to), from, bytes);
  case cudaMemcpyDeviceToHost:
    return cuMemcpyDtoH_v2(to, address(from), bytes);
  case cudaMemcpyDeviceToDevice:
    return cuMemcpyDtoD_v2(address(to), address(from), bytes);
  default:
    return cuMemcpy(address(to), address(from), bytes);
  }
}

static CUresult copyAsync(void *to, const void *from, size_t bytes,
                          cudaMemcpyKind kind, CUstream stream) {
  if (!isKind(kind))
    return CUresult(cudaErrorInvalidMemcpyDirection);
  switch (kind) {
  case cudaMemcpyHostToDevice:
    return cuMemcpyHtoDAsync_v2(address(to), from, bytes, stream);
  case cudaMemcpyDeviceToHost:
    return cuMemcpyDtoHAsync_v2(to, address(from), bytes, stream);
  case cudaMemcpyDeviceToDevice:
    return cuMemcpyDtoDAsync_v2(address(to), address(from), bytes, stream);
  default:
    return cuMemcpyAsync(address(to), address(from), bytes, stream);
  }
}

NIBBLE_CUDART(cudaMemcpy,
              (void *to, const void *from, size_t bytes, cudaMemcpyKind kind),
              copy(to, from, bytes, kind))
NIBBLE_CUDART(cudaMemcpyAsync,
              (void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
               CUstream stream),
              copyAsync(to, from, bytes, kind, stream))

/// The driver's form of a copy of `rows` rows of `width` bytes.
static CUDA_MEMCPY2D planeCopy(void *to, size_t toPitch, const void *from,
                               size_t fromPitch, size_t width, size_t rows,
                               cudaMemcpyKind kind) {
  CUDA_MEMCPY2D plane = {};
  bool known = kind != cudaMemcpyDefault;
  bool fromHost =
      kind == cudaMemcpyHostToDevice || kind == cudaMemcpyHostToHost;
  bool toHost = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyHostToHost;
  CUmemorytype host = CU_MEMORYTYPE_HOST, device = CU_MEMORYTYPE_DEVICE;
  plane.srcMemoryType =
      !known ? CU_MEMORYTYPE_UNIFIED : (fromHost ? host : device);
  plane.dstMemoryType =
      !known ? CU_MEMORYTYPE_UNIFIED : (toHost ? host : device);
  plane.srcHost = from;
  plane.srcDevice = address(from);
  plane.srcPitch = fromPitch;
  plane.dstHost = to;
  plane.dstDevice = address(to);
  plane.dstPitch = toPitch;
  plane.WidthInBytes = width;
  plane.Height = rows;
  return plane;
}

static CUresult copyPlane(const CUDA_MEMCPY2D &plane, cudaMemcpyKind kind,
                          const CUstream *stream) {
  if (!isKind(kind))
    return CUresult(cudaErrorInvalidMemcpyDirection);
  if (plane.Height > 1 && (plane.WidthInBytes > plane.srcPitch ||
                           plane.WidthInBytes > plane.dstPitch))
    return CUresult(cudaErrorInvalidPitchValue);
  return stream ? cuMemcpy2DAsync_v2(&plane, *stream)
                : cuMemcpy2DUnaligned_v2(&plane);
}

NIBBLE_CUDART(cudaMemcpy2D,
              (void *to, size_t toPitch, const void *from, size_t fromPitch,
               size_t width, size_t rows, cudaMemcpyKind kind),
              copyPlane(planeCopy(to, toPitch, from, fromPitch, width, rows,
                                  kind),
                        kind, nullptr))
NIBBLE_CUDART(cudaMemcpy2DAsync,
              (void *to, size_t toPitch, const void *from, size_t fromPitch,
               size_t width, size_t rows, cudaMemcpyKind kind, CUstream stream),
              copyPlane(planeCopy(to, toPitch, from, fromPitch, width, rows,
                                  kind),
                        kind, &stream))

NIBBLE_CUDART(cudaMemset, (void *to, int value, size_t bytes),
              cuMemsetD8_v2(address(to), (unsigned char)(value), bytes))
NIBBLE_CUDART(cudaMemsetAsync,
              (void *to, int value, size_t bytes, CUstream stream),
              cuMemsetD8Async(address(to), (unsigned char)(value), bytes,
                              stream))
NIBBLE_CUDART(cudaMemset2D,
              (void *to, size_t pitch, int value, size_t width, size_t rows),
              cuMemsetD2D8_v2(address(to), pitch, (unsigned char)(value), width,
                              rows))
NIBBLE_CUDART(cudaMemset2DAsync,
              (void *to, size_t pitch, int value, size_t width, size_t rows,
               CUstream stream),
              cuMemsetD2D8Async(address(to), pitch, (unsigned char)(value),
                                width, rows, stream))

/// Runs `body` on the address of `bytes` bytes at `offset` of a variable.
template <typename Body>
static cudaError_t withVariable(const void *symbol, size_t offset, size_t bytes,
                                Body body) {
  return call([&]() -> CUresult {
    CUdeviceptr begin = 0;
    size_t size = 0;
    if (auto result = Registry::get().findVariable(symbol, begin, size))
      return CUresult(result);
    if (offset > size || bytes > size - offset)
      return CUDA_ERROR_INVALID_VALUE;
    return body(reinterpret_cast<char *>(begin) + offset, size);
  });
}

extern "C" cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from,
                                          size_t bytes, size_t offset,
                                          cudaMemcpyKind kind) {
  return withVariable(symbol, offset, bytes, [&](void *at, size_t) {
    return copy(at, from, bytes, kind);
  });
}

extern "C" cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol,
                                            size_t bytes, size_t offset,
                                            cudaMemcpyKind kind) {
  return withVariable(symbol, offset, bytes, [&](void *at, size_t) {
    return copy(to, at, bytes, kind);
  });
}

extern "C" cudaError_t
cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes,
                        size_t offset, cudaMemcpyKind kind, CUstream stream) {
  return withVariable(symbol, offset, bytes, [&](void *at, size_t) {
    return copyAsync(at, from, bytes, kind, stream);
  });
}

extern "C" cudaError_t cudaMemcpyFromSymbolAsync(void *to, const void *symbol,
                                                 size_t bytes, size_t offset,
                                                 cudaMemcpyKind kind,
                                                 CUstream stream) {
  return withVariable(symbol, offset, bytes, [&](void *at, size_t) {
    return copyAsync(to, at, bytes, kind, stream);
  });
}

extern "C" cudaError_t cudaGetSymbolAddress(void **pointer,
                                            const void *symbol) {
  return withVariable(symbol, 0, 0, [&](void *at, size_t) {
    *pointer = at;
    return CUDA_SUCCESS;
  });
}

extern "C" cudaError_t cudaGetSymbolSize(size_t *bytes, const void *symbol) {
  return withVariable(symbol, 0, 0, [&](void *, size_t size) {
    *bytes = size;
    return CUDA_SUCCESS;
  });
}

static CUresult describe(cudaPointerAttributes &to, const void *pointer) {
  unsigned type = 0;
  int managed = 0;
  to = {};
  if (cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                            address(pointer))) {
    to.device = -2; // as the runtime says of memory that it does not know
    to.hostPointer = const_cast<void *>(pointer);
    return CUDA_SUCCESS;
  }
  cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                        address(pointer));
  to.type = managed                      ? cudaMemoryTypeManaged
            : type == CU_MEMORYTYPE_HOST ? cudaMemoryTypeHost
                                         : cudaMemoryTypeDevice;
  to.device = currentDevice();
  to.devicePointer = const_cast<void *>(pointer);
  to.hostPointer = to.type == cudaMemoryTypeDevice ? nullptr : to.devicePointer;
  return CUDA_SUCCESS;
}

NIBBLE_CUDART(cudaPointerGetAttributes,
              (cudaPointerAttributes * attributes, const void *pointer),
              describe(*attributes, pointer))
