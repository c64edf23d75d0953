// What the environment tells the emulated driver: reports and checks. A real
// driver has none of it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "DriverHarness.h"
#include "OwnProcess.h"
#include "report/Json.h"

#include <fstream>

using namespace nibble::cuda;
using nibble::inOwnProcess;
using nibble::emu::Json;

namespace {

/// No driver in this process: each test opens it in one of its own, since it
/// reads the environment once.
class DriverReportTest : public DriverTest {
protected:
  void SetUp() override {
    if (testsRealDriver())
      GTEST_SKIP() << "only of the emulated driver";
  }
  CUresult init() {
    table = *DriverTable::openEmulated();
    return d().cuInit(0);
  }
  void expectRefused(const char *variable, const std::string &value) {
    setenv(variable, value.c_str(), 1);
    CUresult result = init();
    EXPECT_EQ(result, CUDA_ERROR_NO_DEVICE);
    std::string message = d().check(result, "cuInit").str();
    EXPECT_NE(message.find(variable), std::string::npos) << message;
    EXPECT_NE(message.find(value), std::string::npos) << message;
  }
};

std::vector<Json> readLines(const std::string &path) {
  std::ifstream file(path);
  std::vector<Json> lines;
  for (std::string line; std::getline(file, line);) {
    lines.emplace_back();
    EXPECT_EQ(parseJson(line, lines.back()), "") << line;
    EXPECT_EQ(lines.back().find("schema")->text, "nibble.emu-report/1");
  }
  return lines;
}

double sumOfClasses(const Json &line) {
  double sum = 0;
  for (auto &entry : line.find("by_class")->fields)
    sum += entry.second.number;
  return sum;
}

TEST_F(DriverReportTest, HasALineForEachLaunch) {
  inOwnProcess([&] {
    std::string path = testing::TempDir() + "nibble-emu-report.jsonl";
    std::ofstream(path) << "of an older run\n";
    setenv("NIBBLE_EMU_REPORT", path.c_str(), 1);
    setenv("NIBBLE_EMU_SEED", "40", 1);
    DriverTest::SetUp();
    EXPECT_EQ(launch("store", allocate(256), 5, 64), CUDA_SUCCESS);
    EXPECT_EQ(launch("store", 64, 5, 1), CUDA_SUCCESS);
    std::vector<Json> lines = readLines(path);
    std::remove(path.c_str());
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0].find("kernel")->text, "store");
    EXPECT_EQ(lines[0].find("block")->items[0].number, 64);
    EXPECT_EQ(lines[0].find("instructions")->number, 2 * 7);
    EXPECT_EQ(sumOfClasses(lines[0]), 2 * 7);
    EXPECT_EQ(lines[0].find("global_written")->number, 256);
    EXPECT_EQ(lines[0].find("fault"), nullptr);
    EXPECT_GT(lines[0].find("estimate")->find("total_us")->number, 0);
    EXPECT_EQ(lines[1].find("launch")->number, 1);
    EXPECT_EQ(lines[1].find("seed")->number, 41);
    EXPECT_NE(lines[1].find("fault")->text.find("kernel store"),
              std::string::npos);
  });
}

TEST_F(DriverReportTest, AFileThatCannotBeWrittenIsRefused) {
  inOwnProcess([&] { expectRefused("NIBBLE_EMU_REPORT", "/nowhere/report"); });
}

TEST_F(DriverReportTest, UnknownChecksAreRefused) {
  inOwnProcess([&] { expectRefused("NIBBLE_EMU_NO_CHECK", "sharks"); });
  inOwnProcess([&] { expectRefused("NIBBLE_EMU_CHECK", "sharks"); });
}

/// Reads shared memory that nobody wrote.
constexpr char kUnwritten[] = R"(.version 8.0
.target sm_90a
.address_size 64
.visible .entry unwritten() {
  .shared .b32 word; .reg .b32 %r<2>;
  ld.shared.u32 %r1, [word]; st.shared.u32 [word], %r1; ret; }
)";

TEST_F(DriverReportTest, ChecksCanBeSwitchedOff) {
  auto run = [&](const char *without) {
    setenv("NIBBLE_EMU_NO_CHECK", without, 1);
    DriverTest::SetUp();
    ASSERT_EQ(d().cuModuleLoadData(&module, kUnwritten), CUDA_SUCCESS);
    EXPECT_EQ(d().cuLaunchKernel(function("unwritten"), 1, 1, 1, 1, 1, 1, 0,
                                 nullptr, nullptr, nullptr),
              CUDA_SUCCESS);
    EXPECT_EQ(d().cuCtxSynchronize(),
              *without ? CUDA_SUCCESS : CUDA_ERROR_LAUNCH_FAILED);
  };
  inOwnProcess([&] { run(""); });
  inOwnProcess([&] { run("races,uninitialized"); });
}

} // namespace
