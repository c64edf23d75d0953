// What the parser accepts and refuses, beside what ptxas does: the table
// ptx-acceptance.txt, which a script holds against ptxas itself.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "PtxHarness.h"

#include <fstream>

using namespace nibble::emu::ptx;

namespace {

std::string moduleOf(const std::string &globals, const std::string &body) {
  return std::string(kHeader) + globals +
         "\n.visible .entry k(.param .u64 x){\n.reg .pred p,q; .reg .b32 a<9>; "
         ".reg .b64 d<9>; .reg .f32 f<9>; .reg .f64 e<9>;\n" +
         body + "\nret;\n}\n";
}

TEST(PtxAcceptance, IsWhatTheTableSays) {
  std::ifstream in(NIBBLE_PTX_ACCEPTANCE);
  std::string line;
  int rows = 0;
  while (std::getline(in, line)) {
    if (line.empty() || line[0] == '#')
      continue;
    size_t first = line.find('\t'), second = line.find('\t', first + 1);
    ASSERT_NE(second, std::string::npos) << line;
    std::string verdict = line.substr(0, first);
    Module module;
    Error error = parse(moduleOf(line.substr(first + 1, second - first - 1),
                                 line.substr(second + 1)),
                        module);
    bool accepts = verdict == "ok" || verdict == "later";
    EXPECT_EQ(!error, accepts) << line << "\n" << error.message;
    ++rows;
  }
  EXPECT_GT(rows, 100);
}

} // namespace
