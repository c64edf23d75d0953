// The C interface and its C++ wrapper, through the shared library.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"
#include "nibble/nibble.hpp"

#include <gtest/gtest.h>

using namespace nibble::rt::cts;

namespace {

class Capi : public ::testing::Test {
protected:
  void SetUp() override { ASSERT_TRUE(writeSample(file.path(), 64).ok()); }
  void open() {
    ASSERT_FALSE(nbl::Engine::load(file.path(), engine));
    ASSERT_FALSE(nbl::Device::create("cpu", device));
    ASSERT_FALSE(nbl::Session::create(engine, device, session));
    ASSERT_FALSE(nbl::Context::create(session, context));
  }
  TempFile file{"sample.nbl"};
  // In the order in which they are made; open() makes them.
  nbl::Engine engine;
  nbl::Device device;
  nbl::Session session;
  nbl::Context context;
};

TEST_F(Capi, RunsThroughTheWrapper) {
  nbl::Engine engine;
  nbl::Device device;
  nbl::Session session;
  nbl::Context context;
  if (nbl::Status s = nbl::Engine::load(file.path(), engine))
    FAIL() << s.message();
  ASSERT_FALSE(nbl::Device::create("cpu", device, 2));
  ASSERT_FALSE(nbl::Session::create(engine, device, session));
  ASSERT_FALSE(nbl::Context::create(session, context));
  EXPECT_EQ(engine.target(), "cpu");
  uint32_t entry = 99;
  ASSERT_FALSE(engine.findEntry("forward", entry));
  nbl_port port;
  ASSERT_FALSE(engine.input(entry, 0, port));
  EXPECT_STREQ(port.name, "x");
  EXPECT_STREQ(port.dtype, "f32");
  EXPECT_EQ(port.rank, 1u);
  EXPECT_EQ(port.shape[0], 64);
  std::vector<float> x(64, 1.0f), y(64);
  ASSERT_FALSE(context.setInput(entry, 0, x.data(), 256));
  ASSERT_FALSE(context.run(entry));
  ASSERT_FALSE(context.getOutput(entry, 0, y.data(), 256));
  EXPECT_EQ(y[7], 14.0f);
}

TEST_F(Capi, HandlesMayBeFreedInAnyOrder) {
  nbl_engine *engine = nullptr;
  nbl_device *device = nullptr;
  nbl_session *session = nullptr;
  nbl_context *context = nullptr;
  ASSERT_EQ(nbl_engine_load(file.path().c_str(), NBL_LOAD_CHECK_BLOBS, &engine),
            nullptr);
  ASSERT_EQ(nbl_device_create("null", 0, &device), nullptr);
  ASSERT_EQ(nbl_session_create(engine, device, &session), nullptr);
  nbl_engine_free(engine);
  nbl_device_free(device);
  ASSERT_EQ(nbl_context_create(session, &context), nullptr);
  nbl_session_free(session);
  float x[64] = {};
  EXPECT_EQ(nbl_context_set_input(context, 0, 0, x, 256), nullptr);
  EXPECT_EQ(nbl_context_run(context, 0), nullptr);
  nbl_context_free(context);
  nbl_context_free(nullptr);
}

TEST_F(Capi, ErrorsHaveCodesAndReachTheLog) {
  std::vector<std::string> messages;
  nbl_set_log_callback(
      [](void *user, nbl_severity severity, const char *source,
         const char *message) {
        EXPECT_EQ(severity, NBL_LOG_ERROR);
        static_cast<std::vector<std::string> *>(user)->push_back(
            std::string(source) + ": " + message);
      },
      &messages);
  nbl_engine *engine = nullptr;
  nbl_status *status = nbl_engine_load("/nonexistent", 0, &engine);
  EXPECT_EQ(nbl_status_code(status), NBL_NOT_FOUND);
  EXPECT_EQ(engine, nullptr);
  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0], "engine: " + std::string(nbl_status_message(status)));
  nbl_status_free(status);
  nbl_set_log_callback(nullptr, nullptr);

  nbl_device *device = nullptr;
  nbl::Status cuda = nbl_device_create("cuda", 0, &device);
  EXPECT_EQ(cuda.code(), NBL_DEVICE);
  nbl::Status null = nbl_engine_load(nullptr, 0, &engine);
  EXPECT_EQ(null.code(), NBL_INVALID_ARGUMENT);
  nbl::Status flags = nbl_engine_load(file.path().c_str(), 8, &engine);
  EXPECT_EQ(flags.code(), NBL_INVALID_ARGUMENT);
  nbl::Status context = nbl_context_run(nullptr, 0);
  EXPECT_EQ(context.code(), NBL_INVALID_ARGUMENT);
}

TEST_F(Capi, ProbesSeeLayersAndCanStop) {
  ASSERT_NO_FATAL_FAILURE(open());
  float x[64] = {};
  ASSERT_FALSE(context.setInput(0, 0, x, 256));
  std::string layers;
  auto probe = [](void *user, uint32_t launch, const char *layer,
                  const char *op, double) {
    *static_cast<std::string *>(user) += std::string(layer) + "/" + op + " ";
    return launch == 1 ? 1 : 0;
  };
  nbl::Status stopped =
      nbl_context_run_probed(context.get(), 0, probe, &layers);
  EXPECT_EQ(stopped.code(), NBL_INVALID_ARGUMENT);
  EXPECT_EQ(layers, "add/test scale/test ");
}

