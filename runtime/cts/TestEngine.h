// Small engines for the conformance suite and the tests of the reader.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_CTS_TESTENGINE_H
#define NIBBLE_RT_CTS_TESTENGINE_H

#include "nibble/rt/engine_writer.h"
#include "nibble/rt/session.h"

#include <string>
#include <vector>

namespace nibble {
namespace rt {
namespace cts {

/// A file in a folder of its own, removed at the end of the scope.
class TempFile {
public:
  explicit TempFile(const std::string &name);
  ~TempFile();
  const std::string &path() const { return file; }

private:
  std::string folder, file;
};

std::string readFile(const std::string &path);
void writeFile(const std::string &path, const std::string &bytes);

/// The shared object made of kernels.c.
const std::string &kernelObject();

/// The target that GPUs are tested with: NIBBLE_CTS_TARGET, or "sm_90a".
std::string gpuTarget();
/// kernels.ptx for a target: "sm_90a", "sm_110a".
std::string kernelPtx(const std::string &target);

/// A writer with the kernels of kernels.c (target "cpu") or kernels.ptx added;
/// `kernel` finds their numbers.
class EngineBuilder {
public:
  explicit EngineBuilder(const std::string &path,
                         const std::string &target = "cpu");
  EngineWriter &writer() { return engine; }
  uint32_t kernel(const std::string &symbol);
  /// A launch over [0, extent): on a GPU, of a kernel that takes the addresses
  /// of `args` and the extent as u32.
  LaunchDesc launch(const std::string &symbol, std::vector<uint32_t> args,
                    int64_t extent, const std::string &layer);

private:
  bool gpu;
  EngineWriter engine;
  uint32_t code = 0;
  std::vector<std::string> symbols;
};

PortDesc port(const std::string &name, const std::string &dtype, int64_t size);
ValueDesc value(const std::string &name, const std::string &dtype, int64_t size,
                Storage storage, uint32_t index, uint64_t offset = 0);
LaunchDesc launch(uint32_t kernel, std::vector<uint32_t> args, int64_t extent,
                  int64_t grain = 1, const std::string &layer = "layer");

/// One engine with all there is: entry "forward" computes
/// y = (x + 1) * w through the arena, w[i] = i; entry "accumulate" adds x to
/// the state "sum", entry "read" copies the state to y. `size` floats each.
Status writeSample(const std::string &path, int64_t size,
                   const std::string &target = "cpu");

/// Rows of 50 floats, 52 apart; tiles of 8 x 16 reach over the edges.
namespace tiles {
constexpr uint32_t kRows = 37, kColumns = 50, kPitch = 52, kOutRows = 40,
                   kOutPitch = 64;
} // namespace tiles
/// Entry "main": y = 2 * x by tiles that are read through a tensor map; y has
/// zeros where a tile reaches beyond x.
Status writeTileSample(const std::string &path, const std::string &target);

} // namespace cts
} // namespace rt
} // namespace nibble

#endif // NIBBLE_RT_CTS_TESTENGINE_H
