// The engine writer: same bytes, nothing left behind, checks of its own.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "TestEngine.h"

#include <gtest/gtest.h>

#include <filesystem>

using namespace nibble::rt;
using namespace nibble::rt::cts;

namespace {

size_t filesBeside(const std::string &path) {
  size_t count = 0;
  for (const auto &entry : std::filesystem::directory_iterator(
           std::filesystem::path(path).parent_path())) {
    (void)entry;
    ++count;
  }
  return count;
}

TEST(Writer, GivesTheSameBytesForTheSameCalls) {
  TempFile a("a.nbl"), b("b.nbl");
  ASSERT_TRUE(writeSample(a.path(), 1000).ok());
  ASSERT_TRUE(writeSample(b.path(), 1000).ok());
  EXPECT_EQ(readFile(a.path()), readFile(b.path()));
}

TEST(Writer, AppearsOnlyWhenFinished) {
  TempFile file("x.nbl");
  {
    EngineBuilder b(file.path());
    EXPECT_FALSE(std::filesystem::exists(file.path()));
    EXPECT_EQ(filesBeside(file.path()), 1u) << "the temporary file";
  }
  EXPECT_EQ(filesBeside(file.path()), 0u) << "an abandoned file is removed";
  ASSERT_TRUE(writeSample(file.path(), 10).ok());
  EXPECT_EQ(filesBeside(file.path()), 1u);
}

TEST(Writer, KeepsTheOldFileIfItFails) {
  TempFile file("x.nbl");
  writeFile(file.path(), "old");
  EngineBuilder b(file.path());
  EXPECT_FALSE(b.writer().finish().ok()) << "no entry point";
  EXPECT_EQ(readFile(file.path()), "old");
}

TEST(Writer, StreamsConstantsInPieces) {
  TempFile file("x.nbl");
  EngineBuilder b(file.path());
  const uint64_t size = 5 << 20;
  auto produce = [&](const EngineWriter::Append &append) -> Status {
    // Pieces of all sizes, across the buffer of the writer.
    std::vector<uint8_t> piece;
    for (uint64_t at = 0, n = 1; at < size; at += piece.size(), n = n * 3 + 1) {
      piece.resize(std::min(n, size - at));
      for (uint64_t i = 0; i < piece.size(); ++i)
        piece[i] = uint8_t((at + i) * 31);
      NIBBLE_RETURN_IF_ERROR(append(piece.data(), piece.size()));
    }
    return Status();
  };
  auto constant = b.writer().addConstant("big", size, produce);
  ASSERT_TRUE(constant.ok());
  EntryDesc entry;
  entry.name = "main";
  ASSERT_TRUE(b.writer().addEntry(entry).ok());
  ASSERT_TRUE(b.writer().finish().ok());
  LoadOptions check;
  check.checkBlobs = true;
  auto engine = Engine::load(file.path(), check);
  ASSERT_TRUE(engine.ok()) << engine.status().str();
  const auto *data =
      static_cast<const uint8_t *>((*engine)->constantData(*constant));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 4096, 0u);
  for (uint64_t i = 0; i < size; ++i)
    ASSERT_EQ(data[i], uint8_t(i * 31)) << i;
}

TEST(Writer, RefusesConstantsOfAnotherSizeThanAnnounced) {
  TempFile file("x.nbl");
  EngineBuilder b(file.path());
  auto result =
      b.writer().addConstant("w", 8, [](const EngineWriter::Append &append) {
        return append("x", 1);
      });
  EXPECT_NE(result.status().str().find("announced 8 bytes, but wrote 1"),
            std::string::npos);
}

TEST(Writer, ComputesSizesOfScaledPorts) {
  TempFile file("x.nbl");
  EngineBuilder b(file.path());
  EntryDesc entry;
  entry.name = "main";
  entry.inputs = {port("x", "!nq.nvfp4", 0)};
  entry.inputs[0].shape = {16, 64};
  ASSERT_TRUE(b.writer().addEntry(entry).ok());
  ASSERT_TRUE(b.writer().finish().ok());
  auto engine = *Engine::load(file.path());
  // 512 bytes of codes, 64 of scales, 4 of the global scale.
  EXPECT_EQ(engine->info().entries[0].inputs[0].byteSize, 512u + 64 + 4);
}

TEST(Writer, SaysWhatIsWrongWithThePlan) {
  TempFile file("x.nbl");
  EngineBuilder b(file.path());
  EntryDesc entry;
  entry.name = "main";
  entry.values = {value("t", "f32", 100, Storage::Arena, 0)};
  entry.arenaSize = 64;
  ASSERT_TRUE(b.writer().addEntry(entry).ok());
  Status status = b.writer().finish();
  EXPECT_NE(status.str().find("value 0 't'"), std::string::npos)
      << status.str();
  EXPECT_NE(status.str().find("outside of the arena of 64 bytes"),
            std::string::npos)
      << status.str();
}

TEST(Writer, RefusesAnUnwritableFolderAndLongTargets) {
  EngineWriter writer;
  EXPECT_EQ(writer.open("/nonexistent/x.nbl", "cpu").code(), Code::Io);
  EXPECT_FALSE(EngineWriter().open("x.nbl", std::string(16, 'x')).ok());
  EXPECT_FALSE(EngineWriter().finish().ok()) << "never opened";
}

} // namespace
