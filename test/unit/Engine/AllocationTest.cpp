// The heap in steady state: between load and end, a loop allocates nothing.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <dlfcn.h>
#include <execinfo.h>
#include <new>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

std::atomic<bool> counting{false};
std::atomic<uint64_t> counted{0};

/// What drivers do is not counted: the emulated one runs kernels on the heap.
bool isOfTheDriver() {
  void *frames[48];
  int count = ::backtrace(frames, 48);
  for (int i = 0; i < count; ++i) {
    Dl_info info;
    if (::dladdr(frames[i], &info) && info.dli_fname &&
        std::strstr(info.dli_fname, "libcuda.so"))
      return true;
  }
  return false;
}

void *allocate(std::size_t bytes) {
  if (counting && !isOfTheDriver())
    ++counted;
  void *memory = std::malloc(bytes ? bytes : 1);
  if (!memory)
    throw std::bad_alloc();
  return memory;
}

} // namespace

void *operator new(std::size_t bytes) { return allocate(bytes); }
void *operator new[](std::size_t bytes) { return allocate(bytes); }
void operator delete(void *memory) noexcept { std::free(memory); }
void operator delete[](void *memory) noexcept { std::free(memory); }
void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void *memory, std::size_t) noexcept {
  std::free(memory);
}

namespace {

class Allocation : public ::testing::TestWithParam<const char *> {};

TEST(AllocationCount, SeesTheHeap) {
  void *warm[2];
  (void)::backtrace(warm, 2); // loads what it needs
  counting = true;
  delete new std::string(100, 'x');
  counting = false;
  EXPECT_EQ(counted.exchange(0), 2u);
}

TEST_P(Allocation, LoopsDoNotAllocate) {
  std::string name = GetParam();
  bool gpu = name == "emu" || name == "cuda";
  TempFile file("sample.nbl");
  const uint64_t n = 256, bytes = n * 4;
  ASSERT_TRUE(writeSample(file.path(), n, gpu ? "sm_90a" : "cpu").ok());
  auto device = createDevice(name);
  if (!device.ok() && name == "cuda" && !std::getenv("NIBBLE_REQUIRE_CUDA"))
    GTEST_SKIP() << device.status().str();
  ASSERT_TRUE(device.ok()) << device.status().str();
  auto session = *Session::create(*Engine::load(file.path()), *device);
  auto context = *Context::create(session);
  auto x = static_cast<float *>(*context->stageInput(1, 0));
  auto y = static_cast<const float *>(*context->stageOutput(2, 0));
  for (uint32_t entry : {0, 1, 2})
    ASSERT_TRUE(context->prepare(entry).ok());
  std::vector<float> in(n, 1.0f), out(n);
  auto tick = [&](float value) {
    bool ok = context->setInput(0, 0, in.data(), bytes).ok() &&
              context->run(0).ok() &&
              context->getOutput(0, 0, out.data(), bytes).ok();
    std::fill(x, x + n, value);
    ok &= context->submit(1).ok() && context->submit(2).ok() &&
          context->isDone().ok() && context->wait().ok();
    return ok;
  };
  ASSERT_TRUE(tick(1)); // scratch of threads
  counting = true;
  bool ok = true;
  for (int i = 0; i < 10; ++i)
    ok &= tick(2);
  counting = false;
  EXPECT_TRUE(ok);
  EXPECT_EQ(counted.exchange(0), 0u);
  if (name != "null") {
    EXPECT_EQ(out[7], 14.0f);
    EXPECT_EQ(y[7], 21.0f);
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, Allocation,
                         ::testing::Values("cpu", "null", "cuda", "emu"),
                         [](const auto &info) -> std::string {
                           return info.param;
                         });

} // namespace
