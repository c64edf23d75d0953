// A target has exactly the instructions that targets.txt lists for it.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "isa/Targets.h"
#include "RunHarness.h"

#include <fstream>
#include <sstream>

using namespace nibble::emu;

namespace {

/// Why a kernel with the instruction does not load for a target, or "".
std::string refusal(const std::string &target, const std::string &instruction) {
  std::string kernel =
      ".entry k() {\n.reg .pred %p<9>; .reg .b8 %b<9>; .reg .b16 %h<9>; .reg "
      ".b32 %r<9>; .reg .b64 %d<9>; .reg .b128 %q<9>; .reg .f32 %f<9>;\n"
      ".shared .align 1024 .b8 shared[1024];\n" +
      instruction + "\nret;\n}\n";
  return Device(kernel, target.c_str()).problem();
}

void expectListed(const std::string &targets, const std::string &instruction) {
  std::istringstream words(targets + " ");
  std::string target;
  while (words >> target)
    EXPECT_EQ(refusal(target, instruction), "") << target << ' ' << instruction;
  for (std::string other : {"sm_80", "sm_90a", "sm_110", "sm_120a"})
    if ((targets + " ").find(other + " ") == std::string::npos) {
      std::string why = refusal(other, instruction);
      EXPECT_NE(why.find(" needs sm_"), std::string::npos)
          << other << ' ' << instruction << ' ' << why;
      EXPECT_NE(why.find("the target is " + other), std::string::npos) << why;
    }
}

TEST(Targets, HaveWhatIsListed) {
  std::ifstream table(NIBBLE_TARGETS);
  std::string line;
  int rows = 0;
  while (std::getline(table, line)) {
    if (line[0] == '#')
      continue;
    size_t tab = line.find('\t');
    ASSERT_NE(tab, std::string::npos) << line;
    expectListed(line.substr(0, tab), line.substr(tab + 1));
    ++rows;
  }
  EXPECT_GT(rows, 30);
}

TEST(Targets, NamesAreTakenApart) {
  EXPECT_EQ(parseTarget("sm_110a").arch, 110u);
  EXPECT_EQ(parseTarget("sm_110a").suffix, 'a');
  EXPECT_EQ(parseTarget("sm_90").suffix, 0);
  EXPECT_EQ(parseTarget("").arch, 0u);
}

} // namespace
