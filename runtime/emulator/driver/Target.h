// The machines that can be emulated, and how a process chooses one.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#ifndef NIBBLE_RT_EMULATOR_DRIVER_TARGET_H
#define NIBBLE_RT_EMULATOR_DRIVER_TARGET_H

#include "device/cuda/DriverTypes.h"

#include <string>

namespace nibble {
namespace emu {

/// A row per machine; sources: CUDA Programming Guide, "Compute Capabilities",
/// and the data sheets. Sizes in bytes, clocks in kHz.
struct Target {
  const char *arch; ///< "sm_90a"
  const char *name; ///< "Nibble emulated H100"
  int major, minor; ///< compute capability that programs are told
  int sms;
  int threadsPerSm, blocksPerSm;
  uint64_t memory;
  int l2, clock, memoryClock, busBits;
  bool integrated;
};

// The same on all of them.
constexpr int kSharedPerSm = 228 * 1024, kSharedReserved = 1024,
              kSharedDefault = 48 * 1024, kRegistersPerSm = 65536;

/// The machine called "sm_90a", "sm_100a" or "sm_110a"; null if there is none.
const Target *findTarget(const std::string &arch);
/// False for attributes that CUDA 13.0 does not know. What the emulator does
/// not have (textures, peers, IPC, ...) is 0.
bool attributeOf(const Target &target, int attribute, int &value);
/// "" if PTX of `.target` runs on the machine, or why not: sm_90a only on
/// itself, sm_100f on its family, sm_80 on everything newer.
std::string checkPtxTarget(const Target &target, const std::string &ptx);

/// What the environment says:
///   NIBBLE_EMU_TARGET   sm_90a (default), sm_100a, sm_110a
///   NIBBLE_EMU_CAPABILITY  "10.0": what programs are told instead of the
///                       machine's own compute capability; for those that
///                       look for one that they know
///   NIBBLE_EMU_SEED     of the orders of warps and asynchronous work (1)
///   NIBBLE_EMU_THREADS  of the host (all)
///   NIBBLE_EMU_MEMORY   bytes of device memory (what the machine has, at most
///                       half of the host's)
///   NIBBLE_EMU_VERBOSE  1: also prints why calls are refused
///   NIBBLE_EMU_REPORT   a file for what each launch did, a line of JSON each
///   NIBBLE_EMU_CHECK, NIBBLE_EMU_NO_CHECK  exec/Checks.h
struct Options {
  Target machine = {};
  const Target *target = nullptr; ///< &machine
  uint64_t seed = 1, memory = 0;
  unsigned threads = 0; ///< 0: all
  bool verbose = false;
  std::string report; ///< empty: none
};
/// "" or which variable is wrong. `arch` is the machine if the environment
/// names none; empty: sm_90a.
std::string readOptions(const std::string &arch, Options &options);

} // namespace emu
} // namespace nibble

#endif // NIBBLE_RT_EMULATOR_DRIVER_TARGET_H
