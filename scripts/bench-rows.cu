// Times kernels beside copy kernels of as many bytes: see bench-rows.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//   bench-rows FOLDER [NAME-PART]
//
// A measurement is one graph of launches one after the other, over as many sets
// of buffers as the cache does not hold (cold) or over one (warm).
#include <cuda.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <numeric>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace {

void check(int status, const char *what) {
  if (!status)
    return;
  fprintf(stderr, "%s: error %d\n", what, status);
  exit(1);
}

/// 16 bytes per thread.
__global__ void copyKernel(const uint4 *from, uint4 *to, size_t count) {
  size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x;
  if (i < count)
    to[i] = from[i];
}

/// f16 of either sign around 1.
__global__ void fillKernel(unsigned short *to, size_t count) {
  size_t step = gridDim.x * size_t(blockDim.x);
  for (size_t i = blockIdx.x * size_t(blockDim.x) + threadIdx.x; i < count;
       i += step)
    to[i] = ((unsigned(i) * 2654435761u >> 8) & 0x87ff) | 0x3800;
}

struct Buffer {
  size_t bytes;
  std::string type;
};

struct Kernel {
  std::string name;
  unsigned blocks, threads;
  size_t moved;
  std::vector<Buffer> buffers;
};

constexpr size_t kCacheBytes = size_t(160) << 20;
constexpr int kRounds = 15;

CUdeviceptr allocate(const Buffer &buffer) {
  CUdeviceptr pointer;
  check(cuMemAlloc(&pointer, std::max<size_t>(buffer.bytes, 16)), "memory");
  if (buffer.type == "i64") { // positions
    std::vector<long long> numbers(buffer.bytes / 8);
    std::iota(numbers.begin(), numbers.end(), 0);
    check(cuMemcpyHtoD(pointer, numbers.data(), buffer.bytes), "copy");
    return pointer;
  }
  fillKernel<<<1024, 256>>>((unsigned short *)pointer, buffer.bytes / 2);
  check(cudaDeviceSynchronize(), "fill");
  return pointer;
}

using Launch = std::function<void(CUstream, int set)>;

class Timer {
public:
  Timer(CUstream stream, int sets, const Launch &launch) : stream(stream) {
    launches = std::max(sets, 40);
    launches -= launches % sets;
    CUgraph graph;
    check(cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_GLOBAL),
          "capture");
    for (int i = 0; i < launches; ++i)
      launch(stream, i % sets);
    check(cuStreamEndCapture(stream, &graph), "capture");
    check(cuGraphInstantiate(&executable, graph, 0), "graph");
    cuGraphDestroy(graph);
    cuEventCreate(&from, 0);
    cuEventCreate(&to, 0);
    measure();
    times.clear();
  }

  void measure() {
    cuEventRecord(from, stream);
    check(cuGraphLaunch(executable, stream), "launch");
    cuEventRecord(to, stream);
    check(cuEventSynchronize(to), "kernel");
    float ms;
    cuEventElapsedTime(&ms, from, to);
    times.push_back(ms * 1e3 / launches);
  }

  double median() {
    std::sort(times.begin(), times.end());
    return times[times.size() / 2];
  }

private:
  CUstream stream;
  int launches;
  CUgraphExec executable;
  CUevent from, to;
  std::vector<double> times;
};

struct Measured {
  double ours, copy, driver;
};

class Bench {
public:
  Bench(const Kernel &kernel, CUfunction function, CUstream stream)
      : kernel(kernel), function(function), stream(stream) {
    size_t bytes = 0;
    for (const Buffer &buffer : kernel.buffers)
      bytes += buffer.bytes;
    most =
        std::min<size_t>(std::max<size_t>(kCacheBytes / kernel.moved, 2), 200);
    most = std::min<size_t>(most, (size_t(16) << 30) / bytes);
    Buffer half{(kernel.moved / 2 + 15) / 16 * 16, "i8"};
    for (int set = 0; set < most; ++set) {
      pointers.emplace_back();
      for (const Buffer &buffer : kernel.buffers)
        pointers.back().push_back(allocate(buffer));
      copies.push_back({allocate(half), allocate(half)});
    }
    count = half.bytes / 16;
  }