TEST(CapiVersion, IsTheHeaders) {
  EXPECT_EQ(nbl_api_version(), uint32_t(NBL_API_VERSION));
}

TEST(CapiGpu, RecordingsReplayRunsOfSeveralContexts) {
  TempFile file{"sample.nbl"};
  ASSERT_TRUE(writeSample(file.path(), 64, "sm_90a").ok());
  nbl_engine *engine = nullptr;
  nbl_device *device = nullptr;
  nbl_session *session = nullptr;
  nbl_context *contexts[2] = {};
  nbl_recording *recording = nullptr;
  ASSERT_EQ(nbl_engine_load(file.path().c_str(), 0, &engine), nullptr);
  ASSERT_EQ(nbl_device_create("emu", 0, &device), nullptr);
  ASSERT_EQ(nbl_session_create(engine, device, &session), nullptr);
  uint32_t accumulate = 0, entries[2];
  ASSERT_EQ(nbl_engine_find_entry(engine, "accumulate", &accumulate), nullptr);
  std::vector<float> x(64, 1.0f), sum(64);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(nbl_context_create(session, &contexts[i]), nullptr);
    entries[i] = accumulate;
    ASSERT_EQ(nbl_context_set_input(contexts[i], accumulate, 0, x.data(), 256),
              nullptr);
    ASSERT_EQ(nbl_context_run(contexts[i], accumulate), nullptr);
  }
  ASSERT_EQ(nbl_recording_create(contexts, entries, 2, &recording), nullptr);
  double seconds = -1;
  ASSERT_EQ(nbl_recording_replay(recording, 3, &seconds), nullptr);
  EXPECT_GT(seconds, 0);
  ASSERT_EQ(nbl_recording_replay(recording, 1, nullptr), nullptr);
  for (nbl_context *context : contexts) {
    ASSERT_EQ(nbl_context_get_state(context, 0, sum.data(), 256), nullptr);
    EXPECT_EQ(sum[63], 5.0f) << "one run, four replays";
  }
  nbl_recording_free(recording);
  ASSERT_EQ(nbl_context_enqueue(contexts[0], accumulate), nullptr);
  ASSERT_EQ(nbl_context_get_state(contexts[0], 0, sum.data(), 256), nullptr);
  EXPECT_EQ(sum[63], 6.0f);

  nbl_status *status = nbl_recording_create(contexts, entries, 0, &recording);
  EXPECT_EQ(nbl_status_code(status), NBL_INVALID_ARGUMENT);
  nbl_status_free(status);
  for (nbl_context *context : contexts)
    nbl_context_free(context);
  nbl_session_free(session);
  nbl_device_free(device);
  nbl_engine_free(engine);
}

TEST_F(Capi, SubmitsFromStagedMemory) {
  ASSERT_NO_FATAL_FAILURE(open());
  void *x = nullptr;
  const void *y = nullptr;
  ASSERT_FALSE(context.stageInput(0, 0, x));
  ASSERT_FALSE(context.stageOutput(0, 0, y));
  ASSERT_FALSE(context.prepare(0));
  uint64_t allocations = device.allocations();
  for (int run = 0; run < 3; ++run) {
    static_cast<float *>(x)[7] = float(run);
    ASSERT_FALSE(context.submit(0));
    bool done = false;
    ASSERT_FALSE(context.isDone(done));
    EXPECT_TRUE(done) << "the cpu has done it";
    ASSERT_FALSE(context.wait());
    EXPECT_EQ(static_cast<const float *>(y)[7], 7.0f * float(run + 1));
  }
  EXPECT_EQ(device.allocations(), allocations);
  nbl::Status null = nbl_context_stage_input(context.get(), 0, 0, nullptr);
  EXPECT_EQ(null.code(), NBL_INVALID_ARGUMENT);
  nbl::Status port = context.stageInput(0, 3, x);
  EXPECT_EQ(port.code(), NBL_INVALID_ARGUMENT);
}

TEST_F(Capi, HostDevicesRecordNothing) {
  nbl_engine *engine = nullptr;
  nbl_device *device = nullptr;
  nbl_session *session = nullptr;
  nbl_context *context = nullptr;
  nbl_recording *recording = nullptr;
  ASSERT_EQ(nbl_engine_load(file.path().c_str(), 0, &engine), nullptr);
  ASSERT_EQ(nbl_device_create("cpu", 0, &device), nullptr);
  ASSERT_EQ(nbl_session_create(engine, device, &session), nullptr);
  ASSERT_EQ(nbl_context_create(session, &context), nullptr);
  uint32_t entry = 0;
  nbl_status *status = nbl_recording_create(&context, &entry, 1, &recording);
  EXPECT_EQ(nbl_status_code(status), NBL_UNSUPPORTED);
  nbl_status_free(status);
  nbl_context_free(context);
  nbl_session_free(session);
  nbl_device_free(device);
  nbl_engine_free(engine);
}

} // namespace
