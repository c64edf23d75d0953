// A PTX module that is loaded: its variables in memory, its functions decoded.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_EXEC_MODULE_H
#define NIBBLE_RT_EMULATOR_EXEC_MODULE_H

#include "exec/Cta.h"

#include <atomic>

namespace nibble {
namespace emu {

/// Limits of the emulated device.
constexpr uint32_t kMaxThreads = 1024, kMaxCluster = 16,
                   kMaxShared = 227 * 1024,
                   kMaxLocal = 512 * 1024; ///< bytes of a thread

class Module : Symbols {
public:
  explicit Module(GlobalMemory &memory) : memory(memory) {}
  ~Module();
  Module(const Module &) = delete;

  /// Parses, places variables, decodes all entry points. An error names the
  /// line of the PTX text.
  ptx::Error load(std::string text);

  struct Kernel {
    Code code;
    std::vector<SpecialUse> specials;
  };
  const Kernel *find(std::string_view name) const;
  std::vector<std::string> kernelNames() const;
  /// Address and size of a variable of the module; false if there is none.
  bool variable(std::string_view name, uint64_t &address,
                uint64_t &bytes) const;
  const ptx::Module &getSource() const { return source; }

  struct LaunchConfig {
    Dim3 grid, block, cluster;
    uint32_t dynamicShared = 0;
    uint64_t seed = 1;
    unsigned threads = 0; ///< of the host; 0: all
    Checks checks;        ///< as the environment changes them
    /// Instructions that the warps of a cluster may run; 0: any number. A
    /// kernel that runs more is a fault.
    uint64_t maxInstructions = 0;
    /// mma and wgmma add as the tensor cores of an H100 do, bit by bit, not
    /// exactly. Of targets sm_90 and sm_90a only: others were not measured.
    bool hopperSums = false;
    Traffic *traffic = nullptr; ///< notes accesses to global memory there
  };
  /// Runs a kernel on `params`, code.paramBytes of them. "" or what is wrong:
  /// the configuration (`kind` is None then), or the fault of the program.
  std::string launch(const Kernel &kernel, const LaunchConfig &config,
                     const void *params, Counters &counters,
                     FaultKind *kind = nullptr);

private:
  uint64_t addressOf(std::string_view variable) const override;
  int64_t sharedOffsetOf(std::string_view variable) const override;
  int64_t functionOf(std::string_view name) const override;
  int64_t sharedEnd() const override { return sharedBytes; }
  ptx::Error place(const ptx::Variable &variable);
  ptx::Error initialize(const ptx::Variable &variable);
  std::string check(const Kernel &kernel, const LaunchConfig &config) const;

  GlobalMemory &memory;
  ptx::Module source;
  struct Placed {
    uint64_t address, bytes;
  };
  std::map<std::string_view, Placed> placed;
  std::map<std::string_view, int64_t> shared;
  int64_t sharedBytes = 0;
  std::map<std::string, std::unique_ptr<Kernel>, std::less<>> kernels;
  std::atomic<uint64_t> grids{0};
};

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_EXEC_MODULE_H