  ~Bench() {
    for (auto *list : {&pointers, &copies})
      for (auto &set : *list)
        for (CUdeviceptr pointer : set)
          cuMemFree(pointer);
  }

  Measured run(bool warm) {
    int sets = warm ? 1 : most;
    Timer ours(stream, sets, [&](CUstream s, int set) {
      std::vector<void *> arguments;
      for (CUdeviceptr &pointer : pointers[set])
        arguments.push_back(&pointer);
      check(cuLaunchKernel(function, kernel.blocks, 1, 1, kernel.threads, 1, 1,
                           0, s, arguments.data(), nullptr),
            kernel.name.c_str());
    });
    Timer copy(stream, sets, [&](CUstream s, int set) {
      copyKernel<<<(count + 255) / 256, 256, 0, s>>>(
          (const uint4 *)copies[set][0], (uint4 *)copies[set][1], count);
    });
    Timer driver(stream, sets, [&](CUstream s, int set) {
      check(cuMemcpyDtoDAsync(copies[set][1], copies[set][0], count * 16, s),
            "copy");
    });
    std::vector<Timer *> order{&ours, &copy, &driver};
    std::mt19937 random(7);
    for (int round = 0; round < kRounds; ++round) {
      std::shuffle(order.begin(), order.end(), random);
      for (Timer *timer : order)
        timer->measure();
    }
    return {ours.median(), copy.median(), driver.median()};
  }

private:
  const Kernel &kernel;
  CUfunction function;
  CUstream stream;
  int most;
  size_t count;
  std::vector<std::vector<CUdeviceptr>> pointers, copies;
};

std::vector<Kernel> readKernels(const std::string &path) {
  std::vector<Kernel> kernels;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    Kernel kernel;
    size_t count;
    words >> kernel.name >> kernel.blocks >> kernel.threads >> kernel.moved >>
        count;
    for (std::string word; count && words >> word; --count)
      kernel.buffers.push_back(
          {std::stoull(word), word.substr(word.find(':') + 1)});
    kernels.push_back(kernel);
  }
  return kernels;
}

void print(const Kernel &kernel, const char *how, const Measured &m) {
  printf("%-24s %5s %8.2f us %6.0f GB/s   copy kernel %8.2f us, ratio %.2f   "
         "memcpy %8.2f us, ratio %.2f\n",
         kernel.name.c_str(), how, m.ours, kernel.moved / m.ours / 1e3, m.copy,
         m.copy / m.ours, m.driver, m.driver / m.ours);
  fflush(stdout);
}

} // namespace

int main(int argc, char **argv) {
  check(cuInit(0), "cuInit");
  CUdevice device;
  CUcontext context;
  check(cuDeviceGet(&device, 0), "device");
  check(cuDevicePrimaryCtxRetain(&context, device), "context");
  check(cuCtxSetCurrent(context), "context");
  char name[100];
  cuDeviceGetName(name, sizeof(name), device);
  printf("%s\n", name);
  CUstream stream;
  check(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "stream");
  std::string folder = argv[1];
  for (const Kernel &kernel : readKernels(folder + "/kernels.txt")) {
    if (argc > 2 && kernel.name.find(argv[2]) == std::string::npos)
      continue;
    CUmodule module;
    CUfunction function;
    std::string path = folder + "/" + kernel.name + ".ptx";
    check(cuModuleLoad(&module, path.c_str()), path.c_str());
    check(cuModuleGetFunction(&function, module, kernel.name.c_str()),
          "function");
    Bench bench(kernel, function, stream);
    print(kernel, "cold", bench.run(false));
    print(kernel, "warm", bench.run(true));
    cuModuleUnload(module);
  }
  return 0;
}
