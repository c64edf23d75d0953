// Runs files through a fuzz target, and mutants of each, always the same ones.
//   kernel-mutants COUNT FOLDER...      the text that runs last: mutant.ptx, if
//                                       NIBBLE_KEEP_MUTANT is set
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#include "Mutate.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run(const std::string &text) {
  if (std::getenv("NIBBLE_KEEP_MUTANT"))
    std::ofstream("mutant.ptx", std::ios::binary) << text;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t *>(text.data()),
                         text.size());
}

int main(int argc, char **argv) {
  std::vector<std::filesystem::path> files;
  for (int i = 2; i < argc; ++i)
    for (const auto &entry : std::filesystem::directory_iterator(argv[i]))
      if (entry.path().extension() == ".ptx")
        files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  for (const auto &path : files) {
    std::ifstream in(path, std::ios::binary);
    std::string text(std::istreambuf_iterator<char>(in), {});
    std::printf("%s\n", path.c_str());
    std::fflush(stdout);
    run(text);
    for (int n = 0; n < std::atoi(argv[1]); ++n)
      run(mutate(text, uint64_t(n) + 1));
  }
  std::printf("%zu files\n", files.size());
  return files.empty() ? 1 : 0;
}
