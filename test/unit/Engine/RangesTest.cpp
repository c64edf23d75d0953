// NVTX ranges, as a profiler sees them.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <dlfcn.h>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

std::string seen() {
  void *library = ::dlopen(NIBBLE_FAKE_PROFILER, RTLD_NOW);
  auto text = reinterpret_cast<const char *(*)()>(
      library ? ::dlsym(library, "fakeProfilerText") : nullptr);
  return text ? text() : "no profiler";
}

void runSample(const char *name, bool graphs, int runs) {
  TempFile file("sample.nbl");
  bool gpu = std::string(name) == "emu";
  ASSERT_TRUE(writeSample(file.path(), 64, gpu ? "sm_90a" : "cpu").ok());
  DeviceOptions options;
  options.graphs = graphs;
  auto device = createDevice(name, options);
  ASSERT_TRUE(device.ok()) << device.status().str();
  auto session = *Session::create(*Engine::load(file.path()), *device);
  auto context = *Context::create(session);
  std::vector<float> x(64, 1.0f);
  ASSERT_TRUE(context->setInput(0, 0, x.data(), 256).ok());
  for (int i = 0; i < runs; ++i)
    ASSERT_TRUE(context->run(0).ok());
}

TEST(Ranges, NameEntryPointsAndLayers) {
  // Before the first range: it looks once.
  ::setenv("NVTX_INJECTION64_PATH", NIBBLE_FAKE_PROFILER, 1);
  const std::string run = "<forward<add (test)><scale (test)>>";
  runSample("cpu", true, 1);
  EXPECT_EQ(seen(), run);
  std::string before = seen();
  runSample("emu", false, 2);
  EXPECT_EQ(seen(), before + run + run);
  before = seen();
  // Layers when they are recorded, then the run only.
  runSample("emu", true, 2);
  EXPECT_EQ(seen(), before + run + "<forward>");
}

} // namespace
