// A program of the CUDA runtime API that checks itself: launches, variables,
// copies, streams, events, graphs, clusters, errors. Exit code 0: all is well.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include <cooperative_groups.h>
#include <cstdio>
#include <string>
#include <cuda_runtime.h>
#include <vector>

static int failures = 0;
#define CHECK(CONDITION)                                                       \
  do {                                                                         \
    if (!(CONDITION)) {                                                        \
      std::printf("%s:%d: %s\n", __FILE__, __LINE__, #CONDITION);              \
      ++failures;                                                              \
    }                                                                          \
  } while (0)
#define OK(CALL) CHECK((CALL) == cudaSuccess)

__constant__ float scale[4];
__device__ int counter;
__managed__ int managed = 7;

__global__ void scaleAll(float *data, int n, int which) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) {
    data[i] *= scale[which];
    atomicAdd(&counter, 1);
  }
}

/// Each CTA of a cluster of 4 writes the rank of its neighbour.
__global__ void neighbours(int *out) {
  __shared__ int mine;
  auto cluster = cooperative_groups::this_cluster();
  mine = int(cluster.block_rank());
  cluster.sync();
  out[blockIdx.x] = *cluster.map_shared_rank(&mine, (mine + 1) % 4);
  cluster.sync();
}

__global__ void useManaged() { managed += 35; }

extern __shared__ int dynamicShared[];
__global__ void large(int *out, int n) {
  for (int i = threadIdx.x; i < n; i += blockDim.x)
    dynamicShared[i] = i;
  __syncthreads();
  if (threadIdx.x == 0)
    *out = dynamicShared[n - 1];
}

static void launches() {
  const int n = 1003;
  std::vector<float> host(n);
  for (int i = 0; i < n; ++i)
    host[i] = float(i) - 500;
  float factors[4] = {1, -2, 0.5f, 3};
  float *device = nullptr;
  OK(cudaMalloc(&device, n * sizeof(float)));
  OK(cudaMemcpy(device, host.data(), n * sizeof(float), cudaMemcpyHostToDevice));
  OK(cudaMemcpyToSymbol(scale, factors, sizeof(factors)));
  scaleAll<<<(n + 127) / 128, 128>>>(device, n, 1);
  OK(cudaGetLastError());
  std::vector<float> back(n);
  OK(cudaMemcpy(back.data(), device, n * sizeof(float), cudaMemcpyDefault));
  for (int i = 0; i < n; ++i)
    CHECK(back[i] == host[i] * -2);
  int seen = 0;
  OK(cudaMemcpyFromSymbol(&seen, counter, sizeof(seen)));
  CHECK(seen == n);
  OK(cudaFree(device));
}

static void clusters() {
  int *out = nullptr;
  OK(cudaMallocManaged(&out, 8 * sizeof(int)));
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {4, 1, 1};
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(8);
  config.blockDim = dim3(1);
  config.attrs = &attribute;
  config.numAttrs = 1;
  OK(cudaLaunchKernelEx(&config, neighbours, out));
  OK(cudaDeviceSynchronize());
  for (int i = 0; i < 8; ++i)
    CHECK(out[i] == (i + 1) % 4);
  OK(cudaFree(out));
  useManaged<<<1, 1>>>();
  OK(cudaDeviceSynchronize());
  CHECK(managed == 42);
}

static void streamsAndGraphs() {
  const int n = 64;
  float *device = nullptr, host[n];
  float factors[4] = {1, -2, 0.5f, 3};
  cudaStream_t stream;
  cudaEvent_t begin, end;
  OK(cudaMemcpyToSymbol(scale, factors, sizeof(factors)));
  OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OK(cudaEventCreate(&begin));
  OK(cudaEventCreate(&end));
  OK(cudaMalloc(&device, sizeof(host)));
  OK(cudaMemsetAsync(device, 0, sizeof(host), stream));
  for (float &x : host)
    x = 2;
  OK(cudaMemcpyAsync(device, host, sizeof(host), cudaMemcpyHostToDevice, stream));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  scaleAll<<<1, n, 0, stream>>>(device, n, 3);
  OK(cudaStreamEndCapture(stream, &graph));
  OK(cudaGraphInstantiate(&exec, graph, 0));
  OK(cudaEventRecord(begin, stream));
  OK(cudaGraphLaunch(exec, stream));
  OK(cudaGraphLaunch(exec, stream));
  OK(cudaEventRecord(end, stream));
  OK(cudaMemcpyAsync(host, device, sizeof(host), cudaMemcpyDeviceToHost, stream));
  OK(cudaStreamSynchronize(stream));
  for (float x : host)
    CHECK(x == 18);
  float milliseconds = -1;
  OK(cudaEventElapsedTime(&milliseconds, begin, end));
  CHECK(milliseconds >= 0);
  OK(cudaGraphExecDestroy(exec));
  OK(cudaGraphDestroy(graph));
  OK(cudaEventDestroy(begin));
  OK(cudaEventDestroy(end));
  OK(cudaStreamDestroy(stream));
  OK(cudaFree(device));
}

