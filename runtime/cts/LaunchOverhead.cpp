// What a launch of a small kernel costs the host and the device, with and
// without replaying a recording of the entry point.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

using namespace nibble::rt;
using namespace nibble::rt::cts;

/// `launches` kernels over 1024 floats, each on the result of the one before.
static Status writeChain(const std::string &path, int launches) {
  const int64_t n = 1024;
  EngineBuilder b(path, gpuTarget());
  EntryDesc entry;
  entry.name = "main";
  entry.outputs = {port("y", "f32", n)};
  entry.values = {value("y", "f32", n, Storage::Output, 0)};
  entry.launches.assign(size_t(launches),
                        b.launch("accumulate", {0, 0}, n, "double"));
  NIBBLE_RETURN_IF_ERROR(b.writer().addEntry(entry).status());
  return b.writer().finish();
}

/// Median seconds of a run, which waits for the device.
static Result<double> measure(const std::string &engine,
                              const std::string &deviceName, bool graphs) {
  DeviceOptions options;
  options.target = gpuTarget();
  options.graphs = graphs;
  auto device = createDevice(deviceName, options);
  if (!device.ok())
    return device.status();
  auto session = Session::create(*Engine::load(engine), *device);
  if (!session.ok())
    return session.status();
  auto context = *Context::create(*session);
  std::vector<double> times;
  for (int run = 0; run < 220; ++run) {
    auto start = std::chrono::steady_clock::now();
    NIBBLE_RETURN_IF_ERROR(context->run(0));
    std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    if (run >= 20)
      times.push_back(time.count());
  }
  std::nth_element(times.begin(), times.begin() + 100, times.end());
  return times[100];
}

int main(int argc, char **argv) {
  std::string device = argc > 1 ? argv[1] : "cuda";
  int launches = argc > 2 ? std::max(1, std::atoi(argv[2])) : 100;
  TempFile file("chain.nbl");
  Status written = writeChain(file.path(), launches);
  Result<double> direct = written, graph = written;
  if (written.ok()) {
    direct = measure(file.path(), device, false);
    graph = measure(file.path(), device, true);
  }
  for (const Result<double> *result : {&direct, &graph})
    if (!result->ok()) {
      std::fprintf(stderr, "error: %s\n", result->status().str().c_str());
      return exitCode(result->status().code());
    }
  std::printf("{\"device\": \"%s\", \"launches\": %d, \"direct_us\": %.2f, "
              "\"graph_us\": %.2f, \"direct_us_per_launch\": %.3f, "
              "\"graph_us_per_launch\": %.3f}\n",
              device.c_str(), launches, *direct * 1e6, *graph * 1e6,
              *direct * 1e6 / launches, *graph * 1e6 / launches);
  return 0;
}
