// RMS norm of bf16 rows: a block that reduces its row against threads that add sums of tiles made before.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   nvcc -arch=sm_90a -O3 --extended-lambda scripts/bench-norm-statistics.cu -o bench && ./bench
//
// Prints columns, rows, microseconds of a launch (in a graph of 200) of both, and their ratio: the numbers behind
// include/nibble/KernelSelect/RowStatistics.h. Making the sums is not part of it.
#include <algorithm>
#include <cstdio>
#include <cuda_bf16.h>

using bf16 = __nv_bfloat16;

__device__ void load(const bf16 *p, float *v) {
  uint4 bits = *reinterpret_cast<const uint4 *>(p);
  const bf16 *b = reinterpret_cast<const bf16 *>(&bits);
#pragma unroll
  for (int i = 0; i < 8; i++)
    v[i] = b[i];
}

__device__ void store(bf16 *p, const float *v, float factor) {
  uint4 bits;
  bf16 *b = reinterpret_cast<bf16 *>(&bits);
#pragma unroll
  for (int i = 0; i < 8; i++)
    b[i] = bf16(v[i] * factor);
  *reinterpret_cast<uint4 *>(p) = bits;
}

__device__ float sumOfWarp(float s) {
  for (int o = 16; o; o /= 2)
    s += __shfl_xor_sync(~0u, s, o);
  return s;
}

/// A block per row, `vectors` times 8 elements per thread.
template <int vectors>
__global__ void rows(const bf16 *x, bf16 *y, int columns) {
  __shared__ float warps[32];
  float v[vectors * 8], s = 0;
  int t = threadIdx.x, d = blockDim.x;
  long o = (long)blockIdx.x * columns;
#pragma unroll
  for (int j = 0; j < vectors; j++)
    load(x + o + (j * d + t) * 8, v + j * 8);
#pragma unroll
  for (int i = 0; i < vectors * 8; i++)
    s += v[i] * v[i];
  s = sumOfWarp(s);
  if (t % 32 == 0)
    warps[t / 32] = s;
  __syncthreads();
  s = sumOfWarp(t % 32 < d / 32 ? warps[t % 32] : 0.f);
  float r = rsqrtf(s / columns + 1e-6f);
#pragma unroll
  for (int j = 0; j < vectors; j++)
    store(y + o + (j * d + t) * 8, v + j * 8, r);
}

/// 1024 columns of a row per block; the row's sums of 128 columns are `sums`, all of which are asked for at once.
template <int columns>
__global__ void tiles(const bf16 *x, bf16 *y, const float4 *sums) {
  long o = (long)blockIdx.y * columns + (blockIdx.x * blockDim.x + threadIdx.x) * 8;
  constexpr int count = columns / 512;
  float4 q[count];
  float v[8], s = 0;
#pragma unroll
  for (int k = 0; k < count; k++)
    q[k] = sums[blockIdx.y * count + k];
  load(x + o, v);
#pragma unroll
  for (int k = 0; k < count; k++)
    s += q[k].x + q[k].y + q[k].z + q[k].w;
  store(y + o, v, rsqrtf(s / columns + 1e-6f));
}

/// Microseconds of one launch: the best of nine graphs.
template <typename Launch> float measure(cudaStream_t stream, Launch launch) {
  constexpr int launches = 200;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  cudaEvent_t begin, end;
  cudaEventCreate(&begin), cudaEventCreate(&end);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
  for (int i = 0; i < launches; i++)
    launch(i % 2);
  cudaStreamEndCapture(stream, &graph);
  cudaGraphInstantiate(&exec, graph, 0);
  float best = 1e9, ms;
  for (int i = 0; i < 9; i++) {
    cudaEventRecord(begin, stream);
    cudaGraphLaunch(exec, stream);
    cudaEventRecord(end, stream);
    cudaEventSynchronize(end);
    cudaEventElapsedTime(&ms, begin, end);
    best = std::min(best, ms);
  }
  cudaGraphExecDestroy(exec), cudaGraphDestroy(graph);
  return best * 1000 / launches;
}

template <int columns, int vectors> void compare(cudaStream_t stream, bf16 *x, bf16 *y, float4 *sums) {
  for (int count : {1, 8, 32, 66, 132, 264, 970}) {
    float without = measure(stream, [&](bool back) {
      rows<vectors><<<count, columns / 8 / vectors, 0, stream>>>(back ? y : x, back ? x : y, columns);
    });
    float with = measure(stream, [&](bool back) {
      tiles<columns><<<dim3(columns / 1024, count), 128, 0, stream>>>(back ? y : x, back ? x : y, sums);
    });
    printf("%6d %5d %7.2f %7.2f %6.2f\n", columns, count, without, with, without / with);
  }
}

int main() {
  bf16 *x, *y;
  float4 *sums;
  cudaStream_t stream;
  if (cudaStreamCreate(&stream) || cudaMalloc(&x, 1 << 27) || cudaMalloc(&y, 1 << 27) || cudaMalloc(&sums, 1 << 24)) {
    fprintf(stderr, "no GPU with 300 MiB of free memory\n");
    return 1;
  }
  compare<1024, 1>(stream, x, y, sums);
  compare<2048, 1>(stream, x, y, sums);
  compare<4096, 1>(stream, x, y, sums);
  compare<8192, 1>(stream, x, y, sums);
  compare<16384, 2>(stream, x, y, sums);
  return cudaDeviceSynchronize() != cudaSuccess;
}
