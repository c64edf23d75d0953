// Tests whose process cannot go on afterwards.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_TEST_UNIT_EMULATOR_OWNPROCESS_H
#define NIBBLE_TEST_UNIT_EMULATOR_OWNPROCESS_H

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

namespace nibble {

/// Ends this process: 0 if no expectation failed, which are printed here since
/// GoogleTest is silent in such processes.
[[noreturn]] inline void exitWithFailures() {
  const testing::TestResult &result =
      *testing::UnitTest::GetInstance()->current_test_info()->result();
  for (int i = 0; i < result.total_part_count(); ++i) {
    const testing::TestPartResult &part = result.GetTestPartResult(i);
    if (part.failed())
      std::fprintf(stderr, "%s:%d: %s\n", part.file_name(), part.line_number(),
                   part.message());
  }
  std::fflush(nullptr);
  std::_Exit(result.Failed());
}

/// Runs the rest of a test, `body`, in a process of its own, started anew: the
/// driver lets no process go on after most faults.
template <typename Body> void inOwnProcess(Body body) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT((body(), exitWithFailures()), testing::ExitedWithCode(0), "");
}

} // namespace nibble

#endif // NIBBLE_TEST_UNIT_EMULATOR_OWNPROCESS_H