static void planes() {
  char from[3][5] = {"abcd", "efgh", "ijkl"}, to[3][8] = {};
  char *device = nullptr;
  size_t pitch = 0;
  OK(cudaMallocPitch(&device, &pitch, 4, 3));
  CHECK(pitch >= 4);
  OK(cudaMemcpy2D(device, pitch, from, 5, 4, 3, cudaMemcpyHostToDevice));
  OK(cudaMemcpy2D(to, 8, device, pitch, 4, 3, cudaMemcpyDeviceToHost));
  CHECK(to[2][3] == 'l' && to[1][0] == 'e' && to[0][4] == 0);
  CHECK(cudaMemcpy2D(to, 2, device, pitch, 4, 3, cudaMemcpyDeviceToHost) ==
        cudaErrorInvalidPitchValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidPitchValue);
  OK(cudaGetLastError());
  OK(cudaFree(device));
}

static void sharedMemory() {
  int *out = nullptr;
  OK(cudaMalloc(&out, sizeof(int)));
  const int n = 25000; // 100 KB
  large<<<1, 64, n * 4>>>(out, n);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  OK(cudaFuncSetAttribute(large, cudaFuncAttributeMaxDynamicSharedMemorySize,
                          n * 4));
  large<<<1, 64, n * 4>>>(out, n);
  OK(cudaGetLastError());
  int got = 0;
  OK(cudaMemcpy(&got, out, sizeof(got), cudaMemcpyDeviceToHost));
  CHECK(got == n - 1);
  int blocks = 0;
  OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, large, 64, n * 4));
  CHECK(blocks == 2);
  cudaFuncAttributes attributes;
  OK(cudaFuncGetAttributes(&attributes, large));
  CHECK(attributes.maxDynamicSharedSizeBytes == n * 4);
  OK(cudaFree(out));
}

static void properties() {
  cudaDeviceProp properties;
  int device = -1, value = 0;
  OK(cudaGetDevice(&device));
  OK(cudaGetDeviceProperties(&properties, device));
  OK(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, device));
  CHECK(properties.multiProcessorCount == value && value > 0);
  CHECK(properties.major >= 9 && properties.warpSize == 32);
  CHECK(properties.sharedMemPerBlockOptin == 227 * 1024);
  CHECK(properties.clusterLaunch == 1);
  cudaPointerAttributes attributes;
  int local = 0, *memory = nullptr;
  OK(cudaMalloc(&memory, 4));
  OK(cudaPointerGetAttributes(&attributes, memory));
  CHECK(attributes.type == cudaMemoryTypeDevice);
  OK(cudaPointerGetAttributes(&attributes, &local));
  CHECK(attributes.type == cudaMemoryTypeUnregistered);
  OK(cudaFree(memory));
}

static void errors() {
  scaleAll<<<1, 2000>>>(nullptr, 0, 0);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaSetDevice(99) == cudaErrorInvalidDevice);
  CHECK(cudaGetLastError() == cudaErrorInvalidDevice);
  void *pointer = nullptr;
  CHECK(cudaMalloc(&pointer, size_t(1) << 60) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  int x = 0;
  CHECK(cudaMemcpyToSymbol(&x, &x, sizeof(x)) == cudaErrorInvalidSymbol);
  CHECK(cudaGetLastError() == cudaErrorInvalidSymbol);
  CHECK(std::string(cudaGetErrorName(cudaErrorInvalidSymbol)) ==
        "cudaErrorInvalidSymbol");
}

/// Comes last: the context is lost then.
static void faults() {
  scaleAll<<<1, 32>>>(reinterpret_cast<float *>(64), 32, 0);
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);
}

int main() {
  launches();
  if (failures)
    return 1; // nothing else would work
  clusters();
  streamsAndGraphs();
  planes();
  sharedMemory();
  properties();
  errors();
  faults();
  std::printf("%d failures\n", failures);
  return failures != 0;
}
